"""First phase of ``mnist``: transforms and prior together, for bits + lmbda * squared error at every quality at once.

Each image of a batch draws its own quality. The synthesis sees rounded latents (straight-through), the likelihood noisy
ones (Minnen & Singh 2020). Losses of different lmbda are brought to similar size by a power of lmbda, so that no end of the
range owns the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mnistzip.metrics import PEAK, psnr_of_mse
from mnistzip.training.data import Split
from mnistzip.training.model import CHANNELS, SIDE, Codec, Config
from mnistzip.training.run import Log, Phase, Schedule

PROBES = (0.0, 0.25, 0.5, 0.75, 1.0)  # quality levels that the log follows


@dataclass(frozen=True)
class JointRecipe:
    """What the first phase needs to know."""

    schedule: Schedule
    seed: int = 1
    balance: float = 0.3  # losses are divided by lmbda to this power


def noise_like(batch: int) -> Tensor:
    """Uniform noise of one quantization step, shape ``(batch, 4, 7, 7)``."""
    return torch.rand(batch, CHANNELS, SIDE, SIDE) - 0.5


def train_joint(split: Split, config: Config, recipe: JointRecipe, folder: Path, log: Log) -> tuple[Codec, Phase]:
    """Train, or go on with, the first phase; the trained codec and its phase."""
    torch.manual_seed(recipe.seed)
    codec = Codec(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    phase = Phase("joint", folder, codec, recipe.schedule, recipe.seed, log)
    probe = split.held_out[:1000].float() / 255

    def loss(x: Tensor) -> Tensor:
        level = torch.rand(len(x))
        bits, error = codec(x, level, noise_like(len(x)))
        lmbda = config.lmbda(level)
        return ((bits + lmbda * error) * lmbda**-recipe.balance).mean()

    def measure() -> dict[str, float]:
        row: dict[str, float] = {}
        with torch.no_grad():
            for q in PROBES:
                bits, error = codec(probe, torch.full((len(probe),), q), noise_like(len(probe)))
                row[f"bytes@{q}"] = float(bits.mean()) / 8
                row[f"dB@{q}"] = psnr_of_mse(float(error.mean()) * PEAK**2 / probe[0].numel())
        return row

    phase.train(split.train, loss, measure)
    return codec, phase
