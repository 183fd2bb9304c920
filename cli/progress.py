"""How far long work has come: a bar where stderr is a terminal, and now and then a line where it is a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress, TaskID

INTERVAL = 10.0  # seconds between two lines of a log; shorter work writes none
ROUNDING = 1e-6  # steps: the sum of many fractions may miss a whole number by this


class Progress:
    """Counts steps, and shows them on stderr if ``show`` is set: a bar on a terminal, else a line every :data:`INTERVAL`.

    Steps may be fractions: of work that comes in large steps, report the parts of a step as they are done, such as
    ``advance(0.25)`` four times instead of ``advance(1)`` once. Only whole steps are shown as a count.

    Args:
        total: how many steps there are; 0 if that is not known.
        what: what is being done, such as ``compress``.
        show: whether to show anything.
        counted: whether steps are things to be counted; if not, their share of the whole is shown.
        unit: what one step is, in the plural.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        total: float,
        what: str,
        show: bool = True,
        counted: bool = True,
        unit: str = "images",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._what = what
        self._counted = counted
        self._unit = unit
        self._clock = clock
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._draw = show and on_terminal
        self._write = show and not on_terminal and sys.stderr is not None
        self._done: float = 0
        self._start = self._last = 0.0  # seconds of the clock
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        self._start = self._last = self._clock()
        if self._draw:
            from rich.console import Console  # imported here: it costs a quarter of a cold start
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
            above = sys.stdout is not None and sys.stdout.isatty()  # else what goes to stdout stays there
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=above)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total or None)
        return self

    def advance(self, steps: float = 1, doing: str | None = None, total: float | None = None) -> None:
        """Count steps that are done, or parts of a step.

        Args:
            steps: how many; may be a fraction.
            doing: what is shown in the place of ``what``.
            total: how many steps there are, if that has changed.
        """
        self._done += steps
        if abs(self._done - round(self._done)) < ROUNDING:
            self._done = round(self._done)
        if total is not None:
            self._total = total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description=doing or self._what, total=total)
        if self._write and self._clock() - self._last >= INTERVAL:
            self._last = self._clock()
            print(f"mnistzip: {doing or self._what}: {self._state()}", file=sys.stderr, flush=True)

    def _state(self) -> str:
        """How much is done, of how much, and how long the rest will take at the pace so far."""
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
    """Minutes and seconds such as ``3:10``, or with hours ``2:03:10``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
