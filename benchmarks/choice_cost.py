"""What the choice of a model costs where there is nothing to choose: digits by the default and by ``mnist`` alone.

    python benchmarks/choice_cost.py train-images-idx3-ubyte.gz --first 55000 --count 600

Bytes are those of whole files, times those of the processor, both in one process. Prints a table in Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mnistzip
from mnistzip.idx import read_idx

WAYS: tuple[dict[str, Any], ...] = (
    *({"quality": quality, "effort": 3} for quality in (10, 25, 50, 75, 100)),
    *({"quality": quality, "effort": 0} for quality in (50, 100)),
    {"lossless": True},
)


def timed(work: Callable[[], list[bytes]]) -> tuple[list[bytes], float]:
    """Files, and the seconds of the processor that they took, the better of two runs."""
    best = float("inf")
    files: list[bytes] = []
    for _ in range(2):
        began = time.process_time()
        files = work()
        best = min(best, time.process_time() - began)
    return files, best


def main() -> None:
    """Print a row for each way of coding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("images", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=600)
    options = parser.parse_args()
    images = read_idx(options.images)[options.first : options.first + options.count]
    print("| options | `mnist` | default | bytes | time |\n|---|---|---|---|---|")
    for way in WAYS:
        results = []
        for model in ("mnist", "auto"):
            files, seconds = timed(lambda model=model, way=way: mnistzip.encode_many(images, model=model, **way))
            decibels = mnistzip.psnr(images, np.stack(mnistzip.decode_many(files)))
            results.append((sum(map(len, files)) / len(images), decibels, seconds))
        (size, decibels, seconds), (other_size, other_decibels, other_seconds) = results
        name = ", ".join(f"{key} {value}" for key, value in way.items())
        change, factor = other_size / size - 1, other_seconds / seconds
        both = f"{size:.2f} B, {decibels:.2f} dB | {other_size:.2f} B, {other_decibels:.2f} dB"
        print(f"| {name} | {both} | {change:+.2%} | {factor:.2f}x |")


if __name__ == "__main__":
    main()
