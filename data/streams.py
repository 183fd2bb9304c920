"""Images one after the other, however many: from folders, IDX, arrays, Parquet and archives, for archives to be made of."""

from __future__ import annotations

import math
import zipfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip import codec
from mnistzip.archive import Archive
from mnistzip.container import PIXELS_MAX, is_cae
from mnistzip.data.images import IMAGE_SUFFIXES, STREAM, parse_image, read_image
from mnistzip.data.kinds import ARRAY_SUFFIXES, PARQUET_SUFFIX, holds_many, leads_to_archive, walk
from mnistzip.errors import FormatError, ImageError, LimitError, MnistzipError, OptionError
from mnistzip.idx import idx_blocks, idx_shape, read_idx
from mnistzip.index import Origin
from mnistzip.model import Model

BLOCK_BYTES = 1 << 20  # read together
PARQUET_BATCH = 256  # rows
LABELS_MAX = 1 << 28  # bytes of labels that come with images

Pixels = NDArray[np.uint8]
Labels = NDArray[np.integer]
Blocks = Iterator[NDArray[Any]]
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]  # of a .npy file: shape, whether in Fortran's order, type


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
    """

    origin: Origin
    count: int | None
    named: bool
    labelled: bool
    items: Iterator[Item]
    shape: tuple[int, int] | None = None


def open_stream(
    sources: Sequence[str],
    *,
    labels: str | None = None,
    convert: bool = False,
    model: str | Path | Model | None = None,
) -> Stream:
    """Images of all sources, one after the other.

    Args:
        sources: image files, folders (searched to the bottom), IDX files (``.gz`` too), ``.npy`` and ``.npz`` arrays, Parquet
            files, archives; or ``-``, one image from stdin.
        labels: IDX or ``.npy`` file with an integer for each image.
        convert: take colour, transparency and 16 bits as 8-bit grey instead of refusing them.
        model: of archives that were made with a model of one's own.

    Raises:
        ImageError: a source that holds no images.
        FormatError: a damaged source.
        OptionError: as many labels as images are needed; or a library is missing.
    """
    several = len(sources) > 1
    streams = [open_source(source, convert=convert, model=model, several=several) for source in sources]
    named, labelled = any(stream.named for stream in streams), all(stream.labelled for stream in streams)
    counts = [stream.count for stream in streams]
    known = [count for count in counts if count is not None]
    count = sum(known) if len(known) == len(counts) else None
    origins = {stream.origin for stream in streams}
    shapes = {stream.shape for stream in streams}
    origin = origins.pop() if len(origins) == 1 else Origin.NONE
    shape = shapes.pop() if len(shapes) == 1 else None
    items: Iterator[Item] = chain.from_iterable(stream.items for stream in streams)
    if labels is not None:
        items = _labelled(items, read_labels(Path(labels)), labels, count)
    return Stream(origin, count, named, labelled or labels is not None, items, shape)


def read_labels(path: Path) -> Labels:
    """The labels in an IDX or ``.npy`` file: integers of any kind, shape ``(N,)``.

    Raises:
        FormatError: damaged, or something else.
        LimitError: more than :data:`LABELS_MAX` bytes of them.
    """
    if path.suffix.lower() == ".npy":
        with _damage_told(path), path.open("rb") as file:
            shape, _, dtype = _npy_header(file)
            _require_labels(path, shape, dtype)
            return _checked(np.load(path, allow_pickle=False), path)
    shape = idx_shape(path)
    _require_labels(path, shape, np.dtype(np.uint8))
    return read_idx(path)


def _require_labels(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless an array can be labels; before it takes memory."""
    if len(shape) != 1 or dtype.kind not in "iu":
        raise FormatError(f"{path} holds {dtype} of shape {shape}, not one integer for each image")
    if shape[0] * dtype.itemsize > LABELS_MAX:
        raise LimitError(f"{path} has {shape[0]} labels of {dtype}: more than {LABELS_MAX} bytes are not taken")


def _checked(labels: Labels, path: Path) -> Labels:
    """Labels that an archive can hold."""
    if labels.dtype == np.uint64 and int(labels.max(initial=0)) >> 63:
        raise FormatError(f"{path} has a label of {labels.max()}: archives hold those of 63 bits and a sign")
    return labels


def _labelled(items: Iterator[Item], labels: Labels, name: str, count: int | None) -> Iterator[Item]:
    """The images with these labels."""
    if count is not None and count != len(labels):
        raise OptionError(f"{name} holds {len(labels)} labels for {count} images")

    def pairs() -> Iterator[Item]:
        number = 0
        for item in items:
            if number == len(labels):
                raise OptionError(f"{name} holds {len(labels)} labels for more images than that")
            yield Item(item.image, item.name, int(labels[number]), item.where)
            number += 1
        if number != len(labels):
            raise OptionError(f"{name} holds {len(labels)} labels for {number} images")

    return pairs()


