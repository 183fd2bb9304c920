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
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import FormatError

UINT8 = 8
GZIP = b"\x1f\x8b"
INT32 = 12
BYTES_MAX = 1 << 31
BLOCK_BYTES = 1 << 20
EACH_MAX = 1 << 26  # bytes of an image


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of uint8: for images shape ``(N, H, W)``, for labels ``(N,)``.

    Raises:
        FormatError: not IDX, another type than uint8, or fewer or more bytes than its dimensions say.
    """
    shape = idx_shape(path)
    if math.prod(shape) > BYTES_MAX:
        raise FormatError(f"{path}: {shape} is more than {BYTES_MAX} bytes")
    out = np.empty(shape, np.uint8)  # memory is taken as it is filled
    at = 0
    for block in idx_blocks(path):
        out[at : at + len(block)] = block
        at += len(block)
    return out


def idx_shape(path: Path) -> tuple[int, ...]:
    """The dimensions of an IDX file of uint8.

    Raises:
        FormatError: not IDX, another type than uint8, or cut short.
    """
    with _opened(path) as stream:
        return _read_shape(path, stream)


def idx_blocks(path: Path, first: int = 0) -> Iterator[NDArray[np.uint8]]:
    """The array of an IDX file, so many along its first dimension at a time that a block has about a MiB.

    Args:
        path: plain or gzipped.
        first: where along the first dimension to begin.

    Raises:
        FormatError: as for :func:`read_idx`.
    """
    with _opened(path) as stream:
        shape = _read_shape(path, stream)
        each = math.prod(shape[1:])
        step = max(1, BLOCK_BYTES // max(each, 1))
        stream.seek(first * each, os.SEEK_CUR)
        for start in range(first, shape[0] if shape else 0, step):
            count = min(step, shape[0] - start)
            body = stream.read(count * each)
            if len(body) != count * each:
                held = start * each + len(body)
                raise FormatError(f"{path}: {held} bytes of data for the shape {shape}, which has {math.prod(shape)}")
            yield np.frombuffer(body, np.uint8).reshape(count, *shape[1:])
        if stream.read(1):
            count = math.prod(shape)
            raise FormatError(f"{path}: {count + 1} or more bytes of data for the shape {shape}, which has {count}")


def idx_header(shape: Sequence[int], kind: int = UINT8) -> bytes:
    """What stands before the elements of an IDX file."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, gzipped or not."""
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP
    try:
        with path.open("rb") as plain, gzip.GzipFile(fileobj=plain) if zipped else plain as stream:
            yield stream  # type: ignore[misc]  # a GzipFile is as good to read from
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise FormatError(f"{path}: damaged gzip: {cause}") from cause


def _read_shape(path: Path, stream: IO[bytes]) -> tuple[int, ...]:
    head = stream.read(4)
    if len(head) < 4 or head[:3] != bytes([0, 0, UINT8]):
        raise FormatError(f"{path}: not an IDX file of uint8 (it begins with {head.hex(' ')})")
    raw = stream.read(4 * head[3])
    if len(raw) < 4 * head[3]:
        raise FormatError(f"{path}: cut short in its dimensions")
    shape = struct.unpack(f">{head[3]}I", raw)
    if math.prod(shape[1:]) > EACH_MAX:
        raise FormatError(f"{path}: images of {shape[1:]} are larger than {EACH_MAX} bytes")
    return shape
