"""A training run on disk: checkpoints that a stopped run goes on from, a log, and one schedule for the learning rate.

A run that is asked to stop, as by Ctrl-C, trains no further, and a model is made of what there is. Every epoch draws its order
and noise from a seed of its own, so a resumed run takes the very steps of an uninterrupted one.
"""

from __future__ import annotations

import csv
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from mnistzip.training import distributed
from mnistzip.training.muon import Muon
from mnistzip.training.pace import Clock, Pacer, clock_time
from mnistzip.training.plots import Board, draw
from mnistzip.training.run_folder import CURVES, PARTIAL

Log = Callable[[str], None]
SLOW_SHARE = 0.15  # of the learning rate, for what was trained before when a fresh part joins it


@dataclass
class Run:
    """Where a run keeps its checkpoints, what draws its chance, who is told, what it runs on, and whether it is to stop.

    Attributes:
        clock: tells seconds; ``began`` is its time when the run was made.
        pacer: decides the steps of paced schedules; only the leading process has one.
        finish: seconds that follow the training.
        stages: names of those that have begun, in their order.
    """

    folder: Path
    seed: int
    log: Log = lambda _: None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    clock: Clock = time.monotonic
    pacer: Pacer | None = field(default=None, init=False)
    finish: float = field(default=0.0, init=False)
    stages: list[str] = field(default_factory=list, init=False)
    stopping: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def stops(self) -> bool:
        """Whether it is to stop, in whichever process that was asked for."""
        self.stopping = distributed.anyone(self.stopping)
        return self.stopping

    def interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """What to do at an interrupt: stop after this step, and at the next one at once."""
        self.stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.log("stopping: a model is made of what was learned so far; interrupt again to leave without one")


