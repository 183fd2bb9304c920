"""Operations of layers on numpy arrays: convolution without bias, biases, and tables with one row per quality.

Arrays are channels-last: (N, H, W, C).
"""

from __future__ import annotations

import numpy as np

from mnistzip.nn.exact import exact_matmul
from mnistzip.types import Floats, Integers

SCATTER_RATIO = 8  # from this many inputs per output of a convolution, scattering outputs is faster


def convolve(x: Floats, weight: Floats, kernel: int) -> Floats:
    """Zero-padded convolution without bias: (N, H, W, C) -> (N, H, W, outputs), a new array.

    ``weight`` has shape ``(kernel * kernel * C, outputs)``; its rows are in the order kernel row, column, channel.
    """
    n, h, w, inputs = x.shape
    if kernel > 1 and weight.shape[1] * SCATTER_RATIO <= inputs:
        return scatter_convolve(x, weight, kernel)
    return exact_matmul(im2col(x, kernel), weight).reshape(n, h, w, -1)


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
    """:func:`convolve`, faster where outputs are few.

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


def depthwise(x: Floats, weight: Floats, kernel: int) -> Floats:
    """Zero-padded convolution of each channel by itself, without bias: (N, H, W, C) -> (N, H, W, C), a new array.

    ``weight`` has shape ``(kernel * kernel, C)``; its rows are in the order kernel row, column. Products are added in that
    order, so that sums of any numbers are the same everywhere.
    """
    n, h, w, c = x.shape
    pad = kernel // 2
    padded = np.zeros((n, h + 2 * pad, w + 2 * pad, c), np.float32)
    padded[:, pad : pad + h, pad : pad + w] = x
    total = np.zeros((n, h, w, c), np.float32)
    for tap, tap_weight in enumerate(weight):
        row, column = divmod(tap, kernel)
        total += padded[:, row : row + h, column : column + w] * tap_weight
    return total


def _overlap(distance: int, size: int) -> tuple[slice, slice]:
    """Along an axis, the positions that have a neighbour at a distance, and those neighbours."""
    first = max(0, -distance)
    last = max(first, size - max(0, distance))
    return slice(first, last), slice(first + distance, last + distance)


def per_quality(table: Floats, quality_index: Integers) -> Floats:
    """Rows of ``(qualities, C)`` for each image: (N, 1, 1, C)."""
    return table[quality_index][:, None, None, :]


def add_bias(total: Floats, position_bias: Floats, quality_bias: Floats, quality_index: Integers) -> None:
    """Add ``(H or 1, W or 1, C)`` and, by the quality of each image, ``(qualities, C)``, in place.

    Three cases, each with the fewest passes over ``total``: one bias for all positions, images of one quality, and the rest.
    """
    if len(position_bias) == 1:
        total += position_bias + per_quality(quality_bias, quality_index)
    elif (quality_index == quality_index[:1]).all():
        total += position_bias + quality_bias[quality_index[:1]]
    else:
        total += position_bias
        total += per_quality(quality_bias, quality_index)
