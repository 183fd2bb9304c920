"""Copy attention: shades that a tile has shown before become more likely.

Each earlier pixel of the same tile and range votes for its own shade. The weight of a vote is a power of two. Its exponent is
the product of a query and a key, plus a gate: query and gate come from the features of the pixel to be coded, the key from
the features and the grey level of the voter. Digits repeat their grey levels, as they were resampled from few black and white
pixels. The weight of a shade is multiplied by one plus its votes.

Sources: Gu et al. 2016, arXiv 1603.06393 (copying); Vaswani et al. 2017, arXiv 1706.03762 (queries and keys).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE, OCTAVES, Cdf
from mnistzip.limits import COPY_KEY_MAX
from mnistzip.models.latent_prior import LOGITS
from mnistzip.models.pixel.planes import RANGES, SHADES, STEP
from mnistzip.nn.exact import ACTIVATION_MAX, Affine, Range, check_exact, exact_matmul, require_shape
from mnistzip.types import Bools, Floats, Integers

COPY_LOW, COPY_HIGH = -10, 8  # octaves that a vote is clipped to
COPY_BITS = 10  # a vote of one is 2^10
KEY_PEAK = 255
KEY_SHIFT = 4  # bits that the product of query and key is divided by
KEYS = Range(-KEY_PEAK, KEY_PEAK)
_VOTES = OCTAVES[(COPY_HIGH - COPY_LOW) * LOGITS_PER_OCTAVE :: -1] >> 20 - COPY_BITS - COPY_HIGH  # by score, lowest first
PAIRS_PER_BATCH = 1 << 16  # of queries and keys: small enough for the processor's cache


@dataclass(frozen=True, eq=False)
class CopyAttention:
    """Makes queries and keys.

    Attributes:
        query: features to ``key`` numbers and a gate, which is added to each product.
        key: features to ``key`` numbers.
        levels: what each grey level adds to its key, ``(288, key)``: 32 shades of each range.
    """

    query: Affine
    key: Affine
    levels: Floats

    def check_exact(self, width: int) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless shapes fit features of this width and every sum is exact."""
        require_shape(self.key.weight.shape[0] == width, self.key.name)
        size = self.key.weight.shape[1]
        require_shape(size <= COPY_KEY_MAX and self.query.weight.shape == (width, size + 1), self.query.name)
        require_shape(self.levels.shape == (RANGES * SHADES, size), "pixels levels")
        self.query.check_exact(ACTIVATION_MAX)
        self.key.check_exact(ACTIVATION_MAX)
        largest = KEY_PEAK + int(np.abs(self.levels).max())
        check_exact("pixels copy", np.full((size, 1), KEY_PEAK, np.float32), largest, 0)

    def queries(self, h: Floats) -> tuple[Floats, Floats]:
        """Queries, (n, key), and gates, (n,), of features, (n, width)."""
        query = self.query(h, LOGITS)
        return np.clip(query[:, :-1], KEYS.low, KEYS.high), query[:, -1]

    def keys(self, h: Floats, ranges: Integers, shade: Integers) -> Floats:
        """Keys of pixels whose range and shade are decoded: (n, key)."""
        return self.key(h, KEYS) + self.levels[ranges * SHADES + shade]

    def votes(self, h: Floats, tile: Integers, pixel: Integers, ranges: Integers, shade: Integers) -> Integers:
        """The votes for each shade of pixels of whole tiles, tile by tile in coding order: (n, 32)."""
        query, gate = self.queries(h)
        key = self.keys(h, ranges, shade)
        out = np.empty((len(tile), SHADES), np.int64)
        cuts = [0, *(np.flatnonzero(np.diff(tile)) + 1).tolist(), len(tile)]
        for part in map(slice, cuts[:-1], cuts[1:]):
            step, part_ranges = STEP[pixel[part]], ranges[part]
            mask = (part_ranges == part_ranges[:, None]) & (step < step[:, None])
            products = exact_matmul(query[part], key[part].T)
            out[part] = count_votes(products[None], gate[None, part], mask[None], shade[None, part])[0]
        return out


