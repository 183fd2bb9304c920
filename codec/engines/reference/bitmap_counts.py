"""Counts of ink in the blocks of a bitmap: what the grey levels of a digit say about them.

A pixel lies within one cell of the digit, or is split between two neighbours along each side. The lines of a bitmap therefore
fall into strips: the lines within a cell, which all have the same share of it, and the line that is split between two cells.
Strips of rows and of columns cut the bitmap into blocks of pixels that count alike, 9 for each cell. A cell says only how many
pixels of its blocks are ink::

    low <= sum of weight * count <= high

Weights are integers, so all of this is exact. Arrays of blocks have the shape ``(1681,)``, those of cells ``(400,)``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from mnistzip.models.bitmap.resampling import SIZE, cover
from mnistzip.types import Bools, Integers

CELLS = SIZE**2
STRIPS = 2 * SIZE + 1  # those of cell i are 2 i, 2 i + 1 and 2 i + 2
BLOCKS = STRIPS**2
_SHARE_BITS, _WEIGHT_BITS = 26, 29  # of the fractions; all shares are multiples of 1 / 2^26
_TOLERANCE_BITS = 19  # a sum of shares in float differs from the exact one by less than the largest sum / 2^19
_ROW = np.array([1, 0, 1, 1, 2, 0, 0, 2, 2])  # of the blocks of a cell: its middle, its sides, its corners
_COLUMN = np.array([1, 1, 0, 2, 1, 0, 2, 0, 2])
_CELL_ROW, _CELL_COLUMN = np.divmod(np.arange(CELLS)[:, None], SIZE)
_BEYOND = 1 << 40  # all sums

BLOCKS_OF_CELL: Integers = (2 * _CELL_ROW + _ROW) * STRIPS + 2 * _CELL_COLUMN + _COLUMN  # (400, 9)
CELLS_OF_BLOCK: list[list[int]] = [np.argwhere(block == BLOCKS_OF_CELL)[:, 0].tolist() for block in range(BLOCKS)]


class Blocks(NamedTuple):
    """The blocks of a bitmap of ``side`` pixels.

    Attributes:
        edges: the first line of each strip, and the end, ``(42,)``.
        size: pixels of each block.
        weight: of the pixels of each block of a cell, ``(400, 9)``.
        full: the sum of each cell whose pixels are all ink.
    """

    side: int
    edges: Integers
    size: Integers
    weight: Integers
    full: Integers

    def pixels(self, block: int) -> Integers:
        """The pixels of a block, row by row, as indices into the square."""
        row, column = divmod(block, STRIPS)
        rows, columns = (np.arange(self.edges[strip], self.edges[strip + 1]) for strip in (row, column))
        return (rows[:, None] * self.side + columns).ravel()


@cache
def blocks_of(side: int) -> Blocks:
    """The blocks of a square of ``side`` pixels."""
    first, share = cover(side)
    cell, last = np.arange(SIZE), (share > 0).sum(axis=1) - 1
    above = np.append(0, first[1:] == (first + last)[:-1])  # whether the first pixel is split
    below = np.append(above[1:], 0)
    edges = np.append(np.stack([first, first + above], axis=1), [side, side])
    lines = np.diff(edges)
    size = np.outer(lines, lines).ravel()

    exact = (share.astype(np.float64) * (1 << _SHARE_BITS)).astype(np.int64)
    strips = np.stack([above * exact[cell, 0], exact[cell, above], below * exact[cell, last]], axis=1)
    weight = strips[_CELL_ROW, _ROW] * strips[_CELL_COLUMN, _COLUMN] >> 2 * _SHARE_BITS - _WEIGHT_BITS
    return Blocks(side, edges, size, weight, (weight * size[BLOCKS_OF_CELL]).sum(axis=1))


@lru_cache(1 << 10)
def halves(side: int, cell: int) -> tuple[Integers, Integers]:
    """The sums that the middle and the corners of a cell may have, and those of its sides; each in rising order."""
    blocks, sums = blocks_of(side), []
    weight, size = blocks.weight[cell], blocks.size[BLOCKS_OF_CELL[cell]].tolist()
    for half in ([0, 5, 6, 7, 8], [1, 2, 3, 4]):
        of_half = np.zeros(1, np.int64)
        for k in half:
            if size[k]:
                of_half = (of_half[:, None] + weight[k] * np.arange(size[k] + 1)).ravel()
        sums.append(np.unique(of_half))
    return sums[0], sums[1]


def can_sum(side: int, cell: int, low: Integers, high: Integers) -> Bools:
    """Whether counts of a cell have a sum from ``low`` to ``high``, for each of several bounds ``(n,)``."""
    one, other = halves(side, cell)
    smallest = np.searchsorted(other, low[:, None] - one)  # which added to that of the other half is not below low
    sums = one + np.append(other, _BEYOND)[smallest]
    return (sums <= high[:, None]).any(axis=1)


def bounds(digit: Integers, most: Integers) -> tuple[Integers, Integers]:
    """The least and the largest sum of each cell that is not blank, if the largest sum of all is ``most``.

    Args:
        digit: grey levels, ``(400,)``.
        most: several of them, ``(n, 1)``.

    Returns:
        Shape ``(n, 400)`` each.
    """
    low = np.select([digit < 128, digit == 128], [digit - 1, 127], digit)
    high = np.select([digit < 128, digit == 128, digit == 255], [digit, 129, 255], digit + 1)
    tolerance = most >> _TOLERANCE_BITS
    return np.maximum(low * most // 255 - tolerance, 1), high * most // 255 + tolerance


def possible_counts(weight: Integers, free: Integers, low: int, high: int) -> Integers:
    """All counts from 0 to ``free`` whose weights sum to ``low`` to ``high``, in lexicographic order.

    Args:
        weight, free: of n blocks.

    Returns:
        Shape ``(k, n)``.
    """
    rest = np.append(np.cumsum((weight * free)[::-1])[::-1], 0)
    sums, counts = np.zeros(1, np.int64), np.zeros((1, 0), np.int64)
    for k, number in enumerate(free):
        longer = sums[:, None] + weight[k] * np.arange(number + 1)
        which, count = ((longer <= high) & (longer + rest[k + 1] >= low)).nonzero()
        sums, counts = longer[which, count], np.column_stack([counts[which], count])
    return counts[(sums >= low) & (sums <= high)]


class Counts:
    """What is known of the counts of all blocks.

    Args:
        blocks: of the bitmap.
        digit: grey levels, ``(400,)``.
        low, high: bounds of the sum of each cell that is not blank.

    Attributes:
        least, most: bounds of each count.
    """

    def __init__(self, blocks: Blocks, digit: Integers, low: Integers, high: Integers) -> None:
        self._weight, self._low, self._high = blocks.weight, low, high
        self.least, self.most = np.zeros(BLOCKS, np.int64), blocks.size.copy()
        blank = (digit == 0)[:, None] & (blocks.weight > 0)  # pixels of a smaller weight leave a cell blank
        self.most[BLOCKS_OF_CELL[blank]] = 0
        self._blank = digit == 0
        self._changes: list[tuple[int, int, int]] = []

    @property
    def changes(self) -> int:
        """The number of changes of bounds."""
        return len(self._changes)

    def undo(self, changes: int) -> None:
        """Undo all changes but the first ones."""
        while len(self._changes) > changes:
            block, self.least[block], self.most[block] = self._changes.pop()

    def smallest_open(self) -> int | None:
        """The cell whose bounds leave the fewest counts, the first of them; None if all are settled."""
        values = (self.most - self.least + 1)[BLOCKS_OF_CELL].prod(axis=1)
        values[self._blank | (values == 1)] = np.iinfo(np.int64).max
        cell = int(values.argmin())
        return cell if values[cell] < np.iinfo(np.int64).max else None

    def possible(self, cell: int) -> tuple[Integers, Integers]:
        """The blocks of a cell that are not settled, and their possible counts ``(k, blocks)``, in lexicographic order."""
        blocks = BLOCKS_OF_CELL[cell]
        least, weight = self.least[blocks], self._weight[cell]
        known = int(weight @ least)
        unsettled = self.most[blocks] > least
        free = (self.most[blocks] - least)[unsettled]
        counts = possible_counts(weight[unsettled], free, int(self._low[cell]) - known, int(self._high[cell]) - known)
        return blocks[unsettled], counts + least[unsettled]

    def settle(self, blocks: Integers, counts: Integers) -> bool:
        """Set counts of blocks, and propagate them. Returns whether this is possible."""
        return self.propagate(self._narrow(blocks, counts, counts))

    def propagate(self, cells: Iterable[int]) -> bool:
        """Narrow counts until no cell excludes any more, given the cells to begin with. Returns whether all are possible."""
        queue = deque(cells)
        waiting = set(queue)
        while queue:
            cell = queue.popleft()
            waiting.remove(cell)
            blocks, counts = self.possible(cell)
            if not len(counts):
                return False
            for other in self._narrow(blocks, counts.min(axis=0), counts.max(axis=0)):
                if other not in waiting:
                    waiting.add(other)
                    queue.append(other)
        return True

    def _narrow(self, blocks: Integers, least: Integers, most: Integers) -> list[int]:
        """Narrow the counts of blocks. Returns the cells, not blank, that they belong to."""
        cells: set[int] = set()
        for block, low, high in zip(blocks.tolist(), least.tolist(), most.tolist(), strict=True):
            if (self.least[block], self.most[block]) != (low, high):
                self._changes.append((block, int(self.least[block]), int(self.most[block])))
                self.least[block], self.most[block] = low, high
                cells.update(CELLS_OF_BLOCK[block])
        return [cell for cell in sorted(cells) if not self._blank[cell]]
