"""Export the float model ``grey`` to a model file: rounded weights, the tables of its distributions, the bounds of its symbols.

No fine-tuning follows: activations have 10 bits, weights as many bits as exact sums allow, and the linear parts more than grey
levels need.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.entropy.cost import TOTAL
from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.grey.coding_order import CROSS, GRIDS, SQUARE
from mnistzip.models.grey.distribution import MEAN_BITS, REACH, SCALE_SHIFT, SCALES, SEGMENT_BITS, SEGMENTS
from mnistzip.models.grey.grey_model import BLOCK, CURVATURE_MAX, CURVATURE_SHIFT
from mnistzip.models.grey.prior import CHANNELS, GROUP, GROUPS, LINEAR_SHIFT, LOG_SHIFT, LOGS, SCALE_BITS, SYMBOL_MAX
from mnistzip.models.model_file import FILE_VERSION, GREY
from mnistzip.nn.exact import ACTIVATION_MAX, SUM_MAX
from mnistzip.nn.layers import GAIN_SHIFT
from mnistzip.training.export import ACTIVATIONS, Arrays, Layers, integers, lmbda_per_grey, pack
from mnistzip.training.torch_grey import SCALES as LOG_SCALES, Block, Conv, Gain, Grey, Prior, Transform
from mnistzip.training.torch_layers import SCALE, exact_shift

PIXEL_UNIT = 2 * WHITE  # centred grey levels are 2 * v - 255
LATENT_UNIT, LATENT_MAX = 1 << 14, 1 << 21
COEFFICIENT_UNIT = 4 * WHITE  # scaled symbols are in quarters of a grey level
COEFFICIENT_MAX = 4095
IMAGE_UNIT, IMAGE_MAX = 256 * WHITE, 1 << 17  # sums of the synthesis are in 256ths of a grey level
FINE_SHIFT, STEP_SHIFT, WITHIN_SHIFT = 24, 6, 8
LINEAR_BITS = range(13, 0, -1)  # of a weight of the linear prediction; the others are of its gain
REACHED = 1.3  # bounds of symbols, as a multiple of what a full swing of grey levels gives

Level = Tensor  # the level of each quality, shape (100,)


def export_grey(model: Grey, levels: Level, largest: NDArray[np.int64], curvature: NDArray[np.floating]) -> bytes:
    """The model file.

    Args:
        model: in floats.
        levels: the level of each quality, shape ``(100,)``.
        largest: the largest symbol that training pictures have, by quality and channel, ``(100, 16)``.
        curvature: squared error that a change of a symbol by one causes, in squared grey levels, ``(100, 16)``.
    """
    arrays: Arrays = {}
    with torch.no_grad():
        folded = {"op": "space_to_depth", "size": BLOCK}
        arrays["centre.table"] = integers(2 * torch.arange(WHITE + 1) - WHITE)
        centre = {"op": "lookup", "name": "centre", "low": 0}
        analysis = _transform(
            model.analysis, "analysis", levels, arrays, PIXEL_UNIT, WHITE, LATENT_UNIT, LATENT_MAX, offset=0.0
        )
        synthesis = _transform(
            model.synthesis, "synthesis", levels, arrays, COEFFICIENT_UNIT, COEFFICIENT_MAX, IMAGE_UNIT, IMAGE_MAX, offset=0.5
        )
        arrays["levels.factor"] = integers(torch.ones(len(levels), CHANNELS))
        rounded = {"op": "gain", "name": "levels", "to": [0, WHITE]}
        arrays["fine"] = integers(torch.round(model.gain(levels).exp() * (2**FINE_SHIFT / LATENT_UNIT)))
        step = torch.round(model.step(levels).exp() * (COEFFICIENT_UNIT * 2**STEP_SHIFT))
        arrays["step"] = integers(step)
        arrays["bounds"] = integers(torch.from_numpy(symbol_bounds(step.numpy(), largest)))
        arrays["curvature"] = integers(torch.from_numpy(np.clip(np.rint(curvature * 2**CURVATURE_SHIFT), 1, CURVATURE_MAX)))
        arrays["lmbda"] = lmbda_per_grey(model.lmbda(levels))
        _prior(model.prior, levels, arrays)
    meta = {
        "version": FILE_VERSION,
        "kind": GREY,
        "fine_shift": FINE_SHIFT,
        "step_shift": STEP_SHIFT,
        "within_shift": WITHIN_SHIFT,
        "analysis": [folded, centre, *analysis],
        "synthesis": [*synthesis, rounded, {"op": "depth_to_space", "size": BLOCK}],
    }
    return pack(meta, arrays)


def symbol_bounds(step: NDArray[np.floating], largest: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest symbol of each quality and channel; 0 for channels that no training picture uses at a quality."""
    swing = REACHED * BLOCK * WHITE / 2 * (COEFFICIENT_UNIT / WHITE) * 2**STEP_SHIFT  # of an orthonormal transform
    fitting = np.minimum(np.floor((COEFFICIENT_MAX << STEP_SHIFT) / step), SYMBOL_MAX)
    bounds = np.minimum(np.maximum(np.ceil(swing / step), largest + 2), fitting)
    return np.where(largest > 0, bounds, 0).astype(np.int64)


