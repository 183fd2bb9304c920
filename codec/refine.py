"""Search for a better latent: fewer bits + lmbda * squared error, counted as the coder and the decoder count them.

The analysis network guesses the latent in one go and leaves a fifth of the bytes on the table. Each pass of the search moves
by one the symbols for which most is promised by three things: the exact change of their own code length, the gradient by
way of later symbols and of the image, and the mean curvature of the squared error. All of them move at once; where that
does not lower an image's cost it is undone, and the next pass moves fewer. High efforts go on from there by kicks: moves
that promise a loss, searched on from and kept where the loss was made good. Costs are integers and the gradient is the
same everywhere (see :mod:`mnistzip.gradient`), so every machine finds the same latent. The decoder never knows.

Source: Campos et al. 2019, arXiv 1906.01223 (content-adaptive refinement), here as a discrete search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzip import rans
from mnistzip.gradient import Tape
from mnistzip.intnet import Rows
from mnistzip.model import Model
from mnistzip.prior import SYMBOLS
from mnistzip.transform import TILE, chunks

PASSES = (0, 2, 5, 9, 15, 25, 40, 70, 120, 200)  # at effort 0..9
KICKS = (0, 0, 0, 0, 0, 0, 0, 0, 20, 100)
FIRST_MOVES = 8  # symbols moved at once in the first pass
MOST_MOVES = 40
KICK_MOVES, KICK_PASSES = 3, 4  # first moves and passes after a kick
BIT = 256  # one bit in COST
LMBDA_SHIFT = 14  # model.lmbda weighs squared grey levels against COST in units of 2^-14

Ints = NDArray[np.int64]

# A fixed image of signs that look random: the 17th bit of multiples of 2^32 over the golden ratio.
SIGNS = (1 - 2 * (np.arange(1, TILE * TILE + 1) * 2654435769 >> 16 & 1)).astype(np.float32).reshape(TILE, TILE)

# Cost of a symbol by its frequency. No entry lies near a rounding edge, so any libm gives this table (a test checks it).
COST = np.zeros(rans.TOTAL + 1, np.int64)
COST[1:] = np.rint(BIT * (rans.PROBABILITY_BITS - np.log2(np.arange(1, rans.TOTAL + 1))))


def refine(model: Model, x: NDArray[np.uint8], y: Ints, row: Rows, effort: int, lmbda: Ints | None = None) -> Ints:
    """Better symbols for images.

    Args:
        x: images, shape ``(N, 28, 28)``.
        y: the symbols to begin from, shape ``(N, 196)``.
        row: index of each image's quality, shape ``(N,)``.
        effort: 0..9, how long to search.
        lmbda: weight of each image's squared error, in the unit of the model's, shape ``(N,)``; its quality's if None.

    Returns:
        Symbols, shape ``(N, 196)``.
    """
    if not PASSES[effort]:
        return y
    weight = model.lmbda[row] if lmbda is None else lmbda
    out = y.copy()
    for part in chunks(len(x)):
        search = _Search(model, x[part], y[part], row[part], weight[part])
        search.descend(PASSES[effort], FIRST_MOVES)
        for _ in range(KICKS[effort]):
            search.kick()
        out[part] = search.y
    return out


class _Search:
    """Some images, their symbols, and what each symbol's move up or down would change of the cost, to first order."""

    def __init__(
        self, model: Model, x: NDArray[np.uint8], y: Ints, row: Rows, weight: Ints, curvature: Ints | None = None
    ) -> None:
        self._model, self._x, self._row, self._weight = model, x, row, weight
        self._lmbda = weight / (BIT << LMBDA_SHIFT)  # bits per squared grey level
        self.y = y.copy()
        self.cost = np.full(len(x), np.iinfo(np.int64).max)
        self.up, self.down = np.empty(y.shape), np.empty(y.shape)
        self._kicked = np.zeros(y.shape, bool)
        self._curvature = curvature
        self.attempt(np.arange(len(x)), y)

    def descend(self, passes: int, first_moves: int) -> None:
        """Move symbols for which less cost is promised until none is left."""
        moves = np.full(len(self.y), first_moves)
        tried = np.zeros(self.y.shape, bool)  # moved alone, in vain
        for _ in range(passes):
            change = np.where(tried, np.inf, self.promised())
            rank = np.argsort(np.argsort(change, axis=1, kind="stable"), axis=1, kind="stable")
            moved = (rank < moves[:, None]) & (change < 0)
            active = np.flatnonzero(moved.any(axis=1))
            if not len(active):
                break
            better = self.attempt(active, (self.y + np.where(moved, self.direction(), 0))[active])
            won, lost = active[better], active[~better]
            alone = lost[moves[lost] == 1]
            tried[alone] |= moved[alone]
            moves[won] = np.clip(moves[won] * 3 // 2, 2, MOST_MOVES)
            moves[lost] = np.maximum(moves[lost] // 2, 1)

    def kick(self) -> None:
        """Make the move that promises least loss among those not yet made so, search from there, and keep what is better."""
        everyone = np.arange(len(self.y))
        at = np.where(self._kicked, np.inf, self.promised()).argmin(axis=1)
        self._kicked[everyone, at] = True
        symbols = self._model.transforms.symbols
        y = self.y.copy()
        y[everyone, at] = np.clip(y[everyone, at] + self.direction()[everyone, at], symbols.low, symbols.high)
        other = _Search(self._model, self._x, y, self._row, self._weight, self._curvature)
        other.descend(KICK_PASSES, KICK_MOVES)
        won = np.flatnonzero(other.cost < self.cost)
        for name in ("y", "cost", "up", "down"):
            getattr(self, name)[won] = getattr(other, name)[won]

    def promised(self) -> NDArray[np.float64]:
        """The change of cost in bits that the better move of each symbol promises: (N, 196)."""
        return np.minimum(self.up, self.down)

    def direction(self) -> Ints:
        """The better move of each symbol, 1 or -1: (N, 196)."""
        return np.where(self.up < self.down, 1, -1)

    def attempt(self, which: Ints, y: Ints) -> NDArray[np.bool_]:
        """Give images other symbols where that lowers their cost; whether it did."""
        row = self._row[which]
        freqs, prior_tape = self._model.prior.frequencies(y, row)
        x_hat, tapes = self._model.transforms.trace(y, row)
        error = x_hat.astype(np.int64) - self._x[which]
        chosen = COST[_at(freqs, y.T - self._model.prior.low)].sum(axis=0)
        distortion = np.square(error).reshape(len(y), TILE * TILE).sum(axis=1)
        cost = (chosen << LMBDA_SHIFT) + self._weight[which] * distortion
        better = cost < self.cost[which]
        won = which[better]
        self.y[won], self.cost[won] = y[better], cost[better]
        if len(won):
            slope = self._model.prior.back(prior_tape.of(better), y[better])
            doubled = 2 * error[better].astype(np.float32)
            tapes = tuple(tape.of(better) for tape in tapes)
            if self._curvature is None:
                self._curvature = self._probed(tapes, row)
            distorted = self._model.transforms.back(tapes, doubled, row[better])
            self._promise(won, freqs[:, better], slope + self._lmbda[won, None] * distorted)
        return better

    def _probed(self, tapes: tuple[Tape, ...], row: Rows) -> Ints:
        """How much squared error moving a symbol by one makes where the gradient is zero, mean of all symbols: (N,).

        An image of random signs, taken back through the synthesis, has at each symbol the expected square of that symbol's
        effect on the grey levels (Hutchinson 1990).
        """
        signs = np.repeat(SIGNS[None], len(row), axis=0)
        squares = np.square(self._model.transforms.back(tapes, signs, row))
        mean: Ints = np.rint(squares).astype(np.int64).sum(axis=1) // SYMBOLS
        return mean

    def _promise(self, which: Ints, freqs: Ints, slope: NDArray[np.float64]) -> None:
        """Note what moves would change, in bits, given the slope by way of later symbols and of the image."""
        symbols = self._model.transforms.symbols
        y = self.y[which]
        index = y.T - symbols.low
        own = COST[_at(freqs, index)]
        assert self._curvature is not None
        curved = (0.5 * self._lmbda[which] * self._curvature[which])[:, None]
        up = (COST[_at(freqs, np.minimum(index + 1, symbols.high - symbols.low))] - own).T / BIT + slope + curved
        down = (COST[_at(freqs, np.maximum(index - 1, 0))] - own).T / BIT - slope + curved
        self.up[which] = np.where(y < symbols.high, up, np.inf)
        self.down[which] = np.where(y > symbols.low, down, np.inf)


def _at(freqs: Ints, index: Ints) -> Ints:
    """The frequency of each symbol: (196, N, values) at (196, N)."""
    return np.take_along_axis(freqs, index[..., None], 2)[..., 0]
