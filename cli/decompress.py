"""``mnistzip decompress``: ``.cae`` files back to images."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from mnistzip import codec
from mnistzip.cli import files, given
from mnistzip.cli.main import blame
from mnistzip.cli.progress import Progress
from mnistzip.data import images
from mnistzip.errors import MnistzipError
from mnistzip.model import DEFAULT
from mnistzip.rans import CHECK_BITS_MAX


@click.command(short_help="Decompress .cae files to images.")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PATH", help="Output file, or folder for several inputs; - is stdout (as PNG).")
@click.option(
    "--to",
    "kind",
    metavar="KIND",
    help="png, pgm, bmp, tif, webp or npy, where -o has no suffix; of archives also idx, folder, npz or parquet."
    "  [default: png; of archives what the images came from]",
)
@click.option("--model", metavar="NAME|PATH", help="Model file of files made with one of your own.")
@click.option("--bare", is_flag=True, help="Streams of compress --bare; -q, --model, --size and --check-bits as agreed.")
@click.option(
    "-q", "--quality", type=click.IntRange(1, 100), default=codec.DEFAULT_QUALITY, show_default=True, help="With --bare."
)
@click.option(
    "--size", nargs=2, type=click.IntRange(1), default=(28, 28), show_default=True, metavar="W H", help="With --bare."
)
@click.option("--check-bits", type=click.IntRange(0, CHECK_BITS_MAX), default=codec.BARE_CHECK_BITS, show_default=True,
              metavar="N", help="With --bare.")  # fmt: skip
@given.max_pixels
@click.option("--index", type=click.IntRange(0), metavar="N", help="Of an archive only image N, counted from 0.")
@click.option("--range", "span", callback=given.parse_range, metavar="A:B", help="Of an archive only images A to B-1.")
@click.option("--labels", metavar="PATH", help="Where the labels of an archive go, with --to idx.  [default: beside it]")
@click.option("--device", default="cpu", show_default=True, expose_value=False, callback=given.use_device,
              help="cuda: run the networks on a graphics processor, which pays for thousands of images at once.")  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Of a damaged archive, save what is whole.")
@click.option("--preview", is_flag=True, help="Of lossless files a quick look: no fine shades, and no check for damage.")
@click.option("-r", "--recursive", is_flag=True, help="Decompress the .cae files in folders.")
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
@click.option("--quiet", is_flag=True, help="No report, no progress.")
@click.pass_context
def decompress(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    kind: str | None,
    model: str | None,
    bare: bool,
    quality: int,
    size: tuple[int, int],
    check_bits: int,
    max_pixels: int | None,
    index: int | None,
    span: given.Range | None,
    labels: str | None,
    keep_going: bool,
    preview: bool,
    recursive: bool,
    force: bool,
    quiet: bool,
) -> int:
    """Decompress .cae files: digit.cae to digit.png beside it. The input is kept.

    The kind of image follows from the suffix that -o names, else from --to. An archive becomes what its images came from:
    IDX, .npy, .npz, Parquet or a folder.
    """
    agreed = {"quality", "size", "check_bits"}
    if not bare and any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in agreed):
        raise click.UsageError("--quality, --size and --check-bits are for --bare streams: a file says them itself")

    def decode(content: bytes) -> images.Pixels:
        if preview:
            return codec.preview(content, model=model, max_pixels=max_pixels)
        if not bare:
            return codec.decode(content, model=model, max_pixels=max_pixels)
        shape = (size[1], size[0])
        return codec.decode_bare(
            content, quality=quality, shape=shape, model=model or DEFAULT, check_bits=check_bits, max_pixels=max_pixels
        )

    held = {name: name if len(inputs) > 1 else given.at_hand(name) for name in inputs}
    archives = [] if bare else [name for name in inputs if given.is_archive(held[name])]
    if preview and (bare or archives):
        raise click.UsageError("--preview is for single files")
    if archives:
        if len(inputs) > 1:
            raise click.UsageError("archives are decompressed one at a time")
        from mnistzip.archive import Archive  # a single file does without
        from mnistzip.cli import unpack

        how = unpack.Unpacking(kind and kind.lower(), labels, index, span, keep_going, force, quiet, model)
        with Archive(held[archives[0]], model=model, max_pixels=max_pixels, recover=keep_going) as archive:
            return unpack.unpack(archives[0], archive, output, how)
    if labels is not None or index is not None or span is not None:
        _require_there(inputs)
        raise click.UsageError("--labels, --index and --range are for archives")
    suffix = "." + (kind or "png").lower().lstrip(".")
    images.require_kind(suffix)
    taken = images.BARE_SUFFIX if bare else images.SUFFIX
    goals, many = files.plan(inputs, output, recursive, {taken}, suffix)
    if not goals:
        raise click.UsageError(f"no {taken} files in " + " ".join(inputs))
    outputs = files.Outputs()
    failed = 0
    with Progress(len(goals), "decompress", show=many and not quiet) as progress:
        for name, goal in goals.items():
            try:
                outputs.claim(goal, name)
                image = decode(given.bytes_of(held.get(name, name)))
                wanted = suffix if goal == images.STREAM else Path(goal).suffix.lower() or suffix
                files.write(goal, images.write_image(image, wanted), name, force, others=given.model_file(model))
                if not quiet and not many and goal != images.STREAM:
                    note = ", a preview: not checked for damage" if preview else ""
                    click.echo(f"{name} -> {goal}\n  {image.shape[1]}x{image.shape[0]} pixels{note}")
            except BrokenPipeError:
                raise
            except (MnistzipError, OSError) as error:
                failed += 1
                click.echo(blame(name, error), err=True)
            progress.advance()
    if many and not quiet:
        click.echo(f"{len(goals) - failed} images decompressed" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


def _require_there(inputs: tuple[str, ...]) -> None:
    """Raise :class:`FileNotFoundError` for a file that is not there: that matters more than what it should be."""
    for name in inputs:
        if name != images.STREAM:
            Path(name).stat()
