"""Digits as the bitmaps that they were made from: resampling, model, files and archives."""

from __future__ import annotations

import numpy as np
import pytest

import mnistzip
from mnistzip.coding.lossless import decode_payloads, encode_payloads, pixel_symbols
from mnistzip.engines.choice import current, use
from mnistzip.engines.reference import bitmap_streams
from mnistzip.entropy.cost import TOTAL
from mnistzip.errors import FormatError, ModelError
from mnistzip.models.bitmap import resampling
from mnistzip.models.bitmap.bitmap_model import ROW_STEPS, SIDES, WINDOW, Extents, Frequencies
from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, BITMAP_SIDE_MIN, SHIFT_MAX, SHIFT_MIN, Bitmap, cover, digit_of
from mnistzip.models.registry import shipped
from mnistzip.models.slanted import steps
from mnistzip.types import Integers, Pixels

SMALL = Bitmap(np.ones((BITMAP_SIDE_MIN, 1), bool), 0)


def blobs(random: np.random.Generator, count: int) -> list[Bitmap]:
    """Bitmaps of random sizes with smooth shapes."""
    out = []
    for _ in range(count):
        side, shorter = random.integers(BITMAP_SIDE_MIN, 60), int(random.integers(3, 20))
        height, width = (side, shorter) if random.random() < 0.5 else (shorter, side)
        noise = random.normal(size=(height + 6, width + 6))
        smooth = sum(noise[k : k + height, n : n + width] for k in range(6) for n in range(6))
        ink = smooth > np.quantile(smooth, 0.3)
        ink[0, :], ink[-1, :], ink[:, 0], ink[:, -1] = True, True, True, True
        out.append(Bitmap(ink, int(random.integers(-1, 2))))
    return out


@pytest.mark.parametrize("side", range(BITMAP_SIDE_MIN, BITMAP_SIDE_MAX + 1))
def test_cells_cover_all_pixels_and_no_cell_is_covered_twice(side: int) -> None:
    first, share = cover(side)
    last = first + (share > 0).sum(axis=1) - 1
    assert first[0] == 0
    assert last[-1] == side - 1
    assert (first[1:] <= last[:-1] + 1).all()
    assert (first[1:] >= last[:-1]).all()
    assert share.dtype == np.float32
    assert (share.sum(axis=1) > 0.95).all()
    assert (share.sum(axis=1) < 1.00001).all()


def test_nearly_all_digits_of_mnist_follow_exactly_from_a_bitmap(digits: Pixels) -> None:
    found = current().find_bitmaps(digits)
    followed = [k for k, bitmap in enumerate(found) if bitmap is not None]
    assert len(followed) > 0.97 * len(digits)
    for k in followed:
        bitmap = found[k]
        assert bitmap is not None
        assert (digit_of(bitmap) == digits[k]).all()


def test_the_resampling_of_both_engines_is_equal() -> None:
    pytest.importorskip("mnistzip._engine", reason="the extension is not built")
    bitmaps = [SMALL, *blobs(np.random.default_rng(1), 60)]
    every = []
    for engine in ("numpy", "native"):
        with use(engine):
            every.append(current().digits_of(bitmaps))
    assert (every[0] == every[1]).all()
    assert all((x == digit_of(bitmap)).all() for x, bitmap in zip(every[0], bitmaps, strict=True))


def test_an_empty_bitmap_gives_a_black_digit_and_a_far_shift_cuts_it_off() -> None:
    assert not digit_of(Bitmap(np.zeros((30, 4), bool), 0)).any()
    ink = np.ones((BITMAP_SIDE_MIN, BITMAP_SIDE_MIN - 1), bool)
    assert resampling.square_of(Bitmap(ink, SHIFT_MAX)).sum() == BITMAP_SIDE_MIN * (BITMAP_SIDE_MIN - SHIFT_MAX)
    assert resampling.square_of(Bitmap(ink, SHIFT_MIN)).sum() == BITMAP_SIDE_MIN * (BITMAP_SIDE_MIN - 1 + SHIFT_MIN)


