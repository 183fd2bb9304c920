"""Measure lossless files of sets like MNIST: bytes and bits per pixel of mnistzip and of other codecs.

    python benchmarks/lossless_sets.py Fashion-MNIST=t10k-images-idx3-ubyte.gz      # writes docs/lossless-sets.json

Every file of mnistzip is decoded and compared. Times are processor time of all threads.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.types import Pixels

PART = 1000
RESULTS = Path(__file__).parents[1] / "docs" / "lossless-sets.json"


def through_pillow(kind: str, **options: Any) -> Callable[[Pixels], int]:
    """The size of a file that Pillow writes."""

    def size(image: Pixels) -> int:
        out = io.BytesIO()
        Image.fromarray(image).save(out, kind, **options)
        return out.tell()

    return size


def jpeg_xl(image: Pixels) -> int:
    """The size of a lossless JPEG XL file at its highest usual effort."""
    import imagecodecs

    return len(imagecodecs.jpegxl_encode(image, lossless=True, effort=9))


OTHERS: dict[str, Callable[[Pixels], int]] = {
    "PNG": through_pillow("PNG", optimize=True),
    "WebP": through_pillow("WEBP", lossless=True, quality=100, method=6),
    "JPEG XL": jpeg_xl,
}


def measure(x: Pixels) -> dict[str, Any]:
    """Mean bytes of files and of an archive, images per second, and what other codecs take."""
    size, encoding, decoding = 0, 0.0, 0.0
    for start in range(0, len(x), PART):
        part = x[start : start + PART]
        began = time.process_time()
        files = mnistzip.encode_many(part, lossless=True)
        between = time.process_time()
        decoded = mnistzip.decode_many(files)
        encoding, decoding = encoding + between - began, decoding + time.process_time() - between
        if not (np.stack(decoded) == part).all():
            raise ValueError("a pixel differs")
        size += sum(map(len, files))
    content = mnistzip.encode_archive(x, lossless=True)
    with mnistzip.Archive(content) as archive:
        if not all(np.array_equal(image, other) for image, other in zip(x, archive, strict=True)):
            raise ValueError("a pixel of the archive differs")
    return {
        "images": len(x),
        "pixels": x[0].size,
        "files": round(size / len(x), 2),
        "archive": round(len(content) / len(x), 2),
        "encode": round(len(x) / encoding),
        "decode": round(len(x) / decoding),
        "others": {name: round(sum(map(size_of, x)) / len(x), 2) for name, size_of in OTHERS.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="+", metavar="NAME=FILE", help="IDX files of test images")
    arguments = parser.parse_args()
    sets = {name: Path(path) for name, path in (each.split("=", 1) for each in arguments.sets)}
    results: dict[str, Any] = {
        "measured": datetime.date.today().isoformat(),
        "command": "python benchmarks/lossless_sets.py " + " ".join(f"{name}={path.name}" for name, path in sets.items()),
        "engine": str(mnistzip.engine()),
        "sets": {},
    }
    for name, path in sets.items():
        results["sets"][name] = measure(read_idx(path))
        print(name, results["sets"][name], flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
