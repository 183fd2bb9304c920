"""Prepared models that the build stores next to the model files of the package: ``NAME.prepared`` next to ``NAME.npz``.

A stored model saves the native engine the time to read and prepare a model file. It is only a cache, mapped into memory. It
begins with the version of the layout, the version of the package, the byte order and the CRC-32 of the prepared model, in a
line of text. The directory of the model file follows: names, sizes and CRC-32 of all arrays in it. Zeros fill the rest up to a
multiple of 64 bytes, and the prepared model follows. A stored model is used only if all of this is as expected, otherwise the
model file is read.
"""

from __future__ import annotations

import mmap
import os
import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mnistzip

LAYOUT = 3  # version of the layout of prepared models, which engine/model.c reads
ALIGNMENT, RECORD = 64, 16  # bytes, and numbers of a record
QUALITIES = 100
PIXELS_FIELD, KIND_FIELD = 8, 9  # of the first record: whether there is a pixel model, and the kind of the model
GREY_KIND, BITMAP_KIND = 1, 2  # it codes whole images, or the bitmaps of digits; 0 codes tiles
CHANNELS = {0: 4, GREY_KIND: 16}  # of the latent
SUFFIX = ".prepared"
ZIP_END_BYTES = 22  # the last record of a zip file, with the size of its directory in 4 bytes at 12

Content = bytes | memoryview


def zip_directory(path: Path) -> bytes:
    """The end of a zip file without a comment: its directory, with the CRC-32 of everything in it, and the last record.

    Raises:
        OSError: the file cannot be read, or is too short.
    """
    with path.open("rb") as file:
        file.seek(-ZIP_END_BYTES, os.SEEK_END)
        size = int.from_bytes(file.read()[12:16], "little")
        file.seek(-ZIP_END_BYTES - size, os.SEEK_END)
        return file.read()


def header(directory: bytes, prepared: Content) -> bytes:
    """What precedes a prepared model that was made from a model file with such a directory."""
    line = f"mnistzip prepared model {LAYOUT} {mnistzip.__version__} {sys.byteorder} {zlib.crc32(prepared):08x}\n"
    content = line.encode() + directory
    return content + bytes(-len(content) % ALIGNMENT)


def read(path: Path, model_file: Path) -> memoryview | None:
    """The prepared model that is stored for a model file; None if there is none, or if it was made from something else."""
    try:
        directory = zip_directory(model_file)
        with path.open("rb") as file:
            stored = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):  # ValueError: it is empty
        return None
    size = len(header(directory, b""))
    return stored[size:] if stored[:size] == header(directory, stored[size:]) else None


def write(path: Path, model_file: Path, prepared: bytes) -> None:
    """Store the prepared model of a model file."""
    from mnistzip.storage.atomic import AtomicFile

    with AtomicFile(path) as file:
        file.write(header(zip_directory(model_file), prepared) + prepared)


def lmbda_of(prepared: Content) -> NDArray[np.int64]:
    """The weight of the squared error for each quality, shape ``(100,)``."""
    channels = CHANNELS[int(np.frombuffer(prepared, np.int32, RECORD)[KIND_FIELD])]
    offset = ALIGNMENT + 2 * 4 * QUALITIES * channels  # bytes: the first record and two tables of numbers precede it
    return np.frombuffer(prepared, np.int32, QUALITIES, offset).astype(np.int64)


def has_pixel_model(prepared: Content) -> bool:
    """Whether there is a pixel model."""
    return bool(np.frombuffer(prepared, np.int32, RECORD)[PIXELS_FIELD])
