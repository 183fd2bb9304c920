"""The output of ``mnistzip info`` and ``test`` for archives."""

from __future__ import annotations

import json
from collections import Counter

import click
import numpy as np

from mnistzip.archive.entry_names import shown
from mnistzip.archive.group_header import PartCoding
from mnistzip.archive.reader import Archive
from mnistzip.bitstream import bounded
from mnistzip.bitstream.container import NAMED_BY_HASH
from mnistzip.cli.damage_report import DAMAGED, NOT_READ, OK, DamageReport, errors_of, report_lost_names, status_of
from mnistzip.cli.progress import Progress
from mnistzip.errors import MnistzipError
from mnistzip.models import registry
from mnistzip.types import Mode


def describe(name: str, archive: Archive, as_json: bool, verbose: bool) -> int:
    """Print what an archive holds, from its index and the headers of its groups; returns how many groups are damaged."""
    codings: Counter[tuple[str, str, int | None, int | None]] = Counter()
    groups = stored = coded = damaged = 0
    for group in archive.groups():
        groups += 1
        if isinstance(group, MnistzipError):
            damaged += 1
            click.echo(f"mnistzip: {name}: {group}", err=True)
            continue
        coded += group.header.lanes_bytes
        for part in group.parts:
            codings[_described(part.coding)] += len(part.images)
            if part.coding.mode is not Mode.STORED:
                stored += sum(len(part.images_of(lane)) for lane in np.flatnonzero(part.stored).tolist())
    count, size = len(archive), archive.size
    parts = [
        {"mode": mode, "model": model, "quality": quality, "max_error": max_error, "images": n}
        for (mode, model, quality, max_error), n in codings.items()
    ]
    if as_json:
        height, width = archive.shape or (None, None)
        row = {
            "input": name,
            "mode": "archive",
            "images": count,
            "width": width,
            "height": height,
            "bytes": size,
            "bytes_per_image": round(size / count, 3) if count else None,
            "coded_bytes": coded,
            "groups": groups,
            "origin": archive.origin.name.lower(),
            "names": archive.has_names,
            "labels": archive.has_labels,
            "holds_model": archive.holds_model,
            "parts": parts,
        }
        click.echo(json.dumps(row))
        return damaged
    shape = f"{archive.shape[1]}x{archive.shape[0]}" if archive.shape else "of several sizes" if count else "without a size"
    extras = (("names", archive.has_names), ("labels", archive.has_labels), ("an embedded model", archive.holds_model))
    content = "".join(f", {noun}" for noun, exists in extras if exists)
    click.echo(f"{name}: archive of {count} image{'s' * (count != 1)}, {shape}{content}")
    each = f", {size / count:.2f} per image" if count else ""
    click.echo(f"  {size} bytes{each}: {groups} group{'s' * (groups != 1)}, coded images {coded}, the rest {size - coded}")
    for (mode, model, quality, max_error), number in codings.items():
        at_quality = f", quality {quality}" if quality else ""
        if max_error:
            at_quality = f", {bounded.in_words(max_error)}"
        click.echo(f"  {number} image{'s' * (number != 1)}: {mode}, model {model}{at_quality}")
    if stored:
        click.echo(f"  {stored} of them lossless, which is smaller")
    if verbose:
        _list(archive)
    return damaged


def _described(coding: PartCoding) -> tuple[str, str, int | None, int | None]:
    """Mode, name of the model, quality, and largest error."""
    if coding.mode is Mode.STORED:
        return "lossless", "none", None, None
    names = {number: shipped for shipped, number in registry.SHIPPED.items()}
    by_hash = coding.model == NAMED_BY_HASH
    model = coding.fingerprint.hex() if by_hash else names.get(coding.model, f"number {coding.model}")
    quality = coding.quality if coding.mode is Mode.LOSSY else None
    return coding.mode.name.lower(), model, quality, coding.max_error or None


def _list(archive: Archive) -> None:
    """Print a line for each image."""
    index = 0
    for group, names, labels in archive.details():
        for k, (height, width) in enumerate(group.shapes.tolist()):
            label = "" if labels is None else f" label {labels[k]}"
            name = "" if names is None else f" {shown(names[k])}"
            click.echo(f"  {index + k}: {width}x{height}{label}{name}")
        index += group.header.images


def check(name: str, archive: Archive, quiet: bool) -> str:
    """Decode an archive and print which images and names are lost; returns ``ok``, ``damaged`` or ``not read``."""
    damage = DamageReport(name)
    results = {OK}
    with Progress(len(archive), "test", show=not quiet) as progress:
        for part in archive.parts(details=True):
            damage.add(part, with_labels=True)
            results |= {status_of(error) for error in errors_of(part, with_labels=True) if error is not None}
            if report_lost_names(name, part):
                results.add(DAMAGED)
            progress.advance(len(part.images))
    damage.print_run()
    if results == {OK} and not quiet:
        click.echo(f"{name}: ok, {len(archive)} image{'s' * (len(archive) != 1)}")
    return next(result for result in (DAMAGED, NOT_READ, OK) if result in results)
