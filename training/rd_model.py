"""The rate-distortion cost of images: bits and squared error of a codec with the head of its prior.

    x (N, 1, 28, 28) -> analysis -> y (N, 196) -> rounding -> y_hat -> synthesis -> x_hat (N, 1, 28, 28) -> squared error
                                                               |
                                                               +----> prior -> head -> likelihood (N, 196, values) -> bits

    cost = bits + lmbda * |x_hat - x|^2

The bits are the exact code length of rounded latents under the categorical distribution of the entropy coder. Uniform noise,
the usual substitute for rounding, underestimates the cost of symbols near zero, and models trained with it need up to 20%
more bytes at low rates. Rounding has no gradient. The gradient of a latent is therefore the difference between the code
lengths of the two integers next to it.

Source: Ballé et al. 2017, arXiv 1611.01704 (rate-distortion loss).
"""

from __future__ import annotations

import functools
import math
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.latent_prior import CHANNELS, SIDE, SYMBOLS
from mnistzip.training.classic import Classic
from mnistzip.training.torch_codec import Codec, Head, flatten
from mnistzip.training.torch_layers import LevelTable, round_ste

BITS = 1 / math.log(2)  # per nat
CURVATURE_START = 0.01


@functools.cache
def fastest_type(device: str) -> torch.dtype:
    """bfloat16 or float32, whichever convolves faster here.

    Processors with instructions for bfloat16 take half the time with it; others take ten times as long.
    """
    if device != "cpu":
        return torch.bfloat16
    seconds = {}
    for dtype in (torch.bfloat16, torch.float32):
        x = torch.ones(64, 64, 7, 7, dtype=dtype, device=device)
        weight = torch.ones(64, 64, 3, 3, dtype=dtype, device=device)
        F.conv2d(x, weight, padding=1)
        began = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        seconds[dtype] = time.perf_counter() - began
    return min(seconds, key=seconds.__getitem__)


class Coder(nn.Module):
    """Bits and squared error of images. ``symbols`` are integers as floats, shape ``(N, 196)``.

    Attributes:
        codec: analysis, prior and synthesis.
        head: of the prior.
        curvature: mean squared error (pixels in 0..1) that a change of a symbol by one causes where the gradient is zero, by
            level. It is a running average, not trained, and guides the search.
    """

    def __init__(self, codec: Codec | Classic) -> None:
        super().__init__()
        self.codec = codec
        self.head = Head(codec.config)
        self.curvature = LevelTable(codec.config.anchors, SYMBOLS, CURVATURE_START)
        self.curvature.requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the computation: :func:`fastest_type` for training in float, else float32."""
        return fastest_type(self.head.raw_bias.device.type) if self.training and not self.codec.quantized else torch.float32

    @property
    def symbol_max(self) -> int:
        """The largest symbol."""
        return self.codec.config.symbol_max

    def latent(self, x: Tensor, level: Tensor) -> Tensor:
        """Latents of images before rounding: (N, 1, 28, 28) in 0..1 -> (N, 196)."""
        x = torch.round(x * WHITE) if self.codec.quantized else x.to(self.dtype)
        return flatten(self.codec.analyse(x, level)).float()

    def cost(self, x: Tensor, symbols: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bits (N,), squared error (N,), and the log-likelihood of all values of each symbol (N, 196, values)."""
        y_hat = symbols.to(self.dtype)
        likelihood = self.head(self.codec.prior.features(y_hat, level)).log_softmax(2)
        bits = -BITS * self.pick(likelihood, symbols.detach()).sum(1)
        x_hat = self.codec.synthesize(y_hat.view(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2), level)
        if not self.training:
            x_hat = round_ste(x_hat * WHITE) / WHITE  # decoders round to grey levels
        return bits, (x_hat - x).square().sum((1, 2, 3)), likelihood

    def pick(self, likelihood: Tensor, symbols: Tensor) -> Tensor:
        """The log-likelihood of symbols, which are clipped to the alphabet: (N, 196, values), (N, 196) -> (N, 196)."""
        index = symbols.long().clamp(-self.symbol_max, self.symbol_max) + self.symbol_max
        return likelihood.gather(2, index.unsqueeze(2)).squeeze(2)

    def forward(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error of images with the rounded latents of the analysis: (N,), (N,)."""
        return self.rounded(x, self.latent(x, level), level)

    def rounded(self, x: Tensor, latent: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error of images after rounding of the latents, with gradients for all modules: (N,), (N,)."""
        through = latent - latent.detach()
        bits, error, likelihood = self.cost(x, torch.floor(latent.detach() + 0.5) + through, level)
        likelihood = likelihood.detach()
        below = torch.floor(latent.detach()).clamp(-self.symbol_max, self.symbol_max - 1)
        slope = BITS * (self.pick(likelihood, below) - self.pick(likelihood, below + 1))
        return bits + (slope * through).sum(1), error

    def observe_curvature(self, symbols: Tensor, level: Tensor, pace: float = 0.005) -> None:
        """Update the running averages of :attr:`curvature` from the symbols of images.

        The gradient of the product of ``x_hat`` and a random image with independent values of variance 1 has the expected
        square ``|d x_hat / d symbol|^2`` at each symbol (Hutchinson 1990).
        """
        symbols = symbols.detach().requires_grad_()
        y_hat = symbols.to(self.dtype).view(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2)
        x_hat = self.codec.synthesize(y_hat, level)
        (gradient,) = torch.autograd.grad((x_hat * torch.randn_like(x_hat)).sum(), symbols)
        rows = self.curvature.rows.data
        nearest = (level * (len(rows) - 1)).round().long()
        count = torch.zeros(len(rows)).index_add_(0, nearest, torch.ones(len(level)))[:, None]
        mean = torch.zeros_like(rows).index_add_(0, nearest, gradient.float().square()) / count.clamp_min(1)
        rows.lerp_(mean, 1 - (1 - pace) ** count)
