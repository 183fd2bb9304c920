"""Measure lossless files of sets like MNIST: bytes and bits per pixel of mnistzip and of other codecs.

    python benchmarks/lossless_sets.py Fashion-MNIST=t10k-images-idx3-ubyte.gz      # writes docs/lossless-sets.json

Every file of mnistzip is decoded and compared. Times are processor time of all threads.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

import mnistzip
from lossless import archive_bytes, files_of
from mnistzip.idx import read_idx
from mnistzip.types import Pixels

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
    files = files_of(x, "auto")
    return {
        "images": len(x),
        "pixels": x[0].size,
        "files": files["bytes"],
        "archive": round(archive_bytes(x) / len(x), 2),
        "encode": files["encode"],
        "decode": files["decode"],
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
