"""Labels in a separate file: an integer for each image, in the order of the images, or a table of names and labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import FormatError, LimitError, MnistzipError, OptionError
from mnistzip.idx import idx_blocks, idx_type
from mnistzip.io.detect import Kind, kind_of
from mnistzip.io.inputs import Input, Piped, open_input, to_stderr
from mnistzip.io.npy_files import format_errors, read_numeric_header
from mnistzip.io.read_options import Item
from mnistzip.limits import LABEL_FILE_MAX

LABEL_WORDS = ("label", "labels", "target", "targets", "class", "y")
NAME_WORDS = ("name", "names", "path", "file_name", "filename", "filenames", "file", "file_path", "filepath", "image", "img")
RANGE = "labels are signed 64-bit integers"
ADD_FOLDERS = "put the folders of the names into that file"
SHOWN = 3  # names in a message
SUPPORTED = "give IDX, .npy, or a table of name and label"

Labels = NDArray[np.int64]


def read_labels(source: str | Path | Piped) -> Labels:
    """The labels in an IDX, ``.npy`` or text file, in the order of the images: shape ``(N,)``.

    Raises:
        FormatError: the file is damaged, holds something else, or gives labels by name.
        LimitError: the labels take more than :data:`~mnistzip.limits.LABEL_FILE_MAX` bytes.
    """
    labels = read_label_file(source)
    if isinstance(labels, LabelTable):
        raise FormatError(f"{labels.where} gives labels by name: give one integer for each image, in the order of the images")
    return labels


def read_label_file(source: str | Path | Piped) -> Labels | LabelTable:
    """The labels in a file: in the order of the images, shape ``(N,)``, or by name.

    Raises:
        FormatError, LimitError: as :func:`read_labels`.
    """
    source = open_input(source)
    kind = kind_of(source)
    if kind is Kind.NPY:
        with format_errors(source), source.open("rb") as file:
            shape, _, dtype = read_numeric_header(file)
            require_labels(source, shape, dtype)
            file.seek(0)
            return as_labels(np.load(file, allow_pickle=False), source)
    if kind is Kind.IDX:
        shape, dtype = idx_type(source)
        require_labels(source, shape, dtype)
        return as_labels(np.concatenate([np.empty((0, *shape[1:]), dtype), *idx_blocks(source)]), source)
    if kind is Kind.IMAGE:
        return _read_text(source)
    raise FormatError(f"{source} holds {kind.value}, not labels: {SUPPORTED}")


def require_labels(where: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless an array can be labels: numbers of shape ``(N,)`` or ``(N, 1)``. Called before the array is loaded.

    Raises:
        FormatError: wrong shape or type.
        LimitError: more than :data:`~mnistzip.limits.LABEL_FILE_MAX` bytes.
    """
    flat = shape[:1] if len(shape) == 2 and shape[1] == 1 else shape
    if len(flat) != 1 or dtype.kind not in "biuf":
        hint = ": convert one-hot rows with numpy.argmax(labels, 1)" if len(shape) == 2 and dtype.kind in "biuf" else ""
        raise FormatError(f"{where} holds {dtype} of shape {shape}, not one integer for each image{hint}")
    if flat[0] * dtype.itemsize > LABEL_FILE_MAX:
        raise LimitError(f"{where} has {flat[0]} labels of {dtype}: more than {LABEL_FILE_MAX} bytes")


def as_labels(numbers: NDArray[Any], where: object) -> Labels:
    """An array of numbers, shape ``(N,)`` or ``(N, 1)``, as the labels of an archive: int64, shape ``(N,)``.

    Raises:
        FormatError: a number is not an integer, or does not fit into 64 bits with a sign.
    """
    numbers = numbers.reshape(-1)
    if numbers.dtype.kind == "u" and int(numbers.max(initial=0)) >> 63:
        raise FormatError(f"{where} has a label of {numbers.max()}: {RANGE}")
    if numbers.dtype.kind == "f":
        invalid = ~(np.isfinite(numbers) & (np.floor(numbers) == numbers) & (np.abs(numbers) < 2.0**63))
        if invalid.any():
            raise FormatError(f"{where} has a label of {numbers[invalid][0]}: {RANGE}")
    return numbers.astype(np.int64)


def with_labels(
    items: Iterator[Item],
    labels: Labels | LabelTable,
    where: object,
    count: int | None,
    say: Callable[[str], None] = to_stderr,
) -> Iterator[Item]:
    """The images with these labels.

    Args:
        items: the images; labels that they have already are replaced.
        labels: in the order of the images, or by name.
        where: the file of the labels, for messages.
        count: the number of images, if it is known.
        say: called with a message about labels that no image has.

    Raises:
        OptionError: the numbers of labels and images differ, or a name has no label or several.
    """
    if isinstance(labels, LabelTable):
        return labels.assign(items, say)
    if count is not None and count != len(labels):
        raise OptionError(f"{where} holds {len(labels)} labels for {count} images: give one label for each image")
    return _in_order(items, labels, where)


def _in_order(items: Iterator[Item], labels: Labels, where: object) -> Iterator[Item]:
    number = 0
    for item in items:
        if number == len(labels):
            raise OptionError(f"{where} holds {len(labels)} labels for more images: give one label for each image")
        yield Item(item.image, item.name, int(labels[number]), item.where)
        number += 1
    if number != len(labels):
        raise OptionError(f"{where} holds {len(labels)} labels for {number} images: give one label for each image")


