"""Read IDX files, the format MNIST comes in, plain or gzipped.

The format: two zero bytes, a byte for the type (8 = uint8), a byte for the number of dimensions, each dimension as a
big-endian 32-bit number, then the elements. Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import FormatError
from mnistzip.limits import IDX_FILE_MAX, IDX_IMAGE_MAX

UINT8 = 8
INT32 = 12
TYPES = {UINT8: "u1", 9: "i1", 11: ">i2", INT32: ">i4", 13: ">f4", 14: ">f8"}
GZIP = b"\x1f\x8b"
BLOCK_BYTES = 1 << 20


class Readable(Protocol):
    """What an IDX file is read from: a path, or anything else that can be opened more than once and names itself."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """The content from its beginning."""


def read_idx(path: Readable) -> NDArray[np.uint8]:
    """The array of an IDX file of uint8: for images shape ``(N, H, W)``, for labels ``(N,)``.

    Raises:
        FormatError: not IDX, another type than uint8, or fewer or more bytes than its dimensions say.
    """
    shape = idx_shape(path)
    if math.prod(shape) > IDX_FILE_MAX:
        raise FormatError(f"{path}: {shape} is more than {IDX_FILE_MAX} bytes")
    out = np.empty(shape, np.uint8)  # memory is taken as it is filled
    at = 0
    for block in idx_blocks(path):
        out[at : at + len(block)] = block
        at += len(block)
    return out


def idx_shape(path: Readable) -> tuple[int, ...]:
    """The dimensions of an IDX file of uint8.

    Raises:
        FormatError: not IDX, another type than uint8, or cut short.
    """
    shape, dtype = idx_type(path)
    if dtype != np.uint8:
        raise FormatError(f"{path} is an IDX file of {dtype.name}: images must be uint8: write them as that type")
    return shape


def idx_type(path: Readable) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The dimensions and the type of an IDX file of any type.

    Raises:
        FormatError: not IDX, or cut short.
    """
    with _opened(path) as stream:
        return _read_head(path, stream)


def idx_blocks(path: Readable, first: int = 0) -> Iterator[NDArray[Any]]:
    """The array of an IDX file of any type, so many along its first dimension at a time that a block has about a MiB.

    Args:
        path: plain or gzipped.
        first: where along the first dimension to begin.

    Raises:
        FormatError: not IDX, or fewer or more bytes than its dimensions say.
    """
    with _opened(path) as stream:
        shape, dtype = _read_head(path, stream)
        total = math.prod(shape) * dtype.itemsize
        each = math.prod(shape[1:]) * dtype.itemsize
        step = max(1, BLOCK_BYTES // max(each, 1))
        stream.seek(first * each, os.SEEK_CUR)
        for start in range(first, shape[0] if shape else 0, step):
            count = min(step, shape[0] - start)
            body = stream.read(count * each)
            if len(body) != count * each:
                held = start * each + len(body)
                raise FormatError(f"{path}: {held} bytes of data for the shape {shape} of {dtype.name}, which has {total}")
            yield np.frombuffer(body, dtype).reshape(count, *shape[1:])
        if stream.read(1):
            raise FormatError(f"{path}: {total + 1} or more bytes of data for the shape {shape}, which has {total}")


def is_idx(start: bytes) -> bool:
    """Whether the first 4 bytes of a file are those of an IDX file of any type; TGA, which begins alike, has no dimensions."""
    return len(start) >= 4 and start[:2] == b"\0\0" and start[2] in TYPES and 1 <= start[3] <= 8


def idx_header(shape: Sequence[int], kind: int = UINT8) -> bytes:
    """What stands before the elements of an IDX file."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)


def peek(path: Readable, count: int) -> bytes:
    """The first bytes of a file's content, which is what a gzipped file holds.

    Raises:
        FormatError: damaged gzip.
    """
    with _opened(path) as stream:
        return stream.read(count)


@contextmanager
def _opened(path: Readable) -> Iterator[IO[bytes]]:
    """The content of a file, gzipped or not."""
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP
    try:
        with path.open("rb") as plain, gzip.GzipFile(fileobj=plain) if zipped else plain as stream:
            yield stream  # type: ignore[misc]  # a GzipFile is as good to read from
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise FormatError(f"{path}: damaged gzip: {cause}") from cause


def _read_head(path: Readable, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES:
        raise FormatError(f"{path}: not an IDX file (it begins with {head.hex(' ') or 'nothing'})")
    raw = stream.read(4 * head[3])
    if len(raw) < 4 * head[3]:
        raise FormatError(f"{path}: cut short in its dimensions")
    shape = struct.unpack(f">{head[3]}I", raw)
    if math.prod(shape[1:]) > IDX_IMAGE_MAX:
        raise FormatError(f"{path}: images of {shape[1:]} are larger than {IDX_IMAGE_MAX} pixels")
    return shape, np.dtype(TYPES[head[2]])
