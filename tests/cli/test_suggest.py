"""A command line that begins with no command gets the nearest one that does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mnistzip
from mnistzip.cli.main import run


def says(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err.rstrip().splitlines()[-1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digit_png: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    file = mnistzip.encode(np.zeros((28, 28), np.uint8), effort=0)
    (tmp_path / "digit.cae").write_bytes(file)
    (tmp_path / "without-suffix").write_bytes(file)
    (tmp_path / "a file.png").write_bytes(digit_png.read_bytes())
    (tmp_path / "scans").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["digit.png"], "mnistzip compress digit.png"),
        (["digit.png", "-q", "30", "-o", "x.cae"], "mnistzip compress digit.png -q 30 -o x.cae"),
        (["a file.png"], "mnistzip compress 'a file.png'"),
        (["digit.cae"], "mnistzip decompress digit.cae"),
        (["without-suffix"], "mnistzip decompress without-suffix"),
        (["s3://bucket/digit.cae", "-o", "x.png"], "mnistzip decompress s3://bucket/digit.cae -o x.png"),
        (["s3://bucket/digit.png"], "mnistzip compress s3://bucket/digit.png"),
        (["scans"], "mnistzip compress -r scans"),
        (["-q", "30", "digit.png"], "mnistzip compress -q 30 digit.png"),
        (["-q", "30", "compress", "digit.png"], "mnistzip compress -q 30 digit.png"),
        (["-f", "digit.cae"], "mnistzip decompress -f digit.cae"),
    ],
)
def test_a_file_without_a_command_gets_the_command_that_takes_it(
    words: list[str], meant: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    assert says(capsys, *words).endswith(f"Did you mean: {meant}")
    assert sorted(here.rglob("*")) == before


def test_a_file_name_cannot_steer_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "\x1b[2Jx.png").write_bytes(b"x")
    assert says(capsys, "\x1b[2Jx.png").endswith("Did you mean: mnistzip compress '\\x1b[2Jx.png'")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("compres", "compress"),
        ("comprss", "compress"),
        ("Compress", "compress"),
        ("decompres", "decompress"),
        ("dec", "decompress"),
        ("tset", "test"),
        ("model", "models"),
        ("extract", "decompress"),
        ("veiw", "show"),
        ("benchmark", "bench"),
        ("verify", "test"),
    ],
)
def test_a_typo_or_another_word_gets_the_command(word: str, meant: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert says(capsys, word, "x.png") == f"Error: No such command {word!r}. Did you mean: mnistzip {meant} x.png"


@pytest.mark.parametrize("word", ["nonsense", "gone.png", "", "x"])
def test_a_word_that_is_like_no_command_gets_no_wrong_advice(word: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert says(capsys, word) == f"Error: No such command {word!r}."


def test_an_unknown_option_stays_an_unknown_option(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--nonsense" in says(capsys, "--nonsense")
    assert "Did you mean" not in says(capsys, "--nonsense")
    assert "--versoin" in says(capsys, "--versoin")
    assert "--lossles" in says(capsys, "compress", "--lossles", "digit.png")


def test_no_arguments_print_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Compress and decompress:" in shown.err
