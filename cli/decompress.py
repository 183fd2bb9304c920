"""``mnistzip decompress``: ``.cae`` files back to images."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import click
from click.core import ParameterSource

from mnistzip import api
from mnistzip.cli import outputs as files, params
from mnistzip.cli.main import blame
from mnistzip.cli.progress import Progress
from mnistzip.entropy.rans import CHECK_BITS_MAX
from mnistzip.errors import MnistzipError
from mnistzip.io import image_file
from mnistzip.models.registry import DEFAULT
from mnistzip.options import BARE_CHECK_BITS, DEFAULT_QUALITY
from mnistzip.storage.remote import local_path
from mnistzip.types import Pixels


@dataclass(frozen=True)
class Options:
    """Options of one call; ``kind`` is what ``--to`` says, without a dot, and ``many`` whether there are several inputs."""

    kind: str | None
    labels: str | None
    index: int | None
    range: params.Range | None
    keep_going: bool
    preview: bool
    force: bool
    quiet: bool
    many: bool
    model: str | None
    max_pixels: int | None


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
@click.option("-q", "--quality", type=click.IntRange(1, 100), default=DEFAULT_QUALITY, show_default=True, help="With --bare.")
@click.option(
    "--size", nargs=2, type=click.IntRange(1), default=(28, 28), show_default=True, metavar="W H", help="With --bare."
)
@click.option("--check-bits", type=click.IntRange(0, CHECK_BITS_MAX), default=BARE_CHECK_BITS, show_default=True,
              metavar="N", help="With --bare.")  # fmt: skip
@params.max_pixels
@click.option("--index", type=click.IntRange(0), metavar="N", help="Of an archive only image N, counted from 0.")
@click.option("--range", "span", callback=params.parse_range, metavar="A:B", help="Of an archive only images A to B-1.")
@click.option("--labels", metavar="PATH", help="Where the labels of an archive go, with --to idx.  [default: beside it]")
@click.option("--device", default="cpu", show_default=True, expose_value=False, callback=params.use_device,
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
    span: params.Range | None,
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
    if preview and bare:
        raise click.UsageError("--preview is not for --bare streams")

    def decode(content: bytes) -> Pixels:
        if preview:
            return api.preview(content, model=model, max_pixels=max_pixels)
        if not bare:
            return api.decode(content, model=model, max_pixels=max_pixels)
        shape = (size[1], size[0])
        return api.decode_bare(
            content, quality=quality, shape=shape, model=model or DEFAULT, check_bits=check_bits, max_pixels=max_pixels
        )

    output, labels = (None if name is None else local_path(name) for name in (output, labels))
    kind = None if kind is None else kind.lower().lstrip(".")
    taken = image_file.BARE_SUFFIX if bare else image_file.SUFFIX
    suffix = f".{kind}" if kind is not None and image_file.is_written(f".{kind}") else ".png"  # another kind is for archives
    goals, many = files.plan(inputs, output, recursive, {taken}, suffix)
    if not goals:
        raise click.UsageError(f"no {taken} files in " + " ".join(inputs))
    if many and labels is not None:
        raise click.UsageError("--labels names one file: with it, decompress one archive at a time")
    options = Options(kind, labels, index, span, keep_going, preview, force, quiet, many, model, max_pixels)
    outputs = files.Outputs(goals)
    failed = archives = 0
    with Progress(len(goals), "decompress", show=many and not quiet) as progress:
        for name, goal in goals.items():
            try:
                files.refuse_folder(name)
                held = params.at_hand(name)
                if not bare and params.is_archive(held):
                    archives += 1
                    failed += _unpack(name, held, output, goal, options, outputs)
                else:
                    content = params.bytes_of(held)
                    _require_no_archive_options(options)
                    outputs.claim(goal, name)
                    _write_image(name, content, goal, decode, options)
            except BrokenPipeError:
                raise
            except (MnistzipError, OSError, click.UsageError) as error:
                if isinstance(error, click.UsageError) and not many:
                    raise
                failed += 1
                click.echo(blame(name, error), err=True)
            progress.advance()
    if many and not quiet:
        what = "file" if archives else "image"
        done = len(goals) - failed
        click.echo(f"{done} {what}{'s' * (done != 1)} decompressed" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


def _unpack(name: str, held: str | bytes, output: str | None, goal: str, options: Options, outputs: files.Outputs) -> int:
    """Write what is in an archive; the exit code. Of several inputs, each goes where its single image would go."""
    from mnistzip.archive.reader import Archive  # a single file does without
    from mnistzip.cli import decompress_archive

    if options.preview:
        raise click.UsageError("--preview is for single files")
    stem = os.path.splitext(goal)[0] if options.many else None
    with Archive(held, model=options.model, max_pixels=options.max_pixels, recover=options.keep_going) as archive:
        return decompress_archive.unpack(name, archive, output, options, outputs, stem)


def _require_no_archive_options(options: Options) -> None:
    """Raise :class:`click.UsageError` if a single file was met with options for archives."""
    if (options.labels, options.index, options.range) != (None, None, None):
        raise click.UsageError("--labels, --index and --range are for archives")


def _write_image(name: str, content: bytes, goal: str, decode: Callable[[bytes], Pixels], options: Options) -> None:
    """Write the image of a single file."""
    named = "" if goal == image_file.STREAM else files.suffix_of(goal)
    if options.kind is not None:
        image_file.require_kind(f".{options.kind}")
        files.require_agreement(options.kind, goal)
    image = decode(content)
    written = image_file.write_image(image, named or f".{options.kind or 'png'}")
    files.write(goal, written, name, options.force, others=params.model_file(options.model))
    if not options.quiet and not options.many and goal != image_file.STREAM:
        note = ", a preview: not checked for damage" if options.preview else ""
        click.echo(f"{name} -> {goal}\n  {image.shape[1]}x{image.shape[0]} pixels{note}")
