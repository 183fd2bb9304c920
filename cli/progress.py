"""The progress of long work on stderr: a bar on a terminal, and a line from time to time in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress, TaskID

INTERVAL = 10.0  # seconds between two lines in a log
ROUNDING = 1e-6  # steps; error of the sum of many fractions


class Progress:
    """Counts steps, and shows them on stderr: a bar on a terminal, else a line every :data:`INTERVAL` seconds.

    Steps may be fractions: ``advance(0.25)`` reports a part of a large step. The count shows whole steps only.

    Args:
        total: the number of steps; 0 if it is unknown.
        task: a word for the work, such as ``compress``.
        show: show the progress.
        counted: show the number of steps; if not, their share of the total.
        unit: of the steps, in the plural.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        total: float,
        task: str,
        show: bool = True,
        counted: bool = True,
        unit: str = "images",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._task = task
        self._counted = counted
        self._unit = unit
        self._clock = clock
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._draw = show and on_terminal
        self._write = show and not on_terminal and sys.stderr is not None
        self._done: float = 0
        self._start = self._last = 0.0  # seconds of the clock
        self._bar: RichProgress | None = None
        self._task_id: TaskID | None = None

    def __enter__(self) -> Progress:
        self._start = self._last = self._clock()
        if self._draw:
            from rich.console import Console  # slow to import
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress as RichProgress,
                TaskProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )

            done = MofNCompleteColumn() if self._counted else TaskProgressColumn()
            columns = TextColumn("{task.description}"), BarColumn(), done, TimeRemainingColumn()
            above = sys.stdout is not None and sys.stdout.isatty()  # rich would move output from stdout to stderr
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=above)
            self._bar.start()
            self._task_id = self._bar.add_task(self._task, total=self._total or None)
        return self

    def advance(self, steps: float = 1, doing: str | None = None, total: float | None = None) -> None:
        """Count steps.

        Args:
            steps: how many; may be a fraction.
            doing: shown instead of ``task``.
            total: the new number of steps, if it has changed.
        """
        self._done += steps
        if abs(self._done - round(self._done)) < ROUNDING:
            self._done = round(self._done)
        if total is not None:
            self._total = total
        if self._bar is not None and self._task_id is not None:
            self._bar.update(self._task_id, completed=self._done, description=doing or self._task, total=total)
        if self._write and self._clock() - self._last >= INTERVAL:
            self._last = self._clock()
            print(f"mnistzip: {doing or self._task}: {self._state()}", file=sys.stderr, flush=True)

    def _state(self) -> str:
        """Steps done, their total, and the estimated time for the rest."""
        known = self._total > 0
        if self._counted:
            count = int(self._done)
            parts = [f"{count:,} of {self._total:,.0f} {self._unit}" if known else f"{count:,} {self._unit}"]
        else:
            parts = [f"{min(self._done / self._total, 1):.0%}"] if known else []
        if known and 0 < self._done <= self._total:
            left = (self._last - self._start) / self._done * (self._total - self._done)
            parts.append(f"{duration(left)} left")
        return ", ".join(parts) or "at work"

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()


def duration(seconds: float) -> str:
    """Seconds as minutes and seconds, such as ``3:10``, or with hours, such as ``2:03:10``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
