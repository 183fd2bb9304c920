"""Chains of layers of a prepared model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.models.prepared.writer import Ints, Writer, is_wide
from mnistzip.nn.backward import GradientMatmul
from mnistzip.nn.exact import integers_of, shifts_of
from mnistzip.nn.layer_base import Layer, Signal
from mnistzip.nn.layers import (
    Conv,
    DepthToSpace,
    Depthwise,
    Gain,
    Lookup,
    MaxPool,
    Parallel,
    Residual,
    SpaceToDepth,
    Upsample,
)

OPS: dict[type[Layer], int] = {
    Conv: 1,
    Gain: 2,
    Residual: 3,
    SpaceToDepth: 4,
    DepthToSpace: 5,
    MaxPool: 6,
    Upsample: 7,
    Lookup: 8,
    Depthwise: 9,
    Parallel: 10,
}


def count_layers(layers: Sequence[Layer]) -> int:
    """Layers with those inside."""
    inner = [layer.layers for layer in layers if isinstance(layer, (Residual, Parallel))]
    inner += [layer.others for layer in layers if isinstance(layer, Parallel)]
    return len(layers) + sum(map(count_layers, inner))


def write_layers(writer: Writer, layers: Sequence[Layer], signal: Signal, of_tiles: bool, with_gradient: bool = False) -> None:
    """A chain of layers; the inner ones of a residual or a parallel behind it."""
    for layer in layers:
        op = OPS[type(layer)]
        if isinstance(layer, Conv):
            _write_conv(writer, layer, signal, with_gradient)
        elif isinstance(layer, Depthwise):
            wide = of_tiles or is_wide(_weight_of(layer), peak=signal.values.peak)
            _write_depthwise(writer, layer, wide, with_gradient)
        elif isinstance(layer, Gain):
            writer.record(op, 0, 0, layer.output_range.low, layer.output_range.high)
            writer.numbers(layer.factor)
        elif isinstance(layer, Residual):
            writer.record(op, count_layers(layer.layers), 0, layer.output_range.low, layer.output_range.high)
            write_layers(writer, layer.layers, signal, of_tiles, with_gradient)
        elif isinstance(layer, Parallel):
            one, other = count_layers(layer.layers), count_layers(layer.others)
            writer.record(op, one + other, one, layer.output_range.low, layer.output_range.high)
            for chain in (layer.layers, layer.others):
                write_layers(writer, chain, signal, of_tiles, with_gradient)
        elif isinstance(layer, (SpaceToDepth, DepthToSpace)):
            writer.record(op, 0, layer.size)
        elif isinstance(layer, Lookup):
            writer.record(op, 0, layer.low, len(layer.table))
            writer.numbers(layer.table)
        else:
            writer.record(op)
        signal = layer.infer(signal)


def _write_conv(writer: Writer, layer: Conv, signal: Signal, with_gradient: bool) -> None:
    outputs = layer.weight.shape[1]
    weight = integers_of(layer.weight, layer.unit).reshape(layer.kernel, -1, outputs)
    wide = is_wide(weight, peak=signal.values.peak)
    gradient = layer.gradient_matmul if with_gradient else None
    back_wide = gradient is not None and is_wide(gradient.weight)
    places = layer.position_bias.shape[0] * layer.position_bias.shape[1]
    to, exponent = layer.output_range, 0 if gradient is None else exponent_of(gradient)
    writer.record(OPS[Conv], 0, layer.kernel, to.low, to.high, outputs, places, wide, back_wide, exponent)
    writer.matrix(weight, wide)
    writer.numbers(integers_of(layer.position_bias, layer.unit))
    writer.numbers(integers_of(layer.quality_bias, layer.unit))
    writer.numbers(shifts_of(layer.unit))
    if gradient is not None:
        writer.gradient(gradient.weight.reshape(layer.kernel, -1, signal.channels), back_wide)


def _weight_of(layer: Depthwise) -> Ints:
    return integers_of(layer.weight, layer.unit)


def _write_depthwise(writer: Writer, layer: Depthwise, wide: bool, with_gradient: bool) -> None:
    writer.record(OPS[Depthwise], 0, layer.kernel, layer.output_range.low, layer.output_range.high, wide)
    if not wide:
        writer.paired(_weight_of(layer).reshape(layer.kernel, layer.kernel, -1))
    if wide or with_gradient:
        writer.numbers(_weight_of(layer))
    writer.numbers(integers_of(layer.bias, layer.unit))
    writer.numbers(integers_of(layer.quality_bias, layer.unit))
    writer.numbers(shifts_of(layer.unit))


def exponent_of(gradient: GradientMatmul) -> int:
    """The exponent of the unit of a gradient, a power of 2."""
    return int(np.frexp(gradient.unit)[1]) - 1
