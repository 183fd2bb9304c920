"""Where quality, size or PSNR asked for cannot be had sensibly, a line on stderr says so, and what to try."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnistzip.cli.main import run
from mnistzip.types import Pixels


def grain(seed: int, shape: tuple[int, int] = (28, 28)) -> Pixels:
    """Noise, which no quality keeps well."""
    return np.random.default_rng(seed).integers(60, 200, shape, np.uint8)


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A picture that no model suits."""
    Image.fromarray(grain(1)).save(tmp_path / "noisy.png")
    return tmp_path / "noisy.png"


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line]


def test_a_picture_that_no_model_suits_is_named_with_what_to_try(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "-e", "0", str(noisy)]) == 0
    (line,) = said(capsys)
    assert line.startswith(f"mnistzip: {noisy}: 1")
    assert "; quality 39 of grey gives about 26 dB" in line
    assert "--lossless" in line
    assert "mnistzip train" in line
    assert "WebP" not in line
    assert "--model auto" not in line


def test_a_picture_that_a_model_knows_goes_without_a_word(digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", str(digit_png)]) == 0
    assert said(capsys) == []


def test_a_named_model_that_does_not_suit_points_to_the_choice(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "-e", "0", "--model", "mnist", str(noisy)]) == 0
    (line,) = said(capsys)
    assert "Try --model auto" in line


def test_a_large_picture_points_to_webp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(grain(1, (64, 80))).save(tmp_path / "large.png")
    assert run(["compress", "-e", "0", str(tmp_path / "large.png")]) == 0
    (line,) = said(capsys)
    assert "WebP" in line


def test_of_many_pictures_the_poor_ones_are_counted(digit_png: Path, noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [digit_png, noisy]
    assert run(["compress", "-e", "0", *map(str, files), "-o", str(noisy.parent / "out")]) == 0
    (line,) = said(capsys)
    assert line.startswith("mnistzip: 1 of 2 images are far below the usual PSNR of quality 50")


@pytest.mark.parametrize("more", [["--quiet"], ["--bare"]])
def test_it_is_silent_where_nothing_is_to_be_said(more: list[str], noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "-e", "0", *more, str(noisy)]) == 0
    assert said(capsys) == []


def test_json_on_stdout_stays_json(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "-e", "0", "--json", str(noisy)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["psnr_db"] < 20
    assert "far below" in err or "gives about" in err


def test_an_archive_counts_its_poor_pictures(digits: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "some.npy", np.stack([*digits[:5], grain(1), grain(2)]))
    assert run(["compress", "-e", "0", str(tmp_path / "some.npy")]) == 0
    assert any("2 of 7 images are far below the usual PSNR of quality 50" in line for line in said(capsys))


def test_a_psnr_that_only_every_pixel_reaches_is_said(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smooth = np.clip(np.add.outer(np.arange(28) * 4, np.arange(28) * 3) + grain(1) // 16, 0, 255).astype(np.uint8)
    Image.fromarray(smooth).save(noisy)
    assert run(["compress", "-e", "0", "--min-psnr", "55", str(noisy)]) == 0
    (line,) = said(capsys)
    assert "no lossy quality reaches 55 dB: the file is lossless. Try a lower --min-psnr" in line


def test_a_budget_that_leaves_little_of_the_picture_is_said(noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(grain(1) // 128 * 255).save(noisy)
    assert run(["compress", "-e", "0", "--max-bytes", "40", str(noisy)]) == 0
    (line,) = said(capsys)
    assert "40 bytes give only" in line
    assert "a higher --max-bytes" in line
