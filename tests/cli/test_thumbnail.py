"""File managers run ``mnistzip thumbnail`` on whatever lies in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.cli.thumbnail import fit
from mnistzip.types import Pixels
from support.paths import VECTORS


def picture(source: Path, size: int) -> Pixels:
    goal = source.with_name("thumbnail.png")
    assert run(["thumbnail", str(source), str(goal), "--size", str(size)]) == 0
    return np.asarray(Image.open(goal))


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "file.cae"
    path.write_bytes(content)
    return path


def test_a_small_image_is_enlarged_without_blur(tmp_path: Path, digit: Pixels) -> None:
    made = picture(saved(tmp_path, mnistzip.encode(digit, lossless=True)), 128)
    assert (made == digit.repeat(4, axis=0).repeat(4, axis=1)).all()


def test_a_large_image_is_shrunk_to_the_mean_of_its_areas(tmp_path: Path) -> None:
    chequered = np.indices((64, 32)).sum(axis=0).astype(np.uint8) % 2 * 200
    made = picture(saved(tmp_path, mnistzip.encode(chequered, lossless=True)), 32)
    assert made.shape == (32, 16)
    assert (made == 100).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (28, 28), (99, 100), (101, 100), (255, 257)])
@pytest.mark.parametrize("size", [1, 28, 100, 256])
def test_no_side_is_longer_than_asked_for_or_gone(shape: tuple[int, int], size: int) -> None:
    made = fit(np.zeros(shape, np.uint8), size)
    assert min(made.shape) >= 1
    assert max(made.shape) <= size < 2 * max(made.shape)


@pytest.mark.parametrize("count", [1, 2, 5, 64])
@pytest.mark.parametrize("size", [2, 64, 256])
def test_an_archive_becomes_a_sheet_of_its_first_images(count: int, size: int, tmp_path: Path, digits: Pixels) -> None:
    path = tmp_path / "set.cae"
    with mnistzip.ArchiveWriter(path, lossless=True) as writer:
        for image in digits[:count]:
            writer.add(image)
    made = picture(path, size)
    assert size / 2 < max(made.shape) <= size
    if size == 256:
        assert (made[:28, :28] == digits[0]).mean() > 0.5 or (made[::2, ::2][:28, :28] == digits[0]).mean() > 0.5


def test_large_images_of_an_archive_fit_into_its_sheet(tmp_path: Path) -> None:
    path = tmp_path / "set.cae"
    with mnistzip.ArchiveWriter(path, lossless=True) as writer:
        for k in range(4):
            writer.add(np.full((300, 200), 60 * k, np.uint8))
    made = picture(path, 64)
    assert max(made.shape) <= 64
    assert {0, 60, 120, 180} <= set(np.unique(made).tolist())


@pytest.mark.parametrize("path", sorted(VECTORS.glob("invalid*/*.cae")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_damaged_and_hostile_files_leave_one_line_or_a_picture(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = tmp_path / "x.png"
    code = run(["thumbnail", str(path), str(goal), "--size", "64"])
    output = capsys.readouterr().err
    assert code == (0 if goal.exists() else 1)
    assert output.count("\n") == code
    assert output == "" or output.startswith("mnistzip: ")
    assert goal.exists() <= (path.parent.name == "invalid-archive")


def test_a_damaged_file_leaves_the_old_thumbnail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goal = tmp_path / "x.png"
    goal.write_bytes(b"old")
    for content in (b"", b"\xca\xe1", b"no file of ours", mnistzip.encode(np.eye(28, dtype=np.uint8) * 255)[:-1]):
        assert run(["thumbnail", str(saved(tmp_path, content)), str(goal)]) == 1
        assert goal.read_bytes() == b"old"
        assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_the_file_manager_has_opened_gets_the_picture(tmp_path: Path, digit: Pixels) -> None:
    goal = tmp_path / "x.png"
    with goal.open("wb+") as opened:  # as tumbler does
        assert run(["thumbnail", str(saved(tmp_path, mnistzip.encode(digit, effort=0))), str(goal)]) == 0
        assert opened.read().startswith(b"\x89PNG")


def test_the_file_itself_is_never_replaced(tmp_path: Path, digit: Pixels) -> None:
    content = mnistzip.encode(digit, effort=0)
    path = saved(tmp_path, content)
    os.link(path, tmp_path / "link.cae")
    assert run(["thumbnail", str(path), str(path)]) == 1
    assert run(["thumbnail", str(path), str(tmp_path / "link.cae")]) == 1
    assert path.read_bytes() == content
