"""Exact integer layers: float32 arrays that only ever hold integers.

A sum of integers in float32 does not depend on the order of summation, on fused multiply-adds or on the number of threads,
as long as no partial sum can pass 2^24. So results are equal on every machine at the speed of its BLAS. Each layer is told
the range of its input and proves that bound from its weights (the sum of the weights' magnitudes times the largest input,
plus the bias) before it is ever run; a layer that cannot be proved raises :class:`ModelError`.

Between layers numbers are brought back to a small range by ``floor(sum / 2^shift + 1/2)``, then clipped. Weights and biases
are divided by that power of two, and the half is added to the bias, when a model is loaded: sums are then multiples of
2^-shift, as exact as integers were.

Arrays are channels-last: (N, H, W, C). ``row`` is the index of an image's quality in tables per quality, shape (N,).

Source: Ballé, Johnston, Minnen 2019, Integer networks for data compression with latent-variable models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ModelError
from mnistzip.limits import GATHERED_MAX, SIGNAL_MAX
from mnistzip.types import Floats

Rows = NDArray[np.int64]
Numbers = NDArray[np.floating[Any]]
Exact = TypeVar("Exact", NDArray[np.float32], NDArray[np.float64])

SUM_MAX = 1 << 24  # float32 holds every integer up to here
ACTIVATION_MAX = 1023
TOUCH = 128  # multiplications that cost at most about as much as to move a number
GAIN_SHIFT = 8  # a gain of 256 is one
SPREAD_FROM = 8  # inputs for each output of a convolution


@dataclass(frozen=True)
class Range:
    """The smallest and the largest integer that an array can hold."""

    low: int
    high: int

    @property
    def peak(self) -> int:
        return max(abs(self.low), abs(self.high))


ACTIVATIONS = Range(0, ACTIVATION_MAX)


@dataclass(frozen=True)
class Signal:
    """What is known of an array between two layers before any image is seen: its values and its shape.

    Attributes:
        work: about how many multiplications it takes to make it of one image; as a layer tells it, of what comes in.
    """

    values: Range
    height: int
    width: int
    channels: int
    work: int = 0

    @property
    def numbers(self) -> int:
        return self.height * self.width * self.channels


def require(fits: bool, what: str) -> None:
    """Raise :class:`ModelError` unless a part of the model has the shape that its place asks for."""
    if not fits:
        raise ModelError(f"{what}: the shape of its weights does not fit the layers around it")


def prove_exact(what: str, weight: Floats, peak: Floats | int, bias_peak: Numbers | int, unit: Floats | int = 1) -> None:
    """Raise :class:`ModelError` unless no partial sum of ``input @ weight + bias`` can pass 2^24 units.

    Args:
        what: names the layer in the error.
        weight: multiples of ``unit``, shape ``(inputs, outputs)``.
        peak: largest magnitude of each input, a number or shape ``(inputs,)``.
        bias_peak: largest magnitude of the bias, a number or shape ``(outputs,)``.
        unit: a power of two for each output, a number or shape ``(outputs,)``.
    """
    if np.ndim(peak):
        sums = np.abs(weight).astype(np.float64).T @ np.asarray(peak, np.float64)
    else:
        sums = np.abs(weight).sum(axis=0, dtype=np.float64) * peak
    worst = float(((sums + bias_peak) / unit).max(initial=0.0))
    if not worst <= SUM_MAX:
        raise ModelError(f"{what}: sums could reach {worst:.0f}, beyond {SUM_MAX}, where float32 stops being exact")


def product(a: Exact, b: Exact) -> Exact:
    """``a @ b``, of integers that no sum of them makes inexact.

    Some kernels of OpenBLAS also compute with what happens to lie behind the end of a small array. They throw it away, but
    if it is no number, numpy is led to warn of an invalid value.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        out: Exact = np.matmul(a, b)
    return out


def power_of_two(exponent: Floats) -> Floats:
    """Exact powers of two of integer exponents."""
    return np.ldexp(np.ones(exponent.shape, np.float32), exponent.astype(np.int64))


