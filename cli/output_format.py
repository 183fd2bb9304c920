"""What an output is to be: its name, ``--to``, ``--index`` and ``--range`` say so, and must agree."""

from __future__ import annotations

import os
from dataclasses import dataclass

import click

from mnistzip.archive.reader import Archive
from mnistzip.cli.outputs import PACKED_SUFFIXES, names_folder, require_agreement, suffix_of
from mnistzip.io import image_file
from mnistzip.io.writers import KINDS

IMAGE = "image"  # the kind of output that is one image
ARRAYS = {".npy": "npy", ".npz": "npz", ".parquet": "parquet"}
IDX_MARKS = ("ubyte", "idx")  # in names of IDX files


@dataclass(frozen=True)
class Kind:
    """What is written: one of :data:`KINDS` or :data:`IMAGE`, and the suffix of images, empty for their own."""

    kind: str
    suffix: str = ""


def named(output: str) -> Kind | None:
    """What the name of a file says that it is; None if it says nothing.

    Raises:
        ImageError: a kind of image that does not keep every pixel.
        click.UsageError: gzipped, which only IDX is.
    """
    name = _unzipped(output)
    suffix = suffix_of(name)
    if suffix in ARRAYS:
        kind = Kind(ARRAYS[suffix])
    elif suffix in image_file.LOSSLESS_KINDS:
        kind = Kind(IMAGE, suffix)
    elif suffix in image_file.IMAGE_SUFFIXES | PACKED_SUFFIXES:
        image_file.require_kind(suffix)
        return None
    elif any(mark in os.path.basename(name).lower() for mark in IDX_MARKS):
        kind = Kind("idx")
    else:
        return None
    _require_unzipped(output, kind)
    return kind


def chosen(archive: Archive, output: str | None, to: str | None, index: int | None, count: int) -> Kind:
    """What is written of an archive: what the name of the output or ``--to`` says, else what the images came from.

    Args:
        archive: where the images come from.
        output: the file or folder that ``-o`` names.
        to: what ``--to`` says, without a dot.
        index: what ``--index`` says.
        count: images that are written.

    Raises:
        ImageError: images are not written in this way.
        click.UsageError: two of them contradict each other, or many images would go to one.
    """
    inside = output is not None and names_folder(output)
    file = None if output in (None, image_file.STREAM) or inside else output
    said = None if file is None else named(file)
    if to is not None:
        kind = _by_option(to, said, index, file)
    elif said is not None:
        kind = Kind(IMAGE, ".npy") if said.kind == "npy" and index is not None else said
    elif index is not None and not inside:
        kind = Kind(IMAGE, ".png")
    elif inside:
        kind = Kind("folder")
    else:
        kind = _by_origin(archive)
    if file is not None:
        _require_unzipped(file, kind)
        if to is None and said is None and (suffix := suffix_of(_unzipped(file))):
            raise click.UsageError(f"nothing is known of {suffix} files: --to says what {file} is to be")
    if kind.kind == IMAGE and count != 1:
        raise click.UsageError(f"{file} is one image, not {count}: --index picks one, and -o FOLDER/ takes all")
    return kind


def _by_option(to: str, said: Kind | None, index: int | None, file: str | None) -> Kind:
    """What ``--to`` says, where the name of the output agrees."""
    if to in KINDS:
        if (said is not None and said.kind != to) or (to == "folder" and file is not None and suffix_of(file) == ".gz"):
            raise click.UsageError(f"--to {to} contradicts the name {file}: leave one of them out")
        return Kind(to)
    suffix = f".{to}"
    image_file.require_kind(suffix)
    if said is None:
        return Kind("folder" if index is None else IMAGE, suffix)
    if said.kind != IMAGE and (said.kind, suffix) != ("npy", ".npy"):
        raise click.UsageError(f"--to {to} contradicts the name {file}: leave one of them out")
    require_agreement(to, file or "")
    return Kind(IMAGE, said.suffix)


def _by_origin(archive: Archive) -> Kind:
    """What the images came from; another kind, if that cannot hold their names or labels."""
    kind = next((known for known, origin in KINDS.items() if origin is archive.origin), "")
    if not kind:
        kind = "folder" if archive.shape is None or archive.has_names else "npy"
    if kind == "npy" and (archive.has_names or archive.has_labels):
        kind = "npz"
    return Kind(kind)


def _unzipped(output: str) -> str:
    return output[:-3] if suffix_of(output) == ".gz" else output


def _require_unzipped(output: str, kind: Kind) -> None:
    if suffix_of(output) == ".gz" and kind.kind != "idx":
        raise click.UsageError(f"only IDX is written gzipped: -o {_unzipped(output)}")
