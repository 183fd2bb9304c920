"""What pixels see of others, gathered fast: the inputs of the networks of :mod:`mnistzip.models.pixel.pixel_model`.

The four numbers that other pixels see of a pixel (one for each plane of :mod:`mnistzip.models.pixel.planes`) are next to each
other in memory, so that one read fetches all. Ink is also kept as bits, those of neighbours in a row in one word, as most
pixels see nothing else. What a pixel must not see yet is fetched, too, and meets weights of zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzip.models.pixel.planes import NEAR, PAD, PADDED_INDEX, SEEN_AS, STRIDE, VIEWS, WIDE, Plane
from mnistzip.tiling import TILE
from mnistzip.types import Floats, Integers, Pixels

REACH = 7  # columns of ink to either side of a pixel
ROWS = 9  # of ink: the row of a pixel and those above
SIDE = 2 * REACH + 1

_UP = np.arange(ROWS) * STRIDE  # distances to the rows above
_WINDOW_BITS = np.zeros(ROWS, "<u2")  # of the ink that a pixel may see
for _distance in WIDE.tolist():
    _row, _column = divmod(-_distance + REACH, STRIDE)  # how far up, and how far from the rightmost bit
    _WINDOW_BITS[_row] |= 1 << 2 * REACH - _column


def inputs_of(plane: Plane) -> Integers:
    """The index in what :class:`Contexts` gives of each input of a plane's network, in the order of its weights: (inputs,)."""
    if plane is Plane.INK:
        row, column = np.divmod(-WIDE + REACH, STRIDE)
        return row * 16 + 2 * REACH - column
    width = plane + 1
    return np.concatenate([np.searchsorted(NEAR, view.window) * width + view.plane for view in VIEWS[plane]])


def size_of(plane: Plane) -> int:
    """The number of inputs that :class:`Contexts` gives for each pixel."""
    return ROWS * 16 if plane is Plane.INK else len(NEAR) * (plane + 1)


class Contexts:
    """What pixels of some tiles see of each other; pixels are addressed by :func:`padded_index`."""

    def __init__(self, tiles: int) -> None:
        self._seen = np.zeros((tiles * STRIDE**2, len(Plane)), np.int8)
        self._ink = np.zeros(tiles * STRIDE**2, "<u2")  # bit k: ink at k - 7 columns to the right

    @classmethod
    def of(cls, grey: Pixels) -> Contexts:
        """Whole tiles, shape ``(N, 784)``."""
        out = cls(len(grey))
        padded = np.pad(grey.reshape(-1, TILE, TILE), ((0, 0), (PAD, PAD), (PAD, PAD))).reshape(-1)
        for plane in Plane:
            out._seen[:, plane] = SEEN_AS[plane].take(padded)
        ink = (padded > 0).astype("<u2")
        for bit in range(SIDE):
            shift = bit - REACH
            target, source = slice(max(0, -shift), len(ink) - max(0, shift)), slice(max(0, shift), len(ink) - max(0, -shift))
            out._ink[target] |= ink[source] << bit
        return out

    def update(self, plane: Plane, index: Integers, grey: Pixels) -> None:
        """Let others see pixels whose planes up to this one are decoded; no two of them are in the same row of a tile."""
        self._seen[index, plane] = SEEN_AS[plane][grey]
        if plane is Plane.INK and (inked := index[grey > 0]).size:
            for bit in range(SIDE):
                self._ink[inked + REACH - bit] |= np.array(1 << bit, "<u2")

    def set_level(self, index: Integers, level: int) -> None:
        """Let others see the level of solid pixels, which is not coded."""
        self._seen[index, Plane.LEVEL] = level

    def ink_above(self, index: Integers) -> NDArray[np.uint16]:
        """The ink that pixels see, row by row upwards, as bits: (n, 9)."""
        ink: NDArray[np.uint16] = self._ink.take(index[:, None] - _UP)
        ink &= _WINDOW_BITS
        return ink

    def near(self, plane: Plane, index: Integers) -> Floats:
        """What pixels see in planes after the first, for which there is :meth:`ink_above`: (n, inputs)."""
        packed = self._seen.view(np.int32)[:, 0].take(index[:, None] + NEAR)
        seen = packed.view(np.int8).reshape(len(index), len(NEAR), len(Plane))
        return seen[:, :, : plane + 1].astype(np.float32).reshape(len(index), -1)


def bits_to_inputs(ink: NDArray[np.uint16]) -> Floats:
    """Bits of ink, (n, 9), as numbers: (n, 144)."""
    return np.unpackbits(ink.view(np.uint8), axis=1, bitorder="little").astype(np.float32)


def padded_index(tile: Integers, pixel: Integers) -> Integers:
    """The index of pixels among all pixels of padded tiles."""
    return tile * STRIDE**2 + PADDED_INDEX[pixel]
