"""Images, labels and indices as callers have them: of Pillow, numpy, pandas. Tensors are in test_torch.py."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFile

import mnistzip
from mnistzip.types import Pixels
from mnistzip.validation import as_image

GREY = [level for level in range(255, -1, -1) for _ in range(3)]  # index 0 is white


@pytest.fixture
def picture(digit: Pixels) -> Image.Image:
    return Image.fromarray(digit)


def palette_image(digit: Pixels, palette: list[int]) -> Image.Image:
    """An image whose indices are a digit's grey levels."""
    image = Image.frombytes("P", digit.shape[::-1], digit.tobytes())
    image.putpalette(palette)
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    """The image as it comes from a file, not read yet."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


def test_a_grey_image_of_pillow_is_coded_as_its_pixels_are(picture: Image.Image, digit: Pixels) -> None:
    wanted = mnistzip.encode(digit)
    assert mnistzip.encode(picture) == wanted  # type: ignore[arg-type]
    assert mnistzip.encode(saved(picture, "PNG")) == wanted  # type: ignore[arg-type]
    subclass = type("Picture", (Image.Image,), {"__module__": "elsewhere"})()
    subclass.__dict__.update(picture.__dict__)
    assert mnistzip.encode(subclass) == wanted


@pytest.mark.parametrize("kind", ["made", "PNG", "GIF"])
def test_the_levels_of_a_grey_palette_are_coded_not_its_indices(kind: str, digit: Pixels) -> None:
    image = palette_image(digit, GREY)
    assert np.array_equal(as_image(image if kind == "made" else saved(image, kind), 0), 255 - digit)  # type: ignore[arg-type]
    unused = palette_image(digit.clip(0, 200), [*GREY[:603], 255, 0, 0])  # no pixel is red
    assert np.array_equal(as_image(unused, 0), 255 - digit.clip(0, 200))  # type: ignore[arg-type]


def test_black_and_white_are_0_and_255(digit: Pixels) -> None:
    image = Image.fromarray(digit > 127)
    assert image.mode == "1"
    assert np.array_equal(as_image(image, 0), np.where(digit > 127, 255, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "PA"])
def test_other_modes_are_refused_with_the_call_that_helps(mode: str, picture: Image.Image) -> None:
    with pytest.raises(mnistzip.ImageError, match=rf"the image is a Pillow image of mode {mode}: give image.convert\('L'\)"):
        mnistzip.encode(picture.convert(mode))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_8_bits_are_refused_with_what_to_do(mode: str, picture: Image.Image) -> None:
    with pytest.raises(mnistzip.ImageError, match=f"mode {mode}: scale its levels to uint8"):
        mnistzip.encode(picture.convert(mode))  # type: ignore[arg-type]


def test_palettes_with_colours_or_transparency_are_refused(digit: Pixels) -> None:
    coloured = palette_image(digit, [1, *GREY[1:]])
    clear = palette_image(digit, GREY)
    clear.info["transparency"] = 0
    see_through = palette_image(digit, GREY)
    see_through.putpalette([0, 0, 0, 9] * 256, "RGBA")
    short = palette_image(digit, GREY[:30])  # pixels beyond its end
    for image in (coloured, clear, saved(clear, "PNG", transparency=0), see_through, short):
        with pytest.raises(mnistzip.ImageError, match="colours or transparency"):
            mnistzip.encode(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pack",
    [
        lambda images: mnistzip.decode_many(mnistzip.encode_many(images, lossless=True)),
        lambda images: list(mnistzip.Archive(mnistzip.encode_archive(images, lossless=True))),
        lambda images: list(mnistzip.Archive(mnistzip.encode_archive(iter(images), lossless=True, threads=2))),
    ],
)
def test_every_function_takes_images_of_pillow(pack: Callable[[Any], Any], digits: Pixels) -> None:
    images = [Image.fromarray(digits[0]), palette_image(digits[1], GREY), digits[2]]
    assert np.array_equal(np.stack(pack(images)), [digits[0], 255 - digits[1], digits[2]])
    with pytest.raises(mnistzip.ImageError, match="image 1 is a Pillow image of mode RGB"):
        pack([digits[0], images[0].convert("RGB")])  # type: ignore[union-attr]


def test_a_file_of_pillow_that_is_cut_short_is_an_error_of_pillow(picture: Image.Image) -> None:
    file = io.BytesIO()
    picture.save(file, "PNG")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(OSError, match="truncated"):
        mnistzip.encode(Image.open(io.BytesIO(file.getvalue()[:150])))  # type: ignore[arg-type]


def test_arrays_do_without_pillow() -> None:
    program = "import sys, numpy, mnistzip; mnistzip.encode(numpy.zeros((3, 3), 'u1')); print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_numpy_makes_an_array_of_is_taken(digit: Pixels) -> None:
    wanted = mnistzip.encode(digit, lossless=True)
    assert mnistzip.encode(pd.DataFrame(digit), lossless=True) == wanted
    assert mnistzip.encode(memoryview(digit), lossless=True) == wanted
    assert mnistzip.encode(digit[::-1, ::-1][::-1, ::-1], lossless=True) == wanted


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 1, 2], np.uint8),
        np.array([3, 1, 2], ">i4"),
        pd.Series([3, 1, 2], index=[9, 8, 7]),
        (np.array(3), np.int16(1), 2),
        iter([3, 1, 2]),
        [3, 1, 2],
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_any_integers_are_labels(labels: Any, digits: Pixels) -> None:
    read = mnistzip.Archive(mnistzip.encode_archive(digits[:3], labels=labels, lossless=True)).labels
    assert read is not None
    assert read.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.ones((3, 1), int), r"labels have shape \(3, 1\): give one dimension"),
        (pd.DataFrame({"label": [1, 2, 3]}), r"labels have shape \(3, 1\)"),
        (np.eye(3, 10, dtype=int), r"labels have shape \(3, 10\)"),
        ([1, 2], "there are 2 labels for 3 images: give one for each"),
        (range(4), "there are 4 labels for 3 images"),
        (iter([1, 2]), "fewer names or labels than images"),
        (iter([1, 2, 3, 4]), "more names or labels than images"),
        ([1, 2.0, 3], "label 2.0 of image 1 is not an integer"),
        (np.array([1.0, 2, 3]), "of image 0 is not an integer"),
        (pd.Series([1, None, 3]), "of image 0 is not an integer"),
        ([1, True, 3], "label True of image 1 is not an integer"),
        (np.array([True, False, True]), "of image 0 is not an integer"),
        ("123", "label '1' of image 0 is not an integer"),
        ([[1], [2], [3]], r"label \[1\] of image 0 is not an integer"),
        ([np.array([1]), 2, 3], r"label array\(\[1\]\) of image 0 is not an integer"),
        ([1 << 63, 0, 0], "label 9223372036854775808 of image 0 is not an integer of 64 bits"),
        ([0, -(1 << 63) - 1, 0], "of image 1 is not an integer of 64 bits"),
        (np.array([1 << 63, 0, 0], np.uint64), "of image 0 is not an integer of 64 bits"),
    ],
)
def test_labels_that_are_not_an_integer_for_each_image_are_refused(labels: Any, said: str, digits: Pixels) -> None:
    with pytest.raises(mnistzip.OptionError, match=said):
        mnistzip.encode_archive(digits[:3], labels=labels, lossless=True)


def test_too_few_names_are_refused_before_an_image_is_added(digits: Pixels) -> None:
    with mnistzip.ArchiveWriter(io.BytesIO(), lossless=True) as writer:
        with pytest.raises(mnistzip.OptionError, match="there are 1 names for 2 images"):
            writer.extend(digits[:2], names=["a"])
        assert writer.count == 0
        writer.extend(digits[:2], names=["a", "b"])
        assert writer.count == 2


def test_any_integer_is_an_index_of_an_archive(digits: Pixels) -> None:
    archive = mnistzip.Archive(mnistzip.encode_archive(digits, lossless=True))
    for index in (3, np.int64(3), np.uint8(3), np.array(3), np.array(-61, np.int8)):
        assert np.array_equal(archive[index], digits[3])  # type: ignore[call-overload]
        assert 3 in archive.group_of(index)  # type: ignore[arg-type]
    assert np.array_equal(archive.read(np.array([5, -1], np.int16)), digits[[5, -1]])  # type: ignore[arg-type]
    assert np.array_equal(archive[np.int64(3) : np.int64(9) : np.uint8(2)], digits[3:9:2])  # type: ignore[misc]
    assert np.array_equal(archive[np.array(60) :], digits[60:])  # type: ignore[misc]
    for odd in (1.0, np.float32(1), "1", None, True, np.True_, np.array(True), np.array([1]), [1], np.array(["a"])):
        with pytest.raises(mnistzip.OptionError, match="no index of an image"):
            archive[odd]  # type: ignore[call-overload]
        with pytest.raises(mnistzip.OptionError, match="no index of an image"):
            archive.read([odd])  # type: ignore[list-item]
    with pytest.raises(mnistzip.OptionError, match="no index of an image"):
        archive.read(digits[:, 0, 0] > 3)  # type: ignore[arg-type]
    for beyond in (64, -65, np.uint64(1 << 63)):
        with pytest.raises(IndexError, match=f"image {beyond} of an archive of 64"):
            archive[beyond]


def test_numbers_of_numpy_are_options(digit: Pixels) -> None:
    file = mnistzip.encode(digit, quality=np.int64(30), effort=np.uint8(1))  # type: ignore[arg-type]
    assert file == mnistzip.encode(digit, quality=30, effort=1)
    assert mnistzip.decode(file, max_pixels=np.int32(784)).shape == (28, 28)  # type: ignore[arg-type]
    assert mnistzip.encode(digit, max_bytes=np.int64(60)) == mnistzip.encode(digit, max_bytes=60)  # type: ignore[arg-type]
    for number in (np.int8(64), np.uint8(64), np.int64(64)):
        near = mnistzip.encode(digit, max_error=number, model="mnist")  # type: ignore[arg-type]
        assert near == mnistzip.encode(digit, max_error=64, model="mnist")
    bare = mnistzip.encode(digit, bare=True)
    for dtype in (np.uint8, np.uint16, np.int16):
        assert np.array_equal(mnistzip.decode_bare(bare, shape=np.array([28, 28], dtype)), mnistzip.decode_bare(bare))  # type: ignore[arg-type]
    with pytest.raises(mnistzip.LimitError, match="32767x32767"):
        mnistzip.decode_bare(bare, shape=np.array([32767, 32767], np.int16))  # type: ignore[arg-type]


def test_lossless_takes_no_budget_of_psnr(digit: Pixels) -> None:
    with pytest.raises(mnistzip.OptionError, match="takes no min_psnr"):
        mnistzip.encode(digit, lossless=True, min_psnr=30)


def test_a_view_of_larger_items_is_taken_as_its_bytes(digit: Pixels) -> None:
    file = mnistzip.encode(np.hstack([digit] * 2), model="mnist")
    even = memoryview(file[: len(file) // 2 * 2]).cast("H")
    assert mnistzip.info(even).header_bytes == mnistzip.info(file).header_bytes  # type: ignore[arg-type]
