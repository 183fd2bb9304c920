"""Read IDX files, the format MNIST comes in, plain or gzipped.

The format: two zero bytes, a byte for the type (8 = uint8), a byte for the number of dimensions, each dimension as a
big-endian 32-bit number, then the elements. Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import FormatError

UINT8 = 8
GZIP = b"\x1f\x8b"
BYTES_MAX = 1 << 31


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of uint8: for images shape ``(N, H, W)``, for labels ``(N,)``.

    Raises:
        FormatError: not IDX, another type than uint8, or fewer or more bytes than its dimensions say.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP
    opener = gzip.open if zipped else open
    try:
        with opener(path, "rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:3] != bytes([0, 0, UINT8]):
                raise FormatError(f"{path}: not an IDX file of uint8 (it begins with {head.hex(' ')})")
            raw = stream.read(4 * head[3])
            if len(raw) < 4 * head[3]:
                raise FormatError(f"{path}: cut short in its dimensions")
            shape = struct.unpack(f">{head[3]}I", raw)
            count = math.prod(shape)
            if count > BYTES_MAX:
                raise FormatError(f"{path}: {shape} is more than {BYTES_MAX} bytes")
            body = stream.read(count + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise FormatError(f"{path}: damaged gzip: {cause}") from cause
    if len(body) != count:
        raise FormatError(f"{path}: {len(body)} or more bytes of data for the shape {shape}, which has {count}")
    return np.frombuffer(body, np.uint8).reshape(shape).copy()
