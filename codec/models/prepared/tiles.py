"""Prepared models that code tiles: networks, prior and pixel model."""

from __future__ import annotations

import numpy as np

from mnistzip.models.latent_prior import CHANNELS, LOGITS, POSITIONS, SIDE, Prior
from mnistzip.models.model import Model
from mnistzip.models.pixel.pixel_model import PixelModel
from mnistzip.models.pixel.planes import RANGES, Plane
from mnistzip.models.prepared.networks import count_layers, exponent_of, write_layers
from mnistzip.models.prepared.writer import BLOCK, MAGIC, Ints, Use, Writer, affine_weight, even, is_wide
from mnistzip.models.stored_models import LAYOUT
from mnistzip.models.transforms import GREY_LEVELS, Transforms
from mnistzip.nn.exact import Affine, Range, integers_of, shifts_of
from mnistzip.nn.layer_base import Signal
from mnistzip.tiling import TILE
from mnistzip.types import Floats


def write_tiles(writer: Writer, model: Model) -> None:
    """A model that codes tiles."""
    transforms, pixels = model.transforms, model.pixels if model.has_pixel_model else None
    symbols = transforms.symbols
    counts = [count_layers(transforms.analysis), count_layers(transforms.synthesis)]
    writer.record(MAGIC, LAYOUT, 0, symbols.low, symbols.high, transforms.fine_shift, *counts, pixels is not None)
    for table in (transforms.fine, transforms.step, model.lmbda):
        writer.numbers(table)
    write_layers(writer, transforms.analysis, Signal(GREY_LEVELS, TILE, TILE, 1), of_tiles=True)
    write_layers(writer, transforms.synthesis, _latent_signal(transforms), of_tiles=True, with_gradient=True)
    _write_prior(writer, model.prior)
    if pixels is not None:
        _write_pixels(writer, pixels)


def _latent_signal(transforms: Transforms) -> Signal:
    peak = int(np.abs(transforms.step).max()) * transforms.symbols.peak
    return Signal(Range(-peak, peak), SIDE, SIDE, CHANNELS)


# ---- Prior ----


def _write_prior(writer: Writer, prior: Prior) -> None:
    a, b = prior.near_weight.shape[1] // POSITIONS, prior.head_weight.shape[1]
    near = integers_of(prior.near_weight, prior.near_unit)
    far = integers_of(prior.far_weight, prior.far_unit)
    skip = integers_of(prior.skip_weight, prior.far_unit)
    head = integers_of(prior.head_weight, prior.head_unit[:, None])
    gradients = prior.gradient_matmuls
    wide = [is_wide(weight) for weight in (near, far, skip, head)] + [is_wide(gradient.weight) for gradient in gradients]
    writer.record(a, b, *wide, *map(exponent_of, gradients))
    writer.numbers(integers_of(prior.near_bias, prior.near_unit))
    writer.numbers(shifts_of(prior.near_unit))
    writer.numbers(integers_of(prior.far_bias, prior.far_unit))
    writer.numbers(shifts_of(prior.far_unit))
    padding = ((0, 0), (0, -prior.values % BLOCK))
    writer.numbers(np.pad(integers_of(prior.head_bias, prior.head_unit), padding, constant_values=LOGITS.low))
    writer.numbers(np.pad(shifts_of(prior.head_unit), padding))
    spaced, stride = _spaced(far, a), even(a)
    for position in range(POSITIONS):
        symbols, seen = CHANNELS * position, (position + 1) * stride
        of_far = slice(symbols * b, (symbols + CHANNELS) * b)
        writer.matrix(near[None, :symbols, position * a : (position + 1) * a], wide[0])
        writer.matrix(spaced[None, :seen, of_far], wide[1])
        writer.matrix(skip[None, : symbols + CHANNELS, of_far], wide[2])
    for weight in head:
        writer.matrix(weight[None], wide[3])
    far_to_near, near_to_symbols, far_to_symbols, logits_to_far = (each.weight for each in gradients)
    spaced_back = _spaced(near_to_symbols, a)
    for row in range(SIDE):
        of_near, first = slice(row * SIDE * a, (row + 1) * SIDE * a), row * SIDE * CHANNELS
        of_symbols = slice(first, first + SIDE * CHANNELS)
        writer.gradient(far_to_near[None, first * b :, of_near], wide[4])
        writer.gradient(spaced_back[None, row * SIDE * stride :, of_symbols], wide[5])
        writer.gradient(far_to_symbols[None, first * b :, of_symbols], wide[6])
    for weight in logits_to_far:
        writer.gradient(weight[None], wide[7])


def _spaced(weight: Ints | Floats, a: int) -> Ints | Floats:
    """Weights of ``near`` whose number at each position is rounded up to even: zeros between the positions."""
    spaced = np.zeros((POSITIONS, even(a), weight.shape[1]), weight.dtype)
    spaced[:, :a] = weight.reshape(POSITIONS, a, -1)
    return spaced.reshape(-1, weight.shape[1])


# ---- Pixel model ----


def _write_pixels(writer: Writer, model: PixelModel) -> None:
    copying = model.copying
    writer.use = Use.PIXELS
    wide = [is_wide(*(affine_weight(layer) for layer in (*net.layers, net.head))) for net in model.nets]
    wide += [is_wide(affine_weight(copying.query)), is_wide(affine_weight(copying.key))]
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


def _write_affine(writer: Writer, layer: Affine, wide: bool, outputs: slice = slice(None)) -> None:
    writer.matrix(affine_weight(layer)[None, :, outputs], wide)
    bias, shift = integers_of(layer.bias, layer.unit)[outputs], shifts_of(layer.unit)[outputs]
    writer.numbers(np.pad(bias, (0, -len(bias) % BLOCK), constant_values=LOGITS.low))
    writer.numbers(np.pad(shift, (0, -len(bias) % BLOCK)))
