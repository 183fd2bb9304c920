"""In which order the pixels of a tile are coded without loss, and what is known when each of their parts is.

A grey level is told in four parts, plane after plane over the whole tile, so that a later part sees the earlier ones of *all*
pixels, below and to the right as well:

- ink: is it more than 0?
- solid: if so, is it 250 or more?
- level: if not, which of eight ranges of 32 is it in?
- shade: its place in the range; of solid pixels, which of 250 to 255.

In each plane pixels go along slanted lines: all of one step are coded knowing all earlier steps. So one tile needs 109
steps a plane rather than 784, and the pixel before and those above a pixel, up to two to the right, are known.

Sources: van den Oord et al. 2016, arXiv 1601.06759 (pixels given their causal neighbours); Reed et al. 2017, arXiv
1703.03664 (coarse to fine, in parallel).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mnistzip.tiling import TILE
from mnistzip.types import Pixels

PIXELS = TILE * TILE
SLOPE = 3  # a step's line goes so many columns to the left for one row down
STEPS = TILE + SLOPE * (TILE - 1)
PAD = 8  # zeros around a tile
STRIDE = TILE + 2 * PAD
SOLID = 250
LEVELS, SHADES = 8, 32
RANGES = LEVELS + 1  # of shades: those of the levels and the solid one
SHADE_PEAK = 16

Ints = NDArray[np.int64]


class Plane(IntEnum):
    """Parts of a grey level, in coding order."""

    INK = 0
    SOLID = 1
    LEVEL = 2
    SHADE = 3


LAST_SHADE = np.array([SHADES - 1] * (LEVELS - 1) + [SOLID - 1 - ((LEVELS - 1) * SHADES + 1), 255 - SOLID])  # of each range
VALUES = {Plane.INK: 2, Plane.SOLID: 2, Plane.LEVEL: LEVELS, Plane.SHADE: SHADES}


def _tables() -> dict[Plane, NDArray[np.int8]]:
    """For each plane, the number by which other pixels know a grey level of 0..255: 0 if not at all."""
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


def symbols(x: NDArray[np.integer], plane: Plane) -> Ints:
    """The symbols of grey levels in a plane; nonsense where :func:`chosen` leaves them out."""
    x = x.astype(np.int64)
    if plane is Plane.INK:
        return (x > 0).astype(np.int64)
    if plane is Plane.SOLID:
        return (x >= SOLID).astype(np.int64)
    if plane is Plane.LEVEL:
        return x - 1 >> 5
    return np.where(x >= SOLID, x - SOLID, x - 1 & 31)


def ranges(x: NDArray[np.integer]) -> Ints:
    """Which range of shades grey levels above 0 are in: 0..7, 8 if solid."""
    return np.where(x >= SOLID, LEVELS, x.astype(np.int64) - 1 >> 5)


def _window(up: int, down: int, side: int, causal: bool) -> Ints:
    """Places around a pixel, row by row, as distances in a padded tile; if ``causal``, those of earlier steps."""
    around = [(dy, dx) for dy in range(-up, down + 1) for dx in range(-side, side + 1) if (dy, dx) != (0, 0)]
    return np.array([dy * STRIDE + dx for dy, dx in around if not causal or dx + SLOPE * dy < 0], np.int64)


WIDE = _window(8, 0, 7, causal=True)  # (122,)
NEAR = _window(5, 3, 5, causal=False)  # (98,)
BEFORE = _window(5, 3, 5, causal=True)


@dataclass(frozen=True)
class View:
    """How a pixel sees others: which plane of theirs, and where they are."""

    plane: Plane
    window: Ints


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


def input_peaks(plane: Plane) -> NDArray[np.float32]:
    """The largest magnitude of each number that the network of a plane is given, the range of shades at the end: (inputs,)."""
    peaks = [np.full(len(view.window), PEAKS[view.plane]) for view in VIEWS[plane]]
    return np.concatenate([*peaks, np.ones(RANGES if plane is Plane.SHADE else 0)]).astype(np.float32)


ROW, COLUMN = np.divmod(np.arange(PIXELS), TILE)
STEP = COLUMN + SLOPE * ROW  # of each pixel, (784,)
ORDER = np.lexsort((ROW, STEP))  # pixels in coding order
PLACE = (ROW + PAD) * STRIDE + COLUMN + PAD  # of each pixel in a padded tile


def chosen(plane: Plane, grey: Pixels, inside: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Tile and pixel of all that have a symbol in a plane, tile by tile in coding order.

    Args:
        grey: of tiles, shape ``(N, 784)``, with as much of each grey level as earlier planes tell.
        inside: pixels that the image covers, shape ``(N, 784)``.
    """
    which = inside
    if plane is not Plane.INK:
        which = grey > 0
    if plane is Plane.LEVEL:
        which = which & (grey < SOLID)
    tile, number = np.nonzero(which[:, ORDER])
    return tile, ORDER[number]
