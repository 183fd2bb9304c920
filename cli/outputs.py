"""Paths of outputs: next to inputs or below a folder. Outputs appear when they are complete, or not at all."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from mnistzip.errors import ImageError
from mnistzip.io import formats
from mnistzip.io.folders import find_images, walk
from mnistzip.io.image_file import BARE_SUFFIX, IMAGE_SUFFIXES, STREAM, SUFFIX
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import Address, is_address

ONE_STREAM = "stdout takes one output: name a folder with -o for several"
PACKED_SUFFIXES = {SUFFIX, BARE_SUFFIX}
OTHER_SUFFIXES = {*IMAGE_SUFFIXES, *formats.SUFFIXES, ".gz", ".zip", ".tar", ".csv", ".json", ".txt"}


class LocalPath(click.Path):
    """A local path. It refuses addresses such as ``s3://...``, which pathlib would turn into a folder ``s3:``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_address(value):
            self.fail(f"{value} is an address: give a local path", param, ctx)
        return super().convert(value, param, ctx)


def suffix_of(name: str) -> str:
    """The suffix of a file's name in lower case; empty if the text after the last dot is not a suffix, as in ``v1.2``."""
    suffix = os.path.splitext(os.path.basename(name))[1].lower()
    return suffix if re.fullmatch(r"\.[a-z][a-z0-9]{0,9}", suffix) else ""


def exists(name: str) -> bool:
    """Whether a path or an address exists; a broken link does."""
    return Address(name).exists() if is_address(name) else os.path.lexists(name)


def is_replaceable(name: str) -> bool:
    """Whether writing would replace a file or follow a broken link; pipes and devices are not replaced."""
    return exists(name) if is_address(name) else os.path.isfile(name) or is_broken_link(name)


def is_broken_link(name: str) -> bool:
    """Whether a path is a link to nothing."""
    return os.path.islink(name) and not os.path.exists(name)


def is_folder(name: str) -> bool:
    """Whether a path or an address is a folder."""
    return Address(name).is_folder() if is_address(name) else os.path.isdir(name)


def names_folder(output: str) -> bool:
    """Whether an output is a folder: it exists as one, or it ends in a slash."""
    return output.endswith(("/", os.sep)) or (output != STREAM and is_folder(output))


def join(folder: str, below: str | Path) -> str:
    """A path below a folder, which may be an address."""
    if is_address(folder):
        return f"{folder.rstrip('/')}/{Path(below).as_posix()}"
    return str(Path(folder) / below)


def local_name(name: str) -> Path:
    """The path next to which the output for an input goes: for an address, its last part in the current folder."""
    return Path(name.rstrip("/").rsplit("/", 1)[-1]) if is_address(name) else Path(name)


def expand(names: Iterable[str], recursive: bool, suffixes: set[str] | None) -> Iterator[tuple[str, Path]]:
    """Each input file with its path below the input that the user named.

    Args:
        names: the inputs.
        recursive: search folders.
        suffixes: of the files to find in folders; None: all images.
    """
    for name in names:
        folder = local_name(name)
        if name == STREAM or is_address(name) or not (recursive and folder.is_dir()):
            yield name, Path(folder.name)
        else:
            for path in find_images(folder) if suffixes is None else walk(folder, suffixes):
                yield str(path), path.relative_to(folder)


