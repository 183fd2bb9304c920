"""What ``mnistzip decompress`` does with an archive: IDX, arrays, Parquet, a folder of images, or one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from mnistzip.archive import Archive, Part
from mnistzip.cli import files, given
from mnistzip.cli.damage import Blame, blame_names, kind_of, lost_alone, wrong_with
from mnistzip.cli.given import Range
from mnistzip.cli.progress import Progress
from mnistzip.data import images
from mnistzip.data.sinks import KINDS, FolderSink, IdxSink, NpySink, ParquetSink, Sink
from mnistzip.errors import ImageError, MnistzipError
from mnistzip.index import Origin
from mnistzip.names import shown

IMAGES_MARK, LABELS_MARK = "images-idx3", "labels-idx1"
NAMED = {"folder", "npz", "parquet"}  # kinds of output that have names
IMAGE = "image"  # the kind of output that is one image
SUFFIXES = {Origin.NPY: ".npy", Origin.NPZ: ".npz", Origin.PARQUET: ".parquet"}


@dataclass(frozen=True)
class Unpacking:
    """Options of ``decompress`` that concern archives."""

    to: str | None
    labels: str | None
    index: int | None
    range: Range | None
    keep_going: bool
    force: bool
    quiet: bool
    model: str | None


@dataclass(frozen=True)
class Goal:
    """What is written: one of :data:`KINDS` or :data:`IMAGE`, the suffix of images (or their own), and where."""

    kind: str
    suffix: str
    path: str
    labels: str | None


def unpack(name: str, archive: Archive, output: str | None, how: Unpacking) -> int:
    """Write the images of an archive; the exit code."""
    start, stop = _span(archive, how)
    goal = _goal(name, archive, output, how)
    if archive.recovered:
        found = f"{len(archive)} images were found by looking for them, counted from the first"
        click.echo(f"mnistzip: {name}: its end is damaged; {found}", err=True)
    labelled = goal.kind in {"idx", "npz", "parquet"}
    blame = Blame(name)
    nameless = False
    if how.keep_going:
        for part in archive.parts(start, stop, details=True):
            blame.add(part, labelled)
            nameless |= goal.kind in NAMED and blame_names(name, part)
        blame.end()
    if goal.kind == IMAGE:
        if blame.count:
            return 1
        content = images.write_image(archive[start], goal.suffix)
        files.write(
            goal.path, content, name if os.path.isfile(name) else images.STREAM, how.force, others=given.model_file(how.model)
        )
    else:
        with (
            _sink(archive, goal, stop - start - blame.count, name, how) as sink,
            Progress(stop - start, "decompress", not how.quiet) as progress,
        ):
            for part in archive.parts(start, stop, details=True):
                _put(part, sink, name, goal, how.keep_going)
                progress.advance(len(part.images))
    if not how.quiet and images.STREAM not in (goal.path, goal.labels):
        number = stop - start - blame.count
        click.echo(f"{name} -> {goal.path}\n  {number} image{'s' * (number != 1)}")
    return 1 if blame.count or nameless or archive.recovered else 0


def _put(part: Part, sink: Sink, name: str, goal: Goal, keep_going: bool) -> None:
    """Hand the images of a part to a sink; to keep going, but those that are lost."""
    names, labels = part.names, part.labels
    if isinstance(names, MnistzipError):
        if lost_alone(names, part) and not keep_going and goal.kind in NAMED:
            raise type(names)(f"{name}: names from image {part.first} on: {names}") from names
        names = None
    if isinstance(labels, MnistzipError):
        if lost_alone(labels, part) and not keep_going and goal.kind in {"idx", "npz", "parquet"}:
            raise type(labels)(f"{name}: labels from image {part.first} on: {labels}") from labels
        labels = None
    gone = wrong_with(part, goal.kind in {"idx", "npz", "parquet"})
    for k, image in enumerate(part.images):
        index = part.first + k
        if keep_going and gone[k] is not None:
            continue
        if isinstance(image, MnistzipError):
            how = f"{kind_of(image)} (--keep-going saves the others)"
            raise type(image)(f"{name}: image {index} is {how}: {image}") from image
        sink.add(index, image, names[k] if names else "", None if labels is None else int(labels[k]))


def _span(archive: Archive, how: Unpacking) -> tuple[int, int]:
    """First image and the one behind the last."""
    if how.index is not None:
        if how.index >= len(archive):
            raise click.UsageError(f"--index {how.index}: the archive has {len(archive)} images, counted from 0")
        return how.index, how.index + 1
    start, stop, _ = slice(*(how.range or (None, None))).indices(len(archive))
    return start, max(start, stop)


def _goal(name: str, archive: Archive, output: str | None, how: Unpacking) -> Goal:
    """What to write and where, from ``--to``, else from how the output is called, else from what the images came from."""
    named = "" if output is None else Path(output).name.lower().removesuffix(".gz")
    suffix = Path(named).suffix
    picture = suffix in {*images.LOSSLESS_KINDS, ".npy"}
    inside = output is not None and (os.path.isdir(output) or output.endswith(os.sep))
    by_suffix = {kind: known for known, kind in KINDS.items() if kind in SUFFIXES}
    if how.to in KINDS:
        kind, pictures = how.to, ""
    elif how.to is not None:
        kind, pictures = "folder" if how.index is None else IMAGE, "." + how.to.lower().lstrip(".")
    elif how.index is not None and (picture or output is None or output == images.STREAM):
        kind, pictures = IMAGE, suffix if picture else ".png"
    elif suffix in SUFFIXES.values():
        kind, pictures = next(by_suffix[origin] for origin, known in SUFFIXES.items() if known == suffix), ""
    elif "ubyte" in named or "idx" in named:
        kind, pictures = "idx", ""
    elif inside:
        kind, pictures = "folder", ""
    else:
        kind = next((known for known, origin in KINDS.items() if origin is archive.origin), "")
        kind, pictures = kind or ("npy" if archive.shape and not archive.has_names else "folder"), ""
    if kind == IMAGE or (kind == "folder" and pictures):
        images.require_kind(pictures)
    path = _path(name, archive, output, kind, pictures, how)
    return Goal(kind, pictures, path, _labels(archive, path, kind, how))


def _labels(archive: Archive, path: str, kind: str, how: Unpacking) -> str | None:
    """Where labels go that do not go where the images do."""
    if kind != "idx" or not archive.has_labels:
        if how.labels is not None:
            raise click.UsageError("--labels is for the labels of an archive that has some, with --to idx")
        return None
    if how.labels is None and path == images.STREAM:
        raise click.UsageError("the archive has labels: say with --labels where they go")
    labels = how.labels or _labels_beside(path)
    same = os.path.realpath(labels) == os.path.realpath(path)
    if same and (path == images.STREAM or os.path.isfile(path) or not os.path.exists(path)):
        raise click.UsageError(f"images and labels would both go to {path}: --labels names another file")
    return labels


def _path(name: str, archive: Archive, output: str | None, kind: str, suffix: str, how: Unpacking) -> str:
    """Where the output goes."""
    inside = output is not None and (os.path.isdir(output) or output.endswith(os.sep))
    if output is not None and (kind == "folder" or not inside):
        if output == images.STREAM and kind in {"folder", "parquet", "npz"}:
            raise click.UsageError(f"{kind} cannot go to stdout: name a file or folder with -o")
        return output
    if name == images.STREAM:
        raise click.UsageError("an archive from stdin has no name: name the output with -o")
    stem = Path(name.rsplit("/", 1)[-1]).stem if "://" in name else str(Path(name).with_suffix(""))
    if output is not None:
        stem = str(Path(output) / Path(stem).name)
    if kind == IMAGE:
        return f"{stem}-{how.index}{suffix}"
    if kind == "idx":
        return stem + ("-ubyte" if IMAGES_MARK in Path(stem).name else f"-{IMAGES_MARK}-ubyte")
    return stem + SUFFIXES.get(KINDS[kind], "")


def _labels_beside(path: str) -> str:
    """Where the labels of an IDX file go."""
    folder, name = os.path.split(path)
    if IMAGES_MARK in name:
        return os.path.join(folder, name.replace(IMAGES_MARK, LABELS_MARK))
    stem, zipped = (name[:-3], ".gz") if name.endswith(".gz") else (name, "")
    return os.path.join(folder, f"{stem}-{LABELS_MARK}-ubyte{zipped}")


def _sink(archive: Archive, goal: Goal, count: int, name: str, how: Unpacking) -> Sink:
    """What takes the images."""
    like = name if os.path.isfile(name) else None
    read = [name, *given.model_file(how.model)]
    if goal.kind == "folder":

        def write(path: str, content: bytes) -> None:
            files.write(path, content, like or images.STREAM, how.force, sync=False, others=read)

        def renamed(old: str, new: str) -> None:
            told = f"{shown(old)} is the name of several images, or no file can have it: one is written as {shown(new)}"
            click.echo(f"mnistzip: {name}: {told}", err=True)

        if os.path.exists(goal.path) and not os.path.isdir(goal.path):
            raise ImageError(f"{goal.path} is no folder: --to says what else the images can be")
        return FolderSink(goal.path, goal.suffix, write, renamed)
    for path in (goal.path, goal.labels):
        files.require_free(path, read, how.force)
    if goal.kind == "parquet":
        return ParquetSink(goal.path, archive.has_names, archive.has_labels, like)
    shape = archive.shape
    if shape is None:
        if len(archive):
            raise ImageError(f"{name} has images of several sizes: --to folder or --to parquet takes them")
        shape = (0, 0)
    if goal.kind == "idx":
        return IdxSink(goal.path, goal.labels, count, shape, like)
    return NpySink(goal.path, count, shape, goal.kind == "npz", like)