class FlushDenormals(ContextDecorator):
    """Within it numbers too small to matter count as zero, as they would take ten times as long; in the whole process."""

    def __enter__(self) -> None:
        torch.set_flush_denormal(True)

    def __exit__(self, *_: object) -> None:
        torch.set_flush_denormal(False)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a phase trains; the learning rates fall from ``rate`` to ``end`` times that.

    ``matrix_rate`` is that of Muon, for the weights of convolutions or other matrices; without one AdamW trains all.
    """

    epochs: int
    batch: int
    rate: float
    warm_up: int = 500  # steps
    constant: bool = False
    momentum: tuple[float, float] = (0.9, 0.99)
    decay: float = 1e-4
    end: float = 0.01
    matrix_rate: float | None = None
    fall_over: int | None = None  # epochs that the fall is laid out over, where the phase ends before it
    steps: int | None = None  # of an epoch; by default one pass over the images
    keep_best: bool = False  # of all epochs the one that does best on held-out images
    patience: int | None = None  # end after so many epochs of which none does better than the best before
    paced: bool = False  # the run's pacer decides the steps of each epoch

    def share_at(self, step: int, steps: int) -> float:
        """Of the full rate: linear warm-up, then half a cosine; or all of it all along."""
        if self.constant:
            return 1.0
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
        warm_up = max(1, min(self.warm_up, steps // 10)) if self.paced else self.warm_up
        return min(1.0, (step + 1) / warm_up) * (self.end + (1 - self.end) * fall)


class Phase:
    """Trains one module, epoch by epoch, and can be stopped and resumed after any epoch.

    Where a part is ``fast``, because it starts afresh, the others learn at a small share of its rate.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        module: nn.Module,
        schedule: Schedule,
        prepare: Callable[[], None] | None = None,
        fast: nn.Module | None = None,
        matrices: set[nn.Parameter] | None = None,
    ) -> None:
        self.name = name
        self.prepare = prepare  # called before every epoch
        self.run = run
        self.module = module
        self.schedule = schedule
        self.optimizers = _optimizers(module, schedule, fast, matrices)
        self.epoch = 0
        self.seconds = 0.0
        self.steps: list[int] = []  # of each epoch
        self.best: tuple[float, dict[str, Any], int] | None = (
            None  # what held-out images cost, the state that does it, its epoch
        )

    @property
    def checkpoint(self) -> Path:
        return self.run.folder / f"{self.name}.pt"

    def resume(self) -> None:
        """Go on from the last finished epoch, if there is one."""
        kept = distributed.leads() and self.checkpoint.exists()
        state: dict[str, Any] | None = distributed.told(
            torch.load(self.checkpoint, self.run.device, weights_only=True) if kept else None
        )
        if state is not None:
            self.module.load_state_dict(state["module"])
            for optimizer, known in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(known)
            self.epoch, self.seconds, self.best = state["epoch"], state["seconds"], state["best"]
            self.steps = state.get("steps", [])

    def train(
        self,
        images: Tensor,
        loss: Callable[[Tensor], Tensor],
        measure: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Minimize ``loss`` of batches, float in 0..1 of shape ``(batch, 1, 28, 28)``, over the epochs that are left.

        ``measure`` says after each epoch how well held-out images do; a schedule that keeps the best goes by its ``held_out``.
        """
        if distributed.leads():
            self.run.folder.mkdir(parents=True, exist_ok=True)
            self._board = Board(self.run.folder, self.name)
        self.run.stages.append(self.name)
        self.resume()
        while self.epoch < self.schedule.epochs and not self._in_vain() and not self.run.stops():
            began = self.run.clock()
            per_epoch = self._steps_of_epoch(len(images))
            steps = per_epoch * (self.schedule.fall_over or self.schedule.epochs)  # as if all epochs were like this one
            self.module.train()
            if self.prepare is not None:
                self.prepare()
            total = 0.0
            torch.manual_seed(self.run.seed * 100_003 + self.epoch)
            for number, batch in enumerate(self._batches(images, per_epoch)):
                if self.run.stops():
                    return
                share = self.schedule.share_at(self.epoch * per_epoch + number, steps)
                value = loss(distributed.share(batch))
                self.module.zero_grad(set_to_none=True)
                value.backward()  # type: ignore[no-untyped-call]
                distributed.average(self.module)
                nn.utils.clip_grad_norm_(self.module.parameters(), 50.0)
                for optimizer in self.optimizers:
                    for group in optimizer.param_groups:
                        group["lr"] = group["full"] * share
                    optimizer.step()
                total += value.item()
            if distributed.together():
                self.module.load_state_dict(distributed.told(self.module.state_dict()))  # what no gradient moves may differ
            self.epoch += 1
            self.steps.append(per_epoch)
            steps_seconds = self.run.clock() - began
            self.seconds += steps_seconds
            row = {"epoch": self.epoch, "seconds": round(self.seconds), "loss": total / per_epoch}
            if measure is not None:
                self.module.eval()
                row |= distributed.told(measure() if distributed.leads() else {})
            if self.schedule.keep_best and (self.best is None or row["held_out"] < self.best[0]):
                self.best = (
                    row["held_out"],
                    {name: value.clone() for name, value in self.module.state_dict().items()},
                    self.epoch,
                )
            if distributed.leads():
                self._record(row, began, steps_seconds)
        if self.best is not None:
            self.module.load_state_dict(self.best[1])

    def _steps_of_epoch(self, images: int) -> int:
        if self.schedule.paced:
            pacer = self.run.pacer
            return distributed.told(pacer.steps(self.name, self.epoch) if pacer is not None else 0)
        return self.schedule.steps or max(1, images // self.schedule.batch)

    def _in_vain(self) -> bool:
        """Whether patience with held-out images that do no better any more is at its end."""
        if self.best is None or self.schedule.patience is None or self.epoch - self.best[2] < self.schedule.patience:
            return False
        self.run.log(f"{self.name}: held-out images have done no better for {self.schedule.patience} epochs, so it ends here")
        return True

    def _batches(self, images: Tensor, count: int) -> Iterator[Tensor]:
        """So many batches, pass after pass over the images, each in an order of its own."""
        size = min(self.schedule.batch, len(images)) // distributed.count() * distributed.count()
        while True:
            order = torch.randperm(len(images))
            for start in range(0, len(images) - size + 1, size):
                yield images[order[start : start + size]].float() / 255
                count -= 1
                if not count:
                    return

    def _record(self, row: dict[str, float], began: float, steps_seconds: float) -> None:
        """Keep a checkpoint and the figures of an epoch, and say them."""
        state = {
            "module": self.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "epoch": self.epoch,
            "seconds": self.seconds,
            "best": self.best,
            "steps": self.steps,
        }
        partial = self.run.folder / f"{self.name}{PARTIAL}"
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        path = self.run.folder / f"{self.name}.csv"
        new = self.epoch == 1
        with path.open("w" if new else "a", newline="") as table:
            writer = csv.DictWriter(table, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        self._board.add(row, self.epoch)
        draw([self.run.folder / f"{name}.csv" for name in self.run.stages], self.run.folder / CURVES)
        figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("epoch", "seconds"))
        self.run.log(
            f"{self.name} epoch {self.epoch} of {self.schedule.epochs}, {self._left(began, steps_seconds)}:  {figures}"
        )

    def _left(self, began: float, steps_seconds: float) -> str:
        """The time that is left, of the whole run where that is known."""
        if self.schedule.paced and self.run.pacer is not None:
            overhead = self.run.clock() - began - steps_seconds
            self.run.pacer.finished(self.name, self.epoch - 1, steps_seconds, overhead)
            return f"about {clock_time(self.run.pacer.left(self.name, self.epoch) + self.run.finish)} left"
        left = self.seconds / self.epoch * (self.schedule.epochs - self.epoch)
        return f"about {clock_time(left)} left in this stage"


def _optimizers(
    module: nn.Module, schedule: Schedule, fast: nn.Module | None, matrices: set[nn.Parameter] | None
) -> list[torch.optim.Optimizer]:
    """AdamW for all, or for all but some matrices, by default the weights of convolutions, which then are Muon's."""
    learned = [p for p in module.parameters() if p.requires_grad]
    fresh = set() if fast is None else set(fast.parameters())
    if schedule.matrix_rate is None:
        matrices = set()
    elif matrices is None:
        matrices = {p for p in learned if p.ndim == 4}
    groups: list[dict[str, Any]] = []
    for parameters, share in (
        ([p for p in learned if p not in matrices | fresh], SLOW_SHARE if fresh else 1.0),
        ([p for p in learned if p in fresh], 1.0),
    ):
        if parameters:
            groups.append({"params": parameters, "full": schedule.rate * share})
    adam = torch.optim.AdamW(groups, lr=schedule.rate, betas=schedule.momentum, weight_decay=schedule.decay, fused=True)
    if schedule.matrix_rate is None:
        return [adam]
    muon = Muon([p for p in learned if p in matrices], lr=schedule.matrix_rate)
    muon.param_groups[0]["full"] = schedule.matrix_rate
    return [adam, muon]
