"""``mnistzip decompress``: ``.cae`` files back to images."""

from __future__ import annotations

import os
from collections.abc import Callable

import click
from click.core import ParameterSource

from mnistzip import api
from mnistzip.cli import outputs as files, params
from mnistzip.cli.messages import format_error
from mnistzip.cli.params import DecompressOptions
from mnistzip.cli.progress import Progress
from mnistzip.errors import MnistzipError
from mnistzip.io import image_file
from mnistzip.models.registry import DEFAULT
from mnistzip.storage.remote import local_path
from mnistzip.types import Pixels

Decode = Callable[[bytes], Pixels]


@click.command(short_help="Decompress .cae files to images.")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PATH", help="Output file, or folder for several inputs; - is stdout (as PNG).")
@params.output_format
@params.model_file
@click.option("--bare", is_flag=True, help="Inputs of compress --bare; give the same -q, --model, --size and --check-bits.")
@params.quality("With --bare.")
@click.option(
    "--size", nargs=2, type=click.IntRange(1), default=(28, 28), show_default=True, metavar="W H", help="With --bare."
)
@params.check_bits("With --bare.")
@params.max_pixels
@params.index
@click.option("--range", "span", callback=params.parse_range, metavar="A:B", help="Only images A to B-1 of an archive.")
@click.option(
    "--labels", metavar="PATH", help="File for the labels of an archive, with --to idx.  [default: next to the images]"
)
@click.option("--keep-going", is_flag=True, help="Save the undamaged images of a damaged archive.")
@click.option("--preview", is_flag=True, help="Decode lossless files fast: without low bits, and without a check for damage.")
@click.option("-r", "--recursive", is_flag=True, help="Decompress the .cae files in folders.")
@params.force
@params.threads("Groups of an archive decoded at the same time.")
@params.quiet
@click.pass_context
def decompress(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    format_name: str | None,
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
    threads: int,
    quiet: bool,
) -> int:
    """Decompress .cae files: digit.cae to digit.png next to it. The input is kept.

    The suffix of -o says the image format, else --to does. An archive becomes what its images came from: IDX, .npy, .npz,
    Parquet or a folder.
    """
    with_bare = {"quality", "size", "check_bits"}
    if not bare and any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in with_bare):
        raise click.UsageError("--quality, --size and --check-bits need --bare: .cae files hold these values")
    if preview and bare:
        raise click.UsageError("--preview does not go with --bare")

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
    format_name = None if format_name is None else format_name.lower().lstrip(".")
    input_suffix = image_file.BARE_SUFFIX if bare else image_file.SUFFIX
    # If --to says no image format, it is for archives.
    suffix = f".{format_name}" if format_name is not None and image_file.is_written(f".{format_name}") else ".png"
    paths, many = files.plan(inputs, output, recursive, {input_suffix}, suffix)
    if not paths:
        raise click.UsageError(f"no {input_suffix} files in " + " ".join(inputs))
    if many and labels is not None:
        raise click.UsageError("--labels names one file: decompress one archive at a time")
    options = DecompressOptions(
        format_name=format_name,
        labels=labels,
        index=index,
        span=span,
        keep_going=keep_going,
        preview=preview,
        bare=bare,
        force=force,
        quiet=quiet,
        many=many,
        model=model,
        max_pixels=max_pixels,
        threads=threads,
    )
    return _decompress_files(paths, output, options, decode)


def _decompress_files(paths: dict[str, str], output: str | None, options: DecompressOptions, decode: Decode) -> int:
    """Decompress each input to its path; the exit code."""
    outputs = files.Outputs(paths)
    failed = archives = 0
    with Progress(len(paths), "decompress", show=options.many and not options.quiet) as progress:
        for name, path in paths.items():
            try:
                files.refuse_folder(name)
                source = params.path_or_bytes(name)
                if not options.bare and params.is_archive(source):
                    archives += 1
                    failed += _write_archive(name, source, output, path, options, outputs)
                else:
                    content = params.content_of(source)
                    _refuse_archive_options(options)
                    outputs.claim(path, name)
                    _write_image(name, content, path, decode, options)
            except BrokenPipeError:
                raise
            except (MnistzipError, OSError, click.UsageError) as error:
                if isinstance(error, click.UsageError) and not options.many:
                    raise
                failed += 1
                click.echo(format_error(name, error), err=True)
            progress.advance()
    if options.many and not options.quiet:
        noun = "file" if archives else "image"
        done = len(paths) - failed
        click.echo(f"{done} {noun}{'s' * (done != 1)} decompressed" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


def _write_archive(
    name: str, source: str | bytes, output: str | None, path: str, options: DecompressOptions, outputs: files.Outputs
) -> int:
    """Write the images of an archive; the exit code. One of several archives goes where its single image would go."""
    from mnistzip.archive.reader import Archive  # single files do not need it
    from mnistzip.cli import decompress_archive

    if options.preview:
        raise click.UsageError("--preview is for single files, not for archives")
    stem = os.path.splitext(path)[0] if options.many else None
    with Archive(source, model=options.model, max_pixels=options.max_pixels, recover=options.keep_going) as archive:
        return decompress_archive.unpack(name, archive, output, options, outputs, stem)


def _refuse_archive_options(options: DecompressOptions) -> None:
    """Raise :class:`click.UsageError` for options of archives."""
    if (options.labels, options.index, options.span) != (None, None, None):
        raise click.UsageError("--labels, --index and --range are for archives")


def _write_image(name: str, content: bytes, path: str, decode: Decode, options: DecompressOptions) -> None:
    """Write the image of a single file."""
    suffix = "" if path == image_file.STREAM else files.suffix_of(path)
    if options.format_name is not None:
        image_file.require_written(f".{options.format_name}")
        files.require_agreement(options.format_name, path)
    image = decode(content)
    image_bytes = image_file.write_image(image, suffix or f".{options.format_name or 'png'}")
    files.write(path, image_bytes, name, options.force, others=params.files_of_model(options.model))
    if not options.quiet and not options.many and path != image_file.STREAM:
        note = ", a preview: not checked for damage" if options.preview else ""
        click.echo(f"{name} -> {path}\n  {image.shape[1]}x{image.shape[0]} pixels{note}")