def refuse_folder(name: str) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` for an input that is a folder; the command must have the option ``-r``."""
    if name != STREAM and not is_address(name) and os.path.isdir(name):
        os.scandir(name).close()  # raises the system's error for a folder that cannot be read
        raise ImageError(f"{name} is a folder: use -r to take the files in it")


class Outputs:
    """The outputs of one call: no output may replace another or an input.

    Args:
        inputs: all files that the call reads.
    """

    def __init__(self, inputs: Iterable[str]) -> None:
        self._inputs = inputs
        self._source: dict[str, str] = {}

    @cached_property
    def _read(self) -> set[tuple[int, int]]:
        """Device and inode of each input file."""
        statuses = (os.stat(name) for name in self._inputs if os.path.isfile(name))
        return {(status.st_dev, status.st_ino) for status in statuses}

    def claim(self, output: str, source: str) -> None:
        """Raise :class:`~mnistzip.errors.ImageError` if the output is an input of this call, or belongs to another input."""
        if output == STREAM:
            return
        local = not is_address(output)
        if local and os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output):
            return  # a pipe takes several outputs
        first = self._source.setdefault(os.path.realpath(output) if local else output, source)
        if first != source:
            raise ImageError(f"{source} and {first} would both go to {output}: put them into different folders")
        if local and os.path.isfile(output):
            require_not_read(output, [source])
            status = os.stat(output)
            if (status.st_dev, status.st_ino) in self._read:
                raise ImageError(f"{output} is another input: name another output")


def output_path(name: str, below: Path, output: str | None, suffix: str, many: bool) -> str:
    """The path of the output for an input: next to it, or the file or a path below the folder that ``-o`` names."""
    if output is None:
        return STREAM if name == STREAM else str(_with_suffix(local_name(name), suffix))
    if output == STREAM:
        return STREAM
    if many or names_folder(output):
        return join(output, _with_suffix(below, suffix))
    return output


def _with_suffix(path: Path, suffix: str) -> Path:
    """The path with another suffix; for a path without a name, such as ``..``, one that nothing is written to."""
    return path.with_suffix(suffix) if path.name.strip(".") else path / f"image{suffix}"


def plan(
    inputs: Sequence[str], output: str | None, recursive: bool, suffixes: set[str] | None, suffix: str
) -> tuple[dict[str, str], bool]:
    """The path of the output for each input file, and whether there may be several outputs.

    Args:
        inputs: files and folders.
        output: the value of ``-o``; a folder if there may be several outputs.
        recursive: search folders.
        suffixes: of the files to find in folders; None: all images.
        suffix: of the outputs.

    Raises:
        click.UsageError: several outputs would go to stdout or to one file.
    """
    names = list(dict(expand(inputs, recursive, suffixes)).items())  # without repetitions
    many = len(names) > 1 or (recursive and any(os.path.isdir(name) for name in inputs))
    paths = {name: output_path(name, below, output, suffix, many) for name, below in names}
    if many and STREAM in paths.values():
        raise click.UsageError(ONE_STREAM)
    if many and output is not None and suffix_of(output) in OTHER_SUFFIXES | PACKED_SUFFIXES and not names_folder(output):
        raise click.UsageError(f"{output} takes one output: name a folder with -o for several, such as {output}/")
    return paths, many


def require_packed_name(output: str | None, inputs: Iterable[str | None], suffix: str = SUFFIX) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if the name of a compressed file has the suffix of another format."""
    if output is None or output == STREAM or suffix_of(output) not in OTHER_SUFFIXES or names_folder(output):
        return
    if exists(output):
        require_not_read(output, inputs)
    stem = os.path.splitext(output.removesuffix(".gz"))[0]
    raise ImageError(f"compress writes {suffix} files, not {suffix_of(output)}: use -o {stem}{suffix}")


def require_agreement(to: str, output: str) -> None:
    """Raise :class:`click.UsageError` if the name of an output says another image format than ``--to``."""
    suffix = suffix_of(output)
    if suffix and formats.IMAGE_FORMATS.get(suffix) is not formats.IMAGE_FORMATS[f".{to}"]:
        raise click.UsageError(f"--to {to} contradicts the name {output}: leave one of them out")


def require_free(name: str | None, sources: Iterable[str | None], force: bool) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if an output is a folder or an input, or exists and ``force`` is not set."""
    if name is None or name == STREAM or not exists(name):
        return
    if is_folder(name):
        raise ImageError(f"{name} is a folder")
    require_not_read(name, sources)
    if force or not is_replaceable(name):
        return
    if is_broken_link(name):
        raise ImageError(f"{name} is a broken link: -f creates the file that it points to")
    raise ImageError(f"{name} exists already: -f overwrites it")


def require_writable(path: str) -> None:
    """Create the folder of a path; raise :class:`OSError` if no file can be written there."""
    AtomicFile(path).abandon()


def require_not_read(name: str, sources: Iterable[str | None]) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if an existing output is one of the inputs."""
    for source in sources:
        if source is not None and _is_same(name, source):
            raise ImageError(f"{name} is an input: name another output")


def _is_same(name: str, source: str) -> bool:
    """Whether an existing output and an input are the same file."""
    if is_address(name) or is_address(source):
        return is_address(name) and is_address(source) and Address(name).is_same(Address(source))
    return os.path.exists(source) and os.path.exists(name) and os.path.samefile(name, source)


def write(name: str, content: bytes, source: str, force: bool, sync: bool = True, others: Iterable[str | None] = ()) -> None:
    """Write a complete file or leave what was there: a temporary file in the same folder replaces it at the end.

    Args:
        name: the output, ``-`` for stdout.
        content: of the file.
        source: the input; if it is a local file, the output gets its modification time.
        force: replace an existing file, but never an input.
        sync: flush the file to the disk.
        others: more inputs.

    Raises:
        ImageError: the output exists, is an input, or is a folder.
    """
    if name == STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    require_free(name, [source, *others], force)
    with AtomicFile(name, source if source != STREAM and os.path.isfile(source) else None, sync, new=not force) as file:
        file.write(content)
