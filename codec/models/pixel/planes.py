"""The order in which the pixels of a tile are coded without loss, and what each of their parts may depend on.

A grey level is coded in four parts. Each part is a *plane* that is coded over the whole tile before the next, so a later part
sees the earlier parts of all pixels, below and to the right as well:

======  ========================================================  ==================================
plane   symbol                                                    in other words
======  ========================================================  ==================================
ink     is it more than 0?                                        significance
solid   if so, is it 250 or more?                                 saturation
level   if not, in which of eight ranges of 32 it lies            high bits
shade   its position in the range; of solid pixels, in 250..255   low bits
======  ========================================================  ==================================

Within a plane, pixels are coded in *steps* along slanted lines. All pixels of a step are coded together and may depend on all
earlier steps, so a tile takes 109 steps a plane instead of 784. The earlier steps hold the pixel to the left and those above,
up to two columns to the right.

Sources: van den Oord et al. 2016, arXiv 1601.06759 (pixels given their causal neighbours); Reed et al. 2017, arXiv
1703.03664 (coarse to fine, in parallel).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mnistzip.tiling import TILE
from mnistzip.types import Bools, Floats, Integers, Pixels

TILE_PIXELS = TILE * TILE
SLOPE = 3  # columns to the left for each row down, of the line of a step
STEPS = TILE + SLOPE * (TILE - 1)
PAD = 8  # zeros around a tile
STRIDE = TILE + 2 * PAD
SOLID = 250
LEVELS, SHADES = 8, 32
RANGES = LEVELS + 1  # of shades: those of the levels and the solid one
SHADE_PEAK = 16


class Plane(IntEnum):
    """Parts of a grey level, in coding order."""

    INK = 0
    SOLID = 1
    LEVEL = 2
    SHADE = 3


LAST_SHADE = np.array([SHADES - 1] * (LEVELS - 1) + [SOLID - 1 - ((LEVELS - 1) * SHADES + 1), 255 - SOLID])  # of each range
VALUES = {Plane.INK: 2, Plane.SOLID: 2, Plane.LEVEL: LEVELS, Plane.SHADE: SHADES}


def _tables() -> dict[Plane, NDArray[np.int8]]:
    """For each plane, the number that other pixels see for a grey level of 0..255; 0 if the plane has no symbol for it."""
    grey = np.arange(256)
    level, shade = grey - 1 >> 5, (grey - 1 & 31) - SHADE_PEAK + 1
    ink, solid = grey > 0, grey >= SOLID
    return {
        Plane.INK: ink.astype(np.int8),
        Plane.SOLID: solid.astype(np.int8),
        Plane.LEVEL: np.where(solid, RANGES, np.where(ink, level + 1, 0)).astype(np.int8),
        Plane.SHADE: np.where(solid, (grey - SOLID) * 6 - SHADE_PEAK + 1, np.where(ink, shade, 0)).astype(np.int8),
    }


SEEN_AS = _tables()


def symbols(x: NDArray[np.integer], plane: Plane) -> Integers:
    """The symbols of grey levels in a plane; meaningless where :func:`coded_pixels` leaves them out."""
    x = x.astype(np.int64)
    if plane is Plane.INK:
        return (x > 0).astype(np.int64)
    if plane is Plane.SOLID:
        return (x >= SOLID).astype(np.int64)
    if plane is Plane.LEVEL:
        return x - 1 >> 5
    return np.where(x >= SOLID, x - SOLID, x - 1 & 31)


def ranges(x: NDArray[np.integer]) -> Integers:
    """The range of shades of grey levels above 0: 0..7, or 8 if solid."""
    return np.where(x >= SOLID, LEVELS, x.astype(np.int64) - 1 >> 5)


def _window(up: int, down: int, side: int, causal: bool) -> Integers:
    """Positions around a pixel, row by row, as distances in a padded tile; if ``causal``, those of earlier steps only."""
    around = [(dy, dx) for dy in range(-up, down + 1) for dx in range(-side, side + 1) if (dy, dx) != (0, 0)]
    return np.array([dy * STRIDE + dx for dy, dx in around if not causal or dx + SLOPE * dy < 0], np.int64)


WIDE = _window(8, 0, 7, causal=True)  # (122,)
NEAR = _window(5, 3, 5, causal=False)  # (98,)
BEFORE = _window(5, 3, 5, causal=True)


@dataclass(frozen=True)
class View:
    """What a pixel sees of others: one plane of theirs, in a window of distances in a padded tile."""

    plane: Plane
    window: Integers


VIEWS = {
    Plane.INK: (View(Plane.INK, WIDE),),
    Plane.SOLID: (View(Plane.INK, NEAR), View(Plane.SOLID, BEFORE)),
    Plane.LEVEL: (View(Plane.INK, NEAR), View(Plane.SOLID, NEAR), View(Plane.LEVEL, BEFORE)),
    Plane.SHADE: (
        View(Plane.INK, NEAR),
        View(Plane.SOLID, NEAR),
        View(Plane.LEVEL, NEAR),
        View(Plane.SHADE, BEFORE),
    ),
}
PEAKS = {Plane.INK: 1, Plane.SOLID: 1, Plane.LEVEL: RANGES, Plane.SHADE: SHADE_PEAK}  # largest magnitudes in SEEN_AS


def input_peaks(plane: Plane) -> Floats:
    """The largest magnitude of each input of a plane's network, the range of shades last: (inputs,)."""
    peaks = [np.full(len(view.window), PEAKS[view.plane]) for view in VIEWS[plane]]
    return np.concatenate([*peaks, np.ones(RANGES if plane is Plane.SHADE else 0)]).astype(np.float32)


ROW, COLUMN = np.divmod(np.arange(TILE_PIXELS), TILE)
STEP = COLUMN + SLOPE * ROW  # of each pixel, (784,)
ORDER = np.lexsort((ROW, STEP))  # pixels in coding order
PADDED_INDEX = (ROW + PAD) * STRIDE + COLUMN + PAD  # of each pixel in a padded tile


def coded_pixels(plane: Plane, grey: Pixels, inside: Bools) -> tuple[Integers, Integers]:
    """Tile and pixel of all symbols of a plane, tile by tile in coding order.

    Args:
        grey: grey levels of tiles, as far as earlier planes determine them, shape ``(N, 784)``.
        inside: pixels that the image covers, shape ``(N, 784)``.
    """
    coded = inside
    if plane is not Plane.INK:
        coded = grey > 0
    if plane is Plane.LEVEL:
        coded = coded & (grey < SOLID)
    tile, number = np.nonzero(coded[:, ORDER])
    return tile, ORDER[number]
