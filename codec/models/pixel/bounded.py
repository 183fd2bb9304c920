"""A bounded error: pixels take the nearest of a few grey levels, and the pixel model codes these alone.

With a largest error N the grey levels are 0, 2N + 1, 2 (2N + 1) and so on. If these leave some grey levels further than N away,
the last one is 255. FORMAT.md section 11 specifies them.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from mnistzip.models.pixel.planes import LEVELS, RANGES, SHADES, SOLID, Plane, ranges, symbols
from mnistzip.types import Bools, Pixels


def nearest(x: Pixels, max_error: int) -> Pixels:
    """The nearest grey levels that a bounded error leaves; ``x`` itself if ``max_error`` is 0."""
    width = 2 * max_error + 1
    return np.minimum((x.astype(np.int64) + max_error) // width * width, 255).astype(np.uint8)


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
