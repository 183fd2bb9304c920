"""Compare lossless files with WebP and JPEG XL, and files with a bounded error with near-lossless JPEG-LS, on small pictures.

    python benchmarks/picture_sets.py runs/sets
    python benchmarks/bounded.py runs/sets/report          # writes docs/bounded.json; update_readme writes the page

Sizes are means of whole files. Every decoded picture is compared with its original.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

import mnistzip
from mnistzip.types import Pixels

BOUNDS = (1, 2, 4, 8, 16)
RESULTS = Path(__file__).parents[1] / "docs" / "bounded.json"


def mean_bytes(files: list[bytes], images: list[Pixels], decoded: list[Pixels], bound: int) -> float:
    """The mean size of files; an error if a pixel is further from the original than the bound."""
    for image, other in zip(images, decoded, strict=True):
        if np.abs(image.astype(np.int64) - other).max() > bound:
            raise ValueError(f"a pixel differs by more than {bound}")
    return round(sum(map(len, files)) / len(files), 1)


def peers(images: list[Pixels]) -> dict[str, float]:
    """Mean bytes of lossless files of WebP, method 6, and of JPEG XL, effort 9 and 7."""
    webp = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "WEBP", lossless=True, quality=100, method=6)
        webp.append(out.getvalue())
    row = {"webp": mean_bytes(webp, images, [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in webp], 0)}
    for effort in (9, 7):
        files = [imagecodecs.jpegxl_encode(image, lossless=True, effort=effort, usecontainer=False) for image in images]
        row[f"jxl {effort}"] = mean_bytes(files, images, [imagecodecs.jpegxl_decode(file) for file in files], 0)
    return row


def measure(images: list[Pixels]) -> dict[str, Any]:
    """Mean bytes of lossless files, and at each bound those of mnistzip and of JPEG-LS."""
    exact = mnistzip.encode_many(images, lossless=True)
    ours_exact = mean_bytes(exact, images, mnistzip.decode_many(exact), 0)
    others = peers(images)
    row: dict[str, Any] = {"images": len(images), "lossless": [ours_exact, min(others.values())], "peers": others}
    for bound in BOUNDS:
        ours = mnistzip.encode_many(images, max_error=bound)
        peer = [imagecodecs.jpegls_encode(np.ascontiguousarray(image), level=bound) for image in images]
        row[f"bound {bound}"] = [
            mean_bytes(ours, images, mnistzip.decode_many(ours), bound),
            mean_bytes(peer, images, [imagecodecs.jpegls_decode(file) for file in peer], bound),
        ]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", type=Path)
    folder = parser.parse_args().sets
    sets = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            sets[path.stem] = measure([arrays[name] for name in arrays.files])
        print(path.stem, sets[path.stem], flush=True)
    content = {"date": datetime.date.today().isoformat(), "bounds": BOUNDS, "sets": sets}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
