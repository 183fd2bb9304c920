"""Prepared models of the kind ``grey``: networks, prior and pixel model."""

from __future__ import annotations

import numpy as np

from mnistzip.models.grey.grey_model import NOMINAL, GreyModel
from mnistzip.models.grey.grey_pixels import GreyPixels
from mnistzip.models.grey.prior import CHANNELS, GROUP, GroupPrior
from mnistzip.models.latent_prior import SIDE
from mnistzip.models.model import Model
from mnistzip.models.prepared.networks import count_layers, write_layers
from mnistzip.models.prepared.writer import MAGIC, Ints, Use, Writer, affine_weight, is_wide, write_dense
from mnistzip.models.stored_models import GREY_KIND, LAYOUT
from mnistzip.models.transforms import GREY_LEVELS
from mnistzip.nn.exact import Range, integers_of, shifts_of
from mnistzip.nn.layer_base import Signal


def write_grey(writer: Writer, model: Model) -> None:
    """A model that codes whole images."""
    grey, pixels = model.grey, model.grey_pixels if model.has_pixel_model else None
    prior, within_shift = grey.prior, grey.prior.groups[0].within_shift
    counts = [count_layers(grey.analysis), count_layers(grey.synthesis)]
    shifts = grey.step_shift, within_shift
    writer.record(MAGIC, LAYOUT, 0, 0, 0, grey.fine_shift, *counts, pixels is not None, GREY_KIND, *shifts)
    for table in (grey.fine, grey.step, model.lmbda, prior.bounds, grey.curvature):
        writer.numbers(table)
    write_layers(writer, grey.analysis, Signal(GREY_LEVELS, NOMINAL, NOMINAL, 1), of_tiles=False)
    write_layers(writer, grey.synthesis, _grey_signal(grey), of_tiles=False, with_gradient=True)
    writer.numbers(prior.shape.cumulative)
    writer.numbers(prior.shape.inverse_scale)
    for number, group in enumerate(prior.groups):
        _write_group(writer, group, number)
    if pixels is not None:
        writer.use = Use.PIXELS
        _write_grey_pixels(writer, pixels)


def _grey_signal(grey: GreyModel) -> Signal:
    """The input of the synthesis."""
    peak = (int((np.abs(grey.step) * grey.prior.bounds).max()) >> grey.step_shift) + 1
    return Signal(Range(-peak, peak), SIDE, SIDE, CHANNELS)


def _write_group(writer: Writer, group: GroupPrior, number: int) -> None:
    hidden, narrow = group.mix.weight.shape
    around, linear_around = integers_of(group.around, group.unit), group.linear_around.astype(np.int64)
    channels = number * GROUP
    before, taps = _some_taps(
        np.zeros((0, hidden), np.int64) if group.before is None else integers_of(group.before, group.unit)
    )
    linear = np.zeros((0, GROUP)) if group.linear_before is None else group.linear_before
    linear_before, linear_taps = _some_taps(linear.astype(np.int64))
    mix, head = affine_weight(group.mix), affine_weight(group.head)
    wide = [is_wide(weight) for weight in (around, before, linear_around, linear_before, mix, head)]
    writer.record(hidden, narrow, taps, linear_taps, *wide)
    for weight in around.reshape(len(around), -1, 2 * GROUP + 1, hidden):
        writer.matrix(weight, wide[0])
    if taps:
        writer.matrix(_group_by_group(before.reshape(-1, 2 * channels, hidden)), wide[1])
    writer.rows(integers_of(group.bias, group.unit))
    writer.numbers(shifts_of(group.unit))
    write_dense(writer, group.mix, wide[4], group.mix_bias)
    writer.numbers(group.gain)
    write_dense(writer, group.head, wide[5], group.head_bias)
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


def _write_grey_pixels(writer: Writer, pixels: GreyPixels) -> None:
    """The pixel model; tables follow the layer to whose bias they are added."""
    enter, head = pixels.enter, pixels.head
    layers = (enter, *pixels.middle, head, pixels.linear)
    wide = [is_wide(affine_weight(layer)) for layer in layers]
    writer.record(*(layer.weight.shape[1] for layer in layers), *wide)
    tables = {
        enter: (pixels.spread, pixels.prediction, pixels.error, pixels.positions),
        head: (pixels.head_spread, pixels.head_error),
    }
    for layer, layer_wide in zip(layers, wide, strict=True):
        write_dense(writer, layer, layer_wide)
        for table in tables.get(layer, ()):
            writer.rows(integers_of(table, layer.unit))
    for numbers in (pixels.magnify, pixels.amplitude, pixels.shape.cumulative, pixels.shape.inverse_scale):
        writer.numbers(numbers)
