"""What ``mnistzip compress --engine ray`` does: images into shards, by as many workers as there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from mnistzip import metrics
from mnistzip.cli import params
from mnistzip.cli.progress import Progress
from mnistzip.errors import ImageError, OptionError
from mnistzip.io import image_file

OPTIONS = ("to", "shard_size", "workers", "resume")
NOT_FOR_SHARDS = ("max_bytes", "min_psnr", "bare", "append", "embed_model", "force", "threads", *params.INPUT_OPTIONS)


def refuse_contradictions(ctx: click.Context, engine: str) -> None:
    """Raise :class:`click.UsageError` for options that the engine does not know."""
    for name in OPTIONS if engine == "local" else NOT_FOR_SHARDS:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            told = "is for --engine ray" if engine == "local" else "does not go with --engine ray"
            raise click.UsageError(f"{option} {told}")


def pack(inputs: Sequence[str], output: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Put the images of all inputs into shards; the exit code."""
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
        raise ImageError("none of the images could be taken")
    if not quiet:
        _report(inputs, output, summary, as_json)
    return 1 if summary.failed else 0


def _report(inputs: Sequence[str], output: str, summary: Any, as_json: bool) -> None:
    told = inputs[0] if len(inputs) == 1 else f"{len(inputs)} inputs"
    raw, size, count = summary.raw_bytes, summary.bytes, summary.images
    lossless = summary.squared_error == 0
    if as_json:
        row = {
            "input": told,
            "output": output,
            "shards": summary.shards,
            "resumed": summary.resumed,
            "images": count,
            "failed": summary.failed,
            "raw_bytes": raw,
            "png_bytes": None,
            "bytes": size,
            "ratio": round(raw / size, 3) if size else None,
            "ratio_vs_png": None,
            "bpp": round(metrics.bpp(size, raw), 4) if raw else None,
            "psnr_db": None if lossless or summary.psnr_db is None else round(summary.psnr_db, 3),
        }
        click.echo(json.dumps(row))
        return
    quality = "" if summary.psnr_db is None else ", identical" if lossless else f", {summary.psnr_db:.2f} dB"
    rates = f" ({size / count:.2f} each): {raw / size:.1f}x raw, {metrics.bpp(size, raw):.3f} bpp{quality}" if count else ""
    resumed = f", {summary.resumed} of them there before" if summary.resumed else ""
    sizes = f"{count} images, {raw} bytes raw -> {size} bytes in {summary.shards} shards"
    click.echo(f"{told} -> {output}\n  {sizes}{resumed}{rates}")
    if summary.failed:
        click.echo(f"{summary.failed} failed", err=True)
