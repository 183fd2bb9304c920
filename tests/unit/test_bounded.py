"""Files with a bounded error: no pixel is further from the original than the bound."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import mnistzip
from mnistzip.bitstream import bounded, container
from mnistzip.bitstream.bounded import nearest
from mnistzip.coding import image_files
from mnistzip.errors import LimitError, OptionError
from mnistzip.limits import ERROR_MAX
from mnistzip.models.pixel.bounded import choices
from mnistzip.models.pixel.planes import LAST_SHADE
from mnistzip.models.registry import shipped
from mnistzip.types import Mode, Pixels

EVERY = np.arange(256).astype(np.uint8)
BOUNDS = range(1, ERROR_MAX + 1)


def difference(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b).max())


def photo(seed: int, height: int = 28, width: int = 28) -> Pixels:
    """A smooth picture with some noise, as no model knows it by heart."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    wave = 120 + 60 * np.sin(rows / rng.uniform(3, 9)) + 50 * np.cos(columns / rng.uniform(3, 9))
    return np.clip(wave + rng.normal(0, 6, (height, width)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("bound", BOUNDS)
def test_each_grey_level_becomes_the_nearest_one(bound: int) -> None:
    levels = np.unique(nearest(EVERY, bound))
    distance = np.abs(EVERY[:, None].astype(int) - levels)
    chosen = np.abs(nearest(EVERY, bound).astype(int) - EVERY)
    assert (chosen == distance.min(axis=1)).all()
    assert chosen.max() <= bound
    assert (nearest(levels, bound) == levels).all()
    assert levels[0] == 0
    assert set(np.diff(levels[:-1]).tolist()) <= {2 * bound + 1}


def test_without_a_bound_every_grey_level_stays() -> None:
    assert (nearest(EVERY, 0) == EVERY).all()
    assert not doctest.testmod(bounded, extraglobs={"numpy": np}).failed


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_choices_are_those_of_the_grey_levels(bound: int) -> None:
    solid, level, shade = choices(bound)
    levels = set(np.unique(nearest(EVERY, bound)).tolist()) - {0}
    built = {250 + s for s in range(6) if solid[1] and shade[8, s]}
    built |= {32 * k + 1 + s for k in range(8) if level[k] for s in range(32) if shade[k, s] and s <= LAST_SHADE[k]}
    assert built == levels
    assert solid[0] == any(value < 250 for value in levels)
    assert shade.sum() == len(levels)
    assert (shade[:8].any(axis=1) == level).all()


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40)),
    st.sampled_from([1, 2, 3, 4, 8, 16, 42, 64]),
    st.sampled_from(["auto", "mnist", "glyph", "mnist-fast", "classic"]),
)
def test_any_image_comes_back_within_the_bound(image: Pixels, bound: int, model: str) -> None:
    file = mnistzip.encode(image, max_error=bound, model=model)
    decoded = mnistzip.decode(file)
    header = mnistzip.info(file)
    assert difference(decoded, image) <= bound
    assert header.mode in ("bounded", "lossless")
    assert header.max_error == (bound if header.mode == "bounded" else None)
    assert (decoded == (nearest(image, bound) if header.mode == "bounded" else image)).all()
    assert len(file) <= len(mnistzip.encode(image, lossless=True, model=model)) + 2


@pytest.mark.parametrize("bound", [1, 8, 32])
def test_digits_made_from_bitmaps_take_no_more_bytes_than_without_loss(digits: Pixels, bound: int) -> None:
    files, lossless = mnistzip.encode_many(digits, max_error=bound), mnistzip.encode_many(digits, lossless=True)
    assert max(len(file) - len(exact) for file, exact in zip(files, lossless, strict=True)) <= 1  # as two headers do
    assert all(difference(mnistzip.decode(file), digit) <= bound for file, digit in zip(files, digits, strict=True))
    archive = mnistzip.encode_archive(digits, max_error=bound)
    assert len(archive) <= len(mnistzip.encode_archive(digits, lossless=True)) + 4
    decoded = mnistzip.Archive(archive)[:]
    assert all(difference(image, digit) <= bound for image, digit in zip(decoded, digits, strict=True))


