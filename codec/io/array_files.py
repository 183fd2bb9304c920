"""Images in arrays: in a ``.npy`` file, or in an ``.npz`` file that may hold labels and names as well."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip.archive.index import Origin
from mnistzip.errors import FormatError, ImageError, LimitError, OptionError
from mnistzip.io.array_layout import Layout, Levels, layout_of, levels_of
from mnistzip.io.detect import Kind, kind_of
from mnistzip.io.inputs import Input
from mnistzip.io.labels import Labels, as_labels, require_labels
from mnistzip.io.npy_files import Blocks, Header, format_errors, read_blocks, read_header, read_numeric_header
from mnistzip.io.read_options import InputOptions, Item, Stream
from mnistzip.io.safe_names import Renamer
from mnistzip.limits import LABEL_FILE_MAX, PIXELS_MAX
from mnistzip.types import Pixels

IMAGE_WORDS = ("images", "image", "imgs", "img", "x", "pixels", "digits", "data")  # the first match wins
LABEL_WORDS = ("labels", "label", "targets", "target", "y")
NAME_WORDS = ("names", "name", "filenames", "filename")


def array_stream(source: Input, options: InputOptions, first: int = 0) -> Stream:
    """The images of a ``.npy`` file, or those of an ``.npz`` file with its labels and names.

    Args:
        source: the file.
        options: uses ``array``, ``shape``, ``convert``, ``labels`` and ``say``.
        first: images to skip.

    Raises:
        ImageError: the file holds no array of images, or several; the message names the options that help.
        FormatError: the file is damaged.
        LimitError: the images or labels are too large.
    """
    with format_errors(source):
        if kind_of(source) is Kind.NPZ:
            return _npz_stream(source, options, first)
        with source.open("rb") as file:
            header = read_numeric_header(file)
    return stack(Origin.NPY, source, source, header, partial(read_blocks, source, None), options, first=first)


def _npz_stream(source: Input, options: InputOptions, first: int) -> Stream:
    with source.open("rb") as file, zipfile.ZipFile(file) as archive:
        entries = archive.namelist()
        headers = {}
        for entry in entries:
            if entry.endswith(".npy"):
                with archive.open(entry) as member:
                    headers[entry.removesuffix(".npy")] = read_header(member)
        chosen = _choose(source, headers, options.array)
        label, name = _partner(chosen, headers, LABEL_WORDS), _partner(chosen, headers, NAME_WORDS)
        labels = _labels(source, archive, label, headers) if label is not None and options.labels else None
        names = _names(source, archive, name, headers) if name is not None else None
    ignored = [f"{entry} {_described(headers[entry])}" for entry in headers if entry not in (chosen, label, name)]
    ignored += [entry for entry in entries if not entry.endswith(".npy")]
    if label is not None and not options.labels:
        ignored.append(f"{label} {_described(headers[label])}")
    if ignored:
        options.say(f"{source}: ignored: {', '.join(ignored)}")
    where = f"{source}, {chosen}" if len(headers) > 1 else str(source)
    blocks = partial(read_blocks, source, chosen + ".npy")
    stream = stack(Origin.NPZ, source, where, headers[chosen], blocks, options, labels, names, first)
    for noun, array, values in (("label", label, labels), ("name", name, names)):
        if values is not None and len(values) != stream.count:
            raise OptionError(
                f"{source}: {array} holds {len(values)} {noun}s for {stream.count} images: give one {noun} for each image"
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
    """A stream of the images of an array.

    Args:
        origin: the kind of file that holds the array.
        source: the file.
        where: file and array, for messages.
        header: of the array.
        blocks: called with the number of a row; gives the rows from there on, some at a time.
        options: uses ``shape``, ``convert`` and ``say``.
        labels: of all images, shape ``(N,)``, or None.
        names: of all images, or None.
        first: images to skip.

    Raises:
        ImageError, LimitError: as :func:`array_stream`.
    """
    shape, _, dtype = header
    layout = layout_of(where, shape, options.shape, None if labels is None else len(labels))
    count, height, width = layout.shape
    if count and not math.prod(layout.shape):
        raise ImageError(f"{where} has shape {shape}: the sides of images must not be 0")
    if height * width > PIXELS_MAX:  # checked before reading: a few bytes can claim all memory
        raise LimitError(f"{where} has images of {width}x{height}: more than {PIXELS_MAX} pixels")
    levels = levels_of(where, dtype, blocks(0), options.convert)
    if layout.guess is not None:
        options.say(f"{where} has shape {shape}: {layout.guess}")
    if levels.guess is not None:
        options.say(f"{where} holds {levels.guess}")
    size = (height, width)
    first_row = first if shape[0] == count else 0

    def items() -> Iterator[Item]:
        with Renamer(str(source), options.say) as renamer:
            images = islice(_images(blocks(first_row), layout, levels), first - first_row, None)
            for number, image in enumerate(images, first):
                name = "" if names is None else renamer.safe(names[number])
                yield Item(image, name, None if labels is None else int(labels[number]), f"{source}, image {number}")

    return Stream(origin, count, names is not None, labels is not None, items(), size if min(size) else None)


def _images(blocks: Blocks, layout: Layout, levels: Levels) -> Iterator[Pixels]:
    """The images in blocks of rows; one image may take many rows, and one row may hold many images."""
    _, height, width = layout.shape
    image_size = height * width
    pending: list[NDArray[np.uint8]] = []  # the beginning of an image
    size = 0
    for block in blocks:
        pending.append(levels.of(block).reshape(-1))
        size += pending[-1].size
        if size < image_size or not image_size:
            continue
        grey = pending[0] if len(pending) == 1 else np.concatenate(pending)
        complete = size // image_size * image_size
        yield from grey[:complete].reshape(-1, height, width)
        pending, size = [grey[complete:]], size - complete


def _described(header: Header) -> str:
    return f"{header[2]}{list(header[0])}"


def _words(entry: str) -> list[str]:
    """The words of an array's name: ``x_train`` has x and train."""
    return [word for word in re.split(r"[^a-z0-9]+", entry.lower()) if word]


