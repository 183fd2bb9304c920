"""Prepared models that the build stores next to the model files of the package: ``NAME.prepared`` next to ``NAME.npz``.

A stored model saves the native engine the time to read and prepare a model file. It is only a cache. A line of text comes
first: the version of the layout, the version of the package, the byte order, the SHA-256 of the model file, and the SHA-256 of
the prepared model, which follows. A stored model is used only if all of them are as expected, otherwise the model file is read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mnistzip

LAYOUT = 1  # version of the layout of prepared models, which engine/model.c reads
ALIGNMENT, RECORD = 64, 16  # bytes, and numbers of a record
QUALITIES, CHANNELS = 100, 4
PIXELS_FIELD = 8  # of the first record: whether there is a pixel model
LMBDA_OFFSET = ALIGNMENT + 2 * 4 * QUALITIES * CHANNELS  # bytes; two tables of numbers precede it
SUFFIX = ".prepared"

Content = bytes | memoryview


def header(model_file: bytes, prepared: Content) -> bytes:
    """The first line of a stored model; its length is the same for all models."""
    import hashlib

    digests = (hashlib.sha256(content).hexdigest() for content in (model_file, prepared))
    return f"mnistzip prepared model {LAYOUT} {mnistzip.__version__} {sys.byteorder} {' '.join(digests)}\n".encode()


def read(path: Path, model_file: bytes) -> memoryview | None:
    """The prepared model that is stored for a model file; None if there is none, or if it was made from something else."""
    try:
        stored = memoryview(path.read_bytes())
    except OSError:
        return None
    size = len(header(b"", b""))
    return stored[size:] if stored[:size] == header(model_file, stored[size:]) else None


def write(path: Path, model_file: bytes, prepared: bytes) -> None:
    """Store a prepared model."""
    from mnistzip.storage.atomic import AtomicFile

    with AtomicFile(path) as file:
        file.write(header(model_file, prepared) + prepared)


def lmbda_of(prepared: Content) -> NDArray[np.int64]:
    """The weight of the squared error for each quality, shape ``(100,)``."""
    return np.frombuffer(prepared, np.int32, QUALITIES, LMBDA_OFFSET).astype(np.int64)


def has_pixel_model(prepared: Content) -> bool:
    """Whether there is a pixel model."""
    return bool(np.frombuffer(prepared, np.int32, RECORD)[PIXELS_FIELD])
