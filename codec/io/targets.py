"""What writers of many images share: where they write, and how they are called."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from mnistzip.io.formats import OutputFormat
from mnistzip.storage.atomic import AtomicFile
from mnistzip.types import Pixels

OpenFile = Callable[[str], AtomicFile]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where and how images are written.

    Attributes:
        path: a file or folder; ``-`` is stdout.
        count: how many images will be written.
        shape: ``(H, W)`` of all images; not used by formats that hold images of mixed sizes.
        named, labelled: whether images have names and labels.
        labels_path: the separate file of labels, if there is one.
        open_file: opens the file at a path, which appears there when it is complete.
        suffix: of the image files in a folder; empty: the suffix in the name of each image.
        write_file: writes an image file in a folder.
        renamed: called with the name of an image and the name that it gets instead.
    """

    path: str
    count: int
    shape: tuple[int, int] = (0, 0)
    named: bool = False
    labelled: bool = False
    labels_path: str | None = None
    open_file: OpenFile = AtomicFile
    suffix: str = ""
    write_file: Callable[[str, bytes], None]
    renamed: Callable[[str, str], None]


class Writer(Protocol):
    """Takes images one after the other; its output appears when the context ends without an error."""

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        """Write the next image, uint8 of shape ``(H, W)``; ``index`` is its position in the archive."""

    def __enter__(self) -> Writer: ...

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None: ...


def open_writer(output_format: OutputFormat, target: Target) -> Writer:
    """The writer of a format of many images; it is imported here.

    Raises:
        OptionError: the format needs a library that is missing.
    """
    module, _, name = output_format.writer.partition(":")
    make: Callable[[Target], Any] = getattr(importlib.import_module(module), name)
    writer: Writer = make(target)
    return writer