def test_a_centre_of_mass_lies_in_the_middle_of_the_image() -> None:
    for bitmap in blobs(np.random.default_rng(2), 30):
        x = digit_of(bitmap).astype(float)
        for axis in (0, 1):
            centre = (x.sum(axis=1 - axis) * (np.arange(28) + 0.5)).sum() / x.sum()
            assert 14 <= centre <= 15


def test_every_pixel_sees_only_earlier_ones() -> None:
    assert all(column + ROW_STEPS * row < 0 for row, column in WINDOW)


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_bitmaps_come_back_from_their_streams(engine: str) -> None:
    if engine == "native":
        pytest.importorskip("mnistzip._engine", reason="the extension is not built")
    model, bitmaps = shipped("mnist-bitmap"), [SMALL, *blobs(np.random.default_rng(3), 11)]
    with use(engine):
        symbols = current().bitmap_symbols(model, bitmaps)
        streams = [bitmaps[:1], bitmaps[1:4], bitmaps[4:]]
        joined = [type(symbols[0]).join(symbols[a:b]) for a, b in ((0, 1), (1, 4), (4, 12))]
        coded = current().encode_streams(joined, np.array([1, 2, 3]))
        decoded, possible, ends = current().decode_bitmaps(model, coded, [1, 3, 8])
    assert ends.verify(np.array([1, 2, 3])).all()
    assert all(possible)
    for of_stream, expected in zip(decoded, streams, strict=True):
        for bitmap, original in zip(of_stream, expected, strict=True):
            assert bitmap.shift == original.shift
            assert np.array_equal(bitmap.ink, original.ink)


def test_frequencies_are_positive_and_sum_to_the_total() -> None:
    seen = []

    def first_symbol(alphabets: Frequencies, bitmap: Integers) -> Integers:
        edges = alphabets.edges()
        assert (edges[0] == 0).all()
        assert (edges[-1] == TOTAL).all()
        assert (np.diff(edges, axis=0) > 0).all()
        for slot in (0, 1, 30000, TOTAL - 1):
            start, freq = alphabets.interval(alphabets.symbol_at(np.full(len(bitmap), slot)))
            assert ((start <= slot) & (slot < start + freq)).all()
        seen.append(len(bitmap))
        return np.zeros(len(bitmap), np.int64)

    shipped("mnist-bitmap").bitmaps.decode(2, first_symbol)
    assert sum(seen) == 2 * 3 + 2 * BITMAP_SIDE_MIN**2


def test_pixels_that_come_later_change_nothing_that_was_coded_before() -> None:
    random = np.random.default_rng(4)
    bitmap = blobs(random, 1)[0]
    places, _ = steps([(bitmap.ink.shape[0], bitmap.ink.shape[1])], ROW_STEPS)
    (before,) = bitmap_streams.bitmap_symbols(shipped("mnist-bitmap").bitmaps, [bitmap])
    for number in random.integers(0, bitmap.ink.size, 8).tolist():
        ink = bitmap.ink.copy()
        ink[places.row[number], places.column[number]] ^= True
        (after,) = bitmap_streams.bitmap_symbols(shipped("mnist-bitmap").bitmaps, [Bitmap(ink, bitmap.shift)])
        assert (after.start[: 3 + number] == before.start[: 3 + number]).all()


def test_impossible_sizes_are_told_and_decode_to_something() -> None:
    extents = Extents(np.array([0, 0, 5, SIDES - 1]), np.array([1, 40, 2, 255]), np.array([8, 8, 0, 15]))
    shapes, possible = extents.shapes()
    assert possible == [False, False, True, True]
    assert shapes == [(20, 20), (20, 1), (25, 24), (1, 128)]


def test_a_lossless_digit_takes_less_than_half_of_what_its_pixels_take(digits: Pixels) -> None:
    files, pixel_files = mnistzip.encode_many(digits, lossless=True), mnistzip.encode_many(digits, lossless=True, model="mnist")
    assert sum(map(len, files)) < 0.5 * sum(map(len, pixel_files))
    assert {mnistzip.info(file).model for file in files} <= {"mnist-bitmap", "mnist"}
    assert all((x == y).all() for x, y in zip(digits, mnistzip.decode_many(files), strict=True))
    assert {mnistzip.info(file).model for file in pixel_files} == {"mnist"}


