"""Train a model on pictures of many sizes for a fixed time, with checkpoints; a stopped run is continued.

The checkpoint holds the time that the run has taken, so a continued run ends as one without a stop would.
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mnistzip.errors import OptionError
from mnistzip.training.muon import Muon
from mnistzip.training.run_folder import PARTIAL

WARM_UP = 300  # steps
RATE_LAST = 0.02  # share of the first learning rate at the end
SIZE_POWER = 0.6  # of the pixels of a picture, for the share of steps that a size gets
EVERY = 200  # steps between checkpoints
BATCH_MIN = 4  # pictures

Network = TypeVar("Network", bound=nn.Module)


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
        rate, matrix_rate: those of the trainer.
    """

    seconds: float
    rate: float
    matrix_rate: float
    seed: int
    threads: int
    steps: int = 0
    passed: float = 0.0

    def described(self, trainer: type[PictureTrainer[Any]]) -> dict[str, Any]:
        """The stage of a training report."""
        rates = {"rate": self.rate, "matrix_rate": self.matrix_rate}
        pixels = trainer.batch_pixels
        return {"name": trainer.stage, "seconds": round(self.passed), "steps": self.steps, "pixels": pixels, **rates}


class PictureTrainer(Generic[Network]):
    """A model, its optimizers and its progress; subclasses say what the loss is.

    Attributes:
        stage: the name of the training stage, for reports.
        batch_pixels: pixels of a step.
        rate, matrix_rate: first learning rates of AdamW and of Muon, which takes the weight matrices.
    """

    stage: ClassVar[str]
    batch_pixels: ClassVar[int]
    rate: ClassVar[float]
    matrix_rate: ClassVar[float]

    def __init__(self, model: Network, minutes: float, seed: int) -> None:
        self.model = model
        self.progress = Progress(60 * minutes, self.rate, self.matrix_rate, seed, torch.get_num_threads())
        matrices = self.matrices()
        chosen = {id(matrix) for matrix in matrices}
        self.others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
        self.optimizers = {
            self.matrix_rate: Muon(matrices, self.matrix_rate),
            self.rate: torch.optim.AdamW(self.others, self.rate, betas=(0.9, 0.99), weight_decay=1e-4),
        }
        self.chance = np.random.default_rng(seed)

    def matrices(self) -> list[nn.Parameter]:
        """The weights that Muon trains."""
        raise NotImplementedError

    def loss(self, x: Tensor) -> Tensor:
        """The loss of some pictures of one size, uint8 ``(N, H, W)``."""
        raise NotImplementedError

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
        count = max(BATCH_MIN, self.batch_pixels // part[0].numel())
        loss = self.loss(part[torch.from_numpy(self.chance.integers(0, len(part), count))])
        torch.autograd.backward(loss)
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
        """Continue from a checkpoint.

        Raises:
            OptionError: the file is no checkpoint of this training.
        """
        state = _load_state(self.model, path)
        for optimizer, saved in zip(self.optimizers.values(), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.chance.bit_generator.state = state["chance"]
        self.progress = Progress(**state["progress"])


def load_weights(model: Network, path: Path) -> tuple[Network, Progress]:
    """A model with the weights of a checkpoint, and the progress of its run.

    Raises:
        OptionError: the file is no checkpoint of such a model.
    """
    state = _load_state(model, path)
    model.eval()
    return model, Progress(**state["progress"])


def _load_state(model: nn.Module, path: Path) -> dict[str, Any]:
    """Load the weights of a checkpoint into its model, and return all that it holds."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
    except (pickle.UnpicklingError, EOFError, KeyError, RuntimeError, TypeError) as error:
        raise OptionError(f"{path} is no checkpoint of this training: name another file") from error
    return state
