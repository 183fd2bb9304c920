"""The codec for numcodecs, with the real numcodecs, and Zarr v2 through it."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore, MemoryStore

import mnistzip
from mnistzip.errors import FormatError, ImageError, OptionError
from mnistzip.plugins.numcodecs import MnistzipCodec
from mnistzip.types import Pixels


def test_numcodecs_finds_the_codec_by_its_entry_point() -> None:
    codec = numcodecs.get_codec({"id": "mnistzip", "quality": 30})
    assert codec == MnistzipCodec(quality=30)
    assert repr(codec) == "MnistzipCodec(quality=30, lossless=False, effort=3, model='auto')"


def test_a_channel_axis_behind_the_images_costs_nothing_and_is_left_out(digits: Pixels) -> None:
    codec = MnistzipCodec(lossless=True)
    packed = codec.encode(digits[..., None])
    assert packed == codec.encode(digits)
    assert np.array_equal(codec.decode(packed), digits)
    out = np.zeros((64, 28, 28, 1), np.uint8)
    codec.decode(packed, out)
    assert np.array_equal(out[..., 0], digits)
    array = zarr.create_array(
        MemoryStore(), shape=out.shape, dtype="uint8", chunks=(10, 28, 28, 1), compressors=codec, zarr_format=2
    )
    array[:] = out
    assert np.array_equal(array[:], out)


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (5, 28, 28), (2, 3, 9, 30)])
def test_lossless_arrays_come_back_in_their_shape(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    codec = MnistzipCodec(lossless=True)
    packed = codec.encode(pixels)
    for given in (packed, bytearray(packed), memoryview(packed), np.frombuffer(packed, np.uint8)):
        assert np.array_equal(codec.decode(given), pixels)
    assert np.array_equal(codec.decode(codec.encode(memoryview(pixels))), pixels)
    assert np.array_equal(codec.decode(codec.encode(np.repeat(pixels, 2, axis=-1)[..., ::2])), pixels)


def test_lossy_arrays_hold_the_very_pixels_that_decode_gives(digits: Pixels) -> None:
    codec = MnistzipCodec(quality=70, effort=0)
    wanted = mnistzip.decode_many(mnistzip.encode_many(digits, quality=70, effort=0))
    assert np.array_equal(codec.decode(codec.encode(digits)), wanted)


def test_out_is_filled_where_it_fits_and_refused_where_it_does_not(digits: Pixels) -> None:
    codec = MnistzipCodec(lossless=True)
    packed = codec.encode(digits[:3])
    for out in (np.empty((3, 28, 28), np.uint8), np.empty(3 * 784, np.uint8), bytearray(3 * 784)):
        codec.decode(packed, out=out)
        assert np.array_equal(np.frombuffer(out, np.uint8).reshape(3, 28, 28), digits[:3])
    for wrong in (np.empty((2, 28, 28), np.uint8), np.empty((3, 28, 28), np.uint8, order="F"), bytearray(1)):
        with pytest.raises(OptionError, match="give 2352"):
            codec.decode(packed, out=wrong)


@pytest.mark.parametrize(
    "array",
    [np.zeros((28, 28), np.int8), np.zeros((28, 28), np.float32), np.zeros(784, np.uint8), np.zeros((0, 28, 28), np.uint8)],
    ids=["int8", "float32", "flat", "empty"],
)
def test_what_is_not_of_images_is_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="mnistzip takes"):
        MnistzipCodec().encode(array)


def test_the_order_of_fortran_is_refused_rather_than_scrambled(digits: Pixels) -> None:
    with pytest.raises(ImageError, match="order 'C'"):
        MnistzipCodec().encode(np.asfortranarray(digits))


def test_the_configuration_comes_back_from_json() -> None:
    codec = MnistzipCodec(quality=30, effort=1, min_psnr=20.5, max_bytes=200, model="classic")
    assert numcodecs.get_codec(json.loads(json.dumps(codec.get_config()))) == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert MnistzipCodec(quality=np.int64(40)).get_config()["quality"] == 40
    for wrong in ({"quality": 0}, {"speed": 1}, {"lossless": "yes"}):
        with pytest.raises(OptionError):
            MnistzipCodec(**wrong)


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01\x00", b"\x02\x00\xca\xe1", bytes(100), b"\xff" * 100])
def test_what_is_no_chunk_is_a_clear_error(content: bytes) -> None:
    with pytest.raises(FormatError, match="the chunk cannot be read"):
        MnistzipCodec().decode(content)


def test_zarr_v2_keeps_arrays_with_it(digits: Pixels, tmp_path: Path) -> None:
    codec = MnistzipCodec(lossless=True)
    array = zarr.create_array(
        LocalStore(tmp_path), shape=digits.shape, dtype="uint8", chunks=(10, 28, 28), compressors=codec, zarr_format=2
    )
    array[:] = digits
    assert json.loads((tmp_path / ".zarray").read_text())["compressor"] == codec.get_config()
    again = zarr.open_array(tmp_path, mode="r")
    assert np.array_equal(again[:], digits)
    assert np.array_equal(again[17, 3:5], digits[17, 3:5])


def test_zarr_v2_in_fortrans_order_is_refused_rather_than_scrambled(digits: Pixels) -> None:
    array = zarr.create_array(
        MemoryStore(),
        shape=digits.shape,
        dtype="uint8",
        chunks=(8, 28, 28),
        compressors=MnistzipCodec(effort=0),
        zarr_format=2,
        order="F",
    )
    with pytest.raises(ImageError, match="order 'C'"):
        array[:] = digits


def test_threads_share_a_codec(digits: Pixels) -> None:
    codec = MnistzipCodec(effort=0)
    with ThreadPoolExecutor(8) as pool:
        back = list(pool.map(lambda image: codec.decode(codec.encode(image)), digits))
    assert np.array_equal(back, mnistzip.decode_many(mnistzip.encode_many(digits, effort=0)))
