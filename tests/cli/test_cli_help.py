"""Help is what people read first: it is complete, in order, fits a terminal, and its examples work."""

from __future__ import annotations

import gzip
import shlex
import tempfile
import webbrowser
from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from mnistzip.cli import help_sections, params
from mnistzip.cli.main import COMMANDS, cli, run
from mnistzip.idx import idx_header
from mnistzip.io.read_options import InputOptions
from mnistzip.options import EncodeOptions
from support.paths import DATA, VECTORS

OWN_MODEL = VECTORS / "own" / "own.npz"
VISIBLE = [name for names in help_sections.OVERVIEW.values() for name in names]
EXAMPLES = [
    *[("", example.line) for example in help_sections.OVERVIEW_EXAMPLES if "compress digit.png" in example.line],
    *[(name, example.line) for name, page in help_sections.PAGES.items() for example in page.examples],
]


def help_of(*words: str) -> str:
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="mnistzip")  # it is 80 columns wide
    assert result.exit_code == 0
    return result.output


def command(name: str) -> click.Command:
    with click.Context(cli) as ctx:
        expected_names = cli.get_command(ctx, name)
    assert expected_names is not None
    return expected_names


def test_the_overview_lists_every_command_once() -> None:
    assert sorted(VISIBLE) == sorted(name for name in COMMANDS if not command(name).hidden)
    listed = [line.split()[0] for line in help_of().splitlines() if line.startswith("  ") and line.split()[0] in COMMANDS]
    assert listed == VISIBLE


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_option_has_a_place_in_the_help(name: str) -> None:
    with click.Context(command(name)) as ctx:
        options = [option for option in ctx.command.get_params(ctx) if isinstance(option, click.Option) and not option.hidden]
    placed = [option for names in help_sections.PAGES[name].groups.values() for option in names]
    assert len(placed) == len(set(placed))
    left = {max(option.opts, key=len) for option in options} - set(placed)
    assert not left, "cli/help_sections.py says where options are shown"
    shown = help_of(name)
    assert help_sections.OTHER not in shown
    for option in options:
        assert all(word in shown for word in option.opts)


def test_an_option_that_no_group_names_is_shown_all_the_same() -> None:
    grown = command("info")
    grown.params = [*grown.params, click.Option(["--new"], is_flag=True, help="Something new.")]
    with click.Context(grown) as ctx:
        shown = grown.get_help(ctx)
    assert f"{help_sections.OTHER}:\n  --new" in shown


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_80_columns(name: str) -> None:
    shown = help_of(*([name] if name else []))
    assert max(map(len, shown.splitlines())) <= 80
    assert "INTEGER RANGE" not in shown
    assert "TEXT" not in shown


def test_defaults_and_ranges_are_shown() -> None:
    assert "Higher is better and larger.  [1 to 100; default: 50]" in help_of("compress")
    assert "[default: 28 28]" in help_of("decompress")
    assert "[required]" in help_of("train")


def test_common_options_come_first_and_examples_last() -> None:
    shown = help_of("compress")
    places = [shown.index(text) for text in ("Common options:", "--output", "--convert", "--engine", "Examples:")]
    assert places == sorted(places)
    assert shown.rstrip().splitlines()[-1].startswith("  mnistzip compress ")


@pytest.mark.parametrize("name", VISIBLE)
def test_help_command_shows_the_help_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert run(["help", name]) == 0
    assert capsys.readouterr().out == shown


def test_help_alone_is_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert run(["help"]) == 0
    assert capsys.readouterr().out == shown
    assert run(["help", "compres"]) == 2
    assert "Did you mean: mnistzip compress" in capsys.readouterr().err


def prepare(folder: Path, name: str) -> None:
    """The files that the examples of a command begin with."""
    digits = gzip.decompress((DATA / "digits-idx3-ubyte.gz").read_bytes())
    (folder / "digit.png").write_bytes((DATA / "digit.png").read_bytes())
    (folder / "scans").mkdir()
    for k in range(3):
        (folder / "scans" / f"{k}.png").write_bytes((DATA / "digit.png").read_bytes())
    (folder / "mine.npz").write_bytes(OWN_MODEL.read_bytes())
    np.savez(folder / "digits.npz", images=np.frombuffer(digits[16:], np.uint8).reshape(64, 28, 28)[:12], labels=np.arange(12))
    if name == "compress":
        (folder / "images.gz").write_bytes(gzip.compress(digits))
        (folder / "labels.gz").write_bytes(gzip.compress(idx_header((64,)) + bytes(64)))
    elif name and name != "train":
        assert run(["compress", "--quiet", "digit.png"]) == 0
        assert run(["compress", "--quiet", "digits.npz", "-o", "train.cae"]) == 0
        assert run(["compress", "--quiet", "-r", "scans", "-o", "packed"]) == 0
    if name == "decompress":
        (folder / "digit.png").unlink()
    if name == "bench":
        for result in ("old", "new"):
            assert run(["bench", "digit.png", "--codecs", "png", "--quiet", "--out", result]) == 0
            (folder / result / "results.json").rename(folder / f"{result}.json")


def takes_too_long(line: str) -> bool:
    return line.startswith("mnistzip train ")


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_examples_work(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(webbrowser, "open", lambda address: True)
    prepare(tmp_path, name)
    program, *words = shlex.split(line)
    assert program == "mnistzip"
    if takes_too_long(line):
        with click.Context(cli) as ctx:
            command(words[0]).make_context(words[0], words[1:], parent=ctx)
    else:
        assert run(words) == 0, capsys.readouterr().err


def test_every_option_of_encoding_is_an_option_of_compress() -> None:
    assert {field.name for field in fields(EncodeOptions)} == set(params.ENCODE_OPTIONS)
    assert set(InputOptions._fields) - {"convert", "model", "labels", "say"} == {
        name for name in params.INPUT_OPTIONS if name != "no_labels"
    }