class KeyValueCache:
    """Keys, ranges and shades of the pixels decoded so far, tile by tile; at most ``capacity`` for a tile."""

    def __init__(self, attention: CopyAttention, tiles: int, capacity: int) -> None:
        self._attention = attention
        self._count = np.zeros(tiles, np.int64)
        self._keys = np.zeros((tiles, capacity, attention.levels.shape[1]), np.float32)
        self._ranges = np.full((tiles, capacity), -1, np.int8)
        self._shade = np.zeros((tiles, capacity), np.int64)

    def votes(self, h: Floats, tile: Integers, ranges: Integers) -> Integers:
        """The votes for each shade of the pixels of one step, in ascending order of tiles: (n, 32)."""
        query, gate = self._attention.queries(h)
        tiles, first, count = np.unique(tile, return_index=True, return_counts=True)
        row = np.repeat(np.arange(len(tiles)), count)
        column = np.arange(len(tile)) - np.repeat(first, count)
        queries, keys = int(count.max()), int(self._count[tiles].max())  # the most of a tile
        padded_query = np.zeros((len(tiles), queries, query.shape[1]), np.float32)
        padded_gate = np.zeros((len(tiles), queries), np.float32)
        padded_ranges = np.full((len(tiles), queries), -2, np.int8)
        padded_query[row, column], padded_gate[row, column], padded_ranges[row, column] = query, gate, ranges
        out = np.empty((len(tiles), queries, SHADES), np.int64)
        batch = max(1, PAIRS_PER_BATCH // max(1, queries * keys))
        for start in range(0, len(tiles), batch):
            part = slice(start, start + batch)
            cached = tiles[part]
            mask = self._ranges[cached, None, :keys] == padded_ranges[part, :, None]
            products = exact_matmul(padded_query[part], self._keys[cached, :keys].swapaxes(1, 2))
            out[part] = count_votes(products, padded_gate[part], mask, self._shade[cached, :keys])
        return out[row, column]

    def add(self, h: Floats, tile: Integers, ranges: Integers, shade: Integers) -> None:
        """Add the pixels of one step, in ascending order of tiles."""
        slot = self._count[tile] + np.arange(len(tile)) - np.searchsorted(tile, tile)
        self._keys[tile, slot] = self._attention.keys(h, ranges, shade)
        self._ranges[tile, slot], self._shade[tile, slot] = ranges, shade
        np.add.at(self._count, tile, 1)


def count_votes(products: Floats, gate: Floats, mask: Bools, shade: Integers) -> Integers:
    """Sum votes, in 2^-10, by shade.

    Args:
        products: of queries and keys, shape ``(tiles, queries, keys)``.
        gate: of each query, shape ``(tiles, queries)``.
        mask: which keys vote for which query, shape ``(tiles, queries, keys)``.
        shade: what each key votes for, shape ``(tiles, keys)``.

    Returns:
        Shape ``(tiles, queries, 32)``.
    """
    tiles, queries, keys = products.shape
    rows = tiles * queries
    row, column = np.nonzero(mask.reshape(rows, keys))
    score = products.reshape(rows, keys)[row, column]
    score *= np.float32(2.0**-KEY_SHIFT)
    score += np.float32(0.5)
    np.floor(score, out=score)
    score += gate.reshape(rows)[row] - np.float32(COPY_LOW * LOGITS_PER_OCTAVE)  # counted from the lowest
    weight = _VOTES[np.clip(score, 0, len(_VOTES) - 1, out=score).astype(np.int64)]
    total = np.bincount(row * SHADES + shade[row // queries, column], weights=weight, minlength=rows * SHADES)
    return total.astype(np.int64).reshape(tiles, queries, SHADES)  # from float64, below 2^28


def shade_cdf(logits: Floats, votes: Integers) -> Cdf:
    """Frequencies of shades: the weights of logits, ``(32, n)``, are multiplied by one plus the votes, ``(n, 32)``."""
    behind = (logits.max(axis=0) - logits).astype(np.int64)
    return Cdf.of_weights(OCTAVES.take(behind, mode="clip") * ((1 << COPY_BITS) + votes.T) >> COPY_BITS)  # below 2^38 each
