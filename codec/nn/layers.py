"""The layers of the lossy networks: exact integers in float32 (see :mod:`mnistzip.nn.exact`).

Each kind of layer is one class. It owns everything that the codec needs to know of it:

- ``from_spec`` reads it from its description in a model file and from the arrays that the description names;
- ``infer`` takes the range and shape of its input, checks that the layer fits and is exact, and returns those of its output;
- ``forward`` computes its output;
- ``backward`` takes the gradient of its output to that of its input.

CONTRIBUTING.md lists what a new kind needs.

Arrays are channels-last, (N, H, W, C).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mnistzip.errors import ModelError
from mnistzip.limits import GATHERED_MAX
from mnistzip.nn.backward import GradientMatmul, LayerTape, convolution_matmul, unclipped
from mnistzip.nn.exact import SUM_MAX, Range, check_exact, power_of_two, requantize, require_shape, rounding_bias
from mnistzip.nn.layer_base import MACS_PER_MOVE, Layer, LayerSpec, Signal, backward, forward, infer, trace
from mnistzip.nn.operations import add_bias, convolve, depthwise, per_quality
from mnistzip.types import Bools, Floats, Integers

GAIN_SHIFT = 8  # a gain of 256 is one


@dataclass(frozen=True)
class SpaceToDepth(Layer):
    """Fold ``size`` x ``size`` pixels into channels; channel order: input channel, row, column."""

    kind = "space_to_depth"
    keys = ("size",)
    size: int

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> SpaceToDepth:
        return cls(spec.integer("size", 2, 4))

    def infer(self, signal: Signal) -> Signal:
        s = self.size
        require_shape(signal.height % s == 0 and signal.width % s == 0, self.kind)
        return Signal(signal.values, signal.height // s, signal.width // s, signal.channels * s * s)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        n, h, w, c = x.shape
        s = self.size
        folded = x.reshape(n, h // s, s, w // s, s, c).transpose(0, 1, 3, 5, 2, 4)
        return folded.reshape(n, h // s, w // s, c * s * s)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        return DepthToSpace(self.size).forward(g, quality_index)


@dataclass(frozen=True)
class DepthToSpace(Layer):
    """The inverse of :class:`SpaceToDepth`."""

    kind = "depth_to_space"
    keys = ("size",)
    size: int

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> DepthToSpace:
        return cls(spec.integer("size", 2, 4))

    def infer(self, signal: Signal) -> Signal:
        s = self.size
        require_shape(signal.channels % (s * s) == 0, self.kind)
        return Signal(signal.values, signal.height * s, signal.width * s, signal.channels // (s * s))

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        n, h, w, c = x.shape
        s = self.size
        unfolded = x.reshape(n, h, w, c // (s * s), s, s).transpose(0, 1, 4, 2, 5, 3)
        return unfolded.reshape(n, h * s, w * s, c // (s * s))

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        return SpaceToDepth(self.size).forward(g, quality_index)


@dataclass(frozen=True)
class MaxPool(Layer):
    """The largest value of each 2x2 square."""

    kind = "max_pool"

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> MaxPool:
        return cls()

    def infer(self, signal: Signal) -> Signal:
        require_shape(signal.height % 2 == 0 and signal.width % 2 == 0, self.kind)
        return Signal(signal.values, signal.height // 2, signal.width // 2, signal.channels)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        rows = np.maximum(x[:, ::2], x[:, 1::2])
        return np.maximum(rows[:, :, ::2], rows[:, :, 1::2])

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        upsample = Upsample()
        largest: Bools = upsample.forward(tape.out, quality_index) == tape.x
        return upsample.forward(g, quality_index) * largest


@dataclass(frozen=True)
class Upsample(Layer):
    """Repeat each value twice in both directions (nearest neighbour)."""

    kind = "upsample"

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Upsample:
        return cls()

    def infer(self, signal: Signal) -> Signal:
        return Signal(signal.values, signal.height * 2, signal.width * 2, signal.channels)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        return x.repeat(2, axis=1).repeat(2, axis=2)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        rows = g[:, ::2] + g[:, 1::2]
        return rows[:, :, ::2] + rows[:, :, 1::2]


@dataclass(frozen=True, eq=False)
class Conv(Layer):
    """Same-size convolution, bias per position and per quality, requantization.

    Attributes:
        weight: shape ``(kernel * kernel * inputs, outputs)``; rows in the order kernel row, column, channel.
        position_bias: shape ``(H or 1, W or 1, outputs)``; it holds the 1/2 of rounding.
        quality_bias: shape ``(qualities, outputs)``.
        unit: of each output, what weights and biases are multiples of, shape ``(outputs,)``.
    """

    kind = "conv"
    keys = ("name", "kernel", "to")
    name: str
    kernel: int
    weight: Floats
    position_bias: Floats
    quality_bias: Floats
    unit: Floats
    output_range: Range

    @classmethod
    def from_integers(
        cls,
        name: str,
        kernel: int,
        weight: Floats,
        position_bias: Floats,
        quality_bias: Floats,
        shift: Floats,
        output_range: Range,
    ) -> Conv:
        """From the integers of a model file; ``shift``, shape ``(outputs,)``, is how many bits each sum is divided by."""
        unit = power_of_two(-shift)
        require_shape(weight.shape[-1:] == position_bias.shape[-1:] == quality_bias.shape[-1:] == unit.shape, name)
        position_bias = position_bias * unit + rounding_bias(shift)
        return cls(name, kernel, weight * unit, position_bias, quality_bias * unit, unit, output_range)

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Conv:
        kernel = spec.integer("kernel", 1, 7)
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel}x{kernel} has no middle")
        return cls.from_integers(
            name=spec.name,
            kernel=kernel,
            weight=spec.array("weight", 2),
            position_bias=spec.array("place", 3),
            quality_bias=spec.per_quality("quality"),
            shift=spec.shifts("shift"),
            output_range=spec.output_range(),
        )

    def infer(self, signal: Signal) -> Signal:
        outputs = self.weight.shape[-1]
        require_shape(self.weight.shape == (self.kernel**2 * signal.channels, outputs), self.name)
        require_shape(self.position_bias.shape in ((signal.height, signal.width, outputs), (1, 1, outputs)), self.name)
        require_shape(self.quality_bias.ndim == 2, self.name)
        bias = np.abs(self.position_bias).max(axis=(0, 1)).astype(np.float64) + np.abs(self.quality_bias).max(axis=0)
        check_exact(self.name, self.weight, signal.values.peak, bias, self.unit)
        gathered = self.kernel**2 * signal.size
        if gathered > GATHERED_MAX:
            raise ModelError(f"{self.name}: it gathers {gathered} numbers an image, more than {GATHERED_MAX}")
        macs = (outputs + MACS_PER_MOVE) * gathered
        return Signal(self.output_range, signal.height, signal.width, outputs, macs)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        total = convolve(x, self.weight, self.kernel)
        add_bias(total, self.position_bias, self.quality_bias, quality_index)
        return requantize(total, self.output_range)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        return self.gradient_matmul(g * unclipped(tape.out, self.output_range), self.kernel)

    @cached_property
    def gradient_matmul(self) -> GradientMatmul:
        return convolution_matmul(self.weight, self.kernel)


@dataclass(frozen=True, eq=False)
class Depthwise(Layer):
    """Same-size convolution of each channel by itself, bias per quality, requantization.

    Attributes:
        weight: shape ``(kernel * kernel, C)``; rows in the order kernel row, column.
        bias: with the 1/2 of rounding, shape ``(C,)``.
        quality_bias: shape ``(qualities, C)``.
        unit: of each channel, what weights and biases are multiples of, shape ``(C,)``.
    """

    kind = "depthwise"
    keys = ("name", "kernel", "to")
    name: str
    kernel: int
    weight: Floats
    bias: Floats
    quality_bias: Floats
    unit: Floats
    output_range: Range

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Depthwise:
        kernel = spec.integer("kernel", 3, 7)
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel}x{kernel} has no middle")
        shift = spec.shifts("shift")
        unit = power_of_two(-shift)
        weight, bias, quality_bias = spec.array("weight", 2), spec.array("bias", 1), spec.per_quality("quality")
        require_shape(weight.shape[1:] == bias.shape == quality_bias.shape[1:] == unit.shape, spec.name)
        bias = bias * unit + rounding_bias(shift)
        return cls(spec.name, kernel, weight * unit, bias, quality_bias * unit, unit, spec.output_range())

    def infer(self, signal: Signal) -> Signal:
        require_shape(self.weight.shape == (self.kernel**2, signal.channels), self.name)
        bias = np.abs(self.bias).astype(np.float64) + np.abs(self.quality_bias).max(axis=0)
        check_exact(self.name, self.weight, signal.values.peak, bias, self.unit)
        macs = (1 + MACS_PER_MOVE) * self.kernel**2 * signal.size
        return Signal(self.output_range, signal.height, signal.width, signal.channels, macs)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        total = depthwise(x, self.weight, self.kernel)
        total += self.bias + per_quality(self.quality_bias, quality_index)
        return requantize(total, self.output_range)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        return depthwise(g * unclipped(tape.out, self.output_range), self.weight[::-1], self.kernel)


@dataclass(frozen=True, eq=False)
class Gain(Layer):
    """Multiply each channel by a gain per quality, in 256ths: ``factor`` has shape ``(qualities, C)``."""

    kind = "gain"
    keys = ("name", "to")
    name: str
    factor: Floats
    output_range: Range

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Gain:
        return cls(spec.name, spec.per_quality("factor"), spec.output_range())

    def infer(self, signal: Signal) -> Signal:
        require_shape(self.factor.shape[1:] == (signal.channels,), self.name)
        check_exact(self.name, np.abs(self.factor).max(axis=0)[None], signal.values.peak, 1 << (GAIN_SHIFT - 1))
        return Signal(self.output_range, signal.height, signal.width, signal.channels)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        total = x * (per_quality(self.factor, quality_index) * np.float32(2.0**-GAIN_SHIFT))
        total += 0.5
        return requantize(total, self.output_range)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        factor = per_quality(self.factor, quality_index) * np.float32(2.0**-GAIN_SHIFT)
        return g * unclipped(tape.out, self.output_range) * factor


@dataclass(frozen=True, eq=False)
class Residual(Layer):
    """Add the output of inner layers to the input, then clip."""

    kind = "residual"
    keys = ("layers", "to")
    layers: tuple[Layer, ...]
    output_range: Range

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Residual:
        return cls(spec.inner_layers(), spec.output_range())

    def infer(self, signal: Signal) -> Signal:
        change = infer(self.layers, replace(signal, macs=0))
        same = (signal.height, signal.width, signal.channels) == (change.height, change.width, change.channels)
        require_shape(same, self.kind)
        check_exact(self.kind, np.ones((1, 1), np.float32), signal.values.peak, change.values.peak)
        return Signal(self.output_range, signal.height, signal.width, signal.channels, change.macs)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        return self._sum(x, forward(self.layers, x, quality_index))

    def trace(self, x: Floats, quality_index: Integers) -> LayerTape:
        inner = trace(self.layers, x, quality_index)
        return LayerTape(x, self._sum(x, inner[-1].out), inner)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        g = g * unclipped(tape.out, self.output_range)
        return g + backward(self.layers, tape.inner, g, quality_index)

    def _sum(self, x: Floats, change: Floats) -> Floats:
        """The output, a new array: ``change`` may be a view of ``x``."""
        total = change + x
        return total.clip(self.output_range.low, self.output_range.high, out=total)


@dataclass(frozen=True, eq=False)
class Parallel(Layer):
    """Run two chains of layers on the same input, add their outputs, and clip."""

    kind = "parallel"
    keys = ("layers", "others", "to")
    layers: tuple[Layer, ...]
    others: tuple[Layer, ...]
    output_range: Range

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Parallel:
        return cls(spec.inner_layers(), spec.inner_layers("others"), spec.output_range())

    def infer(self, signal: Signal) -> Signal:
        one, other = infer(self.layers, replace(signal, macs=0)), infer(self.others, replace(signal, macs=0))
        require_shape((one.height, one.width, one.channels) == (other.height, other.width, other.channels), self.kind)
        check_exact(self.kind, np.ones((1, 1), np.float32), one.values.peak, other.values.peak)
        return Signal(self.output_range, one.height, one.width, one.channels, one.macs + other.macs)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        return self._sum(forward(self.layers, x, quality_index), forward(self.others, x, quality_index))

    def trace(self, x: Floats, quality_index: Integers) -> LayerTape:
        one, other = trace(self.layers, x, quality_index), trace(self.others, x, quality_index)
        return LayerTape(x, self._sum(one[-1].out, other[-1].out), one, other)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        g = g * unclipped(tape.out, self.output_range)
        return backward(self.layers, tape.inner, g, quality_index) + backward(self.others, tape.others, g, quality_index)

    def _sum(self, one: Floats, other: Floats) -> Floats:
        """The output, a new array."""
        total = one + other
        return total.clip(self.output_range.low, self.output_range.high, out=total)


@dataclass(frozen=True, eq=False)
class Lookup(Layer):
    """Replace each integer ``v`` by ``table[v - low]``."""

    kind = "lookup"
    keys = ("name", "low")
    name: str
    low: int
    table: Floats

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Lookup:
        return cls(spec.name, spec.integer("low", -SUM_MAX, SUM_MAX), spec.array("table", 1))

    def infer(self, signal: Signal) -> Signal:
        covered = Range(self.low, self.low + len(self.table) - 1)
        require_shape(covered.low <= signal.values.low and signal.values.high <= covered.high, self.name)
        values = Range(int(self.table.min()), int(self.table.max()))
        return Signal(values, signal.height, signal.width, signal.channels)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        return self.table[x.astype(np.int64) - self.low]

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        index = tape.x.astype(np.int64) - self.low
        last = len(self.table) - 1
        rise = self.table[np.minimum(index + 1, last)] - self.table[np.maximum(index - 1, 0)]
        return g * (rise * np.float32(0.5))


LAYER_KINDS: dict[str, type[Layer]] = {layer.kind: layer for layer in Layer.__subclasses__()}  # by the ``op`` of model files
