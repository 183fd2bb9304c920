"""``info``, ``test`` and ``models`` say what a file is, in words that fit a command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mnistzip
from mnistzip.cli.main import run
from mnistzip.types import Pixels


@pytest.fixture
def several(tmp_path: Path, digits: Pixels) -> dict[str, Path]:
    """Files and archives: sound, damaged, and ones that cannot be read here."""
    file = mnistzip.encode(digits[0], effort=0)
    with mnistzip.ArchiveWriter(tmp_path / "archive.cae", effort=0) as writer:
        for image in digits[:5]:
            writer.add(image)
    archive = bytearray((tmp_path / "archive.cae").read_bytes())
    archive[60] ^= 1
    contents = {"sound": file, "damaged": file[:-1], "newer": b"\xca\xe2" + file[2:], "damaged-archive": bytes(archive)}
    for name, content in contents.items():
        (tmp_path / f"{name}.cae").write_bytes(content)
    return {name: tmp_path / f"{name}.cae" for name in ("archive", "gone", *contents)}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["sound", "archive"], "2 files ok"),
        (["sound", "damaged"], "1 file ok, 1 damaged"),
        (["damaged", "damaged-archive"], "0 files ok, 2 damaged"),
        (["sound", "newer", "gone"], "1 file ok, 2 not read"),
        (["sound", "archive", "damaged", "newer"], "2 files ok, 1 damaged, 1 not read"),
    ],
)
def test_many_files_end_with_a_summary(
    names: list[str], says: str, several: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(several[name]) for name in names]
    code = int(" ok, " in f"{says}, " and says != f"{len(names)} files ok")
    assert run(["test", *words]) == code
    assert capsys.readouterr().out.splitlines()[-1] == says
    assert run(["test", "--quiet", *words]) == code
    assert capsys.readouterr().out == ""


def test_an_archive_that_is_too_large_is_not_called_damaged(
    several: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["test", "--max-pixels", "5", str(several["archive"]), str(several["sound"])]) == 1
    assert capsys.readouterr().out == "0 files ok, 2 not read\n"


def test_one_file_needs_no_summary(several: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", str(several["sound"])]) == 0
    assert capsys.readouterr().out == f"{several['sound']}: ok\n"


def test_info_of_a_folder_gives_no_option_that_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(tmp_path)]) == 1
    output = capsys.readouterr().err
    assert "-r" not in output.replace(str(tmp_path), "")
    assert f"give the files in it, such as {tmp_path}/*.cae" in output


def test_what_is_no_model_is_named_by_its_path(digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--add", str(digit_png)]) == 1
    output = capsys.readouterr().err
    assert output.startswith(f"mnistzip: {digit_png}: ")
    assert output.count("\n") == 1


def test_a_folder_that_cannot_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)
    assert run(["test", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"mnistzip: {tmp_path}: Permission denied\n"
