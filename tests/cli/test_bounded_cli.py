"""``--max-error`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli.main import run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rows, columns = np.mgrid[:28, :28]
    image = np.clip(120 + 60 * np.sin(rows / 5) + 50 * np.cos(columns / 4), 0, 255).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_every_pixel_is_within_the_bound_and_info_says_so(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, back = picture.with_suffix(".cae"), picture.with_name("back.png")
    assert run(["compress", "--max-error", "6", str(picture)]) == 0
    assert run(["decompress", str(file), "-o", str(back)]) == 0
    original, decoded = (np.asarray(Image.open(path)).astype(int) for path in (picture, back))
    assert 0 < np.abs(original - decoded).max() <= 6
    capsys.readouterr()
    assert run(["info", str(file)]) == 0
    assert "bounded, model grey, every pixel within 6 grey levels, 28x28" in capsys.readouterr().out
    assert run(["info", "--json", str(file)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["mode"], row["max_error"], row["quality"]) == ("bounded", 6, None)
    assert run(["test", str(file)]) == 0


def test_archives_take_a_bound(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 9, (9, 28, 28))
    images = (np.asarray(Image.open(picture)) // 2 + noise).astype(np.uint8)
    np.save(picture.with_name("images.npy"), images)
    archive = picture.with_name("images.cae")
    assert run(["compress", "--max-error", "1", str(picture.with_name("images.npy")), "-o", str(archive)]) == 0
    with mnistzip.Archive(archive) as opened:
        assert np.abs(np.stack(list(opened)).astype(int) - images).max() == 1
    capsys.readouterr()
    assert run(["info", str(archive)]) == 0
    assert "every pixel within 1 grey level\n" in capsys.readouterr().out
    assert run(["info", "--json", str(archive)]) == 0
    assert {part["max_error"] for part in json.loads(capsys.readouterr().out)["parts"]} == {1}


@pytest.mark.parametrize(
    ("others", "says"),
    [
        (["-q", "50"], "leave out --quality"),
        (["--lossless"], "leave out all but one"),
        (["--min-psnr", "30"], "leave out all but one"),
        (["--bare"], "leave out --lossless, --max-error and --min-psnr"),
    ],
)
def test_options_that_exclude_a_bound(picture: Path, others: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "--max-error", "6", *others, str(picture)]) == 2
    assert says in capsys.readouterr().err
    assert not picture.with_suffix(".cae").exists()


@pytest.mark.parametrize("bound", ["0", "65", "1.5", "x"])
def test_a_bound_outside_its_range_is_an_error(picture: Path, bound: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "--max-error", bound, str(picture)]) == 2
    assert "--max-error" in capsys.readouterr().err
