"""Single images from files and back to files, through Pillow."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mnistzip import codec
from mnistzip.container import PIXELS_MAX, is_cae
from mnistzip.errors import ImageError, LimitError, MnistzipError
from mnistzip.model import Model

STREAM = "-"
SUFFIX = ".cae"
BARE_SUFFIX = ".bare"  # a coder's bytes without a header
PNG_START = b"\x89PNG\r\n\x1a\n"
LOSSLESS_KINDS: dict[str, dict[str, object]] = {  # what decompressed images are written as: kinds that keep every pixel
    ".png": {"format": "PNG", "optimize": True},
    ".pgm": {"format": "PPM"},
    ".bmp": {"format": "BMP"},
    ".tif": {"format": "TIFF"},
    ".tiff": {"format": "TIFF"},
    ".webp": {"format": "WEBP", "lossless": True},
}
IMAGE_SUFFIXES = {".png", ".bmp", ".pgm", ".pnm", ".gif", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
READ_MAX = 1 << 30  # bytes of one input file
BAND_PIXELS = 1 << 20  # converted together

Pixels = NDArray[np.uint8]

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # an error is one line of ours, not some of Pillow's as well


def read_bytes(name: str) -> bytes:
    """The content of a file, or of stdin for ``-``."""
    if name == STREAM:
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdin")
        return sys.stdin.buffer.read()
    if os.path.isdir(name):
        raise ImageError(f"{name} is a folder")
    size = os.stat(name).st_size  # of a pipe 0
    if size > READ_MAX:
        raise LimitError(f"{name} has {size} bytes, more than the {READ_MAX} allowed")
    return Path(name).read_bytes()


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
        return codec.decode(content, model=model, max_pixels=max_pixels)
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
                frames = getattr(image, "n_frames", 1)
                deep = content.startswith(PNG_START) and content[24:25] == b"\x10"
                image.load()
                return _upright(_grey(name, image, frames, deep, convert), image)
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
    if content[:3] == b"\0\0\x08" or content[:2] == b"\x1f\x8b":
        return "it looks like an IDX data set, which goes into an archive"
    return f"it begins with {content[:4].hex(' ')}"


def _grey(name: str, image: Image.Image, frames: int, deep: bool, convert: bool) -> Pixels:
    """The grey levels of an opened image, or an error that names the option that would convert it.

    Some rows at a time: copies of a large image in several modes would take ten times the memory of the image.
    """
    wide = image.mode.startswith(("I", "F"))
    white = _white(image) if wide else 0.0
    grey = np.empty((image.height, image.width), np.uint8)
    transparent = coloured = False
    for top, band in _bands(image):
        if wide:
            part = np.floor(_values(band) / white * 255 + 0.5)
        else:
            if image.has_transparency_data:
                clear = band.convert("RGBA")
                transparent = transparent or int(np.asarray(clear)[..., 3].min()) < 255
                shown = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
            else:
                shown = band if band.mode in {"L", "1"} else band.convert("RGB")
            if shown.mode == "RGB":
                red, green, blue = np.moveaxis(np.asarray(shown), 2, 0)
                coloured = coloured or bool((red != green).any() or (green != blue).any())
            part = np.asarray(shown.convert("L"))  # grey stays what it is: the weights of colours add up to 1
        grey[top : top + band.height] = part
    wrong = {
        f"has {frames} frames": frames > 1,
        f"has more than 8 bits a pixel (mode {image.mode})": deep or wide,
        "has transparent pixels": transparent,
        "has colours": coloured,
    }
    if any(wrong.values()) and not convert:
        raise ImageError(f"{name} {' and '.join(what for what, so in wrong.items() if so)}: --convert makes it 8-bit grey")
    return grey


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Where some rows of an image begin, and these rows."""
    rows = max(BAND_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _values(image: Image.Image) -> NDArray[np.float64]:
    """The values of an image of more than 8 bits: what is not a number, and what is below 0, counts as 0."""
    return np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0).clip(0)


def _white(image: Image.Image) -> float:
    """White is 65535 in 16 bits; in wider numbers it is the smallest of 1 (floats only), 255, 65535 that covers them all."""
    if image.mode.startswith("I;16"):
        return 65535.0
    most = max(float(_values(band).max(initial=0)) for _, band in _bands(image))
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return next((white for white in whites if most <= white), most)


def _upright(grey: Pixels, image: Image.Image) -> Pixels:
    """Turned as the EXIF data of the image say."""
    turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    if turn == 1:
        return grey
    turned = Image.fromarray(grey)
    turned.getexif()[ExifTags.Base.Orientation] = turn
    return np.asarray(ImageOps.exif_transpose(turned))


def is_written(suffix: str) -> bool:
    """Whether images are written as files of such a suffix."""
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
