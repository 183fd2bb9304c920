"""The figures in the README are those of the results files, and those are of the models that ship."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mnistzip.model import shipped

ROOT = Path(__file__).parent.parent
RESULTS = {name: json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text()) for name in ("mnist", "classic")}
ROW = re.compile(r"^\| `(mnist|classic)` \| (\d+) \| (\d) \| ([\d.]+) B \| ([\d.]+) dB \|", re.MULTILINE)


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_of_the_models_that_ship_and_of_all_test_digits(name: str) -> None:
    assert RESULTS[name]["fingerprint"] == shipped(name).fingerprint.hex()
    assert RESULTS[name]["images"] == 10_000


def test_the_table_of_the_readme_is_the_results_file() -> None:
    told = ROW.findall((ROOT / "README.md").read_text())
    assert len(told) >= 5
    for name, quality, effort, size, psnr in told:
        rows = [row for row in RESULTS[name]["rows"] if (row.get("quality"), row.get("effort")) == (int(quality), int(effort))]
        assert len(rows) == 1
        assert size == f"{rows[0]['mean_bytes']:.1f}"
        assert psnr == f"{rows[0]['psnr_db']:.2f}"


def test_the_default_quality_keeps_what_the_readme_promises() -> None:
    for effort in (0, 3):
        row = next(row for row in RESULTS["mnist"]["rows"] if (row.get("quality"), row.get("effort")) == (50, effort))
        assert row["mean_bytes"] <= 26
        assert row["psnr_db"] >= 27
        assert row["header_bytes"] <= 4
        assert effort or row["coder_bytes"] <= 3.6
