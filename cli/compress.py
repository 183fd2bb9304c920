"""``mnistzip compress``: images to ``.cae`` files, one for each image, with a report of sizes and PSNR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from mnistzip import api
from mnistzip.cli import compress_ray, outputs as files, params
from mnistzip.cli.messages import format_error
from mnistzip.cli.progress import Progress
from mnistzip.cli.report import Report, Style
from mnistzip.coding.batches import batches
from mnistzip.errors import MnistzipError
from mnistzip.io import image_file
from mnistzip.io.inputs import Input, Piped, open_input
from mnistzip.io.read_options import InputOptions
from mnistzip.limits import PIXELS_MAX
from mnistzip.models import registry
from mnistzip.options import EncodeOptions
from mnistzip.storage.remote import local_path
from mnistzip.threads import map_in_order
from mnistzip.types import Pixels

BATCH_PIXELS = 256 * 28 * 28  # a batch ends with the image that reaches this number

Result = tuple[bytes, Pixels] | MnistzipError  # a file and its decoded image


class Job(NamedTuple):
    """One image to compress."""

    source: str
    output: str
    pixels: Pixels


@click.command(short_help="Compress images.")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PATH", help="Output file, folder for several inputs, or archive; - is stdout.")
@params.with_options(params.ENCODE_OPTIONS)
@click.option(
    "--convert", is_flag=True, help="Convert colour, transparency, 16 bits and the first frame of an animation to grey."
)
@click.option("-r", "--recursive", is_flag=True, help="Compress the images in folders.")
@click.option(
    "--labels",
    metavar="PATH",
    help="Labels for an archive: IDX, .npy or text with an integer for each image, or CSV of names and labels.",
)
@params.with_options(params.INPUT_OPTIONS)
@click.option("--append", is_flag=True, help="Add to the archive that -o names.")
@click.option("--embed-model", is_flag=True, help="Put a custom model into the archive, so that reading needs no model file.")
@params.force
@params.threads("Threads for many images.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
              help="ray: write a folder of shards with all workers of a cluster.")  # fmt: skip
@click.option("--to", type=click.Choice(["cae", "parquet"]), default="cae", show_default=True, help="Format of shards.")
@click.option(
    "--shard-size", type=click.IntRange(1), default=1 << 16, show_default=True, metavar="N", help="Images in a shard."
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="With --engine ray.  [default: one for each CPU of Ray]")
@click.option("--resume", is_flag=True, help="Continue an unfinished call: skip the shards that are finished.")
@params.as_json
@params.quiet
@click.option("-v", "--verbose", is_flag=True, help="Print also the content of each file.")
@click.pass_context
def compress(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    labels: str | None,
    append: bool,
    embed_model: bool,
    force: bool,
    convert: bool,
    threads: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    engine: str,
    to: str,
    shard_size: int,
    workers: int | None,
    resume: bool,
    **options: Any,
) -> int:
    """Compress greyscale images to .cae files: digit.png to digit.cae next to it. The input is kept.

    INPUTS are image files, folders with -r, or - for stdin. The report counts whole files, and measures the PSNR on the
    images decoded from them. Images of folders are taken in natural order: 2.png before 10.png.

    IDX files, .npy, .npz and Parquet go into one archive. Folders and several files do if -o ends in .cae.
    """
    output = None if output is None else local_path(output)
    input_options = {name: options.pop(name) for name in params.INPUT_OPTIONS}
    encoding = EncodeOptions(**options)
    _refuse_contradictions(ctx, encoding)
    compress_ray.refuse_contradictions(ctx, engine)
    reading = InputOptions(convert=convert, model=encoding.model, labels=not input_options.pop("no_labels"), **input_options)
    registry.candidates(encoding.model)  # raises once for a wrong name, not once for each image
    if engine == "ray":
        run = {"to": to, "shard_size": shard_size, "workers": workers, "resume": resume, "labels": labels, "convert": convert}
        return compress_ray.pack(inputs, output, as_json, quiet, **run, **params.archive_keywords(encoding))
    if output is None and len(inputs) > 1 and image_file.STREAM in inputs:
        raise click.UsageError(files.ONE_STREAM)
    opened = {name: open_input(name) for name in inputs}
    sources = [opened[name] for name in inputs]
    if params.goes_into_archive(sources, output, append, recursive):
        _refuse_for_archives(ctx)
        from mnistzip.cli import compress_archive  # single files do not need it

        return compress_archive.pack(
            inputs,
            sources,
            output,
            compress_archive.PackOptions(labels, append, embed_model, reading, force, threads, as_json, quiet, encoding),
        )
    _refuse_for_files(ctx)
    return _compress_files(inputs, output, recursive, force, convert, threads, opened, encoding, (as_json, quiet, verbose))


def _compress_files(
    inputs: Sequence[str],
    output: str | None,
    recursive: bool,
    force: bool,
    convert: bool,
    threads: int,
    opened: dict[str, Input],
    encoding: EncodeOptions,
    reporting: tuple[bool, bool, bool],
) -> int:
    """Compress each image into a separate file; the exit code."""
    as_json, quiet, verbose = reporting
    suffix = image_file.BARE_SUFFIX if encoding.bare else image_file.SUFFIX
    paths, many = files.plan(inputs, output, recursive, None, suffix)
    files.require_packed_name(output, inputs, suffix)
    if not paths:
        raise click.UsageError("no images in " + " ".join(inputs))
    to_stream = image_file.STREAM in paths.values()
    report = Report(Style(to_stream, as_json, quiet, verbose, many, encoding.bare), encoding)
    outputs = files.Outputs(paths)

    def failed(name: str, error: Exception) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        report.failed += 1
        click.echo(format_error(name, error), err=True)

    def jobs() -> Iterator[Job]:
        for name, path in paths.items():
            try:
                files.refuse_folder(name)
                outputs.claim(path, name)
                yield Job(name, path, _read(name, opened.get(name), convert))
            except (MnistzipError, OSError) as error:
                failed(name, error)
                progress.advance()

    with Progress(len(paths), "compress", show=many and not quiet) as progress:
        for job, result in _code(jobs(), encoding, threads):
            try:
                if isinstance(result, MnistzipError):
                    raise result
                coded, decoded = result
                files.write(job.output, coded, job.source, force, others=params.files_of_model(encoding.model))
                report.add(job.source, job.output, job.pixels, coded, decoded)
            except (MnistzipError, OSError) as error:
                failed(job.source, error)
            progress.advance()
    report.end()
    return 1 if report.failed else 0


def _read(name: str, source: Input | None, convert: bool) -> Pixels:
    """The image of an input, which may be a pipe that was read already."""
    if isinstance(source, Piped):
        return image_file.parse_image(name, source.content, convert)
    return image_file.read_image(name, convert)


def _refuse_contradictions(ctx: click.Context, encoding: EncodeOptions) -> None:
    budget = next((name for name in ("max_bytes", "min_psnr") if getattr(encoding, name) is not None), None)
    quality_is_given = ctx.get_parameter_source("quality") is ParameterSource.COMMANDLINE
    if quality_is_given and encoding.lossless:
        raise click.UsageError("--lossless keeps every pixel: leave out --quality")
    if quality_is_given and encoding.max_error is not None:
        raise click.UsageError("--max-error decides how near every pixel is: leave out --quality")
    if quality_is_given and budget and not encoding.bare:
        raise click.UsageError(f"--{budget.replace('_', '-')} chooses the quality: leave out --quality")
    if encoding.bare and (encoding.lossless or encoding.max_error is not None or encoding.min_psnr is not None):
        raise click.UsageError("--bare is lossy, with a known quality: leave out --lossless, --max-error and --min-psnr")
    if ctx.get_parameter_source("check_bits") is ParameterSource.COMMANDLINE and not encoding.bare:
        raise click.UsageError("--check-bits needs --bare: files have a checksum of 16 to 23 bits")
    if encoding.lossless and encoding.min_psnr is not None:
        raise click.UsageError("--lossless reaches any PSNR: leave out --min-psnr")
    if encoding.max_error is not None and (encoding.lossless or encoding.min_psnr is not None):
        raise click.UsageError("--max-error excludes --lossless and --min-psnr: leave out all but one")


def _refuse_for_archives(ctx: click.Context) -> None:
    for name in ("max_bytes", "min_psnr", "bare"):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is for single files: an archive has one quality for all images")


def _refuse_for_files(ctx: click.Context) -> None:
    for name in ("labels", "embed_model", *params.INPUT_OPTIONS):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for archives: end -o in .cae, or give IDX, .npy, .npz or Parquet")


def _decode(coded: list[bytes], batch: list[Job], encoding: EncodeOptions) -> list[Pixels]:
    """The decoded images of a batch of files."""
    if not encoding.bare:
        return api.decode_many(coded, model=encoding.model, max_pixels=PIXELS_MAX)
    return [
        api.decode_bare(
            file,
            quality=encoding.quality,
            shape=job.pixels.shape,
            model=encoding.model,
            check_bits=encoding.check_bits,
            max_pixels=PIXELS_MAX,
        )
        for file, job in zip(coded, batch, strict=True)
    ]


def _code(jobs: Iterator[Job], encoding: EncodeOptions, threads: int) -> Iterator[tuple[Job, Result]]:
    """Code jobs in batches, in order. If a batch fails, code its images one by one: an error then concerns one image."""

    def work(batch: list[Job]) -> list[tuple[Job, Result]]:
        try:
            coded = api.encode_many([job.pixels for job in batch], **vars(encoding))
            decoded = _decode(coded, batch, encoding)
            return list(zip(batch, zip(coded, decoded, strict=True), strict=True))
        except MnistzipError as error:
            if len(batch) == 1:
                return [(batch[0], error)]
            return [pair for job in batch for pair in work([job])]

    grouped = batches(jobs, lambda job: job.pixels.size, BATCH_PIXELS)
    for coded in map_in_order(work, grouped, threads):
        yield from coded
