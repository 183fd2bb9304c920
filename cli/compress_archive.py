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

from mnistzip import metrics
from mnistzip.archive.reader import Archive
from mnistzip.archive.writer import ArchiveWriter
from mnistzip.cli import outputs, params
from mnistzip.cli.main import blame
from mnistzip.cli.progress import Progress
from mnistzip.cli.report import FAR_BELOW, LARGE, way_out
from mnistzip.errors import ImageError, MnistzipError, OptionError
from mnistzip.io import image_file
from mnistzip.io.folders import find_images
from mnistzip.io.image_streams import open_stream
from mnistzip.io.read_options import Input, InputOptions, Piped, Stream, ignore
from mnistzip.limits import PIXELS_MAX
from mnistzip.storage.backends import open_storage


@dataclass(frozen=True)
class Packing:
    """Options of ``compress`` that concern archives; ``options`` are those of the coder."""

    labels: str | None
    append: bool
    embed_model: bool
    reading: InputOptions
    force: bool
    threads: int
    as_json: bool
    quiet: bool
    options: dict[str, Any]


def pack(inputs: Sequence[str], held: Sequence[Input], output: str | None, how: Packing) -> int:
    """Put the images of all inputs, whose names are ``inputs``, into one archive; the exit code."""
    target = _target(held, output)
    old = _require_free(target, inputs, how)
    stream = open_stream(held, labels=how.labels, options=how.reading)
    named = _named(target, inputs, stream, how)
    settings = {key: how.options[key] for key in ("quality", "lossless", "effort", "model")}
    place = sys.stdout.buffer if target == image_file.STREAM else target
    failed = 0
    with (
        Progress(stream.count or 0, "compress", show=not how.quiet) as progress,
        ArchiveWriter(
            place,
            append=how.append,
            threads=how.threads,
            origin=stream.origin,
            shape=stream.shape,
            embed_model=how.embed_model,
            overwrite=how.force or how.append,
            like=inputs[0] if len(inputs) == 1 and os.path.isfile(inputs[0]) and not how.append else None,
            progress=progress.advance,
            **settings,
        ) as writer,
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
                    writer.add(item.image, name=item.name if named else None, label=item.label)
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
        _warn(target, writer, writer.count - before, how.options)
        _report(told, target, writer, writer.count - before, writer.size - old, how.as_json)
    return 1 if failed else 0


def _named(target: str, inputs: Sequence[str], stream: Stream, how: Packing) -> bool:
    """Whether images get names, which may be empty.

    Raises:
        OptionError: the archive that they are added to has labels or names and they have none, or the other way round.
    """
    if not how.append or not os.path.isfile(target):
        return stream.named
    with Archive(target) as old:
        count, has_names, has_labels = len(old), old.has_names, old.has_labels
    added = inputs[0] if len(inputs) == 1 else f"{inputs[0]} and the other inputs"
    together = f"make a new archive: mnistzip compress {target} {inputs[0]} -o NEW{image_file.SUFFIX}"
    if count and has_labels and not stream.labelled:
        raise OptionError(f"{added} has no labels, unlike {target}: give them by --labels")
    if count and stream.classes is not None:
        raise OptionError(
            f"{added} has texts as labels, whose numbers need not be those of {target}: number them yourself, or {together}"
        )
    if count and stream.labelled and not has_labels:
        raise OptionError(f"{added} has labels, unlike {target}: --no-labels leaves them out")
    if count and stream.named and not has_names:
        raise OptionError(f"{added} has names, unlike {target}: {together}")
    if count and has_names and not stream.named:
        how.reading.say(f"{added} has no names, unlike {target}: the images added get empty ones")
    return stream.named or (count > 0 and has_names)


def _target(held: Sequence[Input], output: str | None) -> str:
    """Where the archive goes: beside a single input, into a folder, or where ``-o`` says."""
    if output is not None and not outputs.names_folder(output):
        return output
    if len(held) > 1:
        raise click.UsageError(f"several inputs go into one archive: name it with -o NAME{image_file.SUFFIX}")
    first = held[0]
    if isinstance(first, Piped):
        if output is None and first.name == image_file.STREAM:
            return image_file.STREAM
        raise click.UsageError(f"{first} is a pipe: name the archive with -o NAME{image_file.SUFFIX}")
    first = outputs.own_path(str(first))
    name = (first.name if first.is_dir() else Path(first.name.removesuffix(".gz")).stem) + image_file.SUFFIX
    return str(first.parent / name) if output is None else outputs.join(output, name)


def _require_free(target: str, inputs: Sequence[str], how: Packing) -> int:
    """Raise unless an archive may be written there; the size of the one that is added to."""
    if target == image_file.STREAM:
        if how.append:
            raise click.UsageError("--append needs an archive that is a file: name it with -o")
        return 0
    read = [*(name for name in inputs if name != image_file.STREAM), how.labels, *params.model_file(how.options["model"])]
    outputs.require_packed_name(target, read)
    if not outputs.is_replaceable(target):
        return 0
    outputs.require_not_read(target, [*read, *_in_folders(inputs)])
    if outputs.is_broken_link(target):
        outputs.require_free(target, [], how.force)
        return 0
    if not how.append:
        if not how.force:
            raise ImageError(f"{target} exists already: -f overwrites it, --append adds to it")
        return 0
    storage = open_storage(target)
    storage.close()
    return storage.size


def _in_folders(inputs: Sequence[str]) -> list[str]:
    """The files that are read from the folders among the inputs."""
    folders = [Path(name) for name in inputs if os.path.isdir(name)]
    return [str(path) for folder in folders for path in find_images(folder, ignore, with_cae=True)]


def _warn(target: str, writer: ArchiveWriter, count: int, options: dict[str, Any]) -> None:
    """Say which images need another option to be read, and how many are poor."""
    if writer.large:
        images_are = "1 image" if writer.large == 1 else f"{writer.large} images"
        click.echo(f"mnistzip: {target}: {images_are}: {LARGE} {PIXELS_MAX}", err=True)
    if writer.poor:
        advice = way_out(["a higher -q", "--lossless"], options["model"], large=False)
        below = FAR_BELOW.format(options["quality"])
        click.echo(f"mnistzip: {target}: {writer.poor} of {count} images {below}. {advice}", err=True)


def _report(told: str, target: str, writer: ArchiveWriter, count: int, size: int, as_json: bool) -> None:
    raw = writer.raw_bytes
    error = writer.squared_error / raw if raw else 0.0
    decibels = metrics.psnr_of_mse(error)
    to_stderr = target == image_file.STREAM
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
