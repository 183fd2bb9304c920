"""A progress bar on stderr for work that takes a while; nothing where nobody looks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress:
    """Counts steps; draws with rich if stderr is a terminal and ``show`` is set.

    Where steps are not things to be ``counted``, their share of the whole is shown.
    """

    def __init__(self, total: float, what: str, show: bool = True, counted: bool = True) -> None:
        self._counted = counted
        self._total = total
        self._what = what
        self._show = show and sys.stderr is not None and sys.stderr.isatty()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        if self._show:
            from rich.console import Console  # imported here: it costs a quarter of a cold start
            from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            done = MofNCompleteColumn() if self._counted else TaskProgressColumn()
            columns = TextColumn("{task.description}"), BarColumn(), done, TimeRemainingColumn()
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total)
        return self

    def advance(self, steps: float = 1, doing: str | None = None, total: float | None = None) -> None:
        """So many steps done; ``doing`` replaces what the bar says, ``total`` how many steps there are."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=steps, description=doing or self._what, total=total)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
