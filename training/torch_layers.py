"""Torch twins of the integer layers, and the base class of all twins.

Activations lie in ``[0, ACTIVATION_PEAK]``. Each layer has two modes. In float mode it is an ordinary layer and computes in the
type of its input, so that training can run in bfloat16. In quantized mode (see :func:`quantize`) tensors hold the same
integers as the exported network: weights and biases are rounded during the forward pass, and the gradient passes the rounding
unchanged. Sums of integers below 2^24 are exact in float32, so the quantized twin equals :mod:`mnistzip.nn.layers` bit for
bit.

The twin of a kind of layer with weights is a :class:`TwinLayer` with the same ``kind``. :mod:`mnistzip.training.export` needs
nothing else to export it.

Sources: Ballé et al. 2019 (integer networks); Cui et al. 2021, arXiv 2003.02012 (gains per level).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.models.latent_prior import SIDE
from mnistzip.models.model_file import QUALITIES
from mnistzip.nn import layers
from mnistzip.nn.exact import ACTIVATION_MAX, SUM_MAX
from mnistzip.nn.layers import GAIN_SHIFT

ACTIVATION_PEAK = 4.0  # float value of the largest activation
SCALE = (ACTIVATION_MAX + 1) / ACTIVATION_PEAK  # integer steps per float unit of activations
SHIFT_MAX = 20
WEIGHT_MAX = 2**15  # magnitude of integer weights


def round_ste(x: Tensor) -> Tensor:
    """Round half up; the gradient passes unchanged."""
    return x + (torch.floor(x + 0.5) - x).detach()


def exact_shift(weight: Tensor, peak: Tensor, bias: Tensor, weight_max: int = WEIGHT_MAX) -> Tensor:
    """The bits by which the weights of each output can be scaled up before rounding, with all sums below 2^24.

    Args:
        weight: shape ``(outputs, inputs)``, in integer steps of output per integer step of input.
        peak: largest magnitude of each input, shape ``(inputs,)``.
        bias: largest magnitude of the bias in integer steps of output, shape ``(outputs,)``.
        weight_max: largest magnitude of a scaled weight.

    Returns:
        Bits, shape ``(outputs,)``. Some percent stay free for weights that change in fine-tuning.
    """
    weight, peak, bias = weight.detach().double(), peak.double(), bias.detach().double()
    shift = torch.zeros(len(weight))
    for bits in range(1, SHIFT_MAX + 1):
        rounded = (weight * 2**bits).round().abs()
        total = rounded @ peak + bias * 2**bits + 2.0 ** (bits - 1) + 4
        fits = (total <= 0.95 * SUM_MAX) & (rounded.amax(1) < 0.95 * weight_max)
        shift = torch.where(fits, float(bits), shift)
    return shift


class Quantizable(nn.Module):
    """Base of the twins: tensors hold floats or, if ``quantized``, the integers of the exported network."""

    quantized = False

    def calibrate(self) -> None:
        """Choose the powers of two that weights are scaled by. Called before the switch to quantized mode."""

    def activate(self, x: Tensor) -> Tensor:
        """Clip to the range of activations; if quantized, round first."""
        if self.quantized:
            return round_ste(x).clamp(0, ACTIVATION_MAX)
        return F.hardtanh(x, 0.0, ACTIVATION_PEAK)


def quantize(module: nn.Module) -> None:
    """Switch a module to quantized mode; its powers of two are chosen for its present weights."""
    for part in module.modules():
        if isinstance(part, Quantizable):
            part.calibrate()
            part.quantized = True


def dequantize(module: nn.Module) -> None:
    """Switch a module back to floats."""
    for part in module.modules():
        if isinstance(part, Quantizable):
            part.quantized = False


def levels() -> Tensor:
    """Equally spaced levels from 0 to 1, shape (100,), for estimates of the largest values of tables."""
    return torch.arange(QUALITIES) / (QUALITIES - 1)


class LevelTable(nn.Module):
    """A vector per quality level, linear between equally spaced learned rows."""

    def __init__(self, anchors: int, size: int, start: float = 0.0) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.full((anchors, size), start))

    def forward(self, level: Tensor) -> Tensor:  # (N,) in 0..1 -> (N, size)
        position = level * (len(self.rows) - 1)
        below = position.floor().clamp(0, len(self.rows) - 2)
        share = (position - below).unsqueeze(1)
        index = below.long()
        return self.rows[index] * (1 - share) + self.rows[index + 1] * share


@dataclass(frozen=True)
class Units:
    """Integer steps per float unit of a layer's inputs and outputs, and the largest magnitude of an input integer."""

    inputs: float = SCALE
    outputs: float = SCALE
    peak: int = ACTIVATION_MAX


