"""Where results go: names beside inputs or below a folder, and outputs that appear whole or not at all."""

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
from mnistzip.io.folders import find_images, walk
from mnistzip.io.image_file import BARE_SUFFIX, IMAGE_SUFFIXES, LOSSLESS_KINDS, STREAM, SUFFIX
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import Address, is_address

ONE_STREAM = "several results cannot go to one stream: name a folder with -o"
PACKED_SUFFIXES = {SUFFIX, BARE_SUFFIX}
OTHER_SUFFIXES = {
    *IMAGE_SUFFIXES,
    *LOSSLESS_KINDS,
    ".npy",
    ".npz",
    ".parquet",
    ".gz",
    ".zip",
    ".tar",
    ".csv",
    ".json",
    ".txt",
}


class LocalPath(click.Path):
    """A path of this machine; an address such as ``s3://...`` is refused, of which pathlib would make a folder ``s3:``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_address(value):
            self.fail(f"{value} is an address: only a path of this machine is written here", param, ctx)
        return super().convert(value, param, ctx)


def suffix_of(name: str) -> str:
    """The suffix of a file's name in lower case; empty if what follows the last dot is none, as in ``v1.2``."""
    suffix = os.path.splitext(os.path.basename(name))[1].lower()
    return suffix if re.fullmatch(r"\.[a-z][a-z0-9]{0,9}", suffix) else ""


def exists(name: str) -> bool:
    """Whether there is something at a path or an address, if only a link that leads nowhere."""
    return Address(name).exists() if is_address(name) else os.path.lexists(name)


def is_replaceable(name: str) -> bool:
    """Whether writing there would replace a file, or follow a link that leads nowhere; pipes and devices stay what they are."""
    return exists(name) if is_address(name) else os.path.isfile(name) or is_broken_link(name)


def is_broken_link(name: str) -> bool:
    """Whether a path is a link that leads nowhere."""
    return os.path.islink(name) and not os.path.exists(name)


def is_folder(name: str) -> bool:
    """Whether there is a folder at a path or an address."""
    return Address(name).is_folder() if is_address(name) else os.path.isdir(name)


def names_folder(output: str) -> bool:
    """Whether an output is a folder: it ends in a slash, or there is one."""
    return output.endswith(("/", os.sep)) or (output != STREAM and is_folder(output))


def join(folder: str, below: str | Path) -> str:
    """A path below a folder, which may be at an address."""
    if is_address(folder):
        return f"{folder.rstrip('/')}/{Path(below).as_posix()}"
    return str(Path(folder) / below)


def own_path(name: str) -> Path:
    """The path beside which the result of an input goes: for an address, its last part in the current folder."""
    return Path(name.rstrip("/").rsplit("/", 1)[-1]) if is_address(name) else Path(name)


def expand(names: Iterable[str], recursive: bool, suffixes: set[str] | None) -> Iterator[tuple[str, Path]]:
    """Input files and where each stands below what the user named, folders searched if ``recursive``.

    Of folders the files with these suffixes are taken; without suffixes all images.
    """
    for name in names:
        folder = own_path(name)
        if name == STREAM or is_address(name) or not (recursive and folder.is_dir()):
            yield name, Path(folder.name)
        else:
            for path in find_images(folder) if suffixes is None else walk(folder, suffixes):
                yield str(path), path.relative_to(folder)


