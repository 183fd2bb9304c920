"""Read IDX files, the format of the MNIST files, plain or gzipped.

An IDX file holds two zero bytes, a byte for the type (8 = uint8), a byte for the number of dimensions, each dimension as a
big-endian 32-bit number, then the elements. Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import FormatError
from mnistzip.limits import IDX_FILE_MAX, IDX_IMAGE_MAX

UINT8 = 8
INT32 = 12
TYPES = {UINT8: "u1", 9: "i1", 11: ">i2", INT32: ">i4", 13: ">f4", 14: ">f8"}
GZIP = b"\x1f\x8b"
CHUNK_BYTES = 1 << 20  # read at a time


class Readable(Protocol):
    """A source of an IDX file: a path, or another object that opens repeatedly and whose ``str()`` names it in errors."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Open the content at its beginning."""


def read_idx(path: str | Readable) -> NDArray[np.uint8]:
    """Read an IDX file of uint8, plain or gzipped.

    Args:
        path: of the file, a string or a :class:`pathlib.Path`.

    Returns:
        uint8 array, of shape ``(N, H, W)`` for images and ``(N,)`` for labels.

    Raises:
        FormatError: the file is not IDX, has another type than uint8, has more than 2 GiB, or its size does not match its
            dimensions.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels-idx1-ubyte"
        ...     _ = path.write_bytes(bytes.fromhex("00000801 00000003 05 00 04"))
        ...     read_idx(path)
        array([5, 0, 4], dtype=uint8)
    """
    path = Path(path) if isinstance(path, str) else path
    shape = idx_shape(path)
    if math.prod(shape) > IDX_FILE_MAX:
        raise FormatError(f"{path}: {shape} is more than {IDX_FILE_MAX} bytes")
    out = np.empty(shape, np.uint8)  # pages are allocated as they are filled
    row = 0
    for chunk in idx_blocks(path):
        out[row : row + len(chunk)] = chunk
        row += len(chunk)
    return out


def idx_shape(path: Readable) -> tuple[int, ...]:
    """The dimensions of an IDX file of uint8.

    Raises:
        FormatError: the file is not IDX, has another type, or is cut short.
    """
    shape, dtype = idx_type(path)
    if dtype != np.uint8:
        raise FormatError(f"{path} is an IDX file of {dtype.name}: images must be uint8: write them as that type")
    return shape


def idx_type(path: Readable) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The dimensions and the element type of an IDX file.

    Raises:
        FormatError: the file is not IDX, or is cut short.
    """
    with _opened(path) as stream:
        return _read_header(path, stream)


def idx_blocks(path: Readable, first: int = 0) -> Iterator[NDArray[Any]]:
    """Read an IDX file of any type in chunks of about 1 MiB along its first dimension.

    Args:
        path: plain or gzipped.
        first: index along the first dimension to begin at.

    Yields:
        arrays of shape ``(n, ...)`` in the file's type.

    Raises:
        FormatError: the file is not IDX, or its size does not match its dimensions.
    """
    with _opened(path) as stream:
        shape, dtype = _read_header(path, stream)
        total = math.prod(shape) * dtype.itemsize
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        step = max(1, CHUNK_BYTES // max(row_bytes, 1))
        stream.seek(first * row_bytes, os.SEEK_CUR)
        for start in range(first, shape[0] if shape else 0, step):
            count = min(step, shape[0] - start)
            body = stream.read(count * row_bytes)
            if len(body) != count * row_bytes:
                size = start * row_bytes + len(body)
                raise FormatError(f"{path}: {size} bytes of data for the shape {shape} of {dtype.name}, which has {total}")
            yield np.frombuffer(body, dtype).reshape(count, *shape[1:])
        if stream.read(1):
            raise FormatError(f"{path}: {total + 1} or more bytes of data for the shape {shape}, which has {total}")


def is_idx(start: bytes) -> bool:
    """Whether a file begins as an IDX file of any type; TGA files, which begin alike, have a zero where IDX has dimensions."""
    return len(start) >= 4 and start[:2] == b"\0\0" and start[2] in TYPES and 1 <= start[3] <= 8


def idx_header(shape: Sequence[int], kind: int = UINT8) -> bytes:
    """The header of an IDX file: everything before the elements."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)


def peek(path: Readable, count: int) -> bytes:
    """The first bytes of a file's content; of a gzipped file, those of the unpacked content.

    Raises:
        FormatError: the gzip data is damaged.
    """
    with _opened(path) as stream:
        return stream.read(count)


@contextmanager
def _opened(path: Readable) -> Iterator[IO[bytes]]:
    """Open the content of a file, unpacked if it is gzipped."""
    import gzip  # few inputs are IDX files

    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP
    try:
        with path.open("rb") as plain, gzip.GzipFile(fileobj=plain) if is_gzip else plain as stream:
            yield stream  # type: ignore[misc]  # a GzipFile reads like any binary file
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise FormatError(f"{path}: damaged gzip: {cause}") from cause


def _read_header(path: Readable, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
        raise FormatError(f"{path}: not an IDX file (it begins with {start.hex(' ') or 'nothing'})")
    raw = stream.read(4 * start[3])
    if len(raw) < 4 * start[3]:
        raise FormatError(f"{path}: cut short in its dimensions")
    shape = struct.unpack(f">{start[3]}I", raw)
    if math.prod(shape[1:]) > IDX_IMAGE_MAX:
        raise FormatError(f"{path}: images of {shape[1:]} are larger than {IDX_IMAGE_MAX} pixels")
    return shape, np.dtype(TYPES[start[2]])
