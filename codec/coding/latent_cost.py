"""The latents that an encoder begins from, and what a latent costs: its bits and the squared error of what it decodes to.

The analysis network sees whole tiles. Of a tile that the picture covers in part, what lies beyond the picture is decoded and
thrown away, so symbols there may be any: the prior's most probable ones cost least. How near to the picture they may begin
differs from tile to tile, so each of :data:`MARGINS` is tried and the cheapest latent is kept.

All costs are integers, so every machine makes the same choice. The decoder never knows of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy.cdf import PROBABILITY_BITS, TOTAL, Cdf
from mnistzip.models.latent_prior import CHANNELS, POSITIONS, SIDE
from mnistzip.models.registry import Model
from mnistzip.tiling import TILE
from mnistzip.types import Bools, Integers, Pixels

BIT = 256  # one bit in COST
LMBDA_SHIFT = 14  # model.lmbda weighs squared grey levels against COST in units of 2^-14
MARGINS = (0, 1)  # positions around the picture whose symbols stay as the analysis has them
BLOCK = TILE // SIDE  # pixels a side for each position of the latent

Ints = NDArray[np.int64]

# Cost of a symbol by its frequency. No entry lies near a rounding edge, so any libm gives this table (a test checks it).
COST = np.zeros(TOTAL + 1, np.int64)
COST[1:] = np.rint(BIT * (PROBABILITY_BITS - np.log2(np.arange(1, TOTAL + 1))))


def first_latents(model: Model, x: Pixels, inside: Bools, row: Integers) -> Ints:
    """Symbols that the analysis gives, those beyond the picture replaced by cheap ones.

    Args:
        x: tiles, shape ``(N, 28, 28)``.
        inside: which pixels the picture covers, shape ``(N, 28, 28)``.
        row: index of each tile's quality, shape ``(N,)``.

    Returns:
        Symbols in coding order, shape ``(N, 196)``.
    """
    y = model.transforms.analyse(x, row)
    partial = np.flatnonzero(~inside.all(axis=(1, 2)))
    if not partial.size:
        return y
    x, inside, row, best = x[partial], inside[partial], row[partial], y[partial]
    least = total_cost(model, x, inside, best, row)
    for margin in MARGINS:
        filled = model.prior.decode(_MostProbable(y[partial], _kept(inside, margin), model).decode, row)
        cost = total_cost(model, x, inside, filled, row)
        better = cost < least
        best[better], least[better] = filled[better], cost[better]
    y[partial] = best
    return y


def bits_of(model: Model, y: Ints, row: Integers) -> Ints:
    """Ideal code length of each latent in units of 1 / :data:`BIT` bits, shape ``(N,)``."""
    bits: Ints = COST[model.prior.intervals(y, row)[1]].sum(axis=1)
    return bits


def error_of(model: Model, x: Pixels, inside: Bools, y: Ints, row: Integers) -> Ints:
    """Squared error of what each latent decodes to, in squared grey levels inside the picture, shape ``(N,)``."""
    off = (model.transforms.synthesize(y, row).astype(np.int64) - x) * inside
    error: Ints = np.square(off).reshape(len(off), TILE * TILE).sum(axis=1)
    return error


def total_cost(model: Model, x: Pixels, inside: Bools, y: Ints, row: Integers) -> Ints:
    """Bits + lmbda * squared error of each latent, in units of 2^-14 of :data:`COST`, shape ``(N,)``."""
    return (bits_of(model, y, row) << LMBDA_SHIFT) + model.lmbda[row] * error_of(model, x, inside, y, row)


def _kept(inside: Bools, margin: int) -> Bools:
    """Which symbols lie within a margin of the picture, shape ``(N, 196)``."""
    seen = inside.reshape(len(inside), SIDE, BLOCK, SIDE, BLOCK).any(axis=(2, 4))
    padded = np.pad(seen, ((0, 0), (margin, margin), (margin, margin)))
    shifts = range(2 * margin + 1)
    near = np.logical_or.reduce([padded[:, i : i + SIDE, j : j + SIDE] for i in shifts for j in shifts])
    return near.reshape(len(inside), POSITIONS).repeat(CHANNELS, axis=1)


class _MostProbable:
    """What the prior decodes from in place of a coded stream: known symbols, and for all others the most probable value."""

    def __init__(self, y: Ints, known: Bools, model: Model) -> None:
        self._values = y - model.prior.low
        self._known = known
        self._symbol = 0

    def decode(self, cdf: Cdf) -> Ints:
        """The next symbol of every latent, as an index into the alphabet: (N,)."""
        likely = np.diff(cdf.edges(), axis=0).argmax(axis=0)
        value = np.where(self._known[:, self._symbol], self._values[:, self._symbol], likely)
        self._symbol += 1
        return value
