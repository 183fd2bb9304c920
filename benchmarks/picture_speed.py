"""Compare the speed of the model ``grey`` at effort 0 with WebP on pictures of 28x28 and 64x64, in one process on one thread.

    python benchmarks/picture_sets.py runs/sets
    python benchmarks/picture_speed.py runs/sets/report

WebP by Pillow, method 4, at the quality of the nearest mean size. Figures are processor time, the best of several rounds that
take turns.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import mnistzip
from mnistzip.types import Pixels

SETS = ("photos-28x28", "photos-64x64")
QUALITY = 60
ROUNDS = 7


def webp(images: Sequence[Pixels], quality: int) -> list[bytes]:
    """WebP files."""
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "WEBP", quality=quality, method=4)
        files.append(out.getvalue())
    return files


def unwebp(files: Sequence[bytes]) -> list[Pixels]:
    """Pictures of WebP files."""
    return [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files]


def best(*works: Callable[[], object]) -> list[float]:
    """Least processor seconds of each of some works, which take turns."""
    least = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            began = time.process_time()
            work()
            least[number] = min(least[number], time.process_time() - began)
    return least


def main() -> None:
    """Measure both sets, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", type=Path)
    folder = parser.parse_args().sets
    print(f"| pictures | work | grey | WebP | ratio |\n|{'---|' * 5}")
    for name in SETS:
        with np.load(folder / f"{name}.npz") as arrays:
            images = [np.ascontiguousarray(arrays[key]) for key in arrays.files]
        files = mnistzip.encode_many(images, model="grey", quality=QUALITY, effort=0)
        size = sum(map(len, files))
        quality = min(range(0, 100, 5), key=lambda each: abs(sum(map(len, webp(images, each))) - size))
        theirs = webp(images, quality)
        works = {
            "encode": (
                lambda images=images: mnistzip.encode_many(images, model="grey", quality=QUALITY, effort=0),
                lambda images=images, quality=quality: webp(images, quality),
            ),
            "decode": (lambda files=files: mnistzip.decode_many(files), lambda theirs=theirs: unwebp(theirs)),
            "encode one by one": (
                lambda images=images: [mnistzip.encode(image, model="grey", quality=QUALITY, effort=0) for image in images],
                lambda images=images, quality=quality: webp(images, quality),
            ),
            "decode one by one": (
                lambda files=files: [mnistzip.decode(file) for file in files],
                lambda theirs=theirs: unwebp(theirs),
            ),
        }
        for work, pair in works.items():
            ours, other = (seconds / len(images) * 1e3 for seconds in best(*pair))
            print(f"| {name} | {work} | {ours:.3f} ms | {other:.3f} ms | {other / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
