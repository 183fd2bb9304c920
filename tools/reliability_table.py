"""Tables of the checks on docs/reliability.md: printed row by row, and kept in ``docs/reliability.json`` with ``--record``.

After that, ``python -m mnistzip.bench.update_readme`` writes the page.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "reliability.json"


class Table:
    """A Markdown table of one check.

    Args:
        check: its name in the file.
        columns: headings.
    """

    def __init__(self, check: str, *columns: str) -> None:
        self.check, self.columns = check, columns
        self.rows: list[list[str]] = []
        self.date = datetime.date.today().isoformat()
        script, *words = sys.argv
        self.command = shlex.join(
            ["python", _in_checkout(script), *(_in_checkout(word) for word in words if word != "--record")]
        )
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)

    def add(self, *cells: object) -> Self:
        """Print a row."""
        self.rows.append([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells])
        print(f"| {' | '.join(self.rows[-1])} |", flush=True)
        return self

    def complete(self, file: Path = FIGURES, named_by: int = 1) -> Self:
        """Take rows that did not run again from an earlier run. Date and command are then those of the earlier run.

        Args:
            named_by: cells at the beginning of a row that say which one it is.
        """
        kept = json.loads(file.read_text())[self.check]
        own = {tuple(row[:named_by]): row for row in self.rows}
        self.rows = [own.pop(tuple(row[:named_by]), row) for row in kept["rows"]] + list(own.values())
        self.date, self.command = min(self.date, kept["date"]), kept["command"]
        return self

    def keep(self, result: str, file: Path = FIGURES) -> None:
        """Keep the table, its date, the command, and the result in one sentence, in place of an earlier run."""
        kept = json.loads(file.read_text()) if file.exists() else {}
        kept[self.check] = {
            "date": self.date,
            "command": self.command,
            "result": result,
            "columns": list(self.columns),
            "rows": self.rows,
        }
        file.write_text(json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False) + "\n")


def _in_checkout(word: str) -> str:
    """A word of a command without folders outside the checkout."""
    path = Path(word)
    if not path.is_absolute():
        return word
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def record_option(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--record``."""
    parser.add_argument("--record", action="store_true", help="keep the table in docs/reliability.json")
