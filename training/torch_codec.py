"""The torch twin of the integer model: analysis, synthesis and prior, trained in float, exported to integers.

Activations live in ``[0, PEAK]`` and every layer has two modes. In float mode it is an ordinary layer that computes in the
type of its input, so that training can run in bfloat16. In quantized mode (see :func:`quantize`) tensors hold the very
integers of the exported network, weights and biases are rounded to theirs on the fly, and the gradient passes the rounding
straight through. Sums of integers below 2^24 are exact in float32, so the quantized twin equals :mod:`mnistzip.nn.layers` bit
for bit; a test holds one against the other.

Sources: Ballé et al. 2017, arXiv 1611.01704 (transforms for rate and distortion); Ballé et al. 2019 (integer networks);
Cui et al. 2021, arXiv 2003.02012 (gains per level); Germain et al. 2015, arXiv 1502.03509 (masked autoregressive networks).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE
from mnistzip.metrics import PEAK as WHITE
from mnistzip.nn.exact import ACTIVATION_MAX, SUM_MAX
from mnistzip.nn.layers import GAIN_SHIFT

PEAK = 4.0  # float value that the largest activation stands for
SCALE = (ACTIVATION_MAX + 1) / PEAK  # integer steps per float unit of activations
LATENT_SCALE = 1024  # the same for what the analysis puts out, before the quantizer
LATENT_PEAK = 32 * LATENT_SCALE - 1
STEP_SCALE = 1024  # the same for what enters the synthesis; its steps are small at high quality
FINE_SHIFT = 20  # bits of the quantizer's gain
LOGIT_SCALE = LOGITS_PER_OCTAVE / math.log(2)  # integer logits per nat
SHIFT_MAX = 20
HEAD_PACE = 12.0  # features are small and logits are not: the head's weights must move this much faster than others
QUALITY_POWER = 0.84  # so that quality 50, the default, is about 24 bytes
CHANNELS, SIDE = 4, 7  # the latent: 4 x 7 x 7
PLACES = SIDE * SIDE
SYMBOLS = CHANNELS * PLACES


@dataclass(frozen=True)
class Config:
    """Sizes of the variable-rate model; the defaults are the shipped ``mnist``.

    ``lmbda_low`` and ``lmbda_high`` weigh the squared error (pixels in 0..1, summed over an image) against bits at
    levels 0 and 1; in between the weight rises geometrically.
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

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def lmbda(self, level: Tensor) -> Tensor:
        """The weight of the squared error at levels in 0..1."""
        return self.lmbda_low * (self.lmbda_high / self.lmbda_low) ** level


def round_ste(x: Tensor) -> Tensor:
    """Round half up; the gradient passes straight through."""
    return x + (torch.floor(x + 0.5) - x).detach()


def exact_shift(weight: Tensor, peak: Tensor, bias: Tensor) -> Tensor:
    """The most bits that each output's weights can be scaled up by before rounding, with all sums below 2^24.

    Args:
        weight: shape ``(outputs, inputs)``, in integer steps of output per integer step of input.
        peak: largest magnitude of each input, shape ``(inputs,)``.
        bias: largest magnitude of the bias in integer steps of output, shape ``(outputs,)``.

    Returns:
        Bits, shape ``(outputs,)``, leaving a few percent for weights that move in fine-tuning.
    """
    weight, peak, bias = weight.detach().double(), peak.double(), bias.detach().double()
    shift = torch.zeros(len(weight))
    for bits in range(1, SHIFT_MAX + 1):
        rounded = (weight * 2**bits).round().abs()
        total = rounded @ peak + bias * 2**bits + 2.0 ** (bits - 1) + 4
        fits = (total <= 0.95 * SUM_MAX) & (rounded.amax(1) < 0.95 * 2**15)
        shift = torch.where(fits, float(bits), shift)
    return shift


class Quantizable(nn.Module):
    """Base of the layers that know whether they hold floats or the integers of the exported network."""

    quantized = False

    def calibrate(self) -> None:
        """Choose the power of two that weights are scaled by; called before quantized mode."""

    def activate(self, x: Tensor) -> Tensor:
        if self.quantized:
            return round_ste(x).clamp(0, ACTIVATION_MAX)
        return F.hardtanh(x, 0.0, PEAK)


def quantize(module: nn.Module) -> None:
    """Switch a module to quantized mode; its powers of two are chosen from the weights as they stand."""
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
    """A hundred levels from 0 to 1, shape (100,), to find the largest values of tables on."""
    return torch.arange(100) / 99