class TwinLayer(Quantizable):
    """The twin of a kind of layer with weights.

    Attributes:
        kind: that of :mod:`mnistzip.nn.layers`.
    """

    kind: ClassVar[str]

    def description(self) -> dict[str, int]:
        """The fields of the description in the model file in addition to ``op``, ``name`` and ``to``."""
        return {}

    def arrays(self, level: Tensor) -> dict[str, Tensor]:
        """The integers of the layer's arrays in a model file, by key, for the levels of all qualities, shape ``(100,)``."""
        raise NotImplementedError


class Conv(TwinLayer):
    """Same-size convolution with a bias per position or for all, and optionally a bias per level."""

    kind = layers.Conv.kind

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        anchors: int = 0,
        per_position: bool = False,
        units: Units | None = None,
        weight_max: int = WEIGHT_MAX,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.bias = nn.Parameter(torch.zeros(outputs, SIDE, SIDE) if per_position else torch.zeros(outputs, 1, 1))
        self.level = LevelTable(anchors, outputs) if anchors else None
        self.units = units or Units()
        self.weight_max = weight_max
        self.register_buffer("shift", torch.zeros(outputs), persistent=False)
        self.shift: Tensor

    def calibrate(self) -> None:
        weight = self.weight.flatten(1) * (self.units.outputs / self.units.inputs)
        bias = self.bias.flatten(1).abs().amax(1)
        if self.level is not None:
            bias = bias + self.level(levels()).abs().amax(0)
        peak = torch.full(weight.shape[1:], float(self.units.peak))
        self.shift.copy_(exact_shift(weight, peak, bias * self.units.outputs, self.weight_max))

    def integers(self, level: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Integer weights, biases per position and, for levels of shape (N,), biases per level of shape (N, outputs)."""
        scale = torch.exp2(self.shift)
        weight = round_ste(self.weight * (self.units.outputs / self.units.inputs) * scale.view(-1, 1, 1, 1))
        position_bias = round_ste(self.bias * self.units.outputs * scale.view(-1, 1, 1))
        if self.level is None or level is None:
            return weight, position_bias, None
        return weight, position_bias, round_ste(self.level(level) * self.units.outputs * scale)

    def description(self) -> dict[str, int]:
        return {"kernel": self.weight.shape[-1]}

    def arrays(self, level: Tensor) -> dict[str, Tensor]:
        weight, position_bias, level_bias = self.integers(level)
        outputs = len(weight)
        return {
            "weight": weight.permute(2, 3, 1, 0).reshape(-1, outputs),
            "place": position_bias.permute(1, 2, 0),
            "quality": torch.zeros(QUALITIES, outputs) if level_bias is None else level_bias,
            "shift": self.shift,
        }

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        padding = self.weight.shape[-1] // 2
        if self.quantized:
            weight, position_bias, level_bias = self.integers(level)
            total = F.conv2d(x, weight, padding=padding) + position_bias
            total = total if level_bias is None else total + level_bias[:, :, None, None]
            return total * torch.exp2(-self.shift).view(-1, 1, 1)
        y = F.conv2d(x, self.weight.to(x.dtype), padding=padding)
        y = y + self.bias.unsqueeze(0).to(y.dtype, memory_format=torch.channels_last)
        return y if self.level is None or level is None else y + self.level(level)[:, :, None, None].to(y.dtype)


class Gain(TwinLayer):
    """A factor per channel and level."""

    kind = layers.Gain.kind

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.level = LevelTable(anchors, channels, 1.0)

    def factor(self, level: Tensor) -> Tensor:
        """Integer gains of levels: (N,) -> (N, channels)."""
        return round_ste(self.level(level) * 2**GAIN_SHIFT)

    def arrays(self, level: Tensor) -> dict[str, Tensor]:
        return {"factor": self.factor(level)}

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        gain = self.factor(level) / 2**GAIN_SHIFT if self.quantized else self.level(level).to(x.dtype)
        return self.activate(x * gain[:, :, None, None])
