"""The entropy model of the latent: integer probabilities of each symbol given all earlier ones and the quality.

The 196 symbols are coded in the order row, column, channel. Two hidden layers and a head, all of exact integers:

- ``near`` of a place sees the symbols of all earlier places;
- ``far`` of a symbol sees all earlier symbols and the ``near`` of its own and earlier places;
- the head turns the ``far`` of a symbol into one logit per value.

The encoder evaluates all symbols in three masked matrix products, the decoder takes the same sums place by place. As sums
of integers do not depend on order, both get the same logits bit for bit.

Logits become frequencies in :mod:`mnistzip.entropy.cdf`.

Sources: Germain et al. 2015, arXiv 1502.03509 (masks); Minnen et al. 2018, arXiv 1809.02736 (autoregressive priors);
He et al. 2022, arXiv 2202.07513 (integer priors).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE, PROBABILITY_BITS, TOTAL, Cdf
from mnistzip.errors import ModelError
from mnistzip.limits import PRIOR_STATES_MAX
from mnistzip.nn.backward import Product, inside
from mnistzip.nn.layers import ACTIVATIONS, Range, Rows, half_of, power_of_two, product, prove_exact, requantize, require
from mnistzip.types import Floats

CHANNELS, SIDE = 4, 7
PLACES = SIDE * SIDE
SYMBOLS = CHANNELS * PLACES
LOGITS = Range(-(1 << 15), (1 << 15) - 1)
FREQUENCY_WORK = 8  # multiplications, as TOUCH of :mod:`mnistzip.nn.layers`
TOGETHER = 256  # latents whose symbols are evaluated together: small enough for the processor's cache

Ints = NDArray[np.int64]


# Decodes the next symbol of each of N latents from N alphabets: indices into them, shape (N,).
NextSymbols = Callable[[Cdf], Ints]


@dataclass(frozen=True)
class Tape:
    """What :meth:`Prior.frequencies` found: ``near`` (N, 49 * a), ``far`` (N, 196 * b), ``freqs`` (196, values, N)."""

    near: Floats
    far: Floats
    freqs: Ints

    def of(self, which: NDArray[np.bool_]) -> Tape:
        """The tape of some of the latents."""
        return Tape(self.near[which], self.far[which], self.freqs[:, :, which])


@dataclass(frozen=True)
class Prior:
    """Weights of the entropy model; arrays are given as integers in float32, and kept divided as :mod:`mnistzip.nn.layers`
    says.

    Attributes:
        near_weight: ``(196, 49 * a)``, symbols to ``near``.
        far_weight: ``(49 * a, 196 * b)``, ``near`` to ``far``.
        skip_weight: ``(196, 196 * b)``, symbols to ``far``.
        head_weight: ``(196, b, values)``, ``far`` to logits.
        near_bias, far_bias: per quality, ``(qualities, 49 * a)`` and ``(qualities, 196 * b)``.
        head_bias: ``(196, values)``.
        near_shift, far_shift, head_shift: bits to divide the sums by: ``(49 * a,)``, ``(196 * b,)``, ``(196, values)``.
        low: the smallest symbol; the alphabet is ``low .. low + values - 1``.
    """

    near_weight: Floats
    far_weight: Floats
    skip_weight: Floats
    head_weight: Floats
    near_bias: Floats
    far_bias: Floats
    head_bias: Floats
    near_shift: Floats
    far_shift: Floats
    head_shift: Floats
    low: int

    def __post_init__(self) -> None:
        self._require_shapes()
        near, far, head = self._units
        divided = {
            "near_weight": self.near_weight * near,
            "near_bias": self.near_bias * near + half_of(self.near_shift),
            "far_weight": self.far_weight * far,
            "skip_weight": self.skip_weight * far,
            "far_bias": self.far_bias * far + half_of(self.far_shift),
            "head_weight": self.head_weight * head[:, None],
            "head_bias": self.head_bias * head + half_of(self.head_shift),
        }
        for name, value in divided.items():
            object.__setattr__(self, name, value)

    @property
    def _units(self) -> tuple[Floats, Floats, Floats]:
        """What the weights and biases of near, far and head are multiples of once they are divided."""
        return power_of_two(-self.near_shift), power_of_two(-self.far_shift), power_of_two(-self.head_shift)

    @property
    def values(self) -> int:
        """Size of the alphabet."""
        return self.head_weight.shape[2]

    @property
    def work(self) -> int:
        """About how many multiplications it takes to decode a latent; frequencies take the square of an alphabet."""
        products = self.near_weight.size + self.far_weight.size + self.skip_weight.size + self.head_weight.size
        return products + FREQUENCY_WORK * SYMBOLS * self.values**2

    @property
    def held(self) -> int:
        """How many numbers a decoder holds for each latent of a batch."""
        return 2 * self.near_weight.shape[1] + self.far_weight.shape[1]

    def prove(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless every sum is exact in float32."""
        symbol = Range(self.low, self.low + self.values - 1).peak
        a = np.abs
        near, far, head = self._units
        prove_exact("prior near", self.near_weight, symbol, a(self.near_bias).max(axis=0), near)
        beside = a(self.skip_weight).sum(axis=0, dtype=np.float64) * symbol + a(self.far_bias).max(axis=0)
        prove_exact("prior far", self.far_weight, ACTIVATIONS.high, beside, far)
        for s in range(SYMBOLS):
            prove_exact(f"prior head {s}", self.head_weight[s], ACTIVATIONS.high, a(self.head_bias[s]), head[s])

    def _require_shapes(self) -> None:
        near, far = self.near_weight.shape[1], self.far_weight.shape[1]
        a, b = near // PLACES, self.head_weight.shape[1]
        require(near == PLACES * a and far == SYMBOLS * b and max(near, far) <= PRIOR_STATES_MAX, "prior")
        require(self.near_weight.shape == (SYMBOLS, near) and self.near_shift.shape == (near,), "prior near")
        require(self.far_weight.shape == (near, far) and self.far_shift.shape == (far,), "prior far")
        require(self.skip_weight.shape == (SYMBOLS, far), "prior skip")
        require(self.near_bias.shape[1:] == (near,) and self.far_bias.shape[1:] == (far,), "prior biases")
        heads = (SYMBOLS, self.values)
        require(self.head_weight.shape == (SYMBOLS, b, self.values), "prior head")
        require(self.head_bias.shape == heads == self.head_shift.shape, "prior head")
        symbol, place_of_near = np.arange(SYMBOLS)[:, None], np.arange(near) // a
        symbol_of_far = np.arange(far) // b
        future = (
            self.near_weight[symbol // CHANNELS >= place_of_near].any()
            or self.far_weight[place_of_near[:, None] > symbol_of_far // CHANNELS].any()
            or self.skip_weight[symbol >= symbol_of_far].any()
        )
        if future:
            raise ModelError("the prior is not causal: a symbol's probabilities would depend on later symbols")

    def intervals(self, y: Ints, row: Rows) -> tuple[Ints, Ints]:
        """Starts and frequencies, as :func:`mnistzip.entropy.rans.encode` takes them, of whole latents.

        Args:
            y: symbols in coding order, shape ``(N, 196)``.
            row: index of each latent's quality, shape ``(N,)``.
        """
        starts, freqs = np.empty((2, SYMBOLS, len(y)), np.int64)
        for at in range(0, len(y), TOGETHER):
            part = slice(at, at + TOGETHER)
            _, far = self._states(y[part], row[part])
            index = y[part].T - self.low
            for place in range(PLACES):
                mine = slice(place * CHANNELS, (place + 1) * CHANNELS)
                starts[mine, part], freqs[mine, part] = self._cdf(far, mine).interval(index[mine])
        return starts.T, freqs.T

    def _states(self, y: Ints, row: Rows) -> tuple[Floats, Floats]:
        """``near`` (N, 49 * a) and ``far`` (N, 196 * b)."""
        x = y.astype(np.float32)
        near, far = self.near_bias[row], self.far_bias[row]
        a, b = self.near_weight.shape[1] // SIDE, self.far_weight.shape[1] // SIDE  # of a row of places
        for r in range(SIDE):  # what no place of a row sees has weights of zero and is left out
            known, mine, wide = slice((r + 1) * CHANNELS * SIDE), slice(r * a, (r + 1) * a), slice(r * b, (r + 1) * b)
            near[:, mine] += product(x[:, known], self.near_weight[known, mine])
            requantize(near[:, mine], ACTIVATIONS)
            far[:, wide] += product(near[:, : mine.stop], self.far_weight[: mine.stop, wide])
            far[:, wide] += product(x[:, known], self.skip_weight[known, wide])
        return near, requantize(far, ACTIVATIONS)

    def _cdf(self, far: Floats, mine: slice) -> Cdf:
        """Frequencies of some symbols in a row of N latents: of shape ``(symbols, values, N)``."""
        wide = far.reshape(len(far), SYMBOLS, -1)[:, mine].transpose(1, 2, 0)
        logits = product(self._heads[mine], wide)
        logits += self.head_bias[mine, :, None]
        return Cdf.of_logits(requantize(logits, LOGITS))

    @cached_property
    def _heads(self) -> Floats:
        """The heads' weights, ``(196, values, b)``."""
        return np.ascontiguousarray(self.head_weight.swapaxes(1, 2))

    def frequencies(self, y: Ints, row: Rows) -> tuple[Ints, Tape]:
        """The frequency of every value of every symbol, ``(196, values, N)``, and what :meth:`back` needs."""
        near, far = self._states(y, row)
        freqs = np.empty((SYMBOLS, self.values, len(y)), np.int64)
        for place in range(PLACES):
            mine = slice(place * CHANNELS, (place + 1) * CHANNELS)
            freqs[mine] = np.diff(self._cdf(far, mine).edges(), axis=1)
        return freqs, Tape(near, far, freqs)

    def back(self, tape: Tape, y: Ints) -> Floats:
        """How the bits of all later symbols change with each symbol, to first order: (N, 196).

        The bits of a symbol change with its logits by probability minus one-hot, 64 logits a bit.
        """
        far_product, near_product, skip_product, head_product = self._products
        g = tape.freqs.astype(np.float32)
        chosen = (y.T - self.low)[:, None]
        np.put_along_axis(g, chosen, np.take_along_axis(g, chosen, 1) - TOTAL, 1)
        g *= np.float32(1 / (TOTAL * LOGITS_PER_OCTAVE))
        g_wide = head_product(g.transpose(2, 0, 1)[:, :, None])[:, :, 0]  # (N, 196, b)
        g_far = g_wide.reshape(len(y), -1) * inside(tape.far, ACTIVATIONS)
        g_near = far_product(g_far) * inside(tape.near, ACTIVATIONS)
        g_symbol: Floats = skip_product(g_far) + near_product(g_near)
        return g_symbol

    @cached_property
    def _products(self) -> tuple[Product, Product, Product, Product]:
        """Back through the weights: far to near, near to symbols, far to symbols, logits to far."""
        return (
            Product.of(np.ascontiguousarray(self.far_weight.T)),
            Product.of(np.ascontiguousarray(self.near_weight.T)),
            Product.of(np.ascontiguousarray(self.skip_weight.T)),
            Product.of(self._heads),
        )

    def decode(self, next_symbols: NextSymbols, row: Rows) -> Ints:
        """Decode N latents, symbol by symbol.

        Args:
            next_symbols: decodes the next symbol of each latent, given its frequencies.
            row: index of each latent's quality, shape ``(N,)``.

        Returns:
            Symbols in coding order, shape ``(N, 196)``.
        """
        n = len(row)
        a, b = self.near_weight.shape[1] // PLACES, self.head_weight.shape[1]
        x = np.zeros((n, SYMBOLS), np.float32)
        near = np.zeros((n, PLACES * a), np.float32)
        near_bias, far_bias = self.near_bias[row], self.far_bias[row]
        for place in range(PLACES):
            s = place * CHANNELS  # the first symbol of this place
            mine = slice(place * a, place * a + a)
            total = product(x[:, :s], self.near_weight[:s, mine]) + near_bias[:, mine]
            near[:, mine] = requantize(total, ACTIVATIONS)
            wide = slice(s * b, (s + CHANNELS) * b)
            shared = product(near[:, : mine.stop], self.far_weight[: mine.stop, wide])
            shared += product(x[:, :s], self.skip_weight[:s, wide])
            shared += far_bias[:, wide]
            for c in range(CHANNELS):
                own = slice((s + c) * b, (s + c + 1) * b)
                far = shared[:, c * b : (c + 1) * b]
                if c:
                    far += product(x[:, s : s + c], self.skip_weight[s : s + c, own])
                requantize(far, ACTIVATIONS)
                logits = product(self._heads[s + c], far.T)
                logits += self.head_bias[s + c, :, None]
                value = next_symbols(Cdf.of_logits(requantize(logits, LOGITS)))
                x[:, s + c] = value + self.low
        return x.astype(np.int64)


def ideal_bits(freqs: Sequence[int] | Ints) -> float:
    """Code length that the frequencies allow, in bits."""
    return float(PROBABILITY_BITS * np.size(freqs) - np.log2(np.asarray(freqs, np.float64)).sum())
