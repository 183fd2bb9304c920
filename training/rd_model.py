"""A codec and its prior as one module: rate in bits and distortion as squared error.

    x (N, 1, 28, 28) -> analysis -> y (N, 196) -> round -> y_hat -> synthesis -> x_hat -> squared error (N,)
                                                      y_hat -> prior, head -> log-likelihood (N, 196, values) -> bits (N,)

The rate is the code length of the rounded latents with the categorical distribution that the entropy coder uses. The common
approximation, uniform noise instead of rounding (Balle et al. 2017, arXiv 1611.01704), underestimates the cost of symbols near
zero: a model trained with it needs a fifth more bytes at low rates. Rounding has no gradient, so the gradient for the analysis
is the difference between the costs of the two integers next to a latent.
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

BITS = 1 / math.log(2)  # bits per nat
CURVATURE_START = 0.01


class Coder(nn.Module):
    """Computes bits and squared error of images. Symbols are whole numbers in float, shape ``(N, 196)``.

    Attributes:
        codec: analysis, prior and synthesis.
        head: output layer of the prior.
        curvature: for each level and symbol, the mean increase of the squared error (pixels in 0..1) by a move of one where the
            gradient is zero. It is measured, not trained, and guides the search.
    """

    def __init__(self, codec: Codec | Classic) -> None:
        super().__init__()
        self.codec = codec
        self.head = Head(codec.config)
        self.curvature = LevelTable(codec.config.anchors, SYMBOLS, CURVATURE_START)
        self.curvature.requires_grad_(False)

    @property
    def kind(self) -> torch.dtype:
        """The type for computation: bfloat16 to train float weights, since it is precise enough and twice as fast."""
        return torch.bfloat16 if self.training and not self.codec.quantized else torch.float32

    @property
    def largest(self) -> int:
        """The largest symbol."""
        return self.codec.config.symbol_max

    def latent(self, x: Tensor, level: Tensor) -> Tensor:
        """Latents before rounding: images in 0..1, (N, 1, 28, 28) -> (N, 196)."""
        pixels = torch.round(x * WHITE) if self.codec.quantized else x.to(self.kind)
        return flatten(self.codec.analyse(pixels, level)).float()

    def cost(self, x: Tensor, symbols: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bits (N,), squared error (N,), and the log-likelihood of every value of every symbol (N, 196, values)."""
        y_hat = symbols.to(self.kind)
        likelihood = self.head(self.codec.prior.features(y_hat, level)).log_softmax(2)
        bits = -BITS * self.pick(likelihood, symbols.detach()).sum(1)
        x_hat = self.codec.synthesize(y_hat.view(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2), level)
        if not self.training:
            x_hat = round_ste(x_hat * WHITE) / WHITE  # grey levels of an image file
        return bits, (x_hat - x).square().sum((1, 2, 3)), likelihood

    def pick(self, likelihood: Tensor, symbols: Tensor) -> Tensor:
        """Log-likelihood of the given symbols, clipped to the alphabet: (N, 196)."""
        index = symbols.long().clamp(-self.largest, self.largest) + self.largest
        return likelihood.gather(2, index.unsqueeze(2)).squeeze(2)

    def forward(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error with the latents of the analysis: (N,), (N,)."""
        return self.rounded(x, self.latent(x, level), level)

    def rounded(self, x: Tensor, latent: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error with rounded latents, with gradients for all networks: (N,), (N,)."""
        through = latent - latent.detach()
        bits, error, likelihood = self.cost(x, torch.floor(latent.detach() + 0.5) + through, level)
        fixed = likelihood.detach()
        below = torch.floor(latent.detach()).clamp(-self.largest, self.largest - 1)
        slope = BITS * (self.pick(fixed, below) - self.pick(fixed, below + 1))
        return bits + (slope * through).sum(1), error

    def observe_curvature(self, x: Tensor, symbols: Tensor, level: Tensor, pace: float = 0.005) -> None:
        """Update the averages of :attr:`curvature` with some images.

        The gradient of ``x_hat * noise`` with respect to a symbol, for noise of independent values of variance 1, has the
        expected square ``|d x_hat / d symbol|^2`` (Hutchinson 1990).
        """
        variable = symbols.detach().requires_grad_()
        y_hat = variable.to(self.kind).view(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2)
        x_hat = self.codec.synthesize(y_hat, level)
        (gradient,) = torch.autograd.grad((x_hat * torch.randn_like(x_hat)).sum(), variable)
        rows = self.curvature.rows.data
        nearest = (level * (len(rows) - 1)).round().long()
        count = torch.zeros(len(rows)).index_add_(0, nearest, torch.ones(len(level)))[:, None]
        mean = torch.zeros_like(rows).index_add_(0, nearest, gradient.float().square()) / count.clamp_min(1)
        rows.lerp_(mean, 1 - (1 - pace) ** count)
