"""The figures in the README and in docs/ are those of the files of results, and those are of the models that ship."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest

from mnistzip.bench.figures import PARTS, read_sources
from mnistzip.bench.results import Row, read_results
from mnistzip.bench.update_readme import FIGURES, main, updated
from mnistzip.models.registry import SHIPPED, shipped
from support.paths import ROOT

FILE = ROOT / "bench" / "results" / "results.json"
RESULTS = read_results(FILE)
ROWS = {row.key: row for row in RESULTS.rows}


def test_results_are_of_all_test_digits_and_of_the_models_that_ship() -> None:
    assert RESULTS.about["data"]["images"] == 10_000
    measured = RESULTS.about["models"]
    assert measured == {name: shipped(name).fingerprint.hex() for name in SHIPPED if name in measured}
    assert {"mnist", "mnist-fast", "glyph", "classic"} <= measured.keys()


@pytest.mark.parametrize("page", FIGURES)
def test_the_figures_of_a_page_are_those_of_the_results(page: str) -> None:
    text = (ROOT / page).read_text()
    assert updated(text, FIGURES[page], read_sources(ROOT)) == text, "run python -m mnistzip.bench.update_readme"


def test_every_marker_of_a_page_has_its_figures() -> None:
    by_others = {
        "README.md": {"tests"},
        "docs/small-pictures.md": {"results", "curves", "archives"},
        "docs/notebooks/README.md": {"uses"},
    }
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        page = path.relative_to(ROOT).as_posix()
        result = set(re.findall(r"<!-- /?([\w-]+) -->", path.read_text()))
        assert result == {*FIGURES.get(page, ())} | by_others.get(page, set()), page


def test_the_script_writes_between_the_markers_and_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = {page: (ROOT / page).read_text() for page in FIGURES}
    for name in (
        "bench/results/results.json",
        *(f"docs/{stem}.json" for stem in PARTS),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for page, text in pages.items():
        old = re.sub(rf"(?=<!-- /({'|'.join(FIGURES[page])}) -->)", "old", text)
        assert old != text
        (tmp_path / page).write_text(old)
    assert main([str(tmp_path)]) == 0
    assert {page: (tmp_path / page).read_text() for page in pages} == pages
    (tmp_path / "README.md").write_text("no markers")
    assert main([str(tmp_path)]) == 1
    assert "README.md needs <!-- " in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "no markers"


def known(value: float | None) -> float:
    assert value is not None
    return value


@pytest.mark.parametrize("key", ["mnist@q50", "mnist-e0@q50"])
def test_the_default_quality_keeps_what_the_readme_promises(key: str) -> None:
    row = ROWS[key]
    assert known(row.mean_bytes) <= 26
    assert known(row.psnr_db) >= 27
    assert known(row.header_bytes) <= 4


def test_check_and_coder_cost_what_the_page_on_archives_says() -> None:
    row: Row = ROWS["mnist-e0@q50"]
    extra = known(row.mean_bytes) - known(row.header_bytes) - known(row.ideal_bytes)
    assert extra <= 3.6
    assert f"{extra:.1f} bytes for checksum and entropy coder" in (ROOT / "docs" / "archives.md").read_text()


def test_no_codec_failed() -> None:
    assert [row.key for row in RESULTS.rows if row.error] == []


def test_the_table_of_curves_is_that_of_its_results() -> None:
    pytest.importorskip("imagecodecs")
    namespace = runpy.run_path(str(ROOT / "benchmarks" / "picture_curves.py"))
    results = json.loads((ROOT / "docs" / "picture-curves.json").read_text())
    assert namespace["table"](results) in (ROOT / "docs" / "small-pictures.md").read_text()


def test_the_table_of_archives_is_that_of_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagecodecs")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    namespace = runpy.run_path(str(ROOT / "benchmarks" / "picture_archives.py"))
    results = json.loads((ROOT / "docs" / "picture-archives.json").read_text())
    assert namespace["table"](results) in (ROOT / "docs" / "small-pictures.md").read_text()


def test_the_table_of_small_pictures_is_that_of_its_results() -> None:
    namespace = runpy.run_path(str(ROOT / "benchmarks" / "small_pictures.py"))
    results = json.loads((ROOT / "docs" / "small-pictures.json").read_text())
    assert namespace["table"](results) in (ROOT / "docs" / "small-pictures.md").read_text()
