"""Compare the speed of mnistzip with WebP and PNG of Pillow in one run; results go to ``docs/performance.json``.

    OPENBLAS_NUM_THREADS=1 python benchmarks/speed.py t10k-images-idx3-ubyte.gz [--count 4096] [--profile WHAT]

Batches: images per second of processor time over all threads, the best of some runs, and the ratio to the peer. One warm call
and a cold start of the command: wall-clock time. ``--profile 'mnist-e0 encode'`` prints a profile of one row instead.
"""

from __future__ import annotations

import cProfile
import io
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.types import Pixels

RESULTS = Path(__file__).parents[1] / "docs" / "performance.json"
RUNS = 3
SLOW = 8  # rows with a search use this many times fewer images
STARTS = 15
OURS: dict[str, dict[str, Any]] = {
    "mnist-e0": {"effort": 0, "model": "mnist"},
    "mnist": {"model": "mnist"},
    "mnist-fast-e0": {"effort": 0, "model": "mnist-fast"},
    "mnist-fast": {"model": "mnist-fast"},
    "lossless": {"lossless": True, "model": "mnist"},
    "mnist-fast-lossless": {"lossless": True, "model": "mnist-fast"},
}
PEERS: dict[str, dict[str, Any]] = {
    "webp": {"format": "WEBP", "quality": 10, "method": 4},
    "webp-lossless": {"format": "WEBP", "lossless": True, "method": 4},
    "png": {"format": "PNG"},
}

Files = Sequence[bytes]


def pillow_encode(options: dict[str, Any], images: Pixels) -> list[bytes]:
    """Files by Pillow."""
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, **options)
        files.append(out.getvalue())
    return files


def pillow_decode(files: Files) -> list[Pixels]:
    """Decode files by Pillow."""
    return [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files]


def best(work: Callable[[], Any], clock: Callable[[], float], runs: int = RUNS) -> float:
    """The shortest of some runs, in seconds."""
    times = []
    for _ in range(runs):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


def batches(images: Pixels) -> dict[str, dict[str, float]]:
    """Images per second of processor time to encode and decode, for each codec."""
    rows = {}
    for name, options in PEERS.items():
        encode, files = partial(pillow_encode, options, images), pillow_encode(options, images)
        rows[name] = rates(len(images), encode, partial(pillow_decode, files))
    for name, options in OURS.items():
        some = images[: len(images) // SLOW] if options.get("effort") != 0 else images
        encode = partial(mnistzip.encode_many, some, **options)
        rows[name] = rates(len(some), encode, partial(mnistzip.decode_many, encode()))
        peer = rows["webp-lossless" if options.get("lossless") else "webp"]
        for way in ("encode", "decode"):
            rows[name][f"{way}, of WebP's"] = rows[name][way] / peer[way]
    return rows


def rates(count: int, encode: Callable[[], Any], decode: Callable[[], Any]) -> dict[str, float]:
    """Images per second to encode and decode."""
    return {"encode": count / best(encode, time.process_time), "decode": count / best(decode, time.process_time)}


def single(image: Pixels) -> dict[str, dict[str, float]]:
    """Milliseconds of one warm call to encode and to decode."""
    rows = {}
    for name, options in OURS.items():
        file = mnistzip.encode(image, **options)
        rows[name] = {
            "encode_ms": 1000 * best(partial(mnistzip.encode, image, **options), time.perf_counter, 30),
            "decode_ms": 1000 * best(partial(mnistzip.decode, file), time.perf_counter, 30),
        }
    return rows


def cold(image: Pixels) -> dict[str, float]:
    """Wall-clock seconds of a command, and the ratio to its necessary imports."""
    with tempfile.TemporaryDirectory() as folder:
        png, cae, back = (str(Path(folder) / name) for name in ("d.png", "d.cae", "back.png"))
        Image.fromarray(image).save(png)
        imports = started("-c", "import numpy, PIL.Image, click")
        rows = {"imports": imports}
        for name, arguments in {
            "compress": ["compress", "-f", png, "-o", cae],
            "compress -e 0": ["compress", "-f", "-e", "0", png, "-o", cae],
            "decompress": ["decompress", "-f", cae, "-o", back],
            "info": ["info", cae],
        }.items():
            rows[name] = started("-m", "mnistzip", *arguments)
            rows[f"{name}, of the imports"] = rows[name] / imports
        return rows


def started(*arguments: str) -> float:
    """Seconds of Python with some arguments."""
    return best(
        partial(subprocess.run, [sys.executable, *arguments], check=True, capture_output=True), time.perf_counter, STARTS
    )


def threads(images: Pixels) -> dict[str, float]:
    """Wall-clock seconds of the command for many images with one and two threads."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.npy", Path(folder) / "out.cae"
        np.save(source, images)
        rows = {}
        for count in (1, 2):
            arguments = ["compress", "-f", "--quiet", "-e", "1", "-T", str(count), str(source), "-o", str(out)]
            rows[f"-T{count}"] = best(
                partial(subprocess.run, [sys.executable, "-m", "mnistzip", *arguments], check=True), time.perf_counter
            )
        return rows | {"-T1 over -T2": rows["-T1"] / rows["-T2"]}


def rounded(value: Any) -> Any:
    """Round every number to four digits."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


@click.command()
@click.argument("images", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=4096, show_default=True, help="Images of a batch.")
@click.option("--profile", metavar="ROW encode|decode", help="Print the profile of one row.")
def main(images: Path, count: int, profile: str | None) -> None:
    pixels = read_idx(images)[:count]
    mnistzip.decode_many(mnistzip.encode_many(pixels[:8]))  # loads the model
    if profile:
        name, way = profile.split()
        some = pixels[: count // SLOW] if OURS[name].get("effort") != 0 else pixels
        files = mnistzip.encode_many(some, **OURS[name])
        with cProfile.Profile() as profiler:
            _ = mnistzip.encode_many(some, **OURS[name]) if way == "encode" else mnistzip.decode_many(files)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(20)
        return
    figures = {
        "images": count,
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
        "a batch, images a second of processor time": batches(pixels),
        "one digit, warm, ms": single(pixels[0]),
        "cold start, s": cold(pixels[0]),
        "threads, s": threads(pixels),
    }
    RESULTS.write_text(json.dumps(rounded(figures), indent=1) + "\n")
    click.echo(RESULTS.read_text())


if __name__ == "__main__":
    main()