def open_source(
    source: str,
    *,
    convert: bool = False,
    model: str | Path | Model | None = None,
    several: bool = False,
    first: int = 0,
) -> Stream:
    """Images of one source; the arguments and errors are those of :func:`open_stream`.

    Args:
        several: the names of a folder's images begin with that of the folder.
        first: leave out so many images; no more is read for that than the kind of source demands.
    """
    path = Path(source)
    if source != STREAM and path.is_dir():
        return folder_stream(path, image_files(path)[first:], convert, path.name if several else "")
    if not holds_many(source):
        return _one(source, convert)
    if path.suffix.lower() == PARQUET_SUFFIX:
        return _parquet(path, convert, first)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        stream = _array(path)
        return replace(stream, items=islice(stream.items, first, None))
    if leads_to_archive(path):
        return _archive(source, model, first)
    shape = idx_shape(path)
    if len(shape) != 3:
        raise ImageError(f"{path} has shape {shape}, not (N, H, W): it does not hold greyscale images")
    return _stack(Origin.IDX, source, shape, idx_blocks(path, first), first=first)


def _stack(
    origin: Origin, source: str, shape: tuple[int, ...], blocks: Blocks, labels: Labels | None = None, first: int = 0
) -> Stream:
    """A stream of the images of an array ``(N, H, W)`` that comes in blocks of rows."""

    def items() -> Iterator[Item]:
        number = first
        for block in blocks:
            for image in block:
                yield Item(image, "", None if labels is None else int(labels[number]), f"{source}, image {number}")
                number += 1

    if shape[0] and not math.prod(shape):
        raise ImageError(f"{source} has shape {shape}: no image has a side of 0")
    if shape[1] * shape[2] > PIXELS_MAX:  # before any is read: few bytes can claim all memory
        raise LimitError(f"{source} has images of {shape[2]}x{shape[1]}: more than {PIXELS_MAX} pixels")
    size = (shape[1], shape[2])
    return Stream(origin, shape[0], False, labels is not None, items(), size if min(size) else None)


def _one(source: str, convert: bool) -> Stream:
    def items() -> Iterator[Item]:
        yield _item(source, Path(source).name if source != STREAM else "", convert)

    return Stream(Origin.FOLDER, 1, source != STREAM, False, items())


