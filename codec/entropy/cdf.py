"""Integer logits to integer frequencies that sum to 2^16: the shares of the coder's interval.

A logit is in 64ths of a power of two. Weights are taken from a table of 2^(-d/64); the cumulative frequency below value k is
``floor(sums[k] / total)``, where ``sums[k]`` grows with the weights below k and, so that every value keeps a chance, with k.
Sums stay below 2^53, so float64 is exact, and only the frequencies that are needed are divided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy.cost import TOTAL
from mnistzip.nn.exact import exact_matmul
from mnistzip.types import Floats

LOGITS_PER_OCTAVE = 64
ONE = 1 << 20  # weight of the most probable value

Ints = NDArray[np.int64]
Whole = NDArray[np.float64 | np.int64]


def octave_table() -> Ints:
    """``floor(2^(20 - d/64) + 1/2)`` for d = 0 ... 1343, then 0, by integer arithmetic alone, shape (1345,)."""
    digits = 100  # binary digits of the fixed point; six square roots of 1/2 give 2^(-1/64)
    root = 1 << digits - 1
    for _ in range(6):
        root = math.isqrt(root << digits)
    powers = [1 << digits]
    for _ in range(LOGITS_PER_OCTAVE - 1):
        powers.append(powers[-1] * root >> digits)
    table = []
    for octave in range(ONE.bit_length()):
        shift = digits - ONE.bit_length() + 1 + octave
        table += [(power + (1 << shift - 1)) >> shift for power in powers]
    return np.array([*table, 0], np.int64)


OCTAVES = octave_table()
_WEIGHTS = OCTAVES.astype(np.float64)


@dataclass(frozen=True)
class Cdf:
    """Frequencies for each symbol to be coded, over an alphabet of a given size.

    Attributes:
        sums: integers, in float64 below 2^53 or in int64, from 0 to ``65536 * total``, shape ``(..., values + 1, n)``.
        total: shape ``(..., n)``.
    """

    sums: Whole
    total: Whole

    @staticmethod
    def of_logits(logits: Floats) -> Cdf:
        """From logits of shape ``(..., values, n)``."""
        behind = (logits.max(axis=-2, keepdims=True) - logits).astype(np.int32).astype(np.intp)
        weights = _WEIGHTS.take(behind, mode="clip")
        sums = exact_matmul(_accumulator(logits.shape[-2]), weights)
        return Cdf(sums, sums[..., -1, :] / TOTAL)

    @staticmethod
    def of_weights(weights: Ints) -> Cdf:
        """From weights of shape ``(values, n)`` whose sums are below 2^47."""
        values = len(weights)
        sums = np.zeros((values + 1, weights.shape[1]), np.int64)
        for k in range(values):
            np.add(sums[k], weights[k], out=sums[k + 1])
        total = sums[-1].copy()
        sums *= TOTAL - values
        sums += np.arange(values + 1)[:, None] * total
        return Cdf(sums, total)

    def symbol_at(self, slots: Ints) -> Ints:
        """The values whose intervals hold these numbers of 0..65535: (n,) -> (n,)."""
        below = self.sums[1:] < (slots + 1) * self.total
        symbols: Ints = below.view(np.uint8).sum(axis=0, dtype=np.uint8).astype(np.int64)
        return symbols

    def interval(self, value: Ints) -> tuple[Ints, Ints]:
        """Start and frequency of one value of each alphabet: (..., n)."""
        values, n = self.sums.shape[-2:]
        first = np.arange(value.size // n).reshape(*value.shape[:-1], 1) * (values * n)  # of each symbol's sums, in one row
        at = first + value * n + np.arange(n)
        flat = self.sums.reshape(-1)
        low, high = flat.take(at), flat.take(at + n)
        start = _quotient(low, self.total)
        return start, _quotient(high, self.total) - start

    def edges(self) -> Ints:
        """All cumulative frequencies: (..., values + 1, n)."""
        return _quotient(self.sums, self.total[..., None, :])

    def select(self, which: NDArray[np.integer]) -> Cdf:
        """Some of the n alphabets."""
        return Cdf(self.sums[..., which], self.total[..., which])


def _quotient(a: Whole, b: Whole) -> Ints:
    if a.dtype.kind == "f":  # the quotient is below 2^17 and no integer unless it is exact: rounding cannot reach one
        return np.floor(a / b).astype(np.int64)
    return (a // b).astype(np.int64)


@cache
def _accumulator(values: int) -> NDArray[np.float64]:
    """Weights to sums by one matrix product: ``S[k] * (65536 - values) + k * S[values]``, S[k] being the first k weights."""
    first = np.tri(values + 1, values, -1)
    return first * (TOTAL - values) + np.arange(values + 1.0)[:, None]