def _transform(
    part: Transform,
    name: str,
    levels: Level,
    arrays: Arrays,
    input_unit: float,
    input_peak: int,
    output_unit: float,
    output_peak: int,
    offset: float,
) -> Layers:
    """Add the arrays of a transform and return the descriptions of its layers; ``offset`` is added to its output."""
    outputs = [-output_peak, output_peak]
    layers: Layers = [
        _conv(part.enter, f"{name}.enter", levels, arrays, input_unit, input_peak, SCALE, ACTIVATIONS),
        _gain(part.first, f"{name}.first", levels, arrays),
    ]
    for number, block in enumerate(part.blocks):
        assert isinstance(block, Block)
        prefix = f"{name}.{number}"
        change = [-ACTIVATION_MAX, ACTIVATION_MAX]
        inner = [
            _depthwise(block.around, f"{prefix}.around", levels, arrays),
            _conv(block.up, f"{prefix}.up", levels, arrays, SCALE, ACTIVATION_MAX, SCALE, ACTIVATIONS),
            _gain(block.gain, f"{prefix}.gain", levels, arrays),
            _conv(block.down, f"{prefix}.down", levels, arrays, SCALE, ACTIVATION_MAX, SCALE, change),
        ]
        layers.append({"op": "residual", "layers": inner, "to": ACTIVATIONS})
    layers.append(_gain(part.last, f"{name}.last", levels, arrays))
    layers.append(_conv(part.leave, f"{name}.leave", levels, arrays, SCALE, ACTIVATION_MAX, output_unit, outputs, offset))
    weight = part.linear * (output_unit / input_unit)
    nothing = torch.zeros(len(levels), len(weight))
    linear = _conv_arrays(weight, nothing, f"{name}.linear", arrays, input_peak, outputs)
    return [{"op": "parallel", "layers": layers, "others": [linear], "to": outputs}]


def _conv(
    part: Conv,
    name: str,
    levels: Level,
    arrays: Arrays,
    input_unit: float,
    input_peak: int,
    output_unit: float,
    outputs: list[int],
    offset: float = 0.0,
) -> dict[str, object]:
    weight = part.weight * (output_unit / input_unit)
    return _conv_arrays(weight, (part.bias(levels) + offset) * output_unit, name, arrays, input_peak, outputs)


def _conv_arrays(
    weight: Tensor, bias: Tensor, name: str, arrays: Arrays, input_peak: int, outputs: list[int]
) -> dict[str, object]:
    """A convolution whose weights are in integer steps of output per integer step of input."""
    flat = weight.flatten(1)
    shift = exact_shift(flat, torch.full(flat.shape[1:], float(input_peak)), bias.abs().amax(0))
    scale = torch.exp2(shift)
    arrays |= {
        f"{name}.weight": integers(torch.round(weight * scale.view(-1, 1, 1, 1)).permute(2, 3, 1, 0).reshape(-1, len(weight))),
        f"{name}.place": integers(torch.zeros(1, 1, len(weight))),
        f"{name}.quality": integers(torch.round(bias * scale)),
        f"{name}.shift": integers(shift),
    }
    return {"op": "conv", "name": name, "kernel": weight.shape[-1], "to": outputs}


def _depthwise(part: Conv, name: str, levels: Level, arrays: Arrays) -> dict[str, object]:
    _affine(part.weight.flatten(1), part.bias(levels) * SCALE, name, arrays)
    return {"op": "depthwise", "name": name, "kernel": part.weight.shape[-1], "to": ACTIVATIONS}


def _gain(part: Gain, name: str, levels: Level, arrays: Arrays) -> dict[str, object]:
    arrays[f"{name}.factor"] = _factor(part, levels)
    return {"op": "gain", "name": name, "to": ACTIVATIONS}


def _factor(part: Gain, levels: Level) -> NDArray[np.generic]:
    return integers(torch.round(part.factor(levels) * 2**GAIN_SHIFT))


