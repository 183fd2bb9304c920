"""What ``mnistzip decompress`` does with an archive: IDX, arrays, Parquet, a folder of images, or one of them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from mnistzip.archive import Archive, Part
from mnistzip.cli import files
from mnistzip.cli.given import Range
from mnistzip.cli.progress import Progress
from mnistzip.data import images
from mnistzip.data.sinks import KINDS, FolderSink, IdxSink, NpySink, ParquetSink, Sink
from mnistzip.errors import FormatError, ImageError, MnistzipError, UnsupportedError
from mnistzip.index import Origin
from mnistzip.names import shown

IMAGES_MARK, LABELS_MARK = "images-idx3", "labels-idx1"
IMAGE = "image"  # the kind of output that is one image
NAMED_MAX = 16  # damaged images that are named one by one
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
    lost: dict[int, MnistzipError] = {}
    if how.keep_going:
        for part in archive.parts(start, stop, details=True):
            lost |= damage(part, goal.kind in {"idx", "npz", "parquet"})
            if goal.kind != "npy":
                blame_names(name, part)
        blame_damage(name, archive, lost)
    if goal.kind == IMAGE:
        if lost:
            return 1
        content = images.write_image(archive[start], goal.suffix)
        files.write(goal.path, content, name if os.path.isfile(name) else images.STREAM, how.force)
    else:
        count = stop - start - len(lost)
        with (
            _sink(archive, goal, count, name, how.force) as sink,
            Progress(stop - start, "decompress", not how.quiet) as progress,
        ):
            for part in archive.parts(start, stop, details=True):
                _put(part, sink, name, goal, lost, how.keep_going)
                progress.advance(len(part.images))
    if not how.quiet and goal.path != images.STREAM:
        number = stop - start - len(lost)
        click.echo(f"{name} -> {goal.path}\n  {number} image{'s' * (number != 1)}")
    return 1 if lost or archive.recovered else 0


def _put(part: Part, sink: Sink, name: str, goal: Goal, lost: Container[int], keep_going: bool) -> None:
    """Hand the images of a part to a sink, but those that are lost."""
    names, labels = part.names, part.labels
    if isinstance(names, MnistzipError):
        if _lost_alone(names, part) and not keep_going and goal.kind in {"folder", "npz", "parquet"}:
            raise type(names)(f"{name}: names from image {part.first} on: {names}") from names
        names = None
    if isinstance(labels, MnistzipError):
        if _lost_alone(labels, part) and not keep_going and goal.kind in {"idx", "npz", "parquet"}:
            raise type(labels)(f"{name}: labels from image {part.first} on: {labels}") from labels
        labels = None
    for k, image in enumerate(part.images):
        index = part.first + k
        if index in lost:
            continue
        if isinstance(image, MnistzipError):
            how = f"{_what(image)} (--keep-going saves the others)"
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
    if kind == IMAGE and pictures not in {*images.LOSSLESS_KINDS, ".npy"}:
        images.write_image(np.zeros((1, 1), np.uint8), pictures)  # says which kinds there are
    if kind == "folder" and pictures:
        images.write_image(np.zeros((1, 1), np.uint8), pictures)
    path = _path(name, archive, output, kind, pictures, how)
    labels = how.labels
    if kind == "idx" and archive.has_labels and labels is None:
        if path == images.STREAM:
            raise click.UsageError("the archive has labels: say with --labels where they go")
        labels = _labels_beside(path)
    if how.labels is not None and (kind != "idx" or not archive.has_labels):
        raise click.UsageError("--labels is for the labels of an archive that has some, with --to idx")
    return Goal(kind, pictures, path, labels)


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


def _sink(archive: Archive, goal: Goal, count: int, name: str, force: bool) -> Sink:
    """What takes the images."""
    like = name if os.path.isfile(name) else None
    if goal.kind == "folder":

        def write(path: str, content: bytes) -> None:
            files.write(path, content, like or images.STREAM, force, sync=False)

        def renamed(old: str, new: str) -> None:
            told = f"{shown(old)} is the name of several images: one is written as {shown(new)}"
            click.echo(f"mnistzip: {name}: {told}", err=True)

        if os.path.exists(goal.path) and not os.path.isdir(goal.path):
            raise ImageError(f"{goal.path} is no folder: --to says what else the images can be")
        return FolderSink(goal.path, goal.suffix, write, renamed)
    for path in (goal.path, goal.labels):
        files.require_free(path, name, force)
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


def damage(part: Part, with_labels: bool) -> dict[int, MnistzipError]:
    """What is wrong with which images of a part."""
    if with_labels and isinstance(part.labels, MnistzipError):
        return dict.fromkeys(range(part.first, part.first + len(part.images)), part.labels)
    return {part.first + k: image for k, image in enumerate(part.images) if isinstance(image, MnistzipError)}


def blame_names(name: str, part: Part) -> bool:
    """Whether images are there whose names are not; if so, a line on stderr."""
    lost = _lost_alone(part.names, part)
    if lost:
        click.echo(f"mnistzip: {name}: {_told(part.first, len(part.images))} lost the names: {part.names}", err=True)
    return lost


def _lost_alone(what: object, part: Part) -> bool:
    """Whether names or labels are damaged where the images are not lost by the same thing."""
    return isinstance(what, MnistzipError) and all(image is not what for image in part.images)


def _what(error: MnistzipError) -> str:
    """Not everything that cannot be read is damaged."""
    return "damaged" if isinstance(error, FormatError) and not isinstance(error, UnsupportedError) else "not read"


def _told(first: int, count: int) -> str:
    return f"image {first}" if count == 1 else f"images {first} to {first + count - 1}"


def blame_damage(name: str, archive: Archive, lost: dict[int, MnistzipError]) -> None:
    """A line on stderr for each run of images that one thing is wrong with."""
    group, names = range(0), list[str]()  # of one group, read once
    for run in _runs(lost):
        if run[0] not in group:
            group, names = _names_beside(archive, run[0])
        first = run[0] - group.start
        few = names[first : first + min(NAMED_MAX, len(run))]
        known = ", ".join(shown(each) for each in few if each)
        more = f" and {len(run) - NAMED_MAX} more" if len(run) > NAMED_MAX and known else ""
        told = f" ({known}{more})" if known else ""
        be = "is" if len(run) == 1 else "are"
        wrong = lost[run[0]]
        click.echo(f"mnistzip: {name}: {_told(run[0], len(run))}{told} {be} {_what(wrong)}: {wrong}", err=True)


def _runs(lost: dict[int, MnistzipError]) -> Iterator[list[int]]:
    """Indices side by side with the same thing wrong."""
    run: list[int] = []
    for index in sorted(lost):
        if run and (index != run[-1] + 1 or str(lost[index]) != str(lost[run[0]])):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _names_beside(archive: Archive, index: int) -> tuple[range, list[str]]:
    """The indices that share a group with an image, and their names, as far as there are any to be read."""
    try:
        group = archive.group_of(index)
        return group, archive.names_between(group.start, group.stop)
    except MnistzipError:
        return range(index, index + 1), []
