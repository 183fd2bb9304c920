"""The array operations that layers are written in, and their implementation in numpy.

A layer's forward pass uses nothing of an array but its shape, slices, ``reshape``, arithmetic and an :class:`Operations`. The
same layer therefore runs on numpy and, with the operations of :mod:`mnistzip.plugins.gpu`, on a device.
Arrays are channels-last: (N, H, W, C).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from mnistzip.nn.exact import Range, exact_matmul, requantize
from mnistzip.types import Floats, Integers

Array = Any  # of numpy or of a device

SCATTER_RATIO = 8  # inputs for each output of a convolution, from which on to scatter outputs is faster


class Operations(Protocol):
    """Operations on arrays of one kind. Weights and tables are numpy's; an implementation may cache copies of them."""

    def permute(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The same values with their axes in another order."""

    def maximum(self, a: Array, b: Array) -> Array:
        """The larger of each pair of values."""

    def repeat(self, x: Array, axis: int) -> Array:
        """Each slice along an axis twice."""

    def convolve(self, x: Array, weight: Floats, kernel: int) -> Array:
        """Zero-padded convolution without bias: (N, H, W, C) -> (N, H, W, outputs), a new array.

        ``weight`` has shape ``(kernel * kernel * C, outputs)``; its rows are in the order kernel row, column, channel.
        """

    def add_bias(self, total: Array, position_bias: Floats, quality_bias: Floats, quality_index: Array) -> Array:
        """Add ``(H or 1, W or 1, C)`` and, by the quality of each image, ``(qualities, C)``; may overwrite ``total``."""

    def per_quality(self, table: Floats, quality_index: Array) -> Array:
        """Rows of ``(qualities, C)`` for each image: (N, 1, 1, C)."""

    def lookup(self, table: Floats, low: int, x: Array) -> Array:
        """``table[x - low]``."""

    def requantize(self, total: Array, output_range: Range) -> Array:
        """``floor(total)``, clipped; may overwrite ``total``."""

    def clip(self, total: Array, output_range: Range) -> Array:
        """Clip; may overwrite ``total``."""


class NumpyOperations:
    """:class:`Operations` on the processor."""

    def permute(self, x: Floats, axes: tuple[int, ...]) -> Floats:
        return x.transpose(axes)

    def maximum(self, a: Floats, b: Floats) -> Floats:
        return np.maximum(a, b)

    def repeat(self, x: Floats, axis: int) -> Floats:
        return x.repeat(2, axis=axis)

    def convolve(self, x: Floats, weight: Floats, kernel: int) -> Floats:
        n, h, w, inputs = x.shape
        if kernel > 1 and weight.shape[1] * SCATTER_RATIO <= inputs:
            return scatter_convolve(x, weight, kernel)
        return exact_matmul(im2col(x, kernel), weight).reshape(n, h, w, -1)

    def add_bias(self, total: Floats, position_bias: Floats, quality_bias: Floats, quality_index: Integers) -> Floats:
        if len(position_bias) == 1:
            total += position_bias + quality_bias[quality_index][:, None, None, :]
        elif (quality_index == quality_index[:1]).all():
            total += position_bias + quality_bias[quality_index[:1]]
        else:
            total += position_bias
            total += quality_bias[quality_index][:, None, None, :]
        return total

    def per_quality(self, table: Floats, quality_index: Integers) -> Floats:
        return table[quality_index][:, None, None, :]

    def lookup(self, table: Floats, low: int, x: Floats) -> Floats:
        return table[x.astype(np.int64) - low]

    def requantize(self, total: Floats, output_range: Range) -> Floats:
        return requantize(total, output_range)

    def clip(self, total: Floats, output_range: Range) -> Floats:
        return np.clip(total, output_range.low, output_range.high, out=total)


NUMPY = NumpyOperations()


def im2col(x: Floats, kernel: int) -> Floats:
    """The zero-padded neighbourhood of each position: (N, H, W, C) -> (N * H * W, kernel * kernel * C)."""
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


def scatter_convolve(x: Floats, weight: Floats, kernel: int) -> Floats:
    """:meth:`Operations.convolve`, faster where outputs are few.

    The values of each position are multiplied by the weights of each tap, and the products are added at the neighbours. This
    moves a neighbourhood of outputs, where :func:`im2col` moves a neighbourhood of inputs.
    """
    n, h, w, inputs = x.shape
    flat = x.reshape(n * h * w, inputs)
    total = np.zeros((n, h, w, weight.shape[1]), np.float32)
    for tap, tap_weight in enumerate(weight.reshape(kernel**2, inputs, -1)):
        down, right = tap // kernel - kernel // 2, tap % kernel - kernel // 2  # from an output to the input that it sees
        contribution = exact_matmul(flat, tap_weight).reshape(total.shape)
        (out_rows, in_rows), (out_columns, in_columns) = _overlap(down, h), _overlap(right, w)
        total[:, out_rows, out_columns] += contribution[:, in_rows, in_columns]
    return total


def _overlap(distance: int, size: int) -> tuple[slice, slice]:
    """Along an axis, the positions that have a neighbour at a distance, and those neighbours."""
    first, last = max(0, -distance), size - max(0, distance)
    return slice(first, last), slice(first + distance, last + distance)
