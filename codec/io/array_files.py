"""Images in arrays: of a ``.npy`` file, or of an ``.npz`` file, perhaps with labels and names."""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip.archive.index import Origin
from mnistzip.errors import FormatError, ImageError, LimitError, MnistzipError, OptionError
from mnistzip.io.array_layout import Layout, Levels, layout_of, levels_of
from mnistzip.io.detect import Kind, kind_of
from mnistzip.io.labels import Labels, as_labels, require_labels
from mnistzip.io.read_options import Input, InputOptions, Item, Stream
from mnistzip.io.safe_names import Renamer
from mnistzip.limits import LABEL_FILE_MAX, PIXELS_MAX

BLOCK_BYTES = 1 << 20  # read together
IMAGE_WORDS = ("images", "image", "imgs", "img", "x", "pixels", "digits", "data")  # the first wins
LABEL_WORDS = ("labels", "label", "targets", "target", "y")
NAME_WORDS = ("names", "name", "filenames", "filename")

Blocks = Iterator[NDArray[Any]]
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]  # of a .npy file: shape, whether in Fortran's order, type


def array_stream(source: Input, options: InputOptions, first: int = 0) -> Stream:
    """The images of a ``.npy`` file, or those of an ``.npz`` file with its labels and names.

    Args:
        source: the file.
        options: ``array``, ``shape``, ``convert``, ``labels`` and ``say`` count.
        first: leave out so many images.

    Raises:
        ImageError: it holds no images, or several arrays of them; the message says what to do.
        FormatError: damaged.
        LimitError: images or labels that are too large.
    """
    with damage_named(source):
        if kind_of(source) is Kind.NPZ:
            return _npz(source, options, first)
        with source.open("rb") as file:
            header = npy_header(file)
    return stack(Origin.NPY, source, source, header, lambda row: _npy_blocks(source, None, row), options, first=first)


def _npz(source: Input, options: InputOptions, first: int) -> Stream:
    with source.open("rb") as file, zipfile.ZipFile(file) as archive:
        entries = archive.namelist()
        headers = {}
        for entry in entries:
            if entry.endswith(".npy"):
                with archive.open(entry) as member:
                    headers[entry.removesuffix(".npy")] = _any_header(member)
        chosen = _choose(source, headers, options.array)
        label, name = _partner(chosen, headers, LABEL_WORDS), _partner(chosen, headers, NAME_WORDS)
        labels = _labels(source, archive, label, headers) if label is not None and options.labels else None
        names = _names(source, archive, name, headers) if name is not None else None
    left = [entry for entry in headers if entry not in (chosen, label, name)]
    told = [f"{entry} {_described(headers[entry])}" for entry in left] + [e for e in entries if not e.endswith(".npy")]
    told += [f"{label} {_described(headers[label])}"] if label is not None and not options.labels else []
    if told:
        options.say(f"{source}: left out: {', '.join(told)}")
    where = f"{source}, {chosen}" if len(headers) > 1 else str(source)
    stream = stack(
        Origin.NPZ,
        source,
        where,
        headers[chosen],
        lambda row: _npy_blocks(source, chosen + ".npy", row),
        options,
        labels,
        names,
        first,
    )
    for what, held in ((label, labels), (name, names)):
        if held is not None and len(held) != stream.count:
            one = "label" if held is labels else "name"
            raise OptionError(
                f"{source}: {what} holds {len(held)} {one}s for {stream.count} images: give one {one} for each image"
            )
    return stream


