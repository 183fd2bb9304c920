"""Last phase of every model: on the integer grid, with latents rounded for good.

Latents are what the shipped encoder will really give. The prior gets its categorical head and learns true code lengths; the
synthesis learns to undo rounding, its own included (quantization-aware). Once the head is there the analysis may learn too:
noise, which stood in for rounding before, makes symbols near zero look cheaper than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE
from mnistzip.metrics import psnr_of_mse
from mnistzip.training.classic import Classic
from mnistzip.training.data import Split
from mnistzip.training.model import Codec, Head, dequantize, flatten, levels, quantize, round_ste
from mnistzip.training.run import Log, Phase, Schedule

PROBES = (1, 25, 50, 75, 100)  # qualities that the log follows


@dataclass(frozen=True)
class RefitRecipe:
    """What the last phase needs to know."""

    schedule: Schedule
    seed: int = 1
    balance: float = 0.3  # losses are divided by lmbda to this power
    frozen_epochs: int | None = None  # after so many the analysis learns as well; never if None


class Refit(nn.Module):
    """A codec on the integer grid and the head that it gets; if ``frozen``, what decides its latents never changes."""

    def __init__(self, codec: Codec | Classic, frozen: bool = True) -> None:
        super().__init__()
        self.codec = codec
        self.head = Head(codec.config)
        if frozen:
            for part in codec.frozen():
                part.requires_grad_(False)

    def forward(self, x: Tensor, level: Tensor, learn: bool = False) -> tuple[Tensor, Tensor]:
        """Bits and squared error (pixels in 0..1) of each image: (N,), (N,).

        If ``learn`` is set the gradient reaches the analysis: through the rounding as if it were not there, and from the
        code length by the difference between the costs of the two integers that a latent lies between.
        """
        with torch.set_grad_enabled(learn):
            given = torch.round(x * WHITE) if self.codec.quantized else x
            latent = self.codec.analyse(given, level).float()
        y = round_ste(latent)
        symbols = flatten(y)
        logits = self.head(self.codec.prior.features(symbols, level))
        most = self.codec.config.symbol_max
        index = symbols.detach().long() + most
        nats = F.cross_entropy(logits.flatten(0, 1), index.flatten(), reduction="none").view_as(symbols)
        if learn:
            exact = flatten(latent)
            below = (torch.floor(exact.detach()).clamp(-most, most - 1).long() + most).unsqueeze(2)
            likelihood = logits.detach().log_softmax(2)
            slope = likelihood.gather(2, below) - likelihood.gather(2, below + 1)
            nats = nats + slope.squeeze(2) * (exact - exact.detach())
        nats = nats.sum(1)
        x_hat = self.codec.synthesize(y, level)
        if not self.training:
            x_hat = torch.round(x_hat * WHITE) / WHITE  # an image file's grey levels
        error = (x_hat - x).square().sum((1, 2, 3))
        return nats / torch.log(torch.tensor(2.0)), error


def refit(codec: Codec | Classic, split: Split, recipe: RefitRecipe, folder: Path, log: Log) -> tuple[Refit, Phase]:
    """Train, or go on with, the last phase; what can be exported, and its phase."""
    torch.manual_seed(recipe.seed)
    both = Refit(codec, frozen=recipe.frozen_epochs is None)
    phase = Phase("refit", folder, both, recipe.schedule, recipe.seed, log, prepare=lambda: quantize(both), fast=both.head)
    probe = split.held_out[:1000].float() / WHITE

    def loss(x: Tensor) -> Tensor:
        level = torch.rand(len(x))
        learn = recipe.frozen_epochs is not None and phase.epoch >= recipe.frozen_epochs
        bits, error = both(x, level, learn)
        lmbda = codec.config.lmbda(level)
        return ((bits + lmbda * error) * lmbda**-recipe.balance).mean()

    def measure() -> dict[str, float]:
        row: dict[str, float] = {}
        with torch.no_grad():
            for quality in PROBES:
                bits, error = both(probe, levels()[quality - 1].expand(len(probe)))
                row[f"bytes@{quality}"] = float(bits.mean()) / 8
                row[f"dB@{quality}"] = psnr_of_mse(float(error.mean()) * WHITE**2 / probe[0].numel())
        return row

    phase.train(split.train, loss, measure)
    both.eval()
    quantize(both)
    return both, phase


def cost_of_integers(both: Refit, x: Tensor) -> list[dict[str, float]]:
    """Ideal bytes and PSNR of the same weights on the integer grid and in float, for images in 0..1, by quality."""
    rows = []
    with torch.no_grad():
        for quality in PROBES:
            row: dict[str, float] = {"quality": quality}
            for name, switch in (("float", dequantize), ("integer", quantize)):
                switch(both)
                parts = [both(part, levels()[quality - 1].expand(len(part))) for part in torch.split(x, 500)]
                bits, error = (torch.cat(values).double().mean().item() for values in zip(*parts, strict=True))
                row[f"{name}_bytes"] = round(bits / 8, 4)
                row[f"{name}_psnr_db"] = round(psnr_of_mse(error * WHITE**2 / x[0].numel()), 4)
            rows.append(row)
    return rows
