"""``mnistzip show`` and ``compare``: draw images in the terminal, and measure the error of compression."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from itertools import islice

import click
import numpy as np

from mnistzip import metrics
from mnistzip.archive.reader import Archive
from mnistzip.cli import outputs, params
from mnistzip.errors import ImageError
from mnistzip.io import image_file
from mnistzip.limits import PIXELS_MAX
from mnistzip.storage.remote import local_path
from mnistzip.types import Pixels

LETTERS = " .:-=+*#%@"  # dark to light, for terminals without colours
SHEET_GREY = 64  # between the images of a contact sheet
BATCH_IMAGES = 64  # images of an archive that are decoded at once
GAP = 4  # pixels between the parts of a comparison sheet, before it is enlarged


@click.command(short_help="Draw an image in the terminal.")
@click.argument("inputs", nargs=-1, required=True)
@params.model_file
@click.option("--ascii", "plain", is_flag=True, help="Draw with letters instead of colours.")
@params.index
@click.option("--grid", is_flag=True, help="Draw all images in one sheet, which is the default for archives.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="At most this many images in a sheet."
)
@params.max_pixels
@click.option("-o", "--output", metavar="PATH", help="Write the sheet to an image file.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing sheet.")
def show(
    inputs: tuple[str, ...],
    model: str | None,
    plain: bool,
    index: int | None,
    grid: bool,
    limit: int,
    max_pixels: int | None,
    output: str | None,
    force: bool,
) -> None:
    """Draw .cae files or other greyscale images in the terminal, two pixels per character, and archives as a contact sheet."""
    plain = plain or not sys.stdout.isatty() or "NO_COLOR" in os.environ
    draw = _letters if plain else _blocks
    sources = {name: params.path_or_bytes(name) for name in inputs}
    output = None if output is None else local_path(output)
    if grid or output is not None:
        images = (image for name in inputs for image in _images(name, sources[name], model, index, max_pixels))
        whole = contact_sheet(list(islice(images, limit)), None if output is not None else _columns(plain))
        if output is None:
            click.echo(draw(whole))
        else:
            suffix = outputs.suffix_of(output) or ".png"
            outputs.write(
                output,
                image_file.write_image(whole, suffix),
                image_file.STREAM,
                force,
                others=[*inputs, *params.files_of_model(model)],
            )
        return
    for name in inputs:
        if params.is_archive(sources[name]) and index is None:
            image = contact_sheet(list(islice(_images(name, sources[name], model, None, max_pixels), limit)), _columns(plain))
        else:
            image = next(_images(name, sources[name], model, index, max_pixels))
        if len(inputs) > 1:
            click.echo(f"{name}:")
        click.echo(draw(image))


def _images(name: str, source: str | bytes, model: str | None, index: int | None, max_pixels: int | None) -> Iterator[Pixels]:
    """The images of an archive, or one of them, or the image of any other file."""
    if not params.is_archive(source):
        yield image_file.image_of(name, params.content_of(source), True, model, max_pixels)
        return
    with Archive(source, model=model, max_pixels=max_pixels) as archive:
        if index is not None and index >= len(archive):
            raise click.UsageError(f"--index {index}: the archive has {len(archive)} images, counted from 0")
        indices = range(len(archive)) if index is None else [index]
        for start in range(0, len(indices), BATCH_IMAGES):
            yield from archive.read(indices[start : start + BATCH_IMAGES])


def _columns(plain: bool) -> int:
    """The width of the terminal in pixels."""
    return shutil.get_terminal_size().columns // (2 if plain else 1)


def contact_sheet(several: list[Pixels], width: int | None) -> Pixels:
    """Images in rows and columns, uint8 of shape ``(H, W)``.

    Args:
        several: the images, of any sizes.
        width: of the sheet in pixels; None: about as many columns as rows.

    Raises:
        ImageError: no images, or too large a sheet.
    """
    if not several:
        raise ImageError("there are no images to show")
    rows, columns = (max(image.shape[axis] for image in several) + 1 for axis in (0, 1))
    across = math.isqrt(len(several) - 1) + 1 if width is None else max(1, (width + 1) // columns)
    across = min(across, len(several))
    down = -(-len(several) // across)
    if rows * down * columns * across > PIXELS_MAX:
        raise ImageError(
            f"a sheet of {len(several)} images of up to {columns - 1}x{rows - 1} is too large: choose fewer with --limit"
        )
    whole = np.full((rows * down, columns * across), SHEET_GREY, np.uint8)
    for k, image in enumerate(several):
        top, left = k // across * rows, k % across * columns
        whole[top : top + image.shape[0], left : left + image.shape[1]] = image
    return whole[:-1, :-1]


def _fit(image: Pixels, columns_per_pixel: int) -> Pixels:
    """The image, or every n-th of its pixels, so that it fits the terminal."""
    step = -(-image.shape[1] * columns_per_pixel // shutil.get_terminal_size().columns)
    return image[:: max(step, 1), :: max(step, 1)]


def _letters(image: Pixels) -> str:
    """Two letters per pixel, which are about square."""
    index = _fit(image, 2).astype(np.int64) * len(LETTERS) // 256
    return "\n".join("".join(LETTERS[i] * 2 for i in row).rstrip() for row in index)


def _blocks(image: Pixels) -> str:
    """Half blocks: the upper pixel is the character's colour, the lower its background."""
    small = _fit(image, 1)
    padded = np.pad(small, ((0, small.shape[0] % 2), (0, 0)))
    lines = []
    for upper, lower in zip(padded[::2].tolist(), padded[1::2].tolist(), strict=True):
        cells = [f"\x1b[38;2;{a};{a};{a};48;2;{b};{b};{b}m▀" for a, b in zip(upper, lower, strict=True)]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


