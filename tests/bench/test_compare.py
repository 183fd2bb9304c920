"""Curves, and two benchmarks held against each other."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")
from rich.console import Console

from mnistzip.bench.compare import changes
from mnistzip.bench.curves import bd_rate, bd_rates, curve_of, verdict
from mnistzip.bench.report import tables
from mnistzip.bench.report.markdown import bd_rate_table
from mnistzip.bench.report.write import _savings
from mnistzip.bench.results import Results, Row, read_results
from mnistzip.cli.main import run
from mnistzip.errors import FormatError, OptionError


def row(codec: str, setting: str, size: float, psnr: float | None, **more: Any) -> Row:
    fields = {"label": codec.upper(), "options": {}, "kind": "lossy", "ours": codec == "ours", "libraries": "", "images": 9}
    speeds = {"encode_per_second": 100.0, "decode_per_second": 1000.0}
    return Row(codec=codec, setting=setting, mean_bytes=size, psnr_db=psnr, **(fields | speeds | more))


OURS = [row("ours", f"q{i}", size, psnr) for i, (size, psnr) in enumerate([(10, 20.0), (20, 25.0), (40, 30.0), (80, 35.0)])]
THEIRS = [replace(mine, codec="theirs", label="THEIRS", ours=False, mean_bytes=2 * (mine.mean_bytes or 0)) for mine in OURS]
ABOUT = {"data": {"sha256": "0" * 64, "images": 9, "source": "digits"}}


def results(rows: list[Row]) -> Results:
    return Results(dict(ABOUT), rows, bd_rates(rows), [])


def test_half_the_bytes_at_every_quality_is_minus_fifty_percent() -> None:
    result = bd_rate(curve_of(THEIRS, "theirs"), curve_of(OURS, "ours"))
    assert result is not None
    assert result[0] == pytest.approx(-50)
    assert result[1] == (20, 35)
    assert bd_rates(OURS + THEIRS) == [{"codec": "ours", "against": "theirs", "percent": -50.0, "range_db": [20.0, 35.0]}]


def test_bd_rate_is_the_mean_of_the_log_ratio_over_the_shared_range() -> None:
    first = (np.log(np.array([10.0, 40.0])), np.array([20.0, 30.0]))
    second = (np.log(np.array([10.0, 10.0 * np.e])), np.array([25.0, 35.0]))  # straight lines
    result = bd_rate(first, second)
    assert result is not None
    middle = np.log(10) + 0.25 - (np.log(10) + 0.75 * np.log(4))
    assert result[0] == pytest.approx(100 * (np.exp(middle) - 1))


def test_curves_that_share_no_quality_have_no_bd_rate() -> None:
    low = [replace(one, codec="low", psnr_db=(one.psnr_db or 0) - 15) for one in OURS]
    assert bd_rate(curve_of(OURS, "ours"), curve_of(low, "low")) is None
    assert bd_rate(curve_of(OURS, "ours"), curve_of(OURS[:1], "ours")) is None


def peer(points: list[tuple[float, float | None]]) -> list[Row]:
    return [row("peer", f"q{i}", size, psnr) for i, (size, psnr) in enumerate(points)]


@pytest.mark.parametrize(
    ("points", "short", "sentence", "wins"),
    [
        ([(5, 40.0), (9, 50.0)], "peer wins", "PEER is smaller and better than OURS", "peer"),
        ([(30, 40.0), (90, 50.0)], "peer wins in part", "from 40.0 bytes on PEER is smaller and better than OURS", "peer"),
        ([(90, 40.0), (95, 50.0)], "apart", "OURS and PEER are apart: 20.0 to 35.0 dB and 40.0 to 50.0 dB", None),
        ([(90, 10.0), (95, 15.0)], "ours wins", "OURS is smaller and better than PEER", "ours"),
        ([(15, 10.0), (5, 8.0)], "ours wins in part", "from 15.0 bytes on OURS is smaller and better than PEER", "ours"),
        ([(5, 40.0)], "peer wins", "PEER is smaller and better than OURS", "peer"),
        ([(95, 24.0)], "ours wins", "OURS is smaller and better than PEER", "ours"),
        ([(30, 26.0)], "apart", "OURS and PEER are apart: 20.0 to 35.0 dB and 26.0 dB", None),
        ([(90, None)], "apart", "OURS and PEER are apart: 20.0 to 35.0 dB and every pixel", None),
        ([(90, 40.0), (95, None)], "apart", "OURS and PEER are apart: 20.0 to 35.0 dB and 40.0 to every pixel dB", None),
    ],
)
def test_a_codec_that_is_smaller_and_better_is_not_hidden_where_no_quality_is_shared(
    points: list[tuple[float, float | None]], short: str, sentence: str, wins: str | None
) -> None:
    every = results([*OURS, *peer(points)])
    (entry,) = every.bd_rate
    assert entry["percent"] is None
    result = verdict(every.rows, "ours", "peer")
    assert (result.short, result.sentence, result.wins) == (short, sentence, wins)
    assert tables.apart(every) == [sentence]
    saved = _savings(every)
    assert saved is not None
    assert saved["peers"] == [("PEER", [(sentence, None)])]


def test_where_a_quality_is_shared_the_rate_is_told_and_no_verdict() -> None:
    every = results([*OURS, *THEIRS])
    assert tables.apart(every) == []
    assert tables.percent(every.bd_rate[0]) == "-50.0% (20.0 to 35.0)"


def test_rates_of_many_codecs_are_all_there_and_named_in_a_narrow_terminal() -> None:
    ours = [f"ours-{number}" for number in range(7)]
    rows = [replace(one, codec=name, label=name, ours=True) for name in ours for one in OURS]
    every = results([*rows, *THEIRS])
    out = io.StringIO()
    Console(file=out, width=80).print(tables.savings(every))
    told = out.getvalue()
    assert all(told.count(name) == 1 for name in ours)
    assert told.count("THEIRS") == 3  # a table for three of ours
    assert told.count("-50.0% (20.0 to 35.0)") == 7
    assert "…" not in told


def test_the_table_of_bd_rates_names_a_peer_that_is_smaller_and_better() -> None:
    def told(points: list[tuple[float, float | None]]) -> str:
        return bd_rate_table(results([*OURS, *peer(points)]))

    assert "| against PEER | PEER is smaller and better than OURS |" in told([(5, 40.0), (9, 50.0)])
    assert "| against PEER | no dB shared |" in told([(90, 40.0), (95, 50.0)])


def test_points_that_others_beat_are_no_part_of_a_curve() -> None:
    rows = [*OURS, row("ours", "bad", 50, 24.0), row("ours", "same", 20, 25.0), row("ours", "lost", 5, None)]
    for saved, point in zip(curve_of(rows, "ours"), curve_of(OURS, "ours"), strict=True):
        assert saved.tolist() == point.tolist()


def test_what_got_worse_is_named() -> None:
    new = [
        replace(OURS[0], mean_bytes=10.3),
        replace(OURS[1], psnr_db=24.9),
        replace(OURS[2], mean_bytes=40.2, psnr_db=29.99, encode_per_second=20.0),
    ]
    result = {change.old.setting: change for change in changes(results(OURS), results(new), 1.0) if change.old}
    assert result["q0"].worse == ["size +3.0%"]
    assert result["q1"].worse == ["squared error +2.3%"]
    assert not result["q2"].worse
    assert result["q3"].worse == ["no longer measured"]
    slow = {change.old.setting: change for change in changes(results(OURS), results(new), 1.0, 50.0) if change.old}
    assert slow["q2"].worse == ["encoding time +400.0%"]
    assert not changes(results(OURS[:1]), results(new[:1]), 5.0)[0].worse


def test_errors_and_losses_count_as_worse_and_new_rows_do_not() -> None:
    keeps = row("png", "", 100, None, kind="lossless")
    failed = replace(keeps, mean_bytes=None, error="broken")
    assert changes(results([keeps]), results([failed]), 1.0)[0].worse == ["no longer measured"]
    assert not changes(results([failed]), results([keeps]), 1.0)[0].worse
    assert not changes(results([]), results([keeps]), 1.0)[0].worse
    assert changes(results([keeps]), results([replace(keeps, psnr_db=40.0)]), 1.0)[0].worse == ["squared error +inf%"]


def test_benchmarks_of_other_images_are_not_compared() -> None:
    other = Results({"data": {**ABOUT["data"], "sha256": "1" * 64}}, OURS, [], [])
    with pytest.raises(OptionError, match="of different images"):
        changes(results(OURS), other, 1.0)


def write(path: Path, rows: list[Row]) -> str:
    path.write_text(results(rows).to_json())
    return str(path)


def test_the_command_fails_on_a_regression_and_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path / "old.json", OURS + THEIRS)
    new = write(tmp_path / "new.json", [replace(OURS[0], mean_bytes=11.0), *OURS[1:], *THEIRS])
    assert run(["bench", "--compare", old, old]) == 0
    assert run(["bench", "--compare", old, new]) == 1
    shown = capsys.readouterr()
    assert "10.0 > 11.0" in shown.out
    assert "size +10.0%" in shown.out
    assert "1 of 8 settings got worse by more than 1%" in shown.err
    assert run(["bench", "--compare", old, new, "--max-regression", "10.1"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "rows": [{"x": 1}]}', '{"schema": 99}'])
def test_what_is_no_results_file_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"results\.json"):
        read_results(path)
    assert run(["bench", "--compare", str(path), str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(results(OURS + THEIRS).to_json())
    assert read_results(path) == results(OURS + THEIRS)
    assert json.loads(path.read_text())["schema"] == 1
