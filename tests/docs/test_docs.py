"""What the documents say is what the program does."""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

import mnistzip
from mnistzip.bitstream import container
from mnistzip.cli import desktop
from mnistzip.cli.main import COMMANDS, cli, run
from mnistzip.errors import MnistzipError
from mnistzip.idx import idx_header
from support.paths import ROOT

README = (ROOT / "README.md").read_text()
DESKTOP = (ROOT / "docs" / "desktop.md").read_text()
FORMAT = (ROOT / "FORMAT.md").read_text()


def test_every_command_is_in_the_readme() -> None:
    for name in COMMANDS:
        page = DESKTOP if name in {"integrate", "help", "thumbnail"} else README
        assert f"mnistzip {name}" in page, name


def test_the_page_on_desktops_names_every_file_and_its_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for block in re.findall(r"```sh\n(.*?)```", DESKTOP, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "mnistzip"
            assert run(words[1:]) == 0, line
    with click.Context(cli):
        for kind in desktop.KINDS:
            assert f"| `{kind}` |" in DESKTOP
            for path in desktop.contents(kind, cli):
                assert path in DESKTOP or path.startswith("man/man1/mnistzip-"), path


def test_the_python_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(example[1].replace('"digit.cae"', repr(str(tmp_path / "digit.cae"))), names)
    assert (tmp_path / "digit.cae").stat().st_size < 40
    assert isinstance(names["back"], np.ndarray)


def test_the_worked_example_of_the_format_is_a_file_that_decodes() -> None:
    hexes = re.search(r"```hex\n(.*?)```", FORMAT, re.DOTALL)
    assert hexes is not None
    data = bytes.fromhex(hexes[1])
    assert data == (ROOT / "tests" / "vectors" / "valid" / "mnist-q50.cae").read_bytes()
    header, payload = container.parse(data)
    told = re.search(r"(\d+) bytes: header (\d+), payload (\d+)", FORMAT)
    assert told is not None
    assert [int(number) for number in told.groups()] == [len(data), len(data) - len(payload), len(payload)]
    assert header.quality == 50
    assert mnistzip.decode(data).shape == (28, 28)


def test_the_archive_that_the_format_goes_through_is_one() -> None:
    lines = re.search(r"```archive\n(.*?)```", FORMAT, re.DOTALL)
    assert lines is not None
    data = bytes.fromhex(lines[1])
    assert data == (ROOT / "tests" / "vectors" / "archive" / "tiny.cae").read_bytes()
    assert f"has {len(data)} bytes" in FORMAT
    assert [image.tolist() for image in mnistzip.Archive(data)] == [[[0, 255]], [[128, 7]]]


def test_the_examples_of_the_page_on_archives_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "archives.md").read_text()
    digits = ROOT / "tests" / "data" / "digits-idx3-ubyte.gz"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(digits.read_bytes())
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_header((64,)) + bytes(range(64))))
    (tmp_path / "more").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "more" / name).write_bytes((ROOT / "tests" / "data" / "digit.png").read_bytes())
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "mnistzip"
            assert run(words[1:]) == 0, line
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, {})


def test_the_changelog_knows_this_version() -> None:
    assert f"## {mnistzip.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_citation_names_this_version() -> None:
    assert f"\nversion: {mnistzip.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_error_is_one_of_ours_and_documented() -> None:
    for name in mnistzip.__all__:
        member = getattr(mnistzip, name)
        assert member.__doc__, name
        if isinstance(member, type) and issubclass(member, Exception):
            assert issubclass(member, MnistzipError)


def test_the_first_command_of_the_readme_does_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = README.split("```sh\n")[1].split("```")[0].replace("\\\n", " ")
    steps = [step.split() for step in first.split("&&")]
    ours = [step[1:] for step in steps if step[0].endswith("mnistzip")]
    assert [step[0] for step in ours] == ["compress", "decompress", "compare"]
    for step in ours:
        words = [word.replace("tests/data", str(ROOT / "tests" / "data")) for word in step]
        words = [str(tmp_path / word) if word.startswith("digit") else word for word in words]
        assert run(words) == 0
    assert "PNG" in capsys.readouterr().out
