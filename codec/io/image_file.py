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
from mnistzip.io.formats import IMAGE_FORMATS
from mnistzip.io.grey_levels import grey_levels
from mnistzip.limits import INPUT_FILE_MAX, PIXELS_MAX
from mnistzip.models.registry import Model
from mnistzip.types import Pixels

STREAM = "-"  # the name of stdin and stdout
SUFFIX = ".cae"
BARE_SUFFIX = ".bare"  # entropy-coded bytes without a header
IMAGE_SUFFIXES = {  # the usual ones: folders.image_suffixes gives all that Pillow opens, which takes longer
    *(".png", ".apng", ".bmp", ".dib", ".gif", ".ico", ".icns", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".avif"),
    *(".pgm", ".pbm", ".ppm", ".pnm", ".pfm", ".pcx", ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp"),
}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIPE_CHUNK = 1 << 20  # bytes read at once from a pipe


logging.getLogger("PIL").setLevel(logging.CRITICAL)  # Pillow would print lines of its own next to our error


class _NamedFile(io.BytesIO):
    """A file in memory whose name tells Pillow the format, so that it imports no other."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def read_bytes(name: str) -> bytes:
    """The content of a file, or of stdin for ``-``.

    Raises:
        ImageError: it is a folder.
        LimitError: it has more than :data:`mnistzip.limits.INPUT_FILE_MAX` bytes.
    """
    if name == STREAM:
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdin")
        return _read_limited("stdin", sys.stdin.buffer)
    if os.path.isdir(name):
        with os.scandir(name):  # raises the system's error for a folder that cannot be read
            raise ImageError(f"{name} is a folder")
    size = os.stat(name).st_size  # 0 for a pipe
    if size > INPUT_FILE_MAX:
        raise LimitError(f"{name} has {size} bytes: the limit is {INPUT_FILE_MAX}")
    with open(name, "rb") as file:
        return file.read() if os.path.isfile(name) else _read_limited(name, file)


def _read_limited(name: str, pipe: IO[bytes]) -> bytes:
    """All bytes of a pipe, up to the limit."""
    content = io.BytesIO()
    while chunk := pipe.read(PIPE_CHUNK):
        content.write(chunk)
        if content.tell() > INPUT_FILE_MAX:
            raise LimitError(f"{name} gives more than {INPUT_FILE_MAX} bytes, the limit for pipes: give it as a file")
    return content.getvalue()


def read_image(name: str, convert: bool = False) -> Pixels:
    """A greyscale image, uint8 of shape ``(H, W)``, from any file that Pillow reads.

    Grey stored as RGB, palette or 1 bit needs no conversion. EXIF rotation is applied.

    Args:
        name: the file, or ``-`` for stdin.
        convert: convert colour, transparency (onto white), 16 bits and the first frame of animations.

    Raises:
        ImageError: not an image, damaged, or in need of ``convert``.
        LimitError: too large.
    """
    return parse_image(name, read_bytes(name), convert)


def any_image(
    name: str, convert: bool = False, model: str | Path | Model | None = None, max_pixels: int | None = None
) -> tuple[Pixels, int]:
    """The image of a ``.cae`` file or of any file that Pillow reads, and the file's size in bytes."""
    content = read_bytes(name)
    return image_of(name, content, convert, model, max_pixels), len(content)


def image_of(
    name: str, content: bytes, convert: bool = False, model: str | Path | Model | None = None, max_pixels: int | None = None
) -> Pixels:
    """The image in the bytes of such a file: uint8, shape ``(H, W)``."""
    if is_cae(content):
        return api.decode(content, model=model, max_pixels=max_pixels)
    return parse_image(name, content, convert)


def parse_image(name: str, content: bytes, convert: bool = False) -> Pixels:
    """The image in the bytes of a file that Pillow reads; see :func:`read_image`. ``name`` is for messages."""
    if not content:
        raise ImageError(f"{name} is empty")
    if is_cae(content):  # Pillow would open it if our own plugin is registered
        raise ImageError(f"{name} is not a readable image ({_described(content)})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which do not change the pixels
        try:
            with _open(content) as image:
                image.verify()  # load alone accepts a truncated PNG
            with _open(content) as image:
                if image.width * image.height > PIXELS_MAX:
                    raise LimitError(f"{name} is {image.width}x{image.height}: more than {PIXELS_MAX} pixels")
                return grey_levels(name, image, content, convert)
        except UnidentifiedImageError as cause:
            raise ImageError(f"{name} is not a readable image ({_described(content)})") from cause
        except Image.DecompressionBombError as cause:
            raise LimitError(f"{name}: {cause}") from cause
        except MnistzipError:
            raise
        except Exception as cause:  # Pillow's readers raise many types of errors for damaged files
            raise ImageError(f"{name} is a damaged image: {cause}") from cause


def _open(content: bytes) -> Image.Image:
    """Open an image. Pillow's search for the format imports many formats, which takes longer than a small PNG."""
    file = io.BytesIO(content)
    if not content.startswith(PNG_SIGNATURE):
        return Image.open(file)
    from PIL.PngImagePlugin import PngImageFile

    return PngImageFile(file)


def _described(content: bytes) -> str:
    if is_cae(content):
        return "it is a .cae file: decompress it"
    if is_idx(content) or content[:2] == b"\x1f\x8b":
        return "it looks like an IDX data set: compress it into an archive"
    return f"it begins with {content[:4].hex(' ')}"


def is_written(suffix: str) -> bool:
    """Whether mnistzip writes images to files with this suffix: only lossless formats."""
    return suffix in IMAGE_FORMATS


def require_written(suffix: str) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` unless :func:`is_written`."""
    if not is_written(suffix):
        raise ImageError(f"mnistzip does not write {suffix!r} images: use a lossless format, one of {', '.join(IMAGE_FORMATS)}")


def write_image(pixels: Pixels, suffix: str) -> bytes:
    """The bytes of an image file.

    Args:
        pixels: uint8, shape ``(H, W)``.
        suffix: says the format, which must be lossless.

    Raises:
        ImageError: not such a format, or too large an image for it.
    """
    require_written(suffix)
    out = _NamedFile(f"image{suffix}")
    options = IMAGE_FORMATS[suffix].pillow
    if options is None:
        np.save(out, pixels)
        return out.getvalue()
    try:
        Image.fromarray(pixels).save(out, **options)  # type: ignore[arg-type]
    except ValueError as cause:  # the sides of WebP have at most 16,383 pixels
        raise ImageError(f"{suffix} cannot hold {pixels.shape[1]}x{pixels.shape[0]} pixels: {cause}") from cause
    return out.getvalue()


def png_bytes(pixels: Pixels) -> int:
    """The size of the image as an optimized PNG, in bytes."""
    return len(write_image(pixels, ".png"))