def stack(
    origin: Origin,
    source: Input,
    where: object,
    header: Header,
    blocks: Callable[[int], Blocks],
    options: InputOptions,
    labels: Labels | None = None,
    names: Sequence[str] | None = None,
    first: int = 0,
) -> Stream:
    """A stream of the images of an array, of which ``blocks(row)`` gives all from a row on, some at a time.

    Raises:
        ImageError, LimitError: as :func:`array_stream`.
    """
    shape, _, dtype = header
    layout = layout_of(where, shape, options.shape, None if labels is None else len(labels))
    count, height, width = layout.shape
    if count and not math.prod(layout.shape):
        raise ImageError(f"{where} has shape {shape}: no image has a side of 0")
    if height * width > PIXELS_MAX:  # before any is read: few bytes can claim all memory
        raise LimitError(f"{where} has images of {width}x{height}: more than {PIXELS_MAX} pixels")
    levels = levels_of(where, dtype, blocks(0), options.convert)
    for guess in (layout.guess, levels.guess):
        if guess is not None:
            options.say(f"{where} has shape {shape}: {guess}" if guess is layout.guess else f"{where} holds {guess}")
    size = (height, width)
    row = first if shape[0] == count else 0

    def items() -> Iterator[Item]:
        with Renamer(str(source), options.say) as renamer:
            images = islice(_images(blocks(row), layout, levels), first - row, None)
            for number, image in enumerate(images, first):
                name = "" if names is None else renamer.safe(names[number])
                yield Item(image, name, None if labels is None else int(labels[number]), f"{source}, image {number}")

    return Stream(origin, count, names is not None, labels is not None, items(), size if min(size) else None)


def _images(blocks: Blocks, layout: Layout, levels: Levels) -> Iterator[NDArray[np.uint8]]:
    """The images in blocks of rows of an array; an image may be many rows, or a row many images' worth of numbers."""
    _, height, width = layout.shape
    each = height * width
    waiting: list[NDArray[np.uint8]] = []  # part of an image
    held = 0
    for block in blocks:
        waiting.append(levels.of(block).reshape(-1))
        held += waiting[-1].size
        if held < each or not each:
            continue
        grey = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
        whole = held // each * each
        yield from grey[:whole].reshape(-1, height, width)
        waiting, held = [grey[whole:]], held - whole


