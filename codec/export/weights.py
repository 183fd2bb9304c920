"""Weights in the layout of ``engine/micro/mnistzip_micro.h``: blocks of outputs, in 8 bits where that takes less room.

A weight of more than 8 bits keeps its low 8 bits in place, and the rest of it stands in a list of *excesses*. Matrices with few
such weights take little more than 8 bits a weight; of the others, all weights take 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ModelError
from mnistzip.nn.exact import SUM_MAX, Range

Ints = NDArray[np.integer[Any]]

WIDTHS = (8, 4, 1)  # of blocks
EXCESS_BYTES, EXCESSES_BYTES = 4, 2  # of an entry, and of the number of entries of a matrix
NARROW, WIDE = Range(-(1 << 7), (1 << 7) - 1), Range(-(1 << 15), (1 << 15) - 1)
INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class Packed:
    """Matrices, one behind the other.

    Attributes:
        values: all weights, or their low 8 bits.
        excess: of 8 bits: input, output and the number of 256ths for each weight that has more; shape ``(n, 3)``.
        excesses: how many each matrix has.
    """

    values: Ints
    excess: Ints
    excesses: Ints
    is_narrow: bool


def fits(values: Ints, limits: Range) -> bool:
    """Whether all values are within limits."""
    return bool(limits.low <= values.min(initial=0) and values.max(initial=0) <= limits.high)


def pack(name: str, matrices: Sequence[Ints], peak: int) -> Packed:
    """Lay out matrices of shape ``(inputs, outputs)`` each, whose inputs have at most the magnitude ``peak``.

    Raises:
        ModelError: a weight needs more than 16 bits.
    """
    flat = np.concatenate([_blocks(matrix) for matrix in matrices]) if matrices else np.zeros(0, np.int64)
    if not fits(flat, WIDE):
        raise ModelError(f"{name}: weights of more than 16 bits cannot be exported")
    low = [((matrix + 128) & 255) - 128 for matrix in matrices]
    high = [(matrix - each) >> 8 for matrix, each in zip(matrices, low, strict=True)]
    at = [np.argwhere(each) for each in high]
    excess = np.concatenate([np.c_[where, each[tuple(where.T)]] for where, each in zip(at, high, strict=True)])
    excesses = np.array([len(where) for where in at])
    size = len(flat) + EXCESS_BYTES * len(excess) + EXCESSES_BYTES * len(matrices)
    is_narrow = (
        size < 2 * len(flat)
        and fits(excess[:, 1], Range(0, 255))
        and fits(excess[:, 2], NARROW)
        and max(len(matrix) for matrix in matrices) * 128 * peak + 2 * SUM_MAX <= INT32_MAX  # partial sums of low bits
    )
    values = np.concatenate([_blocks(each) for each in low]) if is_narrow else flat
    return Packed(values, excess, excesses, is_narrow)


def _blocks(matrix: Ints) -> Ints:
    """The weights of a matrix, block by block; a block has the largest width that the remaining outputs fill."""
    blocks, first, outputs = [], 0, matrix.shape[1]
    while first < outputs:
        width = next(width for width in WIDTHS if width <= outputs - first)
        blocks.append(matrix[:, first : first + width].ravel())
        first += width
    return np.concatenate(blocks)
