"""What ``mnistzip decompress`` does with an archive: IDX, arrays, Parquet, a folder of images, or one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

import click
import numpy as np

from mnistzip.archive.entry_names import shown
from mnistzip.archive.reader import Archive, GroupImages
from mnistzip.cli import output_format, outputs as files, params
from mnistzip.cli.damage_report import Blame, blame_labels, blame_names, kind_of, lost_alone, wrong_with
from mnistzip.cli.decompress import Options
from mnistzip.cli.output_format import IMAGE
from mnistzip.cli.progress import Progress
from mnistzip.errors import ImageError, MnistzipError
from mnistzip.io import image_file
from mnistzip.io.writers import LABELS_FILE, FolderSink, IdxSink, NpySink, ParquetSink, Place, Sink
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import is_address

IMAGES_MARK, LABELS_MARK = "images-idx3", "labels-idx1"
NAMED = {"folder", "npz", "parquet"}  # kinds of output that have names
LABELLED = {"folder", "idx", "npz", "parquet"}  # and labels
NEED_LABELS = LABELLED - {"folder"}  # of all images
SUFFIXES = {kind: suffix for suffix, kind in output_format.ARRAYS.items()}


@dataclass(frozen=True)
class Goal:
    """What is written: one of :data:`KINDS` or :data:`IMAGE`, the suffix of images (or their own), and where."""

    kind: str
    suffix: str
    path: str
    labels: str | None


def unpack(name: str, archive: Archive, output: str | None, options: Options, outputs: files.Outputs, stem: str | None) -> int:
    """Write the images of an archive; the exit code.

    Args:
        name: what the archive is called.
        archive: the archive.
        output: what ``-o`` names.
        options: those of the command.
        outputs: what the command has written.
        stem: the path without a suffix where this one of several archives goes; None if it is the only one.
    """
    start, stop = _span(archive, options)
    goal = _goal(name, archive, output, options, stem, stop - start)
    for path in (goal.path, goal.labels):
        if path is not None:
            outputs.claim(path, name)
    if archive.recovered:
        found = f"{len(archive)} images were found by looking for them, counted from the first"
        click.echo(f"mnistzip: {name}: its end is damaged; {found}", err=True)
    blame = Blame(name)
    nameless = False
    if options.keep_going:
        for part in archive.parts(start, stop, details=True):
            blame.add(part, goal.kind in NEED_LABELS)
            nameless |= goal.kind in NAMED and blame_names(name, part)
            nameless |= goal.kind == "folder" and blame_labels(name, part)
        blame.end()
    number = stop - start - blame.count
    if goal.kind == IMAGE:
        if blame.count:
            return 1
        more = _write_one(name, archive, start, goal, options)
    else:
        _write_all(name, archive, range(start, stop), number, goal, options, outputs)
        more = ""
    if not options.quiet and image_file.STREAM not in (goal.path, goal.labels):
        click.echo(f"{name} -> {goal.path}\n  {number} image{'s' * (number != 1)}{more}")
    return 1 if blame.count or nameless or archive.recovered else 0


def _write_one(name: str, archive: Archive, index: int, goal: Goal, options: Options) -> str:
    """Write one image; what else is known of it, for the report."""
    part = next(archive.parts(index, index + 1, details=True))
    image = part.images[0]
    if isinstance(image, MnistzipError):
        raise image
    content = image_file.write_image(image, goal.suffix)
    files.write(goal.path, content, name, options.force, others=params.model_file(options.model))
    label = f", label {part.labels[0]}" if isinstance(part.labels, np.ndarray) else ""
    return label + (f", named {shown(part.names[0])}" if isinstance(part.names, list) and part.names[0] else "")


def _write_all(
    name: str, archive: Archive, span: range, number: int, goal: Goal, options: Options, outputs: files.Outputs
) -> None:
    """Write the images of a span, ``number`` of which can be read."""
    with (
        _sink(archive, goal, number, name, options, outputs) as sink,
        Progress(len(span), "decompress", not options.quiet and not options.many) as progress,
    ):
        for part in archive.parts(span.start, span.stop, details=True):
            _put(part, sink, name, goal, options.keep_going)
            progress.advance(len(part.images))
    missing = [what for what, kinds, has in (("names", NAMED, archive.has_names), ("labels", LABELLED, archive.has_labels))
               if has and goal.kind not in kinds]  # fmt: skip
    if missing:
        kind = goal.kind.upper() if goal.kind == "idx" else f".{goal.kind}"
        told = f"{kind} cannot hold {' and '.join(missing)}, which are left out: --to npz keeps them"
        click.echo(f"mnistzip: {name}: {told}", err=True)


def _put(part: GroupImages, sink: Sink, name: str, goal: Goal, keep_going: bool) -> None:
    """Hand the images of a part to a sink; to keep going, but those that are lost."""
    names, labels = part.names, part.labels
    if isinstance(names, MnistzipError):
        if lost_alone(names, part) and not keep_going and goal.kind in NAMED:
            raise type(names)(f"{name}: names from image {part.first} on: {names}") from names
        names = None
    if isinstance(labels, MnistzipError):
        if lost_alone(labels, part) and not keep_going and goal.kind in LABELLED:
            raise type(labels)(f"{name}: labels from image {part.first} on: {labels}") from labels
        labels = None
    gone = wrong_with(part, goal.kind in NEED_LABELS)
    for k, image in enumerate(part.images):
        index = part.first + k
        if keep_going and gone[k] is not None:
            continue
        if isinstance(image, MnistzipError):
            how = f"{kind_of(image)} (--keep-going saves the others)"
            raise type(image)(f"{name}: image {index} is {how}: {image}") from image
        sink.add(index, image, names[k] if names else "", None if labels is None else int(labels[k]))


def _span(archive: Archive, options: Options) -> tuple[int, int]:
    """First image and the one behind the last."""
    if options.index is not None:
        if options.index >= len(archive):
            raise click.UsageError(f"--index {options.index}: the archive has {len(archive)} images, counted from 0")
        return options.index, options.index + 1
    start, stop, _ = slice(*(options.range or (None, None))).indices(len(archive))
    return start, max(start, stop)


def _goal(name: str, archive: Archive, output: str | None, options: Options, stem: str | None, count: int) -> Goal:
    """What to write and where."""
    folder = None if stem is None or output is None else os.path.join(output, "")  # of several archives
    chosen = output_format.chosen(archive, folder or output, options.kind, options.index, count)
    if stem is None:
        path = _path(name, output, chosen.kind, chosen.suffix, options)
    else:
        path = _path_from(stem, chosen.kind, chosen.suffix, options)
    return Goal(chosen.kind, chosen.suffix, path, _labels(archive, path, chosen.kind, options))


def _labels(archive: Archive, path: str, kind: str, options: Options) -> str | None:
    """Where labels go that do not go where the images do."""
    if kind != "idx" or not archive.has_labels:
        if options.labels is not None:
            raise click.UsageError("--labels is for the labels of an archive that has some, with --to idx")
        return None
    if options.labels is None and path == image_file.STREAM:
        raise click.UsageError("the archive has labels: say with --labels where they go")
    labels = options.labels or _labels_beside(path)
    if is_address(labels) or is_address(path):
        same = labels == path
    else:
        same = os.path.realpath(labels) == os.path.realpath(path)
        same &= path == image_file.STREAM or os.path.isfile(path) or not os.path.exists(path)  # a device takes both
    if same:
        raise click.UsageError(f"images and labels would both go to {path}: --labels names another file")
    return labels


def _path(name: str, output: str | None, kind: str, suffix: str, options: Options) -> str:
    """Where the output goes."""
    inside = output is not None and files.names_folder(output)
    if output is not None and (kind == "folder" or not inside):
        if output == image_file.STREAM and kind in {"folder", "parquet", "npz"}:
            raise click.UsageError(f"{kind} cannot go to stdout: name a file or folder with -o")
        return output
    if name == image_file.STREAM:
        raise click.UsageError("an archive from stdin has no name: name the output with -o")
    beside = files.own_path(name).with_suffix("")
    return _path_from(str(beside) if output is None else files.join(output, beside.name), kind, suffix, options)


def _path_from(stem: str, kind: str, suffix: str, options: Options) -> str:
    """The output of such a name without a suffix."""
    if kind == IMAGE:
        number = options.index if options.index is not None else (options.range or (0, 0))[0] or 0
        return f"{stem}-{number}{suffix}"
    if kind == "idx":
        return stem + ("-ubyte" if IMAGES_MARK in os.path.basename(stem) else f"-{IMAGES_MARK}-ubyte")
    return stem + SUFFIXES.get(kind, "")


def _labels_beside(path: str) -> str:
    """Where the labels of an IDX file go."""
    folder, name = os.path.split(path)
    if IMAGES_MARK in name:
        return os.path.join(folder, name.replace(IMAGES_MARK, LABELS_MARK))
    stem, zipped = (name[:-3], ".gz") if name.endswith(".gz") else (name, "")
    return os.path.join(folder, f"{stem}-{LABELS_MARK}-ubyte{zipped}")


def _sink(archive: Archive, goal: Goal, count: int, name: str, options: Options, outputs: files.Outputs) -> Sink:
    """What takes the images."""
    place = partial(AtomicFile, like=name if os.path.isfile(name) else None, new=not options.force)
    read = [name, *params.model_file(options.model)]
    if goal.kind == "folder":
        return _folder_sink(archive, goal, name, place, read, options, outputs)
    for path in (goal.path, goal.labels):
        files.require_free(path, read, options.force)
    if goal.kind == "parquet":
        return ParquetSink(goal.path, archive.has_names, archive.has_labels, place)
    shape = archive.shape
    if shape is None:
        if len(archive):
            raise ImageError(f"{name} has images of several sizes: --to folder or --to parquet takes them")
        shape = (0, 0)
    if goal.kind == "idx":
        return IdxSink(goal.path, goal.labels, count, shape, place)
    return NpySink(goal.path, count, shape, goal.kind == "npz", place)


def _folder_sink(
    archive: Archive, goal: Goal, name: str, place: Place, read: list[str], options: Options, outputs: files.Outputs
) -> FolderSink:
    """What writes a file for each image, and one of labels."""

    def write(path: str, content: bytes) -> None:
        if options.many:
            outputs.claim(path, name)
        files.write(path, content, name, options.force, sync=False, others=read)

    def renamed(old: str, new: str) -> None:
        told = f"{shown(old)} is the name of several images, or no file can have it: one is written as {shown(new)}"
        click.echo(f"mnistzip: {name}: {told}", err=True)

    if files.exists(goal.path) and not files.is_folder(goal.path):
        raise ImageError(f"{goal.path} is no folder: --to says what else the images can be")
    labels = files.join(goal.path, LABELS_FILE) if archive.has_labels else None
    files.require_free(labels, read, options.force)
    return FolderSink(goal.path, goal.suffix, write, renamed, labels, place)
