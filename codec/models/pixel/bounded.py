"""The symbols of the pixel model that lead to one of the grey levels of a bounded error. FORMAT.md section 11 is the norm."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from mnistzip.bitstream.bounded import nearest
from mnistzip.models.pixel.planes import LEVELS, RANGES, SHADES, SOLID, Plane, ranges, symbols
from mnistzip.types import Bools


class Choices(NamedTuple):
    """Which symbols of a pixel lead to one of the grey levels.

    Attributes:
        solid: shape ``(2,)``.
        level: shape ``(8,)``.
        shade: shape ``(9, 32)``, by range.
    """

    solid: Bools
    level: Bools
    shade: Bools

    def of(self, plane: Plane) -> Bools:
        """Those of the plane of solid pixels, or of levels."""
        return self.solid if plane is Plane.SOLID else self.level


@cache
def choices(max_error: int) -> Choices:
    """The symbols that a bounded error leaves."""
    every = np.arange(1, 256).astype(np.uint8)
    grey = every[nearest(every, max_error) == every]
    below = grey[grey < SOLID]
    solid, level, shade = np.zeros(2, bool), np.zeros(LEVELS, bool), np.zeros((RANGES, SHADES), bool)
    solid[symbols(grey, Plane.SOLID)] = True
    level[symbols(below, Plane.LEVEL)] = True
    shade[ranges(grey), symbols(grey, Plane.SHADE)] = True
    return Choices(solid, level, shade)
