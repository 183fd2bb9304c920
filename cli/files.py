"""Files in and out: images through Pillow, outputs that appear whole or not at all."""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnistzip.container import PIXELS_MAX
from mnistzip.errors import ImageError, LimitError, MnistzipError

STREAM = "-"
SUFFIX = ".cae"
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

Pixels = NDArray[np.uint8]

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # an error is one line of ours, not some of Pillow's as well


def read_bytes(name: str) -> bytes:
    """The content of a file, or of stdin for ``-``."""
    if name == STREAM:
        return sys.stdin.buffer.read()
    if os.path.isdir(name):
        raise ImageError(f"{name} is a folder: -r takes what is in it")
    size = os.stat(name).st_size
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


def parse_image(name: str, content: bytes, convert: bool = False) -> Pixels:
    """The same from the bytes of a file."""
    if not content:
        raise ImageError(f"{name} is empty")
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
                return _grey(name, ImageOps.exif_transpose(image), frames, deep, convert)
        except UnidentifiedImageError as cause:
            raise ImageError(f"{name} is not an image that can be read ({_kind(content)})") from cause
        except Image.DecompressionBombError as cause:
            raise LimitError(f"{name}: {cause}") from cause
        except MnistzipError:
            raise
        except Exception as cause:  # Pillow's readers have many ways to say that a file is damaged
            raise ImageError(f"{name} is a damaged image: {cause}") from cause


def _kind(content: bytes) -> str:
    if content[:1] == b"\xca" and content[1:2] and content[1] >> 4 == 14:
        return "it is a .cae file: decompress it"
    if content[:3] == b"\0\0\x08" or content[:2] == b"\x1f\x8b":
        return "IDX data sets are not taken by this version, which writes one image a file"
    return f"it begins with {content[:4].hex(' ')}"


def _grey(name: str, image: Image.Image, frames: int, deep: bool, convert: bool) -> Pixels:
    """The grey levels of an opened image, or an error that names the option that would convert it."""
    needs = []
    if frames > 1:
        needs.append(f"has {frames} frames")
    if deep or image.mode.startswith(("I", "F")):
        needs.append(f"has more than 8 bits a pixel (mode {image.mode})")
    transparent = image.has_transparency_data
    if transparent and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        needs.append("has transparent pixels")
    colours = image.convert("RGB") if image.mode not in {"L", "1"} and not image.mode.startswith(("I", "F")) else None
    if colours is not None and np.ptp(np.asarray(colours), axis=2).any():
        needs.append("has colours")
    if needs and not convert:
        raise ImageError(f"{name} {' and '.join(needs)}: --convert makes it 8-bit grey")
    if image.mode.startswith(("I", "F")):
        return _to_eight_bits(image)
    if transparent:
        rgba = image.convert("RGBA")
        colours = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if colours is not None and not np.ptp(np.asarray(colours), axis=2).any():
        return np.asarray(colours)[..., 0].copy()  # exact, where luma weights might round
    return np.asarray((colours or image).convert("L"))


def _to_eight_bits(image: Image.Image) -> Pixels:
    """White is 65535 in 16 bits; in wider numbers it is the smallest of 1 (floats only), 255, 65535 that covers them all."""
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0).clip(0)
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((white for white in whites if values.max(initial=0) <= white), values.max(initial=0))
    return np.floor(values / white * 255 + 0.5).astype(np.uint8)


def write_image(pixels: Pixels, suffix: str) -> bytes:
    """The bytes of an image file of the kind that a suffix names; only kinds that keep every pixel, and ``.npy``."""
    out = io.BytesIO()
    if suffix == ".npy":
        np.save(out, pixels)
        return out.getvalue()
    if suffix not in LOSSLESS_KINDS:
        kinds = ", ".join([*LOSSLESS_KINDS, ".npy"])
        raise ImageError(f"no image is written as {suffix!r}: use one of {kinds}, which keep every pixel")
    Image.fromarray(pixels).save(out, **LOSSLESS_KINDS[suffix])  # type: ignore[arg-type]
    return out.getvalue()


def png_bytes(pixels: Pixels) -> int:
    """What the image takes as an optimized PNG."""
    return len(write_image(pixels, ".png"))


def expand(names: Iterable[str], recursive: bool, suffixes: set[str]) -> Iterator[tuple[str, Path]]:
    """Input files and where each stands below what the user named, folders searched if ``recursive``."""
    for name in names:
        folder = Path(name)
        if name == STREAM or not (recursive and folder.is_dir()):
            yield name, Path(folder.name)
        else:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.suffix.lower() in suffixes:
                    yield str(path), path.relative_to(folder)


class Outputs:
    """Remembers what one call has written, so that no result takes another's place."""

    def __init__(self) -> None:
        self._source: dict[str, str] = {}

    def claim(self, output: str, source: str) -> None:
        """Raise :class:`~mnistzip.errors.ImageError` if another input of this call goes to the same output."""
        if output == STREAM or not (os.path.isfile(output) or not os.path.exists(output)):
            return
        first = self._source.setdefault(os.path.realpath(output), source)
        if first != source:
            raise ImageError(f"{source} and {first} would both go to {output}: compress them into different folders")


def target(name: str, below: Path, output: str | None, suffix: str, many: bool) -> str:
    """Where the result of an input goes: beside it, to the file or below the folder that ``-o`` names."""
    if output is None:
        return STREAM if name == STREAM else str(Path(name).with_suffix(suffix))
    if output == STREAM:
        return STREAM
    if many or output.endswith(os.sep) or Path(output).is_dir():
        return str(Path(output) / below.with_suffix(suffix))
    return output


def plan(
    inputs: Sequence[str], output: str | None, recursive: bool, suffixes: set[str], suffix: str
) -> tuple[dict[str, str], bool]:
    """Where the result of each input file goes, and whether there may be several, which makes ``-o`` a folder.

    Raises:
        click.UsageError: several results would go to one stream.
    """
    names = list(expand(inputs, recursive, suffixes))
    many = len(names) > 1 or (recursive and any(os.path.isdir(name) for name in inputs))
    goals = {name: target(name, below, output, suffix, many) for name, below in names}
    if many and STREAM in goals.values():
        raise click.UsageError("several results cannot go to one stream: name a folder with -o")
    return goals, many


def write(name: str, content: bytes, source: str, force: bool) -> None:
    """Write a whole file or leave what was there: a temporary file in the same folder takes its place at the end.

    The new file has the modification time of ``source``. An existing file is refused without ``force``.

    Raises:
        ImageError: the output exists, is the input, or is a folder.
    """
    if name == STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    path = Path(os.path.realpath(name))  # a link keeps pointing where it points
    if path.is_dir():
        raise ImageError(f"{name} is a folder")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        path.write_bytes(content)  # a device or a pipe, which nothing can be moved over
        return
    if source != STREAM and path.exists() and path.samefile(source):
        raise ImageError(f"{name} is the input itself: name another output")
    if path.exists() and not force:
        raise ImageError(f"{name} exists already: -f overwrites it")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=".mnistzip-", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, _mode(path, source))
        if source != STREAM:
            times = os.stat(source)
            os.utime(partial, ns=(times.st_atime_ns, times.st_mtime_ns))
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _mode(path: Path, source: str) -> int:
    """Permissions for a new file: those of the file it replaces, else of its source, else what the umask leaves."""
    for known in (path, Path(source)):
        if known.is_file():
            return stat.S_IMODE(known.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
