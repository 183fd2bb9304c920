"""What pixels see of others, gathered fast: the inputs of the networks of :mod:`mnistzip.models.pixel.pixel_model`.

The four numbers by which other planes know a pixel (see :mod:`mnistzip.models.pixel.planes`) lie side by side, so that one
read fetches all.
Ink is kept once more as bits, the neighbours in a row together, as most pixels see nothing else. What a pixel must not see
yet is fetched too, and meets weights of zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzip.models.pixel.planes import NEAR, PAD, PLACE, SEEN_AS, STRIDE, VIEWS, WIDE, Plane
from mnistzip.tiling import TILE
from mnistzip.types import Floats, Pixels

REACH = 7  # columns of ink to either side of a pixel
ROWS = 9  # of ink: a pixel's own and those above
SIDE = 2 * REACH + 1

Ints = NDArray[np.int64]

_UP = np.arange(ROWS) * STRIDE  # to the rows above
_WINDOW_BITS = np.zeros(ROWS, "<u2")  # of the ink that a pixel may see
for _distance in WIDE.tolist():
    _row, _column = divmod(-_distance + REACH, STRIDE)  # how far up, and how far from the rightmost bit
    _WINDOW_BITS[_row] |= 1 << 2 * REACH - _column


def inputs_of(plane: Plane) -> Ints:
    """Where the inputs of a plane's network, in the order of its weights, lie in what :class:`Contexts` gives: (inputs,)."""
    if plane is Plane.INK:
        row, column = np.divmod(-WIDE + REACH, STRIDE)
        return row * 16 + 2 * REACH - column
    width = plane + 1
    found = [np.searchsorted(NEAR, view.window) * width + view.plane for view in VIEWS[plane]]
    return np.concatenate(found)


def size_of(plane: Plane) -> int:
    """How many inputs :class:`Contexts` gives for each pixel."""
    return ROWS * 16 if plane is Plane.INK else len(NEAR) * (plane + 1)


class Contexts:
    """What is known of the pixels of some tiles."""

    def __init__(self, tiles: int) -> None:
        self._known = np.zeros((tiles * STRIDE**2, len(Plane)), np.int8)
        self._ink = np.zeros(tiles * STRIDE**2, "<u2")  # bit k: ink at k - 7 columns to the right

    @classmethod
    def of(cls, grey: Pixels) -> Contexts:
        """Whole tiles, shape ``(N, 784)``."""
        out = cls(len(grey))
        padded = np.pad(grey.reshape(-1, TILE, TILE), ((0, 0), (PAD, PAD), (PAD, PAD))).reshape(-1)
        for plane in Plane:
            out._known[:, plane] = SEEN_AS[plane].take(padded)
        ink = (padded > 0).astype("<u2")
        for bit in range(SIDE):
            shift = bit - REACH
            into, given = slice(max(0, -shift), len(ink) - max(0, shift)), slice(max(0, shift), len(ink) - max(0, -shift))
            out._ink[into] |= ink[given] << bit
        return out

    def tell(self, plane: Plane, at: Ints, grey: Pixels) -> None:
        """Let others see pixels of which all planes up to this one are known; no two of them in the same row of a tile."""
        self._known[at, plane] = SEEN_AS[plane][grey]
        if plane is Plane.INK and (inked := at[grey > 0]).size:
            for bit in range(SIDE):
                self._ink[inked + REACH - bit] |= np.array(1 << bit, "<u2")

    def tell_solid(self, at: Ints, level: int) -> None:
        """Let others see the level of pixels whose level is not coded."""
        self._known[at, Plane.LEVEL] = level

    def ink_above(self, at: Ints) -> NDArray[np.uint16]:
        """The ink that pixels see, row by row upwards, as bits: (n, 9)."""
        ink: NDArray[np.uint16] = self._ink.take(at[:, None] - _UP)
        ink &= _WINDOW_BITS
        return ink

    def near(self, plane: Plane, at: Ints) -> Floats:
        """What pixels see in planes after the first, for which there is :meth:`ink_above`: (n, inputs)."""
        packed = self._known.view(np.int32)[:, 0].take(at[:, None] + NEAR)
        known = packed.view(np.int8).reshape(len(at), len(NEAR), len(Plane))
        return known[:, :, : plane + 1].astype(np.float32).reshape(len(at), -1)


def bits_to_inputs(ink: NDArray[np.uint16]) -> Floats:
    """Bits of ink, (n, 9), as numbers: (n, 144)."""
    return np.unpackbits(ink.view(np.uint8), axis=1, bitorder="little").astype(np.float32)


def places(tile: Ints, pixel: Ints) -> Ints:
    """Where pixels of tiles lie among the known."""
    return tile * STRIDE**2 + PLACE[pixel]