@click.command(short_help="Compare an image with its compressed file.")
@click.argument("original")
@click.argument("file")
@click.option("-o", "--output", metavar="PATH", help="Write original, decoded image and difference next to each other.")
@click.option("--zoom", type=click.IntRange(1, 64), default=8, show_default=True, help="Enlarge the sheet.")
@click.option("--convert", is_flag=True, help="Convert a colour, 16-bit or animated original to grey.")
@params.model_file
@params.max_pixels
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing sheet.")
@params.as_json
def compare(
    original: str,
    file: str,
    output: str | None,
    zoom: int,
    convert: bool,
    model: str | None,
    max_pixels: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare ORIGINAL with FILE, a .cae file or any image: size, ratio, PSNR and largest error."""
    output = None if output is None else local_path(output)
    source = params.path_or_bytes(file)
    if params.is_archive(source):
        raise ImageError(f"{file} is an archive of many images: extract one with mnistzip decompress --index N")
    a = image_file.read_image(original, convert)
    content = params.content_of(source)
    b, size = image_file.image_of(file, content, convert, model, max_pixels), len(content)
    if a.shape != b.shape:
        sizes = f"{a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]}"
        raise ImageError(f"the images are {sizes}: they must have the same size")
    error = metrics.mse(a, b)
    largest = int(np.abs(a.astype(np.int64) - b).max())
    decibels = metrics.psnr_of_mse(error)
    if as_json:
        row = {
            "original": original,
            "file": file,
            "raw_bytes": a.size,
            "png_bytes": image_file.png_bytes(a),
            "bytes": size,
            "bpp": round(metrics.bpp(size, a.size), 4),
            "mse": round(error, 4),
            "psnr_db": round(decibels, 3) if error else None,
            "max_error": largest,
        }
        click.echo(json.dumps(row))
    else:
        click.echo(f"{a.size} bytes raw, {image_file.png_bytes(a)} as PNG, {size} in {file}: {a.size / size:.1f}x raw")
        quality = f"{decibels:.2f} dB" if error else "identical"
        click.echo(f"{quality}, mean squared error {error:.2f}, largest error {largest}")
    if output is not None:
        suffix = outputs.suffix_of(output) or ".png"
        outputs.write(
            output,
            image_file.write_image(sheet(a, b, zoom), suffix),
            original,
            force,
            others=[file, *params.files_of_model(model)],
        )


def sheet(a: Pixels, b: Pixels, zoom: int) -> Pixels:
    """Original, decoded image, and their difference around middle grey, next to each other and enlarged."""
    difference = np.clip(128 + (b.astype(np.int64) - a), 0, 255).astype(np.uint8)
    gap = np.full((a.shape[0], GAP), 128, np.uint8)
    row = np.hstack([a, gap, b, gap, difference])
    return row.repeat(zoom, axis=0).repeat(zoom, axis=1)
