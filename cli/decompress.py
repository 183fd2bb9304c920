"""``mnistzip decompress``: ``.cae`` files back to images."""

from __future__ import annotations

from pathlib import Path

import click

from mnistzip import codec, container
from mnistzip.cli import files
from mnistzip.cli.main import blame
from mnistzip.cli.progress import Progress
from mnistzip.data import images
from mnistzip.errors import MnistzipError


@click.command(short_help="Decompress .cae files to images.")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PATH", help="Output file, or folder for several inputs; - is stdout (as PNG).")
@click.option(
    "--to",
    "kind",
    default="png",
    show_default=True,
    metavar="KIND",
    help="png, pgm, bmp, tif, webp or npy, where -o has no suffix.",
)
@click.option("--model", metavar="NAME|PATH", help="Model file of files made with one of your own.")
@click.option(
    "--max-pixels", type=click.IntRange(1), default=container.PIXELS_MAX, show_default=True, help="Refuse larger images."
)
@click.option("-r", "--recursive", is_flag=True, help="Decompress the .cae files in folders.")
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
@click.option("--quiet", is_flag=True, help="No report, no progress.")
def decompress(
    inputs: tuple[str, ...],
    output: str | None,
    kind: str,
    model: str | None,
    max_pixels: int,
    recursive: bool,
    force: bool,
    quiet: bool,
) -> int:
    """Decompress .cae files: digit.cae to digit.png beside it. The input is kept.

    The kind of image follows from the suffix that -o names, else from --to.
    """
    suffix = "." + kind.lower().lstrip(".")
    goals, many = files.plan(inputs, output, recursive, {images.SUFFIX}, suffix)
    if not goals:
        raise click.UsageError(f"no {images.SUFFIX} files in " + " ".join(inputs))
    outputs = files.Outputs()
    failed = 0
    with Progress(len(goals), "decompress", show=many and not quiet) as progress:
        for name, goal in goals.items():
            try:
                outputs.claim(goal, name)
                image = codec.decode(images.read_bytes(name), model=model, max_pixels=max_pixels)
                wanted = suffix if goal == images.STREAM else Path(goal).suffix.lower() or suffix
                files.write(goal, images.write_image(image, wanted), name, force)
                if not quiet and not many and goal != images.STREAM:
                    click.echo(f"{name} -> {goal}\n  {image.shape[1]}x{image.shape[0]} pixels")
            except BrokenPipeError:
                raise
            except (MnistzipError, OSError) as error:
                failed += 1
                click.echo(blame(name, error), err=True)
            progress.advance()
    if many and not quiet:
        click.echo(f"{len(goals) - failed} images decompressed" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0
