"""The entropy model of latents of any size: integer distributions of each symbol, given the quality and the symbols before it.

The 16 channels are coded in four groups of 4. Within a group the positions follow :mod:`~mnistzip.models.grey.coding_order`,
and the channels of a step follow each other. All in exact integers::

    neighbours in the group    groups before, at the position and next to it      channels before, at the position
    |              |                      |              |                                   |
    | logarithms   | symbols              | logarithms   | symbols                           | symbols and logarithms
    v              |                      v              |                                   |
    around --------|----> hidden <---- before            |                                   |
                   |        |  mix, gain                 |                                   |
                   v        v  head                      v                                   v
              linear ----> mean and scale <---- linear before <----------------------- within

A network sees the logarithms of symbols, so that pictures of all qualities look alike to it. The linear part sees the symbols
themselves, so that large ones are predicted as precisely as small ones.

Sources: He et al. 2021, arXiv 2103.15306, and Minnen and Singh 2020, arXiv 2007.08739 (checkerboards and groups of channels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mnistzip.errors import ModelError
from mnistzip.models.grey.coding_order import GRIDS, STEP_TABLES, TAPS, Step, steps
from mnistzip.models.grey.distribution import MEAN_BITS, SCALES, Distributions, Shape
from mnistzip.nn.exact import ACTIVATIONS, Affine, Range, check_exact, exact_matmul, requantize, require_shape
from mnistzip.nn.layers import GAIN_SHIFT
from mnistzip.nn.operations import convolve
from mnistzip.types import Floats, Integers

CHANNELS, GROUP = 16, 4  # of the latent, and those that are coded together
GROUPS = CHANNELS // GROUP
SYMBOL_MAX = 127
LOG_SHIFT = 5  # logarithms are in 32nds of a power of two
LOGS = np.rint((1 << LOG_SHIFT) * np.log2(1 + np.arange(SYMBOL_MAX + 1))).astype(np.int64)  # any libm gives this table
PRESENT = 1 << LOG_SHIFT  # of a position within the latent
SCALE_BITS = 4  # the index of a scale is computed in 16ths
SEEN = 2 * GROUP + 1  # logarithms, their magnitudes, and PRESENT
LINEAR_SHIFT = 16  # of a linear prediction times its gain
HEAD = Range(-(1 << 16), 1 << 16)
MEAN = Range(-(SYMBOL_MAX << MEAN_BITS), SYMBOL_MAX << MEAN_BITS)

NextSymbols = Callable[[Distributions], Integers]  # the next symbols, as indices into their alphabets: (n,)


def features(y: Integers) -> Floats:
    """What networks see of symbols: signed logarithms and magnitudes, (..., C) -> (..., 2 * C)."""
    size = LOGS[np.abs(y)].astype(np.float32)
    return np.concatenate([np.sign(y) * size, size], axis=-1)


@dataclass(frozen=True, eq=False)
class GroupPrior:
    """Weights for the channels of one group. Those of :attr:`around` and :attr:`before` are multiples of ``unit``.

    Attributes:
        around: what each refinement's rounds see of the group, shape ``(8, 12 * 9, hidden)``.
        before: what is seen of the groups before, shape ``(3 * 3 * 8 * group, hidden)``; None for the first group.
        bias: per quality and kind of step, with the 1/2 of rounding, shape ``(qualities, 9, hidden)``.
        unit: powers of two, shape ``(hidden,)``.
        mix, mix_bias: hidden to narrow; the bias is per quality.
        gain: of narrow, per quality, in 256ths.
        head, head_bias: narrow to 4 means and 4 scales.
        within: ``(4 + 4, 8)``, symbols and magnitudes at the position to means and scales; shifted by ``within_shift``.
        linear_around: ``(8, 12 * 4, 4)``, and ``linear_before``: ``(3 * 3 * 4 * group, 4)``, symbols to means.
        linear_gain: per quality, ``(qualities, 4)``; the product is shifted by :data:`LINEAR_SHIFT`.
    """

    around: Floats
    before: Floats | None
    bias: Floats
    unit: Floats
    mix: Affine
    mix_bias: Floats
    gain: Floats
    head: Affine
    head_bias: Floats
    within: Integers
    within_shift: int
    linear_around: Floats
    linear_before: Floats | None
    linear_gain: Integers

    def check_exact(self, group: int) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless shapes fit, all sums are exact, and no channel sees later ones."""
        name = f"prior {group}"
        qualities, hidden = len(self.bias), self.around.shape[2]
        require_shape(self.around.shape == (2 * len(GRIDS), TAPS * SEEN, hidden), name)
        require_shape(self.bias.shape == (qualities, STEP_TABLES, hidden) and self.unit.shape == (hidden,), name)
        require_shape((self.before is None) == (self.linear_before is None) == (group == 0), name)
        peak = np.full(TAPS * SEEN, float(LOGS[-1]), np.float32)
        bias = np.abs(self.bias).max(axis=(0, 1)).astype(np.float64)
        around_peak, linear = peak, np.abs(self.linear_around).sum(axis=1).max(axis=0) * SYMBOL_MAX
        require_shape(self.linear_around.shape == (2 * len(GRIDS), TAPS * GROUP, GROUP), name)
        if self.before is not None and self.linear_before is not None:
            require_shape(self.before.shape == (9 * 2 * GROUP * group, hidden), name)
            require_shape(self.linear_before.shape == (9 * GROUP * group, GROUP), name)
            bias = bias + np.abs(self.before).sum(axis=0, dtype=np.float64) * float(LOGS[-1])
            linear = linear + np.abs(self.linear_before).sum(axis=0) * SYMBOL_MAX
        for weight in self.around:
            check_exact(name, weight, around_peak, bias, self.unit)
        if linear.max() > 1 << 24:
            raise ModelError(f"{name}: its linear sums could reach {linear.max():.0f}, beyond {1 << 24}")
        self.mix.check_exact(ACTIVATIONS.high, np.abs(self.mix_bias).max(axis=0))
        require_shape(self.mix.weight.shape[0] == hidden, name)
        narrow = self.mix.weight.shape[1]
        require_shape(self.mix_bias.shape == (qualities, narrow) == self.gain.shape, name)
        check_exact(name, np.abs(self.gain).max(axis=0)[None], ACTIVATIONS.high, 1 << GAIN_SHIFT - 1)
        self.head.check_exact(ACTIVATIONS.high, np.abs(self.head_bias).max(axis=0))
        require_shape(self.head.weight.shape == (narrow, 2 * GROUP) and self.head_bias.shape == (qualities, 2 * GROUP), name)
        require_shape(self.within.shape == (2 * GROUP, 2 * GROUP) and self.linear_gain.shape == (qualities, GROUP), name)
        channel = np.arange(2 * GROUP) % GROUP
        if self.within[channel[:, None] >= channel].any():
            raise ModelError(f"{name} is not causal: a symbol's distribution would depend on later symbols")


