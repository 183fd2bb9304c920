from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import mnistzip
from mnistzip import api, tiling
from mnistzip.bitstream.container import Header, Method
from mnistzip.limits import DECODED_PIXELS_MAX, SIDE_MAX
from mnistzip.types import Mode, Pixels

images = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def textured(height: int, width: int, seed: int = 0) -> Pixels:
    """Something with edges and slopes, of any size."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(rows / (2 + 5 * random.random())) + np.sin(columns / (2 + 5 * random.random()))
    return (np.clip(waves, -1, 1) * 127 + 128).astype(np.uint8)


@pytest.mark.parametrize("model", ["mnist", "classic", "mnist-fast", "glyph"])
def test_a_digit_comes_back_looking_like_itself(model: str, digits: Pixels) -> None:
    files = mnistzip.encode_many(digits, model=model, effort=0)
    decoded = np.stack(mnistzip.decode_many(files))
    assert decoded.shape == digits.shape
    assert decoded.dtype == np.uint8
    assert mnistzip.psnr(digits, decoded) > 20
    assert max(map(len, files)) < 80


@settings(deadline=None, max_examples=30)
@given(image=images)
def test_lossless_keeps_every_pixel_of_any_image(image: Pixels) -> None:
    file = mnistzip.encode(image, lossless=True)
    assert (mnistzip.decode(file) == image).all()
    assert len(file) <= image.size + 8


@settings(deadline=None, max_examples=15)
@given(image=images, quality=st.integers(1, 100))
def test_lossy_takes_any_image_and_never_more_than_raw(image: Pixels, quality: int) -> None:
    file = mnistzip.encode(image, quality=quality, effort=0)
    assert mnistzip.decode(file).shape == image.shape
    assert len(file) <= image.size + 8


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (27, 29), (28, 28), (57, 56), (28 * 5, 28 * 7)])
def test_any_size_goes_through_tiles(shape: tuple[int, int]) -> None:
    image = textured(*shape)
    for quality in (10, 90):
        file = mnistzip.encode(image, quality=quality, effort=0)
        assert mnistzip.decode(file).shape == shape
        assert mnistzip.info(file).width == shape[1]


def test_tiling_repeats_edges_and_keeps_places() -> None:
    image = textured(30, 60)
    tiles = tiling.to_tiles(image)
    assert tiles.shape == (6, 28, 28)
    assert (tiling.from_tiles(tiles, 60, 30) == image).all()
    assert (tiles[3][2:] == tiles[3][1]).all()


def test_a_batch_gives_the_very_files_of_one_by_one(digits: Pixels) -> None:
    mixed: list[Pixels] = [*digits[:5], textured(40, 30), textured(3, 3), textured(120, 150)]
    together = mnistzip.encode_many(mixed, effort=1)
    assert together == [mnistzip.encode(image, effort=1) for image in mixed]
    assert together[::-1] == mnistzip.encode_many(mixed[::-1], effort=1)
    for one, other in zip(mnistzip.decode_many(together), map(mnistzip.decode, together), strict=True):
        assert (one == other).all()


def test_files_of_different_models_decode_together(digits: Pixels) -> None:
    files = [
        mnistzip.encode(digits[0], effort=0),
        mnistzip.encode(digits[1], lossless=True),
        mnistzip.encode(digits[2], effort=0, model="classic"),
        mnistzip.encode(digits[3], effort=0, quality=9),
    ]
    for image, file in zip(mnistzip.decode_many(files), files, strict=True):
        assert (image == mnistzip.decode(file)).all()
    assert mnistzip.decode_many([]) == []
    assert mnistzip.encode_many([]) == []


@pytest.mark.parametrize("model", ["auto", "mnist"])
def test_higher_quality_is_larger_and_better(model: str, digits: Pixels) -> None:
    sizes, decibels = [], []
    for quality in range(1, 101, 11):
        files = mnistzip.encode_many(digits, quality=quality, effort=0, model=model)
        sizes.append(sum(map(len, files)))
        decibels.append(mnistzip.psnr(digits, np.stack(mnistzip.decode_many(files))))
    if model == "mnist":  # by default, digits of high quality are lossless where that is smaller
        assert sizes == sorted(sizes)
    assert decibels == sorted(decibels)
    assert decibels[-1] - decibels[0] > 5


def test_effort_lowers_the_cost_that_it_searches_for(digits: Pixels) -> None:
    from mnistzip.models.registry import shipped

    lmbda = shipped("mnist").lmbda[49] / (256 * 2**14)  # bits per squared grey level

    def cost(effort: int) -> float:
        files = mnistzip.encode_many(digits[:16], effort=effort)
        error = mnistzip.mse(digits[:16], np.stack(mnistzip.decode_many(files))) * 784 * 16
        return 8 * sum(map(len, files)) + float(lmbda) * error

    assert cost(5) < cost(2) < cost(0)


@pytest.mark.parametrize("budget", [22, 30, 51, 140])
def test_max_bytes_fits_and_uses_what_it_may(budget: int, digits: Pixels) -> None:
    files = mnistzip.encode_many(digits[:12], max_bytes=budget, effort=0)
    assert max(map(len, files)) <= budget
    for image, file in zip(digits[:12], files, strict=True):
        quality = mnistzip.info(file).quality
        if quality is not None:
            for better in range(quality + 1, min(quality + 4, 101)):
                assert len(mnistzip.encode(image, quality=better, effort=0)) > budget


def test_max_bytes_prefers_every_pixel_if_they_fit(digits: Pixels) -> None:
    file = mnistzip.encode(digits[0], max_bytes=784)
    assert (mnistzip.decode(file) == digits[0]).all()


def test_a_budget_that_nothing_meets_is_an_error(digits: Pixels) -> None:
    with pytest.raises(mnistzip.LimitError, match=r"more than the 5 allowed"):
        mnistzip.encode(digits[0], max_bytes=5)
    with pytest.raises(mnistzip.LimitError, match="lossless"):
        mnistzip.encode(digits[0], lossless=True, max_bytes=20, model="mnist")
    with pytest.raises(mnistzip.LimitError, match="for 60 dB"):
        mnistzip.encode(digits[0], min_psnr=60, max_bytes=20)


@pytest.mark.parametrize("wanted", [20.0, 25.0, math.inf])
def test_min_psnr_is_reached(wanted: float, digits: Pixels) -> None:
    files = mnistzip.encode_many(digits[:8], min_psnr=wanted, effort=0)
    for image, file in zip(digits[:8], files, strict=True):
        assert mnistzip.psnr(image, mnistzip.decode(file)) >= wanted
    if wanted < 30:
        assert max(map(len, files)) < 100


def test_noise_is_kept_when_no_quality_is_good_enough() -> None:
    noise = np.random.default_rng(6).integers(0, 256, (28, 28)).astype(np.uint8)
    file = mnistzip.encode(noise, min_psnr=35, effort=0, model="glyph")
    assert mnistzip.info(file).mode == "bounded"
    assert mnistzip.psnr(noise, mnistzip.decode(file)) >= 35
    file = mnistzip.encode(noise, min_psnr=60, effort=0)
    assert mnistzip.info(file).mode == "lossless"
    assert (mnistzip.decode(file) == noise).all()


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((28, 28)), "float64"),
        (np.zeros((28, 28), np.int64), "int64"),
        (np.full((2, 2), -1, np.int16), "int16"),
        (np.zeros((28, 28), bool), "bool"),
        (np.zeros((1, 28, 28), np.uint8), "shape"),
        (np.zeros((2, 2, 2, 2), np.uint8), "shape"),
        (np.zeros(28, np.uint8), "shape"),
        (np.zeros((0, 28), np.uint8), "sides"),
        (np.broadcast_to(np.zeros((), np.uint8), (65536, 1)), "sides"),
        (np.broadcast_to(np.zeros((), np.uint8), (60000, 60000)), "pixels"),
    ],
)
def test_other_arrays_are_refused_with_a_reason(image: NDArray[np.generic], says: str) -> None:
    with pytest.raises(mnistzip.ImageError, match=says):
        mnistzip.encode(image)


def test_views_of_arrays_are_taken_as_they_look(digits: Pixels) -> None:
    view = digits[0][::-1, ::2]
    view.flags.writeable = False
    assert mnistzip.encode(view, effort=0) == mnistzip.encode(view.copy(), effort=0)


@pytest.mark.parametrize("wanted", [float("nan"), -1.0, "high"])
def test_a_psnr_that_is_none_is_refused(wanted: float, digit: Pixels) -> None:
    with pytest.raises(mnistzip.OptionError, match="min_psnr"):
        mnistzip.encode(digit, min_psnr=wanted)
    with pytest.raises(mnistzip.OptionError, match="bytes"):
        mnistzip.decode(5)  # type: ignore[arg-type]


def test_flat_images_are_stored_where_that_is_smaller() -> None:
    white = np.full((280, 280), 255, np.uint8)
    file = mnistzip.encode(white, effort=0)
    assert len(file) < 110
    assert (mnistzip.decode(file) == white).all()


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"quality": 50.0}, {"effort": 10}, {"max_bytes": 0}])
def test_options_outside_their_range_are_named(options: dict[str, int], digit: Pixels) -> None:
    with pytest.raises(mnistzip.MnistzipError, match=next(iter(options))):
        mnistzip.encode(digit, **options)  # type: ignore[arg-type]


def refused_or_same(data: bytes, image: Pixels) -> bool:
    """Whether damaged bytes give an error, or the identical pixels."""
    try:
        return bool(np.array_equal(mnistzip.decode(data), image))
    except mnistzip.MnistzipError:
        return True


@pytest.mark.parametrize("options", [{}, pytest.param({"lossless": True}, marks=pytest.mark.slow), {"model": "classic"}])
@pytest.mark.usefixtures("each_engine")
def test_no_flipped_bit_gives_a_wrong_picture(options: dict[str, object], digit: Pixels) -> None:
    file = mnistzip.encode(digit, effort=0, **options)  # type: ignore[arg-type]
    image = mnistzip.decode(file)
    for bit in range(8 * len(file)):
        data = bytearray(file)
        data[bit // 8] ^= 1 << bit % 8
        assert refused_or_same(bytes(data), image), f"bit {bit}"


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"model": "classic"}])
def test_cut_joined_and_lengthened_files_are_refused(options: dict[str, object], digit: Pixels) -> None:
    file = mnistzip.encode(digit, effort=0, **options)  # type: ignore[arg-type]
    for data in [*(file[:size] for size in range(len(file))), file + b"\0", file + b"\xff", file + file]:
        with pytest.raises(mnistzip.FormatError):
            mnistzip.decode(data)


@pytest.mark.parametrize("payload", [bytes(25), b"\xff" * 25, bytes(range(25)), b"\x80" + bytes(200)])
@pytest.mark.parametrize("header", ["cae132", "cae18132", "cae1a0", "cae1a1", "cae1c0326464"])
def test_any_payload_gives_an_error_of_ours(header: str, payload: bytes) -> None:
    with pytest.raises(mnistzip.FormatError):
        mnistzip.decode(bytes.fromhex(header) + payload)


def test_the_file_at_fault_is_named(digit: Pixels) -> None:
    good = mnistzip.encode(digit, effort=0)
    with pytest.raises(mnistzip.FormatError, match="file 1"):
        mnistzip.decode_many([good, good[:-1], good])


def test_each_of_many_files_has_a_verdict_of_its_own(digits: Pixels) -> None:
    good = mnistzip.encode_many(digits[:20], effort=0) + mnistzip.encode_many(digits[:20], lossless=True)
    bad = [
        good[0][:-1],
        good[1][:5] + b"\0" + good[1][6:],
        good[21][:-1],
        b"",
        b"PNG",
        good[0][:2] + b"\x80\x0d\x32",
        good[3][:3] + b"\0",
    ]
    mixed = [file for pair in zip(good[:7], bad, strict=True) for file in pair] + good[7:]

    def verdict(file: bytes) -> Pixels | str:
        try:
            return mnistzip.decode(file)
        except mnistzip.MnistzipError as error:
            return repr(error)

    for file, result in zip(mixed, api.decode_each(mixed), strict=True):
        assert np.array_equal(verdict(file), repr(result) if isinstance(result, mnistzip.MnistzipError) else result)
    assert sum(isinstance(result, mnistzip.MnistzipError) for result in api.decode_each(mixed)) == len(bad)


@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_decoded_unasked_takes_seconds(mode: Mode) -> None:
    limit = DECODED_PIXELS_MAX[mode]
    names: dict[str, Any] = {"model": 0} if mode is not Mode.STORED else {"method": Method.RAW}
    names |= {Mode.LOSSY: {"quality": 50}, Mode.BOUNDED: {"max_error": 9}}.get(mode, {})
    header = Header(mode, limit // 2048, 2048, **names)
    with pytest.raises(mnistzip.FormatError):  # it gets as far as the payload
        mnistzip.decode(header.to_bytes() + bytes(9))
    larger = replace(header, width=header.width + 1)
    with pytest.raises(mnistzip.LimitError, match=f"limit of {limit} pixels: max_pixels"):
        mnistzip.decode(larger.to_bytes() + bytes(9))
    with pytest.raises(mnistzip.FormatError):
        mnistzip.decode(larger.to_bytes() + bytes(9), max_pixels=2 * limit)


def test_large_images_are_refused_before_memory_is_taken() -> None:
    huge = bytes.fromhex("cae1c032ffff03ffff03") + bytes(30)
    with pytest.raises(mnistzip.LimitError, match="65535x65535"):
        mnistzip.decode(huge)
    within = bytes.fromhex("cae1c032ffff037f") + bytes(30)  # 65535x127, under the limit, but a payload of 30 bytes
    with pytest.raises(mnistzip.FormatError, match="cannot hold"):
        mnistzip.decode(within)
    assert mnistzip.info(huge).width == SIDE_MAX
    with pytest.raises(mnistzip.LimitError):
        mnistzip.decode(mnistzip.encode(np.zeros((28, 28), np.uint8), lossless=True), max_pixels=700)


def test_deflated_pixels_cannot_expand_beyond_the_header() -> None:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(1 << 24)) + packer.flush()
    with pytest.raises(mnistzip.FormatError):
        mnistzip.decode(bytes.fromhex("cae1a1") + bomb + b"\0\0")


@pytest.mark.parametrize("limit", ["9", 1.5, 0, -1, True, float("inf")])
def test_a_limit_that_is_no_number_of_pixels_is_refused(limit: Any, digit: Pixels) -> None:
    file, stream = mnistzip.encode(digit, effort=0), mnistzip.encode(digit, effort=0, bare=True)
    archive = mnistzip.encode_archive([digit], effort=0)
    for read in (
        lambda: mnistzip.decode(file, max_pixels=limit),
        lambda: mnistzip.api.decode_each([file], max_pixels=limit),
        lambda: mnistzip.preview(file, max_pixels=limit),
        lambda: mnistzip.decode_bare(stream, max_pixels=limit),
        lambda: mnistzip.Archive(archive, max_pixels=limit),
    ):
        with pytest.raises(mnistzip.OptionError, match="max_pixels is"):
            read()
    assert mnistzip.decode(file, max_pixels=np.int64(784)).shape == digit.shape  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [28, (28,), (28, 28, 1), ("a", "b"), (0, 28), None])
def test_a_shape_that_is_none_is_refused(shape: Any, digit: Pixels) -> None:
    with pytest.raises(mnistzip.OptionError, match=r"shape is|side is"):
        mnistzip.decode_bare(mnistzip.encode(digit, effort=0, bare=True), shape=shape)


def test_what_cannot_be_an_array_is_refused_and_any_iterable_is_decoded(digits: Pixels) -> None:
    with pytest.raises(mnistzip.ImageError, match="the image is no array"):
        mnistzip.encode([[1, 2], [3]])  # type: ignore[list-item]
    files = mnistzip.encode_many(digits[:3], effort=0)
    assert len(mnistzip.decode_many(file for file in files)) == 3


@pytest.mark.parametrize("path", ["a\0b", "\0"])
def test_a_path_with_a_zero_is_refused(path: str) -> None:
    with pytest.raises(mnistzip.OptionError, match="no path"):
        mnistzip.Archive(path)
