"""Prepared models: the weights of a model file, laid out for the kernels of the native engine.

A prepared model is a row of records, of 16 numbers of 32 bits each, and arrays. Each begins at a multiple of 64 bytes. Numbers
are in the byte order of the machine that uses them. ``engine/model.c`` reads it in the same order, checks every shape and
proves every sum again, so a prepared model needs no trust.

A matrix is laid out in blocks of 16 outputs, and within a block in pairs of inputs: ``(blocks, runs, pairs, 16, 2)`` of int16.
Runs are the rows of a convolution's kernel. A matrix is *wide* if its weights or its inputs need more than 16 bits: it is then
laid out as ``(runs, inputs, outputs)`` of int32.

The first record says the kind of the model. Models of tiles and those of the kind ``grey`` share the layout of layers. Those of
the kind ``bitmap`` have a few matrices only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzip import pretrained
from mnistzip.models import stored_models
from mnistzip.models.grey.grey_model import NOMINAL, GreyModel
from mnistzip.models.grey.grey_pixels import GreyPixels
from mnistzip.models.grey.prior import CHANNELS as GREY_CHANNELS, GROUP, GroupPrior
from mnistzip.models.latent_prior import CHANNELS, LOGITS, POSITIONS, SIDE, Prior
from mnistzip.models.model import Model
from mnistzip.models.pixel.pixel_model import PixelModel
from mnistzip.models.pixel.planes import RANGES, Plane
from mnistzip.models.registry import SHIPPED
from mnistzip.models.stored_models import ALIGNMENT, BITMAP_KIND, GREY_KIND, LAYOUT, RECORD
from mnistzip.models.transforms import GREY_LEVELS, Transforms
from mnistzip.nn.backward import GradientMatmul
from mnistzip.nn.exact import Affine, Range, integers_of, shifts_of
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
from mnistzip.tiling import TILE
from mnistzip.types import Floats

MAGIC = 0x4D4E5A50
BLOCK = 16
NARROW = Range(-(1 << 15), (1 << 15) - 1)
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

Ints = NDArray[np.int64]


class Use(Enum):
    """What an array of a prepared model is for."""

    CODING = "coding"
    SEARCH = "search"  # gradients
    PIXELS = "pixels"  # the pixel model


class Section(NamedTuple):
    """A record or an array of a prepared model, of int16 or int32."""

    use: Use
    values: NDArray[Any]


def prepare(model: Model, byteorder: str = sys.byteorder) -> bytes:
    """The prepared model of a model.

    Args:
        byteorder: of the machine that will use it, ``"little"`` or ``"big"``.
    """
    return prepare_sections(model, byteorder)[0]


def prepare_sections(model: Model, byteorder: str = sys.byteorder) -> tuple[bytes, list[Section]]:
    """The prepared model of a model, and the records and arrays that it consists of; the first record without its size."""
    writer = _Writer(">" if byteorder == "big" else "<")
    write = _write_bitmaps if model.is_bitmap else _write_grey if model.is_grey else _write_tiles
    size_at = write(writer, model)
    return writer.finish(size_at), writer.sections


def _write_tiles(writer: _Writer, model: Model) -> int:
    """A model that codes tiles. Returns the index of the first record."""
    transforms, pixels = model.transforms, model.pixels if model.has_pixel_model else None
    symbols = transforms.symbols
    counts = [_count(transforms.analysis), _count(transforms.synthesis)]
    size_at = writer.record(MAGIC, LAYOUT, 0, symbols.low, symbols.high, transforms.fine_shift, *counts, pixels is not None)
    for table in (transforms.fine, transforms.step, model.lmbda):
        writer.numbers(table)
    _write_layers(writer, transforms.analysis, Signal(GREY_LEVELS, TILE, TILE, 1), of_tiles=True)
    _write_layers(writer, transforms.synthesis, _latent_signal(transforms), of_tiles=True, with_gradient=True)
    _write_prior(writer, model.prior)
    if pixels is not None:
        _write_pixels(writer, pixels)
    return size_at


def store_shipped(folder: Path) -> None:
    """Store the prepared models of the package in a folder; ``setup.py`` calls it."""
    for name, number in SHIPPED.items():
        file = pretrained.FOLDER / f"{name}.npz"
        stored_models.write(folder / f"{name}{stored_models.SUFFIX}", file, prepare(Model(name, number, file.name)))


class _Writer:
    """Appends records and arrays, aligned."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._parts: list[bytes] = []
        self.sections: list[Section] = []
        self.use = Use.CODING  # of the arrays that follow

    def record(self, *fields: int) -> int:
        """Numbers of a record; the rest is 0. Returns its index."""
        self._add(np.array([*fields, *[0] * (RECORD - len(fields))]), "i4")
        return len(self._parts) - 1

    def numbers(self, values: NDArray[Any]) -> None:
        """An array of integers."""
        self._add(values, "i4")

    def matrix(self, weight: Ints, wide: bool) -> None:
        """A matrix of shape ``(runs, inputs, outputs)``."""
        runs, inputs, outputs = weight.shape
        padded = np.zeros((runs, inputs if wide else _even(inputs), -(-outputs // BLOCK) * BLOCK), np.int64)
        padded[:, :inputs, :outputs] = weight
        if wide:
            self._add(padded, "i4")
        else:
            pairs = padded.reshape(runs, padded.shape[1] // 2, 2, padded.shape[2] // BLOCK, BLOCK)
            self._add(pairs.transpose(3, 0, 1, 4, 2), "i2")

    def gradient(self, weight: Ints, wide: bool) -> None:
        """The matrix of a gradient."""
        self.use = Use.SEARCH
        self.matrix(weight, wide)
        self.use = Use.CODING

    def paired(self, weight: Ints) -> None:
        """A depthwise convolution, ``(rows, columns, channels)``: two input rows together, for two output rows.

        An output row takes the input rows in the pairs 0 and 1, 2 and 3, ..., the one below it as none and 0, 1 and 2, ...; the
        layout is ``(blocks, pairs, columns, 2, 16, 2)`` of int16.
        """
        rows, columns, channels = weight.shape
        both = np.zeros((2, rows + 1, columns, -(-channels // BLOCK) * BLOCK), np.int64)
        both[0, :-1, :, :channels] = both[1, 1:, :, :channels] = weight
        pairs = both.reshape(2, (rows + 1) // 2, 2, columns, -1, BLOCK)
        self._add(pairs.transpose(4, 1, 3, 0, 5, 2), "i2")

    def rows(self, table: Ints) -> None:
        """Numbers whose last axis is padded by zeros to whole blocks of outputs."""
        self.numbers(np.pad(table, [(0, 0)] * (table.ndim - 1) + [(0, -table.shape[-1] % BLOCK)]))

    def finish(self, size_at: int) -> bytes:
        """All parts, with their size in the third number of a record."""
        head = self._parts[size_at]
        size = sum(map(len, self._parts))
        self._parts[size_at] = head[:8] + np.array([size], f"{self._order}u4").tobytes() + head[12:]
        return b"".join(self._parts)

    def _add(self, values: NDArray[Any], kind: str) -> None:
        section = np.ascontiguousarray(values).astype(f"{self._order}{kind}")
        self.sections.append(Section(self.use, section))
        content = section.tobytes()
        self._parts.append(content + bytes(-len(content) % ALIGNMENT))


def _is_wide(*weights: Ints | Floats, peak: int = 0) -> bool:
    """Whether weights, or inputs of this magnitude, need more than 16 bits."""
    low = min((int(weight.min(initial=0)) for weight in weights), default=0)
    high = max((int(weight.max(initial=0)) for weight in weights), default=0)
    return low < NARROW.low or high > NARROW.high or peak > NARROW.high


def _even(number: int) -> int:
    """A number of inputs, rounded up to pairs."""
    return -(-number // 2) * 2


def _exponent(gradient: GradientMatmul) -> int:
    return int(np.frexp(gradient.unit)[1]) - 1


# ---- Networks ----


def _count(layers: Sequence[Layer]) -> int:
    """Layers with those inside."""
    inner = [layer.layers for layer in layers if isinstance(layer, (Residual, Parallel))]
    inner += [layer.others for layer in layers if isinstance(layer, Parallel)]
    return len(layers) + sum(map(_count, inner))


def _latent_signal(transforms: Transforms) -> Signal:
    peak = int(np.abs(transforms.step).max()) * transforms.symbols.peak
    return Signal(Range(-peak, peak), SIDE, SIDE, CHANNELS)


def _write_layers(
    writer: _Writer, layers: Sequence[Layer], signal: Signal, of_tiles: bool, with_gradient: bool = False
) -> None:
    """A chain of layers; the inner ones of a residual or a parallel behind it."""
    for layer in layers:
        op = OPS[type(layer)]
        if isinstance(layer, Conv):
            _write_conv(writer, layer, signal, with_gradient)
        elif isinstance(layer, Depthwise):
            wide = of_tiles or _is_wide(_weight_of(layer), peak=signal.values.peak)
            _write_depthwise(writer, layer, wide, with_gradient)
        elif isinstance(layer, Gain):
            writer.record(op, 0, 0, layer.output_range.low, layer.output_range.high)
            writer.numbers(layer.factor)
        elif isinstance(layer, Residual):
            writer.record(op, _count(layer.layers), 0, layer.output_range.low, layer.output_range.high)
            _write_layers(writer, layer.layers, signal, of_tiles, with_gradient)
        elif isinstance(layer, Parallel):
            one, other = _count(layer.layers), _count(layer.others)
            writer.record(op, one + other, one, layer.output_range.low, layer.output_range.high)
            for chain in (layer.layers, layer.others):
                _write_layers(writer, chain, signal, of_tiles, with_gradient)
        elif isinstance(layer, (SpaceToDepth, DepthToSpace)):
            writer.record(op, 0, layer.size)
        elif isinstance(layer, Lookup):
            writer.record(op, 0, layer.low, len(layer.table))
            writer.numbers(layer.table)
        else:
            writer.record(op)
        signal = layer.infer(signal)


def _write_conv(writer: _Writer, layer: Conv, signal: Signal, with_gradient: bool) -> None:
    outputs = layer.weight.shape[1]
    weight = integers_of(layer.weight, layer.unit).reshape(layer.kernel, -1, outputs)
    wide = _is_wide(weight, peak=signal.values.peak)
    gradient = layer.gradient_matmul if with_gradient else None
    back_wide = gradient is not None and _is_wide(gradient.weight)
    places = layer.position_bias.shape[0] * layer.position_bias.shape[1]
    to, exponent = layer.output_range, 0 if gradient is None else _exponent(gradient)
    writer.record(OPS[Conv], 0, layer.kernel, to.low, to.high, outputs, places, wide, back_wide, exponent)
    writer.matrix(weight, wide)
    writer.numbers(integers_of(layer.position_bias, layer.unit))
    writer.numbers(integers_of(layer.quality_bias, layer.unit))
    writer.numbers(shifts_of(layer.unit))
    if gradient is not None:
        writer.gradient(gradient.weight.reshape(layer.kernel, -1, signal.channels).astype(np.int64), back_wide)


def _weight_of(layer: Depthwise) -> Ints:
    return integers_of(layer.weight, layer.unit)


def _write_depthwise(writer: _Writer, layer: Depthwise, wide: bool, with_gradient: bool) -> None:
    writer.record(OPS[Depthwise], 0, layer.kernel, layer.output_range.low, layer.output_range.high, wide)
    if not wide:
        writer.paired(_weight_of(layer).reshape(layer.kernel, layer.kernel, -1))
    if wide or with_gradient:
        writer.numbers(_weight_of(layer))
    writer.numbers(integers_of(layer.bias, layer.unit))
    writer.numbers(integers_of(layer.quality_bias, layer.unit))
    writer.numbers(shifts_of(layer.unit))


# ---- Prior ----


def _write_prior(writer: _Writer, prior: Prior) -> None:
    a, b = prior.near_weight.shape[1] // POSITIONS, prior.head_weight.shape[1]
    near = integers_of(prior.near_weight, prior.near_unit)
    far = integers_of(prior.far_weight, prior.far_unit)
    skip = integers_of(prior.skip_weight, prior.far_unit)
    head = integers_of(prior.head_weight, prior.head_unit[:, None])
    gradients = prior.gradient_matmuls
    wide = [_is_wide(weight) for weight in (near, far, skip, head)] + [_is_wide(gradient.weight) for gradient in gradients]
    writer.record(a, b, *wide, *map(_exponent, gradients))
    writer.numbers(integers_of(prior.near_bias, prior.near_unit))
    writer.numbers(shifts_of(prior.near_unit))
    writer.numbers(integers_of(prior.far_bias, prior.far_unit))
    writer.numbers(shifts_of(prior.far_unit))
    padding = ((0, 0), (0, -prior.values % BLOCK))
    writer.numbers(np.pad(integers_of(prior.head_bias, prior.head_unit), padding, constant_values=LOGITS.low))
    writer.numbers(np.pad(shifts_of(prior.head_unit), padding))
    spaced, stride = _spaced(far, a), _even(a)
    for position in range(POSITIONS):
        symbols, seen = CHANNELS * position, (position + 1) * stride
        of_far = slice(symbols * b, (symbols + CHANNELS) * b)
        writer.matrix(near[None, :symbols, position * a : (position + 1) * a], wide[0])
        writer.matrix(spaced[None, :seen, of_far], wide[1])
        writer.matrix(skip[None, : symbols + CHANNELS, of_far], wide[2])
    for weight in head:
        writer.matrix(weight[None], wide[3])
    far_to_near, near_to_symbols, far_to_symbols, logits_to_far = (each.weight.astype(np.int64) for each in gradients)
    spaced_back = _spaced(near_to_symbols, a)
    for row in range(SIDE):
        of_near, first = slice(row * SIDE * a, (row + 1) * SIDE * a), row * SIDE * CHANNELS
        of_symbols = slice(first, first + SIDE * CHANNELS)
        writer.gradient(far_to_near[None, first * b :, of_near], wide[4])
        writer.gradient(spaced_back[None, row * SIDE * stride :, of_symbols], wide[5])
        writer.gradient(far_to_symbols[None, first * b :, of_symbols], wide[6])
    for weight in logits_to_far:
        writer.gradient(weight[None], wide[7])


def _spaced(weight: Ints, a: int) -> Ints:
    """Weights of ``near`` whose number at each position is rounded up to even: zeros between the positions."""
    spaced = np.zeros((POSITIONS, _even(a), weight.shape[1]), np.int64)
    spaced[:, :a] = weight.reshape(POSITIONS, a, -1)
    return spaced.reshape(-1, weight.shape[1])


# ---- Pixel model ----


def _write_pixels(writer: _Writer, model: PixelModel) -> None:
    copying = model.copying
    writer.use = Use.PIXELS
    wide = [_is_wide(*(_affine_weight(layer) for layer in (*net.layers, net.head))) for net in model.nets]
    wide += [_is_wide(_affine_weight(copying.query)), _is_wide(_affine_weight(copying.key))]
    writer.record(*(net.head.weight.shape[0] for net in model.nets), *wide, copying.levels.shape[1])
    for net, net_wide in zip(model.nets, wide, strict=False):
        writer.numbers(net.rows)
        writer.numbers(net.columns)
        for layer in net.layers:
            _write_affine(writer, layer, net_wide)
        heads = RANGES if net.plane is Plane.SHADE else 1
        for outputs in np.split(np.arange(net.head.weight.shape[1]), heads):
            _write_affine(writer, net.head, net_wide, slice(outputs[0], outputs[-1] + 1))
    _write_affine(writer, copying.query, wide[-2])
    _write_affine(writer, copying.key, wide[-1])
    writer.numbers(copying.levels)
    writer.numbers(model.blank)


def _affine_weight(layer: Affine) -> Ints:
    return integers_of(layer.weight, layer.unit)


def _write_affine(writer: _Writer, layer: Affine, wide: bool, outputs: slice = slice(None)) -> None:
    writer.matrix(_affine_weight(layer)[None, :, outputs], wide)
    bias, shift = integers_of(layer.bias, layer.unit)[outputs], shifts_of(layer.unit)[outputs]
    writer.numbers(np.pad(bias, (0, -len(bias) % BLOCK), constant_values=LOGITS.low))
    writer.numbers(np.pad(shift, (0, -len(bias) % BLOCK)))


# ---- Models of the kind grey ----


def _write_grey(writer: _Writer, model: Model) -> int:
    """A model that codes whole images. Returns the index of the first record."""
    grey, pixels = model.grey, model.grey_pixels if model.has_pixel_model else None
    prior, within_shift = grey.prior, grey.prior.groups[0].within_shift
    counts = [_count(grey.analysis), _count(grey.synthesis)]
    shifts = grey.step_shift, within_shift
    size_at = writer.record(MAGIC, LAYOUT, 0, 0, 0, grey.fine_shift, *counts, pixels is not None, GREY_KIND, *shifts)
    for table in (grey.fine, grey.step, model.lmbda, prior.bounds, grey.curvature):
        writer.numbers(table)
    _write_layers(writer, grey.analysis, Signal(GREY_LEVELS, NOMINAL, NOMINAL, 1), of_tiles=False)
    _write_layers(writer, grey.synthesis, _grey_signal(grey), of_tiles=False, with_gradient=True)
    writer.numbers(prior.shape.cumulative)
    writer.numbers(prior.shape.inverse_scale)
    for number, group in enumerate(prior.groups):
        _write_group(writer, group, number)
    if pixels is not None:
        writer.use = Use.PIXELS
        _write_grey_pixels(writer, pixels)
    return size_at


def _grey_signal(grey: GreyModel) -> Signal:
    """The input of the synthesis."""
    peak = (int((np.abs(grey.step) * grey.prior.bounds).max()) >> grey.step_shift) + 1
    return Signal(Range(-peak, peak), SIDE, SIDE, GREY_CHANNELS)


def _write_group(writer: _Writer, group: GroupPrior, number: int) -> None:
    hidden, narrow = group.mix.weight.shape
    around, linear_around = integers_of(group.around, group.unit), group.linear_around.astype(np.int64)
    channels = number * GROUP
    before, taps = _some_taps(
        np.zeros((0, hidden), np.int64) if group.before is None else integers_of(group.before, group.unit)
    )
    linear = np.zeros((0, GROUP)) if group.linear_before is None else group.linear_before
    linear_before, linear_taps = _some_taps(linear.astype(np.int64))
    mix, head = _affine_weight(group.mix), _affine_weight(group.head)
    wide = [_is_wide(weight) for weight in (around, before, linear_around, linear_before, mix, head)]
    writer.record(hidden, narrow, taps, linear_taps, *wide)
    for weight in around.reshape(len(around), -1, 2 * GROUP + 1, hidden):
        writer.matrix(weight, wide[0])
    if taps:
        writer.matrix(_group_by_group(before.reshape(-1, 2 * channels, hidden)), wide[1])
    writer.rows(integers_of(group.bias, group.unit))
    writer.numbers(shifts_of(group.unit))
    _write_dense(writer, group.mix, wide[4], group.mix_bias)
    writer.numbers(group.gain)
    _write_dense(writer, group.head, wide[5], group.head_bias)
    writer.numbers(group.within)
    for weight in linear_around.reshape(len(linear_around), -1, GROUP, GROUP):
        writer.matrix(weight, wide[2])
    if linear_taps:
        writer.matrix(linear_before.reshape(-1, channels, GROUP), wide[3])
    writer.numbers(group.linear_gain)


def _some_taps(weight: Ints) -> tuple[Ints, int]:
    """The weights of those of 3x3 taps that have any but 0, and a bit for each of them."""
    taps = weight.reshape(9, -1, weight.shape[1])
    used = np.flatnonzero(taps.any(axis=(1, 2)))
    return taps[used].astype(np.int64), int((1 << used).sum())


def _group_by_group(weight: Ints) -> Ints:
    """Weights ``(taps, inputs, outputs)`` of all signed logarithms and then all magnitudes, in the order of their groups."""
    taps, inputs, outputs = weight.shape
    kinds = weight.reshape(taps, 2, inputs // (2 * GROUP), GROUP, outputs)
    return kinds.transpose(0, 2, 1, 3, 4).reshape(taps, inputs, outputs)


def _write_dense(writer: _Writer, layer: Affine, wide: bool, quality_bias: Floats | None = None) -> None:
    """A layer, whose bias may have a row for each quality."""
    bias = layer.bias if quality_bias is None else layer.bias + quality_bias.astype(np.float64)
    writer.matrix(_affine_weight(layer)[None], wide)
    writer.rows(integers_of(bias, layer.unit))
    writer.numbers(shifts_of(layer.unit))


def _write_grey_pixels(writer: _Writer, pixels: GreyPixels) -> None:
    """The pixel model; tables follow the layer to whose bias they are added."""
    enter, head = pixels.enter, pixels.head
    layers = (enter, *pixels.middle, head, pixels.linear)
    wide = [_is_wide(_affine_weight(layer)) for layer in layers]
    writer.record(*(layer.weight.shape[1] for layer in layers), *wide)
    tables = {
        enter: (pixels.spread, pixels.prediction, pixels.error, pixels.positions),
        head: (pixels.head_spread, pixels.head_error),
    }
    for layer, layer_wide in zip(layers, wide, strict=True):
        _write_dense(writer, layer, layer_wide)
        for table in tables.get(layer, ()):
            writer.rows(integers_of(table, layer.unit))
    for numbers in (pixels.magnify, pixels.amplitude, pixels.shape.cumulative, pixels.shape.inverse_scale):
        writer.numbers(numbers)


# ---- Models of the kind bitmap ----


def _write_bitmaps(writer: _Writer, model: Model) -> int:
    """A model that codes the bitmaps of digits. Returns the index of the first record."""
    bitmaps = model.bitmaps
    enter, others = bitmaps.enter, (*bitmaps.middle, bitmaps.head)
    size_at = writer.record(MAGIC, LAYOUT, 0, 0, 0, 0, 0, 0, model.has_pixel_model, BITMAP_KIND)
    widths, wide = [layer.weight.shape[0] for layer in others], [_is_wide(_affine_weight(layer)) for layer in others]
    writer.record(*widths, *wide)
    for frequencies in (bitmaps.sides, bitmaps.differences, bitmaps.shifts):
        writer.numbers(frequencies)
    writer.rows(_affine_weight(enter))
    writer.rows(integers_of(enter.bias, enter.unit))
    writer.numbers(shifts_of(enter.unit))
    for table in (bitmaps.edges, bitmaps.sizes):
        for rows in table:
            writer.rows(integers_of(rows, enter.unit))
    for layer, layer_wide in zip(others, wide, strict=True):
        _write_dense(writer, layer, layer_wide)
    return size_at
