"""What files hold, by their names and first bytes; nothing of them is read that need not be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mnistzip.container import is_archive
from mnistzip.data.images import STREAM
from mnistzip.idx import GZIP, UINT8

ARRAY_SUFFIXES = {".npy", ".npz"}
PARQUET_SUFFIX = ".parquet"
START = 4  # bytes that tell what a file is


def walk(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Files with such suffixes in a folder and below, in order of their paths."""
    wanted = set(suffixes)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() in wanted:
            yield path


def holds_many(name: str) -> bool:
    """Whether a file is of a kind that holds many images: IDX, an array, Parquet, or an archive."""
    path = Path(name)
    if name == STREAM or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(START)
    many = path.suffix.lower() in {*ARRAY_SUFFIXES, PARQUET_SUFFIX} or is_archive(start)
    return many or start[:2] == GZIP or start[:3] == bytes([0, 0, UINT8])


def leads_to_archive(path: str | Path) -> bool:
    """Whether a file begins as an archive of many images does."""
    with open(path, "rb") as file:
        return is_archive(file.read(START))
