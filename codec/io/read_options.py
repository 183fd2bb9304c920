"""What all readers of images share: the options, an input that came through a pipe, and streams of images."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from mnistzip.archive.entry_names import shown
from mnistzip.errors import MnistzipError
from mnistzip.io.image_file import STREAM, read_bytes
from mnistzip.types import Pixels

if TYPE_CHECKING:
    from mnistzip.archive.index import Origin
    from mnistzip.models.registry import Model


@dataclass(frozen=True)
class Piped:
    """An input that came through stdin or another pipe, which can be read only once: its name and its content."""

    name: str
    content: bytes

    def open(self, _mode: Literal["rb"], /) -> IO[bytes]:
        """The content from its beginning."""
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return "stdin" if self.name == STREAM else self.name


Input = Path | Piped


def open_input(name: str | Path | Piped) -> Input:
    """An input by its name: ``-`` and other pipes are read here.

    Raises:
        LimitError: a pipe that gives more than :data:`mnistzip.limits.INPUT_FILE_MAX` bytes.
    """
    if isinstance(name, Piped):
        return name
    text = os.fspath(name)
    if text == STREAM or (os.path.exists(text) and not os.path.isfile(text) and not os.path.isdir(text)):
        return Piped(text, read_bytes(text))
    return Path(text)


def to_stderr(message: str) -> None:
    """Say on stderr, on one line, what a user should know."""
    print(f"mnistzip: {shown(' '.join(message.split()))}", file=sys.stderr)


def ignore(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How inputs are read.

    Attributes:
        convert: take colour, transparency, more than 8 bits and numbers that are no whole grey levels, not refuse them.
        model: of ``.cae`` files that were made with a custom model.
        array: which array of an ``.npz`` file holds the images.
        shape: ``(H, W)`` of the images of an array or IDX file, whose rows may be flat.
        image_column, label_column, name_column: columns of a Parquet file, instead of those with the usual names.
        labels: take the labels that come with images.
        say: called with each message about what was guessed or left out.
    """

    convert: bool = False
    model: str | Path | Model | None = None
    array: str | None = None
    shape: tuple[int, int] | None = None
    image_column: str | None = None
    label_column: str | None = None
    name_column: str | None = None
    labels: bool = True
    say: Callable[[str], None] = to_stderr


DEFAULTS = InputOptions()


@dataclass(frozen=True)
class Item:
    """An image, or what is wrong with it, its name (empty if it has none), its label, and where it is, for messages."""

    image: Pixels | MnistzipError | OSError
    name: str
    label: int | None
    where: str


@dataclass(frozen=True)
class Stream:
    """Many images that are read as they are asked for.

    Attributes:
        origin: what they come from.
        count: how many, if that is known before they are read.
        named, labelled: whether they have names or labels.
        shape: ``(H, W)`` of all of them, if that is known before.
        classes: the texts that labels stand for, in the order of their numbers, if they were numbered here.
    """

    origin: Origin
    count: int | None
    named: bool
    labelled: bool
    items: Iterator[Item]
    shape: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None
