"""The table of floors in CONTRIBUTING.md is the import contract."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TOOL = runpy.run_path(str(ROOT / "tools" / "floors.py"))


def test_the_floors_in_contributing_are_those_of_the_import_contract() -> None:
    assert TOOL["page_with"](PAGE, TOOL["table"]()) == PAGE, "run: python tools/floors.py --write"


def test_a_room_that_moves_to_another_floor_changes_the_table(tmp_path: Path) -> None:
    (tmp_path / "src" / "low").mkdir(parents=True)
    (tmp_path / "src" / "low" / "__init__.py").write_text('"""Low ``a|b``: see :mod:`x.y`.\n\nMore."""\n')
    (tmp_path / "src" / "high.py").write_text('"""High. And more."""\n')
    contract = '[tool.setuptools.package-dir]\np = "src"\n[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = {}\n'
    rows = {"high": "`p.high` | `src/high.py` | High |", "low": "`p.low` | `src/low/` | Low `a\\|b`: see `x.y` |"}
    for layers, numbers in ((["p.high", "p.low"], (2, 1)), (["p.low", "p.high"], (1, 2)), (["p.high | p.low"], (1, 1))):
        (tmp_path / "pyproject.toml").write_text(contract.format(layers))
        table = TOOL["table"](tmp_path).splitlines()[2:]
        assert sorted(table) == sorted(f"| {n} | {row}" for n, row in zip(numbers, rows.values(), strict=True))


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(SystemExit, match="markers"):
        TOOL["page_with"]("# No markers\n", "table")
