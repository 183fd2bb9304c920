"""Labels that come in a file of their own: an integer for each image, in their order, or a table of names and labels."""

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
from mnistzip.io.read_options import Input, Item, Piped, take, to_stderr
from mnistzip.limits import LABEL_FILE_MAX

LABEL_WORDS = ("label", "labels", "target", "targets", "class", "y")
NAME_WORDS = ("name", "names", "path", "file_name", "filename", "filenames", "file", "file_path", "filepath", "image", "img")
SHOWN = 3  # names in a message

Labels = NDArray[np.int64]


def read_labels(source: str | Path | Piped) -> Labels:
    """The labels in an IDX, ``.npy`` or text file, in the order of the images: shape ``(N,)``.

    Raises:
        FormatError: damaged, something else, or a table that gives labels by name.
        LimitError: more than :data:`~mnistzip.limits.LABEL_FILE_MAX` bytes of them.
    """
    held = read_label_file(source)
    if isinstance(held, LabelTable):
        raise FormatError(f"{held.where} gives labels by name: here give an integer for each image, in their order")
    return held


def read_label_file(source: str | Path | Piped) -> Labels | LabelTable:
    """The labels in a file: in the order of the images, or by name.

    Raises:
        FormatError, LimitError: as :func:`read_labels`.
    """
    source = take(source)
    kind = kind_of(source)
    if kind is Kind.NPY:
        from mnistzip.io.array_files import damage_named, npy_header

        with damage_named(source), source.open("rb") as file:
            shape, _, dtype = npy_header(file)
            require_labels(source, shape, dtype)
            file.seek(0)
            return as_labels(np.load(file, allow_pickle=False), source)
    if kind is Kind.IDX:
        shape, dtype = idx_type(source)
        require_labels(source, shape, dtype)
        return as_labels(np.concatenate([np.empty((0, *shape[1:]), dtype), *idx_blocks(source)]), source)
    if kind is Kind.IMAGE:
        return _text(source)
    raise FormatError(f"{source} holds {kind.value}, no labels that can be read: give IDX, .npy, or a table of name and label")


