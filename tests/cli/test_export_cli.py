"""``mnistzip export``: the header, what is printed, and the errors."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mnistzip.cli.export import c_name
from mnistzip.cli.main import run
from mnistzip.export.c_header import c_header
from mnistzip.models import registry
from support import forge


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.npz"
    path.write_bytes(forge.every_op())
    return path


def test_the_command_writes_the_header_and_prints_flash_and_ram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split("export mnist-fast --c --bare --quality 25 -o digit_codec.h")) == 0
    header = c_header(registry.shipped("mnist-fast"), "digit_codec", range(25, 26))
    assert (tmp_path / "digit_codec.h").read_text() == header.text
    assert capsys.readouterr().out.splitlines() == [
        "mnist-fast, encoder and decoder, quality 25 -> digit_codec.h",
        f"  flash: {header.model_bytes:,} bytes of constants",
        f"  RAM: {header.workspace_bytes:,} bytes of workspace, besides the stack",
    ]


def test_options_choose_qualities_parts_and_names(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "own.npz", "--c", "--bare", "-q", "3-5", "--encoder"]) == 0
    assert capsys.readouterr().out.startswith("own, encoder, qualities 3 to 5 -> own.h\n")
    model = registry.find(own)
    assert Path("own.h").read_text() == c_header(model, "own", range(3, 6), decoder=False).text
    assert run(["export", "own.npz", "--c", "--bare", "--decoder", "-o", "sub/7-Digits.h", "--quiet"]) == 0
    assert Path("sub/7-Digits.h").read_text() == c_header(model, "codec_7_digits", range(50, 51), encoder=False).text
    assert capsys.readouterr().out == ""
    assert run(["export", "own.npz", "--c", "--bare", "--encoder", "--decoder", "-o", "-"]) == 0
    out, err = capsys.readouterr()
    assert out == c_header(model, "own", range(50, 51)).text
    assert err.startswith("own, encoder and decoder, quality 50 -> -\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "only C source for bare streams can be written: add --c --bare"),
        ("--c", "only C source for bare streams can be written: add --c --bare"),
        ("--c --bare -q 0", "'0' is neither a quality from 1 to 100 nor a range such as 20-30"),
        ("--c --bare -q 90-101", "'90-101' is neither"),
        ("--c --bare -q 30-20", "'30-20' is neither"),
        ("--c --bare -q fine", "'fine' is neither"),
        ("--c --bare -o own.npz", "own.npz is no name of a C header: let it end in .h"),
    ],
)
def test_wrong_options_are_refused(options: str, message: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "own.npz", *options.split()]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in own.parent.iterdir()] == ["own.npz"]


def test_an_existing_header_is_replaced_only_with_force(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.h").write_text("mine")
    command = ["export", "own.npz", "--c", "--bare"]
    assert run(command) == 1
    assert "own.h exists already: -f overwrites it" in capsys.readouterr().err
    assert Path("own.h").read_text() == "mine"
    assert run([*command, "-f"]) == 0
    assert Path("own.h").read_text() != "mine"


def test_models_that_cannot_be_exported_give_one_line(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "grey", "--c", "--bare"]) == 1
    assert capsys.readouterr().err == "mnistzip: grey codes whole images; only models of tiles can be exported\n"
    assert run(["export", "nothing", "--c", "--bare"]) == 1
    assert "no model 'nothing'" in capsys.readouterr().err
    assert [path.name for path in own.parent.iterdir()] == ["own.npz"]


@pytest.mark.parametrize(
    ("stem", "name"),
    [("digit_codec", "digit_codec"), ("mnist-fast", "mnist_fast"), ("7", "codec_7"), ("été", "t"), ("--", "codec")],
)
def test_names_of_files_become_names_in_c(stem: str, name: str) -> None:
    assert c_name(stem) == name
