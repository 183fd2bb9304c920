"""Images and arrays of all sorts: none costs more than its pixels and a header, none is taken for what it is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

import mnistzip
from mnistzip.io.image_file import parse_image
from mnistzip.types import Pixels
from support.paths import DATA

CHECK_BYTES = 2  # of a stored file


def photo(height: int, width: int) -> Pixels:
    """Like a photograph: slopes, edges of all sizes, and the noise of a sensor."""
    random = np.random.default_rng(3)
    image = np.zeros((height, width))
    for size in (1, 2, 5, 11, 29, 60):
        coarse = random.normal(size=(-(-height // size), -(-width // size)))
        image += np.kron(coarse, np.ones((size, size)))[:height, :width] * size**0.7
    return np.clip((image - image.mean()) / image.std() * 50 + 110 + random.normal(size=image.shape), 0, 255).astype(np.uint8)


RANDOM = np.random.default_rng(2)
IMAGES = {
    "noise": RANDOM.integers(0, 256, (28, 28)).astype(np.uint8),
    "large noise": RANDOM.integers(0, 256, (100, 90)).astype(np.uint8),
    "black": np.zeros((28, 28), np.uint8),
    "white": np.full((28, 28), 255, np.uint8),
    "large white": np.full((100, 100), 255, np.uint8),
    "1x1": np.full((1, 1), 77, np.uint8),
    "1x5000": RANDOM.integers(0, 256, (5000, 1)).astype(np.uint8),
    "5000x1": RANDOM.integers(0, 256, (1, 5000)).astype(np.uint8),
    "27x29": RANDOM.integers(0, 256, (29, 27)).astype(np.uint8),
    "photo": photo(120, 160),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("model", ["mnist-fast", "classic"])
def test_no_image_costs_more_than_its_pixels_and_a_header(model: str, name: str) -> None:
    image = IMAGES[name]
    for options in ({"lossless": True}, {"effort": 0}):
        file = mnistzip.encode(image, model=model, **options)  # type: ignore[arg-type]
        assert len(file) <= image.size + mnistzip.info(file).header_bytes + CHECK_BYTES
        assert mnistzip.decode(file).shape == image.shape
        if "lossless" in options:
            assert (mnistzip.decode(file) == image).all()


@pytest.mark.parametrize("name", IMAGES)
def test_no_archive_costs_more_than_its_pixels_and_a_frame(name: str) -> None:
    images = [IMAGES[name]] * 3
    data = mnistzip.encode_archive(images, lossless=True, model="mnist-fast")
    lanes = 3 * (CHECK_BYTES + 3)  # each has a check and its size in the table
    assert len(data) <= 3 * images[0].size + len(mnistzip.encode_archive([])) + 20 + 52 + lanes
    assert all((image == images[0]).all() for image in mnistzip.Archive(data))


ARRAYS = {
    "float": np.zeros((28, 28), np.float32),
    "not a number": np.full((28, 28), np.nan),
    "int64": np.zeros((28, 28), np.int64),
    "negative": np.full((28, 28), -1, np.int8),
    "uint16": np.full((28, 28), 300, np.uint16),
    "bool": np.zeros((28, 28), bool),
    "complex": np.zeros((28, 28), complex),
    "objects": np.full((28, 28), None),
    "text": np.full((28, 28), "0"),
    "4-D": np.zeros((1, 1, 28, 28), np.uint8),
    "3-D": np.zeros((28, 28, 3), np.uint8),
    "1-D": np.zeros(784, np.uint8),
    "0-D": np.uint8(7),
    "no rows": np.zeros((0, 28), np.uint8),
    "no columns": np.zeros((28, 0), np.uint8),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_no_image_is_refused_however_it_comes(name: str) -> None:
    for call in (mnistzip.encode, lambda array: mnistzip.encode_many([array]), lambda array: mnistzip.encode_archive([array])):
        with pytest.raises(mnistzip.ImageError):
            call(ARRAYS[name])


def test_the_way_an_array_lies_in_memory_does_not_matter(digits: Pixels) -> None:
    digit = digits[0]
    locked = digit.copy()
    locked.flags.writeable = False
    spread = np.zeros((56, 56), np.uint8)
    spread[::2, ::2] = digit
    ways = {
        "read-only": locked,
        "Fortran": np.asfortranarray(digit),
        "every other": spread[::2, ::2],
        "backwards": digit[::-1, ::-1].copy()[::-1, ::-1],
        "in a buffer": np.frombuffer(b"?" + digit.tobytes(), np.uint8, offset=1).reshape(28, 28),
        "lists": digit.astype(object).astype(np.uint8),
    }
    for options in ({"lossless": True}, {"effort": 0}):
        expected = mnistzip.encode(digit, **options)  # type: ignore[arg-type]
        for name, way in ways.items():
            before = way.tobytes()
            assert mnistzip.encode(way, **options) == expected, name  # type: ignore[arg-type]
            assert way.tobytes() == before
    assert mnistzip.encode_archive([locked, spread[::2, ::2]]) == mnistzip.encode_archive([digit, digit])


def test_no_part_of_a_png_is_taken_for_an_image() -> None:
    content = (DATA / "digit.png").read_bytes()
    for size in range(len(content) - 4):  # what is last is the check of an empty chunk
        with pytest.raises(mnistzip.ImageError):
            parse_image("digit.png", content[:size])


@pytest.mark.parametrize("turn", [1, 3, 6])
def test_large_images_are_converted_some_rows_at_a_time(turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    grey, colours = rng.integers(0, 256, (37, 23), np.uint8), rng.integers(0, 256, (37, 23, 4), np.uint8)
    almost = np.repeat(grey[..., None], 3, axis=2)
    almost[36, 22, 1] ^= 1  # only the last band has a colour
    files = {}
    for name, array in {"L": grey, "RGBA": colours, "RGB": almost, "I;16": grey.astype(np.uint16) * 200}.items():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = turn
        out = io.BytesIO()
        Image.fromarray(array).save(out, "PNG", exif=exif)
        files[name] = out.getvalue()
    whole = {name: parse_image(name, content, convert=True) for name, content in files.items()}
    monkeypatch.setattr("mnistzip.io.grey_levels.BAND_PIXELS", 100)
    for name, content in files.items():
        assert (parse_image(name, content, convert=True) == whole[name]).all()
        assert whole[name].shape == ((37, 23) if turn != 6 else (23, 37))
    assert (whole["L"] == np.rot90(grey, {1: 0, 3: 2, 6: 3}[turn])).all()
    with pytest.raises(mnistzip.ImageError, match="RGB has colours: --convert"):
        parse_image("RGB", files["RGB"])
    with pytest.raises(mnistzip.ImageError, match="RGBA has transparent pixels and has colours"):
        parse_image("RGBA", files["RGBA"])
