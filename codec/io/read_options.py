"""What all readers of many images share: options, and streams of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mnistzip.errors import MnistzipError
from mnistzip.io.inputs import to_stderr
from mnistzip.types import Pixels

if TYPE_CHECKING:
    from mnistzip.archive.index import Origin
    from mnistzip.models.registry import Model


class InputOptions(NamedTuple):
    """How inputs are read.

    Attributes:
        convert: convert colour, transparency, more than 8 bits and numbers that are not integer grey levels.
        model: of ``.cae`` files that were made with a custom model.
        array: the array of an ``.npz`` file that holds the images.
        shape: ``(H, W)`` of the images of an array or IDX file, whose rows may be flat.
        image_column, label_column, name_column: columns of a Parquet file; None: those with the usual names.
        labels: read the labels that come with images.
        say: called with each message about guesses and ignored content.
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


class Item(NamedTuple):
    """An image of a stream.

    Attributes:
        image: uint8 of shape ``(H, W)``, or the error that it gave.
        name: empty if it has none.
        label: None if it has none.
        where: file and position, for messages.
    """

    image: Pixels | MnistzipError | OSError
    name: str
    label: int | None
    where: str


@dataclass(frozen=True)
class Stream:
    """Many images, which are read while one iterates over ``items``.

    Attributes:
        origin: the kind of the inputs.
        count: how many images, if that is known before they are read.
        named, labelled: whether they have names or labels.
        items: the images.
        shape: ``(H, W)`` of all images, if that is known before they are read.
        classes: the texts of the labels in the order of their numbers, if the labels were texts.
    """

    origin: Origin
    count: int | None
    named: bool
    labelled: bool
    items: Iterator[Item]
    shape: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None