@dataclass(frozen=True, eq=False)
class GreyPrior:
    """The prior.

    Attributes:
        groups: the weights of each group.
        shape: of the distributions.
        bounds: the largest symbol of each channel at each quality, ``(qualities, 16)``; 0 where a channel is not coded.
    """

    groups: tuple[GroupPrior, ...]
    shape: Shape
    bounds: Integers

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless the weights fit and every sum is exact."""
        self.shape.require_valid()
        require_shape(len(self.groups) == GROUPS and self.bounds.shape == (len(self.groups[0].bias), CHANNELS), "prior")
        if self.bounds.min() < 0 or self.bounds.max() > SYMBOL_MAX:
            raise ModelError("a bound of the symbols is out of range")
        for group, weights in enumerate(self.groups):
            weights.check_exact(group)

    @property
    def macs(self) -> int:
        """Multiply-adds for each position of a latent."""
        count = 0
        for each in self.groups:
            count += each.around[0].size + each.mix.weight.size + each.head.weight.size + each.linear_around[0].size
            if each.before is not None and each.linear_before is not None:
                count += each.before.size + each.linear_before.size
        return count

    def symbols(self, height: int, width: int, quality: int) -> int:
        """How many symbols code a latent of ``height`` x ``width`` positions at a quality, an index from 0."""
        return height * width * int((self.bounds[quality] > 0).sum())

    def decode(self, n: int, height: int, width: int, quality: int, next_symbols: NextSymbols) -> Integers:
        """Decode n latents of one size and quality.

        Args:
            next_symbols: decodes the next symbols; of each latent those of the positions of a step, in turn.

        Returns:
            Symbols, shape ``(n, height, width, 16)``.
        """
        y = np.zeros((n, height, width, CHANNELS), np.int64)
        self._walk(y, quality, lambda distributions, _: next_symbols(distributions) - distributions.bound)
        return y

    def intervals(self, y: Integers, quality: int) -> tuple[Integers, Integers]:
        """Starts and frequencies of the symbols of n latents in coding order: (n, symbols) each."""
        n = len(y)
        starts: list[Integers] = [np.zeros((n, 0), np.int64)]
        freqs: list[Integers] = [np.zeros((n, 0), np.int64)]

        def note(distributions: Distributions, values: Integers) -> Integers:
            start, freq = distributions.interval(values + distributions.bound)
            starts.append(start.reshape(n, -1))
            freqs.append(freq.reshape(n, -1))
            return values

        self._walk(y.copy(), quality, note)
        return np.concatenate(starts, axis=1), np.concatenate(freqs, axis=1)

    def distributions(self, y: Integers, quality: int) -> Iterator[tuple[slice, slice, int, Distributions]]:
        """The distributions of the symbols of one latent ``(1, h, w, 16)``: rows, columns and channel, then those of their
        symbols.
        """
        found: list[Distributions] = []

        def note(distributions: Distributions, values: Integers) -> Integers:
            found.append(distributions)
            return values

        self._walk(y.copy(), quality, note)
        each = iter(found)
        for group in range(GROUPS):
            channels = [k for k in range(GROUP * group, GROUP * (group + 1)) if self.bounds[quality, k]]
            for step in steps(*y.shape[1:3]) if channels else ():
                for channel in channels:
                    yield step.rows, step.columns, channel, next(each)

    def _walk(self, y: Integers, quality: int, visit: Callable[[Distributions, Integers], Integers]) -> None:
        """Visit the symbols in coding order: ``visit`` gets distributions and the values of ``y``, and returns the symbols."""
        height, width = y.shape[1:3]
        for group, weights in enumerate(self.groups):
            channels = slice(GROUP * group, GROUP * (group + 1))
            bounds = self.bounds[quality, channels]
            if not bounds.any():
                continue
            own, known = y[..., channels], y[..., : GROUP * group]
            before: Floats | float = 0.0
            linear_before: Floats | float = 0.0
            if weights.before is not None and weights.linear_before is not None:
                before = convolve(features(known), weights.before, 3)
                linear_before = convolve(known.astype(np.float32), weights.linear_before, 3)
            for step in steps(height, width):
                mean, scale = self._step(weights, step, own, before, linear_before, quality)
                self._visit_step(weights, step, own, mean, scale, bounds, visit)

    def _step(
        self,
        weights: GroupPrior,
        step: Step,
        own: Integers,
        before: Floats | float,
        linear_before: Floats | float,
        quality: int,
    ) -> tuple[Integers, Integers]:
        """Means in 256ths and scales in 16ths of the positions of a step, (N, rows, columns, 4), without ``within``."""
        at = slice(None), step.rows, step.columns
        hidden = np.broadcast_to(weights.bias[quality, step.table], (*own[at].shape[:3], weights.bias.shape[2])).copy()
        linear = np.zeros(own[at].shape, np.float32)
        if isinstance(before, np.ndarray) and isinstance(linear_before, np.ndarray):
            hidden += before[at]
            linear += linear_before[at]
        if step.neighbours:
            present = np.full((*own.shape[:3], 1), PRESENT, np.float32)
            seen = step.gather(np.concatenate([features(own), present], axis=-1))
            hidden += exact_matmul(seen, weights.around[step.table - 1])
            linear += exact_matmul(step.gather(own.astype(np.float32)), weights.linear_around[step.table - 1])
        requantize(hidden, ACTIVATIONS)
        flat = hidden.reshape(-1, hidden.shape[-1])
        total = exact_matmul(flat, weights.mix.weight)
        total += weights.mix.bias + weights.mix_bias[quality]
        narrow = requantize(total, ACTIVATIONS)
        narrow = narrow * (weights.gain[quality] * np.float32(2.0**-GAIN_SHIFT)) + np.float32(0.5)
        requantize(narrow, ACTIVATIONS)
        out = exact_matmul(narrow, weights.head.weight)
        out += weights.head.bias + weights.head_bias[quality]
        out = requantize(out, HEAD).reshape(*hidden.shape[:3], 2 * GROUP).astype(np.int64)
        product = linear.astype(np.int64) * weights.linear_gain[quality]
        mean = out[..., :GROUP] + (product + (1 << LINEAR_SHIFT - 1) >> LINEAR_SHIFT)
        return mean, out[..., GROUP:]

    def _visit_step(
        self,
        weights: GroupPrior,
        step: Step,
        own: Integers,
        mean: Integers,
        scale: Integers,
        bounds: Integers,
        visit: Callable[[Distributions, Integers], Integers],
    ) -> None:
        """Visit the channels of a step; ``own`` takes the symbols."""
        at = slice(None), step.rows, step.columns
        half = 1 << weights.within_shift - 1
        for channel in range(GROUP):
            bound = int(bounds[channel])
            if not bound:
                continue
            here = own[at]
            same = np.concatenate([here, LOGS[np.abs(here)]], axis=-1)
            moved = (same @ weights.within[:, [channel, GROUP + channel]] + half) >> weights.within_shift
            centre = np.clip(mean[..., channel] + moved[..., 0], MEAN.low, MEAN.high)
            index = (scale[..., channel] + moved[..., 1] + (1 << SCALE_BITS - 1)) >> SCALE_BITS
            index = np.clip(index, 0, SCALES - 1)
            distributions = Distributions(self.shape, centre.reshape(-1), index.reshape(-1), bound)
            here[..., channel] = visit(distributions, here[..., channel].reshape(-1)).reshape(centre.shape)
