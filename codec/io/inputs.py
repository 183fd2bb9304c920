"""Inputs by their names: files and pipes; and messages about them."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import IO, Literal, NamedTuple

from mnistzip.archive.entry_names import shown
from mnistzip.io.image_file import STREAM, read_bytes


class Piped(NamedTuple):
    """The name and the content of stdin or another pipe, which can be read only once."""

    name: str
    content: bytes

    def open(self, _mode: Literal["rb"], /) -> IO[bytes]:
        """The content as a file, at its beginning."""
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return "stdin" if self.name == STREAM else self.name


Input = Path | Piped


def open_input(name: str | Path | Piped) -> Input:
    """An input by its name. Pipes, such as ``-``, are read here.

    Raises:
        LimitError: a pipe gives more than :data:`mnistzip.limits.INPUT_FILE_MAX` bytes.
    """
    if isinstance(name, Piped):
        return name
    text = os.fspath(name)
    if text == STREAM or (os.path.exists(text) and not os.path.isfile(text) and not os.path.isdir(text)):
        return Piped(text, read_bytes(text))
    return Path(text)


def to_stderr(message: str) -> None:
    """Print a message on one line of stderr."""
    print(f"mnistzip: {shown(' '.join(message.split()))}", file=sys.stderr)


def ignore(message: str) -> None:
    """Print nothing."""