def test_files_shrink_as_the_bound_grows() -> None:
    images = [photo(seed) for seed in range(12)]
    sizes = [sum(map(len, mnistzip.encode_many(images, max_error=bound))) for bound in (1, 2, 4, 8, 16, 32, 64)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < 0.9 * sum(map(len, mnistzip.encode_many(images, lossless=True)))
    assert sizes[3] < 0.5 * sizes[0]


def test_files_of_several_bounds_modes_and_models_are_decoded_together() -> None:
    images = [photo(seed, 20 + seed, 30) for seed in range(8)]
    options = [{"max_error": 3}, {"max_error": 9}, {"lossless": True}, {"quality": 40}] * 2
    files = [mnistzip.encode(image, model="glyph", **some) for image, some in zip(images, options, strict=True)]
    together = mnistzip.decode_many(files)
    assert all(np.array_equal(one, mnistzip.decode(file)) for one, file in zip(together, files, strict=True))
    assert [mnistzip.info(file).max_error for file in files] == [3, 9, None, None] * 2


def test_a_header_names_its_bound_in_one_byte() -> None:
    file = mnistzip.encode(photo(1), max_error=7, model="glyph")
    header, payload = container.parse(file)
    assert (header.mode, header.max_error, header.quality, header.model) == (Mode.BOUNDED, 7, None, 3)
    assert file[:4] == bytes([0xCA, 0xE1, 128 | 3 << 4 | 3, 7])
    assert len(file) == 4 + len(payload)


def test_a_preview_of_a_bounded_file_is_the_file_itself() -> None:
    file = mnistzip.encode(photo(2), max_error=7)
    assert (mnistzip.preview(file) == mnistzip.decode(file)).all()


def test_archives_keep_the_bound_and_say_so() -> None:
    images = [photo(seed, 28 + 4 * (seed % 3), 28) for seed in range(30)] + [np.zeros((28, 28), np.uint8)] * 3
    content = mnistzip.encode_archive(images, max_error=5, labels=list(range(33)))
    with mnistzip.Archive(content) as archive:
        assert all(difference(a, b) <= 5 for a, b in zip(archive, images, strict=True))
        assert difference(archive[7], images[7]) <= 5
        codings = {(part.coding.mode, part.coding.max_error) for group in archive.groups() for part in group.parts}
    assert (Mode.BOUNDED, 5) in codings
    assert codings <= {(Mode.BOUNDED, 5), (Mode.STORED, 0)}
    assert len(content) < len(mnistzip.encode_archive(images, lossless=True))


def test_budgets_use_bounded_files_where_these_are_better() -> None:
    images = [photo(seed) for seed in range(6)]
    for decibels in (28.0, 34.0, 40.0):
        files = mnistzip.encode_many(images, min_psnr=decibels, model="glyph")
        decoded = mnistzip.decode_many(files)
        assert all(mnistzip.psnr(a, b) >= decibels for a, b in zip(images, decoded, strict=True))
        assert sum(map(len, files)) < 0.9 * sum(map(len, mnistzip.encode_many(images, lossless=True)))
        assert decibels == 28 or {mnistzip.info(file).mode for file in files} == {"bounded"}
    files = mnistzip.encode_many(images, max_bytes=300, model="glyph")
    assert max(map(len, files)) <= 300
    assert {mnistzip.info(file).mode for file in files} == {"bounded"}
    for image, file in zip(images, files, strict=True):
        bound = mnistzip.info(file).max_error
        assert bound is not None
        assert bound == 1 or len(mnistzip.encode(image, max_error=bound - 1, model="glyph")) > 300


@pytest.mark.parametrize("budget", [{"min_psnr": 34.0}, {"max_bytes": 300}])
def test_budgets_choose_no_bounded_file_that_decoders_refuse(budget: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(1)
    assert mnistzip.info(mnistzip.encode(image, model="glyph", **budget)).mode == "bounded"
    monkeypatch.setattr(image_files, "DECODED_PIXELS_MAX", {Mode.BOUNDED: image.size - 1})
    assert mnistzip.info(mnistzip.encode(image, model="glyph", **budget)).mode != "bounded"


@pytest.mark.parametrize("bound", [0, 65, -1, 1.5, "4", True])
def test_a_bound_outside_its_range_is_an_error(bound: object) -> None:
    with pytest.raises(OptionError, match="max_error"):
        mnistzip.encode(photo(1), max_error=bound)  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [{"lossless": True}, {"min_psnr": 30.0}, {"bare": True}])
def test_options_that_exclude_a_bound(other: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="max_error"):
        mnistzip.encode(photo(1), max_error=4, **other)  # type: ignore[arg-type]


def test_a_bounded_file_that_is_too_large_is_an_error() -> None:
    assert len(mnistzip.encode(photo(1), max_error=4, max_bytes=1000)) <= 1000
    with pytest.raises(LimitError, match="within 4 grey levels"):
        mnistzip.encode(photo(1), max_error=4, max_bytes=50)


def test_a_model_without_a_pixel_model_keeps_every_pixel_instead() -> None:
    image = photo(3)
    file = mnistzip.encode(image, max_error=8, model="classic")
    assert not shipped("classic").has_pixel_model
    assert (mnistzip.decode(file) == image).all()
