"""The table of output formats: each row is written, completed, shown in help, and keeps what it says."""

from __future__ import annotations

import re
from pathlib import Path

import click
import numpy as np
import pytest

import mnistzip
from mnistzip.cli.main import cli, run
from mnistzip.cli.output_format import Selection, format_of_name
from mnistzip.io.formats import FORMATS, IMAGE_FORMATS, SET_FORMATS
from mnistzip.io.image_file import read_image
from mnistzip.types import Pixels


@pytest.fixture
def archive(tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> str:
    """An archive of three images with names and labels, in the current folder."""
    monkeypatch.chdir(tmp_path)
    content = mnistzip.encode_archive(digits[:3], names=["a", "b", "c"], labels=[5, 6, 7], lossless=True, model="classic")
    Path("set.cae").write_bytes(content)
    return "set.cae"


def test_every_format_is_in_the_help_and_the_completion_of_to() -> None:
    with click.Context(cli) as group:
        command = cli.get_command(group, "decompress")
        assert command is not None
        (option,) = [option for option in command.params if "--to" in option.opts]
        assert isinstance(option, click.Option)
        with click.Context(command, parent=group) as ctx:
            assert [item.value for item in option.shell_complete(ctx, "")] == [row.name for row in FORMATS]
            assert [item.value for item in option.shell_complete(ctx, "np")] == ["npy", "npz"]
    words = re.findall(r"\w+", str(option.help))
    assert all(row.name in words for row in FORMATS)


def test_every_suffix_of_the_table_says_its_format() -> None:
    for row in FORMATS:
        for suffix in row.suffixes:
            assert format_of_name(f"x{suffix}") == (Selection(row) if row.writer else Selection(None, suffix))
        for part in row.name_parts:
            assert format_of_name(f"x-{part}") == Selection(row)


@pytest.mark.parametrize("suffix", IMAGE_FORMATS)
def test_every_image_format_keeps_every_pixel(suffix: str, archive: str, digits: Pixels) -> None:
    assert run(["decompress", archive, "--index", "1", "-o", f"one{suffix}"]) == 0
    pillow = IMAGE_FORMATS[suffix].pillow is not None
    image = read_image(f"one{suffix}") if pillow else np.load(f"one{suffix}")
    assert image.tolist() == digits[1].tolist()


@pytest.mark.parametrize("name", SET_FORMATS)
def test_a_set_of_images_keeps_what_its_row_says(name: str, archive: str, digits: Pixels) -> None:
    row = SET_FORMATS[name]
    output = f"back{row.new_ending}"
    assert run(["decompress", archive, "--to", name, "-o", output]) == 0
    labels = {"idx": ["--labels", "back-labels-idx1-ubyte"], "folder": ["--labels", "back/labels.csv"]}.get(name, [])
    assert run(["compress", output, "--lossless", *labels, "-o", "again.cae"]) == 0
    with mnistzip.Archive("again.cae") as again:
        assert [image.tolist() for image in again] == digits[:3].tolist()
        assert again.has_names == row.names
        assert again.has_labels == row.labels


@pytest.mark.parametrize("name", SET_FORMATS)
def test_only_formats_that_say_so_take_images_of_several_sizes_or_go_to_stdout(
    name: str, tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = SET_FORMATS[name]
    Path("mixed.cae").write_bytes(mnistzip.encode_archive([digits[0], digits[1][:20]], lossless=True, model="classic"))
    Path("same.cae").write_bytes(mnistzip.encode_archive(digits[:2], lossless=True, model="classic"))
    assert run(["decompress", "mixed.cae", "--to", name, "-o", f"mixed{row.new_ending}"]) == (0 if row.mixed_sizes else 1)
    capfdbinary.readouterr()
    assert run(["decompress", "same.cae", "--to", name, "-o", "-"]) == (0 if row.stdout else 2)
    assert bool(capfdbinary.readouterr().out) == row.stdout
