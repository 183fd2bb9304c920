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

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE, OCTAVES, Cdf
from mnistzip.limits import COPY_KEY_MAX
from mnistzip.models.latent_prior import LOGITS
from mnistzip.models.pixel.planes import RANGES, SHADES, STEP
from mnistzip.nn.layers import ACTIVATION_MAX, Affine, Range, product, prove_exact, require
from mnistzip.types import Floats

COPY_LOW, COPY_HIGH = -10, 8  # octaves that a vote is clipped to
COPY_BITS = 10  # a vote of one is 2^10
KEY_PEAK = 255
KEY_SHIFT = 4  # bits that the product of query and key is divided by
KEYS = Range(-KEY_PEAK, KEY_PEAK)
_VOTES = OCTAVES[(COPY_HIGH - COPY_LOW) * LOGITS_PER_OCTAVE :: -1] >> 20 - COPY_BITS - COPY_HIGH  # by score, the lowest first
PAIRS_TOGETHER = 1 << 16  # of queries and keys: small enough for the processor's cache

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
        require(size <= COPY_KEY_MAX and self.query.weight.shape == (width, size + 1), self.query.name)
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
        out = np.empty((len(tile), SHADES), np.int64)
        cuts = [0, *(np.flatnonzero(np.diff(tile)) + 1).tolist(), len(tile)]
        for own in map(slice, cuts[:-1], cuts[1:]):
            step, mine = STEP[pixel[own]], where[own]
            heard = (mine == mine[:, None]) & (step < step[:, None])
            out[own] = count_votes(product(query[own], key[own].T)[None], gate[None, own], heard[None], shade[None, own])[0]
        return out


class Copies:
    """The keys of the shades decoded so far, tile by tile."""

    def __init__(self, copying: Copying, tiles: int, most: int) -> None:
        self._copying = copying
        self._count = np.zeros(tiles, np.int64)
        self._keys = np.zeros((tiles, most, copying.levels.shape[1]), np.float32)
        self._where = np.full((tiles, most), -1, np.int8)
        self._shade = np.zeros((tiles, most), np.int64)

    def votes(self, h: Floats, tile: Ints, where: Ints) -> Ints:
        """The votes for each shade of the pixels of one step, whose tiles rise: (n, 32)."""
        query, gate = self._copying.queries(h)
        owner, first, count = np.unique(tile, return_index=True, return_counts=True)
        row = np.repeat(np.arange(len(owner)), count)
        turn = np.arange(len(tile)) - np.repeat(first, count)
        deep, most = int(count.max()), int(self._count[owner].max())
        asking = np.zeros((len(owner), deep, query.shape[1]), np.float32)
        gates = np.zeros((len(owner), deep), np.float32)
        ranges = np.full((len(owner), deep), -2, np.int8)
        asking[row, turn], gates[row, turn], ranges[row, turn] = query, gate, where
        out = np.empty((len(owner), deep, SHADES), np.int64)
        together = max(1, PAIRS_TOGETHER // max(1, deep * most))
        for at in range(0, len(owner), together):
            part = slice(at, at + together)
            mine = owner[part]
            heard = self._where[mine, None, :most] == ranges[part, :, None]
            products = product(asking[part], self._keys[mine, :most].swapaxes(1, 2))
            out[part] = count_votes(products, gates[part], heard, self._shade[mine, :most])
        return out[row, turn]

    def add(self, h: Floats, tile: Ints, where: Ints, shade: Ints) -> None:
        """Remember the pixels of one step; tiles rise."""
        slot = self._count[tile] + np.arange(len(tile)) - np.searchsorted(tile, tile)
        self._keys[tile, slot] = self._copying.keys(h, where, shade)
        self._where[tile, slot], self._shade[tile, slot] = where, shade
        np.add.at(self._count, tile, 1)


def count_votes(products: Floats, gate: Floats, heard: NDArray[np.bool_], shade: Ints) -> Ints:
    """Sum votes, in 2^-10, by shade.

    Args:
        products: of queries and keys, shape ``(tiles, asking, asked)``.
        gate: of each query, shape ``(tiles, asking)``.
        heard: which keys vote for which query, shape ``(tiles, asking, asked)``.
        shade: what each key votes for, shape ``(tiles, asked)``.

    Returns:
        Shape ``(tiles, asking, 32)``.
    """
    tiles, asking, asked = products.shape
    rows = tiles * asking
    row, column = np.nonzero(heard.reshape(rows, asked))
    score = products.reshape(rows, asked)[row, column]
    score *= np.float32(2.0**-KEY_SHIFT)
    score += np.float32(0.5)
    np.floor(score, out=score)
    score += gate.reshape(rows)[row] - np.float32(COPY_LOW * LOGITS_PER_OCTAVE)  # counted from the lowest
    weight = _VOTES[np.clip(score, 0, len(_VOTES) - 1, out=score).astype(np.int64)]
    total = np.bincount(row * SHADES + shade[row // asking, column], weights=weight, minlength=rows * SHADES)
    return total.astype(np.int64).reshape(tiles, asking, SHADES)  # from float64, below 2^28


def shade_cdf(logits: Floats, votes: Ints) -> Cdf:
    """Frequencies of shades, given logits ``(32, n)``: the weight of each is multiplied by one and its votes, ``(n, 32)``."""
    behind = (logits.max(axis=0) - logits).astype(np.int64)
    return Cdf.of_weights(OCTAVES.take(behind, mode="clip") * ((1 << COPY_BITS) + votes.T) >> COPY_BITS)  # below 2^38 each
