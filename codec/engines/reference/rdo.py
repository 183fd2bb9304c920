"""Rate-distortion optimized quantization: a search for the latent of least bits + lmbda * squared error.

The analysis network quantizes a latent in one step. The search goes on from there to a cheaper one. It minimizes

    J(y) = bits(y) + lmbda * |x - x_hat(y)|^2

and starts from the symbols of the analysis. In each pass it moves the symbols with the largest predicted gain by one. The
predicted change of J for a move d of symbol i has three terms:

    exact change of the code length of symbol i
    + d * dJ/dy_i           the gradient through later symbols and through the image
    + lmbda * curvature     the mean squared error that a move by one adds

All moves of a pass are tried together. If they do not lower the cost of an image, they are undone, and the next pass moves
fewer symbols. High efforts then perturb the latent: they make moves with a predicted loss, continue the search from there, and
keep the result if its cost is lower.

:class:`CostSearch` minimizes the cost at a fixed lmbda. :class:`BudgetSearch` minimizes the error within a number of bits: it
lowers lmbda until the latent fits. Then it accepts only moves that reduce the error and keep the limit.

Costs are integers, and the gradient is the same on every machine (see :mod:`mnistzip.nn.backward`), so every machine finds the
same latent. The decoder does not depend on the search.

Source: Campos et al. 2019, arXiv 1906.01223 (content-adaptive refinement), here as a discrete search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzip.engines.reference.latent_cost import first_latents
from mnistzip.entropy.cost import BIT, COST, LMBDA_SHIFT
from mnistzip.models.latent_prior import SYMBOLS, PriorTape
from mnistzip.models.registry import Model
from mnistzip.nn.backward import LayerTape
from mnistzip.threads import chunks, go_on
from mnistzip.tiling import TILE
from mnistzip.types import Bools, Floats, Integers, Pixels

PASSES = (0, 2, 5, 9, 15, 25, 40, 70, 120, 200)  # at effort 0..9
PERTURBATIONS = (0, 0, 0, 0, 0, 0, 0, 0, 20, 100)
FIRST_MOVES = 8  # symbols moved at once in the first pass
MOVES_MAX = 40  # symbols moved at once
PERTURBED_MOVES, PERTURBED_PASSES = 3, 4  # first moves after a perturbation, and passes without a budget
BUDGET_PASSES = (0, 15, 20, 30, 40, 60, 60, 80, 100, 120)  # at effort 0..9, with a budget
BUDGET_PERTURBATIONS = (0, 0, 0, 0, 0, 0, 10, 25, 60, 150)
BUDGET_PERTURBED_PASSES = (0, 4, 4, 4, 4, 4, 4, 4, 4, 16)
BUDGET_STARTS = (0, 3, 3, 3, 3, 3, 3, 3, 3, 8)  # the best of several searches is used
START_PERTURBATIONS = (0, 0, 0, 0, 0, 0, 0, 0, 0, 40)  # of each of them
LOWER = (0, 4, 8, 2, 6, 11, -4, 14)  # qualities below the requested one whose analyses they start from
BUDGET_MOVES = 4  # symbols moved at once after lmbda was lowered because no move was left
LATE_PASSES, LATE_PERTURBATIONS = 80, 20  # further ones for images above their limit; each pass lowers lmbda
EFFECT_MAX = 1 << 20  # of a symbol on the image, so that the sum of all squares fits; trained models stay far below
SEARCHED_TOGETHER = 32  # latents

Doubles = NDArray[np.float64]

# A fixed image of pseudo-random signs: the 17th bit of multiples of 2^32 over the golden ratio. Shape (28, 28).
SIGNS = (1 - 2 * (np.arange(1, TILE * TILE + 1) * 2654435769 >> 16 & 1)).astype(np.float32).reshape(TILE, TILE)


def refine(
    model: Model,
    x: Pixels,
    inside: Bools,
    y: Integers,
    quality_index: Integers,
    effort: int,
    tick: Callable[[int], None] | None = None,
) -> Integers:
    """Symbols of lower cost.

    Args:
        x: tiles, shape ``(N, 28, 28)``.
        inside: which pixels the image covers; errors of the others are ignored. Shape ``(N, 28, 28)``.
        y: the symbols to start from, shape ``(N, 196)``.
        quality_index: of each tile, shape ``(N,)``.
        effort: 0..9, how long to search.
        tick: called with the number of tiles whose search has ended.

    Returns:
        Symbols, shape ``(N, 196)``.
    """
    if not PASSES[effort]:
        return y
    out = y.copy()
    for part in chunks(len(x), SEARCHED_TOGETHER):
        go_on()
        search = CostSearch(model, x[part], inside[part], quality_index[part], y[part])
        search.descend(PASSES[effort], FIRST_MOVES)
        for _ in range(PERTURBATIONS[effort]):
            search.perturb(PERTURBED_PASSES)
        out[part] = search.state.y
        if tick is not None:
            tick(len(x[part]))
    return out


def refine_to_budget(model: Model, x: Pixels, inside: Bools, quality_index: Integers, effort: int, limit: Integers) -> Integers:
    """Symbols of least error within a number of bits. The search may fail: symbols may exceed the limit.

    Args:
        x: tiles, shape ``(N, 28, 28)``.
        inside: which pixels the image covers; errors of the others are ignored. Shape ``(N, 28, 28)``.
        quality_index: of each tile, shape ``(N,)``.
        effort: 0..9, how long to search; 0 returns the symbols of the analysis whether they fit or not.
        limit: bits allowed for each tile in units of :data:`COST`, shape ``(N,)``.

    Returns:
        Symbols, shape ``(N, 196)``.
    """
    if not BUDGET_PASSES[effort]:
        return first_latents(model, x, inside, quality_index)
    out = np.empty((len(x), SYMBOLS), np.int64)
    passes = BUDGET_PERTURBED_PASSES[effort]
    for part in chunks(len(x), SEARCHED_TOGETHER):
        searches = []
        for lower in LOWER[: BUDGET_STARTS[effort]]:
            go_on()
            y = first_latents(model, x[part], inside[part], np.clip(quality_index[part] - lower, 0, len(model.lmbda) - 1))
            searches.append(BudgetSearch(model, x[part], inside[part], quality_index[part], y, limit[part]))
            searches[-1].descend(BUDGET_PASSES[effort], FIRST_MOVES)
            for _ in range(START_PERTURBATIONS[effort]):
                searches[-1].perturb(passes)
        search, *others = searches
        for other in others:
            search.adopt(other.state)
        for _ in range(BUDGET_PERTURBATIONS[effort]):
            search.perturb(passes)
        search.only_above = True
        for _ in range(LATE_PERTURBATIONS):
            if not search.above.any():
                break
            search.perturb(passes)
        out[part] = search.state.y
    return out


class State(NamedTuple):
    """The symbols of some tiles, their cost, and how a move of each symbol by one would change it, to first order.

    Attributes:
        y: symbols, shape ``(N, 196)``.
        bits: ideal code length in units of :data:`COST`, shape ``(N,)``.
        error: squared error in squared grey levels, shape ``(N,)``.
        weight: of the squared error, in the unit of the model's ``lmbda``, shape ``(N,)``.
        up, down: predicted change in bits if a symbol rises or falls by one, shape ``(N, 196)``.
        slope: gradient of the squared error, shape ``(N, 196)``.
    """

    y: Integers
    bits: Integers
    error: Integers
    weight: Integers
    up: Doubles
    down: Doubles
    slope: Doubles

    def copy(self) -> State:
        return State._make(array.copy() for array in self)

    def replace(self, which: Bools, other: State) -> None:
        """Take the chosen tiles from another state of the same tiles."""
        for array, others in zip(self, other, strict=True):
            array[which] = others[which]


class Trial(NamedTuple):
    """Symbols that are tried, and what the networks made of them.

    Attributes:
        y: symbols, shape ``(N, 196)``.
        bits, error: as in :class:`State`, shape ``(N,)``.
        off: decoded minus original grey levels, 0 outside the image, shape ``(N, 28, 28)``.
        freqs: of every value of every symbol, shape ``(196, values, N)``.
        prior_tape, tapes: what the gradients through prior and synthesis need.
    """

    y: Integers
    bits: Integers
    error: Integers
    off: Integers
    freqs: Integers
    prior_tape: PriorTape
    tapes: tuple[LayerTape, ...]

    def select(self, which: Bools) -> Trial:
        """The trial of some of the tiles."""
        tapes = tuple(tape.select(which) for tape in self.tapes)
        arrays = self.y[which], self.bits[which], self.error[which], self.off[which], self.freqs[:, :, which]
        return Trial(*arrays, self.prior_tape.select(which), tapes)


class CostSearch:
    """Searches some tiles for the symbols of least bits + lmbda * squared error, from given symbols on."""

    def __init__(self, model: Model, x: Pixels, inside: Bools, quality_index: Integers, y: Integers) -> None:
        self._model, self._x, self._inside, self._quality_index = model, x, inside, quality_index
        self._all_tiles = np.arange(len(x))
        self._perturbed = np.zeros(y.shape, bool)
        bits, error = np.zeros((2, len(x)), np.int64)
        self.state = State(y.copy(), bits, error, model.lmbda[quality_index], *np.zeros((3, *y.shape)))
        trial = self._evaluate(self._all_tiles, y)
        self._curvature = self._mean_curvature(trial.tapes)
        self._update(self._all_tiles, trial)

    def descend(self, passes: int, first_moves: int) -> None:
        """Move symbols until no move has a predicted gain, or for a number of passes."""
        moves = np.full(len(self._x), first_moves)
        failed = np.zeros(self.state.y.shape, bool)
        for _ in range(passes):
            if self._step(moves, failed, np.ones(len(self._x), bool)).all():
                break

    def _step(self, moves: Integers, failed: Bools, allowed: Bools) -> Bools:
        """One pass.

        Args:
            moves: how many symbols of each tile to move at most; changed in place, shape ``(N,)``.
            failed: symbols whose move alone raised the cost; changed in place, shape ``(N, 196)``.
            allowed: which tiles may change, shape ``(N,)``.

        Returns:
            Which tiles had no move to make, shape ``(N,)``.
        """
        gain, direction = self._predicted_gain()
        gain = np.where(failed, -np.inf, gain)
        rank = np.argsort(np.argsort(-gain, axis=1, kind="stable"), axis=1, kind="stable")
        moved = (rank < moves[:, None]) & (gain > 0) & allowed[:, None]
        idle: Bools = np.logical_not(moved.any(axis=1))
        active = np.flatnonzero(~idle)
        if len(active):
            better = self._attempt(active, (self.state.y + np.where(moved, direction, 0))[active])
            won, lost = active[better], active[~better]
            alone = lost[moves[lost] == 1]
            failed[alone] |= moved[alone]
            moves[won] = np.clip(moves[won] * 3 // 2, 2, MOVES_MAX)
            moves[lost] = np.maximum(moves[lost] // 2, 1)
        return idle

    def perturb(self, passes: int) -> None:
        """Make the move of least predicted loss that was not made before, search on from there, and keep what is better."""
        gain, direction = self._predicted_gain()
        symbol = np.where(self._perturbed, -np.inf, gain).argmax(axis=1)
        self._perturbed[self._all_tiles, symbol] = True
        symbols = self._model.transforms.symbols
        y = self.state.y.copy()
        moved = y[self._all_tiles, symbol] + direction[self._all_tiles, symbol]
        y[self._all_tiles, symbol] = np.clip(moved, symbols.low, symbols.high)
        best, self.state = self.state, self.state.copy()
        self._update(self._all_tiles, self._evaluate(self._all_tiles, y))
        self.descend(passes, PERTURBED_MOVES)
        other, self.state = self.state, best
        self.adopt(other)

    def adopt(self, other: State) -> None:
        """Take what another search of the same tiles found better."""
        self.state.replace(self._is_better(self._all_tiles, other.bits, other.error), other)

    def _is_better(self, which: Integers, bits: Integers, error: Integers) -> Bools:
        """Whether some tiles would cost less with these bits and errors: shape of ``which``."""
        weight = self.state.weight[which]
        now = (self.state.bits[which] << LMBDA_SHIFT) + weight * self.state.error[which]
        better: Bools = (bits << LMBDA_SHIFT) + weight * error < now
        return better

    def _attempt(self, which: Integers, y: Integers) -> Bools:
        """Give some tiles other symbols if that lowers their cost; returns whether it did."""
        trial = self._evaluate(which, y)
        better = self._is_better(which, trial.bits, trial.error)
        if better.any():
            self._update(which[better], trial.select(better))
        return better

    def _evaluate(self, which: Integers, y: Integers) -> Trial:
        """What some tiles would cost with these symbols."""
        quality_index = self._quality_index[which]
        freqs, prior_tape = self._model.prior.frequencies(y, quality_index)
        x_hat, tapes = self._model.transforms.trace(y, quality_index)
        off = (x_hat.astype(np.int64) - self._x[which]) * self._inside[which]
        bits = COST[_frequency_at(freqs, y.T - self._model.prior.low)].sum(axis=0)
        error = np.square(off).reshape(len(y), TILE * TILE).sum(axis=1)
        return Trial(y, bits, error, off, freqs, prior_tape, tapes)

    def _update(self, which: Integers, trial: Trial) -> None:
        """Set the symbols of some tiles, and predict what further moves would change."""
        state, model = self.state, self._model
        state.y[which], state.bits[which], state.error[which] = trial.y, trial.bits, trial.error
        state.slope[which] = model.transforms.back(trial.tapes, 2 * trial.off.astype(np.float32), self._quality_index[which])
        later = model.prior.back(trial.prior_tape, trial.y)
        state.up[which], state.down[which] = self._predicted_bits(trial, later)

    def _predicted_bits(self, trial: Trial, later: Floats) -> tuple[Doubles, Doubles]:
        """How the bits change if each symbol rises or falls by one, given the gradient through later symbols: (N, 196) each."""
        symbols = self._model.transforms.symbols
        index = trial.y.T - symbols.low
        own = COST[_frequency_at(trial.freqs, index)]
        up = (COST[_frequency_at(trial.freqs, np.minimum(index + 1, symbols.high - symbols.low))] - own).T / BIT + later
        down = (COST[_frequency_at(trial.freqs, np.maximum(index - 1, 0))] - own).T / BIT - later
        return np.where(trial.y < symbols.high, up, np.inf), np.where(trial.y > symbols.low, down, np.inf)

    def _predicted_gain(self) -> tuple[Doubles, Integers]:
        """How much the better move of each symbol lowers the cost in bits, and that move, 1 or -1: (N, 196) each."""
        state = self.state
        lmbda = (state.weight / (BIT << LMBDA_SHIFT))[:, None]  # bits per squared grey level
        curved = 0.5 * lmbda * self._curvature[:, None]
        up = self._bounded_change(state.up) + lmbda * state.slope + curved
        down = self._bounded_change(state.down) - lmbda * state.slope + curved
        return -np.minimum(up, down), np.where(up < down, 1, -1)

    def _bounded_change(self, change: Doubles) -> Doubles:
        """Predicted changes in bits, bounded below by -bits: no latent takes fewer bits than 0."""
        return np.maximum(change, (-self.state.bits / BIT)[:, None])

    def _mean_curvature(self, tapes: tuple[LayerTape, ...]) -> Integers:
        """The squared error that a move by one adds at zero gradient, as a mean over the symbols inside: (N,).

        An image of random signs, taken back through the synthesis, has at each symbol the expected square of that symbol's
        effect on the grey levels (Hutchinson 1990).
        """
        effects = self._model.transforms.back(tapes, SIGNS * self._inside, self._quality_index)
        squares = np.square(effects.clip(-EFFECT_MAX, EFFECT_MAX))
        pixels = self._inside.reshape(len(self._inside), -1).sum(axis=1)
        mean: Integers = np.rint(squares).astype(np.int64).sum(axis=1) * (TILE * TILE) // (SYMBOLS * pixels)
        return mean


class BudgetSearch(CostSearch):
    """Searches some tiles for the symbols of least squared error within a limit of bits each. Bits below the limit are free.

    Attributes:
        only_above: whether :meth:`adopt` leaves tiles alone that are within their limit, so that they do not depend on the
            other tiles of a batch.
    """

    def __init__(self, model: Model, x: Pixels, inside: Bools, quality_index: Integers, y: Integers, limit: Integers) -> None:
        super().__init__(model, x, inside, quality_index, y)
        self._limit = limit  # bits in units of COST, (N,)
        self.only_above = False

    @property
    def above(self) -> Bools:
        """Which tiles take more bits than their limit: (N,)."""
        above: Bools = self.state.bits > self._limit
        return above

    def descend(self, passes: int, first_moves: int) -> None:
        """As :meth:`CostSearch.descend`, lowering lmbda for tiles above their limit; they get extra passes."""
        moves = np.full(len(self._x), first_moves)
        failed = np.zeros(self.state.y.shape, bool)
        weight = self.state.weight
        for number in range(passes + LATE_PASSES):
            late = number >= passes
            if late and not self.above.any():
                break
            single = moves == 1
            idle = self._step(moves, failed, self.above | (not late))
            above = self.above
            slow = above & (idle | single | late)
            weight[slow] = weight[slow] * 4 // 5
            moves[above & idle] = BUDGET_MOVES
            failed[above & idle] = False
            if idle.all() and not above.any():
                break

    def adopt(self, other: State) -> None:
        """Take the tiles for which another search is better: above the limit but nearer to it, or with less error."""
        now, then = np.maximum(self.state.bits, self._limit), np.maximum(other.bits, self._limit)
        better: Bools = (then < now) | ((then == now) & (other.error < self.state.error))
        self.state.replace(better & self.above if self.only_above else better, other)

    def _is_better(self, which: Integers, bits: Integers, error: Integers) -> Bools:
        """As :meth:`CostSearch._is_better`; a tile within its limit must stay there."""
        limit, weight, before = self._limit[which], self.state.weight[which], self.state.bits[which]
        now = (np.maximum(before, limit) << LMBDA_SHIFT) + weight * self.state.error[which]
        less: Bools = (np.maximum(bits, limit) << LMBDA_SHIFT) + weight * error < now
        return less & ((bits <= limit) | (before > limit))

    def _bounded_change(self, change: Doubles) -> Doubles:
        """Predicted changes of the bits above the limit."""
        room = ((self._limit - self.state.bits) / BIT)[:, None]
        return np.maximum(change, room) - np.maximum(room, 0)


def _frequency_at(freqs: Integers, index: Integers) -> Integers:
    """The frequency of one value of each symbol: (196, values, N) at (196, N)."""
    return np.take_along_axis(freqs, index[:, None], 1)[:, 0]
