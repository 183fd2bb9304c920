"""How many steps each epoch gets, decided anew before every epoch from the time that is left and the pace so far.

The decisions are kept in the run's folder. A run that goes on takes the steps that were decided, and decides the others.
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

Clock = Callable[[], float]  # seconds, from any beginning


@dataclass(frozen=True)
class Share:
    """What one stage gets.

    Attributes:
        weight: its part of the time, relative to those of the other stages.
        epochs: into which its steps are divided.
        most: steps, after which more training does not help.
    """

    weight: float
    epochs: int
    most: float


@dataclass
class Plan:
    """What a run has decided so far.

    Attributes:
        steps: of each epoch that was decided, by stage, in the order of training.
        pace: seconds of a step of each stage, as tried at the beginning.
        settings: what else was decided at the beginning.
        spent: seconds of training until the last whole epoch.
        slower: how many times as long as that a step took in the last epoch.
        overhead: seconds of the last epoch that went into measuring and writing.
    """

    steps: dict[str, list[int]]
    pace: dict[str, float]
    settings: dict[str, Any]
    spent: float = 0.0
    slower: float = 1.0
    overhead: float = 0.0

    def write(self, path: Path) -> None:
        """Keep the plan as JSON."""
        with AtomicFile(path, sync=False) as file:
            file.write((json.dumps(vars(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path, epochs: Mapping[str, int]) -> Plan:
        """The plan that :meth:`write` kept, or that of an earlier version: the steps of all epochs of each stage.

        Raises:
            ModelError: it is neither.
        """
        try:
            content = json.loads(path.read_text())
            if "steps" not in content:
                return cls({name: [int(content[name])] * count for name, count in epochs.items()}, {}, {})
            plan = cls(**content)
            known = all(type(count) is int and count > 0 for counts in plan.steps.values() for count in counts)
            if not known or not set(plan.steps) <= set(epochs) or not isinstance(plan.settings, dict):
                raise ValueError("its steps are unknown")
            return plan
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            raise ModelError(f"{path} is damaged ({cause}): train anew with -f") from cause


class Pacer:
    """Shares the time that is left among the stages."""

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
        """Go by a plan.

        Args:
            plan: which has a pace for every stage whose steps it does not give.
            path: that the plan is kept in.
            shares: of the stages that train, in their order.
            seconds: for training, with what an earlier process spent of them.
            clock: tells the time.
            began: time at which this process began to spend; now if None.
            epochs: at which every stage ends, if not before.
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
        """Steps of an epoch that is about to begin, epochs counted from 0; the decision is kept."""
        decided = self.plan.steps.setdefault(stage, [])
        if epoch >= len(decided):
            seconds = self._allot(stage)[stage] / max(1, self._shares[stage].epochs - epoch)
            decided.append(max(1, int((seconds - self.plan.overhead) / self._pace(stage))))
            self.plan.write(self._path)
        return decided[epoch]

    def finished(self, stage: str, epoch: int, seconds: float, overhead: float = 0.0) -> None:
        """Learn how long the steps of an epoch took, and how long measuring and writing after them."""
        pace = seconds / self.plan.steps[stage][epoch]
        self.plan.slower = max(1e-3, pace / self.plan.pace.setdefault(stage, max(1e-6, pace)))
        self.plan.overhead = round(overhead, 3)
        self.plan.spent = round(self._spent(), 3)
        self.plan.write(self._path)

    def left(self, stage: str, epoch: int) -> float:
        """Seconds of training that are left when so many epochs of a stage are done."""
        total = 0.0
        for name, seconds in self._allot(stage).items():
            decided, share = self.plan.steps.get(name, []), self._shares[name]
            last = min(share.epochs, self._epochs or share.epochs)
            known = decided[epoch if name == stage else 0 : last]
            total += sum(known) * self._pace(name) + len(known) * self.plan.overhead
            total += seconds * max(0, last - len(decided)) / max(1, share.epochs - len(decided))
        return total

    def _spent(self) -> float:
        return self._before + self._clock() - self._began

    def _pace(self, stage: str) -> float:
        """Seconds of a step: as it was tried, times how much slower steps are now."""
        return max(1e-6, self.plan.pace.get(stage, 0.0) * self.plan.slower)

    def _allot(self, stage: str) -> dict[str, float]:
        """Seconds for the undecided epochs of a stage and of those after it."""
        names = list(self._shares)
        weights, most = {}, {}
        for name in names[names.index(stage) :]:
            share, decided = self._shares[name], self.plan.steps.get(name, [])
            epochs = max(0, share.epochs - len(decided))
            weights[name] = share.weight * epochs / share.epochs
            most[name] = max(0.0, share.most - sum(decided)) * self._pace(name) + epochs * self.plan.overhead
        return share_out(max(0.0, self._seconds - self._spent()), weights, most)


def share_out(total: float, weights: Mapping[str, float], most: Mapping[str, float]) -> dict[str, float]:
    """Divide a total by weights so that none gets more than its most; what one cannot take goes to the others."""
    out = dict.fromkeys(weights, 0.0)
    open_names = [name for name, weight in weights.items() if weight > 0]
    while open_names:
        each = total / sum(weights[name] for name in open_names)
        full = [name for name in open_names if most[name] <= each * weights[name]]
        for name in full or open_names:
            out[name] = most[name] if full else each * weights[name]
        if not full:
            return out
        total = max(0.0, total - sum(most[name] for name in full))
        open_names = [name for name in open_names if name not in full]
    return out


def clock_time(seconds: float) -> str:
    """Hours, minutes and seconds, such as 1:02:03 or 2:03."""
    whole = max(0, math.ceil(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
