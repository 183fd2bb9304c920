"""Single images from files and back to files, through Pillow."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from mnistzip import api
from mnistzip.bitstream.container import is_cae
from mnistzip.errors import ImageError, LimitError, MnistzipError
from mnistzip.idx import is_idx
from mnistzip.io.grey_levels import grey_levels
from mnistzip.limits import INPUT_FILE_MAX, PIXELS_MAX
from mnistzip.models.registry import Model
from mnistzip.types import Pixels

STREAM = "-"
SUFFIX = ".cae"
BARE_SUFFIX = ".bare"  # a coder's bytes without a header
LOSSLESS_KINDS: dict[str, dict[str, object]] = {  # what decompressed images are written as: kinds that keep every pixel
    ".png": {"format": "PNG", "optimize": True},
    ".pgm": {"format": "PPM"},
    ".bmp": {"format": "BMP"},
    ".tif": {"format": "TIFF"},
    ".tiff": {"format": "TIFF"},
    ".webp": {"format": "WEBP", "lossless": True},
}
IMAGE_SUFFIXES = {  # the usual ones; data.folders knows all that Pillow opens, which takes a while
    *(".png", ".apng", ".bmp", ".dib", ".gif", ".ico", ".icns", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".avif"),
    *(".pgm", ".pbm", ".ppm", ".pnm", ".pfm", ".pcx", ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp"),
}
PIECE = 1 << 20  # read together from a pipe


logging.getLogger("PIL").setLevel(logging.CRITICAL)  # an error is one line of ours, not some of Pillow's as well


def read_bytes(name: str) -> bytes:
    """The content of a file, or of stdin for ``-``."""
    if name == STREAM:
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdin")
        return _limited("stdin", sys.stdin.buffer)
    if os.path.isdir(name):
        with os.scandir(name):  # a search gives a folder that it could not read: here the system says why
            raise ImageError(f"{name} is a folder")
    size = os.stat(name).st_size  # of a pipe 0
    if size > INPUT_FILE_MAX:
        raise LimitError(f"{name} has {size} bytes, more than the {INPUT_FILE_MAX} that are read at once")
    with open(name, "rb") as file:
        return file.read() if os.path.isfile(name) else _limited(name, file)


def _limited(name: str, pipe: IO[bytes]) -> bytes:
    """All that a pipe gives, unless that is too much."""
    held = io.BytesIO()
    while piece := pipe.read(PIECE):
        held.write(piece)
        if held.tell() > INPUT_FILE_MAX:
            raise LimitError(f"{name} gives more than the {INPUT_FILE_MAX} bytes that are taken from a pipe: give it as a file")
    return held.getvalue()


def read_image(name: str, convert: bool = False) -> Pixels:
    """A greyscale image, uint8 of shape ``(H, W)``, from any file that Pillow reads.

    Grey stored as RGB, palette or 1 bit is taken as it is, EXIF rotation is applied.

    Args:
        convert: also take colour, transparency (put on white), 16 bits and the first frame of animations.

    Raises:
        ImageError: not an image, damaged, or it needs ``convert``.
    """
    return parse_image(name, read_bytes(name), convert)


def any_image(
    name: str, convert: bool = False, model: str | Path | Model | None = None, max_pixels: int | None = None
) -> tuple[Pixels, int]:
    """The image of a ``.cae`` file or of any file that Pillow reads, and the bytes of the file."""
    content = read_bytes(name)
    return image_of(name, content, convert, model, max_pixels), len(content)


def image_of(
    name: str, content: bytes, convert: bool = False, model: str | Path | Model | None = None, max_pixels: int | None = None
) -> Pixels:
    """The image in the bytes of such a file."""
    if is_cae(content):
        return api.decode(content, model=model, max_pixels=max_pixels)
    return parse_image(name, content, convert)


def parse_image(name: str, content: bytes, convert: bool = False) -> Pixels:
    """The same from the bytes of a file."""
    if not content:
        raise ImageError(f"{name} is empty")
    if is_cae(content):  # Pillow would open it where our own plugin is registered
        raise ImageError(f"{name} is not an image that can be read ({_kind(content)})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's notes on odd metadata are no news to our user
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.verify()  # a PNG that lost its end would load all the same
            with Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > PIXELS_MAX:
                    raise LimitError(f"{name} is {image.width}x{image.height}: more than {PIXELS_MAX} pixels")
                return grey_levels(name, image, content, convert)
        except UnidentifiedImageError as cause:
            raise ImageError(f"{name} is not an image that can be read ({_kind(content)})") from cause
        except Image.DecompressionBombError as cause:
            raise LimitError(f"{name}: {cause}") from cause
        except MnistzipError:
            raise
        except Exception as cause:  # Pillow's readers have many ways to say that a file is damaged
            raise ImageError(f"{name} is a damaged image: {cause}") from cause


def _kind(content: bytes) -> str:
    if is_cae(content):
        return "it is a .cae file: decompress it"
    if is_idx(content) or content[:2] == b"\x1f\x8b":
        return "it looks like an IDX data set, which goes into an archive"
    return f"it begins with {content[:4].hex(' ')}"


def is_written(suffix: str) -> bool:
    """Whether images are written as files of such a suffix: those of kinds that keep every pixel."""
    return suffix in LOSSLESS_KINDS or suffix == ".npy"


def require_kind(suffix: str) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` unless images are written as files of such a suffix."""
    if not is_written(suffix):
        kinds = ", ".join([*LOSSLESS_KINDS, ".npy"])
        raise ImageError(f"no image is written as {suffix!r}: use one of {kinds}, which keep every pixel")


def write_image(pixels: Pixels, suffix: str) -> bytes:
    """The bytes of an image file of the kind that a suffix names; only kinds that keep every pixel, and ``.npy``."""
    out = io.BytesIO()
    if suffix == ".npy":
        np.save(out, pixels)
        return out.getvalue()
    require_kind(suffix)
    try:
        Image.fromarray(pixels).save(out, **LOSSLESS_KINDS[suffix])  # type: ignore[arg-type]
    except ValueError as cause:  # WebP ends at 16,383 pixels a side
        raise ImageError(f"{pixels.shape[1]}x{pixels.shape[0]} is no size for {suffix}: {cause}") from cause
    return out.getvalue()


def png_bytes(pixels: Pixels) -> int:
    """What the image takes as an optimized PNG."""
    return len(write_image(pixels, ".png"))
