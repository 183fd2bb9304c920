"""A training run on disk: checkpoints that a stopped run goes on from, a log, and one schedule for the learning rate.

Every epoch draws its order and noise from a seed of its own, so a resumed run takes the very steps of an uninterrupted one.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Log = Callable[[str], None]
SLOW_SHARE = 0.15  # of the learning rate, for what was trained before when a fresh part joins it


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a phase trains."""

    epochs: int
    batch: int
    rate: float
    warm_up: int = 500  # steps
    constant: bool = False
    momentum: tuple[float, float] = (0.9, 0.99)
    decay: float = 1e-4

    def rate_at(self, step: int, steps: int) -> float:
        """Linear warm-up, then half a cosine down to a hundredth; or the same rate all along."""
        if self.constant:
            return self.rate
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * (0.01 + 0.99 * fall)


class Phase:
    """Trains one module with AdamW, epoch by epoch, and can be stopped and resumed after any epoch.

    Where a part is ``fast``, because it starts afresh, the others learn at a small share of its rate.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        module: nn.Module,
        schedule: Schedule,
        seed: int,
        log: Log,
        prepare: Callable[[], None] | None = None,
        fast: nn.Module | None = None,
    ) -> None:
        self.name = name
        self.prepare = prepare  # called before every epoch
        self.folder = folder
        self.module = module
        self.schedule = schedule
        self.seed = seed
        self.log = log
        fresh: list[nn.Parameter] = [] if fast is None else list(fast.parameters())
        rest = [p for p in module.parameters() if p.requires_grad and all(p is not q for q in fresh)]
        trained: list[dict[str, Any]] = [{"params": rest, "share": SLOW_SHARE if fresh else 1.0}]
        if fresh:
            trained.append({"params": fresh, "share": 1.0})
        self.optimizer = torch.optim.AdamW(trained, lr=schedule.rate, betas=schedule.momentum, weight_decay=schedule.decay)
        self.epoch = 0
        self.seconds = 0.0

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}.pt"

    def resume(self) -> None:
        """Go on from the last finished epoch, if there is one."""
        if self.checkpoint.exists():
            state: dict[str, Any] = torch.load(self.checkpoint, weights_only=True)
            self.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.seconds = state["epoch"], state["seconds"]

    def train(
        self,
        images: Tensor,
        loss: Callable[[Tensor], Tensor],
        measure: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Minimize ``loss`` of batches, float in 0..1 of shape ``(batch, 1, 28, 28)``, over the epochs that are left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        per_epoch = len(images) // self.schedule.batch
        steps = per_epoch * self.schedule.epochs
        while self.epoch < self.schedule.epochs:
            began = time.monotonic()
            self.module.train()
            if self.prepare is not None:
                self.prepare()
            total = 0.0
            torch.manual_seed(self.seed * 100_003 + self.epoch)
            for number, batch in enumerate(self._batches(images)):
                for group in self.optimizer.param_groups:
                    group["lr"] = group["share"] * self.schedule.rate_at(self.epoch * per_epoch + number, steps)
                value = loss(batch)
                self.optimizer.zero_grad(set_to_none=True)
                value.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.module.parameters(), 50.0)
                self.optimizer.step()
                total += value.item()
            self.epoch += 1
            self.seconds += time.monotonic() - began
            row = {"epoch": self.epoch, "seconds": round(self.seconds), "loss": total / per_epoch}
            if measure is not None:
                self.module.eval()
                row |= measure()
            self._record(row)

    def _batches(self, images: Tensor) -> Iterator[Tensor]:
        order = torch.randperm(len(images))
        size = self.schedule.batch
        for start in range(0, len(images) - size + 1, size):
            yield images[order[start : start + size]].float() / 255

    def _record(self, row: dict[str, float]) -> None:
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        path = self.folder / f"{self.name}.csv"
        new = self.epoch == 1
        with path.open("w" if new else "a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.log(f"{self.name} " + "  ".join(f"{key} {value:.5g}" for key, value in row.items()))
