"""The torch twin of the integer model: analysis, synthesis and prior, trained in float, exported to integers.

Activations live in ``[0, PEAK]`` and every layer has two modes. In float mode it is an ordinary layer. In quantized mode
weights, biases and activations are rounded to the very grid that the exported integers use, with a straight-through
gradient; all values are then small multiples of a power of two, sums in float32 are exact, and the twin equals the integer
network of :mod:`mnistzip.intnet` bit for bit (a test holds one against the other).

Sources: Ballé et al. 2017, arXiv 1611.01704 (transforms, additive noise); Minnen & Singh 2020, arXiv 2007.08739
(rounding for the synthesis, noise for the likelihood); Ballé et al. 2019 (integer networks); Germain et al. 2015, arXiv
1502.03509 (masked autoregressive networks).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.intnet import ACTIVATION_MAX

PEAK = 4.0  # float value that the largest activation stands for
SCALE = (ACTIVATION_MAX + 1) / PEAK  # integer steps per float unit
CHANNELS, SIDE = 4, 7  # the latent: 4 x 7 x 7
PLACES = SIDE * SIDE
SYMBOLS = CHANNELS * PLACES


@dataclass(frozen=True)
class Config:
    """Sizes of the variable-rate model; the defaults are the shipped ``mnist``.

    ``lmbda_low`` and ``lmbda_high`` weigh the squared error (pixels in 0..1, summed over an image) against bits at
    quality 1 and 100; in between the weight rises geometrically.
    """

    width: int = 128
    hidden: int = 48
    exit_kernel: int = 1
    blocks: int = 2
    anchors: int = 9
    prior_width: int = 16
    prior_hidden: int = 8
    mixtures: int = 3
    symbol_max: int = 15
    lmbda_low: float = 6.0
    lmbda_high: float = 2048.0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def lmbda(self, level: Tensor) -> Tensor:
        """The weight of the squared error at levels in 0..1."""
        return self.lmbda_low * (self.lmbda_high / self.lmbda_low) ** level


def round_ste(x: Tensor) -> Tensor:
    """Round half up; the gradient passes straight through."""
    return x + (torch.floor(x + 0.5) - x).detach()


class Quantizable(nn.Module):
    """Base of the layers that know whether they run on the integer grid."""

    quantized = False

    def activate(self, x: Tensor) -> Tensor:
        if self.quantized:
            return round_ste(x * SCALE).clamp(0, ACTIVATION_MAX) / SCALE
        return F.hardtanh(x, 0.0, PEAK)


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


class Conv(Quantizable):
    """Same-size convolution with a bias per place and, if asked for, per level."""

    def __init__(self, inputs: int, outputs: int, kernel: int, anchors: int = 0, places: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.bias = nn.Parameter(torch.zeros(outputs, SIDE, SIDE) if places else torch.zeros(outputs, 1, 1))
        self.level = LevelTable(anchors, outputs) if anchors else None

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        shift = None if self.level is None else self.level(level)[:, :, None, None]
        y = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        y = y + bias
        return y if shift is None else y + shift


class Block(Quantizable):
    """Residual block: convolution, gain per level, convolution, added to the input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.enter = Conv(config.width, config.hidden, 3, config.anchors, places=True)
        self.gain = LevelTable(config.anchors, config.hidden, 1.0)
        self.leave = Conv(config.hidden, config.width, config.exit_kernel)
        with torch.no_grad():
            self.leave.weight.mul_(0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.activate(self.enter(x, level))
        h = self.activate(h * self.gain(level)[:, :, None, None])
        return self.activate(x + self.leave(h, level))


class Transform(Quantizable):
    """Entry convolution, residual blocks, exit convolution, all at 7x7."""

    def __init__(self, config: Config, inputs: int, outputs: int) -> None:
        super().__init__()
        self.enter = Conv(inputs, config.width, 3, config.anchors, places=True)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.leave = Conv(config.width, outputs, 3, config.anchors)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        x = self.activate(self.enter(x, level))
        for block in self.blocks:
            x = block(x, level)
        return self.leave(x, level)


class Prior(Quantizable):
    """Autoregressive model of the 196 symbols in the order row, column, channel.

    ``near`` sees symbols of earlier places; ``far`` sees all earlier symbols and ``near``; the heads see one symbol's share
    of ``far`` each. Masks keep it causal, so one masked product evaluates every position.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        near, far = PLACES * config.prior_width, SYMBOLS * config.prior_hidden
        place_of_symbol = torch.arange(SYMBOLS) // CHANNELS
        place_of_near = torch.arange(near) // config.prior_width
        symbol_of_far = torch.arange(far) // config.prior_hidden
        self.register_buffer("near_mask", (place_of_symbol[:, None] < place_of_near).float(), persistent=False)
        self.register_buffer("far_mask", (place_of_near[:, None] <= symbol_of_far // CHANNELS).float(), persistent=False)
        self.register_buffer("skip_mask", (torch.arange(SYMBOLS)[:, None] < symbol_of_far).float(), persistent=False)
        self.near_weight = nn.Parameter(torch.randn(SYMBOLS, near) * 0.06)
        self.far_weight = nn.Parameter(torch.randn(near, far) * (2.0 / near) ** 0.5)
        self.skip_weight = nn.Parameter(torch.randn(SYMBOLS, far) * 0.06)
        self.near_level = LevelTable(config.anchors, near)
        self.far_level = LevelTable(config.anchors, far, 0.1)
        self.mixture = nn.Parameter(torch.randn(SYMBOLS, config.prior_hidden, 3 * config.mixtures) * 0.1)
        start = torch.cat([torch.zeros(config.mixtures), torch.linspace(-2, 2, config.mixtures), torch.zeros(config.mixtures)])
        self.mixture_bias = nn.Parameter(start.repeat(SYMBOLS, 1))
        self.config = config

    def features(self, y: Tensor, level: Tensor) -> Tensor:  # (N, 196) -> (N, 196, prior_hidden)
        near = self.activate(y @ (self.near_weight * self.near_mask) + self.near_level(level))
        far = near @ (self.far_weight * self.far_mask) + y @ (self.skip_weight * self.skip_mask)
        return self.activate(far + self.far_level(level)).view(len(y), SYMBOLS, -1)

    def density_bits(self, y_noisy: Tensor, y_hat: Tensor, level: Tensor) -> Tensor:
        """Bits of noisy latents under a mixture of logistics whose parameters follow from rounded ones: (N,)."""
        head = torch.einsum("nsh,shm->nsm", self.features(y_hat, level), self.mixture) + self.mixture_bias
        weight, mean, log_scale = head.chunk(3, dim=2)
        rate = torch.exp(-log_scale.clamp(-4.0, 4.0))
        offset = y_noisy[:, :, None] - mean
        mass = torch.sigmoid((offset + 0.5) * rate) - torch.sigmoid((offset - 0.5) * rate)
        likelihood = (weight.softmax(2) * mass).sum(2)
        return -torch.log2(likelihood.clamp_min(1e-6)).sum(1)


class Codec(nn.Module):
    """Analysis, quantizer, prior and synthesis of the variable-rate model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.analysis = Transform(config, 16, CHANNELS)
        self.synthesis = Transform(config, CHANNELS, 16)
        self.prior = Prior(config)
        self.fine = LevelTable(config.anchors, CHANNELS)  # log of the latent's gain
        self.step = LevelTable(config.anchors, CHANNELS)  # log of the synthesis' gain
        with torch.no_grad():
            ramp = torch.linspace(-0.5, 1.5, config.anchors)[:, None]
            self.fine.rows.copy_(ramp.expand(-1, CHANNELS))
            self.step.rows.copy_(-ramp.expand(-1, CHANNELS))

    def analyse(self, x: Tensor, level: Tensor) -> Tensor:  # (N, 1, 28, 28) in 0..1 -> (N, 4, 7, 7)
        y = self.analysis(F.pixel_unshuffle(x, 4), level)
        y = y * self.fine(level).exp()[:, :, None, None]
        return y.clamp(-self.config.symbol_max, self.config.symbol_max)

    def synthesize(self, y_hat: Tensor, level: Tensor) -> Tensor:  # (N, 4, 7, 7) -> (N, 1, 28, 28)
        y_hat = y_hat * self.step(level).exp()[:, :, None, None]
        x_hat = F.pixel_shuffle(self.synthesis(y_hat, level), 4)
        inside = x_hat.clamp(0, 1)
        return inside + 0.02 * (x_hat - inside)

    def forward(self, x: Tensor, level: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error of each image: (N,), (N,)."""
        y = self.analyse(x, level)
        y_hat = round_ste(y)
        bits = self.prior.density_bits(flatten(y) + flatten(noise), flatten(y_hat), level)
        error = (self.synthesize(y_hat, level) - x).square().sum((1, 2, 3))
        return bits, error


def flatten(y: Tensor) -> Tensor:
    """(N, 4, 7, 7) -> (N, 196) in coding order: row, column, channel."""
    return y.permute(0, 2, 3, 1).reshape(len(y), -1)
