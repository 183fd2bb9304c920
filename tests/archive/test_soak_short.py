"""Minutes of threads and faults lose nothing; ``python tools/soak.py`` takes an hour."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import mnistzip
import soak

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]


def report_of(folder: Path) -> Any:
    return json.loads((folder / "soak.json").read_text())


def test_threads_among_faults_get_the_expected_bytes_and_leave_nothing_open(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    soak.soak(0.2, 4, 7, tmp_path, every=0.5)
    report = report_of(tmp_path)
    assert [failure for failure in report["failures"] if not failure.startswith("memory grows")] == []  # too short for that
    assert sum(report["tasks"].values()) >= 4
    rows = list(csv.DictReader((tmp_path / "samples.csv").read_text().splitlines()))
    assert len(rows) > 5
    assert all(float(row["resident_mb"]) > 10 for row in rows)
    assert (tmp_path / "memory.png").stat().st_size > 10_000


@pytest.mark.parametrize("kind", [*soak.WEIGHTS], ids=lambda kind: kind.__name__)
def test_each_kind_of_work_and_of_fault_is_survived(kind: Any, tmp_path: Path) -> None:
    worker = soak.Worker(soak.expectations(3), tmp_path / "0", None, seed=5)
    for _ in range(3):
        kind(worker)
    assert worker.unnoticed == 0
    assert (worker.damaged > 0) == (kind in {soak.Worker.damage, soak.Worker.cut_file})


@pytest.mark.parametrize("kind", ["wrong", "unexpected"])
def test_a_wrong_result_and_an_unexpected_exception_end_a_soak(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    decode_many = mnistzip.decode_many

    def wrong(files: list[bytes], **options: Any) -> list[Any]:
        if kind == "unexpected":
            raise KeyError("x")
        return [image ^ 1 for image in decode_many(files, **options)]

    expected = soak.expectations(16)
    monkeypatch.setattr(soak, "expectations", lambda _: expected)
    monkeypatch.setattr(mnistzip, "decode_many", wrong)
    assert soak.soak(1, 2, 1, tmp_path, every=0.2) == 1
    (failure, *_) = report_of(tmp_path)["failures"]
    assert failure.startswith("decode: ")
    assert ("WrongResultError" if kind == "wrong" else "KeyError: 'x'") in failure


def test_memory_that_grows_is_measured_from_the_end_of_the_warm_up() -> None:
    def samples(end: float) -> list[soak.Sample]:
        return [soak.Sample(k, 10.0 if k < 40 else 100.0 if k < 90 else end, 5, 5, k) for k in range(101)]

    assert soak.growth(samples(100)) == 0
    assert soak.growth(samples(120)) == pytest.approx(0.2)
    assert soak.growth(samples(120)) > soak.GROWTH_MAX > soak.growth(samples(105))