class LabelTable:
    """Labels by the names of images. A name matches with or without its suffix and its folder; the closest match wins.

    Args:
        rows: names and labels.
        where: the file, for messages.

    Raises:
        FormatError: two rows have the same name.
    """

    def __init__(self, rows: list[tuple[str, int]], where: str) -> None:
        self.where = where
        self._rows = [(name.replace("\\", "/").removeprefix("./"), label) for name, label in rows]
        self._levels: list[dict[str, list[int]]] = [{} for _ in _keys("")]
        for number, (name, _) in enumerate(self._rows):
            for level, key in zip(self._levels, _keys(name), strict=True):
                level.setdefault(key, []).append(number)
        repeated = next((key for key, numbers in self._levels[0].items() if len(numbers) > 1), None)
        if repeated is not None:
            raise FormatError(f"{where} gives {repeated} more than one label")

    def assign(self, items: Iterator[Item], say: Callable[[str], None]) -> Iterator[Item]:
        """The images with their labels; a message at the end names rows of the table that match no image."""
        used: dict[int, str] = {}
        for item in items:
            if isinstance(item.image, Exception):
                yield item
                for number in self._matches(item.name)[:1]:  # its label is not unused
                    used.setdefault(number, item.name)
                continue
            number = self._find_row(item)
            if number in used:
                both = f"{used[number]} and {item.name} both match {self._rows[number][0]}"
                raise OptionError(f"{both} in {self.where}: {ADD_FOLDERS}")
            used[number] = item.name
            yield Item(item.image, item.name, self._rows[number][1], item.where)
        unused = [name for number, (name, _) in enumerate(self._rows) if number not in used]
        if unused:
            some = ", ".join(unused[:SHOWN]) + (", …" if len(unused) > SHOWN else "")
            say(f"{self.where}: {len(unused)} labels match no image ({some})")

    def _find_row(self, item: Item) -> int:
        if not item.name:
            raise OptionError(
                f"{self.where} gives labels by name, but {item.where} has no name: give one integer for each image"
            )
        numbers = self._matches(item.name)
        if not numbers:
            raise OptionError(f"{self.where} has no label for {item.name}: give one label for each image")
        if len(numbers) > 1:
            names = " and ".join(self._rows[number][0] for number in numbers[:2])
            raise OptionError(f"{self.where} has several labels for {item.name} ({names}): {ADD_FOLDERS}")
        return numbers[0]

    def _matches(self, name: str) -> list[int]:
        for level, key in zip(self._levels, _keys(name), strict=True):
            if key in level:
                return level[key]
        return []


def _keys(name: str) -> tuple[str, str, str, str]:
    """A name unchanged, without its suffix, without its folders, and without both."""
    path = PurePosixPath(name)
    return name, str(path.with_suffix("")) if path.name else name, path.name, path.stem


@contextmanager
def _text_errors(where: object) -> Iterator[None]:
    try:
        yield
    except MnistzipError:
        raise
    except (ValueError, csv.Error) as cause:
        raise FormatError(f"{where} holds no readable labels: {SUPPORTED} ({cause})") from cause


def _read_text(source: Input) -> Labels | LabelTable:
    """A CSV or TSV file: a column of integers, or columns of names and of labels; with or without a header row."""
    with source.open("rb") as file:
        content = file.read(LABEL_FILE_MAX + 1)
    if len(content) > LABEL_FILE_MAX:
        raise LimitError(f"{source} has more than {LABEL_FILE_MAX} bytes, the limit for labels")
    with _text_errors(source):
        text = content.decode("utf-8-sig")
        if not text.strip() or "\0" in text:
            raise ValueError("it is empty" if not text.strip() else "it is not text")
        first = text.lstrip().splitlines()[0]
        delimiter = next((mark for mark in "\t;," if mark in first), ",")
        rows = [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if row
        ]
    titles = [] if _is_integer(rows[0][-1]) else [cell.casefold() for cell in rows.pop(0)]
    name, label = _columns(source, titles, rows)
    for number, row in enumerate(rows, 1 + bool(titles)):
        if label >= len(row) or (name is not None and name >= len(row)):
            raise FormatError(f"{source}, row {number} has {len(row)} columns: each row must have a name and a label")
        if not _is_integer(row[label]):
            raise FormatError(f"{source}, row {number} has the label {row[label]!r}: labels are integers; number the classes")
    numbers = [int(row[label].partition(".")[0]) for row in rows]
    too_large = next((number for number in numbers if not -(1 << 63) <= number < 1 << 63), None)
    if too_large is not None:
        raise FormatError(f"{source} has a label of {too_large}: {RANGE}")
    if name is None:
        return np.array(numbers, np.int64)
    return LabelTable([(row[name], number) for row, number in zip(rows, numbers, strict=True)], str(source))


def _columns(source: Input, titles: list[str], rows: list[list[str]]) -> tuple[int | None, int]:
    """The column of a table that holds the names (None if there is none), and the column that holds the labels."""
    width = len(titles or rows[0])
    name = next((titles.index(word) for word in NAME_WORDS if word in titles), None)
    label = next((titles.index(word) for word in LABEL_WORDS if word in titles), None)
    if width == 1:
        return None, 0
    if name is not None and label is not None:
        return name, label
    if width == 2:
        return (0, 1) if label != 0 and name != 1 else (1, 0)
    columns = f"the columns {', '.join(titles)}" if titles else f"{width} columns without titles"
    raise FormatError(f"{source} has {columns}: give two, with the titles name and label")


def _is_integer(cell: str) -> bool:
    """Whether a cell is an integer, perhaps written as a float such as ``7.0``."""
    whole, _, rest = cell.partition(".")
    digits = whole.removeprefix("-").removeprefix("+")
    return digits.isascii() and digits.isdigit() and not rest.strip("0") and len(digits) < 20
