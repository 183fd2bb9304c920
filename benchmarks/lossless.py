"""Measure lossless files: size compared with the ideal code length, speed, and unusual images. For docs/lossless.md.

    python benchmarks/lossless.py t10k-images-idx3-ubyte.gz [COUNT]

Every file is decoded and compared. Times are processor time of all threads.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.models.pixel.planes import TILE_PIXELS, Plane
from mnistzip.models.registry import shipped
from mnistzip.types import Pixels

PART = 1000
ODD = 1000  # images of each transformation
SINGLE = 50  # images encoded one by one

WAYS: dict[str, Callable[[Pixels], Pixels]] = {
    "as they are": lambda x: x,
    "shifted by 3 down, 2 right": lambda x: np.roll(x, (3, 2), (1, 2)),
    "rotated by 90 degrees": lambda x: np.rot90(x, axes=(1, 2)),
    "mirrored": lambda x: x[:, :, ::-1],
    "inverted": lambda x: 255 - x,
    "half as bright": lambda x: x // 2,
}


def single(x: Pixels) -> tuple[float, float, float]:
    """Mean bytes, and images per second of processor time to encode and to decode."""
    size, encoding, decoding = 0, 0.0, 0.0
    for start in range(0, len(x), PART):
        part = x[start : start + PART]
        began = time.process_time()
        files = mnistzip.encode_many(part, lossless=True)
        between = time.process_time()
        decoded = mnistzip.decode_many(files)
        encoding, decoding = encoding + between - began, decoding + time.process_time() - between
        assert (np.stack(decoded) == part).all()
        size += sum(map(len, files))
    return size / len(x), len(x) / encoding, len(x) / decoding


def ideal(x: Pixels) -> NDArray[np.float64]:
    """Mean ideal bytes of each plane."""
    model = shipped("mnist").pixels
    bits = np.zeros(len(Plane))
    for start in range(0, len(x), PART):
        part = x[start : start + PART]
        intervals = model.intervals(part, np.ones((len(part), TILE_PIXELS), bool))
        bits += np.bincount(intervals.plane, weights=16 - np.log2(intervals.freq), minlength=len(Plane))
    return bits / 8 / len(x)


def main() -> None:
    x = read_idx(Path(sys.argv[1]))[: int(sys.argv[2]) if len(sys.argv) > 2 else None]
    for name, way in WAYS.items():
        images = np.ascontiguousarray(way(x if name == "as they are" else x[:ODD]))
        size, encoded, decoded = single(images)
        parts = ideal(images)
        planes = ", ".join(f"{plane.name.lower()} {part:.2f}" for plane, part in zip(Plane, parts, strict=True))
        print(
            f"{len(images)} images {name}: files of {size:.2f} B; ideal {parts.sum():.2f} B ({planes}), "
            f"{parts.sum() / 98:.4f} bits a pixel; {encoded:.0f}/s encoded, {decoded:.0f}/s decoded",
            flush=True,
        )
    archive = mnistzip.encode_archive(x, lossless=True)
    assert (np.stack(list(mnistzip.Archive(archive))) == x).all()
    print(f"in an archive: {len(archive) / len(x):.2f} B")
    files = [mnistzip.encode(image, lossless=True) for image in x[:SINGLE]]
    began = time.perf_counter()
    files = [mnistzip.encode(image, lossless=True) for image in x[:SINGLE]]
    between = time.perf_counter()
    for file in files:
        mnistzip.decode(file)
    ended = time.perf_counter()
    each = [1e3 * seconds / SINGLE for seconds in (between - began, ended - between)]
    print(f"one by one: {each[0]:.1f} ms to encode, {each[1]:.1f} ms to decode")


if __name__ == "__main__":
    main()
