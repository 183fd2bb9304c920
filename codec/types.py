"""Types that all packages use."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # grey levels, 0 black to 255 white
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Floats = NDArray[np.float32]  # in exact layers they hold integers only


class Mode(IntEnum):
    """How a payload codes its pixels."""

    LOSSY = 0
    LOSSLESS = 1
    STORED = 2
    BOUNDED = 3