@contextmanager
def damage_named(source: object, kind: str = "an array") -> Iterator[None]:
    """Raise :class:`~mnistzip.errors.FormatError` for whatever zipfile, zlib, tokenize, numpy and Arrow make of damage."""
    try:
        yield
    except (MnistzipError, FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
        raise
    except Exception as cause:
        raise FormatError(f"{source} is not {kind} that can be read: {cause}") from cause


def npy_header(file: IO[bytes]) -> Header:
    """What a ``.npy`` file says of its array; the file is then at the first number."""
    header = _any_header(file)
    if header[2].hasobject:
        raise ValueError("it holds objects of Python, which are not loaded")
    return header


def _any_header(file: IO[bytes]) -> Header:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    header: Header = read(file)
    if min(header[0], default=0) < 0:
        raise ValueError("its header is damaged")
    return header


def _described(header: Header) -> str:
    return f"{header[2]}{list(header[0])}"


def _words(entry: str) -> list[str]:
    """The words of an array's name: of ``x_train`` x and train."""
    return [word for word in re.split(r"[^a-z0-9]+", entry.lower()) if word]


def _has(entry: str, words: tuple[str, ...]) -> bool:
    return not set(words).isdisjoint(_words(entry))


def _part(entry: str) -> tuple[str, ...]:
    """What is left of a name without the usual words: of ``x_train`` and ``y_train`` train."""
    return tuple(word for word in _words(entry) if word not in {*IMAGE_WORDS, *LABEL_WORDS, *NAME_WORDS})


def _choose(source: Input, headers: dict[str, Header], wanted: str | None) -> str:
    """The array that holds the images: the one that the user names, else the only one with a usual name, else the only one."""
    held = ", ".join(f"{entry} {_described(header)}" for entry, header in headers.items()) or "no arrays"
    if wanted is not None:
        if wanted not in headers:
            raise OptionError(f"{source} has no array {wanted}: it holds {held}")
        _require_no_objects(source, wanted, headers)
        return wanted
    fitting = [entry for entry, (shape, _, dtype) in headers.items() if _may_be_images(shape, dtype)]
    fitting = [entry for entry in fitting if not _has(entry, (*LABEL_WORDS, *NAME_WORDS))]
    plain = [entry for word in IMAGE_WORDS for entry in fitting if _words(entry) == [word]]
    usual = [entry for entry in fitting if _has(entry, IMAGE_WORDS)]
    bytewise = [entry for entry in fitting if headers[entry][2] == np.uint8]
    among = plain[:1] or usual or bytewise or fitting
    if not among:
        for entry in headers:
            _require_no_objects(source, entry, headers)
        hint = "" if headers else ": if it holds image files, unpack it and give the folder"
        raise ImageError(f"{source} holds {held}: none is an array of images, uint8 (N, H, W){hint}")
    if len(among) > 1:
        choices = " or ".join(f"--array {entry}" for entry in among)
        raise ImageError(f"{source} holds several arrays: {held}: name the one with the images by {choices}")
    return among[0]


def _may_be_images(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return len(shape) in (2, 3, 4) and dtype.kind in "biuf" and not (len(shape) == 2 and shape[1] == 1)


def _require_no_objects(source: Input, entry: str, headers: dict[str, Header]) -> None:
    if headers[entry][2].hasobject:
        raise FormatError(
            f"{source}: {entry} holds objects of Python, which are not loaded: save it as an array of numbers or text"
        )


def _partner(chosen: str, headers: dict[str, Header], words: tuple[str, ...]) -> str | None:
    """The labels or names that belong to an array of images, which are named alike: ``y_train`` to ``x_train``."""
    part = _part(chosen) if _has(chosen, IMAGE_WORDS) else ()
    others = [entry for entry in headers if entry != chosen and _part(entry) == part]
    fitting = [entry for word in words for entry in others if word in _words(entry)]
    if fitting:
        return fitting[0]
    second = headers.get("arr_1") if chosen == "arr_0" and words is LABEL_WORDS else None  # np.savez(file, images, labels)
    return "arr_1" if second is not None and len(second[0]) == 1 and second[2].kind in "iu" else None


def _labels(source: Input, archive: zipfile.ZipFile, entry: str, headers: dict[str, Header]) -> Labels:
    _require_no_objects(source, entry, headers)
    require_labels(f"{source}: {entry}", headers[entry][0], headers[entry][2])
    with archive.open(entry + ".npy") as file:
        return as_labels(npy.read_array(file, allow_pickle=False), f"{source}: {entry}")


def _names(source: Input, archive: zipfile.ZipFile, entry: str, headers: dict[str, Header]) -> list[str]:
    _require_no_objects(source, entry, headers)
    shape, _, dtype = headers[entry]
    if len(shape) != 1 or dtype.kind not in "US":
        raise FormatError(f"{source}: {entry} holds {_described(headers[entry])}, not one text for each image")
    if shape[0] * dtype.itemsize > LABEL_FILE_MAX:
        raise LimitError(f"{source}: {entry} has more than {LABEL_FILE_MAX} bytes: more are not taken as names")
    with archive.open(entry + ".npy") as file:
        held = npy.read_array(file, allow_pickle=False)
    return [name.decode() if isinstance(name, bytes) else name for name in held.tolist()]


def _npy_blocks(source: Input, entry: str | None, first: int = 0) -> Blocks:
    """The numbers of an array in a ``.npy`` or ``.npz`` file from a row on, some rows at a time."""
    with damage_named(source), ExitStack() as held:
        file: IO[bytes] = held.enter_context(source.open("rb"))
        if entry is not None:
            file = held.enter_context(held.enter_context(zipfile.ZipFile(file)).open(entry))
        shape, fortran, dtype = npy_header(file)
        if fortran:  # its images do not lie one after the other
            whole = np.frombuffer(file.read(), dtype)
            if whole.size != math.prod(shape):
                raise FormatError(f"{source} is cut short")
            yield whole.reshape(shape, order="F")[first:]
            return
        rows = shape[0] if shape else 1
        each = math.prod(shape[1:]) * dtype.itemsize
        file.seek(first * each, os.SEEK_CUR)
        step = max(1, BLOCK_BYTES // max(each, 1))
        for start in range(first, rows, step):
            count = min(step, rows - start)
            raw = file.read(count * each)
            if len(raw) != count * each:
                raise FormatError(f"{source} is cut short: it holds fewer images than the {rows} of its header")
            yield np.frombuffer(raw, dtype).reshape(count, *shape[1:])
