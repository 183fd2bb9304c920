"""A codec and the head of its prior together: what images cost, in bits and in squared error.

The code length is the true one, of rounded latents under the very categorical distribution that the coder will use. Noise in
place of rounding, the usual stand-in, makes symbols near zero look much cheaper than they are, and a model trained on it
loses a fifth of its bytes at low rates. Rounding has no gradient, so the analysis gets the difference between the costs of
the two integers that a latent lies between.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.latent_prior import CHANNELS, SIDE, SYMBOLS
from mnistzip.training.classic import Classic
from mnistzip.training.torch_codec import Codec, Head, flatten
from mnistzip.training.torch_layers import LevelTable, round_ste

BITS = 1 / math.log(2)  # per nat
CURVATURE_START = 0.01


class Coder(nn.Module):
    """Images to costs; ``symbols`` are flat, float and integral, shape ``(N, 196)``.

    Attributes:
        curvature: by level, how much squared error (pixels in 0..1) moving a symbol by one makes where the gradient is zero,
            averaged over images. It is observed, not learned, and guides the search.
    """

    def __init__(self, codec: Codec | Classic) -> None:
        super().__init__()
        self.codec = codec
        self.head = Head(codec.config)
        self.curvature = LevelTable(codec.config.anchors, SYMBOLS, CURVATURE_START)
        self.curvature.requires_grad_(False)

    @property
    def kind(self) -> torch.dtype:
        """The type to compute in: half precision is enough while float weights are learned, and twice as fast."""
        return torch.bfloat16 if self.training and not self.codec.quantized else torch.float32

    @property
    def largest(self) -> int:
        """The largest symbol."""
        return self.codec.config.symbol_max

    def latent(self, x: Tensor, level: Tensor) -> Tensor:
        """What the analysis makes of images, before rounding: (N, 1, 28, 28) in 0..1 -> (N, 196)."""
        given = torch.round(x * WHITE) if self.codec.quantized else x.to(self.kind)
        return flatten(self.codec.analyse(given, level)).float()

    def cost(self, x: Tensor, symbols: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bits (N,), squared error (N,), and the log-likelihood of every value of every symbol (N, 196, values)."""
        given = symbols.to(self.kind)
        likelihood = self.head(self.codec.prior.features(given, level)).log_softmax(2)
        bits = -BITS * self.pick(likelihood, symbols.detach()).sum(1)
        x_hat = self.codec.synthesize(given.view(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2), level)
        if not self.training:
            x_hat = round_ste(x_hat * WHITE) / WHITE  # an image file's grey levels
        return bits, (x_hat - x).square().sum((1, 2, 3)), likelihood

    def pick(self, likelihood: Tensor, symbols: Tensor) -> Tensor:
        """The log-likelihood of symbols, clipped to the alphabet: (N, 196)."""
        index = symbols.long().clamp(-self.largest, self.largest) + self.largest
        return likelihood.gather(2, index.unsqueeze(2)).squeeze(2)

    def forward(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error of images as the analysis alone codes them: (N,), (N,)."""
        return self.rounded(x, self.latent(x, level), level)

    def rounded(self, x: Tensor, latent: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error of images whose latents are rounded, with a gradient for all parts: (N,), (N,)."""
        through = latent - latent.detach()
        bits, error, likelihood = self.cost(x, torch.floor(latent.detach() + 0.5) + through, level)
        known = likelihood.detach()
        below = torch.floor(latent.detach()).clamp(-self.largest, self.largest - 1)
        slope = BITS * (self.pick(known, below) - self.pick(known, below + 1))
        return bits + (slope * through).sum(1), error

    def observe_curvature(self, x: Tensor, symbols: Tensor, level: Tensor, pace: float = 0.005) -> None:
        """Let images move the averages of :attr:`curvature`.

        A random image of independent values of variance 1, taken back through the synthesis, has at each symbol the
        expected square ``|d x_hat / d symbol|^2`` (Hutchinson 1990).
        """
        given = symbols.detach().requires_grad_()
        y_hat = given.to(self.kind).view(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2)
        x_hat = self.codec.synthesize(y_hat, level)
        (back,) = torch.autograd.grad((x_hat * torch.randn_like(x_hat)).sum(), given)
        rows = self.curvature.rows.data
        nearest = (level * (len(rows) - 1)).round().long()
        count = torch.zeros(len(rows)).index_add_(0, nearest, torch.ones(len(level)))[:, None]
        mean = torch.zeros_like(rows).index_add_(0, nearest, back.float().square()) / count.clamp_min(1)
        rows.lerp_(mean, 1 - (1 - pace) ** count)
