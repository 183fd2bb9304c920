"""Images in Parquet: a column of image files, and perhaps columns of labels and names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from mnistzip import api
from mnistzip.archive.index import Origin
from mnistzip.bitstream.container import is_cae
from mnistzip.errors import FormatError, ImageError, LimitError, MnistzipError, OptionError
from mnistzip.io.image_file import parse_image
from mnistzip.io.inputs import Input
from mnistzip.io.labels import LABEL_WORDS, NAME_WORDS, as_labels
from mnistzip.io.npy_files import format_errors
from mnistzip.io.read_options import InputOptions, Item, Stream
from mnistzip.io.safe_names import Renamer
from mnistzip.types import Pixels

BATCH = 256  # rows
IMAGE_WORDS = ("image", "images", "img", "imgs", "picture", "png", "bytes")
CLASSES_MAX = 1 << 16  # different texts in a column of labels
CLASSES_SHOWN = 20
EMBED = (
    'in datasets, ds.with_format("arrow").map(datasets.table.embed_table_storage, batched=True).with_format(None) '
    "embeds the images; or give the folder of the images"
)


def pyarrow_parquet(path: object) -> Any:
    """The module ``pyarrow.parquet``, or an error that names the command that installs it."""
    try:
        import pyarrow.parquet
    except ImportError as cause:
        raise OptionError(f"{path} needs pyarrow: pip install 'mnistzip[parquet]'") from cause
    return pyarrow.parquet


@dataclass(frozen=True)
class Columns:
    """The columns to read.

    Attributes:
        classes: number of each text in the column of labels, if it holds texts.
    """

    image: str
    label: str | None
    name: str | None
    classes: dict[str, int] | None = None


def parquet_stream(source: Input, options: InputOptions, first: int = 0) -> Stream:
    """The images of a Parquet file: a column of image files, as binary or as Hugging Face's ``{bytes, path}``.

    Args:
        source: the file.
        options: uses ``convert``, ``labels``, ``say`` and the names of columns.
        first: rows to skip; row groups before them are not read.

    Raises:
        ImageError, OptionError: a column is missing or does not hold images; the message names the options that help.
        FormatError: the file is damaged, or a row has no label.
    """
    parquet = pyarrow_parquet(source)
    with format_errors(source, "Parquet file"):
        file = parquet.ParquetFile(source if isinstance(source, Path) else source.open("rb"))
    schema = {field.name: field.type for field in file.schema_arrow}
    columns = _choose(source, file, schema, options)
    names = [column for column in (columns.image, columns.label, columns.name) if column]
    struct = _is_struct(schema[columns.image])

    def items() -> Iterator[Item]:
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        ends = list(accumulate(sizes))
        begin = bisect_right(ends, first)  # row groups before are not read
        number = ends[begin - 1] if begin else 0
        with format_errors(source, "Parquet file"), file, Renamer(str(source), options.say) as renamer:
            groups = range(begin, len(ends))
            for batch in file.iter_batches(batch_size=BATCH, columns=names, row_groups=groups):
                skipped = min(max(first - number, 0), len(batch))
                number += skipped
                for row in batch.slice(skipped).to_pylist():
                    yield _item(f"{source}, row {number}", row, columns, renamer, options)
                    number += 1

    classes = None if columns.classes is None else tuple(columns.classes)
    named, labelled = bool(columns.name) or struct, bool(columns.label)
    return Stream(Origin.PARQUET, file.metadata.num_rows, named, labelled, items(), classes=classes)


def _item(where: str, row: dict[str, Any], columns: Columns, renamer: Renamer, options: InputOptions) -> Item:
    cell = row[columns.image]
    path = cell.get("path") if isinstance(cell, dict) else None
    content = cell["bytes"] if isinstance(cell, dict) else cell
    if content is None and path:
        raise FormatError(f"{where} holds the path of an image, {path!r}, but not the image: {EMBED}")
    name = (row[columns.name] if columns.name else path) or ""
    return Item(_parse(where, content or b"", options), renamer.safe(name), _label(where, row, columns), where)


def _label(where: str, row: dict[str, Any], columns: Columns) -> int | None:
    if columns.label is None:
        return None
    value = row[columns.label]
    if value is None:
        raise FormatError(f"{where} has no {columns.label}: fill it in, or leave out all labels with --no-labels")
    if columns.classes is not None:
        return columns.classes[value]
    return int(as_labels(np.array([value]), where)[0])


def _parse(where: str, content: bytes, options: InputOptions) -> Pixels | MnistzipError:
    try:
        if is_cae(content):
            return api.decode(content, model=options.model)
        return parse_image(where, content, options.convert)
    except MnistzipError as error:
        return error


def _choose(source: Input, file: Any, schema: dict[str, Any], options: InputOptions) -> Columns:
    """The columns that the user names, else those with the usual names; a message lists the ignored columns."""
    image = _image_column(source, schema, options)
    label, name, classes = options.label_column, options.name_column, None
    for option, column, fits, expected in (
        ("--label-column", label, _may_be_label, "numbers or text"),
        ("--name-column", name, _is_text, "text"),
    ):
        if column is not None and (column not in schema or not fits(schema[column])):
            problem = f"holds {schema[column]}, not {expected}" if column in schema else f"is not among {', '.join(schema)}"
            raise OptionError(f"{source}: {option} {column} {problem}")
    others = [column for column in schema if column != image]
    if label is None:
        label = next((word for word in LABEL_WORDS if word in others and _is_number(schema[word])), None)
    elif _is_text(schema[label]) and options.labels:
        classes = _classes(source, file, label)
        options.say(f"{source}: numbered the texts of {label} in sorted order: {_numbering(classes)}")
    label = label if options.labels else None
    if name is None:
        name = next((word for word in NAME_WORDS if word in others and _is_text(schema[word])), None)
    ignored = [f"{column} {schema[column]}" for column in others if column not in (label, name)]
    if ignored:
        texts = [column for column in LABEL_WORDS if column in others and column != label and _is_text(schema[column])]
        hint = f"; --label-column {texts[0]} numbers the texts of {texts[0]} in sorted order" if texts and label is None else ""
        options.say(f"{source}: ignored: {', '.join(ignored)}{hint if options.labels else ''}")
    return Columns(image, label, name, classes)


def _image_column(source: Input, schema: dict[str, Any], options: InputOptions) -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in schema.items())
    named = options.image_column
    if named is not None:
        if named not in schema or not _holds_images(schema[named]):
            raise OptionError(f"{source} has the columns {columns}: {named} is not a column of image files")
        return named
    possible = [name for name, kind in schema.items() if _holds_images(kind)]
    usual = [word for word in IMAGE_WORDS if word in possible]
    if usual:
        return usual[0]
    if len(possible) == 1:
        options.say(f"{source}: reading images from {possible[0]}, the only column of bytes")
        return possible[0]
    hint = "choose the images with --image-column" if possible else "one must hold image files as bytes"
    raise ImageError(f"{source} has the columns {columns}: {hint}")


def _classes(source: Input, file: Any, column: str) -> dict[str, int]:
    """The number of each text of a column, in sorted order."""
    texts: set[str] = set()
    with format_errors(source, "Parquet file"):
        for batch in file.iter_batches(columns=[column]):
            texts.update(text for text in batch.column(0).unique().to_pylist() if text is not None)
            if len(texts) > CLASSES_MAX:
                raise LimitError(f"{source}: {column} has more than {CLASSES_MAX} different texts, the limit for labels")
    return {text: number for number, text in enumerate(sorted(texts))}


def _numbering(classes: dict[str, int]) -> str:
    first = [f"{number} {text}" for text, number in list(classes.items())[:CLASSES_SHOWN]]
    return ", ".join(first) + (f", … {len(classes) - 1}" if len(classes) > CLASSES_SHOWN else "")


def _plain(kind: Any) -> Any:
    """The type of the values of a dictionary, which stores categories; else the type itself."""
    import pyarrow

    return kind.value_type if pyarrow.types.is_dictionary(kind) else kind


def _is_struct(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_struct(kind))


def _holds_images(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return _is_bytes(_plain(kind))


def _is_bytes(kind: Any) -> bool:
    from pyarrow import types

    checks = ("is_binary", "is_large_binary", "is_fixed_size_binary", "is_binary_view")
    return any(getattr(types, check)(kind) for check in checks if hasattr(types, check))


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    plain = _plain(kind)
    return bool(types.is_integer(plain) or types.is_floating(plain) or types.is_boolean(plain))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    plain = _plain(kind)
    checks = ("is_string", "is_large_string", "is_string_view")
    return any(getattr(types, check)(plain) for check in checks if hasattr(types, check))


def _may_be_label(kind: Any) -> bool:
    return _is_number(kind) or _is_text(kind)