def refuse_folder(name: str) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` for an input that is a folder, by a command that has ``-r``."""
    if name != STREAM and not is_address(name) and os.path.isdir(name):
        os.scandir(name).close()  # of a folder that cannot be read the system says why
        raise ImageError(f"{name} is a folder: -r takes what is in it")


class Outputs:
    """Remembers what one call has written, so that no result takes the place of another or of an input.

    Args:
        inputs: all files that the call reads.
    """

    def __init__(self, inputs: Iterable[str]) -> None:
        self._inputs = inputs
        self._source: dict[str, str] = {}

    @cached_property
    def _read(self) -> set[tuple[int, int]]:
        """What tells the files that are read from all others."""
        statuses = (os.stat(name) for name in self._inputs if os.path.isfile(name))
        return {(status.st_dev, status.st_ino) for status in statuses}

    def claim(self, output: str, source: str) -> None:
        """Raise :class:`~mnistzip.errors.ImageError` if another input of this call is at the output or goes there."""
        if output == STREAM:
            return
        local = not is_address(output)
        if local and os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output):
            return  # a pipe takes many results
        first = self._source.setdefault(os.path.realpath(output) if local else output, source)
        if first != source:
            raise ImageError(f"{source} and {first} would both go to {output}: put them into different folders")
        if local and os.path.isfile(output):
            require_not_read(output, [source])
            status = os.stat(output)
            if (status.st_dev, status.st_ino) in self._read:
                raise ImageError(f"{output} is another input: name another output")


def target(name: str, below: Path, output: str | None, suffix: str, many: bool) -> str:
    """Where the result of an input goes: beside it, to the file or below the folder that ``-o`` names."""
    if output is None:
        return STREAM if name == STREAM else str(_with_suffix(own_path(name), suffix))
    if output == STREAM:
        return STREAM
    if many or names_folder(output):
        return join(output, _with_suffix(below, suffix))
    return output


def _with_suffix(path: Path, suffix: str) -> Path:
    """A path of another suffix; of one without a name, such as ``..``, some path that nothing will be written to."""
    return path.with_suffix(suffix) if path.name.strip(".") else path / f"image{suffix}"


def plan(
    inputs: Sequence[str], output: str | None, recursive: bool, suffixes: set[str] | None, suffix: str
) -> tuple[dict[str, str], bool]:
    """Where the result of each input file goes, and whether there may be several, which makes ``-o`` a folder.

    Raises:
        click.UsageError: several results would go to one stream or file.
    """
    names = list(dict(expand(inputs, recursive, suffixes)).items())  # each once
    many = len(names) > 1 or (recursive and any(os.path.isdir(name) for name in inputs))
    goals = {name: target(name, below, output, suffix, many) for name, below in names}
    if many and STREAM in goals.values():
        raise click.UsageError(ONE_STREAM)
    if many and output is not None and suffix_of(output) in OTHER_SUFFIXES | PACKED_SUFFIXES and not names_folder(output):
        raise click.UsageError(f"several results cannot go to one file {output}: name a folder with -o, such as {output}/")
    return goals, many


def require_packed_name(output: str | None, inputs: Iterable[str | None], suffix: str = SUFFIX) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if the name of a compressed file says that it is something else."""
    if output is None or output == STREAM or suffix_of(output) not in OTHER_SUFFIXES or names_folder(output):
        return
    if exists(output):
        require_not_read(output, inputs)
    stem = os.path.splitext(output.removesuffix(".gz"))[0]
    raise ImageError(f"compress writes {suffix} files, not {suffix_of(output)}: -o {stem}{suffix}")


def require_agreement(to: str, output: str) -> None:
    """Raise :class:`click.UsageError` if the kind of image that ``--to`` says is not what the output is called."""
    suffix = suffix_of(output)
    if suffix and suffix != f".{to}" and LOSSLESS_KINDS.get(suffix, suffix) != LOSSLESS_KINDS.get(f".{to}"):
        raise click.UsageError(f"--to {to} contradicts the name {output}: leave one of them out")


def require_free(name: str | None, sources: Iterable[str | None], force: bool) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if an output is a folder, an input, or exists and may not be overwritten."""
    if name is None or name == STREAM or not exists(name):
        return
    if is_folder(name):
        raise ImageError(f"{name} is a folder")
    require_not_read(name, sources)
    if force or not is_replaceable(name):
        return
    if is_broken_link(name):
        raise ImageError(f"{name} is a link that leads nowhere: -f writes to where it leads")
    raise ImageError(f"{name} exists already: -f overwrites it")


def require_writable(path: str) -> None:
    """Raise :class:`OSError` if no file can be written there; its folder is made."""
    AtomicFile(path).abandon()


def require_not_read(name: str, sources: Iterable[str | None]) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if an output that exists is one of the files that are read."""
    for source in sources:
        if source is not None and _is_same(name, source):
            raise ImageError(f"{name} is the input itself: name another output")


def _is_same(name: str, source: str) -> bool:
    """Whether an output that exists and an input are one file."""
    if is_address(name) or is_address(source):
        return is_address(name) and is_address(source) and Address(name).is_same(Address(source))
    return os.path.exists(source) and os.path.exists(name) and os.path.samefile(name, source)


def write(name: str, content: bytes, source: str, force: bool, sync: bool = True, others: Iterable[str | None] = ()) -> None:
    """Write a whole file or leave what was there: a temporary file in the same folder takes its place at the end.

    The new file has the modification time of ``source``, if that is a file of this machine. An existing file is refused
    without ``force``, and even with it where it is ``source`` or one of ``others`` that are read.

    Raises:
        ImageError: the output exists, is the input, or is a folder.
    """
    if name == STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    require_free(name, [source, *others], force)
    with AtomicFile(name, source if source != STREAM and os.path.isfile(source) else None, sync, new=not force) as file:
        file.write(content)
