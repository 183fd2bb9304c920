"""Decide the number of steps of each epoch from the remaining time and the measured seconds per step.

A plan in the run's folder stores each decision before its epoch begins. A resumed run follows the stored decisions and makes
the others itself.
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

Clock = Callable[[], float]  # seconds since an arbitrary time


@dataclass(frozen=True)
class Share:
    """The share of the time that one stage gets.

    Attributes:
        weight: relative to the weights of the other stages.
        epochs: number of epochs that the steps are divided into.
        max_steps: limit after which more training does not help.
    """

    weight: float
    epochs: int
    max_steps: float


@dataclass
class Plan:
    """The decisions of a run; the attributes are the fields of its JSON file.

    Attributes:
        steps: of each planned epoch, by stage, in the order of training.
        pace: seconds per step of each stage, measured before training.
        settings: other decisions made before training.
        spent: seconds of training until the end of the last complete epoch.
        slower: seconds per step in the last epoch, divided by ``pace``.
        overhead: seconds for measuring and writing in the last epoch.
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
        """Read a plan that :meth:`write` or an earlier version wrote. The latter contains one number of steps per stage.

        Raises:
            ModelError: the file is damaged.
        """
        try:
            content = json.loads(path.read_text())
            if "steps" not in content:
                return cls({name: [int(content[name])] * count for name, count in epochs.items()}, {}, {})
            plan = cls(**content)
            valid = all(type(count) is int and count > 0 for counts in plan.steps.values() for count in counts)
            if not valid or not set(plan.steps) <= set(epochs) or not isinstance(plan.settings, dict):
                raise ValueError("its steps are not valid")
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
        start: float | None = None,
        epochs: int | None = None,
    ) -> None:
        """Follow and extend a plan.

        Args:
            plan: contains the pace of each stage whose steps it does not contain.
            path: of the plan's file.
            shares: of the stages, in the order of training.
            seconds: for training, including those that an earlier process spent.
            clock: returns the time in seconds.
            start: time from which this process counts its seconds; now if None.
            epochs: after which each stage ends, if the stage has more.
        """
        self.plan = plan
        self._path = path
        self._shares = shares
        self._seconds = seconds
        self._clock = clock
        self._start = clock() if start is None else start
        self._epochs = epochs
        self._spent_before = plan.spent
        plan.write(path)

    def steps(self, stage: str, epoch: int) -> int:
        """Decide the steps of the next epoch, counted from 0, and store the decision in the plan."""
        planned = self.plan.steps.setdefault(stage, [])
        if epoch >= len(planned):
            seconds = self._allocate(stage)[stage] / max(1, self._shares[stage].epochs - epoch)
            planned.append(max(1, int((seconds - self.plan.overhead) / self._pace(stage))))
            self.plan.write(self._path)
        return planned[epoch]

    def record_epoch(self, stage: str, epoch: int, seconds: float, overhead: float = 0.0) -> None:
        """Record the seconds of the steps of an epoch, and of measuring and writing after them."""
        pace = seconds / self.plan.steps[stage][epoch]
        self.plan.slower = max(1e-3, pace / self.plan.pace.setdefault(stage, max(1e-6, pace)))
        self.plan.overhead = round(overhead, 3)
        self.plan.spent = round(self._spent(), 3)
        self.plan.write(self._path)

    def seconds_left(self, stage: str, epoch: int) -> float:
        """Remaining seconds of training after ``epoch`` epochs of a stage."""
        total = 0.0
        for name, seconds in self._allocate(stage).items():
            planned, share = self.plan.steps.get(name, []), self._shares[name]
            last = min(share.epochs, self._epochs or share.epochs)
            steps = planned[epoch if name == stage else 0 : last]
            total += sum(steps) * self._pace(name) + len(steps) * self.plan.overhead
            total += seconds * max(0, last - len(planned)) / max(1, share.epochs - len(planned))
        return total

    def _spent(self) -> float:
        return self._spent_before + self._clock() - self._start

    def _pace(self, stage: str) -> float:
        """Seconds per step: the measured pace, scaled by the slowdown of the last epoch."""
        return max(1e-6, self.plan.pace.get(stage, 0.0) * self.plan.slower)

    def _allocate(self, stage: str) -> dict[str, float]:
        """Seconds for the epochs without a decision, of a stage and of the stages after it."""
        names = list(self._shares)
        weights, limits = {}, {}
        for name in names[names.index(stage) :]:
            share, planned = self._shares[name], self.plan.steps.get(name, [])
            epochs = max(0, share.epochs - len(planned))
            weights[name] = share.weight * epochs / share.epochs
            limits[name] = max(0.0, share.max_steps - sum(planned)) * self._pace(name) + epochs * self.plan.overhead
        return share_out(max(0.0, self._seconds - self._spent()), weights, limits)


def share_out(total: float, weights: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Divide a total in proportion to weights, none above its limit. The others share the excess over a limit."""
    amounts = dict.fromkeys(weights, 0.0)
    open_names = [name for name, weight in weights.items() if weight > 0]
    while open_names:
        unit = total / sum(weights[name] for name in open_names)
        full = [name for name in open_names if limits[name] <= unit * weights[name]]
        for name in full or open_names:
            amounts[name] = limits[name] if full else unit * weights[name]
        if not full:
            return amounts
        total = max(0.0, total - sum(limits[name] for name in full))
        open_names = [name for name in open_names if name not in full]
    return amounts


def clock_time(seconds: float) -> str:
    """Hours, minutes and seconds, such as 1:02:03 or 2:03."""
    whole = max(0, math.ceil(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
