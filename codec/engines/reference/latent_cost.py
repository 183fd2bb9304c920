"""The cost of a latent, bits + lmbda * squared error of the decoded image, and the latents that an encoder starts from.

The analysis network sees whole tiles. If the picture covers a part of a tile, the decoder crops the rest, so symbols there are
free to choose: the most probable ones of the prior cost least. How near to the picture they may begin differs from tile to
tile. Each of :data:`MARGINS` is tried, and the latent of least cost is taken.
"""

from __future__ import annotations

import numpy as np

from mnistzip.entropy.cdf import Cdf
from mnistzip.entropy.cost import COST, LMBDA_SHIFT
from mnistzip.models.latent_prior import CHANNELS, POSITIONS, SIDE
from mnistzip.models.registry import Model
from mnistzip.tiling import TILE, squared_error
from mnistzip.types import Bools, Integers, Pixels

MARGINS = (0, 1)  # positions around the picture whose symbols stay those of the analysis
BLOCK = TILE // SIDE  # pixels a side of each position of the latent


def first_latents(model: Model, x: Pixels, inside: Bools, quality_index: Integers) -> Integers:
    """The symbols of the analysis, those beyond the picture replaced by cheap ones.

    Args:
        x: tiles, shape ``(N, 28, 28)``.
        inside: which pixels the picture covers, shape ``(N, 28, 28)``.
        quality_index: of each tile, shape ``(N,)``.

    Returns:
        Symbols in coding order, shape ``(N, 196)``.
    """
    y = model.transforms.analyse(x, quality_index)
    partial = np.flatnonzero(~inside.all(axis=(1, 2)))
    if not partial.size:
        return y
    x, inside, quality_index, best = x[partial], inside[partial], quality_index[partial], y[partial]
    least = total_cost(model, x, inside, best, quality_index)
    for margin in MARGINS:
        source = _MostProbable(y[partial], _near_picture(inside, margin), model)
        filled = model.prior.decode(source.next_symbols, quality_index)
        cost = total_cost(model, x, inside, filled, quality_index)
        better = cost < least
        best[better], least[better] = filled[better], cost[better]
    y[partial] = best
    return y


def total_cost(model: Model, x: Pixels, inside: Bools, y: Integers, quality_index: Integers) -> Integers:
    """Bits + lmbda * squared error of each latent, in units of 2^-14 of :data:`~mnistzip.entropy.cost.COST`, shape ``(N,)``."""
    error = squared_error(x, model.transforms.synthesize(y, quality_index), inside)
    bits: Integers = COST[model.prior.intervals(y, quality_index)[1]].sum(axis=1)
    return (bits << LMBDA_SHIFT) + model.lmbda[quality_index] * error


def _near_picture(inside: Bools, margin: int) -> Bools:
    """Which symbols lie within a margin of the picture, shape ``(N, 196)``."""
    covered = inside.reshape(len(inside), SIDE, BLOCK, SIDE, BLOCK).any(axis=(2, 4))
    padded = np.pad(covered, ((0, 0), (margin, margin), (margin, margin)))
    shifts = range(2 * margin + 1)
    near = np.logical_or.reduce([padded[:, i : i + SIDE, j : j + SIDE] for i in shifts for j in shifts])
    return near.reshape(len(inside), POSITIONS).repeat(CHANNELS, axis=1)


class _MostProbable:
    """Replaces a coded stream: gives the prior fixed symbols where a mask is set, and the most probable value elsewhere."""

    def __init__(self, y: Integers, mask: Bools, model: Model) -> None:
        self._values = y - model.prior.low
        self._mask = mask
        self._symbol = 0

    def next_symbols(self, cdf: Cdf) -> Integers:
        """The next symbol of every latent, as an index into the alphabet: (N,)."""
        likely = np.diff(cdf.edges(), axis=0).argmax(axis=0)
        value = np.where(self._mask[:, self._symbol], self._values[:, self._symbol], likely)
        self._symbol += 1
        return value
