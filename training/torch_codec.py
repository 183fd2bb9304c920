"""Torch twin of the variable-rate model: analysis, quantizer, prior and synthesis, trained in float, exported to integers.

All layers have the two modes of :mod:`mnistzip.training.torch_layers`: floats, and the integers of the exported network.
``level``, shape (N,) in 0..1, determines the quality and is an input of all parts.

    x (N, 1, 28, 28) -> space to depth -> (N, 16, 7, 7) -> analysis -> y (N, 4, 7, 7) -> * gain(level) -> clip -> rounding
    y_hat (N, 4, 7, 7) -> * step(level) -> synthesis -> (N, 16, 7, 7) -> depth to space -> x_hat (N, 1, 28, 28)
    y_hat (N, 196) -> prior -> features (N, 196, hidden) -> head -> logits (N, 196, values)

Sources: Ballé et al. 2017, arXiv 1611.01704 (transforms for rate and distortion); Cui et al. 2021, arXiv 2003.02012 (gains per
level); Germain et al. 2015, arXiv 1502.03509 (masked autoregressive networks).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE
from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.latent_prior import CHANNELS, POSITIONS, SYMBOLS
from mnistzip.nn.exact import ACTIVATION_MAX
from mnistzip.training.torch_layers import (
    SCALE,
    WEIGHT_MAX,
    Conv,
    Gain,
    LevelTable,
    Quantizable,
    Units,
    exact_shift,
    levels,
    round_ste,
)

LATENT_SCALE = 1024  # integer steps per float unit of the output of the analysis, before the quantizer
LATENT_PEAK = 32 * LATENT_SCALE - 1
STEP_SCALE = 1024  # integer steps per float unit of the input of the synthesis; steps are small at high quality
FINE_SHIFT = 20  # fractional bits of the gain of the quantizer
LOGIT_SCALE = LOGITS_PER_OCTAVE / math.log(2)  # integer logits per nat
HEAD_PACE = 12.0  # scale of the parameters of the head, a factor of its learning rate: features are small and logits are large
QUALITY_POWER = 0.84  # with it quality 50, the default, takes about 24 bytes


@dataclass(frozen=True)
class Sizes:
    """Channels of a transform, channels inside its residual blocks, and how many blocks it has."""

    width: int
    hidden: int
    blocks: int


@dataclass(frozen=True)
class Config:
    """Sizes of the variable-rate model. The defaults are those of the shipped ``mnist``.

    ``width``, ``hidden`` and ``blocks`` are the sizes of both transforms; ``analysis`` replaces those of the analysis, for an
    encoder smaller than its decoder. ``encoder_weight_max`` limits the integer weights that an encoder needs, those of the
    analysis and the prior: 128 makes them fit 8 bits.

    ``lmbda_low`` and ``lmbda_high`` are the weights of the squared error (pixels in 0..1, summed over an image) against bits
    at levels 0 and 1. The weight grows geometrically between them.
    """

    width: int = 128
    hidden: int = 48
    blocks: int = 3
    anchors: int = 13
    prior_width: int = 16
    prior_hidden: int = 8
    symbol_max: int = 20
    lmbda_low: float = 1.6
    lmbda_high: float = 2400.0
    analysis: Sizes | None = None
    encoder_weight_max: int = WEIGHT_MAX

    def as_dict(self) -> dict[str, Any]:
        """The fields, without those that are as usual."""
        usual = {"analysis": None, "encoder_weight_max": WEIGHT_MAX}
        return {name: value for name, value in asdict(self).items() if usual.get(name, ...) != value}

    def lmbda(self, level: Tensor) -> Tensor:
        """The weight of the squared error at levels in 0..1: (N,) -> (N,)."""
        return self.lmbda_low * (self.lmbda_high / self.lmbda_low) ** level


def qualities() -> Tensor:
    """Default levels of the qualities 1..100, shape (100,). :mod:`mnistzip.training.quality_levels` chooses better ones."""
    return levels() ** QUALITY_POWER


class Block(Quantizable):
    """Residual block: convolution, gain per level, convolution, sum with the input: (N, width, 7, 7) -> same shape."""

    def __init__(self, sizes: Sizes, anchors: int, weight_max: int) -> None:
        super().__init__()
        self.enter = Conv(sizes.width, sizes.hidden, 3, anchors, per_position=True, weight_max=weight_max)
        self.gain = Gain(sizes.hidden, anchors)
        self.leave = Conv(sizes.hidden, sizes.width, 1, weight_max=weight_max)
        with torch.no_grad():
            self.leave.weight.mul_(0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.gain(self.activate(self.enter(x, level)), level)
        return self.activate(x + self.leave(h, level))


class Transform(Quantizable):
    """Convolution, residual blocks, convolution, all at 7x7: (N, inputs, 7, 7) -> (N, outputs, 7, 7).

    Gains per level follow the first convolution and precede the last one.
    """

    def __init__(
        self, sizes: Sizes, anchors: int, inputs: int, outputs: int, units: Units, weight_max: int = WEIGHT_MAX
    ) -> None:
        super().__init__()
        enter, leave = Units(units.inputs, peak=units.peak), Units(outputs=units.outputs)
        self.enter = Conv(inputs, sizes.width, 3, anchors, per_position=True, units=enter, weight_max=weight_max)
        self.first = Gain(sizes.width, anchors)
        self.blocks = nn.ModuleList(Block(sizes, anchors, weight_max) for _ in range(sizes.blocks))
        self.last = Gain(sizes.width, anchors)
        self.leave = Conv(sizes.width, outputs, 3, anchors, units=leave, weight_max=weight_max)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        x = self.first(self.activate(self.enter(x.contiguous(memory_format=torch.channels_last), level)), level)
        for block in self.blocks:
            x = block(x, level)
        return self.leave(self.last(x, level), level)


class Prior(Quantizable):
    """Autoregressive model of the 196 symbols in the order row, column, channel.

    ``near`` sees symbols of earlier positions, ``far`` sees all earlier symbols and ``near``, and the head of a symbol sees the
    part of ``far`` that belongs to it. Masks keep the model causal, so one masked product evaluates all positions.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        near, far = POSITIONS * config.prior_width, SYMBOLS * config.prior_hidden
        position_of_near = torch.arange(near) // config.prior_width
        symbol_of_far = torch.arange(far) // config.prior_hidden
        symbol = torch.arange(SYMBOLS)[:, None]
        self.masks(
            near=symbol // CHANNELS < position_of_near,
            far=position_of_near[:, None] <= symbol_of_far // CHANNELS,
            skip=symbol < symbol_of_far,
        )
        self.near_weight = nn.Parameter(torch.randn(SYMBOLS, near) * 0.06)
        self.far_weight = nn.Parameter(torch.randn(near, far) * (2.0 / near) ** 0.5)
        self.skip_weight = nn.Parameter(torch.randn(SYMBOLS, far) * 0.06)
        self.near_level = LevelTable(config.anchors, near)
        self.far_level = LevelTable(config.anchors, far, 0.1)
        self.config = config

    def masks(self, near: Tensor, far: Tensor, skip: Tensor) -> None:
        """Register the masks and the shifts as buffers that checkpoints leave out."""
        self.near_mask: Tensor
        self.far_mask: Tensor
        self.skip_mask: Tensor
        self.near_shift: Tensor
        self.far_shift: Tensor
        for name, value in {
            "near_mask": near.float(),
            "far_mask": far.float(),
            "skip_mask": skip.float(),
            "near_shift": torch.zeros(near.shape[1]),
            "far_shift": torch.zeros(far.shape[1]),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def from_symbols(self) -> tuple[Tensor, Tensor]:
        """The weights of near and skip, within the limit of the encoder; gradients pass the limit unchanged."""
        limit = 0.95 * self.config.encoder_weight_max / SCALE  # integers cannot be scaled down, as shifts are not negative
        near, skip = self.near_weight * self.near_mask, self.skip_weight * self.skip_mask
        return near + (near.clamp(-limit, limit) - near).detach(), skip + (skip.clamp(-limit, limit) - skip).detach()

    def calibrate(self) -> None:
        symbol = float(self.config.symbol_max)
        near_weight, skip_weight = self.from_symbols()
        near = (near_weight * SCALE).T
        far = torch.cat([self.far_weight * self.far_mask, skip_weight * SCALE]).T
        peak = torch.full(near.shape[1:], symbol)
        largest = self.config.encoder_weight_max
        self.near_shift.copy_(exact_shift(near, peak, self.near_level(levels()).abs().amax(0) * SCALE, largest))
        peak = torch.cat([torch.full((len(self.far_weight),), float(ACTIVATION_MAX)), peak])
        self.far_shift.copy_(exact_shift(far, peak, self.far_level(levels()).abs().amax(0) * SCALE, largest))

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Integer weights of near, far and skip."""
        near, far = torch.exp2(self.near_shift), torch.exp2(self.far_shift)
        near_weight, skip_weight = self.from_symbols()
        return (
            round_ste(near_weight * SCALE * near),
            round_ste(self.far_weight * self.far_mask * far),
            round_ste(skip_weight * SCALE * far),
        )

    def biases(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Integer biases of near and far for levels of shape (N,)."""
        near, far = torch.exp2(self.near_shift), torch.exp2(self.far_shift)
        return round_ste(self.near_level(level) * SCALE * near), round_ste(self.far_level(level) * SCALE * far)

    def features(self, y: Tensor, level: Tensor) -> Tensor:  # (N, 196) -> (N, 196, prior_hidden)
        if self.quantized:
            near_weight, far_weight, skip_weight = self.integers()
            near_bias, far_bias = self.biases(level)
            near = self.activate((y @ near_weight + near_bias) * torch.exp2(-self.near_shift))
            far = (near @ far_weight + y @ skip_weight + far_bias) * torch.exp2(-self.far_shift)
        else:
            dtype = y.dtype
            near_weight, skip_weight = self.from_symbols()
            near = self.activate(y @ near_weight.to(dtype) + self.near_level(level).to(dtype))
            far = near @ (self.far_weight * self.far_mask).to(dtype) + y @ skip_weight.to(dtype)
            far = far + self.far_level(level).to(dtype)
        return self.activate(far).view(len(y), SYMBOLS, -1)


class Head(Quantizable):
    """Logits of all values of each symbol from the features of the prior."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        values = 2 * config.symbol_max + 1
        self.raw_weight = nn.Parameter(torch.randn(SYMBOLS, config.prior_hidden, values) * 0.01)
        far = (torch.arange(values) - config.symbol_max).abs().float()
        self.raw_bias = nn.Parameter((-far / HEAD_PACE).repeat(SYMBOLS, 1))
        self.register_buffer("shift", torch.zeros(SYMBOLS, values), persistent=False)
        self.shift: Tensor
        self.weight_max = config.encoder_weight_max

    @property
    def weight(self) -> Tensor:
        """Natural logits per unit of feature."""
        return self.raw_weight * HEAD_PACE

    @property
    def bias(self) -> Tensor:
        """Natural logits."""
        return self.raw_bias * HEAD_PACE

    def calibrate(self) -> None:
        weight = self.weight.transpose(1, 2).flatten(0, 1) * (LOGIT_SCALE / SCALE)
        peak = torch.full(weight.shape[1:], float(ACTIVATION_MAX))
        bias = self.bias.flatten().abs() * LOGIT_SCALE
        self.shift.copy_(exact_shift(weight, peak, bias, self.weight_max).view_as(self.shift))

    def integers(self) -> tuple[Tensor, Tensor]:
        """Integer weights (196, hidden, values) and biases (196, values)."""
        scale = torch.exp2(self.shift)
        return round_ste(self.weight * (LOGIT_SCALE / SCALE) * scale[:, None]), round_ste(self.bias * LOGIT_SCALE * scale)

    def forward(self, features: Tensor) -> Tensor:  # (N, 196, hidden) -> (N, 196, values), natural logits
        if self.quantized:
            weight, bias = self.integers()
            total = torch.einsum("nsh,shv->nsv", features, weight) + bias
            return round_ste(total * torch.exp2(-self.shift)) / LOGIT_SCALE
        return torch.einsum("nsh,shv->nsv", features.float(), self.weight) + self.bias


class Codec(Quantizable):
    """Analysis, quantizer, prior and synthesis of the variable-rate model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        sizes, narrow = Sizes(config.width, config.hidden, config.blocks), config.encoder_weight_max
        pixels, latents = Units(WHITE, LATENT_SCALE, WHITE), Units(STEP_SCALE, WHITE, 0)
        self.analysis = Transform(config.analysis or sizes, config.anchors, 16, CHANNELS, pixels, narrow)
        self.synthesis = Transform(sizes, config.anchors, CHANNELS, 16, latents)
        self.prior = Prior(config)
        self.fine = LevelTable(config.anchors, CHANNELS)  # log of the quantizer's gain
        self.step = LevelTable(config.anchors, CHANNELS)  # log of the factor of symbols before the synthesis
        with torch.no_grad():
            ramp = torch.linspace(-0.5, 1.5, config.anchors)[:, None]
            self.fine.rows.copy_(ramp.expand(-1, CHANNELS))
            self.step.rows.copy_(-ramp.expand(-1, CHANNELS))

    def frozen(self) -> list[nn.Module]:
        """Modules that the last stage does not train: those that determine the latent."""
        return [self.analysis, self.fine]

    def calibrate(self) -> None:
        peak = self.config.symbol_max * int(self.steps(levels()).max())
        self.synthesis.enter.units = Units(STEP_SCALE, peak=peak)

    def fines(self, level: Tensor) -> Tensor:
        """Integer gains of the quantizer: (N,) -> (N, 4)."""
        return round_ste(self.fine(level).exp() * (2**FINE_SHIFT / LATENT_SCALE))

    def steps(self, level: Tensor) -> Tensor:
        """Integer steps of the synthesis: (N,) -> (N, 4)."""
        return round_ste(self.step(level).exp() * STEP_SCALE)

    def analyse(self, x: Tensor, level: Tensor) -> Tensor:
        """Latents before rounding, clipped to the symbols: (N, 1, 28, 28) in 0..1 (0..255 if quantized) -> (N, 4, 7, 7)."""
        y = self.analysis(F.pixel_unshuffle(x, 4), level)
        if self.quantized:
            y = round_ste(y).clamp(-LATENT_PEAK, LATENT_PEAK).double()
            y = y * self.fines(level).double()[:, :, None, None] / 2**FINE_SHIFT
        else:
            y = y.float() * self.fine(level).exp()[:, :, None, None]
        return y.clamp(-self.config.symbol_max, self.config.symbol_max)

    def synthesize(self, y_hat: Tensor, level: Tensor) -> Tensor:
        """Images of symbols: (N, 4, 7, 7) -> (N, 1, 28, 28) in 0..1; in training, 2% of the excess beyond passes."""
        if self.quantized:
            y_hat = y_hat * self.steps(level)[:, :, None, None]
            x_hat = F.pixel_shuffle(self.synthesis(y_hat, level), 4)
            x_hat = round_ste(x_hat) / WHITE
        else:
            y_hat = y_hat * self.step(level).exp()[:, :, None, None].to(y_hat.dtype)
            x_hat = F.pixel_shuffle(self.synthesis(y_hat, level).float(), 4)
        inside = x_hat.clamp(0, 1)
        return inside + 0.02 * (x_hat - inside) if self.training else inside


def flatten(y: Tensor) -> Tensor:
    """(N, 4, 7, 7) -> (N, 196) in coding order: row, column, channel."""
    return y.permute(0, 2, 3, 1).reshape(len(y), -1)
