"""Export the float model of bitmaps to a model file.

No fine-tuning follows the rounding: weights have as many bits as exact sums allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE
from mnistzip.entropy.cost import TOTAL
from mnistzip.models.bitmap.bitmap_model import DIFFERENCES, SHIFTS, SIDE_BITS, SIDE_CLASSES, SIDES, Extents
from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MIN, Bitmap
from mnistzip.models.model_file import BITMAP, FILE_VERSION
from mnistzip.nn.exact import ACTIVATION_MAX, Numbers
from mnistzip.training.export import Arrays, affine_arrays, integers, pack
from mnistzip.training.torch_bitmap_model import BitmapModel
from mnistzip.training.torch_layers import SCALE
from mnistzip.types import Integers

SMOOTHING = 2.0  # sizes: the standard deviation of what a bitmap counts for
UNSEEN = 1e-4  # share of the frequencies that all symbols share


def export_bitmaps(model: BitmapModel, bitmaps: Sequence[Bitmap]) -> bytes:
    """The model file of a trained model, with the frequencies of the sizes and shifts of bitmaps."""
    arrays = _frequencies(Extents.of(bitmaps))
    activations, out = (1 / SCALE, ACTIVATION_MAX), torch.full((len(model.enter.bias),), SCALE)
    with torch.no_grad():
        tables = {"edges": model.edges, "sizes": model.sizes}
        affine_arrays(arrays, "enter", model.enter.weight, model.enter.bias, (1.0, 1), out, tables)
        for number, layer in enumerate(model.middle):
            assert isinstance(layer, torch.nn.Linear)
            affine_arrays(arrays, str(number), layer.weight, layer.bias, activations, torch.full((len(layer.bias),), SCALE), {})
        per_nat = torch.tensor([LOGITS_PER_OCTAVE / math.log(2)])
        affine_arrays(arrays, "head", model.head.weight, model.head.bias, activations, per_nat, {})
    return pack({"version": FILE_VERSION, "kind": BITMAP}, arrays)


def _frequencies(extents: Extents) -> Arrays:
    """The cumulative frequencies of sizes and shifts."""
    shares = np.zeros((SIDE_CLASSES, DIFFERENCES, 2))
    np.add.at(shares, ((extents.side + BITMAP_SIDE_MIN) >> SIDE_BITS, extents.difference >> 1, extents.difference & 1), 1.0)
    every = shares.sum(axis=0) / shares.sum()
    shares += every  # a class of few bitmaps is like all others
    tall, wide = (_smoothed(shares[..., is_wide]) for is_wide in range(2))
    differences = np.stack([tall, wide], axis=-1).reshape(SIDE_CLASSES, -1)
    sides = _smoothed(np.bincount(extents.side, minlength=SIDES).astype(np.float64))
    shifts = np.bincount(extents.shift, minlength=SHIFTS).astype(np.float64)
    tables: dict[str, Numbers] = {"sides": sides, "differences": differences, "shifts": shifts}
    return {name: integers(torch.from_numpy(_cumulative(table))) for name, table in tables.items()}


def _smoothed(counts: Numbers) -> Numbers:
    """Counts along the last axis, spread among neighbours."""
    size = counts.shape[-1]
    distance = np.arange(size)[:, None] - np.arange(size)
    kernel = np.exp(-0.5 * (distance / SMOOTHING) ** 2)
    smoothed: Numbers = counts @ (kernel / kernel.sum(axis=1, keepdims=True))
    return smoothed


def _cumulative(counts: Numbers) -> Integers:
    """Cumulative frequencies from 0 to 65536, each symbol at least 1: (..., values) -> (..., values + 1)."""
    size = counts.shape[-1]
    shares = counts / counts.sum(axis=-1, keepdims=True) * (1 - UNSEEN) + UNSEEN / size
    ends = np.round(np.cumsum(shares, axis=-1) * (TOTAL - size)).astype(np.int64) + np.arange(1, size + 1)
    return np.concatenate([np.zeros((*counts.shape[:-1], 1), np.int64), ends], axis=-1)
