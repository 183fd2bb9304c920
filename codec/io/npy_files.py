"""Headers and numbers of ``.npy`` files and of the arrays in ``.npz`` files."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip.errors import FormatError, LimitError, MnistzipError
from mnistzip.io.inputs import Input

BLOCK_BYTES = 1 << 20  # read at once
WHOLE_MAX = 1 << 28  # bytes of a compressed array that is read as a whole

Blocks = Iterator[NDArray[Any]]
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]  # of an array: shape, whether in Fortran order, type


@contextmanager
def format_errors(source: object, kind: str = "array") -> Iterator[None]:
    """Raise :class:`~mnistzip.errors.FormatError` for every error of zipfile, zlib, tokenize, numpy and Arrow on damage."""
    try:
        yield
    except (MnistzipError, FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
        raise
    except Exception as cause:
        raise FormatError(f"{source} is not a readable {kind}: {cause}") from cause


def read_header(file: IO[bytes]) -> Header:
    """The header of a ``.npy`` file; the file is then at the first number.

    Raises:
        ValueError: the header is damaged.
    """
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    header: Header = read(file)
    if min(header[0], default=0) < 0:
        raise ValueError("its header is damaged")
    return header


def read_numeric_header(file: IO[bytes]) -> Header:
    """The same for an array of numbers or text.

    Raises:
        ValueError: the header is damaged, or the array holds Python objects.
    """
    header = read_header(file)
    if header[2].hasobject:
        raise ValueError("it holds Python objects, which mnistzip does not load")
    return header


def read_blocks(source: Input, entry: str | None, first: int = 0) -> Blocks:
    """The rows of an array from row ``first`` on, about :data:`BLOCK_BYTES` at a time: each of shape ``(rows, ...)``.

    Args:
        source: a ``.npy`` or ``.npz`` file.
        entry: the member of the ``.npz`` file; None for a ``.npy`` file.
        first: rows to skip.

    Raises:
        FormatError: the file is damaged or truncated.
        LimitError: an array in Fortran order is compressed, and too large to read at once.
    """
    with format_errors(source), ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(source.open("rb"))
        if entry is not None:
            file = stack.enter_context(stack.enter_context(zipfile.ZipFile(file)).open(entry))
        shape, fortran, dtype = read_numeric_header(file)
        rows = shape[0] if shape else 1
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        step = max(1, BLOCK_BYTES // max(row_bytes, 1))
        if fortran:  # the numbers of one image are not contiguous
            numbers = _read_whole(source, entry, file, rows * row_bytes).view(dtype).reshape(shape, order="F")
            for start in range(first, rows, step):
                yield np.ascontiguousarray(numbers[start : start + step])
            return
        file.seek(first * row_bytes, os.SEEK_CUR)
        for start in range(first, rows, step):
            count = min(step, rows - start)
            raw = file.read(count * row_bytes)
            if len(raw) != count * row_bytes:
                raise FormatError(f"{source} is truncated: its header says {rows} images, and it holds fewer")
            yield np.frombuffer(raw, dtype).reshape(count, *shape[1:])


def _read_whole(source: Input, entry: str | None, file: IO[bytes], size: int) -> NDArray[np.uint8]:
    """The bytes of all numbers of an array in Fortran order."""
    if entry is not None and size > WHOLE_MAX:  # a few bytes can inflate to all memory
        raise LimitError(
            f"{source}: {entry} is in Fortran order and takes {size} bytes, more than {WHOLE_MAX}: save it in C order, with "
            "numpy.ascontiguousarray"
        )
    content = file.read() if entry is None else file.read(size)
    if len(content) < size:
        raise FormatError(f"{source} is truncated")
    return np.frombuffer(content, np.uint8, size)
