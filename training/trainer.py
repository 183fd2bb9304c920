"""The training loop: epochs with checkpoints, a log, and a schedule of the learning rate.

A stopped run resumes from its last checkpoint. An interrupt (Ctrl-C) ends the training after the current step, and the model is
made from the weights of that time. Each epoch has a random seed that depends only on the run's seed and the number of the
epoch. A resumed run therefore takes the same steps as an uninterrupted run.
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
SLOW_SHARE = 0.15  # of the learning rate, for trained modules next to an untrained one


@dataclass
class Run:
    """The state that all stages of a training run share.

    Attributes:
        folder: of checkpoints and logs.
        seed: of all random numbers.
        log: receives messages for the user.
        device: that the stages run on.
        clock: returns seconds; ``began`` is its value at the creation of the run.
        pacer: decides the steps of paced schedules; only the leading process has one.
        finish: expected seconds after the training.
        stages: names of the stages that have begun, in order.
        stopping: the run was asked to stop.
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
        """True if any process was asked to stop."""
        self.stopping = distributed.any_process(self.stopping)
        return self.stopping

    def interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle an interrupt: stop after the current step. A second interrupt stops at once."""
        self.stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.log("stopping: a model is made from the training so far; interrupt again to stop without a model")


class FlushDenormals(ContextDecorator):
    """Treat denormal numbers as zero in the whole process, as arithmetic on them takes ten times as long."""

    def __enter__(self) -> None:
        torch.set_flush_denormal(True)

    def __exit__(self, *_: object) -> None:
        torch.set_flush_denormal(False)


@dataclass(frozen=True)
class Schedule:
    """Length and learning rates of a stage. Learning rates fall from ``rate`` to ``end * rate``.

    ``matrix_rate`` is the rate of Muon, for the weights of convolutions or other matrices. If it is None, AdamW trains all
    parameters.
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
    fall_over: int | None = None  # epochs of the fall, if the stage ends before the fall does
    steps: int | None = None  # per epoch; by default one pass over the images
    keep_best: bool = False  # end with the weights of the epoch with the lowest cost of held-out images
    patience: int | None = None  # end after this many epochs without an improvement
    paced: bool = False  # the run's pacer decides the steps of each epoch

    def share_at(self, step: int, steps: int) -> float:
        """Share of the full rate: linear warm-up, then half a cosine. Always 1 for a constant schedule."""
        if self.constant:
            return 1.0
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
        warm_up = max(1, min(self.warm_up, steps // 10)) if self.paced else self.warm_up
        return min(1.0, (step + 1) / warm_up) * (self.end + (1 - self.end) * fall)


class StageTrainer:
    """Trains one module, epoch by epoch. A stage can be stopped and resumed after any epoch.

    ``fast`` is an untrained part of the module. All other parts learn at a small share of its rate.
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
        self.prepare = prepare  # called before each epoch
        self.run = run
        self.module = module
        self.schedule = schedule
        self.optimizers = _optimizers(module, schedule, fast, matrices)
        self.epoch = 0
        self.seconds = 0.0
        self.steps: list[int] = []  # per epoch
        self.best: tuple[float, dict[str, Any], int] | None = None  # lowest held-out cost, state of the module, epoch

    @property
    def checkpoint(self) -> Path:
        return self.run.folder / f"{self.name}.pt"

    def resume(self) -> None:
        """Load the checkpoint of the last complete epoch, if it exists."""
        exists = distributed.is_leader() and self.checkpoint.exists()
        state: dict[str, Any] | None = distributed.broadcast(
            torch.load(self.checkpoint, self.run.device, weights_only=True) if exists else None
        )
        if state is not None:
            self.module.load_state_dict(state["module"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.epoch, self.seconds, self.best = state["epoch"], state["seconds"], state["best"]
            self.steps = state.get("steps", [])

    def train(
        self,
        images: Tensor,
        loss: Callable[[Tensor], Tensor],
        measure: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Minimize ``loss`` over the remaining epochs.

        Args:
            images: uint8, shape ``(N, 1, 28, 28)``.
            loss: of a batch, float in 0..1, shape ``(batch, 1, 28, 28)``.
            measure: returns results on held-out images after each epoch. Schedules with ``keep_best`` use ``held_out``.
        """
        if distributed.is_leader():
            self.run.folder.mkdir(parents=True, exist_ok=True)
            self._board = Board(self.run.folder, self.name)
        self.run.stages.append(self.name)
        self.resume()
        while self.epoch < self.schedule.epochs and not self._out_of_patience() and not self.run.stops():
            start = self.run.clock()
            per_epoch = self._steps_of_epoch(len(images))
            steps = per_epoch * (self.schedule.fall_over or self.schedule.epochs)  # as if all epochs had as many steps
            self.module.train()
            if self.prepare is not None:
                self.prepare()
            total = 0.0
            torch.manual_seed(self.run.seed * 100_003 + self.epoch)
            for number, batch in enumerate(self._batches(images, per_epoch)):
                if self.run.stops():
                    return
                share = self.schedule.share_at(self.epoch * per_epoch + number, steps)
                value = loss(distributed.shard(batch))
                self.module.zero_grad(set_to_none=True)
                value.backward()  # type: ignore[no-untyped-call]
                distributed.average_gradients(self.module)
                nn.utils.clip_grad_norm_(self.module.parameters(), 50.0)
                for optimizer in self.optimizers:
                    for group in optimizer.param_groups:
                        group["lr"] = group["full"] * share
                    optimizer.step()
                total += value.item()
            if distributed.is_grouped():
                self.module.load_state_dict(distributed.broadcast(self.module.state_dict()))  # buffers may differ
            self.epoch += 1
            self.steps.append(per_epoch)
            steps_seconds = self.run.clock() - start
            self.seconds += steps_seconds
            row = {"epoch": self.epoch, "seconds": round(self.seconds), "loss": total / per_epoch}
            if measure is not None:
                self.module.eval()
                row |= distributed.broadcast(measure() if distributed.is_leader() else {})
            if self.schedule.keep_best and (self.best is None or row["held_out"] < self.best[0]):
                self.best = (
                    row["held_out"],
                    {name: value.clone() for name, value in self.module.state_dict().items()},
                    self.epoch,
                )
            if distributed.is_leader():
                self._record(row, start, steps_seconds)
        if self.best is not None:
            self.module.load_state_dict(self.best[1])

    def _steps_of_epoch(self, images: int) -> int:
        if self.schedule.paced:
            pacer = self.run.pacer
            return distributed.broadcast(pacer.steps(self.name, self.epoch) if pacer is not None else 0)
        return self.schedule.steps or max(1, images // self.schedule.batch)

    def _out_of_patience(self) -> bool:
        """True if the held-out cost has not improved for ``patience`` epochs."""
        if self.best is None or self.schedule.patience is None or self.epoch - self.best[2] < self.schedule.patience:
            return False
        self.run.log(f"{self.name}: no improvement on held-out images for {self.schedule.patience} epochs, the stage ends")
        return True

    def _batches(self, images: Tensor, count: int) -> Iterator[Tensor]:
        """Yield ``count`` batches from passes over the images. Each pass has another random order."""
        size = min(self.schedule.batch, len(images)) // distributed.process_count() * distributed.process_count()
        while True:
            order = torch.randperm(len(images))
            for start in range(0, len(images) - size + 1, size):
                yield images[order[start : start + size]].float() / 255
                count -= 1
                if not count:
                    return

    def _record(self, row: dict[str, float], start: float, steps_seconds: float) -> None:
        """Write a checkpoint, write the results of an epoch to the table and the curves, and log them."""
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
        first = self.epoch == 1
        with path.open("w" if first else "a", newline="") as table:
            writer = csv.DictWriter(table, list(row))
            if first:
                writer.writeheader()
            writer.writerow(row)
        self._board.add(row, self.epoch)
        draw([self.run.folder / f"{name}.csv" for name in self.run.stages], self.run.folder / CURVES)
        figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("epoch", "seconds"))
        self.run.log(
            f"{self.name} epoch {self.epoch} of {self.schedule.epochs}, {self._time_left(start, steps_seconds)}:  {figures}"
        )

    def _time_left(self, start: float, steps_seconds: float) -> str:
        """The remaining time: of the whole run if the schedule is paced, else of the stage."""
        if self.schedule.paced and self.run.pacer is not None:
            overhead = self.run.clock() - start - steps_seconds
            self.run.pacer.record_epoch(self.name, self.epoch - 1, steps_seconds, overhead)
            return f"about {clock_time(self.run.pacer.seconds_left(self.name, self.epoch) + self.run.finish)} left"
        left = self.seconds / self.epoch * (self.schedule.epochs - self.epoch)
        return f"about {clock_time(left)} left in this stage"


def _optimizers(
    module: nn.Module, schedule: Schedule, fast: nn.Module | None, matrices: set[nn.Parameter] | None
) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters; with a ``matrix_rate``, Muon for ``matrices``, by default the weights of convolutions."""
    trained = [p for p in module.parameters() if p.requires_grad]
    fresh = set() if fast is None else set(fast.parameters())
    if schedule.matrix_rate is None:
        matrices = set()
    elif matrices is None:
        matrices = {p for p in trained if p.ndim == 4}
    groups: list[dict[str, Any]] = []
    for parameters, share in (
        ([p for p in trained if p not in matrices | fresh], SLOW_SHARE if fresh else 1.0),
        ([p for p in trained if p in fresh], 1.0),
    ):
        if parameters:
            groups.append({"params": parameters, "full": schedule.rate * share})
    adam = torch.optim.AdamW(groups, lr=schedule.rate, betas=schedule.momentum, weight_decay=schedule.decay, fused=True)
    if schedule.matrix_rate is None:
        return [adam]
    muon = Muon([p for p in trained if p in matrices], lr=schedule.matrix_rate)
    muon.param_groups[0]["full"] = schedule.matrix_rate
    return [adam, muon]
