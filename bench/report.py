"""What a benchmark is written as, beside its tables."""

from __future__ import annotations

from pathlib import Path

from mnistzip.bench.results import Results
from mnistzip.bench.run import Outcome, Run


def write_report(run: Run, outcomes: dict[str, Outcome], results: Results, out: Path) -> None:
    """Plots and report.html."""
