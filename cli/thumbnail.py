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

PNG = b"\x89PNG\r\n\x1a\n"  # how such a file begins
SHOWN_MAX = 16  # images of an archive in its thumbnail


@click.command(hidden=True, short_help="Write a thumbnail for a file manager.")
@click.argument("source", metavar="FILE")
@click.argument("goal", metavar="OUTPUT")
@click.option(
    "--size", type=click.IntRange(1, 2048), default=256, show_default=True, help="Pixels of its longer side, at most."
)
def thumbnail(source: str, goal: str, size: int) -> None:
    """Write a thumbnail of FILE, a .cae file or archive, to OUTPUT, a PNG. It replaces an empty file or another PNG."""
    held = params.path_or_bytes(source)
    if params.is_archive(held):
        with Archive(held) as archive:
            picture = archive_picture(archive, size)
    else:
        picture = api.decode(params.content_of(held))
    content = image_file.write_image(fit(picture, size), ".png")
    outputs.require_free(goal, [source], force=True)
    _require_thumbnail(goal)
    Path(goal).write_bytes(content)  # in place: a file manager may have opened the file before, and reads from there


def _require_thumbnail(goal: str) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if a file is neither empty, as file managers make it, nor a PNG."""
    if outputs.is_broken_link(goal):
        raise ImageError(f"{goal} is a link that leads nowhere: name another output")
    if Path(goal).is_file():
        with open(goal, "rb") as file:
            begin = file.read(len(PNG))
        if begin not in (b"", PNG):
            raise ImageError(f"{goal} is no PNG: a thumbnail replaces only an empty file or a PNG, so name another output")


def archive_picture(archive: Archive, size: int) -> Pixels:
    """The first images of an archive in rows, shape (height, width), each shrunk to its share of ``size`` pixels.

    Raises:
        ImageError: the archive holds no images.
    """
    count = min(len(archive), SHOWN_MAX)
    share = max(1, size // max(1, math.isqrt(max(count - 1, 0)) + 1) - 1)
    return contact_sheet([shrink(image, share) for image in archive.read(range(count))], None)


def fit(picture: Pixels, size: int) -> Pixels:
    """A picture of at most ``size`` pixels a side: large ones are shrunk, small ones enlarged by a whole factor."""
    small = shrink(picture, size)
    factor = size // max(small.shape)
    return small.repeat(factor, axis=0).repeat(factor, axis=1)


def shrink(picture: Pixels, size: int) -> Pixels:
    """A picture of at most ``size`` pixels a side, each the mean of the area that it stands for."""
    height, width = picture.shape
    if max(height, width) <= size:
        return picture
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BOX))
