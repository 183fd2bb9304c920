"""Distributions of symbols: a table of cumulative probabilities, moved to a mean and stretched by a scale.

A symbol ``k`` of ``-bound .. bound`` takes the probabilities between ``k - 1/2`` and ``k + 1/2``; the first and the last symbol
take the tails as well. Each symbol keeps a frequency of 1 at least. All numbers are integers, so every machine finds the same
intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mnistzip.entropy.cost import PROBABILITY_BITS, TOTAL
from mnistzip.errors import ModelError
from mnistzip.types import Integers

MEAN_BITS = 8  # a mean is in 256ths of a symbol
SCALES = 64
SCALE_SHIFT = 13  # an inverse scale of 2^13 is one
SEGMENTS = 1024  # of the table
SEGMENT_BITS = 7  # a segment is 2^7 units; the table covers -2^16 .. 2^16 units around the mean
REACH = SEGMENTS << SEGMENT_BITS - 1  # the largest distance from the mean, in units
INVERSE_MAX = 1 << 22


@dataclass(frozen=True, eq=False)
class Shape:
    """The table of cumulative probabilities and the scales.

    Attributes:
        cumulative: in 2^-16, rising from 0 to 65536 at most, shape ``(1025,)``.
        inverse_scale: units of the table in a 512th of a symbol, in 2^-13, shape ``(64,)``.
    """

    cumulative: Integers
    inverse_scale: Integers

    def require_valid(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless every symbol gets a frequency of 1 at least."""
        table, scales = self.cumulative, self.inverse_scale
        if table.shape != (SEGMENTS + 1,) or scales.shape != (SCALES,):
            raise ModelError("the tables of the distributions have a wrong size")
        if table[0] < 0 or table[-1] > TOTAL or (np.diff(table) < 0).any():
            raise ModelError("the table of cumulative probabilities does not rise from 0 to 65536")
        if scales.min() < 1 or scales.max() > INVERSE_MAX:
            raise ModelError("a scale of the distributions is out of range")

    def share(self, distance: Integers, scale: Integers) -> Integers:
        """The probability below a distance from the mean, in 512ths of a symbol: in 2^-23, rising with the distance."""
        at = np.clip(distance * self.inverse_scale[scale] >> SCALE_SHIFT, -REACH, REACH - 1) + REACH
        segment, rest = at >> SEGMENT_BITS, at & ((1 << SEGMENT_BITS) - 1)
        low = self.cumulative[segment]
        return (low << SEGMENT_BITS) + (self.cumulative[segment + 1] - low) * rest

    def below(self, symbol: Integers, mean: Integers, scale: Integers, bound: int) -> Integers:
        """The cumulative frequency below symbols: 0 for ``-bound``, 65536 for ``bound + 1``."""
        share = self.share((symbol << MEAN_BITS + 1) - (1 << MEAN_BITS) - 2 * mean, scale)
        values = 2 * bound + 1
        edge = (share * (TOTAL - values) >> PROBABILITY_BITS + SEGMENT_BITS) + symbol + bound
        return np.where(symbol <= -bound, 0, np.where(symbol > bound, TOTAL, edge))


@dataclass(frozen=True, eq=False)
class Distributions:
    """The distributions of n symbols with one bound; a :class:`~mnistzip.entropy.rans.Decoder` takes them as a ``Cdf``.

    Attributes:
        mean: in 256ths, shape ``(n,)``.
        scale: index of the scale, shape ``(n,)``.
        bound: the largest symbol; the alphabet is ``-bound .. bound``, and indices into it count from 0.
    """

    shape: Shape
    mean: Integers
    scale: Integers
    bound: int

    def interval(self, index: Integers) -> tuple[Integers, Integers]:
        """Start and frequency of one symbol of each alphabet: (n,)."""
        symbol = index - self.bound
        start = self.shape.below(symbol, self.mean, self.scale, self.bound)
        return start, self.shape.below(symbol + 1, self.mean, self.scale, self.bound) - start

    def edges(self) -> Integers:
        """All cumulative frequencies: (values + 1, n)."""
        symbol = np.arange(-self.bound, self.bound + 2)[:, None]
        return self.shape.below(symbol, self.mean, self.scale, self.bound)

    def symbol_at(self, slots: Integers) -> Integers:
        """The indices whose intervals hold these numbers of 0..65535: (n,) -> (n,)."""
        first, last = np.zeros(len(slots), np.int64), np.full(len(slots), 2 * self.bound, np.int64)
        while (first < last).any():
            middle = (first + last + 1) // 2
            holds = self.shape.below(middle - self.bound, self.mean, self.scale, self.bound) <= slots
            first, last = np.where(holds, middle, first), np.where(holds, last, middle - 1)
        return first

    def select(self, which: Integers) -> Distributions:
        """Some of the n alphabets."""
        return Distributions(self.shape, self.mean[which], self.scale[which], self.bound)
