"""What ``mnistzip info`` and ``test`` say of archives."""

from __future__ import annotations

import json
from collections import Counter

import click
import numpy as np

from mnistzip.archive.entry_names import shown
from mnistzip.archive.group_header import PartCoding
from mnistzip.archive.reader import Archive
from mnistzip.bitstream.container import NAMED_BY_HASH
from mnistzip.cli.damage_report import DAMAGED, NOT_READ, OK, Blame, blame_names, kind_of, wrong_with
from mnistzip.cli.progress import Progress
from mnistzip.errors import MnistzipError
from mnistzip.models import registry
from mnistzip.types import Mode


def describe(name: str, archive: Archive, as_json: bool, verbose: bool) -> int:
    """Say what an archive holds, by its index and the heads of its groups; how many groups are damaged."""
    ways: Counter[tuple[str, str, int | None]] = Counter()
    groups = stored = coded = damaged = 0
    for group in archive.groups():
        groups += 1
        if isinstance(group, MnistzipError):
            damaged += 1
            click.echo(f"mnistzip: {name}: {group}", err=True)
            continue
        coded += group.header.lanes_bytes
        for part in group.parts:
            ways[_way(part.coding)] += len(part.images)
            if part.coding.mode is not Mode.STORED:
                stored += sum(len(part.images_of(lane)) for lane in np.flatnonzero(part.stored).tolist())
    count, size = len(archive), archive.size
    parts = [{"mode": mode, "model": model, "quality": quality, "images": n} for (mode, model, quality), n in ways.items()]
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
    shape = f"{archive.shape[1]}x{archive.shape[0]}" if archive.shape else "of several sizes" if count else "of no size"
    known = (("names", archive.has_names), ("labels", archive.has_labels), ("its model in it", archive.holds_model))
    more = "".join(f", {what}" for what, has in known if has)
    click.echo(f"{name}: archive of {count} images, {shape}{more}")
    each = f", {size / count:.2f} an image" if count else ""
    click.echo(f"  {size} bytes{each}: {groups} group{'s' * (groups != 1)}, coded images {coded}, all else {size - coded}")
    for (mode, model, quality), number in ways.items():
        at = f", quality {quality}" if quality else ""
        click.echo(f"  {number} images: {mode}, model {model}{at}")
    if stored:
        click.echo(f"  {stored} of them lossless, as that is smaller")
    if verbose:
        _list(archive)
    return damaged


def _way(coding: PartCoding) -> tuple[str, str, int | None]:
    """Mode, model and quality, for people."""
    if coding.mode is Mode.STORED:
        return "lossless", "none", None
    names = {number: shipped for shipped, number in registry.SHIPPED.items()}
    by_hash = coding.model == NAMED_BY_HASH
    model = coding.fingerprint.hex() if by_hash else names.get(coding.model, f"number {coding.model}")
    return ("lossy", model, coding.quality) if coding.mode is Mode.LOSSY else ("lossless", model, None)


def _list(archive: Archive) -> None:
    """A line for each image."""
    index = 0
    for group, names, labels in archive.details():
        for k, (height, width) in enumerate(group.shapes.tolist()):
            label = "" if labels is None else f" label {labels[k]}"
            name = "" if names is None else f" {shown(names[k])}"
            click.echo(f"  {index + k}: {width}x{height}{label}{name}")
        index += group.header.images


def check(name: str, archive: Archive, quiet: bool) -> str:
    """Decode all of an archive and name the images and names that are lost: ``ok``, ``damaged`` or ``not read``."""
    blame = Blame(name)
    results = {OK}
    with Progress(len(archive), "test", show=not quiet) as progress:
        for part in archive.parts(details=True):
            blame.add(part, with_labels=True)
            results |= {kind_of(error) for error in wrong_with(part, with_labels=True) if error is not None}
            if blame_names(name, part):
                results.add(DAMAGED)
            progress.advance(len(part.images))
    blame.end()
    if results == {OK} and not quiet:
        click.echo(f"{name}: ok, {len(archive)} images")
    return next(result for result in (DAMAGED, NOT_READ, OK) if result in results)
