"""Train the float model ``grey`` on pictures of many sizes, with checkpoints; a stopped run is continued.

    python -m mnistzip.training.grey_trainer pictures.npz --minutes 80 --out runs/grey.pt

The checkpoint holds the time that the run has taken, so a continued run ends as one without a stop would.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from mnistzip.training.muon import Muon
from mnistzip.training.torch_grey import Grey

BATCH_PIXELS = 49_152
BALANCE = 0.42  # power of lmbda that divides losses
EDGE = 0.05  # levels are drawn from -EDGE to 1 + EDGE and clipped
WARM_UP = 300  # steps
RATE_LAST = 0.02  # share of the first learning rate at the end
SIZE_POWER = 0.6  # of the pixels of a picture, for the share of steps that a size gets
EVERY = 200  # steps between checkpoints


def read_pictures(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The training pictures of files of :mod:`mnistzip.training.pictures`, by size: uint8 ``(N, H, W)``."""
    parts: dict[str, list[Tensor]] = {}
    for path in paths:
        with np.load(path) as arrays:
            for name in arrays.files:
                if name.startswith("train-"):
                    parts.setdefault(name, []).append(torch.from_numpy(arrays[name]))
    return {name: torch.cat(part) for name, part in parts.items()}


class Trainer:
    """A model, its optimizers and its progress.

    Args:
        minutes: of the whole run.
        rate, matrix_rate: learning rates of AdamW and of Muon, which takes the weight matrices.
    """

    def __init__(self, model: Grey, minutes: float, rate: float, matrix_rate: float, seed: int) -> None:
        self.model, self.seconds = model, 60 * minutes
        named = dict(model.named_parameters())
        matrices = [p for n, p in named.items() if p.ndim >= 2 and not _is_small(n)]
        self.others = [p for n, p in named.items() if p.ndim < 2 or _is_small(n)]
        self.optimizers = {
            matrix_rate: Muon(matrices, matrix_rate),
            rate: torch.optim.AdamW(self.others, rate, betas=(0.9, 0.99), weight_decay=1e-4),
        }
        self.chance = np.random.default_rng(seed)
        self.steps, self.passed = 0, 0.0

    def run(self, pictures: dict[str, Tensor], out: Path) -> None:
        """Train until the time is over; the checkpoint is written every few steps, and at the end."""
        names = list(pictures)
        weights = np.array([len(part) * part[0].numel() ** SIZE_POWER for part in pictures.values()])
        before, cost = time.monotonic(), 0.0
        while self.passed < self.seconds:
            part = pictures[names[self.chance.choice(len(names), p=weights / weights.sum())]]
            cost += self._step(part)
            now = time.monotonic()
            self.passed, before = self.passed + now - before, now
            if self.steps % EVERY == 0:
                click.echo(f"{self.steps} steps, {self.passed / 60:.1f} minutes, cost {cost / EVERY:.4f}")
                cost = 0.0
                self.save(out)
        self.save(out)

    def _step(self, part: Tensor) -> float:
        share = min(1.0, (self.steps + 1) / WARM_UP)
        share *= RATE_LAST + (1 - RATE_LAST) / 2 * (1 + math.cos(math.pi * min(self.passed / self.seconds, 1)))
        for full, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = full * share
            optimizer.zero_grad()
        count = max(4, BATCH_PIXELS // part[0].numel())
        x = part[torch.from_numpy(self.chance.integers(0, len(part), count))].float()[:, None] / 255
        level = torch.from_numpy(self.chance.uniform(-EDGE, 1 + EDGE, count)).float().clamp(0, 1)
        lmbda = self.model.lmbda(level)
        bits, error = self.model(x, level, torch.bfloat16)
        loss = ((bits + lmbda * error) * lmbda**-BALANCE).mean() / part[0].numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.steps += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers.values()],
            "chance": self.chance.bit_generator.state,
            "progress": (self.steps, self.passed),
        }
        written = path.with_suffix(".part")
        torch.save(state, written)
        written.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers.values(), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.chance.bit_generator.state = state["chance"]
        self.steps, self.passed = state["progress"]


def _is_small(name: str) -> bool:
    """Whether a parameter is no matrix of a network: a table by level, or a small linear prediction."""
    return name.endswith("rows") or "around" in name or "prior.linear" in name or "within" in name


def load_model(path: Path) -> Grey:
    """The model of a checkpoint."""
    model = Grey()
    model.load_state_dict(torch.load(path, weights_only=True)["model"])
    return model.eval()


FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=FILE)
@click.option("--minutes", default=80.0, show_default=True, help="Time of the whole run.")
@click.option("--out", required=True, type=FILE, help="Checkpoint; an existing one is continued.")
@click.option("--rate", default=6e-3, show_default=True, help="Learning rate of AdamW.")
@click.option("--matrix-rate", default=0.015, show_default=True, help="Learning rate of Muon.")
@click.option("--seed", default=1, show_default=True)
def main(pictures: Sequence[Path], minutes: float, out: Path, rate: float, matrix_rate: float, seed: int) -> None:
    """Train the model grey in floats."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    trainer = Trainer(Grey().train(), minutes, rate, matrix_rate, seed)
    if out.exists():
        trainer.load(out)
    trainer.run(read_pictures(pictures), out)


if __name__ == "__main__":
    main()
