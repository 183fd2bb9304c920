"""The search for bitmaps of digits: a bitmap that is found gives the digit exactly, and every engine finds the same."""

from __future__ import annotations

import numpy as np
import pytest

from mnistzip.engines.interface import Engine
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.models.bitmap.resampling import (
    BITMAP_SIDE_MAX,
    BITMAP_SIDE_MIN,
    SHIFT_MAX,
    SHIFT_MIN,
    Bitmap,
    digit_of,
    is_valid,
    square_of,
)
from mnistzip.types import Pixels
from support.bitmaps import drawings
from support.engines import engine_named, needs_extension


@pytest.fixture(params=["numpy", "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return engine_named(request.param)


def without_bitmaps(digits: Pixels) -> dict[str, Pixels]:
    """Images that no bitmap gives, or none that the search looks for."""
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, (2, 28, 28), np.uint8)
    inner = np.pad(random.integers(0, 256, (1, 20, 20), np.uint8), ((0, 0), (4, 4), (4, 4)))
    return {
        "blank": np.zeros((1, 28, 28), np.uint8),
        "white": np.full((1, 28, 28), 255, np.uint8),
        "one pixel": np.pad(np.full((1, 1, 1), 255, np.uint8), ((0, 0), (14, 13), (14, 13))),
        "noise": noise,
        "noise of the size of a digit": inner,
        "inverted": 255 - digits[:2],
        "darker": digits[:2] - (digits[:2] > 253) * np.uint8(3),
        "brighter": np.clip(digits[:3].astype(int) * 5 // 4, 0, 255).astype(np.uint8),
        "moved": np.roll(digits[:4], (2, 3), axis=(1, 2)),
        "turned": np.rot90(digits[4:8], axes=(1, 2)),
        "smaller": np.pad(digits[:4, 4:24:2, 4:24:2], ((0, 0), (9, 9), (9, 9))),
        "one grey level changed": with_changes(random, digits[:2]),
    }


def with_changes(random: np.random.Generator, digits: Pixels) -> Pixels:
    """Digits, each with one pixel of ink that is brighter or darker."""
    changed = digits.copy()
    for x in changed:
        row, column = random.permutation(np.argwhere((x > 9) & (x < 250)))[0]
        x[row, column] += random.choice([-1, 1]) * random.integers(1, 9)
    return changed


def require_equal(one: list[Bitmap | None], other: list[Bitmap | None]) -> None:
    assert [None if bitmap is None else (bitmap.ink.tolist(), bitmap.shift) for bitmap in one] == [
        None if bitmap is None else (bitmap.ink.tolist(), bitmap.shift) for bitmap in other
    ]


def test_digits_of_mnist_follow_from_the_bitmaps_that_are_found(engine: Engine, digits: Pixels) -> None:
    found = engine.find_bitmaps(digits)
    bitmaps = [bitmap for bitmap in found if bitmap is not None]
    assert len(bitmaps) == len(digits)
    assert np.array_equal(engine.digits_of(bitmaps), digits)
    assert all(np.array_equal(digit_of(bitmap), x) for bitmap, x in zip(bitmaps, digits, strict=True))


def test_bitmaps_are_in_their_shortest_form(engine: Engine, digits: Pixels) -> None:
    for bitmap in engine.find_bitmaps(digits[:30]):
        assert bitmap is not None
        assert bitmap.ink.dtype == bool
        assert is_valid(bitmap)
        tall = len(bitmap.ink) == bitmap.side
        shorter = bitmap.ink.any(axis=0 if tall else 1)
        assert shorter[0]
        assert shorter[-1]
        assert bitmap.ink.sum() == square_of(bitmap).sum()


def test_drawings_are_found_as_a_bitmap_of_the_same_digit(engine: Engine) -> None:
    random = np.random.default_rng(1)
    x = engine.digits_of(drawings(random, 24))
    found = engine.find_bitmaps(x)
    bitmaps = [bitmap for bitmap in found if bitmap is not None]
    assert len(bitmaps) > 20
    assert np.array_equal(engine.digits_of(bitmaps), x[[bitmap is not None for bitmap in found]])


def test_bitmaps_of_one_pixel_a_cell_are_found_as_they_are(engine: Engine) -> None:
    bitmap = Bitmap(np.random.default_rng(5).random((20, 20)) < 0.5, 0)
    require_equal(engine.find_bitmaps(engine.digits_of([bitmap])), [bitmap])


def test_wide_digits_lie_in_the_middle_of_their_square(engine: Engine) -> None:
    ink = np.zeros((17, 40), bool)
    ink[3:9], ink[:, 30:36], ink[12:, 5] = True, True, True
    x = engine.digits_of([Bitmap(ink, 0)])
    (found,) = engine.find_bitmaps(x)
    assert found is not None
    assert (found.ink.shape, found.shift) == ((17, 40), 0)


def test_other_images_have_no_bitmap(engine: Engine, digits: Pixels) -> None:
    for name, x in without_bitmaps(digits).items():
        assert engine.find_bitmaps(x) == [None] * len(x), name


def test_no_digits_have_no_bitmaps(engine: Engine) -> None:
    assert engine.find_bitmaps(np.empty((0, 28, 28), np.uint8)) == []
    assert engine.digits_of([]).shape == (0, 28, 28)


@needs_extension
def test_engines_find_the_same_bitmaps(digits: Pixels) -> None:
    random = np.random.default_rng(2)
    drawn = NUMPY.digits_of(drawings(random, 10))
    others = [x[:1] for x in without_bitmaps(digits).values()]
    x = np.concatenate([digits[:30], drawn, with_changes(random, drawn[:3]), *others])
    require_equal(NUMPY.find_bitmaps(x), engine_named("native").find_bitmaps(x))


@needs_extension
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_engines_find_the_same_bitmaps_of_many_drawings(seed: int) -> None:
    random = np.random.default_rng([seed, 3])
    x = NUMPY.digits_of(drawings(random, 60))
    x = np.concatenate([x, with_changes(random, x[:20])])
    found = engine_named("native").find_bitmaps(x)
    require_equal(NUMPY.find_bitmaps(x), found)
    assert sum(bitmap is not None for bitmap in found) > 50


@needs_extension
def test_engines_make_the_same_digits_of_bitmaps_of_all_sizes() -> None:
    random = np.random.default_rng(4)
    bitmaps = []
    for side in range(BITMAP_SIDE_MIN, BITMAP_SIDE_MAX + 1):
        for density in (0, 0.02, 0.5, 1):
            shape = random.permutation([side, int(random.integers(1, side + 1))])
            bitmaps.append(Bitmap(random.random(shape) < density, int(random.integers(SHIFT_MIN, SHIFT_MAX + 1))))
    assert np.array_equal(NUMPY.digits_of(bitmaps), engine_named("native").digits_of(bitmaps))


@pytest.mark.parametrize(
    ("shape", "shift"), [((19, 19), 0), ((129, 5), 0), ((20, 0), 0), ((0, 30), 0), ((30, 20), -9), ((30, 20), 8)]
)
def test_bitmaps_that_give_no_digit_are_refused(shape: tuple[int, int], shift: int, engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        engine.digits_of([Bitmap(np.ones((20, 20), bool), 0), Bitmap(np.ones(shape, bool), shift)])
