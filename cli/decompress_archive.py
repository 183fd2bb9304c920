"""Decompress an archive: all images in one of the formats of :mod:`mnistzip.io.formats`, or one image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

import click
import numpy as np

from mnistzip.archive.entry_names import shown
from mnistzip.archive.reader import Archive, GroupImages
from mnistzip.cli import outputs as files, params
from mnistzip.cli.damage_report import (
    DamageReport,
    errors_of,
    is_lost_alone,
    report_lost_labels,
    report_lost_names,
    status_of,
)
from mnistzip.cli.output_format import select_format
from mnistzip.cli.params import DecompressOptions
from mnistzip.cli.progress import Progress
from mnistzip.errors import ImageError, MnistzipError, located
from mnistzip.io import image_file
from mnistzip.io.folder_writer import LABELS_FILE
from mnistzip.io.formats import FOLDER, SET_FORMATS, OutputFormat
from mnistzip.io.targets import Target, Writer, open_writer
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import is_address

IMAGES_PART, LABELS_PART = "images-idx3", "labels-idx1"  # of the names of MNIST's files


@dataclass(frozen=True)
class Output:
    """The output for an archive.

    Attributes:
        set_format: of all images; None if one image is written.
        suffix: of image files; empty in a folder: each image keeps the suffix in its name.
        path: a file or folder, or ``-``.
        labels_path: the separate file of labels, if there is one.
    """

    set_format: OutputFormat | None
    suffix: str
    path: str
    labels_path: str | None

    @property
    def needs_labels(self) -> bool:
        """Whether an image without a readable label cannot be written."""
        return self.set_format is not None and self.set_format.needs_labels

    @property
    def holds_names(self) -> bool:
        """Whether the output keeps names."""
        return self.set_format is not None and self.set_format.names

    @property
    def holds_labels(self) -> bool:
        """Whether the output keeps labels."""
        return self.set_format is not None and self.set_format.labels


def unpack(
    name: str, archive: Archive, output: str | None, options: DecompressOptions, outputs: files.Outputs, stem: str | None
) -> int:
    """Write the images of an archive; the exit code.

    Args:
        name: of the archive, as the user gave it.
        archive: the archive.
        output: the value of ``-o``.
        options: of the command.
        outputs: of the command.
        stem: the output's path without a suffix, for one of several archives; None for a single archive.
    """
    start, stop = _image_range(archive, options)
    target = _output(name, archive, output, options, stem, stop - start)
    for path in (target.path, target.labels_path):
        if path is not None:
            outputs.claim(path, name)
    if archive.recovered:
        message = f"its index is damaged: a search found {len(archive)} images, which are numbered from the first one found"
        click.echo(f"mnistzip: {name}: {message}", err=True)
    damage = DamageReport(name)
    incomplete = False
    if options.keep_going:
        for part in archive.parts(start, stop, details=True, threads=options.threads):
            damage.add(part, target.needs_labels)
            incomplete |= target.holds_names and report_lost_names(name, part)
            incomplete |= target.set_format is FOLDER and report_lost_labels(name, part)
        damage.print_run()
    number = stop - start - damage.count
    details = ""
    if target.set_format is not None:
        _write_all(name, archive, range(start, stop), number, target, options, outputs)
    elif damage.count:
        return 1
    else:
        details = _write_one(name, archive, start, target, options)
    if not options.quiet and image_file.STREAM not in (target.path, target.labels_path):
        click.echo(f"{name} -> {target.path}\n  {number} image{'s' * (number != 1)}{details}")
    return 1 if damage.count or incomplete or archive.recovered else 0


def _write_one(name: str, archive: Archive, index: int, output: Output, options: DecompressOptions) -> str:
    """Write one image; returns its label and name for the report."""
    part = next(archive.parts(index, index + 1, details=True))
    image = part.images[0]
    if isinstance(image, MnistzipError):
        raise image
    content = image_file.write_image(image, output.suffix)
    files.write(output.path, content, name, options.force, others=params.files_of_model(options.model))
    label = f", label {part.labels[0]}" if isinstance(part.labels, np.ndarray) else ""
    return label + (f", named {shown(part.names[0])}" if isinstance(part.names, list) and part.names[0] else "")


def _write_all(
    name: str, archive: Archive, span: range, number: int, output: Output, options: DecompressOptions, outputs: files.Outputs
) -> None:
    """Write a range of images; ``number`` of them can be read."""
    assert output.set_format is not None
    with (
        _open_writer(archive, output, output.set_format, number, name, options, outputs) as writer,
        Progress(len(span), "decompress", not options.quiet and not options.many) as progress,
    ):
        for part in archive.parts(span.start, span.stop, details=True, threads=options.threads):
            _write_part(part, writer, name, output, options.keep_going)
            progress.advance(len(part.images))
    lost = ["names"] * (archive.has_names and not output.holds_names)
    lost += ["labels"] * (archive.has_labels and not output.holds_labels)
    if lost:
        format_name = next(iter(output.set_format.suffixes), output.set_format.name.upper())
        message = f"{format_name} cannot hold {' and '.join(lost)}: use --to npz to keep them"
        click.echo(f"mnistzip: {name}: {message}", err=True)


def _write_part(part: GroupImages, writer: Writer, name: str, output: Output, keep_going: bool) -> None:
    """Write the images of a part; with ``keep_going`` without those that cannot be read."""
    names, labels = part.names, part.labels
    if isinstance(names, MnistzipError):
        if is_lost_alone(names, part) and not keep_going and output.holds_names:
            raise located(names, f"{name}: names from image {part.first} on") from names
        names = None
    if isinstance(labels, MnistzipError):
        if is_lost_alone(labels, part) and not keep_going and output.holds_labels:
            raise located(labels, f"{name}: labels from image {part.first} on") from labels
        labels = None
    errors = errors_of(part, output.needs_labels)
    for k, image in enumerate(part.images):
        index = part.first + k
        if keep_going and errors[k] is not None:
            continue
        if isinstance(image, MnistzipError):
            status = f"{status_of(image)} (--keep-going saves the others)"
            raise located(image, f"{name}: image {index} is {status}") from image
        writer.add(index, image, names[k] if names else "", None if labels is None else int(labels[k]))


def _image_range(archive: Archive, options: DecompressOptions) -> tuple[int, int]:
    """The first image and the one after the last."""
    if options.index is not None:
        if options.index >= len(archive):
            raise click.UsageError(f"--index {options.index}: the archive has {len(archive)} images, counted from 0")
        return options.index, options.index + 1
    start, stop, _ = slice(*(options.span or (None, None))).indices(len(archive))
    return start, max(start, stop)


def _output(
    name: str, archive: Archive, output: str | None, options: DecompressOptions, stem: str | None, count: int
) -> Output:
    """The output for ``count`` images; the parameters are those of :func:`unpack`."""
    folder = None if stem is None or output is None else os.path.join(output, "")  # of several archives
    selection = select_format(archive, folder or output, options.format_name, options.index, count)
    set_format, suffix = selection.set_format, selection.suffix
    if stem is None:
        path = _single_path(name, output, set_format, suffix, options)
    else:
        path = _with_ending(stem, set_format, suffix, options)
    return Output(set_format, suffix, path, _labels_path(archive, path, set_format, options))


def _labels_path(archive: Archive, path: str, set_format: OutputFormat | None, options: DecompressOptions) -> str | None:
    """The path of the separate file of labels, if the format has one."""
    if set_format is None or not set_format.separate_labels or not archive.has_labels:
        if options.labels is not None:
            formats = ", ".join(row.name for row in SET_FORMATS.values() if row.separate_labels)
            raise click.UsageError(f"--labels is for archives with labels, with --to {formats}")
        return None
    if options.labels is None and path == image_file.STREAM:
        raise click.UsageError("the archive has labels: name a file for them with --labels")
    labels = options.labels or _labels_name(path)
    if is_address(labels) or is_address(path):
        same = labels == path
    else:
        same = os.path.realpath(labels) == os.path.realpath(path)
        same &= path == image_file.STREAM or os.path.isfile(path) or not os.path.exists(path)  # a device takes both
    if same:
        raise click.UsageError(f"images and labels would both go to {path}: name another file with --labels")
    return labels


def _single_path(
    name: str, output: str | None, set_format: OutputFormat | None, suffix: str, options: DecompressOptions
) -> str:
    """The path of the output for a single archive."""
    is_folder = output is not None and files.names_folder(output)
    if output is not None and (set_format is FOLDER or not is_folder):
        if output == image_file.STREAM and set_format is not None and not set_format.stdout:
            raise click.UsageError(f"{set_format.name} cannot go to stdout: name a file or folder with -o")
        return output
    if name == image_file.STREAM:
        raise click.UsageError("an archive from stdin has no name: name the output with -o")
    local = files.local_name(name).with_suffix("")
    return _with_ending(str(local) if output is None else files.join(output, local.name), set_format, suffix, options)


def _with_ending(stem: str, set_format: OutputFormat | None, suffix: str, options: DecompressOptions) -> str:
    """The path of an output from its stem."""
    if set_format is None:
        number = options.index if options.index is not None else (options.span or (0, 0))[0] or 0
        return f"{stem}-{number}{suffix}"
    if IMAGES_PART in set_format.ending and IMAGES_PART in os.path.basename(stem):
        return stem + set_format.ending.removeprefix(f"-{IMAGES_PART}")
    return stem + set_format.new_ending


def _labels_name(path: str) -> str:
    """The path of the labels for an IDX file of images."""
    folder, name = os.path.split(path)
    if IMAGES_PART in name:
        return os.path.join(folder, name.replace(IMAGES_PART, LABELS_PART))
    stem, gz = (name[:-3], ".gz") if name.endswith(".gz") else (name, "")
    return os.path.join(folder, f"{stem}-{LABELS_PART}-ubyte{gz}")


def _open_writer(
    archive: Archive,
    output: Output,
    set_format: OutputFormat,
    count: int,
    name: str,
    options: DecompressOptions,
    outputs: files.Outputs,
) -> Writer:
    """The writer of the output, after checks that it may be written."""
    inputs = [name, *params.files_of_model(options.model)]
    labels_path = output.labels_path
    if set_format is FOLDER:
        if files.exists(output.path) and not files.is_folder(output.path):
            raise ImageError(f"{output.path} is not a folder: choose another format with --to")
        labels_path = files.join(output.path, LABELS_FILE) if archive.has_labels else None
    else:
        files.require_free(output.path, inputs, options.force)
    files.require_free(labels_path, inputs, options.force)
    if archive.shape is None and len(archive) and not set_format.mixed_sizes:
        formats = " or ".join(f"--to {row.name}" for row in SET_FORMATS.values() if row.mixed_sizes)
        raise ImageError(f"{name} has images of several sizes: use {formats}")

    def write_file(path: str, content: bytes) -> None:
        if options.many:
            outputs.claim(path, name)
        files.write(path, content, name, options.force, sync=False, others=inputs)

    def print_renamed(old: str, new: str) -> None:
        message = f"{shown(old)} is written as {shown(new)}: several images have that name, or no file can have it"
        click.echo(f"mnistzip: {name}: {message}", err=True)

    return open_writer(
        set_format,
        Target(
            path=output.path,
            count=count,
            shape=archive.shape or (0, 0),
            named=archive.has_names,
            labelled=archive.has_labels,
            labels_path=labels_path,
            open_file=partial(AtomicFile, like=name if os.path.isfile(name) else None, new=not options.force),
            suffix=output.suffix,
            write_file=write_file,
            renamed=print_renamed,
        ),
    )