def _prior(part: Prior, levels: Level, arrays: Arrays) -> None:
    """The arrays of the prior."""
    low, high = LOG_SCALES
    per_nat = (SCALES - 1) / (high - low)
    scales = torch.exp(low + torch.arange(SCALES, dtype=torch.float64) / per_nat)
    units = REACH / (SEGMENTS / 64)  # of the table in one scale: it covers 16 scales on both sides
    table = torch.sigmoid((torch.arange(SEGMENTS + 1, dtype=torch.float64) * 2**SEGMENT_BITS - REACH) / units)
    arrays["prior.cumulative"] = integers(torch.round(table * TOTAL))
    arrays["prior.inverse_scale"] = integers(torch.round(units * 2**SCALE_SHIFT / (scales * 2 ** (MEAN_BITS + 1))))
    head_unit = torch.cat([torch.full((GROUP,), 2.0**MEAN_BITS), torch.full((GROUP,), per_nat * 2**SCALE_BITS)])
    for group in range(GROUPS):
        name = f"prior.{group}"
        _hidden(part, group, levels, arrays)
        mix = part.mix[group]
        _affine(mix, part.mix_bias[group](levels) * SCALE, f"{name}.mix", arrays)
        gain = part.gain[group]
        assert isinstance(gain, Gain)
        arrays[f"{name}.gain"] = _factor(gain, levels)
        start = torch.cat([torch.zeros(GROUP), torch.full((GROUP,), -low)])
        head_bias = (8 * part.head_bias[group](levels) + start) * head_unit
        _affine(part.head[group] * (head_unit / SCALE)[:, None], head_bias, f"{name}.head", arrays)
        within = (part.within[group] * part.earlier).T * head_unit  # inputs, outputs
        within[GROUP:] /= 2**LOG_SHIFT
        arrays[f"{name}.within"] = integers(torch.round(within * 2**WITHIN_SHIFT))
        _linear(part, group, levels, arrays)


def _linear(part: Prior, group: int, levels: Level, arrays: Arrays) -> None:
    """The linear prediction: its weights have as many bits as exact sums allow."""
    name = f"prior.{group}"
    around = torch.stack([_around(w, number, group) for number in range(len(GRIDS)) for w in _linear_pairs(part)])
    before = torch.zeros(0, GROUP)
    if group:
        before = (part.linear_groups[group] * part.plus).permute(2, 3, 1, 0).reshape(-1, GROUP)

    def rounded(weight: Tensor, bits: int) -> Tensor:
        return torch.round(weight * 2**bits)

    def largest(bits: int) -> float:
        return float((rounded(around, bits).abs().sum(1).amax(0) + rounded(before, bits).abs().sum(0)).max()) * SYMBOL_MAX

    bits = next(bits for bits in LINEAR_BITS if largest(bits) <= SUM_MAX)
    arrays[f"{name}.linear_around"] = integers(rounded(around, bits))
    if group:
        arrays[f"{name}.linear_before"] = integers(rounded(before, bits))
    arrays[f"{name}.linear_gain"] = integers(rounded(part.linear_gain[group](levels), LINEAR_SHIFT + MEAN_BITS - bits))


def _linear_pairs(part: Prior) -> tuple[tuple[object, bool], tuple[object, bool]]:
    return (part.linear_corners, True), (part.linear_sides, False)


def _around(weights: tuple[object, bool], number: int, group: int) -> Tensor:
    """Weights of the 12 neighbours of a round, in their order: (12 * inputs, outputs)."""
    tensors, is_square = weights
    weight: Tensor = tensors[len(GRIDS) * group + number]  # type: ignore[index]
    taps, first = (SQUARE, 1) if is_square else (CROSS, 2)
    return torch.cat([weight[:, :, row + first, column + first].T for row, column in taps])


def _hidden(part: Prior, group: int, levels: Level, arrays: Arrays) -> None:
    """Weights from the neighbours and from the groups before to the hidden layer, all with one shift for each output."""
    name = f"prior.{group}"
    unit = SCALE / 2**LOG_SHIFT
    pairs = (part.from_corners, True), (part.from_sides, False)
    around = torch.stack([_around(weights, number, group) for number in range(len(GRIDS)) for weights in pairs]) * unit
    before = torch.zeros(0, part.hidden)
    if group:
        before = (part.from_groups[group] * part.plus).permute(2, 3, 1, 0).reshape(-1, part.hidden) * unit
    bias = part.bias[group](levels).view(len(levels), -1, part.hidden) * SCALE
    shifts = []
    for weights in around:
        every = torch.cat([weights, before]).T
        shifts.append(exact_shift(every, torch.full(every.shape[1:], float(LOGS[-1])), bias.abs().amax((0, 1))))
    shift = torch.stack(shifts).amin(0)
    scale = torch.exp2(shift)
    arrays[f"{name}.around"] = integers(torch.round(around * scale))
    if group:
        arrays[f"{name}.before"] = integers(torch.round(before * scale))
    arrays[f"{name}.bias"] = integers(torch.round(bias * scale))
    arrays[f"{name}.shift"] = integers(shift)


def _affine(weight: Tensor, bias: Tensor, name: str, arrays: Arrays) -> None:
    """The arrays of a layer on activations: weights ``(outputs, inputs)`` and a bias per quality, ``(qualities, outputs)``."""
    shift = exact_shift(weight, torch.full(weight.shape[1:], float(ACTIVATION_MAX)), bias.abs().amax(0))
    scale = torch.exp2(shift)
    arrays |= {
        f"{name}.weight": integers(torch.round(weight * scale[:, None]).T),
        f"{name}.bias": integers(torch.zeros(len(weight))),
        f"{name}.quality": integers(torch.round(bias * scale)),
        f"{name}.shift": integers(shift),
    }
