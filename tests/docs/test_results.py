"""The figures in the README are those of the results file, and those are of the models that ship."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mnistzip.bench.results import Row, read_results
from mnistzip.bench.update_readme import MARKED, main, section
from mnistzip.models.registry import SHIPPED, shipped
from support.paths import ROOT

FILE = ROOT / "bench" / "results" / "results.json"
RESULTS = read_results(FILE)
ROWS = {row.key: row for row in RESULTS.rows}


def test_results_are_of_all_test_digits_and_of_the_models_that_ship() -> None:
    assert RESULTS.about["data"]["images"] == 10_000
    measured = set(SHIPPED) - {"glyph"}  # which is not for digits: its card tells what it gives
    assert RESULTS.about["models"] == {name: shipped(name).fingerprint.hex() for name in measured}


def test_the_tables_of_the_readme_are_the_results_file() -> None:
    text = (ROOT / "README.md").read_text()
    found = MARKED.search(text)
    assert found is not None
    assert found[0] == section(RESULTS)


def test_the_script_writes_between_the_markers_and_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    assert main([str(FILE), str(page)]) == 0
    assert page.read_text() == f"before\n<!-- results -->\n{section(RESULTS)}<!-- /results -->\nafter\n"
    page.write_text("no markers")
    assert main([str(FILE), str(page)]) == 1
    assert "has no lines" in capsys.readouterr().err
    assert page.read_text() == "no markers"


def known(value: float | None) -> float:
    assert value is not None
    return value


@pytest.mark.parametrize("key", ["mnist@q50", "mnist-e0@q50"])
def test_the_default_quality_keeps_what_the_readme_promises(key: str) -> None:
    row = ROWS[key]
    assert known(row.mean_bytes) <= 26
    assert known(row.psnr_db) >= 27
    assert known(row.header_bytes) <= 4


def test_check_and_coder_cost_what_the_readme_says() -> None:
    row: Row = ROWS["mnist-e0@q50"]
    extra = known(row.mean_bytes) - known(row.header_bytes) - known(row.ideal_bytes)
    assert extra <= 3.6
    assert f"check and coder cost {extra:.1f} more" in (ROOT / "README.md").read_text()


def test_no_codec_failed() -> None:
    assert [row.key for row in RESULTS.rows if row.error] == []


def test_the_table_of_small_pictures_is_that_of_its_results() -> None:
    namespace = runpy.run_path(str(ROOT / "benchmarks" / "small_pictures.py"))
    results = json.loads((ROOT / "docs" / "small-pictures.json").read_text())
    assert namespace["table"](results) in (ROOT / "docs" / "small-pictures.md").read_text()