def qualities() -> Tensor:
    """The level of each quality 1..100 before any are chosen (see :mod:`mnistzip.training.quality_levels`), shape (100,)."""
    return levels() ** QUALITY_POWER


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
    """Integer steps per float unit of a layer's input and output, and the largest magnitude of an input integer."""

    given: float = SCALE
    out: float = SCALE
    peak: int = ACTIVATION_MAX


class Conv(Quantizable):
    """Same-size convolution with a bias per place and, if asked for, per level."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, anchors: int = 0, places: bool = False, units: Units | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.bias = nn.Parameter(torch.zeros(outputs, SIDE, SIDE) if places else torch.zeros(outputs, 1, 1))
        self.level = LevelTable(anchors, outputs) if anchors else None
        self.units = units or Units()
        self.register_buffer("shift", torch.zeros(outputs), persistent=False)
        self.shift: Tensor

    def calibrate(self) -> None:
        weight = self.weight.flatten(1) * (self.units.out / self.units.given)
        bias = self.bias.flatten(1).abs().amax(1)
        if self.level is not None:
            bias = bias + self.level(levels()).abs().amax(0)
        self.shift.copy_(exact_shift(weight, torch.full(weight.shape[1:], float(self.units.peak)), bias * self.units.out))

    def integers(self, level: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Integer weights, biases per place and, for levels of shape (N,), biases per level of shape (N, outputs)."""
        scale = torch.exp2(self.shift)
        weight = round_ste(self.weight * (self.units.out / self.units.given) * scale.view(-1, 1, 1, 1))
        place = round_ste(self.bias * self.units.out * scale.view(-1, 1, 1))
        if self.level is None or level is None:
            return weight, place, None
        return weight, place, round_ste(self.level(level) * self.units.out * scale)

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        padding = self.weight.shape[-1] // 2
        if self.quantized:
            weight, place, extra = self.integers(level)
            total = F.conv2d(x, weight, padding=padding) + place
            total = total if extra is None else total + extra[:, :, None, None]
            return total * torch.exp2(-self.shift).view(-1, 1, 1)
        y = F.conv2d(x, self.weight.to(x.dtype), padding=padding)
        y = y + self.bias.unsqueeze(0).to(y.dtype, memory_format=torch.channels_last)
        return y if self.level is None or level is None else y + self.level(level)[:, :, None, None].to(y.dtype)


