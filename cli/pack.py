"""What ``mnistzip compress`` does where many images go into one archive."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mnistzip import container, metrics
from mnistzip.cli import files, given
from mnistzip.cli.compress import LARGE
from mnistzip.cli.main import blame
from mnistzip.cli.progress import Progress
from mnistzip.data import images
from mnistzip.data.streams import open_stream
from mnistzip.errors import ImageError, MnistzipError
from mnistzip.pack import ArchiveWriter
from mnistzip.remote import is_address
from mnistzip.storage import open_storage


@dataclass(frozen=True)
class Packing:
    """Options of ``compress`` that concern archives; ``options`` are those of the coder."""

    labels: str | None
    append: bool
    embed_model: bool
    convert: bool
    force: bool
    threads: int
    as_json: bool
    quiet: bool
    options: dict[str, Any]


def pack(inputs: Sequence[str], output: str | None, how: Packing) -> int:
    """Put the images of all inputs into one archive; the exit code."""
    target = _target(inputs, output)
    old = _require_free(target, inputs, how)
    stream = open_stream(inputs, labels=how.labels, convert=how.convert, model=how.options["model"])
    settings = {key: how.options[key] for key in ("quality", "lossless", "effort", "model")}
    place = sys.stdout.buffer if target == images.STREAM else target
    failed = 0
    with (
        ArchiveWriter(
            place,
            append=how.append,
            threads=how.threads,
            origin=stream.origin,
            shape=stream.shape,
            embed_model=how.embed_model,
            like=inputs[0] if len(inputs) == 1 and os.path.isfile(inputs[0]) and not how.append else None,
            **settings,
        ) as writer,
        Progress(stream.count or 0, "compress", show=not how.quiet) as progress,
    ):
        before = writer.count
        for item in stream.items:
            wrong: Exception | None = None
            if isinstance(item.image, (ImageError, OSError)):
                wrong = item.image
            elif isinstance(item.image, MnistzipError):
                raise item.image
            else:
                try:
                    writer.add(item.image, name=item.name if stream.named else None, label=item.label)
                except ImageError as error:  # what the system says of the archive is no fault of the image
                    wrong = error
            if wrong is not None:
                failed += 1
                click.echo(blame(item.where, wrong), err=True)
            progress.advance()
        if failed and writer.count == before:
            raise ImageError("none of the images could be taken: nothing was written")
    if not isinstance(place, str):
        place.flush()
    if not how.quiet:
        told = inputs[0] if len(inputs) == 1 else f"{len(inputs)} inputs"
        _warn(target, writer)
        _report(told, target, writer, writer.count - before, writer.size - old, how.as_json)
    return 1 if failed else 0


def _target(inputs: Sequence[str], output: str | None) -> str:
    """Where the archive goes: beside a single input, into a folder, or where ``-o`` says."""
    if output is not None and not files.names_folder(output):
        return output
    if len(inputs) > 1:
        raise click.UsageError(f"several inputs go into one archive: name it with -o NAME{images.SUFFIX}")
    first = files.own_path(inputs[0])
    name = (first.name if first.is_dir() else Path(first.name.removesuffix(".gz")).stem) + images.SUFFIX
    return str(first.parent / name) if output is None else files.join(output, name)


def _require_free(target: str, inputs: Sequence[str], how: Packing) -> int:
    """Raise unless an archive may be written there; the size of the one that is added to."""
    if target == images.STREAM:
        if how.append:
            raise click.UsageError("--append needs an archive that is a file: name it with -o")
        return 0
    read = [*(name for name in inputs if name != images.STREAM), how.labels, *given.model_file(how.options["model"])]
    files.require_packed_name(target, read)
    if not (files.exists(target) if is_address(target) else os.path.isfile(target)):
        return 0
    files.require_not_read(target, read)
    if not how.append:
        if not how.force:
            raise ImageError(f"{target} exists already: -f overwrites it, --append adds to it")
        return 0
    storage = open_storage(target)
    storage.close()
    return storage.size


def _warn(target: str, writer: ArchiveWriter) -> None:
    """Say that some images cannot be read without more ado."""
    if writer.large:
        are = "image is" if writer.large == 1 else "images are"
        click.echo(f"mnistzip: {target}: {writer.large} {are} {LARGE} {container.PIXELS_MAX}", err=True)


def _report(told: str, target: str, writer: ArchiveWriter, count: int, size: int, as_json: bool) -> None:
    raw = writer.raw_bytes
    error = writer.squared_error / raw if raw else 0.0
    decibels = metrics.psnr_of_mse(error)
    to_stderr = target == images.STREAM
    if as_json:
        row = {
            "input": told,
            "output": target,
            "images": count,
            "raw_bytes": raw,
            "png_bytes": None,
            "bytes": size,
            "ratio": round(raw / size, 3),
            "ratio_vs_png": None,
            "bpp": round(metrics.bpp(size, raw), 4) if raw else None,
            "psnr_db": round(decibels, 3) if error else None,
        }
        click.echo(json.dumps(row), err=to_stderr)
        return
    quality = f"{decibels:.2f} dB" if error else "identical"
    each = f" ({size / count:.2f} each)" if count else ""
    rates = f": {raw / size:.1f}x raw, {metrics.bpp(size, raw):.3f} bpp, {quality}" if count else ""
    click.echo(f"{told} -> {target}\n  {count} images, {raw} bytes raw -> {size} bytes{each}{rates}", err=to_stderr)