def half_of(shift: Floats) -> Floats:
    """What rounds a sum that was divided by ``2^shift`` half up: 1/2, or 0 where nothing is divided."""
    return np.where(shift > 0, np.float32(0.5), np.float32(0))


def requantize(total: Floats, to: Range) -> Floats:
    """``floor(total)`` clipped, in place; divided and rounded half up, as weights and bias are."""
    np.floor(total, out=total)
    return total.clip(to.low, to.high, out=total)


class Layer(Protocol):
    """A step of a network that knows what it puts out."""

    def bound(self, given: Signal) -> Signal:
        """Prove the layer well-shaped and exact for such inputs; what is known of its output."""

    def forward(self, x: Floats, row: Rows) -> Floats:
        """(N, H, W, C) integers and (N,) quality rows -> (N, H', W', C')."""


@dataclass(frozen=True)
class SpaceToDepth:
    """Fold ``size`` x ``size`` pixels into channels; channel order: input channel, row, column."""

    size: int

    def bound(self, given: Signal) -> Signal:
        s = self.size
        require(given.height % s == 0 and given.width % s == 0, "space_to_depth")
        return Signal(given.values, given.height // s, given.width // s, given.channels * s * s)

    def forward(self, x: Floats, row: Rows) -> Floats:
        n, h, w, c = x.shape
        s = self.size
        folded = x.reshape(n, h // s, s, w // s, s, c).transpose(0, 1, 3, 5, 2, 4)
        return np.ascontiguousarray(folded).reshape(n, h // s, w // s, c * s * s)


@dataclass(frozen=True)
class DepthToSpace:
    """The inverse of :class:`SpaceToDepth`."""

    size: int

    def bound(self, given: Signal) -> Signal:
        s = self.size
        require(given.channels % (s * s) == 0, "depth_to_space")
        return Signal(given.values, given.height * s, given.width * s, given.channels // (s * s))

    def forward(self, x: Floats, row: Rows) -> Floats:
        n, h, w, c = x.shape
        s = self.size
        spread = x.reshape(n, h, w, c // (s * s), s, s).transpose(0, 1, 4, 2, 5, 3)
        return np.ascontiguousarray(spread).reshape(n, h * s, w * s, c // (s * s))


@dataclass(frozen=True)
class MaxPool:
    """Largest value of each 2x2 square."""

    def bound(self, given: Signal) -> Signal:
        require(given.height % 2 == 0 and given.width % 2 == 0, "max_pool")
        return Signal(given.values, given.height // 2, given.width // 2, given.channels)

    def forward(self, x: Floats, row: Rows) -> Floats:
        rows = np.maximum(x[:, ::2], x[:, 1::2])
        largest: Floats = np.maximum(rows[:, :, ::2], rows[:, :, 1::2])
        return largest


@dataclass(frozen=True)
class Upsample:
    """Every value twice in both directions (nearest neighbour)."""

    def bound(self, given: Signal) -> Signal:
        return Signal(given.values, given.height * 2, given.width * 2, given.channels)

    def forward(self, x: Floats, row: Rows) -> Floats:
        return x.repeat(2, axis=1).repeat(2, axis=2)


def patches(x: Floats, kernel: int) -> Floats:
    """The zero-padded neighbourhood of every place: (N, H, W, C) -> (N*H*W, kernel*kernel*C)."""
    n, h, w, c = x.shape
    if kernel == 1:
        return x.reshape(n * h * w, c)
    pad = kernel // 2
    padded = np.zeros((n, h + 2 * pad, w + 2 * pad, c), np.float32)
    padded[:, pad : pad + h, pad : pad + w] = x
    out = np.empty((n, h, w, kernel, kernel, c), np.float32)
    for i in range(kernel):
        for j in range(kernel):
            out[:, :, :, i, j] = padded[:, i : i + h, j : j + w]
    return out.reshape(n * h * w, kernel * kernel * c)


def spread(x: Floats, weight: Floats, kernel: int) -> Floats:
    """The convolution of :class:`Conv` without its bias, faster where outputs are few.

    Every place is multiplied by the weights of each of its neighbours, and what comes of it is added there: a neighbourhood of
    outputs is written rather than one of inputs.
    """
    n, h, w, inputs = x.shape
    flat = x.reshape(n * h * w, inputs)
    total = np.zeros((n, h, w, weight.shape[1]), np.float32)
    for tap, own in enumerate(weight.reshape(kernel**2, inputs, -1)):
        down, right = tap // kernel - kernel // 2, tap % kernel - kernel // 2  # from a place to the neighbour it sees
        given = product(flat, own).reshape(total.shape)
        (rows, seen_rows), (columns, seen_columns) = _overlap(down, h), _overlap(right, w)
        total[:, rows, columns] += given[:, seen_rows, seen_columns]
    return total


def _overlap(distance: int, size: int) -> tuple[slice, slice]:
    """Places of a row that have a neighbour at a distance, and those neighbours."""
    first, last = max(0, -distance), size - max(0, distance)
    return slice(first, last), slice(first + distance, last + distance)


@dataclass(frozen=True)
class Conv:
    """Same-size convolution, bias per place and per quality, requantization.

    Attributes:
        weight: integers, shape ``(kernel * kernel * inputs, outputs)``; rows in the order kernel row, column, channel.
        place: bias per place, shape ``(H or 1, W or 1, outputs)``.
        quality: bias per quality, shape ``(qualities, outputs)``.
        shift: bits that each output's sum is divided by, shape ``(outputs,)``.
        to: what the output is clipped to.
        unit: of each output, what the others are multiples of once they are divided.
    """

    name: str
    kernel: int
    weight: Floats
    place: Floats
    quality: Floats
    shift: Floats
    to: Range
    unit: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", power_of_two(-self.shift))
        require(self.weight.shape[-1:] == self.place.shape[-1:] == self.quality.shape[-1:] == self.unit.shape, self.name)
        object.__setattr__(self, "weight", self.weight * self.unit)
        object.__setattr__(self, "place", self.place * self.unit + half_of(self.shift))
        object.__setattr__(self, "quality", self.quality * self.unit)

    def bound(self, given: Signal) -> Signal:
        outputs = self.weight.shape[-1]
        require(self.weight.shape == (self.kernel**2 * given.channels, outputs), self.name)
        require(self.place.shape in ((given.height, given.width, outputs), (1, 1, outputs)), self.name)
        require(self.quality.ndim == 2, self.name)
        bias = np.abs(self.place).max(axis=(0, 1)) + np.abs(self.quality).max(axis=0)
        prove_exact(self.name, self.weight, given.values.peak, bias, self.unit)
        seen = self.kernel**2 * given.numbers
        if seen > GATHERED_MAX:
            raise ModelError(f"{self.name}: it gathers {seen} numbers an image, more than {GATHERED_MAX}")
        return Signal(self.to, given.height, given.width, outputs, (outputs + TOUCH) * seen)

    def forward(self, x: Floats, row: Rows) -> Floats:
        n, h, w, inputs = x.shape
        if self.kernel > 1 and self.weight.shape[1] * SPREAD_FROM <= inputs:
            total = spread(x, self.weight, self.kernel)
        else:
            total = product(patches(x, self.kernel), self.weight).reshape(n, h, w, -1)
        if len(self.place) == 1:
            total += self.place + self.quality[row][:, None, None, :]
        elif (row == row[:1]).all():
            total += self.place + self.quality[row[:1]]
        else:
            total += self.place
            total += self.quality[row][:, None, None, :]
        return requantize(total, self.to)


@dataclass(frozen=True)
class Affine:
    """Integer weights ``(inputs, outputs)``, biases and shifts ``(outputs,)``."""

    name: str
    weight: Floats
    bias: Floats
    shift: Floats
    unit: Floats = field(init=False)  # what weights and bias are multiples of once they are divided

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", power_of_two(-self.shift))
        require(self.weight.shape[1:] == self.bias.shape == self.unit.shape, self.name)
        object.__setattr__(self, "weight", self.weight * self.unit)
        object.__setattr__(self, "bias", self.bias * self.unit + half_of(self.shift))

    def prove(self, peak: Floats | int, more: Floats | int = 0) -> None:
        """Raise :class:`ModelError` unless shapes fit and all sums are exact; ``more`` is what is added to the bias."""
        require(np.ndim(peak) == 0 or np.shape(peak) == self.weight.shape[:1], self.name)
        prove_exact(self.name, self.weight, peak, (np.abs(self.bias) + more).astype(np.float32), self.unit)

    def __call__(self, x: Floats, to: Range) -> Floats:
        """(n, inputs) -> (n, outputs), clipped."""
        total = product(x, self.weight)
        total += self.bias
        return requantize(total, to)

    def transposed(self, x: Floats, to: Range) -> Floats:
        """(n, inputs) -> (outputs, n), clipped."""
        total = product(self.weight.T, x.T)
        total += self.bias[:, None]
        return requantize(total, to)


@dataclass(frozen=True)
class Gain:
    """Multiply each channel by a gain per quality, in 256ths: ``factor`` has shape ``(qualities, C)``."""

    name: str
    factor: Floats
    to: Range

    def bound(self, given: Signal) -> Signal:
        require(self.factor.shape[1:] == (given.channels,), self.name)
        prove_exact(self.name, np.abs(self.factor).max(axis=0)[None], given.values.peak, 1 << (GAIN_SHIFT - 1))
        return Signal(self.to, given.height, given.width, given.channels)

    def forward(self, x: Floats, row: Rows) -> Floats:
        total = x * (self.factor[row] * np.float32(2.0**-GAIN_SHIFT))[:, None, None, :]
        total += np.float32(0.5)
        return requantize(total, self.to)


@dataclass(frozen=True)
class Residual:
    """Add what ``layers`` make of the input to the input."""

    layers: tuple[Layer, ...]
    to: Range

    def bound(self, given: Signal) -> Signal:
        change = bound(self.layers, replace(given, work=0))
        same = (given.height, given.width, given.channels) == (change.height, change.width, change.channels)
        require(same, "residual")
        prove_exact("residual", np.ones((1, 1), np.float32), given.values.peak, change.values.peak)
        return Signal(self.to, given.height, given.width, given.channels, change.work)

    def forward(self, x: Floats, row: Rows) -> Floats:
        total = forward(self.layers, x, row) + x  # not in place: what comes out may be a view of what went in
        return np.clip(total, self.to.low, self.to.high, out=total)


@dataclass(frozen=True)
class Lookup:
    """Replace each integer ``v`` by ``table[v - low]``."""

    name: str
    low: int
    table: Floats

    def bound(self, given: Signal) -> Signal:
        covered = Range(self.low, self.low + len(self.table) - 1)
        require(covered.low <= given.values.low and given.values.high <= covered.high, self.name)
        reach = Range(int(self.table.min()), int(self.table.max()))
        return Signal(reach, given.height, given.width, given.channels)

    def forward(self, x: Floats, row: Rows) -> Floats:
        return self.table[x.astype(np.int64) - self.low]


def bound(layers: Sequence[Layer], given: Signal) -> Signal:
    """Prove a chain of layers for such inputs; what is known of what comes out."""
    for layer in layers:
        made = layer.bound(given)
        if made.numbers > SIGNAL_MAX:
            raise ModelError(f"a layer puts out more than {SIGNAL_MAX} numbers an image")
        given = replace(made, work=given.work + made.work + TOUCH * (given.numbers + made.numbers))
    return given


def forward(layers: Sequence[Layer], x: Floats, row: Rows) -> Floats:
    """Run a chain of layers."""
    for layer in layers:
        x = layer.forward(x, row)
    return x
