"""``mnistzip compress --engine ray``: images into shards, by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from mnistzip.cli import params
from mnistzip.cli.progress import Progress
from mnistzip.cli.report import report_shards
from mnistzip.errors import ImageError, OptionError
from mnistzip.io import image_file

OPTIONS = ("to", "shard_size", "workers", "resume")
NOT_FOR_SHARDS = ("max_bytes", "min_psnr", "bare", "append", "embed_model", "force", "threads", *params.INPUT_OPTIONS)


def refuse_contradictions(ctx: click.Context, engine: str) -> None:
    """Raise :class:`click.UsageError` for options that do not go with the engine."""
    for name in OPTIONS if engine == "local" else NOT_FOR_SHARDS:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            reason = "needs --engine ray" if engine == "local" else "does not go with --engine ray"
            raise click.UsageError(f"{option} {reason}")


def pack(inputs: Sequence[str], output: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Write the images of all inputs into shards; the exit code."""
    if output is None or output == image_file.STREAM or image_file.STREAM in inputs:
        raise click.UsageError("--engine ray reads files and folders and writes a folder: name it with -o")
    try:
        from mnistzip.plugins.ray import pack_shards
        from mnistzip.plugins.sharding import Report, Summary
    except ImportError as cause:
        raise OptionError(str(cause)) from cause

    with Progress(0, "compress", show=not quiet, unit="shards") as bar:

        def progress(report: Report, shards: int) -> None:
            bar.advance(total=shards)
            for failure in report.failures:
                click.echo(f"mnistzip: {failure}", err=True)

        summary: Summary = pack_shards(inputs, output, progress=progress, **options)
    if summary.failed and not summary.images:
        raise ImageError("no image could be compressed")
    if not quiet:
        report_shards(inputs, output, summary, as_json)
    return 1 if summary.failed else 0
