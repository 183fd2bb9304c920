"""The model ``classic``: a plain convolutional autoencoder, trained for mean squared error with Adam, then made a codec.

    x (N, 1, 28, 28) -> conv 16 -> ReLU -> pool -> conv 4 -> ReLU -> pool -> y (N, 4, 7, 7)
    y_hat (N, 4, 7, 7) -> upsample -> conv 16 -> ReLU -> upsample -> conv 1 -> sigmoid -> x_hat (N, 1, 28, 28)

The rate is not part of its loss. The quality determines the step size of the latent's quantizer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE, psnr_of_mse
from mnistzip.models.latent_prior import CHANNELS
from mnistzip.nn.exact import ACTIVATION_MAX
from mnistzip.training.splits import Split
from mnistzip.training.torch_codec import FINE_SHIFT, Config, Prior
from mnistzip.training.torch_layers import Conv, Quantizable, Units
from mnistzip.training.trainer import Run, Schedule, StageTrainer

FINEST_STEP = 20  # integer step of the synthesis' input at quality 100
SIGMOID_SCALE = 32  # steps of the sigmoid's table per unit of its input
AUTOENCODER = "autoencoder"  # name of its stage
SIGMOID_PEAK = 8 * SIGMOID_SCALE - 1


@dataclass(frozen=True)
class ClassicConfig(Config):
    """Range of the quantizer: the largest latent has ``coarse`` steps at quality 1 and ``symbol_max`` at quality 100."""

    symbol_max: int = 31
    coarse: float = 5.0
    lmbda_low: float = 4.0
    lmbda_high: float = 256.0


class Classic(Quantizable):
    """The autoencoder with a prior; floats or, if ``quantized``, integers."""

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        self.config = config
        self.first = Conv(1, 16, 3)
        self.second = Conv(16, CHANNELS, 3)
        self.third = Conv(CHANNELS, 16, 3)
        self.fourth = Conv(16, 1, 3)
        for conv in (self.first, self.second, self.third, self.fourth):
            plain = nn.Conv2d(conv.weight.shape[1], conv.weight.shape[0], 3)  # default initialization of torch
            conv.weight.data.copy_(plain.weight.data)
            assert plain.bias is not None
            conv.bias.data.copy_(plain.bias.data[:, None, None])
        self.prior = Prior(config)
        self.peaks: Tensor
        self.register_buffer("peaks", torch.ones(3))  # largest activations after first, second and third

    def frozen(self) -> list[nn.Module]:
        """Modules that the last stage does not train."""
        return [self.first, self.second]

    def observe(self, x: Tensor) -> None:
        """Record the largest activations of images in 0..1. The range of the integers must cover them."""
        with torch.no_grad():
            h = F.relu(self.first(x, None))
            y = F.relu(self.second(F.max_pool2d(h, 2), None))
            g = F.relu(self.third(F.interpolate(F.max_pool2d(y, 2), scale_factor=2), None))
            self.peaks.copy_(torch.stack([h.max(), y.max(), g.max()]) * 1.05)

    def calibrate(self) -> None:
        first, second, third = (ACTIVATION_MAX / float(peak) for peak in self.peaks)
        self.first.units = Units(WHITE, first, peak=WHITE)
        self.second.units = Units(first, second)
        steps = self.steps(torch.zeros(1))
        self.third.units = Units(FINEST_STEP * self.finest_gain, third, peak=int(steps.max()) * self.config.symbol_max)
        self.fourth.units = Units(third, SIGMOID_SCALE)

    @property
    def finest_gain(self) -> float:
        """Quantization steps per unit of latent at quality 100."""
        return self.config.symbol_max / float(self.peaks[1])

    def gain(self, level: Tensor) -> Tensor:
        """Quantization steps per unit of latent: (N,) -> (N, 4)."""
        coarsest_gain = self.config.coarse / float(self.peaks[1])
        return (coarsest_gain * (self.finest_gain / coarsest_gain) ** level)[:, None].expand(-1, CHANNELS)

    def fines(self, level: Tensor) -> Tensor:
        """Integer gains of the quantizer: (N,) -> (N, 4)."""
        return torch.round(self.gain(level) * float(self.peaks[1]) / ACTIVATION_MAX * 2**FINE_SHIFT)

    def steps(self, level: Tensor) -> Tensor:
        """Integer steps of the synthesis: (N,) -> (N, 4)."""
        return torch.round(FINEST_STEP * self.finest_gain / self.gain(level))

    def sigmoid_table(self) -> Tensor:
        """Grey level of each integer from -SIGMOID_PEAK - 1 to SIGMOID_PEAK."""
        return torch.round(WHITE * torch.sigmoid(torch.arange(-SIGMOID_PEAK - 1, SIGMOID_PEAK + 1).double() / SIGMOID_SCALE))

    def encode(self, x: Tensor) -> Tensor:
        """Float latents of images in 0..1: (N, 1, 28, 28) -> (N, 4, 7, 7)."""
        h = F.max_pool2d(F.relu(self.first(x, None)), 2)
        return F.max_pool2d(F.relu(self.second(h, None)), 2)

    def decode(self, y: Tensor) -> Tensor:
        """Images in 0..1 of float latents: (N, 4, 7, 7) -> (N, 1, 28, 28)."""
        h = F.relu(self.third(F.interpolate(y, scale_factor=2), None))
        return torch.sigmoid(self.fourth(F.interpolate(h, scale_factor=2), None))

    def analyse(self, x: Tensor, level: Tensor) -> Tensor:
        """Latents before rounding: (N, 1, 28, 28) in 0..1 (0..255 if quantized) -> (N, 4, 7, 7)."""
        if not self.quantized:
            y = self.encode(x) * self.gain(level)[:, :, None, None]
            return y.clamp(-self.config.symbol_max, self.config.symbol_max)
        h = F.max_pool2d(self.activate(self.first(x, level)), 2)
        y = F.max_pool2d(self.activate(self.second(h, level)), 2).double()
        y = y * self.fines(level).double()[:, :, None, None] / 2**FINE_SHIFT
        return y.clamp(-self.config.symbol_max, self.config.symbol_max)

    def synthesize(self, y_hat: Tensor, level: Tensor) -> Tensor:
        """Images of symbols: (N, 4, 7, 7) -> (N, 1, 28, 28) in 0..1. If quantized, with the gradient of the exact sigmoid."""
        if not self.quantized:
            return self.decode(y_hat / self.gain(level)[:, :, None, None])
        y = y_hat * self.steps(level)[:, :, None, None]
        h = self.activate(self.third(F.interpolate(y, scale_factor=2), level))
        out = self.fourth(F.interpolate(h, scale_factor=2), level)
        smooth = torch.sigmoid(out / SIGMOID_SCALE)
        index = torch.floor(out.detach() + 0.5).clamp(-SIGMOID_PEAK - 1, SIGMOID_PEAK).long() + SIGMOID_PEAK + 1
        exact = self.sigmoid_table()[index].float() / WHITE
        return smooth + (exact - smooth).detach()


def train_classic(split: Split, config: ClassicConfig, schedule: Schedule, run: Run) -> tuple[Classic, StageTrainer]:
    """Train the autoencoder in float, or resume its training."""
    torch.manual_seed(run.seed)
    classic = Classic(config)
    trainer = StageTrainer(AUTOENCODER, run, classic, schedule)
    probe = split.held_out.float() / WHITE

    def loss(x: Tensor) -> Tensor:
        return F.mse_loss(classic.decode(classic.encode(x)), x)

    def measure() -> dict[str, float]:
        return {"dB": float_psnr(classic, probe)}

    trainer.train(split.train, loss, measure)
    classic.observe(split.train[:10_000].float() / WHITE)
    return classic, trainer


def float_psnr(classic: Classic, x: Tensor) -> float:
    """PSNR of the float autoencoder without rounding, on images in 0..1."""
    with torch.no_grad():
        error = torch.cat(
            [(classic.decode(classic.encode(part)) - part).square().mean((1, 2, 3)) for part in torch.split(x, 500)]
        )
    return psnr_of_mse(float(error.mean()) * WHITE**2)
