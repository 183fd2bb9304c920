"""Search for a black and white bitmap that gives a digit exactly, see :mod:`mnistzip.models.bitmap.resampling`.

Candidates are tried in a fixed order: sides of the square, the place of the digit in 28x28 pixels, and its largest sum, which
grey 255 stands for. Almost all wrong ones fall in the first few cells, as no counts of their blocks give the grey level. For
one that remains, the constraints on counts are propagated, the counts of cells that are not settled are tried, and the ink is
placed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from mnistzip.engines.reference.bitmap_counts import Blocks, Counts, blocks_of, bounds, can_sum, halves
from mnistzip.engines.reference.bitmap_ink import cut, place, ranked, scores
from mnistzip.models.bitmap.resampling import (
    BITMAP_SIDE_MAX,
    BITMAP_SIDE_MIN,
    SIZE,
    Bitmap,
    grey_levels,
    is_valid,
    position,
    shares,
    square_of,
)
from mnistzip.tiling import TILE
from mnistzip.types import Integers, Pixels

_BRIGHTEST = 254  # the largest grey level of a digit is at least this
_SUMS = 8  # largest sums that are tried for a side and a place
_APART = 64  # sums that are nearer than this count as one
_STEPS = 256  # tries of counts in the search for a digit


def find_bitmaps(x: Pixels) -> list[Bitmap | None]:
    """For each digit ``(N, 28, 28)`` a bitmap that it follows from exactly; None if the search finds none."""
    return [_find_bitmap(digit.astype(np.int64)) for digit in x]


def _find_bitmap(x: Integers) -> Bitmap | None:
    if x.max() < _BRIGHTEST:
        return None
    (height, rows), (width, columns) = _places(x.max(axis=1)), _places(x.max(axis=0))
    if max(height, width) != SIZE:
        return None
    digits = [x[row : row + SIZE, column : column + SIZE] for row in rows for column in columns if _is_place(x, row, column)]
    steps = iter(range(_STEPS))
    for part in (False, True):
        for side in range(BITMAP_SIDE_MIN, BITMAP_SIDE_MAX + 1):
            for digit in digits:
                bitmap = _find_of_side(digit, blocks_of(side), part, steps)
                if bitmap is not None:
                    return bitmap
    return None


def _places(grey: Integers) -> tuple[int, list[int]]:
    """How far ink reaches along a side, and where a digit may begin so that it is in the middle, up to half a cell."""
    first, last = np.flatnonzero(grey)[[0, -1]].tolist()
    highest, lowest = (first + last + 2) // 2 - SIZE // 2, (first + last + 1) // 2 - SIZE // 2
    return last - first + 1, list(range(min(highest, TILE - SIZE), max(lowest, 0) - 1, -1))


def _is_place(x: Integers, row: int, column: int) -> bool:
    """Whether the centre of mass is where MNIST puts it."""
    return position(x[row : row + SIZE, column : column + SIZE]) == (row, column)


def _find_of_side(digit: Integers, blocks: Blocks, part: bool, steps: Iterator[int]) -> Bitmap | None:
    """Try the largest sums of a side and a place."""
    cells, most = _by_contrast(digit), np.array([*islice(_largest_sums(digit.ravel(), blocks, part), _SUMS)], np.int64)
    low, high = bounds(digit.ravel(), most[:, None])
    possible = np.arange(len(most))
    for cell in cells:
        if not len(possible):
            return None
        possible = possible[can_sum(blocks.side, cell, low[possible, cell], high[possible, cell])]
    for k in possible:
        bitmap = _solve(digit, blocks, Counts(blocks, digit.ravel(), low[k], high[k]), steps)
        if bitmap is not None:
            return bitmap
    return None


def _largest_sums(digit: Integers, blocks: Blocks, part: bool) -> Iterator[int]:
    """Sums of the brightest cells, from the largest down: if all their pixels are ink, or some.

    Those of some pixels are from 3/4 of the whole, in the cell that has the smallest sum as a whole.
    """
    brightest = np.flatnonzero(digit == digit.max())
    sums = blocks.full[brightest]
    if part:
        whole = int(sums.min())
        one, other = halves(blocks.side, int(brightest[sums.argmin()]))
        sums = np.add.outer(one, other).ravel()
        sums = sums[(sums >= whole // 4 * 3) & (sums <= whole - _APART)]
    while len(sums):
        largest = int(sums.max())
        yield largest
        sums = sums[sums <= largest - _APART]


def _by_contrast(digit: Integers) -> list[int]:
    """The cells that are not blank, those nearest to black or white first: few counts give their grey levels."""
    grey = digit.ravel()
    order = np.argsort(np.minimum(grey, 255 - grey), kind="stable")
    cells: list[int] = order[grey[order] > 0].tolist()
    return cells


def _solve(digit: Integers, blocks: Blocks, counts: Counts, steps: Iterator[int]) -> Bitmap | None:
    """Search for counts that give a bitmap: in depth, the cell first whose bounds leave the fewest counts."""
    possible, score = counts.propagate(_by_contrast(digit)), scores(digit, blocks.side)
    levels: list[tuple[int, Iterator[tuple[Integers, Integers]]]] = []
    while True:
        cell = counts.smallest_open() if possible else None
        if cell is not None:
            levels.append((counts.changes, _tries(counts, blocks, score, cell)))
        elif possible:
            bitmap = cut(place(score, blocks, counts.least))
            if is_valid(bitmap) and np.array_equal(grey_levels(shares(square_of(bitmap))), digit):
                return bitmap
        if not levels or next(steps, None) is None:
            return None
        changes, tries = levels[-1]
        counts.undo(changes)
        following = next(tries, None)
        possible = following is not None and counts.settle(*following)
        if following is None:
            levels.pop()


def _tries(counts: Counts, blocks: Blocks, score: Integers, cell: int) -> Iterator[tuple[Integers, Integers]]:
    """The blocks of a cell that are not settled, and their counts, those first whose ink has the highest score."""
    unsettled, possible = counts.possible(cell)
    gain = np.zeros(len(possible), np.int64)
    for block, count in zip(unsettled, possible.T, strict=True):
        gain += np.append(0, np.cumsum(score[ranked(score, blocks.pixels(int(block)))]))[count]
    for k in np.argsort(-gain, kind="stable"):
        yield unsettled, possible[k]
