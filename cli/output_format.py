"""The format of an output, from its name, ``--to``, ``--index`` and ``--range``, which must agree."""

from __future__ import annotations

import os
from dataclasses import dataclass

import click

from mnistzip.archive.reader import Archive
from mnistzip.cli.outputs import PACKED_SUFFIXES, names_folder, require_agreement, suffix_of
from mnistzip.io import image_file
from mnistzip.io.formats import FOLDER, IMAGE_FORMATS, SET_FORMATS, SET_SUFFIXES, OutputFormat


@dataclass(frozen=True)
class Selection:
    """The format of an output.

    Attributes:
        set_format: holds many images; None if the output is one image file.
        suffix: of image files; empty in a folder: each image keeps the suffix in its name.
    """

    set_format: OutputFormat | None
    suffix: str = ""


def format_of_name(output: str) -> Selection | None:
    """The format that the name of a file says, or None.

    Raises:
        ImageError: the name says a lossy image format.
        click.UsageError: the name says that the file is gzipped, and the format never is.
    """
    name = _without_gz(output)
    suffix = suffix_of(name)
    base = os.path.basename(name).lower()
    if suffix in SET_SUFFIXES:
        selection = Selection(SET_SUFFIXES[suffix])
    elif suffix in IMAGE_FORMATS:
        selection = Selection(None, suffix)
    elif suffix in image_file.IMAGE_SUFFIXES | PACKED_SUFFIXES:
        image_file.require_written(suffix)
        return None
    else:
        by_part = next((row for row in SET_FORMATS.values() if any(part in base for part in row.name_parts)), None)
        if by_part is None:
            return None
        selection = Selection(by_part)
    _require_gz_allowed(output, selection)
    return selection


def select_format(archive: Archive, output: str | None, to: str | None, index: int | None, count: int) -> Selection:
    """The format for images of an archive: from the name of the output or ``--to``, else from what the images came from.

    Args:
        archive: holds the images.
        output: the value of ``-o``, a file or folder.
        to: the value of ``--to``, without a dot.
        index: the value of ``--index``.
        count: how many images are written.

    Raises:
        ImageError: mnistzip does not write that image format.
        click.UsageError: options contradict each other, or several images would go to one image file.
    """
    is_folder = output is not None and names_folder(output)
    file = None if output in (None, image_file.STREAM) or is_folder else output
    named = None if file is None else format_of_name(file)
    if to is not None:
        selection = _from_option(to, named, index, file)
    elif named is not None:
        npy_image = index is not None and named.set_format is not None and named.set_format.is_image
        selection = Selection(None, suffix_of(file or "")) if npy_image else named
    elif index is not None and not is_folder:
        selection = Selection(None, ".png")
    elif is_folder:
        selection = Selection(FOLDER)
    else:
        selection = Selection(_from_origin(archive))
    if file is not None:
        _require_gz_allowed(file, selection)
        if to is None and named is None and (suffix := suffix_of(_without_gz(file))):
            raise click.UsageError(f"{suffix} is not a known format: choose the format of {file} with --to")
    if selection.set_format is None and count != 1:
        raise click.UsageError(f"{file} holds one image, not {count}: choose one with --index, or write all with -o FOLDER/")
    return selection


def _from_option(to: str, named: Selection | None, index: int | None, file: str | None) -> Selection:
    """The format that ``--to`` says, if the name of the output agrees."""
    contradiction = click.UsageError(f"--to {to} contradicts the name {file}: leave one of them out")
    if to in SET_FORMATS:
        set_format = SET_FORMATS[to]
        if named is not None and named.set_format is not set_format:
            raise contradiction
        if set_format is FOLDER and file is not None and suffix_of(file) == ".gz":
            raise contradiction
        return Selection(set_format)
    suffix = f".{to}"
    image_file.require_written(suffix)
    if named is None:
        return Selection(FOLDER if index is None else None, suffix)
    if named.set_format is not None:
        raise contradiction
    require_agreement(to, file or "")
    return Selection(None, named.suffix)


def _from_origin(archive: Archive) -> OutputFormat:
    """The format that the images came from, or another if it cannot hold their names or labels."""
    set_format = SET_FORMATS.get(archive.origin.name.lower())
    if set_format is None:
        set_format = FOLDER if archive.shape is None or archive.has_names else SET_FORMATS["npy"]
    if set_format.name == "npy" and (archive.has_names or archive.has_labels):
        set_format = SET_FORMATS["npz"]
    return set_format


def _without_gz(output: str) -> str:
    return output[:-3] if suffix_of(output) == ".gz" else output


def _require_gz_allowed(output: str, selection: Selection) -> None:
    if suffix_of(output) == ".gz" and not (selection.set_format is not None and selection.set_format.gzip):
        zipped = [row.name.upper() for row in SET_FORMATS.values() if row.gzip]
        raise click.UsageError(f"only {', '.join(zipped)} can be gzipped: use -o {_without_gz(output)}")
