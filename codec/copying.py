"""Copying: shades that a tile has shown before are more likely.

Every earlier pixel of the same tile and range votes for its own shade, with a weight that is a power of two of the product of
a query, made of what the pixel to be coded sees, and a key, made of what the voter saw and of its own grey level. Digits repeat
their greys, as they were resampled from few black and white pixels. The weight of a shade is multiplied by one and its votes.

Sources: Gu et al. 2016, arXiv 1603.06393 (copying); Vaswani et al. 2017, arXiv 1706.03762 (queries and keys).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzip.cdf import LOGITS_PER_OCTAVE, OCTAVES, Cdf
from mnistzip.intnet import ACTIVATION_MAX, Affine, Floats, Range, prove_exact, require
from mnistzip.planes import RANGES, SHADES, STEP
from mnistzip.prior import LOGITS

COPY_LOW, COPY_HIGH = -10, 8  # octaves that a vote is clipped to
COPY_BITS = 10  # a vote of one is 2^10
KEY_PEAK = 255
KEY_MAX = 32  # numbers of a key; bounds what a hostile model can make a decoder allocate
KEY_SHIFT = 4  # bits that the product of query and key is divided by
KEYS = Range(-KEY_PEAK, KEY_PEAK)
_VOTES = OCTAVES[(COPY_HIGH - COPY_LOW) * LOGITS_PER_OCTAVE :: -1] >> 20 - COPY_BITS - COPY_HIGH  # by score, the lowest first

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Copying:
    """What queries and keys are made by.

    Attributes:
        query: features to ``key`` numbers and a gate, which is added to every product.
        key: features to ``key`` numbers.
        levels: what each grey level adds to its key, ``(288, key)``: 32 shades of each range.
    """

    query: Affine
    key: Affine
    levels: Floats

    def prove(self, width: int) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless shapes fit features of this width and every sum is exact."""
        require(self.key.weight.shape[0] == width, self.key.name)
        size = self.key.weight.shape[1]
        require(size <= KEY_MAX and self.query.weight.shape == (width, size + 1), self.query.name)
        require(self.levels.shape == (RANGES * SHADES, size), "pixels levels")
        self.query.prove(ACTIVATION_MAX)
        self.key.prove(ACTIVATION_MAX)
        largest = KEY_PEAK + int(np.abs(self.levels).max())
        prove_exact("pixels copy", np.full((size, 1), KEY_PEAK, np.float32), largest, 0)

    def queries(self, h: Floats) -> tuple[Floats, Floats]:
        """Queries, (n, key), and gates, (n,), of features, (n, width)."""
        query = self.query(h, LOGITS)
        return np.clip(query[:, :-1], KEYS.low, KEYS.high), query[:, -1]

    def keys(self, h: Floats, where: Ints, shade: Ints) -> Floats:
        """Keys of pixels whose range and shade are known: (n, key)."""
        return self.key(h, KEYS) + self.levels[where * SHADES + shade]

    def votes(self, h: Floats, tile: Ints, pixel: Ints, where: Ints, shade: Ints) -> Ints:
        """The votes for each shade of pixels of whole tiles, tile by tile in coding order: (n, 32)."""
        query, gate = self.queries(h)
        key = self.keys(h, where, shade)
        group = tile * RANGES + where
        order = np.argsort(group, kind="stable")  # pixels that may vote for each other, side by side in coding order
        _, first, count = np.unique(group[order], return_index=True, return_counts=True)
        first = np.repeat(first, count)  # of each pixel's group
        before = np.arange(len(tile)) - first  # how many of the group come earlier
        asking = np.repeat(np.arange(len(tile)), before)
        asked = np.arange(len(asking)) + np.repeat(first + before - np.cumsum(before), before)
        step = STEP[pixel[order]]
        earlier = step[asked] < step[asking]
        asking, asked = order[asking[earlier]], order[asked[earlier]]
        return count_votes(products(query, asking, key, asked), gate[asking], asking, shade[asked], len(tile))


class Copies:
    """The keys of the shades decoded so far, tile by tile."""

    def __init__(self, copying: Copying, tiles: int, most: int) -> None:
        self._copying = copying
        self._count = np.zeros(tiles, np.int64)
        self._keys = np.zeros((tiles, most, copying.levels.shape[1]), np.float32)
        self._where = np.full((tiles, most), -1)
        self._shade = np.zeros((tiles, most), np.int64)

    def votes(self, h: Floats, tile: Ints, where: Ints) -> Ints:
        """The votes for each shade of the pixels of one step: (n, 32)."""
        query, gate = self._copying.queries(h)
        most = int(self._count[tile].max())
        asking, asked = np.nonzero(self._where[tile, :most] == where[:, None])
        owner = tile[asking]
        voter = owner * self._keys.shape[1] + asked
        product = products(query, asking, self._keys.reshape(-1, query.shape[1]), voter)
        return count_votes(product, gate[asking], asking, self._shade.reshape(-1)[voter], len(tile))

    def add(self, h: Floats, tile: Ints, where: Ints, shade: Ints) -> None:
        """Remember the pixels of one step; tiles rise."""
        slot = self._count[tile] + np.arange(len(tile)) - np.searchsorted(tile, tile)
        self._keys[tile, slot] = self._copying.keys(h, where, shade)
        self._where[tile, slot], self._shade[tile, slot] = where, shade
        np.add.at(self._count, tile, 1)


def products(query: Floats, asking: Ints, key: Floats, asked: Ints) -> Floats:
    """Products of queries and keys: (pairs,)."""
    total: Floats = np.einsum("nk,nk->n", query.take(asking, axis=0), key.take(asked, axis=0))
    return total


def count_votes(product: Floats, gate: Floats, row: Ints, shade: Ints, rows: int) -> Ints:
    """Sum votes, in 2^-10, by row and shade: (rows, 32)."""
    score = np.floor(product * np.float32(2.0**-KEY_SHIFT) + np.float32(0.5)) + gate
    low, high = COPY_LOW * LOGITS_PER_OCTAVE, COPY_HIGH * LOGITS_PER_OCTAVE
    weight = _VOTES[np.clip(score, low, high).astype(np.int64) - low]
    total = np.bincount(row * SHADES + shade, weights=weight, minlength=rows * SHADES)  # in float64, below 2^28
    return total.astype(np.int64).reshape(rows, SHADES)


def shade_cdf(logits: Floats, votes: Ints) -> Cdf:
    """Frequencies of shades, given logits ``(32, n)``: the weight of each is multiplied by one and its votes, ``(n, 32)``."""
    behind = (logits.max(axis=0) - logits).astype(np.int64)
    return Cdf.of_weights(OCTAVES.take(behind, mode="clip") * ((1 << COPY_BITS) + votes.T) >> COPY_BITS)  # below 2^38 each
