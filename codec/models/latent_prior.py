r"""The entropy model of the latent: integer probabilities of each symbol, given all earlier symbols and the quality.

The 196 symbols are coded in the order row, column, channel: 49 positions of 4 symbols each. Two hidden layers and one head per
symbol, all of exact integers::

    y       (N, 196)       symbols; only earlier ones are seen
    |   \
    |    \  near_weight     a position sees the symbols of all earlier positions
    |     v
    |   near (N, 49 * a)   0..1023, + near_bias[quality]
    |     |
    |     |  far_weight    a symbol sees the near of its own and of earlier positions
    v     v
    far     (N, 196 * b)   0..1023, + far_bias[quality]; skip_weight: a symbol sees all earlier symbols
    |
    |  head_weight         b values of far to the logits of one symbol
    v
    logits  (196, values, N)   64ths of a power of two; see mnistzip.entropy.cdf for the frequencies

The encoder evaluates all symbols together, the decoder takes the same sums position by position. Sums of integers do not depend
on order, so both get the same logits bit for bit.

Sources: Germain et al. 2015, arXiv 1502.03509 (masks); Minnen et al. 2018, arXiv 1809.02736 (autoregressive priors);
He et al. 2022, arXiv 2202.07513 (integer priors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE, Cdf
from mnistzip.entropy.cost import TOTAL
from mnistzip.errors import ModelError
from mnistzip.limits import PRIOR_STATES_MAX
from mnistzip.nn.backward import GradientMatmul, unclipped
from mnistzip.nn.exact import (
    ACTIVATIONS,
    Range,
    check_exact,
    exact_matmul,
    power_of_two,
    requantize,
    require_shape,
    rounding_bias,
)
from mnistzip.types import Bools, Floats, Integers

CHANNELS, SIDE = 4, 7
POSITIONS = SIDE * SIDE
SYMBOLS = CHANNELS * POSITIONS
LOGITS = Range(-(1 << 15), (1 << 15) - 1)
MACS_PER_FREQUENCY = 8
LATENTS_PER_BATCH = 256  # evaluated together: small enough for the processor's cache


# Decodes the next symbol of each of N latents from N alphabets: indices into them, shape (N,).
NextSymbols = Callable[[Cdf], Integers]


@dataclass(frozen=True, eq=False)
class PriorTape:
    """States of the prior: ``near`` (N, 49 * a), ``far`` (N, 196 * b), ``freqs`` (196, values, N)."""

    near: Floats
    far: Floats
    freqs: Integers

    def select(self, latents: Bools) -> PriorTape:
        """The tape of some of the latents."""
        return PriorTape(self.near[latents], self.far[latents], self.freqs[:, :, latents])


@dataclass(frozen=True, eq=False)
class Prior:
    """Weights of the entropy model, divided as :mod:`mnistzip.nn.exact` says: multiples of the units of their outputs.

    Attributes:
        near_weight: ``(196, 49 * a)``, symbols to ``near``.
        far_weight: ``(49 * a, 196 * b)``, ``near`` to ``far``.
        skip_weight: ``(196, 196 * b)``, symbols to ``far``.
        head_weight: ``(196, b, values)``, ``far`` to logits.
        near_bias, far_bias: per quality, ``(qualities, 49 * a)`` and ``(qualities, 196 * b)``.
        head_bias: ``(196, values)``.
        near_unit, far_unit, head_unit: powers of two, ``(49 * a,)``, ``(196 * b,)``, ``(196, values)``.
        low: the smallest symbol; the alphabet is ``low .. low + values - 1``.
    """

    near_weight: Floats
    far_weight: Floats
    skip_weight: Floats
    head_weight: Floats
    near_bias: Floats
    far_bias: Floats
    head_bias: Floats
    near_unit: Floats
    far_unit: Floats
    head_unit: Floats
    low: int

    @classmethod
    def from_integers(
        cls,
        *,
        near_weight: Floats,
        far_weight: Floats,
        skip_weight: Floats,
        head_weight: Floats,
        near_bias: Floats,
        far_bias: Floats,
        head_bias: Floats,
        near_shift: Floats,
        far_shift: Floats,
        head_shift: Floats,
        low: int,
    ) -> Prior:
        """From the integers of a model file; shifts are how many bits each sum is divided by.

        Raises:
            ModelError: shapes do not fit, or a symbol's probabilities would depend on later symbols.
        """
        near, far, head = power_of_two(-near_shift), power_of_two(-far_shift), power_of_two(-head_shift)
        raw = cls(near_weight, far_weight, skip_weight, head_weight, near_bias, far_bias, head_bias, near, far, head, low)
        raw._require_shapes()
        raw._require_causal()
        return cls(
            near_weight=near_weight * near,
            far_weight=far_weight * far,
            skip_weight=skip_weight * far,
            head_weight=head_weight * head[:, None],
            near_bias=near_bias * near + rounding_bias(near_shift),
            far_bias=far_bias * far + rounding_bias(far_shift),
            head_bias=head_bias * head + rounding_bias(head_shift),
            near_unit=near,
            far_unit=far,
            head_unit=head,
            low=low,
        )

    @property
    def values(self) -> int:
        """Size of the alphabet."""
        return self.head_weight.shape[2]

    @property
    def macs(self) -> int:
        """Multiply-adds to decode a latent, roughly; frequencies take the square of the alphabet's size."""
        products = self.near_weight.size + self.far_weight.size + self.skip_weight.size + self.head_weight.size
        return products + MACS_PER_FREQUENCY * SYMBOLS * self.values**2

    @property
    def values_per_latent(self) -> int:
        """Numbers that a decoder keeps for each latent of a batch."""
        return 2 * self.near_weight.shape[1] + self.far_weight.shape[1]

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless every sum is exact in float32."""
        symbol = Range(self.low, self.low + self.values - 1).peak
        a = np.abs
        check_exact("prior near", self.near_weight, symbol, a(self.near_bias).max(axis=0), self.near_unit)
        skipped = a(self.skip_weight).sum(axis=0, dtype=np.float64) * symbol + a(self.far_bias).max(axis=0)
        check_exact("prior far", self.far_weight, ACTIVATIONS.high, skipped, self.far_unit)
        for s in range(SYMBOLS):
            check_exact(f"prior head {s}", self.head_weight[s], ACTIVATIONS.high, a(self.head_bias[s]), self.head_unit[s])

    def _require_shapes(self) -> None:
        near, far = self.near_weight.shape[1], self.far_weight.shape[1]
        a, b = near // POSITIONS, self.head_weight.shape[1]
        require_shape(near == POSITIONS * a and far == SYMBOLS * b and max(near, far) <= PRIOR_STATES_MAX, "prior")
        require_shape(self.near_weight.shape == (SYMBOLS, near) and self.near_unit.shape == (near,), "prior near")
        require_shape(self.far_weight.shape == (near, far) and self.far_unit.shape == (far,), "prior far")
        require_shape(self.skip_weight.shape == (SYMBOLS, far), "prior skip")
        require_shape(self.near_bias.shape[1:] == (near,) and self.far_bias.shape[1:] == (far,), "prior biases")
        heads = (SYMBOLS, self.values)
        require_shape(self.head_weight.shape == (SYMBOLS, b, self.values), "prior head")
        require_shape(self.head_bias.shape == heads == self.head_unit.shape, "prior head")

    def _require_causal(self) -> None:
        near, far = self.near_weight.shape[1], self.far_weight.shape[1]
        symbol, position_of_near = np.arange(SYMBOLS)[:, None], np.arange(near) // (near // POSITIONS)
        symbol_of_far = np.arange(far) // self.head_weight.shape[1]
        future = (
            self.near_weight[symbol // CHANNELS >= position_of_near].any()
            or self.far_weight[position_of_near[:, None] > symbol_of_far // CHANNELS].any()
            or self.skip_weight[symbol >= symbol_of_far].any()
        )
        if future:
            raise ModelError("the prior is not causal: a symbol's probabilities would depend on later symbols")

    def intervals(self, y: Integers, quality_index: Integers) -> tuple[Integers, Integers]:
        """Starts and frequencies of whole latents, as :func:`mnistzip.entropy.rans.encode` takes them.

        Args:
            y: symbols in coding order, shape ``(N, 196)``.
            quality_index: of each latent, shape ``(N,)``.
        """
        starts, freqs = np.empty((2, SYMBOLS, len(y)), np.int64)
        for start in range(0, len(y), LATENTS_PER_BATCH):
            part = slice(start, start + LATENTS_PER_BATCH)
            _, far = self._states(y[part], quality_index[part])
            index = y[part].T - self.low
            for symbols in _positions():
                starts[symbols, part], freqs[symbols, part] = self._cdf(far, symbols).interval(index[symbols])
        return starts.T, freqs.T

    def _states(self, y: Integers, quality_index: Integers) -> tuple[Floats, Floats]:
        """``near`` (N, 49 * a) and ``far`` (N, 196 * b)."""
        x = y.astype(np.float32)
        near, far = self.near_bias[quality_index], self.far_bias[quality_index]
        a, b = self.near_weight.shape[1] // SIDE, self.far_weight.shape[1] // SIDE  # for a row of 7 positions
        for r in range(SIDE):  # weights of positions below a row are zero there, and are left out
            seen, row_near, row_far = slice((r + 1) * CHANNELS * SIDE), slice(r * a, (r + 1) * a), slice(r * b, (r + 1) * b)
            near[:, row_near] += exact_matmul(x[:, seen], self.near_weight[seen, row_near])
            requantize(near[:, row_near], ACTIVATIONS)
            far[:, row_far] += exact_matmul(near[:, : row_near.stop], self.far_weight[: row_near.stop, row_far])
            far[:, row_far] += exact_matmul(x[:, seen], self.skip_weight[seen, row_far])
        return near, requantize(far, ACTIVATIONS)

    def _cdf(self, far: Floats, symbols: slice) -> Cdf:
        """Frequencies of consecutive symbols of N latents: of shape ``(symbols, values, N)``."""
        features = far.reshape(len(far), SYMBOLS, -1)[:, symbols].transpose(1, 2, 0)
        logits = exact_matmul(self._heads[symbols], features)
        logits += self.head_bias[symbols, :, None]
        return Cdf.of_logits(requantize(logits, LOGITS))

    @cached_property
    def _heads(self) -> Floats:
        """The heads' weights, ``(196, values, b)``."""
        return np.ascontiguousarray(self.head_weight.swapaxes(1, 2))

    def frequencies(self, y: Integers, quality_index: Integers) -> tuple[Integers, PriorTape]:
        """The frequency of each value of each symbol, ``(196, values, N)``, and what :meth:`back` needs."""
        near, far = self._states(y, quality_index)
        freqs = np.empty((SYMBOLS, self.values, len(y)), np.int64)
        for symbols in _positions():
            freqs[symbols] = np.diff(self._cdf(far, symbols).edges(), axis=1)
        return freqs, PriorTape(near, far, freqs)

    def back(self, tape: PriorTape, y: Integers) -> Floats:
        """The gradient of the bits of all later symbols by each symbol, to first order: (N, 196).

        The gradient of a symbol's bits by its logits is probability minus one-hot, over 64 logits a bit.
        """
        far_to_near, near_to_symbols, far_to_symbols, logits_to_far = self.gradient_matmuls
        g = tape.freqs.astype(np.float32)
        coded = (y.T - self.low)[:, None]
        np.put_along_axis(g, coded, np.take_along_axis(g, coded, 1) - TOTAL, 1)
        g *= np.float32(1 / (TOTAL * LOGITS_PER_OCTAVE))
        g_features = logits_to_far(g.transpose(2, 0, 1)[:, :, None])[:, :, 0]  # (N, 196, b)
        g_far = g_features.reshape(len(y), -1) * unclipped(tape.far, ACTIVATIONS)
        g_near = far_to_near(g_far) * unclipped(tape.near, ACTIVATIONS)
        g_symbol: Floats = far_to_symbols(g_far) + near_to_symbols(g_near)
        return g_symbol

    @cached_property
    def gradient_matmuls(self) -> tuple[GradientMatmul, GradientMatmul, GradientMatmul, GradientMatmul]:
        """Back through the weights: far to near, near to symbols, far to symbols, logits to far."""
        return (
            GradientMatmul.from_weights(np.ascontiguousarray(self.far_weight.T)),
            GradientMatmul.from_weights(np.ascontiguousarray(self.near_weight.T)),
            GradientMatmul.from_weights(np.ascontiguousarray(self.skip_weight.T)),
            GradientMatmul.from_weights(self._heads),
        )

    def decode(self, next_symbols: NextSymbols, quality_index: Integers) -> Integers:
        """Decode N latents, symbol by symbol.

        Args:
            next_symbols: decodes the next symbol of each latent, given its frequencies.
            quality_index: of each latent, shape ``(N,)``.

        Returns:
            Symbols in coding order, shape ``(N, 196)``.
        """
        n = len(quality_index)
        a, b = self.near_weight.shape[1] // POSITIONS, self.head_weight.shape[1]
        x = np.zeros((n, SYMBOLS), np.float32)
        near = np.zeros((n, POSITIONS * a), np.float32)
        near_bias, far_bias = self.near_bias[quality_index], self.far_bias[quality_index]
        for position in range(POSITIONS):
            s = position * CHANNELS  # the first symbol of this position
            position_near = slice(position * a, (position + 1) * a)
            total = exact_matmul(x[:, :s], self.near_weight[:s, position_near]) + near_bias[:, position_near]
            near[:, position_near] = requantize(total, ACTIVATIONS)
            position_far = slice(s * b, (s + CHANNELS) * b)
            shared = exact_matmul(near[:, : position_near.stop], self.far_weight[: position_near.stop, position_far])
            shared += exact_matmul(x[:, :s], self.skip_weight[:s, position_far])
            shared += far_bias[:, position_far]
            for c in range(CHANNELS):
                far = shared[:, c * b : (c + 1) * b]
                if c:
                    symbol_far = slice((s + c) * b, (s + c + 1) * b)
                    far += exact_matmul(x[:, s : s + c], self.skip_weight[s : s + c, symbol_far])
                requantize(far, ACTIVATIONS)
                logits = exact_matmul(self._heads[s + c], far.T)
                logits += self.head_bias[s + c, :, None]
                value = next_symbols(Cdf.of_logits(requantize(logits, LOGITS)))
                x[:, s + c] = value + self.low
        return x.astype(np.int64)


def _positions() -> Iterator[slice]:
    """The symbols of each position, in coding order."""
    return (slice(start, start + CHANNELS) for start in range(0, SYMBOLS, CHANNELS))
