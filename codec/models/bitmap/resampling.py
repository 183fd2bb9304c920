"""How MNIST's digits were made from black and white bitmaps: an exact reconstruction, bit for bit.

::

    bitmap  (h, w)      black and white; its longer side is m
    |  in the middle of m x m pixels, along its shorter side
    |  area averaging to 20 x 20, in float32
    v
    total   (20, 20)    share of each cell that is ink
    |  multiplied so that the largest is 255, then rounded towards 128
    v
    digit   (20, 20)    grey levels
    |  centre of mass to the middle
    v
    x       (28, 28)

All arithmetic is that of IEEE 754 in single precision, operation by operation, so every machine gets the same grey levels.
FORMAT.md, section 14, specifies it.

Sources: Yadav and Bottou 2019, arXiv 1905.10498 (area averaging with cells of 0.99 of their size, found by the authors of
QMNIST). The order of operations, the rounding and the position were found by comparison with the training digits, of which
99% follow from a bitmap exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from mnistzip.tiling import TILE
from mnistzip.types import Bools, Floats, Integers, Pixels

SIZE = 20  # of the digit before it is centred
BITMAP_SIDE_MIN, BITMAP_SIDE_MAX = SIZE, 128  # of the longer side of a bitmap
SHIFT_MIN, SHIFT_MAX = -8, 7  # of a bitmap from the middle of its square
_PART = 0.99  # of its size that a pixel covers
_MIDDLE = 128  # grey level that others are rounded towards


class Bitmap(NamedTuple):
    """A black and white digit.

    Attributes:
        ink: ``(h, w)``; the longer side has :data:`BITMAP_SIDE_MIN` to :data:`BITMAP_SIDE_MAX` pixels, the shorter one is cut
            to the ink.
        shift: pixels from the middle of the square, along the shorter side, :data:`SHIFT_MIN` to :data:`SHIFT_MAX`.
    """

    ink: Bools
    shift: int

    @property
    def side(self) -> int:
        """The longer side."""
        return max(self.ink.shape)


class Cover(NamedTuple):
    """What 20 cells in a line cover of m pixels.

    Attributes:
        first: the first pixel of each cell, shape ``(20,)``.
        share: of each cell that its pixels cover, 0 behind the last one, float32 ``(20, k)``.
    """

    first: Integers
    share: Floats


@cache
def cover(side: int) -> Cover:
    """The cells of a square of ``side`` pixels; rows and columns are alike."""
    cells: list[list[tuple[int, np.float32]]] = [[] for _ in range(SIZE)]
    step, middle = np.float32(SIZE) / np.float32(side), np.float32(side / 2)
    for pixel in range(side):
        start = np.float32(SIZE // 2) + step * (np.float32(pixel) - middle)
        end = np.float32(float(start) + _PART * float(step))  # in double precision, then rounded
        low, high = int(start), int(end)
        if low == high:
            cells[low].append((pixel, step))
        else:
            cells[low].append((pixel, np.float32(low + 1) - start))
            cells[high].append((pixel, end - np.float32(high)))
    share = np.zeros((SIZE, max(map(len, cells))), np.float32)
    for cell, of_cell in enumerate(cells):
        share[cell, : len(of_cell)] = [part for _, part in of_cell]
    return Cover(np.array([of_cell[0][0] for of_cell in cells]), share)


def origin(shape: tuple[int, int], shift: int) -> tuple[int, int]:
    """Row and column of a bitmap ``(h, w)`` in its square."""
    height, width = shape
    side = max(shape)
    down, right = (side - height) // 2, (side - width) // 2
    return (down, right + shift) if height == side else (down + shift, right)


def square_of(bitmap: Bitmap) -> Bools:
    """The bitmap in its square, ``(m, m)``; what the shift moves beyond it is cut off."""
    side, (height, width) = bitmap.side, bitmap.ink.shape
    square = np.zeros((side, side), bool)
    top, left = origin((height, width), bitmap.shift)
    up, back = max(-top, 0), max(-left, 0)
    part = bitmap.ink[up : side - top, back : side - left]
    square[top + up : top + up + part.shape[0], left + back : left + back + part.shape[1]] = part
    return square


def shares(square: Bools) -> Floats:
    """The share of each of 20 x 20 cells that is ink, float32: each sum goes through the pixels row by row."""
    first, share = cover(len(square))
    margin = share.shape[1]
    padded = np.pad(square, (0, margin))
    rows, columns = (first[:, None] + np.arange(margin) for _ in range(2))
    total = np.zeros((SIZE, SIZE), np.float32)
    for k in range(margin):
        for n in range(margin):
            area = share[:, None, k] * share[None, :, n]
            total += np.where(padded[rows[:, None, k], columns[None, :, n]], area, np.float32(0))
    return total


def grey_levels(total: Floats) -> Integers:
    """Shares of ink to grey levels, of which the largest is 254 or 255; all 0 if there is no ink."""
    most = total.max()
    if not most:
        return np.zeros(total.shape, np.int64)
    scaled = total * (np.float32(255) / most) - np.float32(_MIDDLE)
    return np.trunc(scaled).astype(np.int64).clip(-_MIDDLE, 255 - _MIDDLE) + _MIDDLE


def position(digit: Integers) -> tuple[int, int]:
    """Row and column of a digit ``(20, 20)`` in 28 x 28 pixels, so that its centre of mass is in pixel 14, from 14 to 15."""
    mass = int(digit.sum())
    if not mass:
        return 0, 0
    twice = 2 * np.arange(SIZE) + 1
    row, column = ((30 * mass - int(digit.sum(axis=axis) @ twice)) // (2 * mass) for axis in (1, 0))
    return min(max(row, 0), TILE - SIZE), min(max(column, 0), TILE - SIZE)


def digit_of(bitmap: Bitmap) -> Pixels:
    """The digit that MNIST would have made of a bitmap, uint8 ``(28, 28)``."""
    digit = grey_levels(shares(square_of(bitmap)))
    row, column = position(digit)
    x = np.zeros((TILE, TILE), np.uint8)
    x[row : row + SIZE, column : column + SIZE] = digit
    return x


def digits_of(bitmaps: Sequence[Bitmap]) -> Pixels:
    """The digits of several bitmaps, ``(N, 28, 28)``.

    Raises:
        ValueError: a side or a shift is out of its range.
    """
    for bitmap in bitmaps:
        require_valid(bitmap)
    return np.array([digit_of(bitmap) for bitmap in bitmaps], np.uint8).reshape(-1, TILE, TILE)


def is_valid(bitmap: Bitmap) -> bool:
    """Whether sides and shift are within their ranges."""
    sides = BITMAP_SIDE_MIN <= bitmap.side <= BITMAP_SIDE_MAX and min(bitmap.ink.shape) > 0
    return sides and SHIFT_MIN <= bitmap.shift <= SHIFT_MAX


def require_valid(bitmap: Bitmap) -> None:
    """Raise ValueError unless sides and shift are within their ranges."""
    if not is_valid(bitmap):
        raise ValueError(f"a bitmap of {bitmap.ink.shape} pixels, moved by {bitmap.shift}, gives no digit")
