"""``model="auto"``: what is kept is the better of what the candidates give, image by image or group by group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import mnistzip
from mnistzip import model as models
from mnistzip.auto import balanced, candidates
from mnistzip.cli.main import run
from mnistzip.groups import Group

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def images(digits: Pixels) -> list[Pixels]:
    """Digits, grey letters of Pillow's own font, which no model has seen, and a part of a digit."""
    letters = []
    for letter in "Kg&RmS":
        canvas = Image.new("L", (28, 28))
        ImageDraw.Draw(canvas).text((14, 14), letter, 120, ImageFont.load_default(22), anchor="mm")
        letters.append(np.asarray(canvas))
    return [*digits[:10], *letters, digits[0][3:20, 5:25]]


def error(image: Pixels, file: bytes) -> float:
    return mnistzip.mse(image, mnistzip.decode(file)) * image.size


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_a_lossy_file_is_the_one_of_least_bits_and_error(images: list[Pixels], quality: int) -> None:
    chosen = mnistzip.encode_many(images, quality=quality, effort=1, model="auto")
    every = candidates("auto", quality)
    assert [each.model.name for each in every] == list(models.CANDIDATES)
    assert every[0].quality == quality
    files = [mnistzip.encode_many(images, quality=each.quality or 0, effort=1, model=each.model) for each in every]
    cost = balanced(every[0])
    for k, image in enumerate(images):
        costs = [cost(len(some[k]), error(image, some[k])) for some in files]
        assert chosen[k] == files[costs.index(min(costs))][k]
    assert {mnistzip.info(file).model for file in chosen} >= set(models.CANDIDATES)  # each has something that suits it best


def test_of_files_that_keep_every_pixel_the_smaller_is_kept(images: list[Pixels]) -> None:
    chosen = mnistzip.encode_many(images, lossless=True, model="auto")
    files = [mnistzip.encode_many(images, lossless=True, model=name) for name in models.CANDIDATES]
    assert chosen == [min(pair, key=len) for pair in zip(*files, strict=True)]


def test_of_files_within_a_budget_the_truer_is_kept(images: list[Pixels]) -> None:
    chosen = mnistzip.encode_many(images, max_bytes=24, effort=0, model="auto")
    files = [mnistzip.encode_many(images, max_bytes=24, effort=0, model=name) for name in models.CANDIDATES]
    for image, file, pair in zip(images, chosen, zip(*files, strict=True), strict=True):
        assert file == min(pair, key=lambda each: (error(image, each), len(each)))


def test_a_budget_that_one_candidate_misses_is_met_by_the_other(images: list[Pixels]) -> None:
    least = [
        [len(file) for file in mnistzip.encode_many(images, quality=1, effort=0, model=name)] for name in models.CANDIDATES
    ]
    budget = min(one for one, other in zip(*least, strict=True) if one != other)
    which = [k for k, pair in enumerate(zip(*least, strict=True)) if min(pair) <= budget]
    assert any(max(pair) > budget for pair in zip(*least, strict=True) if min(pair) <= budget)
    some = [images[k] for k in which]
    assert all(len(file) <= budget for file in mnistzip.encode_many(some, max_bytes=budget, effort=0, model="auto"))


def test_a_budget_that_none_meets_names_the_image(images: list[Pixels]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    with pytest.raises(mnistzip.LimitError, match="image 1: the image takes"):
        mnistzip.encode_many([np.zeros((28, 28), np.uint8), noise], max_bytes=9, effort=0, model="auto")


def test_of_files_that_reach_a_psnr_the_smaller_is_kept(images: list[Pixels]) -> None:
    chosen = mnistzip.encode_many(images[:4], min_psnr=24, effort=0, model="auto")
    files = [mnistzip.encode_many(images[:4], min_psnr=24, effort=0, model=name) for name in models.CANDIDATES]
    assert [len(file) for file in chosen] == [min(map(len, pair)) for pair in zip(*files, strict=True)]
    assert all(mnistzip.psnr(image, mnistzip.decode(file)) >= 24 for image, file in zip(images, chosen, strict=False))


@pytest.mark.parametrize("lossless", [False, True])
def test_an_archive_chooses_for_each_group(images: list[Pixels], lossless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnistzip.pack.GROUP_IMAGES", 6)
    archive = mnistzip.encode_archive(images[4:16], lossless=lossless, effort=1, model="auto")
    opened = mnistzip.Archive(archive, model="auto")
    assert len({group.head.model for group in opened.groups() if isinstance(group, Group)}) == 2
    ones = [mnistzip.encode_archive(images[4:16], lossless=lossless, effort=1, model=name) for name in models.CANDIDATES]
    if lossless:
        assert all((image == other).all() for image, other in zip(opened, images[4:16], strict=True))
        assert len(archive) < min(map(len, ones))


def test_auto_is_refused_where_a_model_must_be_agreed_on_or_held(images: list[Pixels]) -> None:
    with pytest.raises(mnistzip.OptionError, match="name it instead of auto"):
        mnistzip.encode(images[0], bare=True, model="auto")
    with pytest.raises(mnistzip.OptionError, match="no need to embed"):
        mnistzip.encode_archive(images, model="auto", embed_model=True)


def test_the_command_line_takes_auto(digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", str(digit_png), "--model", "auto", "-v"]) == 0
    assert "model mnist" in capsys.readouterr().out
    assert run(["decompress", str(digit_png.with_suffix(".cae")), "-o", str(digit_png.with_name("again.png"))]) == 0