def test_an_archive_of_digits_codes_them_as_bitmaps(digits: Pixels) -> None:
    content = mnistzip.encode_archive(digits[:50], lossless=True)
    assert len(content) < 0.5 * len(mnistzip.encode_archive(digits[:50], lossless=True, model="mnist"))
    with mnistzip.Archive(content) as archive:
        assert all((x == y).all() for x, y in zip(digits[:50], archive, strict=True))
        assert (archive[17] == digits[17]).all()


@pytest.mark.parametrize("change", ["shifted", "inverted", "brighter", "mirrored", "noise"])
def test_other_images_are_coded_without_a_bitmap(digits: Pixels, change: str) -> None:
    x = digits[3].copy()
    if change == "shifted":
        x = np.roll(x, 2, axis=0)
    elif change == "inverted":
        x = 255 - x
    elif change == "brighter":
        x = np.where(x > 0, np.minimum(x.astype(int) + 3, 255), 0).astype(np.uint8)
    elif change == "mirrored":
        x = x[:, ::-1].copy()
    else:
        x = np.random.default_rng(5).integers(0, 256, (28, 28)).astype(np.uint8)
    file = mnistzip.encode(x, lossless=True)
    assert (mnistzip.decode(file) == x).all()
    if change != "mirrored":
        assert mnistzip.info(file).model != "mnist-bitmap"


def test_an_image_of_another_size_is_stored_by_the_model_of_bitmaps(digits: Pixels) -> None:
    x = np.hstack([digits[0], digits[1]])
    file = mnistzip.encode(x, lossless=True, model="mnist-bitmap")
    assert str(mnistzip.info(file).model).startswith("none")
    assert (mnistzip.decode(file) == x).all()


@pytest.mark.parametrize("options", [{}, {"quality": 10}, {"max_bytes": 40}, {"min_psnr": 30.0}, {"bare": True}], ids=str)
def test_the_model_of_bitmaps_refuses_to_code_with_loss(digits: Pixels, options: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="codes without loss only"):
        mnistzip.encode(digits[0], model="mnist-bitmap", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_a_damaged_bitmap_file_is_refused(digits: Pixels, engine: str) -> None:
    if engine == "native":
        pytest.importorskip("mnistzip._engine", reason="the extension is not built")
    file = mnistzip.encode(digits[0], lossless=True)
    assert mnistzip.info(file).model == "mnist-bitmap"
    with use(engine):
        assert (mnistzip.decode(file) == digits[0]).all()
        for k in range(3, len(file)):
            for bit in (1, 128):
                damaged = file[:k] + bytes([file[k] ^ bit]) + file[k + 1 :]
                with pytest.raises(FormatError):
                    mnistzip.decode(damaged)


def test_bounded_payloads_and_other_sizes_are_refused(digits: Pixels) -> None:
    model = shipped("mnist-bitmap")
    payload = encode_payloads(model, [b"x"], [digits[0]], [s for s in pixel_symbols(model, [digits[0]]) if s is not None])
    assert isinstance(decode_payloads(model, [b"x"], payload, [[(28, 28)]])[0], list)
    refused = decode_payloads(model, [b"x"], payload, [[(28, 29)]])[0]
    assert isinstance(refused, FormatError)
    assert "28x28" in str(refused)
    with pytest.raises(ModelError, match="without loss only"):
        decode_payloads(model, [b"x"], payload, [[(28, 28)]], 1)


def test_a_high_quality_keeps_every_pixel_of_a_digit_in_fewer_bytes(digits: Pixels) -> None:
    files = mnistzip.encode_many(digits[:20], quality=100)
    only = mnistzip.encode_many(digits[:20], quality=100, model="mnist")
    assert sum(map(len, files)) < sum(map(len, only))
    assert sum(mnistzip.info(file).mode == "lossless" for file in files) >= 15
