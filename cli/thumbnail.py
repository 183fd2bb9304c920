"""``mnistzip thumbnail``: a small PNG of a file or archive, for file managers."""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np
from PIL import Image

from mnistzip import api
from mnistzip.archive.reader import Archive
from mnistzip.cli import outputs, params
from mnistzip.cli.view import contact_sheet
from mnistzip.errors import ImageError
from mnistzip.io import image_file
from mnistzip.types import Pixels

PNG = b"\x89PNG\r\n\x1a\n"  # the first bytes of a PNG file
IMAGES_MAX = 16  # images in the thumbnail of an archive


@click.command(hidden=True, short_help="Write a thumbnail for a file manager.")
@click.argument("source", metavar="FILE")
@click.argument("output", metavar="OUTPUT")
@click.option("--size", type=click.IntRange(1, 2048), default=256, show_default=True, help="At most this many pixels per side.")
def thumbnail(source: str, output: str, size: int) -> None:
    """Write a thumbnail of FILE, a .cae file or archive, to OUTPUT, a PNG. Existing files must be empty or PNGs."""
    opened = params.path_or_bytes(source)
    if params.is_archive(opened):
        with Archive(opened) as archive:
            picture = archive_picture(archive, size)
    else:
        picture = api.decode(params.content_of(opened))
    content = image_file.write_image(fit(picture, size), ".png")
    outputs.require_free(output, [source], force=True)
    _require_thumbnail(output)
    Path(output).write_bytes(content)  # not replaced: the file manager may have opened the file already


def _require_thumbnail(output: str) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` unless a file is empty, as file managers create it, or a PNG."""
    if outputs.is_broken_link(output):
        raise ImageError(f"{output} is a broken link: name another output")
    if Path(output).is_file():
        with open(output, "rb") as file:
            start = file.read(len(PNG))
        if start not in (b"", PNG):
            raise ImageError(f"{output} is not a PNG: a thumbnail replaces only empty files and PNGs, so name another output")


def archive_picture(archive: Archive, size: int) -> Pixels:
    """The first images of an archive in rows and columns, uint8 of shape ``(H, W)``, each shrunk to fit into ``size`` pixels.

    Raises:
        ImageError: the archive holds no images.
    """
    count = min(len(archive), IMAGES_MAX)
    share = max(1, size // max(1, math.isqrt(max(count - 1, 0)) + 1) - 1)
    return contact_sheet([shrink(image, share) for image in archive.read(range(count))], None)


def fit(picture: Pixels, size: int) -> Pixels:
    """The picture with at most ``size`` pixels per side: shrunk, or enlarged by an integer factor."""
    small = shrink(picture, size)
    factor = size // max(small.shape)
    return small.repeat(factor, axis=0).repeat(factor, axis=1)


def shrink(picture: Pixels, size: int) -> Pixels:
    """The picture with at most ``size`` pixels per side, each the mean of the area that it covers."""
    height, width = picture.shape
    if max(height, width) <= size:
        return picture
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BOX))
