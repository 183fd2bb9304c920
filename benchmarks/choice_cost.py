"""Measure the cost of the choice among models for digits: the default ``auto`` compared with ``mnist`` alone.

    python benchmarks/choice_cost.py train-images-idx3-ubyte.gz --first 55000 --count 600

Bytes are of whole files. Seconds are processor time, for both models in one process. Prints a table in Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.types import Pixels

MODELS = ("mnist", "auto")
RUNS = 3
WAYS: tuple[dict[str, Any], ...] = (
    *({"quality": quality, "effort": 3} for quality in (10, 25, 50, 75, 100)),
    *({"quality": quality, "effort": 0} for quality in (50, 100)),
    {"lossless": True},
)


def measure(images: Pixels, way: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Mean bytes, PSNR and processor seconds of each model; seconds are the least of some alternating runs."""
    seconds = dict.fromkeys(MODELS, float("inf"))
    files: dict[str, list[bytes]] = {}
    for _ in range(RUNS):
        for model in MODELS:
            began = time.process_time()
            files[model] = mnistzip.encode_many(images, model=model, **way)
            seconds[model] = min(seconds[model], time.process_time() - began)
    return {
        model: (
            sum(map(len, files[model])) / len(images),
            mnistzip.psnr(images, np.stack(mnistzip.decode_many(files[model]))),
            seconds[model],
        )
        for model in MODELS
    }


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
        (size, decibels, seconds), (other_size, other_decibels, other_seconds) = measure(images, way).values()
        name = "lossless" if "lossless" in way else f"quality {way['quality']}, effort {way['effort']}"
        change, factor = other_size / size - 1, other_seconds / seconds
        quality = [", lossless" if math.isinf(value) else f", {value:.2f} dB" for value in (decibels, other_decibels)]
        both = f"{size:.2f} B{quality[0]} | {other_size:.2f} B{quality[1]}"
        print(f"| {name} | {both} | {change:+.2%} | {factor:.2f}x |")


if __name__ == "__main__":
    main()
