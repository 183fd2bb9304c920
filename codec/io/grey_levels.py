"""The grey levels of an image that Pillow has opened, for every bit depth, polarity and mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from mnistzip.errors import ImageError
from mnistzip.types import Pixels

BAND_PIXELS = 1 << 20  # converted at once
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # values of these tags


class Samples(NamedTuple):
    """How a file stores grey levels.

    Attributes:
        bits: of a sample.
        signed: whether samples may be negative.
        inverted: whether 0 is white and Pillow does not convert it.
        white: the sample that is white, or None if the file does not say it.
        clear: the grey sample that is transparent, or None.
    """

    bits: int = 8
    signed: bool = False
    inverted: bool = False
    white: float | None = None
    clear: int | None = None


def grey_levels(name: str, image: Image.Image, content: bytes, convert: bool) -> Pixels:
    """The grey levels of an opened image, uint8 of shape ``(H, W)``, rotated as its EXIF data say.

    It converts some rows at a time: copies of a large image in several modes would take ten times its memory.

    Args:
        name: for messages.
        image: opened and not loaded yet.
        content: the bytes of its file.
        convert: convert images that are not 8-bit grey.

    Raises:
        ImageError: the image is not 8-bit grey; the message names the option that converts it.
    """
    frames = getattr(image, "n_frames", 1)
    samples = _samples(image, content)
    image.load()
    wide = image.mode.startswith(("I", "F")) or samples.signed
    white = (samples.white or _covering_white(image, samples)) if wide else 0.0
    grey = np.empty((image.height, image.width), np.uint8)
    part: NDArray[Any]
    transparent = coloured = False
    for top, band in _bands(image):
        if wide:
            part, clear = _convert_wide(band, samples, white)
        else:
            part, clear, has_colour = _convert_narrow(band, image.has_transparency_data)
            coloured = coloured or has_colour
        transparent = transparent or clear
        grey[top : top + band.height] = part
    obstacles = {
        f"has {frames} frames": frames > 1,
        f"has more than 8 bits a pixel (mode {image.mode})": samples.bits > 8 or (wide and not samples.signed),
        "has signed samples": samples.signed and samples.bits <= 8,
        "has transparent pixels": transparent,
        "has colours": coloured or image.mode == "LAB",
    }
    if any(obstacles.values()) and not convert:
        reasons = " and ".join(reason for reason, applies in obstacles.items() if applies)
        raise ImageError(f"{name} {reasons}: --convert makes it 8-bit grey")
    return _upright(grey, image)


def _samples(image: Image.Image, content: bytes) -> Samples:
    """How the file stores grey levels, as far as Pillow does not convert them."""
    clear = image.info.get("transparency")
    if image.format == "PNG":
        bits = content[24]
        if isinstance(clear, int) and image.mode == "L" and bits < 8:  # Pillow scales the pixels, but not this level
            image.info["transparency"] = (clear & ((1 << bits) - 1)) * 255 // ((1 << bits) - 1)
        elif isinstance(clear, tuple) and bits == 16:
            image.info["transparency"] = tuple(level >> 8 for level in clear)
        return Samples(bits, white=65535.0, clear=clear if bits == 16 and isinstance(clear, int) else None)
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        bits, signed = max(tags.get(BITS, (1,))), SIGNED in tags.get(SAMPLE_FORMAT, ())
        inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and image.mode.startswith(("I", "F"))
        white = float((1 << (bits - signed)) - 1) if bits <= 16 else None
        return Samples(bits, signed, inverted, white)
    if image.format == "PPM" and image.mode != "F":  # Pillow scales the white of the file to 65535
        decoding = image.tile[0].args  # type: ignore[attr-defined]
        maximum = decoding[1] if isinstance(decoding, tuple) and len(decoding) > 1 else 255
        return Samples(16 if image.mode == "I" or int(maximum) > 255 else 8, white=65535.0)
    if image.format == "SGI":
        return Samples(8 * content[3])
    return Samples(16 if image.mode.startswith("I;16") else 8, white=65535.0 if image.mode.startswith("I;16") else None)


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Bands of rows: the number of the first row, and the rows."""
    rows = max(BAND_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _convert_narrow(band: Image.Image, may_be_clear: bool) -> tuple[Pixels, bool, bool]:
    """8-bit rows as grey on white, whether a pixel is transparent, and whether a pixel has a colour."""
    clear = False
    if may_be_clear:
        layered = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
        clear = int(np.asarray(layered)[..., 3].min()) < 255
        band = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    elif band.mode == "LAB":
        band = _from_lab(band)
    elif band.mode not in {"L", "1"}:
        band = band.convert("RGB")
    coloured = False
    if band.mode == "RGB":
        red, green, blue = np.moveaxis(np.asarray(band), 2, 0)
        coloured = bool((red != green).any() or (green != blue).any())
    return np.asarray(band.convert("L")), clear, coloured  # the weights of the colours add up to 1, so grey does not change


def _from_lab(band: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.applyTransform(band, ImageCms.buildTransform(*profiles, "LAB", "RGB"))
    assert converted is not None
    return converted


def _convert_wide(band: Image.Image, samples: Samples, white: float) -> tuple[NDArray[np.float64], bool]:
    """Rows that are not 8-bit as grey levels, and whether a pixel is transparent."""
    values = _values(band, samples)
    clear = values == samples.clear if samples.clear is not None else np.zeros(1, bool)
    values = np.nan_to_num(values, posinf=0, neginf=0).clip(0, white)
    if samples.inverted:
        values = white - values
    grey = np.floor(values / white * 255 + 0.5)
    return (np.where(clear, 255.0, grey), True) if clear.any() else (grey, False)


def _values(band: Image.Image, samples: Samples) -> NDArray[np.float64]:
    """The samples of an image, as the file means them."""
    values = np.asarray(band)
    if samples.signed and samples.bits == 8:
        values = values.view(np.int8)
    elif band.mode == "I" and samples.bits == 32 and not samples.signed:
        values = values.view(np.uint32)
    return values.astype(np.float64)


def _covering_white(image: Image.Image, samples: Samples) -> float:
    """White, if the file does not say it: the least of 1 (floats only), 255, 65535 and all bits that covers the samples."""
    maximum = 0.0
    for _, band in _bands(image):
        maximum = max(maximum, float(np.nan_to_num(_values(band, samples), posinf=0, neginf=0).max(initial=0)))
    if image.mode == "F":
        return next((white for white in (1.0, 255.0, 65535.0) if maximum <= white), maximum)
    return next((white for white in (255.0, 65535.0, float((1 << 31) - 1)) if maximum <= white), float((1 << 32) - 1))


def _upright(grey: Pixels, image: Image.Image) -> Pixels:
    """The image rotated as its EXIF data say; not rotated if these are damaged."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's reader raises many types of errors for damaged data
        return grey
    if orientation not in range(2, 9):
        return grey
    from PIL import ImageOps  # few images are rotated

    rotated = Image.fromarray(grey)
    rotated.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(rotated))
