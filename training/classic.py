"""The ancestor: a plain convolutional autoencoder for MNIST, trained as it always was, then made a codec.

28x28 -> conv 16 -> ReLU -> pool -> conv 4 -> ReLU -> pool -> 4x7x7 -> upsample -> conv 16 -> ReLU -> upsample -> conv 1 ->
sigmoid; mean squared error, Adam. It knows nothing of rate; quality is how finely its latent is quantized afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE, psnr_of_mse
from mnistzip.nn.exact import ACTIVATION_MAX
from mnistzip.training.splits import Split
from mnistzip.training.torch_codec import (
    CHANNELS,
    FINE_SHIFT,
    Config,
    Conv,
    Prior,
    Quantizable,
    Units,
)
from mnistzip.training.trainer import Phase, Run, Schedule

FINEST_STEP = 20  # integer step of the synthesis' input at quality 100
SIGMOID_SCALE = 32  # steps of the sigmoid's table per unit of its input
AUTOENCODER = "autoencoder"  # name of the first stage
SIGMOID_PEAK = 8 * SIGMOID_SCALE - 1


@dataclass(frozen=True)
class ClassicConfig(Config):
    """The quantizer's range: the largest latent takes ``coarse`` steps at quality 1 and ``symbol_max`` at quality 100."""

    symbol_max: int = 31
    coarse: float = 5.0
    lmbda_low: float = 4.0
    lmbda_high: float = 256.0


class Classic(Quantizable):
    """The autoencoder in float; quantized, it runs on integers and has a prior."""

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        self.config = config
        self.first = Conv(1, 16, 3)
        self.second = Conv(16, CHANNELS, 3)
        self.third = Conv(CHANNELS, 16, 3)
        self.fourth = Conv(16, 1, 3)
        for conv in (self.first, self.second, self.third, self.fourth):
            plain = nn.Conv2d(conv.weight.shape[1], conv.weight.shape[0], 3)  # torch's own starting values
            conv.weight.data.copy_(plain.weight.data)
            assert plain.bias is not None
            conv.bias.data.copy_(plain.bias.data[:, None, None])
        self.prior = Prior(config)
        self.peaks: Tensor
        self.register_buffer("peaks", torch.ones(3))  # largest activations seen: after first, second and third

    def frozen(self) -> list[nn.Module]:
        """What the last phase leaves alone."""
        return [self.first, self.second]

    def observe(self, x: Tensor) -> None:
        """Note the largest activations on images in 0..1, which the integers must cover."""
        with torch.no_grad():
            h = F.relu(self.first(x, None))
            y = F.relu(self.second(F.max_pool2d(h, 2), None))
            g = F.relu(self.third(F.interpolate(F.max_pool2d(y, 2), scale_factor=2), None))
            self.peaks.copy_(torch.stack([h.max(), y.max(), g.max()]) * 1.05)

    def calibrate(self) -> None:
        first, second, third = (ACTIVATION_MAX / float(peak) for peak in self.peaks)
        self.first.units = Units(given=WHITE, out=first, peak=WHITE)
        self.second.units = Units(given=first, out=second)
        steps = self.steps(torch.zeros(1))
        self.third.units = Units(given=FINEST_STEP * self.most, out=third, peak=int(steps.max()) * self.config.symbol_max)
        self.fourth.units = Units(given=third, out=SIGMOID_SCALE)

    @property
    def most(self) -> float:
        """Quantization steps per unit of latent at quality 100."""
        return self.config.symbol_max / float(self.peaks[1])

    def gain(self, level: Tensor) -> Tensor:
        """Quantization steps per unit of latent: (N,) -> (N, 4)."""
        least = self.config.coarse / float(self.peaks[1])
        return (least * (self.most / least) ** level)[:, None].expand(-1, CHANNELS)

    def fines(self, level: Tensor) -> Tensor:
        """Integer gains of the quantizer: (N,) -> (N, 4)."""
        return torch.round(self.gain(level) * float(self.peaks[1]) / ACTIVATION_MAX * 2**FINE_SHIFT)

    def steps(self, level: Tensor) -> Tensor:
        """Integer steps of the synthesis: (N,) -> (N, 4)."""
        return torch.round(FINEST_STEP * self.most / self.gain(level))

    def sigmoid_table(self) -> Tensor:
        """Grey level of each integer from -SIGMOID_PEAK - 1 to SIGMOID_PEAK."""
        return torch.round(WHITE * torch.sigmoid(torch.arange(-SIGMOID_PEAK - 1, SIGMOID_PEAK + 1).double() / SIGMOID_SCALE))

    def encode(self, x: Tensor) -> Tensor:
        """Float latents of images in 0..1."""
        h = F.max_pool2d(F.relu(self.first(x, None)), 2)
        return F.max_pool2d(F.relu(self.second(h, None)), 2)

    def decode(self, y: Tensor) -> Tensor:
        """Images in 0..1 of float latents."""
        h = F.relu(self.third(F.interpolate(y, scale_factor=2), None))
        return torch.sigmoid(self.fourth(F.interpolate(h, scale_factor=2), None))

    def analyse(self, x: Tensor, level: Tensor) -> Tensor:
        """Latents before rounding, of images in 0..1 (0..255 if quantized)."""
        if not self.quantized:
            y = self.encode(x) * self.gain(level)[:, :, None, None]
            return y.clamp(-self.config.symbol_max, self.config.symbol_max)
        h = F.max_pool2d(self.activate(self.first(x, level)), 2)
        y = F.max_pool2d(self.activate(self.second(h, level)), 2).double()
        y = y * self.fines(level).double()[:, :, None, None] / 2**FINE_SHIFT
        return y.clamp(-self.config.symbol_max, self.config.symbol_max)

    def synthesize(self, y_hat: Tensor, level: Tensor) -> Tensor:
        """Images in 0..1 of symbols; in quantized mode the gradient is the true sigmoid's."""
        if not self.quantized:
            return self.decode(y_hat / self.gain(level)[:, :, None, None])
        y = y_hat * self.steps(level)[:, :, None, None]
        h = self.activate(self.third(F.interpolate(y, scale_factor=2), level))
        out = self.fourth(F.interpolate(h, scale_factor=2), level)
        smooth = torch.sigmoid(out / SIGMOID_SCALE)
        index = torch.floor(out.detach() + 0.5).clamp(-SIGMOID_PEAK - 1, SIGMOID_PEAK).long() + SIGMOID_PEAK + 1
        exact = self.sigmoid_table()[index].float() / WHITE
        return smooth + (exact - smooth).detach()


def train_classic(split: Split, config: ClassicConfig, schedule: Schedule, run: Run) -> tuple[Classic, Phase]:
    """Train, or go on with, the autoencoder in float."""
    torch.manual_seed(run.seed)
    classic = Classic(config)
    phase = Phase(AUTOENCODER, run, classic, schedule)
    probe = split.held_out.float() / WHITE

    def loss(x: Tensor) -> Tensor:
        return F.mse_loss(classic.decode(classic.encode(x)), x)

    def measure() -> dict[str, float]:
        return {"dB": float_psnr(classic, probe)}

    phase.train(split.train, loss, measure)
    classic.observe(split.train[:10_000].float() / WHITE)
    return classic, phase


def float_psnr(classic: Classic, x: Tensor) -> float:
    """PSNR of the autoencoder in float, without any rounding, on images in 0..1."""
    with torch.no_grad():
        error = torch.cat(
            [(classic.decode(classic.encode(part)) - part).square().mean((1, 2, 3)) for part in torch.split(x, 500)]
        )
    return psnr_of_mse(float(error.mean()) * WHITE**2)
