"""Where the ink of a bitmap lies within its blocks: guesses by grey levels, which are then made smooth."""

from __future__ import annotations

import numpy as np

from mnistzip.engines.reference.bitmap_counts import Blocks
from mnistzip.models.bitmap.resampling import SIZE, Bitmap
from mnistzip.types import Bools, Integers

_PASSES = 8  # of smoothing
_STRAIGHT, _DIAGONAL = 2, 1  # weights of neighbours
_AROUND = np.array([[_DIAGONAL, _STRAIGHT, _DIAGONAL], [_STRAIGHT, 0, _STRAIGHT], [_DIAGONAL, _STRAIGHT, _DIAGONAL]])


def scores(digit: Integers, side: int) -> Integers:
    """How likely each pixel is ink: the grey level between the centres of four cells, less the middle.

    Args:
        digit: grey levels ``(20, 20)``.

    Returns:
        Shape ``(side * side,)``, in units of 1 / (2 side)^2 grey levels.
    """
    unit = 2 * side
    cell, part = np.divmod((2 * np.arange(side) + 1) * SIZE + side, unit)  # from the centre of the cell before the first
    grey = np.pad(digit, 1)
    rows = (unit - part)[:, None] * grey[cell] + part[:, None] * grey[cell + 1]
    score: Integers = (unit - part) * rows[:, cell] + part * rows[:, cell + 1] - unit**2 // 2 * 255
    return score.ravel()


def ranked(score: Integers, pixels: Integers) -> Integers:
    """Pixels of a block, those first that are most likely ink."""
    return pixels[np.argsort(-score[pixels], kind="stable")]


def place(score: Integers, blocks: Blocks, counts: Integers) -> Bools:
    """The square ``(m, m)`` that has so much ink in each block."""
    ink = np.zeros(blocks.side**2, bool)
    for block in counts.nonzero()[0].tolist():
        ink[ranked(score, blocks.pixels(block))[: counts[block]]] = True
    square = np.pad(ink.reshape(blocks.side, blocks.side), 1)
    mixed = [ranked(score, blocks.pixels(block)) for block in ((counts > 0) & (counts < blocks.size)).nonzero()[0].tolist()]
    positions = [np.stack(np.divmod(pixels, blocks.side), axis=1) + 1 for pixels in mixed]
    for _ in range(_PASSES):
        if not sum([_swap_one(square, pixels) for pixels in positions]):
            break
    return square[1:-1, 1:-1]


def _swap_one(square: Bools, pixels: Integers) -> bool:
    """Swap ink and white within a block where this lowers the number of unequal neighbours most.

    Args:
        square: with a margin of one pixel.
        pixels: row and column in it of the pixels of the block, ``(n, 2)``.

    Returns:
        Whether any were swapped.
    """
    ink = square[pixels[:, 0], pixels[:, 1]]
    around = np.array([int((square[y - 1 : y + 2, x - 1 : x + 2] * _AROUND).sum()) for y, x in pixels])
    distance = ((pixels[:, None] - pixels) ** 2).sum(axis=2)
    between = np.select([distance == 1, distance == 2], [_STRAIGHT, _DIAGONAL], 0)
    gain = np.where(ink[:, None] & ~ink, around - around[:, None] - between, 0)
    black, white = np.unravel_index(gain.argmax(), gain.shape)
    if not gain[black, white] > 0:
        return False
    square[tuple(pixels[black])], square[tuple(pixels[white])] = False, True
    return True


def cut(square: Bools) -> Bitmap:
    """Cut a square along its shorter side."""
    side = len(square)
    (top, bottom), (left, right) = (np.flatnonzero(square.any(axis=axis))[[0, -1]].tolist() for axis in (1, 0))
    height, width = bottom - top + 1, right - left + 1
    if height >= width:
        return Bitmap(square[:, left : right + 1].copy(), left - (side - width) // 2)
    return Bitmap(square[top : bottom + 1].copy(), top - (side - height) // 2)
