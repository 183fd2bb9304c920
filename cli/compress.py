"""``mnistzip compress``: images in, one ``.cae`` file each out, with a report of what it took and what it kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from mnistzip import api
from mnistzip.cli import compress_ray, outputs as files, params
from mnistzip.cli.main import blame
from mnistzip.cli.progress import Progress
from mnistzip.cli.report import Report, Style
from mnistzip.coding.batches import batches
from mnistzip.entropy.rans import CHECK_BITS_MAX
from mnistzip.errors import MnistzipError
from mnistzip.io import image_file
from mnistzip.io.read_options import Input, InputOptions, Piped, take
from mnistzip.limits import PIXELS_MAX
from mnistzip.models import registry
from mnistzip.options import BARE_CHECK_BITS, DEFAULT_EFFORT, DEFAULT_QUALITY, EFFORT_MAX
from mnistzip.storage.remote import local_path
from mnistzip.types import Pixels

BATCH_PIXELS = 256 * 28 * 28  # about what is coded together

Result = tuple[bytes, Pixels] | MnistzipError  # a file and what it decodes to


@dataclass(frozen=True)
class Job:
    """One image on its way from an input to an output."""

    source: str
    output: str
    pixels: Pixels


@click.command(short_help="Compress images.")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PATH", help="Output file, folder for several inputs, or archive; - is stdout.")
@click.option("-q", "--quality", type=click.IntRange(1, 100), default=DEFAULT_QUALITY, show_default=True,
              help="Higher is better and larger.")  # fmt: skip
@click.option("--lossless", is_flag=True, help="Keep every pixel.")
@click.option("-e", "--effort", type=click.IntRange(0, EFFORT_MAX), default=DEFAULT_EFFORT, show_default=True,
              help="0 is fastest, 9 gives the smallest files; decoding costs the same.")  # fmt: skip
@click.option("--max-bytes", type=click.IntRange(1), metavar="N", help="Best quality whose whole file has at most N bytes.")
@click.option("--min-psnr", type=click.FloatRange(0), metavar="DB", help="Smallest file that reaches DB, lossless if need be.")
@click.option("--model", default=registry.DEFAULT, show_default=True, metavar="NAME|PATH",
              help="Shipped model or model file; auto: for each image the model and the mode that cost least.")  # fmt: skip
@click.option("--bare", is_flag=True,
              help="Coder bytes only, to .bare: both ends must agree on model, quality, size and check bits.")  # fmt: skip
@click.option("--check-bits", type=click.IntRange(0, CHECK_BITS_MAX), default=BARE_CHECK_BITS, show_default=True,
              metavar="N", help="Of a --bare stream: one in 2^N damages goes unnoticed.")  # fmt: skip
@click.option("--convert", is_flag=True, help="Take colour, transparency, 16 bits or the first frame of an animation as grey.")
@click.option("-r", "--recursive", is_flag=True, help="Compress the images in folders.")
@click.option("--labels", metavar="PATH",
              help="Of an archive: IDX, .npy or text of an integer for each image, or CSV of names and labels.")  # fmt: skip
@params.input_options
@click.option("--append", is_flag=True, help="Add to the archive that -o names.")
@click.option("--embed-model", is_flag=True, help="Put a model of your own into the archive, which then can be read without.")
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
@click.option("-T", "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads for many images.")
@click.option("--device", default="cpu", show_default=True, expose_value=False, callback=params.use_device,
              help="cuda: run the networks on a graphics processor, which pays for thousands of images at once.")  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
              help="ray: into a folder of shards, by all workers of a cluster.")  # fmt: skip
@click.option("--to", type=click.Choice(["cae", "parquet"]), default="cae", show_default=True, help="What shards are.")
@click.option(
    "--shard-size", type=click.IntRange(1), default=1 << 16, show_default=True, metavar="N", help="Images in a shard."
)
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Of --engine ray; by default one for each CPU that Ray has."
)
@click.option("--resume", is_flag=True, help="Go on with shards that were begun; finished ones are skipped.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, one object a line.")
@click.option("--quiet", is_flag=True, help="No report, no progress.")
@click.option("-v", "--verbose", is_flag=True, help="Also say what is in each file.")
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
    """Compress greyscale images to .cae files: digit.png to digit.cae beside it. The input is kept.

    INPUTS are image files, folders with -r, or - for stdin. The report counts whole files, and its PSNR is measured on
    what was decoded from them. Images of folders are taken in natural order: 2.png before 10.png.

    IDX files, .npy, .npz and Parquet go into one archive, and so do folders and several files where -o ends in .cae.
    """
    output = None if output is None else local_path(output)
    _refuse_contradictions(ctx, options)
    compress_ray.refuse_contradictions(ctx, engine)
    reading = _input_options(options, convert)
    registry.candidates(options["model"])  # a wrong name is one error, not one for each image
    if engine == "ray":
        how = {key: options[key] for key in ("quality", "lossless", "effort", "model")}
        run = {"to": to, "shard_size": shard_size, "workers": workers, "resume": resume, "labels": labels, "convert": convert}
        return compress_ray.pack(inputs, output, as_json, quiet, **run, **how)
    if output is None and len(inputs) > 1 and image_file.STREAM in inputs:
        raise click.UsageError(files.ONE_STREAM)
    held = {name: take(name) for name in inputs}
    sources = [held[name] for name in inputs]
    if params.for_an_archive(sources, output, append, recursive):
        _refuse_for_archives(ctx, options)
        from mnistzip.cli import compress_archive  # a single file does without

        return compress_archive.pack(
            inputs,
            sources,
            output,
            compress_archive.Packing(labels, append, embed_model, reading, force, threads, as_json, quiet, options),
        )
    _refuse_for_files(ctx)
    return _compress_files(inputs, output, recursive, force, convert, threads, held, options, (as_json, quiet, verbose))


def _compress_files(
    inputs: Sequence[str],
    output: str | None,
    recursive: bool,
    force: bool,
    convert: bool,
    threads: int,
    held: dict[str, Input],
    options: dict[str, Any],
    reporting: tuple[bool, bool, bool],
) -> int:
    """Compress each image into a file of its own; the exit code."""
    as_json, quiet, verbose = reporting
    suffix = image_file.BARE_SUFFIX if options["bare"] else image_file.SUFFIX
    goals, many = files.plan(inputs, output, recursive, None, suffix)
    files.require_packed_name(output, inputs, suffix)
    if not goals:
        raise click.UsageError("no images in " + " ".join(inputs))
    to_stream = image_file.STREAM in goals.values()
    report = Report(Style(to_stream, as_json, quiet, verbose, many, options["bare"]), options)
    outputs = files.Outputs(goals)

    def failed(name: str, error: Exception) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        report.failed += 1
        click.echo(blame(name, error), err=True)

    def jobs() -> Iterator[Job]:
        for name, goal in goals.items():
            try:
                files.refuse_folder(name)
                outputs.claim(goal, name)
                yield Job(name, goal, _read(name, held.get(name), convert))
            except (MnistzipError, OSError) as error:
                failed(name, error)
                progress.advance()

    with Progress(len(goals), "compress", show=many and not quiet) as progress:
        for job, result in _code(jobs(), options, threads):
            try:
                if isinstance(result, MnistzipError):
                    raise result
                coded, decoded = result
                files.write(job.output, coded, job.source, force, others=params.model_file(options["model"]))
                report.add(job.source, job.output, job.pixels, coded, decoded)
            except (MnistzipError, OSError) as error:
                failed(job.source, error)
            progress.advance()
    report.end()
    return 1 if report.failed else 0


def _read(name: str, held: Input | None, convert: bool) -> Pixels:
    """The image of an input, which may have come through a pipe."""
    return (
        image_file.parse_image(name, held.content, convert) if isinstance(held, Piped) else image_file.read_image(name, convert)
    )


def _input_options(options: dict[str, Any], convert: bool) -> InputOptions:
    """The options of reading, taken out of the others."""
    own = {name: options.pop(name) for name in params.INPUT_OPTIONS}
    return InputOptions(convert=convert, model=options["model"], labels=not own.pop("no_labels"), **own)


def _refuse_contradictions(ctx: click.Context, options: dict[str, Any]) -> None:
    budget = next((name for name in ("max_bytes", "min_psnr") if options[name] is not None), None)
    chosen = ctx.get_parameter_source("quality") is ParameterSource.COMMANDLINE
    if chosen and options["lossless"]:
        raise click.UsageError("--lossless keeps every pixel: it takes no --quality")
    if chosen and budget and not options["bare"]:
        raise click.UsageError(f"--{budget.replace('_', '-')} chooses the quality itself: it takes no --quality")
    if options["bare"] and (options["lossless"] or options["min_psnr"] is not None):
        raise click.UsageError("--bare is lossy and of an agreed quality: it takes neither --lossless nor --min-psnr")
    if ctx.get_parameter_source("check_bits") is ParameterSource.COMMANDLINE and not options["bare"]:
        raise click.UsageError("--check-bits is for --bare streams: files have a check of 16 to 23 bits")
    if options["lossless"] and options["min_psnr"] is not None:
        raise click.UsageError("--lossless reaches any PSNR: it takes no --min-psnr")


def _refuse_for_archives(ctx: click.Context, options: dict[str, Any]) -> None:
    for name in ("max_bytes", "min_psnr", "bare"):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is for single files: an archive has one quality for all images")


def _refuse_for_files(ctx: click.Context) -> None:
    for name in ("labels", "embed_model", *params.INPUT_OPTIONS):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for archives: -o must end in .cae, or the input be IDX, .npy, .npz or Parquet")


def _decode(coded: list[bytes], batch: list[Job], options: dict[str, Any]) -> list[Pixels]:
    """What the files of a batch decode to."""
    if not options["bare"]:
        return api.decode_many(coded, model=options["model"], max_pixels=PIXELS_MAX)
    agreed = {key: options[key] for key in ("quality", "model", "check_bits")} | {"max_pixels": PIXELS_MAX}
    return [api.decode_bare(file, shape=job.pixels.shape, **agreed) for file, job in zip(coded, batch, strict=True)]


def _code(jobs: Iterator[Job], options: dict[str, Any], threads: int) -> Iterator[tuple[Job, Result]]:
    """Code jobs in batches, in order; where a batch fails, one by one, so that an error hits its own image only."""

    def work(batch: list[Job]) -> list[tuple[Job, Result]]:
        try:
            coded = api.encode_many([job.pixels for job in batch], **options)
            decoded = _decode(coded, batch, options)
            return list(zip(batch, zip(coded, decoded, strict=True), strict=True))
        except MnistzipError as error:
            if len(batch) == 1:
                return [(batch[0], error)]
            return [pair for job in batch for pair in work([job])]

    grouped = batches(jobs, lambda job: job.pixels.size, BATCH_PIXELS)
    if threads == 1:
        for batch in grouped:
            yield from work(batch)
        return
    from concurrent.futures import ThreadPoolExecutor  # it takes a while to import, and one thread does without

    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        for batch in grouped:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > threads:
                yield from waiting.pop(0).result()
        for future in waiting:
            yield from future.result()
