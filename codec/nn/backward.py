"""Gradients through integer layers, to first order and equal on every machine.

An encoder that searches needs to know which symbols are worth moving, and every machine should move the same ones. Sums of a
matrix product must not depend on their order. Before each product, gradients are therefore rounded, image by image, to
integers of 9 bits times a power of two, and weights to integers that keep all sums below 2^24 (see :mod:`mnistzip.nn.exact`).
Everything else is done number by number, which IEEE arithmetic fixes. The gradient ignores rounding and the floor of a
requantization; a clipped value has a gradient of zero.

Gradients do not affect what a file decodes to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mnistzip.nn.exact import SUM_MAX, Range, exact_matmul
from mnistzip.nn.operations import im2col
from mnistzip.types import Bools, Floats

GRADIENT_MAX = 511  # largest magnitude of a rounded gradient in a matrix product


@dataclass(frozen=True, eq=False)
class GradientMatmul:
    """``g @ weight`` for gradients: exact sums of rounded factors.

    Attributes:
        weight: integers, shape ``(..., inputs, outputs)``.
        unit: the power of two by which they are multiplied.
    """

    weight: Floats
    unit: np.float32

    @staticmethod
    def from_weights(weight: Floats) -> GradientMatmul:
        """From weights of any size, shape ``(..., inputs, outputs)``."""
        worst = np.abs(weight).sum(axis=-2, dtype=np.float64).max(initial=0.0) * GRADIENT_MAX
        room = SUM_MAX - GRADIENT_MAX * weight.shape[-2] / 2  # as rounding adds up to a half to each weight
        _, exponent = np.frexp(worst / room)  # worst <= room * 2^exponent
        unit = np.ldexp(np.float32(1), int(exponent))
        return GradientMatmul(np.rint(weight / unit).astype(np.float32), unit)

    def __call__(self, g: Floats, kernel: int = 1) -> Floats:
        """Gradients of shape ``(N, ..., inputs)`` to ``(N, ..., outputs)``; a kernel above 1 takes ``(N, H, W, C)``."""
        largest = np.abs(g).max(axis=tuple(range(1, g.ndim)), keepdims=True)
        _, exponent = np.frexp(largest / np.float32(GRADIENT_MAX))
        rounded = np.rint(g * np.ldexp(np.float32(1), -exponent))
        inputs = im2col(rounded, kernel).reshape(*g.shape[:-1], -1) if kernel > 1 else rounded
        total = exact_matmul(inputs, self.weight)
        total *= np.ldexp(self.unit, exponent)
        return total


def convolution_matmul(weight: Floats, kernel: int) -> GradientMatmul:
    """From the gradient of a convolution's output to that of its input; :func:`im2col` lays out the gradient."""
    outputs = weight.shape[1]
    taps = weight.reshape(kernel, kernel, -1, outputs)
    turned = np.ascontiguousarray(taps[::-1, ::-1].transpose(0, 1, 3, 2))
    return GradientMatmul.from_weights(turned.reshape(kernel * kernel * outputs, -1))


def unclipped(out: Floats, output_range: Range) -> Bools:
    """Where a value was not clipped."""
    mask: Bools = (out > output_range.low) & (out < output_range.high)
    return mask


@dataclass(frozen=True, eq=False)
class LayerTape:
    """Input and output of a layer in a forward pass, and the tapes of the layers inside it, of both chains if it has two."""

    x: Floats
    out: Floats
    inner: tuple[LayerTape, ...] = ()
    others: tuple[LayerTape, ...] = ()

    def select(self, images: Bools) -> LayerTape:
        """The tape of some of the images."""
        inner, others = (tuple(tape.select(images) for tape in tapes) for tapes in (self.inner, self.others))
        return LayerTape(self.x[images], self.out[images], inner, others)
