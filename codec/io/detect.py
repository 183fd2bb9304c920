"""The kind of an input: from its first bytes or, if they do not say it, from its name. No more bytes are read."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from mnistzip.bitstream.container import is_archive, is_cae
from mnistzip.idx import GZIP, is_idx, peek
from mnistzip.io.inputs import Input, Piped, open_input

START = 8  # bytes that say the kind of a file
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"RIFF", b"BM")
NPY, ZIP, PARQUET = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06"), b"PAR1"


class Kind(Enum):
    """The kind of an input."""

    IMAGE = "one image"
    ARCHIVE = "an archive"
    IDX = "IDX"
    NPY = "an array"
    NPZ = "several arrays"
    PARQUET = "Parquet"
    GZIP = "a gzipped file"


BY_SUFFIX = {".npy": Kind.NPY, ".npz": Kind.NPZ, ".parquet": Kind.PARQUET}


def kind_of(source: Input) -> Kind:
    """The kind of a file or a pipe.

    Raises:
        FormatError: damaged gzip file.
        OSError: the file cannot be read.
    """
    with source.open("rb") as file:
        start = file.read(START)
    if start[:2] == GZIP:
        return Kind.IDX if is_idx(peek(source, START)) else Kind.GZIP
    if is_archive(start):
        return Kind.ARCHIVE
    if start.startswith(NPY):
        return Kind.NPY
    if start.startswith(ZIP):
        return Kind.NPZ
    if start.startswith(PARQUET):
        return Kind.PARQUET
    if is_idx(start):
        return Kind.IDX
    if start.startswith(PICTURES) or is_cae(start):
        return Kind.IMAGE
    suffix = "" if isinstance(source, Piped) else source.suffix.lower()
    return BY_SUFFIX.get(suffix, Kind.IMAGE)


def holds_many(name: str | Path | Piped) -> bool:
    """Whether a file or a pipe may hold many images: IDX, an array, Parquet, or an archive."""
    if not isinstance(name, Piped) and not Path(name).is_file():
        return False
    return kind_of(open_input(name)) is not Kind.IMAGE


def is_archive_file(path: str | Path) -> bool:
    """Whether a file is an archive, by its first bytes."""
    with open(path, "rb") as file:
        return is_archive(file.read(START))
