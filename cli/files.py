"""Where results go: names beside inputs or below a folder, and outputs that appear whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from mnistzip.data.folders import find_images, walk
from mnistzip.data.images import STREAM
from mnistzip.errors import ImageError
from mnistzip.storage import WholeFile

ONE_STREAM = "several results cannot go to one stream: name a folder with -o"


def expand(names: Iterable[str], recursive: bool, suffixes: set[str] | None) -> Iterator[tuple[str, Path]]:
    """Input files and where each stands below what the user named, folders searched if ``recursive``.

    Of folders the files with these suffixes are taken; without suffixes all images.
    """
    for name in names:
        folder = Path(name)
        if name == STREAM or not (recursive and folder.is_dir()):
            yield name, Path(folder.name)
        else:
            for path in find_images(folder) if suffixes is None else walk(folder, suffixes):
                yield str(path), path.relative_to(folder)


class Outputs:
    """Remembers what one call has written, so that no result takes another's place."""

    def __init__(self) -> None:
        self._source: dict[str, str] = {}

    def claim(self, output: str, source: str) -> None:
        """Raise :class:`~mnistzip.errors.ImageError` if another input of this call goes to the same output."""
        if output == STREAM or not (os.path.isfile(output) or not os.path.exists(output)):
            return
        first = self._source.setdefault(os.path.realpath(output), source)
        if first != source:
            raise ImageError(f"{source} and {first} would both go to {output}: compress them into different folders")


def target(name: str, below: Path, output: str | None, suffix: str, many: bool) -> str:
    """Where the result of an input goes: beside it, to the file or below the folder that ``-o`` names."""
    if output is None:
        return STREAM if name == STREAM else str(_with_suffix(Path(name), suffix))
    if output == STREAM:
        return STREAM
    if many or output.endswith(os.sep) or Path(output).is_dir():
        return str(Path(output) / _with_suffix(below, suffix))
    return output


def _with_suffix(path: Path, suffix: str) -> Path:
    """A path of another suffix; of one without a name, such as ``..``, some path that nothing will be written to."""
    return path.with_suffix(suffix) if path.name.strip(".") else path / f"image{suffix}"


def plan(
    inputs: Sequence[str], output: str | None, recursive: bool, suffixes: set[str] | None, suffix: str
) -> tuple[dict[str, str], bool]:
    """Where the result of each input file goes, and whether there may be several, which makes ``-o`` a folder.

    Raises:
        click.UsageError: several results would go to one stream.
    """
    names = list(expand(inputs, recursive, suffixes))
    many = len(names) > 1 or (recursive and any(os.path.isdir(name) for name in inputs))
    goals = {name: target(name, below, output, suffix, many) for name, below in names}
    if many and STREAM in goals.values():
        raise click.UsageError(ONE_STREAM)
    return goals, many


def require_free(name: str | None, sources: Iterable[str | None], force: bool) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if an output is a folder, an input, or exists and may not be overwritten."""
    if name is None or name == STREAM or not os.path.exists(name):
        return
    if os.path.isdir(name):
        raise ImageError(f"{name} is a folder")
    require_not_read(name, sources)
    if os.path.isfile(name) and not force:
        raise ImageError(f"{name} exists already: -f overwrites it")


def require_not_read(name: str, sources: Iterable[str | None]) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if an output that exists is one of the files that are read."""
    for source in sources:
        if source is not None and os.path.exists(source) and os.path.samefile(name, source):
            raise ImageError(f"{name} is the input itself: name another output")


def write(name: str, content: bytes, source: str, force: bool, sync: bool = True, others: Iterable[str | None] = ()) -> None:
    """Write a whole file or leave what was there: a temporary file in the same folder takes its place at the end.

    The new file has the modification time of ``source``. An existing file is refused without ``force``, and even with it
    where it is ``source`` or one of ``others`` that are read.

    Raises:
        ImageError: the output exists, is the input, or is a folder.
    """
    if name == STREAM:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    require_free(name, [source, *others], force)
    with WholeFile(name, None if source == STREAM else source, sync) as file:
        file.write(content)