class Gain(Quantizable):
    """A factor per channel and level."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.level = LevelTable(anchors, channels, 1.0)

    def factor(self, level: Tensor) -> Tensor:
        """Integer gains of levels: (N,) -> (N, channels)."""
        return round_ste(self.level(level) * 2**GAIN_SHIFT)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        gain = self.factor(level) / 2**GAIN_SHIFT if self.quantized else self.level(level).to(x.dtype)
        return self.activate(x * gain[:, :, None, None])


class Block(Quantizable):
    """Residual block: convolution, gain per level, convolution, added to the input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.enter = Conv(config.width, config.hidden, 3, config.anchors, places=True)
        self.gain = Gain(config.hidden, config.anchors)
        self.leave = Conv(config.hidden, config.width, 1)
        with torch.no_grad():
            self.leave.weight.mul_(0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.gain(self.activate(self.enter(x, level)), level)
        return self.activate(x + self.leave(h, level))


class Transform(Quantizable):
    """Entry convolution, residual blocks, exit convolution, all at 7x7; gains per level after entry and before exit."""

    def __init__(self, config: Config, inputs: int, outputs: int, given: float, out: float, peak: int) -> None:
        super().__init__()
        enter = Units(given=given, peak=peak)
        self.enter = Conv(inputs, config.width, 3, config.anchors, places=True, units=enter)
        self.first = Gain(config.width, config.anchors)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.last = Gain(config.width, config.anchors)
        self.leave = Conv(config.width, outputs, 3, config.anchors, units=Units(out=out))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        x = self.first(self.activate(self.enter(x.contiguous(memory_format=torch.channels_last), level)), level)
        for block in self.blocks:
            x = block(x, level)
        return self.leave(self.last(x, level), level)


class Prior(Quantizable):
    """Autoregressive model of the 196 symbols in the order row, column, channel.

    ``near`` sees symbols of earlier places; ``far`` sees all earlier symbols and ``near``; a head sees one symbol's share of
    ``far``. Masks keep it causal, so one masked product evaluates every position.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        near, far = PLACES * config.prior_width, SYMBOLS * config.prior_hidden
        place_of_near = torch.arange(near) // config.prior_width
        symbol_of_far = torch.arange(far) // config.prior_hidden
        symbol = torch.arange(SYMBOLS)[:, None]
        self.masks(
            near=symbol // CHANNELS < place_of_near,
            far=place_of_near[:, None] <= symbol_of_far // CHANNELS,
            skip=symbol < symbol_of_far,
        )
        self.near_weight = nn.Parameter(torch.randn(SYMBOLS, near) * 0.06)
        self.far_weight = nn.Parameter(torch.randn(near, far) * (2.0 / near) ** 0.5)
        self.skip_weight = nn.Parameter(torch.randn(SYMBOLS, far) * 0.06)
        self.near_level = LevelTable(config.anchors, near)
        self.far_level = LevelTable(config.anchors, far, 0.1)
        self.config = config

    def masks(self, near: Tensor, far: Tensor, skip: Tensor) -> None:
        """Keep the masks and room for the shifts as buffers that checkpoints leave out."""
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

    def calibrate(self) -> None:
        symbol = float(self.config.symbol_max)
        near = (self.near_weight * self.near_mask * SCALE).T
        far = torch.cat([self.far_weight * self.far_mask, self.skip_weight * self.skip_mask * SCALE]).T
        peak = torch.full(near.shape[1:], symbol)
        self.near_shift.copy_(exact_shift(near, peak, self.near_level(levels()).abs().amax(0) * SCALE))
        peak = torch.cat([torch.full((len(self.far_weight),), float(ACTIVATION_MAX)), peak])
        self.far_shift.copy_(exact_shift(far, peak, self.far_level(levels()).abs().amax(0) * SCALE))

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Integer weights of near, far and skip."""
        near, far = torch.exp2(self.near_shift), torch.exp2(self.far_shift)
        return (
            round_ste(self.near_weight * self.near_mask * SCALE * near),
            round_ste(self.far_weight * self.far_mask * far),
            round_ste(self.skip_weight * self.skip_mask * SCALE * far),
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
            kind = y.dtype
            near = y @ (self.near_weight * self.near_mask).to(kind)
            near = self.activate(near + self.near_level(level).to(kind))
            far = near @ (self.far_weight * self.far_mask).to(kind) + y @ (self.skip_weight * self.skip_mask).to(kind)
            far = far + self.far_level(level).to(kind)
        return self.activate(far).view(len(y), SYMBOLS, -1)


class Head(Quantizable):
    """Logits of every value of every symbol from the prior's features."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        values = 2 * config.symbol_max + 1
        self.raw_weight = nn.Parameter(torch.randn(SYMBOLS, config.prior_hidden, values) * 0.01)
        far = (torch.arange(values) - config.symbol_max).abs().float()
        self.raw_bias = nn.Parameter((-far / HEAD_PACE).repeat(SYMBOLS, 1))
        self.register_buffer("shift", torch.zeros(SYMBOLS, values), persistent=False)
        self.shift: Tensor

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
        self.shift.copy_(exact_shift(weight, peak, self.bias.flatten().abs() * LOGIT_SCALE).view_as(self.shift))

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
        self.analysis = Transform(config, 16, CHANNELS, given=WHITE, out=LATENT_SCALE, peak=WHITE)
        self.synthesis = Transform(config, CHANNELS, 16, given=STEP_SCALE, out=WHITE, peak=0)
        self.prior = Prior(config)
        self.fine = LevelTable(config.anchors, CHANNELS)  # log of the quantizer's gain
        self.step = LevelTable(config.anchors, CHANNELS)  # log of what symbols are multiplied by before the synthesis
        with torch.no_grad():
            ramp = torch.linspace(-0.5, 1.5, config.anchors)[:, None]
            self.fine.rows.copy_(ramp.expand(-1, CHANNELS))
            self.step.rows.copy_(-ramp.expand(-1, CHANNELS))

    def frozen(self) -> list[nn.Module]:
        """What the last phase leaves alone: all that decides the latent."""
        return [self.analysis, self.fine]

    def calibrate(self) -> None:
        peak = self.config.symbol_max * int(self.steps(levels()).max())
        self.synthesis.enter.units = Units(given=STEP_SCALE, peak=peak)

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
        """Images of symbols: (N, 4, 7, 7) -> (N, 1, 28, 28), in 0..1, a little of the excess beyond let through."""
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
