"""How a number that hangs on the output of integer layers changes with their input, to first order.

An encoder that searches wants to know which symbols are worth moving, and every machine should move the same ones. Sums of a
matrix product must not depend on their order, so before each product gradients are rounded, image by image, to integers of
9 bits times a power of two, and weights to integers that keep every sum below 2^24 (see :mod:`mnistzip.nn.layers`). All else
is done number by number, which IEEE arithmetic fixes. Rounding and the floor of a requantization count as if they were not
there; where a value was clipped its gradient is zero.

Nothing here bears on what a file decodes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzip.nn.layers import (
    GAIN_SHIFT,
    SUM_MAX,
    Conv,
    DepthToSpace,
    Gain,
    Layer,
    Lookup,
    MaxPool,
    Range,
    Residual,
    Rows,
    SpaceToDepth,
    Upsample,
    patches,
    product,
)
from mnistzip.types import Floats

PEAK = 511  # largest magnitude of a gradient in a matrix product


@dataclass(frozen=True)
class Product:
    """``g @ weight`` for gradients: exact sums of rounded factors.

    Attributes:
        weight: integers, shape ``(..., inputs, outputs)``.
        unit: the power of two that they are multiples of.
    """

    weight: Floats
    unit: np.float32

    @staticmethod
    def of(weight: Floats) -> Product:
        """From weights of any size, shape ``(..., inputs, outputs)``."""
        worst = np.abs(weight.astype(np.float64)).sum(axis=-2).max(initial=0.0) * PEAK
        room = SUM_MAX - PEAK * weight.shape[-2] / 2  # as rounding adds up to a half to each weight
        _, exponent = np.frexp(worst / room)  # worst <= room * 2^exponent
        unit = np.ldexp(np.float32(1), int(exponent))
        return Product(np.rint(weight / unit).astype(np.float32), unit)

    def __call__(self, g: Floats, kernel: int = 1) -> Floats:
        """Gradients of shape ``(N, ..., inputs)`` to ``(N, ..., outputs)``; a kernel above 1 sees ``(N, H, W, C)``."""
        largest = np.abs(g).max(axis=tuple(range(1, g.ndim)), keepdims=True)
        _, exponent = np.frexp(largest / np.float32(PEAK))
        whole = np.rint(g * np.ldexp(np.float32(1), -exponent))
        near = patches(whole, kernel).reshape(*g.shape[:-1], -1) if kernel > 1 else whole
        total = product(near, self.weight)
        total *= np.ldexp(self.unit, exponent)
        return total


def inside(out: Floats, to: Range) -> NDArray[np.bool_]:
    """Where a value was not clipped."""
    unclipped: NDArray[np.bool_] = (out > to.low) & (out < to.high)
    return unclipped


@dataclass(frozen=True)
class Tape:
    """What a layer was given and put out, and the tapes of the layers within it."""

    x: Floats
    out: Floats
    inner: tuple[Tape, ...] = ()

    def of(self, which: NDArray[np.bool_]) -> Tape:
        """The tape of some of the images."""
        return Tape(self.x[which], self.out[which], tuple(tape.of(which) for tape in self.inner))


class Backward:
    """A chain of layers that can be gone through in both directions."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)
        self._inner = [Backward(layer.layers) if isinstance(layer, Residual) else None for layer in layers]
        self._product = [Product.of(_transposed(layer)) if isinstance(layer, Conv) else None for layer in layers]

    def forward(self, x: Floats, row: Rows) -> tuple[Tape, ...]:
        """Run the layers; the last tape holds their output."""
        tapes: list[Tape] = []
        for layer, inner in zip(self._layers, self._inner, strict=True):
            if inner is not None and isinstance(layer, Residual):
                within = inner.forward(x, row)
                out = np.clip(within[-1].out + x, layer.to.low, layer.to.high)
                tapes.append(Tape(x, out, within))
            else:
                tapes.append(Tape(x, layer.forward(x, row)))
            x = tapes[-1].out
        return tuple(tapes)

    def back(self, tapes: Sequence[Tape], g: Floats, row: Rows) -> Floats:
        """The gradient of the input, given that of the output."""
        steps = zip(self._layers, self._inner, self._product, tapes, strict=True)
        for layer, inner, transposed, tape in reversed(list(steps)):
            if isinstance(layer, Conv | Gain | Residual):
                g = g * inside(tape.out, layer.to)
            if transposed is not None and isinstance(layer, Conv):
                g = transposed(g, layer.kernel)
            elif inner is not None:
                g = g + inner.back(tape.inner, g, row)
            elif isinstance(layer, Gain):
                g = g * (layer.factor[row] * np.float32(2.0**-GAIN_SHIFT))[:, None, None, :]
            else:
                g = _rearranged(layer, tape, g, row)
        return g


def _transposed(layer: Conv) -> Floats:
    """The weights of a convolution from its outputs to its inputs, as :func:`mnistzip.nn.layers.patches` lays them out."""
    k, outputs = layer.kernel, layer.weight.shape[1]
    weight = layer.weight.reshape(k, k, -1, outputs)
    return np.ascontiguousarray(weight[::-1, ::-1].transpose(0, 1, 3, 2)).reshape(k * k * outputs, -1)


def _rearranged(layer: Layer, tape: Tape, g: Floats, row: Rows) -> Floats:
    """Back through a layer without weights."""
    if isinstance(layer, DepthToSpace):
        return SpaceToDepth(layer.size).forward(g, row)
    if isinstance(layer, SpaceToDepth):
        return DepthToSpace(layer.size).forward(g, row)
    if isinstance(layer, Upsample):
        across = g[:, ::2] + g[:, 1::2]
        summed: Floats = across[:, :, ::2] + across[:, :, 1::2]
        return summed
    if isinstance(layer, MaxPool):
        up = Upsample()
        return up.forward(g, row) * (up.forward(tape.out, row) == tape.x)
    if isinstance(layer, Lookup):
        index = tape.x.astype(np.int64) - layer.low
        last = len(layer.table) - 1
        rise = layer.table[np.minimum(index + 1, last)] - layer.table[np.maximum(index - 1, 0)]
        return g * (rise * np.float32(0.5))
    raise TypeError(f"no gradient of {type(layer).__name__}")