def require_labels(where: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless an array can be labels, ``(N,)`` or ``(N, 1)`` of numbers; before it takes memory."""
    flat = shape[:1] if len(shape) == 2 and shape[1] == 1 else shape
    if len(flat) != 1 or dtype.kind not in "biuf":
        hint = ": numpy.argmax(labels, 1) makes these of rows of 0 and 1" if len(shape) == 2 and dtype.kind in "biuf" else ""
        raise FormatError(f"{where} holds {dtype} of shape {shape}, not one integer for each image{hint}")
    if flat[0] * dtype.itemsize > LABEL_FILE_MAX:
        raise LimitError(f"{where} has {flat[0]} labels of {dtype}: more than {LABEL_FILE_MAX} bytes are not taken")


def as_labels(numbers: NDArray[Any], where: object) -> Labels:
    """Labels that an archive can hold, of an array of numbers ``(N,)`` or ``(N, 1)``.

    Raises:
        FormatError: a number that is not whole, or takes more than 63 bits and a sign.
    """
    numbers = numbers.reshape(-1)
    if numbers.dtype.kind == "u" and int(numbers.max(initial=0)) >> 63:
        raise FormatError(f"{where} has a label of {numbers.max()}: archives hold those of 63 bits and a sign")
    if numbers.dtype.kind == "f":
        wrong = ~(np.isfinite(numbers) & (np.floor(numbers) == numbers) & (np.abs(numbers) < 2.0**63))
        if wrong.any():
            raise FormatError(f"{where} has a label of {numbers[wrong][0]}: labels are whole numbers of 63 bits and a sign")
    return numbers.astype(np.int64)


def with_labels(
    items: Iterator[Item],
    labels: Labels | LabelTable,
    where: object,
    count: int | None,
    say: Callable[[str], None] = to_stderr,
) -> Iterator[Item]:
    """The images with these labels.

    Raises:
        OptionError: not as many labels as images, or a name that has no label or more than one.
    """
    if isinstance(labels, LabelTable):
        return labels.given_to(items, say)
    if count is not None and count != len(labels):
        raise OptionError(f"{where} holds {len(labels)} labels for {count} images: give one label for each image")
    return _in_order(items, labels, where)


def _in_order(items: Iterator[Item], labels: Labels, where: object) -> Iterator[Item]:
    number = 0
    for item in items:
        if number == len(labels):
            raise OptionError(f"{where} holds {len(labels)} labels for more images than that: give one label for each image")
        yield Item(item.image, item.name, int(labels[number]), item.where)
        number += 1
    if number != len(labels):
        raise OptionError(f"{where} holds {len(labels)} labels for {number} images: give one label for each image")


class LabelTable:
    """Labels by the names of images. A name matches with or without its suffix and its folder; the closest match counts.

    Args:
        rows: names and labels.
        where: the file, for messages.

    Raises:
        FormatError: a name is there twice.
    """

    def __init__(self, rows: list[tuple[str, int]], where: str) -> None:
        self.where = where
        self._rows = [(name.replace("\\", "/").removeprefix("./"), label) for name, label in rows]
        self._levels: list[dict[str, list[int]]] = [{} for _ in _keys("")]
        for number, (name, _) in enumerate(self._rows):
            for level, key in zip(self._levels, _keys(name), strict=True):
                level.setdefault(key, []).append(number)
        twice = next((key for key, numbers in self._levels[0].items() if len(numbers) > 1), None)
        if twice is not None:
            raise FormatError(f"{where} gives a label for {twice} more than once")

    def given_to(self, items: Iterator[Item], say: Callable[[str], None]) -> Iterator[Item]:
        """The images with their labels; rows of the table that no image has are said at the end."""
        used: dict[int, str] = {}
        for item in items:
            if isinstance(item.image, Exception):
                yield item
                for number in self._matches(item.name)[:1]:  # its label is no surplus
                    used.setdefault(number, item.name)
                continue
            number = self._row_of(item)
            if number in used:
                both = f"{used[number]} and {item.name} are both {self._rows[number][0]}"
                raise OptionError(f"{both} of {self.where}: give names with their folders there")
            used[number] = item.name
            yield Item(item.image, item.name, self._rows[number][1], item.where)
        left = [name for number, (name, _) in enumerate(self._rows) if number not in used]
        if left:
            some = ", ".join(left[:SHOWN]) + (", …" if len(left) > SHOWN else "")
            say(f"{self.where}: {len(left)} labels are for no image ({some})")

    def _row_of(self, item: Item) -> int:
        if not item.name:
            raise OptionError(
                f"{self.where} gives labels by name, but {item.where} has no name: give an integer for each image"
            )
        numbers = self._matches(item.name)
        if not numbers:
            raise OptionError(f"{self.where} has no label for {item.name}: give one for each image")
        if len(numbers) > 1:
            names = " and ".join(self._rows[number][0] for number in numbers[:2])
            raise OptionError(f"{self.where} has several labels for {item.name} ({names}): give names with their folders there")
        return numbers[0]

    def _matches(self, name: str) -> list[int]:
        for level, key in zip(self._levels, _keys(name), strict=True):
            if key in level:
                return level[key]
        return []


def _keys(name: str) -> tuple[str, str, str, str]:
    """A name as it is, without its suffix, without its folders, and without both."""
    path = PurePosixPath(name)
    return name, str(path.with_suffix("")) if path.name else name, path.name, path.stem


@contextmanager
def _text_errors(where: object) -> Iterator[None]:
    try:
        yield
    except MnistzipError:
        raise
    except (ValueError, csv.Error) as cause:
        raise FormatError(
            f"{where} holds no labels that can be read: give IDX, .npy, or a table of name and label ({cause})"
        ) from cause


def _text(source: Input) -> Labels | LabelTable:
    """A CSV or TSV file: a column of integers, or columns of names and of labels; with or without a first row of titles."""
    with source.open("rb") as file:
        content = file.read(LABEL_FILE_MAX + 1)
    if len(content) > LABEL_FILE_MAX:
        raise LimitError(f"{source} has more than {LABEL_FILE_MAX} bytes: more are not taken as labels")
    with _text_errors(source):
        text = content.decode("utf-8-sig")
        if not text.strip() or "\0" in text:
            raise ValueError("it is empty" if not text.strip() else "it is no text")
        first = text.lstrip().splitlines()[0]
        mark = next((mark for mark in "\t;," if mark in first), ",")
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=mark, strict=True) if row]
    titles = [] if _is_whole(rows[0][-1]) else [cell.casefold() for cell in rows.pop(0)]
    name, label = _columns(source, titles, rows)
    for number, row in enumerate(rows, 1 + bool(titles)):
        if label >= len(row) or (name is not None and name >= len(row)):
            raise FormatError(f"{source}, row {number} has {len(row)} columns: give a name and a label in each row")
        if not _is_whole(row[label]):
            raise FormatError(
                f"{source}, row {number} has the label {row[label]!r}: archives hold whole numbers; number your classes"
            )
    numbers = [int(row[label].partition(".")[0]) for row in rows]
    large = next((number for number in numbers if not -(1 << 63) <= number < 1 << 63), None)
    if large is not None:
        raise FormatError(f"{source} has a label of {large}: archives hold those of 63 bits and a sign")
    if name is None:
        return np.array(numbers, np.int64)
    return LabelTable([(row[name], number) for row, number in zip(rows, numbers, strict=True)], str(source))


def _columns(source: Input, titles: list[str], rows: list[list[str]]) -> tuple[int | None, int]:
    """Which column of a table holds names (None if none does) and which labels."""
    width = len(titles or rows[0])
    name = next((titles.index(word) for word in NAME_WORDS if word in titles), None)
    label = next((titles.index(word) for word in LABEL_WORDS if word in titles), None)
    if width == 1:
        return None, 0
    if name is not None and label is not None:
        return name, label
    if width == 2:
        return (0, 1) if label != 0 and name != 1 else (1, 0)
    held = f"the columns {', '.join(titles)}" if titles else f"{width} columns without titles"
    raise FormatError(f"{source} has {held}: give two, titled name and label")


def _is_whole(cell: str) -> bool:
    """Whether a cell is a whole number, perhaps as a float such as ``7.0``."""
    whole, _, rest = cell.partition(".")
    digits = whole.removeprefix("-").removeprefix("+")
    return digits.isascii() and digits.isdigit() and not rest.strip("0") and len(digits) < 20
