"""Decide the number of steps of each epoch from the remaining time and the measured pace.

Each epoch is decided when it starts, and the decision is stored in ``plan.json`` in the folder of the run. A resumed run uses
the stored decisions and makes the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistzip.errors import ModelError
from mnistzip.storage.atomic import AtomicFile

Clock = Callable[[], float]  # seconds since any fixed time


@dataclass(frozen=True)
class Share:
    """The share of one stage in the time.

    Attributes:
        weight: part of the time, relative to the other stages.
        epochs: number of epochs that its steps are divided into.
        max_steps: number of steps after which more training does not help.
    """

    weight: float
    epochs: int
    max_steps: float


@dataclass
class Plan:
    """The decisions and measurements of a run; as JSON it is ``plan.json``.

    Attributes:
        steps: number of steps of each decided epoch, by stage in the order of training.
        pace: seconds per step of each stage, measured at the start.
        settings: other decisions of the start.
        spent: seconds of training until the last finished epoch.
        slower: seconds per step in the last epoch, divided by ``pace``.
        overhead: seconds for measurements and files after the last epoch.
    """

    steps: dict[str, list[int]]
    pace: dict[str, float]
    settings: dict[str, Any]
    spent: float = 0.0
    slower: float = 1.0
    overhead: float = 0.0

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        with AtomicFile(path, sync=False) as file:
            file.write((json.dumps(vars(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path, epochs: Mapping[str, int]) -> Plan:
        """Read a plan, or a file of an earlier version: the steps per epoch of each stage.

        Raises:
            ModelError: the file is damaged.
        """
        try:
            content = json.loads(path.read_text())
            if "steps" not in content:
                return cls({name: [int(content[name])] * count for name, count in epochs.items()}, {}, {})
            plan = cls(**content)
            counts_valid = all(type(count) is int and count > 0 for counts in plan.steps.values() for count in counts)
            if not counts_valid or not set(plan.steps) <= set(epochs) or not isinstance(plan.settings, dict):
                raise ValueError("its steps are unknown")
            return plan
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            raise ModelError(f"{path} is damaged ({cause}): start again with -f") from cause


class Pacer:
    """Divides the remaining time among the stages."""

    def __init__(
        self,
        plan: Plan,
        path: Path,
        shares: Mapping[str, Share],
        seconds: float,
        clock: Clock,
        began: float | None = None,
        epochs: int | None = None,
    ) -> None:
        """Follow a plan.

        Args:
            plan: a plan with a pace for every stage that has undecided steps.
            path: file of the plan.
            shares: the stages in their order.
            seconds: time for training, including the time that an earlier process spent.
            clock: the time.
            began: time at which this process started; now if None.
            epochs: greatest number of epochs of every stage.
        """
        self.plan = plan
        self._path = path
        self._shares = shares
        self._seconds = seconds
        self._clock = clock
        self._began = clock() if began is None else began
        self._epochs = epochs
        self._before = plan.spent
        plan.write(path)

    def steps(self, stage: str, epoch: int) -> int:
        """Steps of an epoch that is about to start, counted from 0; the decision is stored."""
        decided = self.plan.steps.setdefault(stage, [])
        if epoch >= len(decided):
            seconds = self._allot(stage)[stage] / max(1, self._shares[stage].epochs - epoch)
            decided.append(max(1, int((seconds - self.plan.overhead) / self._pace(stage))))
            self.plan.write(self._path)
        return decided[epoch]

    def finished(self, stage: str, epoch: int, seconds: float, overhead: float = 0.0) -> None:
        """Report the seconds of the steps of an epoch, and of the measurements and files after it."""
        pace = seconds / self.plan.steps[stage][epoch]
        self.plan.slower = max(1e-3, pace / self.plan.pace.setdefault(stage, max(1e-6, pace)))
        self.plan.overhead = round(overhead, 3)
        self.plan.spent = round(self._spent(), 3)
        self.plan.write(self._path)

    def left(self, stage: str, epoch: int) -> float:
        """Remaining seconds of training after ``epoch`` epochs of a stage."""
        total = 0.0
        for name, seconds in self._allot(stage).items():
            decided, share = self.plan.steps.get(name, []), self._shares[name]
            last = min(share.epochs, self._epochs or share.epochs)
            counts = decided[epoch if name == stage else 0 : last]
            total += sum(counts) * self._pace(name) + len(counts) * self.plan.overhead
            total += seconds * max(0, last - len(decided)) / max(1, share.epochs - len(decided))
        return total

    def _spent(self) -> float:
        """Seconds of training so far, in all processes."""
        return self._before + self._clock() - self._began

    def _pace(self, stage: str) -> float:
        """Seconds per step: the pace at the start, times the present slowdown."""
        return max(1e-6, self.plan.pace.get(stage, 0.0) * self.plan.slower)

    def _allot(self, stage: str) -> dict[str, float]:
        """Seconds for the undecided epochs of a stage and of the stages after it."""
        names = list(self._shares)
        weights, limits = {}, {}
        for name in names[names.index(stage) :]:
            share, decided = self._shares[name], self.plan.steps.get(name, [])
            epochs = max(0, share.epochs - len(decided))
            weights[name] = share.weight * epochs / share.epochs
            limits[name] = max(0.0, share.max_steps - sum(decided)) * self._pace(name) + epochs * self.plan.overhead
        return share_out(max(0.0, self._seconds - self._spent()), weights, limits)


def share_out(total: float, weights: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Divide a total in proportion to weights, up to the limit of each; the excess goes to the others."""
    out = dict.fromkeys(weights, 0.0)
    open_names = [name for name, weight in weights.items() if weight > 0]
    while open_names:
        unit = total / sum(weights[name] for name in open_names)
        full = [name for name in open_names if limits[name] <= unit * weights[name]]
        for name in full or open_names:
            out[name] = limits[name] if full else unit * weights[name]
        if not full:
            return out
        total = max(0.0, total - sum(limits[name] for name in full))
        open_names = [name for name in open_names if name not in full]
    return out


def clock_time(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: ``1:02:03`` or ``2:03``."""
    whole = max(0, math.ceil(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
