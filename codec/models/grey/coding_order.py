"""The order in which the positions of a latent of any size are coded: coarse to fine.

First the positions on a grid of 16 x 16 are coded. Then the grid is refined four times, each time in two rounds: the middles of
its squares, then the middles between all positions known so far. The positions of a :class:`Step` do not see each other, so
they are coded side by side. Each sees up to 12 known positions around it.

::

    grid of 2:   a . a . a        a: known before
                 . b . b .        b: middles of squares; each sees 12 of the 16 nearest a
                 a . a . a        then the dots: each sees the 12 nearest a and b at odd distances
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from mnistzip.types import Floats

GRIDS = (16, 8, 4, 2)  # distances of the known positions before each refinement
SQUARE = tuple((r, c) for r in range(-1, 3) for c in range(-1, 3) if {r, c} & {0, 1})  # around the middle of a square
CROSS = tuple((r, c) for r in range(-2, 3) for c in range(-2, 3) if (r + c) % 2)  # at odd distances
TAPS = len(SQUARE)
REACH = 2  # the largest distance of a neighbour, in grids
STEP_TABLES = 1 + 2 * len(GRIDS)  # kinds of steps with a bias of their own


@dataclass(frozen=True)
class Step:
    """Positions that are coded side by side: ``rows`` by ``columns``.

    Attributes:
        table: the kind of step, 0 to 8: the index of its biases.
        grid: distance of the positions among which its neighbours lie.
        neighbours: their distances in grids; empty for the first step.
        row, column: the first position, in grids; rounded down for the middles of squares.
        stride: from a position to the next, in grids.
        rows, columns: slices of the latent.
    """

    table: int
    grid: int
    neighbours: Sequence[tuple[int, int]]
    row: int
    column: int
    stride: int
    rows: slice
    columns: slice

    def gather(self, x: Floats) -> Floats:
        """What each position sees: (N, h, w, C) -> (N, rows, columns, 12 * C). Positions outside the latent are 0."""
        known = x[:, :: self.grid, :: self.grid]
        n, height, width, channels = known.shape
        padded = np.zeros((n, height + 2 * REACH, width + 2 * REACH, channels), np.float32)
        padded[:, REACH:-REACH, REACH:-REACH] = known
        rows, columns = len(range(*self.rows.indices(x.shape[1]))), len(range(*self.columns.indices(x.shape[2])))
        out = np.empty((n, rows, columns, len(self.neighbours), channels), np.float32)
        for tap, (down, right) in enumerate(self.neighbours):
            top, left = REACH + self.row + down, REACH + self.column + right
            bottom, end = top + self.stride * (rows - 1) + 1, left + self.stride * (columns - 1) + 1
            out[:, :, :, tap] = padded[:, top : bottom : self.stride, left : end : self.stride]
        return out.reshape(n, rows, columns, len(self.neighbours) * channels)


@cache
def steps(height: int, width: int) -> tuple[Step, ...]:
    """The steps of a latent of ``height`` x ``width`` positions, without those that are empty. Every position is in one."""
    out = [Step(0, GRIDS[0], (), 0, 0, 1, slice(0, None, GRIDS[0]), slice(0, None, GRIDS[0]))]
    for number, grid in enumerate(GRIDS):
        half = grid // 2
        even, odd = slice(0, None, grid), slice(half, None, grid)
        if height > half and width > half:
            out.append(Step(1 + 2 * number, grid, SQUARE, 0, 0, 1, odd, odd))
        if width > half:
            out.append(Step(2 + 2 * number, half, CROSS, 0, 1, 2, even, odd))
        if height > half:
            out.append(Step(2 + 2 * number, half, CROSS, 1, 0, 2, odd, even))
    return tuple(out)