def _has(entry: str, words: tuple[str, ...]) -> bool:
    return not set(words).isdisjoint(_words(entry))


def _part(entry: str) -> tuple[str, ...]:
    """A name without the usual words: train for ``x_train`` and for ``y_train``."""
    return tuple(word for word in _words(entry) if word not in {*IMAGE_WORDS, *LABEL_WORDS, *NAME_WORDS})


def _choose(source: Input, headers: dict[str, Header], array: str | None) -> str:
    """The array of images: ``array`` if the user names one, else the only one with a usual name, else the only one."""
    content = ", ".join(f"{entry} {_described(header)}" for entry, header in headers.items()) or "no arrays"
    if array is not None:
        if array not in headers:
            raise OptionError(f"{source} has no array {array}: it holds {content}")
        _require_no_objects(source, array, headers)
        return array
    possible = [entry for entry, (shape, _, dtype) in headers.items() if _may_be_images(shape, dtype)]
    possible = [entry for entry in possible if not _has(entry, (*LABEL_WORDS, *NAME_WORDS))]
    plain = [entry for word in IMAGE_WORDS for entry in possible if _words(entry) == [word]]
    usual = [entry for entry in possible if _has(entry, IMAGE_WORDS)]
    bytewise = [entry for entry in possible if headers[entry][2] == np.uint8]
    candidates = plain[:1] or usual or bytewise or possible
    if not candidates:
        for entry in headers:
            _require_no_objects(source, entry, headers)
        hint = "" if headers else ": if it holds image files, unpack it and give the folder"
        raise ImageError(f"{source} holds {content}: none is an array of images, uint8 (N, H, W){hint}")
    if len(candidates) > 1:
        choices = " or ".join(f"--array {entry}" for entry in candidates)
        raise ImageError(f"{source} holds several arrays: {content}: choose the images with {choices}")
    return candidates[0]


def _may_be_images(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return len(shape) in (2, 3, 4) and dtype.kind in "biuf" and not (len(shape) == 2 and shape[1] == 1)


def _require_no_objects(source: Input, entry: str, headers: dict[str, Header]) -> None:
    if headers[entry][2].hasobject:
        raise FormatError(
            f"{source}: {entry} holds Python objects, which mnistzip does not load: save it as an array of numbers or text"
        )


def _partner(image: str, headers: dict[str, Header], words: tuple[str, ...]) -> str | None:
    """The array of labels or names that belongs to an array of images by its name: ``y_train`` belongs to ``x_train``."""
    part = _part(image) if _has(image, IMAGE_WORDS) else ()
    others = [entry for entry in headers if entry != image and _part(entry) == part]
    matches = [entry for word in words for entry in others if word in _words(entry)]
    if matches:
        return matches[0]
    second = headers.get("arr_1") if image == "arr_0" and words is LABEL_WORDS else None  # np.savez(file, images, labels)
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
        raise LimitError(f"{source}: {entry} has more than {LABEL_FILE_MAX} bytes, the limit for names")
    with archive.open(entry + ".npy") as file:
        names = npy.read_array(file, allow_pickle=False)
    return [name.decode() if isinstance(name, bytes) else name for name in names.tolist()]
