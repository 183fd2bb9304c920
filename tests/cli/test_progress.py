"""Who waits for long work sees that it goes on, on a terminal and in a log; nobody else sees anything."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnistzip.cli import progress
from mnistzip.cli.main import run
from mnistzip.cli.progress import INTERVAL, Progress, duration
from support.paths import DIGITS


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def log(capsys: pytest.CaptureFixture[str]) -> list[str]:
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err.splitlines()


def test_a_log_gets_a_line_every_some_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(60_000, "compress", clock=clock) as bar:
        for _ in range(60):
            clock.now += 4
            bar.advance(1000)
    lines = log(capsys)
    assert lines[0] == "mnistzip: compress: 3,000 of 60,000 images, 3:48 left"
    assert lines[-1] == "mnistzip: compress: 60,000 of 60,000 images, 0:00 left"
    assert len(lines) == 240 // 12


def test_short_work_leaves_a_log_alone(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(10, "test", clock=clock) as bar:
        for _ in range(10):
            clock.now += (INTERVAL - 0.1) / 10
            bar.advance()
    assert log(capsys) == []


def test_work_that_nobody_wants_to_see_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(10, "test", show=False, clock=clock) as bar:
        clock.now += 1000
        bar.advance()
    assert log(capsys) == []


@pytest.mark.parametrize(
    ("total", "counted", "steps", "shown"),
    [
        (0, True, 1234, "1,234 images"),
        (4, True, 1, "1 of 4 images, 1:00 left"),
        (4, True, 0.5, "0 of 4 images, 2:20 left"),
        (4, True, 2.5, "2 of 4 images, 0:12 left"),
        (4, True, 5, "5 of 4 images"),
        (8.0, False, 2.0, "25%, 1:00 left"),
        (8.0, False, 9.0, "100%"),
        (0, False, 1, "at work"),
        (4, True, 0, "0 of 4 images"),
    ],
)
def test_a_line_says_what_is_known(
    total: float, counted: bool, steps: float, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    with Progress(total, "work", counted=counted, clock=clock) as bar:
        clock.now += 20
        bar.advance(steps)
    assert log(capsys) == [f"mnistzip: work: {shown}"]


def test_fractions_add_up_to_whole_steps(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(3, "work", clock=clock) as bar:
        for _ in range(30):
            bar.advance(0.1)
        clock.now += 20
        bar.advance(0)
    assert log(capsys) == ["mnistzip: work: 3 of 3 images, 0:00 left"]


def test_what_is_done_and_how_much_there_is_can_change(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(0, "compress", unit="shards", clock=clock) as bar:
        clock.now += 20
        bar.advance(2, "reading", total=4)
    assert log(capsys) == ["mnistzip: reading: 2 of 4 shards, 0:20 left"]


def test_a_clock_that_stands_still_breaks_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    with Progress(2, "work", clock=Clock()) as bar:
        bar.advance()
    assert log(capsys) == ["mnistzip: work: 1 of 2 images, 0:00 left"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (190, "3:10"), (3599.7, "1:00:00"), (7390, "2:03:10")]
)
def test_durations_are_read_as_on_a_watch(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_moves_within_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress(2, "work") as bar:
        bar.advance(0.25)
        assert bar._bar is not None
        assert bar._bar.tasks[0].completed == 0.25
        for _ in range(17):
            bar.advance(0.1)
        bar.advance(0.05)
        assert bar._bar.tasks[0].completed == 2
        assert bar._bar.finished


def test_an_unknown_total_is_no_total_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress(0, "work") as bar:
        bar.advance(5)
        assert bar._bar is not None
        assert bar._bar.tasks[0].total is None
        bar.advance(5, total=20)
        assert bar._bar.tasks[0].percentage == 50


def test_a_report_reaches_its_file_while_a_bar_is_drawn(digit_png: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    second = tmp_path / "second.png"
    second.write_bytes(digit_png.read_bytes())
    master, slave = pty.openpty()
    with (tmp_path / "report.jsonl").open("wb") as report:
        command = [sys.executable, "-m", "mnistzip", "compress", "--json", str(digit_png), str(second)]
        process = subprocess.Popen(command, stdout=report, stderr=slave, env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        drawn = b""
        try:
            while part := os.read(master, 1 << 16):
                drawn += part
        except OSError:  # how the end of a terminal shows on Linux
            pass
        assert process.wait() == 0
    os.close(master)
    rows = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [row["input"] for row in rows] == [str(digit_png), str(second)]
    assert b"compress" in drawn
    assert b"png_bytes" not in drawn


@pytest.mark.parametrize("quiet", [True, False])
def test_long_commands_write_a_log_unless_they_are_to_be_quiet(
    quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    source = DIGITS
    more = ["--quiet"] if quiet else []
    packed, back = tmp_path / "x.cae", tmp_path / "back"
    for words in (
        ["compress", str(source), "-o", str(packed)],
        ["test", str(packed)],
        ["decompress", str(packed), "-o", str(back), "--to", "npy"],
    ):
        assert run([*words, *more]) == 0
        written = capsys.readouterr().err
        assert (f"mnistzip: {words[0]}: 64 of 64 images" in written) is not quiet
        assert quiet <= (written == "")
