"""Last phase of every model: on the integer grid, with latents rounded for good.

The analysis no longer changes, so latents are what the shipped encoder will really give. The prior gets its categorical
head and learns true code lengths; the synthesis learns to undo rounding, its own included (quantization-aware).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE
from mnistzip.metrics import psnr_of_mse
from mnistzip.model import QUALITIES
from mnistzip.training.classic import Classic
from mnistzip.training.data import Split
from mnistzip.training.model import Codec, Head, dequantize, flatten, levels, quantize
from mnistzip.training.run import Log, Phase, Schedule

PROBES = (1, 25, 50, 75, 100)  # qualities that the log follows


@dataclass(frozen=True)
class RefitRecipe:
    """What the last phase needs to know."""

    schedule: Schedule
    seed: int = 1
    balance: float = 0.3  # losses are divided by lmbda to this power


class Refit(nn.Module):
    """A codec on the integer grid, its analysis frozen, and the head that it gets."""

    def __init__(self, codec: Codec | Classic) -> None:
        super().__init__()
        self.codec = codec
        self.head = Head(codec.config)
        for part in codec.frozen():
            part.requires_grad_(False)

    def forward(self, x: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Bits and squared error (pixels in 0..1) of each image: (N,), (N,)."""
        level = levels()[quality - 1]
        with torch.no_grad():
            given = torch.round(x * WHITE) if self.codec.quantized else x
            y = torch.floor(self.codec.analyse(given, level) + 0.5).float()
        symbols = flatten(y)
        logits = self.head(self.codec.prior.features(symbols, level))
        index = symbols.long() + self.codec.config.symbol_max
        nats = F.cross_entropy(logits.flatten(0, 1), index.flatten(), reduction="none").view_as(symbols).sum(1)
        x_hat = self.codec.synthesize(y, level)
        if not self.training:
            x_hat = torch.round(x_hat * WHITE) / WHITE  # an image file's grey levels
        error = (x_hat - x).square().sum((1, 2, 3))
        return nats / torch.log(torch.tensor(2.0)), error


def refit(codec: Codec | Classic, split: Split, recipe: RefitRecipe, folder: Path, log: Log) -> tuple[Refit, Phase]:
    """Train, or go on with, the last phase; what can be exported, and its phase."""
    torch.manual_seed(recipe.seed)
    both = Refit(codec)
    phase = Phase("refit", folder, both, recipe.schedule, recipe.seed, log, prepare=lambda: quantize(both))
    probe = split.held_out[:1000].float() / WHITE

    def loss(x: Tensor) -> Tensor:
        quality = torch.randint(1, QUALITIES + 1, (len(x),))
        bits, error = both(x, quality)
        lmbda = codec.config.lmbda(levels()[quality - 1])
        return ((bits + lmbda * error) * lmbda**-recipe.balance).mean()

    def measure() -> dict[str, float]:
        row: dict[str, float] = {}
        with torch.no_grad():
            for quality in PROBES:
                bits, error = both(probe, torch.full((len(probe),), quality))
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
                parts = [both(part, torch.full((len(part),), quality)) for part in torch.split(x, 500)]
                bits, error = (torch.cat(values).double().mean().item() for values in zip(*parts, strict=True))
                row[f"{name}_bytes"] = round(bits / 8, 4)
                row[f"{name}_psnr_db"] = round(psnr_of_mse(error * WHITE**2 / x[0].numel()), 4)
            rows.append(row)
    return rows
