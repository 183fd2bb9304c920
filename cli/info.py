"""``mnistzip info``, ``test`` and ``models``: describe and check files and models."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from mnistzip import api
from mnistzip.archive.reader import Archive
from mnistzip.bitstream import bounded
from mnistzip.cli import archive_info, outputs, params
from mnistzip.cli.damage_report import OK, status_of
from mnistzip.cli.messages import format_error
from mnistzip.errors import ImageError, MnistzipError, ModelError
from mnistzip.io import image_file
from mnistzip.limits import SIDE_MAX
from mnistzip.models import registry, user_models


@click.command(short_help="Describe .cae files.")
@click.argument("inputs", nargs=-1, required=True)
@params.as_json
@click.option("-v", "--verbose", is_flag=True, help="List each image of an archive: index, size, label, name.")
def info(inputs: tuple[str, ...], as_json: bool, verbose: bool) -> int:
    """Describe .cae files from their headers. `mnistzip test` checks the content."""
    failed = 0
    for name in inputs:
        try:
            if os.path.isdir(name):
                raise ImageError(
                    f"{name} is a folder: give the files in it, such as {os.path.join(name, '*')}{image_file.SUFFIX}"
                )
            source = params.path_or_bytes(name)
            if params.is_archive(source):
                with Archive(source, max_pixels=SIDE_MAX**2) as archive:
                    failed += archive_info.describe(name, archive, as_json, verbose)
                continue
            header = api.info(params.content_of(source))
        except BrokenPipeError:  # stdout is closed, which is not an error of this input
            raise
        except (MnistzipError, OSError) as error:
            failed += 1
            click.echo(format_error(name, error), err=True)
            continue
        if as_json:
            click.echo(json.dumps({"input": name, **asdict(header)}))
            continue
        quality = f", quality {header.quality}" if header.quality else ""
        if header.max_error:
            quality = f", {bounded.in_words(header.max_error)}"
        tiles = f" in {header.tiles} tiles" if header.tiles > 1 else ""
        click.echo(f"{name}: {header.mode}, model {header.model}{quality}, {header.width}x{header.height}{tiles}")
        size = header.header_bytes + header.payload_bytes
        click.echo(f"  {size} bytes: header {header.header_bytes}, payload {header.payload_bytes}")
    return 1 if failed else 0


@click.command(short_help="Check .cae files for damage.")
@click.argument("inputs", nargs=-1, required=True)
@params.model_file
@click.option("-r", "--recursive", is_flag=True, help="Test the .cae files in folders.")
@params.max_pixels
@click.option("--quiet", is_flag=True, help="Print problems only.")
def test(inputs: tuple[str, ...], model: str | None, recursive: bool, max_pixels: int | None, quiet: bool) -> int:
    """Check .cae files by decoding them, without writing anything.

    The exit code is 0 if no file is damaged, else 1.
    """
    names = [name for name, _ in outputs.expand(inputs, recursive, {image_file.SUFFIX})]
    if not names:
        raise click.UsageError(f"no {image_file.SUFFIX} files in " + " ".join(inputs))
    results = Counter(_check(name, model, max_pixels, quiet) for name in names)
    if len(names) > 1 and not quiet:
        click.echo(_summary(results))
    return 0 if results[OK] == len(names) else 1


def _check(name: str, model: str | None, max_pixels: int | None, quiet: bool) -> str:
    """Decode a file and print its error; returns :data:`OK` or the result of :func:`status_of`."""
    try:
        outputs.refuse_folder(name)
        source = params.path_or_bytes(name)
        if params.is_archive(source):
            with Archive(source, model=model, max_pixels=max_pixels) as archive:
                return archive_info.check(name, archive, quiet)
        api.decode(params.content_of(source), model=model, max_pixels=max_pixels)
    except BrokenPipeError:  # stdout is closed, which is not an error of this input
        raise
    except (MnistzipError, OSError) as error:
        click.echo(format_error(name, error), err=True)
        return status_of(error)
    if not quiet:
        click.echo(f"{name}: ok")
    return OK


def _summary(results: Counter[str]) -> str:
    """A line on several files, such as ``3 files ok, 1 damaged``."""
    bad = "".join(f", {count} {result}" for result, count in sorted(results.items()) if result != OK)
    return f"{results[OK]} file{'s' * (results[OK] != 1)} ok{bad}"


@click.command(short_help="List models, or add a custom model.")
@params.as_json
@click.option("--add", "added", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Install a model file: options and files then find it by its name.")  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Replace another model of the same name.")
def models(as_json: bool, added: Path | None, force: bool) -> int:
    """List the available models: shipped models, then custom models.

    Custom models are those that --add has installed, and those in the files and folders of MNISTZIP_MODEL_PATH.
    """
    if added is not None:
        return _add(added, force)
    for name, number in registry.SHIPPED.items():
        fingerprint = registry.shipped(name).fingerprint.hex()
        about = registry.ABOUT[name]
        if as_json:
            click.echo(json.dumps({"name": name, "number": number, "fingerprint": fingerprint, "about": about}))
        else:
            default = " (tried by default)" if name in (*registry.CANDIDATES, registry.BITMAPS) else ""
            click.echo(f"{name}{default}: number {number}, fingerprint {fingerprint}\n  {about}")
    failed = 0
    for path in user_models.files():
        try:
            fingerprint = registry.find(path).fingerprint.hex()
        except (MnistzipError, OSError) as error:
            failed += 1
            click.echo(format_error(str(path), error), err=True)
            continue
        if as_json:
            click.echo(json.dumps({"name": path.stem, "number": None, "fingerprint": fingerprint, "path": str(path)}))
        else:
            click.echo(f"{path.stem}: fingerprint {fingerprint}\n  {path}")
    return 1 if failed else 0


def _add(path: Path, force: bool) -> int:
    """Check a model file and install it."""
    if path.stem in (*registry.SHIPPED, registry.AUTO):
        raise ModelError(f"{path.stem} is the name of a shipped model: rename the file")
    try:
        model = registry.find(path)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    target = user_models.add(path.stem, model.content, force)
    click.echo(f"{path.stem}: fingerprint {model.fingerprint.hex()}, now in {target.parent}")
    return 0
