"""Export the float pixel model of ``grey`` to the arrays of a model file.

No fine-tuning follows the rounding: weights have as many bits as exact sums allow.
"""

from __future__ import annotations

import torch

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE
from mnistzip.entropy.cost import TOTAL
from mnistzip.models.grey.distribution import (
    MEAN_BITS,
    REACH,
    SCALE_SHIFT,
    SCALES as SCALE_COUNT,
    SEGMENT_BITS,
    SEGMENTS,
)
from mnistzip.models.grey.grey_pixels import AMPLITUDE_BITS, INPUTS, MAGNIFY_BITS, SCALE_BITS
from mnistzip.models.model_file import PIXEL_PREFIX, description, read_arrays
from mnistzip.nn.exact import ACTIVATION_MAX
from mnistzip.training.export import Arrays, affine_arrays, integers, pack
from mnistzip.training.torch_grey_pixels import INPUT_PEAK, SCALES, GreyPixels
from mnistzip.training.torch_layers import SCALE

INPUT_UNIT = (INPUTS.high + 1) / INPUT_PEAK  # integer steps of an input per spread
TABLE_REACH = 12  # scales to both sides that the table covers


def export_pixels(model: GreyPixels) -> Arrays:
    """The arrays of the pixel model."""
    arrays: Arrays = {}
    with torch.no_grad():
        low, high = (torch.log(torch.tensor(scale, dtype=torch.float64)) for scale in SCALES)
        per_nat = (SCALE_COUNT - 1) / (high - low)
        components = model.linear.shape[1]
        mean_unit = 2.0 ** (MEAN_BITS)  # of a mean, in amplitudes
        units = torch.cat(
            [
                torch.full((components,), LOGITS_PER_OCTAVE / float(torch.log(torch.tensor(2.0)))),
                torch.full((components,), mean_unit),
                torch.full((components,), float(per_nat) * 2**SCALE_BITS),
            ]
        )
        widest = torch.zeros(1, 3 * components)
        widest[:, 2 * components :] = 1
        of_spread = model.head_spread + widest * (torch.log(model.amplitude)[:, None] - low)
        tables = {
            "spread": model.spread,
            "prediction": model.prediction,
            "error": model.error,
            "positions": model.positions,
        }
        inputs, activations = (1 / INPUT_UNIT, INPUTS.high), (1 / SCALE, ACTIVATION_MAX)
        out = torch.full((len(model.enter.bias),), SCALE)
        affine_arrays(arrays, "pixels.enter", model.enter.weight, model.enter.bias, inputs, out, tables)
        for number, layer in enumerate(model.middle):
            assert isinstance(layer, torch.nn.Linear)
            affine_arrays(
                arrays, f"pixels.{number}", layer.weight, layer.bias, activations, torch.full((len(layer.bias),), SCALE), {}
            )
        heads = {"spread": of_spread, "error": model.head_error}
        affine_arrays(arrays, "pixels.head", model.head.weight, model.head.bias, activations, units, heads)
        nothing = torch.zeros(components)
        affine_arrays(arrays, "pixels.linear", model.linear.T, nothing, inputs, torch.full((components,), mean_unit), {})
        arrays["pixels.magnify"] = integers(torch.round(INPUT_UNIT * 2**MAGNIFY_BITS / model.amplitude))
        arrays["pixels.amplitude"] = integers(torch.round(model.amplitude * 2**AMPLITUDE_BITS))
        position = torch.arange(SEGMENTS + 1, dtype=torch.float64) * 2**SEGMENT_BITS - REACH
        steps = REACH / TABLE_REACH  # of the table in a scale
        arrays["pixels.cumulative"] = integers(torch.round(torch.sigmoid(position / steps) * TOTAL))
        scales = torch.exp(low + torch.arange(SCALE_COUNT, dtype=torch.float64) / per_nat)
        arrays["pixels.inverse_scale"] = integers(torch.round(steps * 2**SCALE_SHIFT / (scales * 2 ** (MEAN_BITS + 1))))
    return arrays


def with_pixels(content: bytes, name: str, pixels: Arrays) -> bytes:
    """A model file with this pixel model instead of the one that it has, if any."""
    arrays, _ = read_arrays(content, name, lambda array: not array.startswith(PIXEL_PREFIX))
    meta = description(arrays.pop("meta"), name)
    return pack(meta, {**arrays, **pixels})