def _item(source: str, name: str, convert: bool) -> Item:
    try:
        return Item(read_image(source, convert), name, None, source)
    except (MnistzipError, OSError) as error:
        return Item(error, name, None, source)


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and below, one at least, in order of their paths."""
    files = list(walk(folder, IMAGE_SUFFIXES))
    if not files:
        raise ImageError(f"no images in {folder}: nothing there ends in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return files


def folder_stream(folder: Path, files: Sequence[Path], convert: bool, below: str) -> Stream:
    """Images of a folder that are named after where they are in it, below ``below``."""

    def items() -> Iterator[Item]:
        for file in files:
            yield _item(str(file), (Path(below) / file.relative_to(folder)).as_posix(), convert)

    return Stream(Origin.FOLDER, len(files), True, False, items())


def _archive(source: str, model: str | Path | Model | None, first: int) -> Stream:
    archive = Archive(source, model=model)

    def items() -> Iterator[Item]:
        with archive:
            for part in archive.parts(first, details=True):
                for told in (part.names, part.labels):
                    if isinstance(told, MnistzipError):
                        raise told
                for k, image in enumerate(part.images):
                    name = part.names[k] if isinstance(part.names, list) else ""
                    label = int(part.labels[k]) if isinstance(part.labels, np.ndarray) else None
                    yield Item(image, name, label, f"{source}, image {part.first + k}")

    return Stream(archive.origin, len(archive), archive.has_names, archive.has_labels, items(), archive.shape)


def _array(path: Path) -> Stream:
    """The images of a ``.npy`` file, or those of an ``.npz`` with its labels."""
    with _damage_told(path):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                headers = {path.name: _npy_header(file)}
            _, shape = _images_among(path, headers)
            return _stack(Origin.NPY, str(path), shape, _npy_blocks(path, None))
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for entry in archive.namelist():
                with archive.open(entry) as member:
                    headers[entry] = _npy_header(member)
        images, shape = _images_among(path, headers)
        wanted = [key for key, (size, _, kind) in headers.items() if size == shape[:1] and kind.kind in "iu"]
        labels = None
        if len(wanted) == 1:
            _require_labels(path, headers[wanted[0]][0], headers[wanted[0]][2])
            with np.load(path, allow_pickle=False) as content:
                labels = _checked(content[wanted[0].removesuffix(".npy")], path)
        return _stack(Origin.NPZ, str(path), shape, _npy_blocks(path, images), labels)


@contextmanager
def _damage_told(path: Path, kind: str = "an array") -> Iterator[None]:
    """Raise :class:`~mnistzip.errors.FormatError` for whatever zipfile, zlib, tokenize, numpy and Arrow make of damage."""
    try:
        yield
    except (MnistzipError, FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
        raise
    except Exception as cause:
        raise FormatError(f"{path} is not {kind} that can be read: {cause}") from cause


def _npy_header(file: IO[bytes]) -> Header:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    header: Header = read(file)
    if header[2].hasobject or min(header[0], default=0) < 0:
        raise ValueError("it holds objects of Python, or its header is damaged")
    return header


def _images_among(path: Path, headers: dict[str, Header]) -> tuple[str, tuple[int, ...]]:
    """The one array that holds images, and its shape ``(N, H, W)``."""
    fitting = [key for key, (shape, _, dtype) in headers.items() if dtype == np.uint8 and len(shape) in (2, 3)]
    if len(fitting) != 1:
        held = ", ".join(f"{key.removesuffix('.npy')} {dtype}{list(shape)}" for key, (shape, _, dtype) in headers.items())
        raise ImageError(f"{path} holds {held}: exactly one array of uint8 with shape (N, H, W) or (H, W) is taken")
    shape = headers[fitting[0]][0]
    return fitting[0], shape if len(shape) == 3 else (1, *shape)


def _npy_blocks(path: Path, entry: str | None) -> Blocks:
    """The rows of an array in a ``.npy`` or ``.npz`` file, some at a time."""
    with _damage_told(path), ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        if entry is not None:
            file = stack.enter_context(stack.enter_context(zipfile.ZipFile(file)).open(entry))
        shape, fortran, _ = _npy_header(file)
        rows, *size = shape if len(shape) == 3 else (1, *shape)
        if fortran:  # its images do not lie one after the other
            whole = np.frombuffer(file.read(), np.uint8)
            if whole.size != math.prod(shape):
                raise FormatError(f"{path} is cut short")
            yield whole.reshape(shape, order="F").reshape(-1, *size)
            return
        each = math.prod(size)
        step = max(1, BLOCK_BYTES // max(each, 1))
        for start in range(0, rows, step):
            count = min(step, rows - start)
            raw = file.read(count * each)
            if len(raw) != count * each:
                raise FormatError(f"{path} is cut short: it holds fewer images than the {rows} of its header")
            yield np.frombuffer(raw, np.uint8).reshape(count, *size)


def pyarrow_parquet(path: Path) -> Any:
    """The module ``pyarrow.parquet``, or an error that names the command that installs it."""
    try:
        import pyarrow.parquet
    except ImportError as cause:
        raise OptionError(f"{path} needs pyarrow: pip install 'mnistzip[parquet]'") from cause
    return pyarrow.parquet


def _parquet(path: Path, convert: bool, first: int) -> Stream:
    """The images of a Parquet file: a column of encoded images, as binary or as Hugging Face's ``{bytes, path}``."""
    parquet = pyarrow_parquet(path)
    import pyarrow

    with _damage_told(path, "a Parquet file"):
        file = parquet.ParquetFile(path)
    types = pyarrow.types
    schema = {field.name: field.type for field in file.schema_arrow}

    def encoded(kind: Any) -> bool:
        if types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return types.is_binary(kind) or types.is_large_binary(kind)

    def chosen(fits: Any, usual: tuple[str, ...]) -> str | None:
        fitting = [name for name, kind in schema.items() if fits(kind)]
        known = [name for name in usual if name in fitting]
        return known[0] if known else fitting[0] if len(fitting) == 1 else None

    image = chosen(encoded, ("image", "img"))
    if image is None:
        held = ", ".join(f"{name} {kind}" for name, kind in schema.items())
        raise ImageError(f"{path} has the columns {held}: one named image, or a single one, must hold encoded images")
    label = chosen(types.is_integer, ("label", "labels"))
    name = chosen(types.is_string, ("name", "path", "file_name"))
    columns = [column for column in (image, label, name) if column]

    def items() -> Iterator[Item]:
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        ends = list(accumulate(sizes))
        begin = bisect_right(ends, first)  # row groups before are not read
        number = ends[begin - 1] if begin else 0
        with _damage_told(path, "a Parquet file"), file:
            groups = range(begin, len(ends))
            for batch in file.iter_batches(batch_size=PARQUET_BATCH, columns=columns, row_groups=groups):
                skipped = min(max(first - number, 0), len(batch))
                number += skipped
                for row in batch.slice(skipped).to_pylist():
                    where = f"{path}, row {number}"
                    held = row[image]
                    content = held["bytes"] if isinstance(held, dict) else held
                    told = (row[name] if name else held.get("path") if isinstance(held, dict) else None) or ""
                    value = row[label] if label else None
                    if label and value is None:
                        raise FormatError(f"{where} has no {label}")
                    yield Item(_parse(where, content or b"", convert), told, value, where)
                    number += 1

    struct = types.is_struct(schema[image])
    return Stream(Origin.PARQUET, file.metadata.num_rows, bool(name) or struct, bool(label), items())


def _parse(where: str, content: bytes, convert: bool) -> Pixels | MnistzipError:
    try:
        return codec.decode(content) if is_cae(content) else parse_image(where, content, convert)
    except MnistzipError as error:
        return error
