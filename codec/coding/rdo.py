"""Search for a better latent: fewer bits + lmbda * squared error, counted as the coder and the decoder count them.

The analysis network guesses the latent in one go and leaves a fifth of the bytes on the table. Each pass of the search moves
by one the symbols for which most is promised by three things: the exact change of their own code length, the gradient by
way of later symbols and of the image, and the mean curvature of the squared error. All of them move at once; where that
does not lower an image's cost it is undone, and the next pass moves fewer. High efforts go on from there by kicks: moves
that promise a loss, searched on from and kept where the loss was made good. Costs are integers and the gradient is the
same everywhere (see :mod:`mnistzip.nn.backward`), so every machine finds the same latent. The decoder never knows.

Where a latent has to fit so many bits, bits below that limit are free: the search lowers lmbda until the latent fits, and
from there on only takes what lessens the error within the limit.

Source: Campos et al. 2019, arXiv 1906.01223 (content-adaptive refinement), here as a discrete search.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np
from numpy.typing import NDArray

from mnistzip.coding.latent_cost import BIT, COST, LMBDA_SHIFT, first_latents
from mnistzip.models.latent_prior import SYMBOLS
from mnistzip.models.registry import Model
from mnistzip.models.transforms import chunks
from mnistzip.nn.backward import LayerTape
from mnistzip.tiling import TILE
from mnistzip.types import Bools, Integers, Pixels

PASSES = (0, 2, 5, 9, 15, 25, 40, 70, 120, 200)  # at effort 0..9
KICKS = (0, 0, 0, 0, 0, 0, 0, 0, 20, 100)
FIRST_MOVES = 8  # symbols moved at once in the first pass
MOST_MOVES = 40
KICK_MOVES, KICK_PASSES = 3, 4  # first moves and passes after a kick
FIT_PASSES = (0, 15, 20, 30, 40, 60, 60, 80, 100, 120)  # the same where there is a limit
FIT_KICKS = (0, 0, 0, 0, 0, 0, 10, 25, 60, 150)
FIT_STARTS = (0, 4, 8)  # qualities below the one asked for, whose analysis the search begins from; the best end counts
FIT_MOVES = 4  # symbols moved at once where lmbda was lowered and nothing was left to move
LATE_PASSES, LATE_KICKS = 80, 20  # more of them for images that are still above their limit, lmbda lowered in every pass
TOGETHER = 32  # images searched together

STATE = ("y", "bits", "error", "weight", "up", "down", "slope")

Ints = NDArray[np.int64]

# A fixed image of signs that look random: the 17th bit of multiples of 2^32 over the golden ratio.
SIGNS = (1 - 2 * (np.arange(1, TILE * TILE + 1) * 2654435769 >> 16 & 1)).astype(np.float32).reshape(TILE, TILE)


def refine(
    model: Model,
    x: Pixels,
    inside: Bools,
    y: Ints,
    row: Integers,
    effort: int,
    tick: Callable[[int], None] | None = None,
) -> Ints:
    """Better symbols for tiles.

    Args:
        x: tiles, shape ``(N, 28, 28)``.
        inside: which pixels the picture covers; errors of the others count nothing. Shape ``(N, 28, 28)``.
        y: the symbols to begin from, shape ``(N, 196)``.
        row: index of each tile's quality, shape ``(N,)``.
        effort: 0..9, how long to search.
        tick: told of tiles whose search is done.

    Returns:
        Symbols, shape ``(N, 196)``.
    """
    if not PASSES[effort]:
        return y
    out = y.copy()
    for part in chunks(len(x), TOGETHER):
        search = _Search(model, x[part], inside[part], y[part], row[part])
        search.descend(PASSES[effort], FIRST_MOVES)
        for _ in range(KICKS[effort]):
            search.kick()
        out[part] = search.y
        if tick is not None:
            tick(len(search.y))
    return out


def fit(model: Model, x: Pixels, inside: Bools, row: Integers, effort: int, limit: Ints) -> Ints:
    """Symbols of least error within so many bits, as far as the search finds some.

    Args:
        x: tiles, shape ``(N, 28, 28)``.
        inside: which pixels the picture covers; errors of the others count nothing. Shape ``(N, 28, 28)``.
        row: index of each tile's quality, shape ``(N,)``.
        effort: 0..9, how long to search; at 0 the symbols are those of the analysis, whether they fit or not.
        limit: most bits of each image in units of :data:`COST`, shape ``(N,)``.

    Returns:
        Symbols, shape ``(N, 196)``.
    """
    if not FIT_PASSES[effort]:
        return first_latents(model, x, inside, row)
    out = np.empty((len(x), SYMBOLS), np.int64)
    for part in chunks(len(x), TOGETHER):
        found: _Search | None = None
        for lower in FIT_STARTS:
            y = first_latents(model, x[part], inside[part], np.maximum(row[part] - lower, 0))
            search = _Search(model, x[part], inside[part], y, row[part], limit[part])
            search.descend(FIT_PASSES[effort], FIRST_MOVES)
            if found is None:
                found = search
            else:
                found.adopt(search)
        assert found is not None
        for number in range(FIT_KICKS[effort] + LATE_KICKS):
            late = number >= FIT_KICKS[effort]
            if late and not found.above.any():
                break
            found.kick(only_above=late)
        out[part] = found.y
    return out


class _Search:
    """Some images, their symbols, and what each symbol's move up or down would change, to first order.

    Attributes:
        y: symbols, (N, 196).
        bits, error: what they cost, in units of :data:`COST` and in squared grey levels, (N,).
        weight: of the squared error, in the unit of the model's ``lmbda``, (N,).
        up, down: the change in bits that moving a symbol by one promises, (N, 196).
        slope: the gradient of the squared error, (N, 196).
    """

    def __init__(self, model: Model, x: Pixels, inside: Bools, y: Ints, row: Integers, limit: Ints | None = None) -> None:
        self._model, self._x, self._inside, self._row = model, x, inside, row
        self._fitting = limit is not None
        self._limit = np.zeros(len(x), np.int64) if limit is None else limit
        self.y = y.copy()
        self.weight = model.lmbda[row]
        self.bits = np.full(len(x), np.iinfo(np.int32).max, np.int64)
        self.error = self.bits.copy()
        self.up, self.down, self.slope = (np.empty(y.shape) for _ in range(3))
        self._curvature: Ints | None = None
        self._kicked = np.zeros(y.shape, bool)
        self.attempt(np.arange(len(x)), y)

    def descend(self, passes: int, first_moves: int) -> None:
        """Move symbols for which less cost is promised until none is left."""
        moves = np.full(len(self.y), first_moves)
        tried = np.zeros(self.y.shape, bool)  # moved alone, in vain
        above = self.above
        for number in range(passes + LATE_PASSES):
            late = number >= passes
            if late and not above.any():
                break
            promised, direction = self.promised()
            change = np.where(tried, np.inf, promised)
            rank = np.argsort(np.argsort(change, axis=1, kind="stable"), axis=1, kind="stable")
            moved = (rank < moves[:, None]) & (change < 0) & (above | (not late))[:, None]
            idle = ~moved.any(axis=1)
            slow = idle | (moves == 1)
            active = np.flatnonzero(~idle)
            if len(active):
                better = self.attempt(active, (self.y + np.where(moved, direction, 0))[active])
                won, lost = active[better], active[~better]
                alone = lost[moves[lost] == 1]
                tried[alone] |= moved[alone]
                moves[won] = np.clip(moves[won] * 3 // 2, 2, MOST_MOVES)
                moves[lost] = np.maximum(moves[lost] // 2, 1)
            above = self.above
            self.weight[above & (slow | late)] = self.weight[above & (slow | late)] * 4 // 5
            moves[above & idle] = FIT_MOVES
            tried[above & idle] = False
            if not len(active) and not above.any():
                break

    @property
    def above(self) -> NDArray[np.bool_]:
        """Which images take more bits than they may: (N,)."""
        return self._fitting & (self.bits > self._limit)

    def kick(self, only_above: bool = False) -> None:
        """Make the move that promises least loss among those not yet made so, search from there, and keep what is better.

        With ``only_above``, images that are within their limit stay as they are, so that they do not hang on others of a batch.
        """
        everyone = np.arange(len(self.y))
        promised, direction = self.promised()
        at = np.where(self._kicked, np.inf, promised).argmin(axis=1)
        self._kicked[everyone, at] = True
        symbols = self._model.transforms.symbols
        y = self.y.copy()
        y[everyone, at] = np.clip(y[everyone, at] + direction[everyone, at], symbols.low, symbols.high)
        other = copy(self)
        for name in STATE:
            setattr(other, name, getattr(self, name).copy())
        other.bits[:] = other.error[:] = np.iinfo(np.int32).max
        other.attempt(everyone, y)
        other.descend(KICK_PASSES, KICK_MOVES)
        self.adopt(other, only_above)

    def adopt(self, other: _Search, only_above: bool = False) -> None:
        """Take over what another search of the same images found better."""
        everyone = np.arange(len(self.y))
        won = self.better(everyone, other.bits, other.error)
        if self._fitting:
            now, then = np.maximum(self.bits, self._limit), np.maximum(other.bits, self._limit)
            won = (then < now) | ((then == now) & (other.error < self.error))
        if only_above:
            won &= self.above
        for name in STATE:
            getattr(self, name)[won] = getattr(other, name)[won]

    def promised(self) -> tuple[NDArray[np.float64], Ints]:
        """The change of cost in bits that the better move of each symbol promises, and that move, 1 or -1: (N, 196)."""
        lmbda = (self.weight / (BIT << LMBDA_SHIFT))[:, None]  # bits per squared grey level
        assert self._curvature is not None
        curved = 0.5 * lmbda * self._curvature[:, None]
        room = ((self._limit - self.bits) / BIT)[:, None]
        free = np.maximum(room, 0)
        up = np.maximum(self.up, room) - free + lmbda * self.slope + curved
        down = np.maximum(self.down, room) - free - lmbda * self.slope + curved
        return np.minimum(up, down), np.where(up < down, 1, -1)

    def better(self, which: Ints, bits: Ints, error: Ints) -> NDArray[np.bool_]:
        """Whether images would cost less with so many bits and so much error; what fits the limit must go on to."""
        limit, weight = self._limit[which], self.weight[which]
        now = (np.maximum(self.bits[which], limit) << LMBDA_SHIFT) + weight * self.error[which]
        less: NDArray[np.bool_] = (np.maximum(bits, limit) << LMBDA_SHIFT) + weight * error < now
        return less & ((bits <= limit) | (self.bits[which] > limit))

    def attempt(self, which: Ints, y: Ints) -> NDArray[np.bool_]:
        """Give images other symbols where that lowers their cost; whether it did."""
        row = self._row[which]
        freqs, prior_tape = self._model.prior.frequencies(y, row)
        x_hat, tapes = self._model.transforms.trace(y, row)
        off = (x_hat.astype(np.int64) - self._x[which]) * self._inside[which]
        bits = COST[_at(freqs, y.T - self._model.prior.low)].sum(axis=0)
        error = np.square(off).reshape(len(y), TILE * TILE).sum(axis=1)
        better = self.better(which, bits, error)
        won = which[better]
        if len(won):
            self.y[won], self.bits[won], self.error[won] = y[better], bits[better], error[better]
            tapes = tuple(tape.select(better) for tape in tapes)
            if self._curvature is None:
                self._curvature = self._probed(tapes, self._inside[which][better], row[better])
            self.slope[won] = self._model.transforms.back(tapes, 2 * off[better].astype(np.float32), row[better])
            self._promise(won, freqs[:, :, better], self._model.prior.back(prior_tape.select(better), y[better]))
        return better

    def _probed(self, tapes: tuple[LayerTape, ...], inside: Bools, row: Integers) -> Ints:
        """How much squared error moving a symbol by one makes where the gradient is zero, mean of the symbols inside: (N,).

        An image of random signs, taken back through the synthesis, has at each symbol the expected square of that symbol's
        effect on the grey levels (Hutchinson 1990).
        """
        squares = np.square(self._model.transforms.back(tapes, SIGNS * inside, row))
        pixels = inside.reshape(len(inside), -1).sum(axis=1)
        mean: Ints = np.rint(squares).astype(np.int64).sum(axis=1) * (TILE * TILE) // (SYMBOLS * pixels)
        return mean

    def _promise(self, which: Ints, freqs: Ints, later: NDArray[np.float32]) -> None:
        """Note how moves would change the bits, given the gradient by way of later symbols."""
        symbols = self._model.transforms.symbols
        y = self.y[which]
        index = y.T - symbols.low
        own = COST[_at(freqs, index)]
        up = (COST[_at(freqs, np.minimum(index + 1, symbols.high - symbols.low))] - own).T / BIT + later
        down = (COST[_at(freqs, np.maximum(index - 1, 0))] - own).T / BIT - later
        self.up[which] = np.where(y < symbols.high, up, np.inf)
        self.down[which] = np.where(y > symbols.low, down, np.inf)


def _at(freqs: Ints, index: Ints) -> Ints:
    """The frequency of each symbol: (196, values, N) at (196, N)."""
    return np.take_along_axis(freqs, index[:, None], 1)[:, 0]
