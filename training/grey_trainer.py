"""Train the float model ``grey`` on pictures of many sizes, with checkpoints; a stopped run is continued.

    python -m mnistzip.training.grey_trainer pictures.npz --minutes 80 --out runs/grey.pt

The checkpoint holds the time that the run has taken, so a continued run ends as one without a stop would.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from mnistzip.training.muon import Muon
from mnistzip.training.run_folder import PARTIAL
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


@dataclass
class Progress:
    """What a run is and how far it has come.

    Attributes:
        seconds: of the whole run, and those that have ``passed``.
        rate, matrix_rate: first learning rates of AdamW and of Muon, which takes the weight matrices.
    """

    seconds: float
    rate: float
    matrix_rate: float
    seed: int
    threads: int
    steps: int = 0
    passed: float = 0.0

    def phase(self) -> dict[str, Any]:
        """The phase of a training report."""
        rates = {"rate": self.rate, "matrix_rate": self.matrix_rate}
        return {"name": "rounded", "seconds": round(self.passed), "steps": self.steps, "pixels": BATCH_PIXELS, **rates}


class Trainer:
    """A model, its optimizers and its progress."""

    def __init__(self, model: Grey, minutes: float, rate: float, matrix_rate: float, seed: int) -> None:
        self.model = model
        self.progress = Progress(60 * minutes, rate, matrix_rate, seed, torch.get_num_threads())
        named = dict(model.named_parameters())
        matrices = [p for n, p in named.items() if p.ndim >= 2 and not _is_small(n)]
        self.others = [p for n, p in named.items() if p.ndim < 2 or _is_small(n)]
        self.optimizers = {
            matrix_rate: Muon(matrices, matrix_rate),
            rate: torch.optim.AdamW(self.others, rate, betas=(0.9, 0.99), weight_decay=1e-4),
        }
        self.chance = np.random.default_rng(seed)

    def run(
        self,
        pictures: dict[str, Tensor],
        out: Path,
        log: Callable[[str], None] = lambda _: None,
        stops: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train until the time is over or ``stops()``; the checkpoint is written every few steps, and at the end."""
        names = list(pictures)
        weights = np.array([len(part) * part[0].numel() ** SIZE_POWER for part in pictures.values()])
        before, cost, progress = time.monotonic(), 0.0, self.progress
        while progress.passed < progress.seconds and not stops():
            part = pictures[names[self.chance.choice(len(names), p=weights / weights.sum())]]
            cost += self._step(part)
            now = time.monotonic()
            progress.passed, before = progress.passed + now - before, now
            if progress.steps % EVERY == 0:
                log(f"{progress.steps} steps, {progress.passed / 60:.1f} minutes, cost {cost / EVERY:.4f}")
                cost = 0.0
                self.save(out)
        self.save(out)

    def _step(self, part: Tensor) -> float:
        done = min(self.progress.passed / self.progress.seconds, 1)
        share = min(1.0, (self.progress.steps + 1) / WARM_UP)
        share *= RATE_LAST + (1 - RATE_LAST) / 2 * (1 + math.cos(math.pi * done))
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
        self.progress.steps += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers.values()],
            "chance": self.chance.bit_generator.state,
            "progress": asdict(self.progress),
        }
        written = path.with_suffix(PARTIAL)
        torch.save(state, written)
        written.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers.values(), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.chance.bit_generator.state = state["chance"]
        self.progress = Progress(**state["progress"])


def _is_small(name: str) -> bool:
    """Whether a parameter is no matrix of a network: a table by level, or a small linear prediction."""
    return name.endswith("rows") or "around" in name or "prior.linear" in name or "within" in name


def load_model(path: Path) -> tuple[Grey, Progress]:
    """The model of a checkpoint, and the progress of its run."""
    model, state = Grey(), torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    return model.eval(), Progress(**state["progress"])


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
    trainer.run(read_pictures(pictures), out, click.echo)


if __name__ == "__main__":
    main()
