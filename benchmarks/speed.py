"""Compare the speed of both engines of mnistzip with WebP and PNG of Pillow in one run.

    OPENBLAS_NUM_THREADS=1 python benchmarks/speed.py t10k-images-idx3-ubyte.gz [--count 4096]

Results go to ``docs/performance.json``. Batches: images per second of processor time, the best of some runs, and the ratio to
the peer. One warm call and a cold start of the command: wall-clock time. ``--profile 'mnist-e0 encode'`` prints a profile of
one row instead.

With a C compiler it also measures how many multiply-adds a second the synthesis reaches, of those that the processor can do
with the same instruction alone (``benchmarks/multiply_limit.c``).
"""

from __future__ import annotations

import cProfile
import io
import json
import pstats
import random
import shutil
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
from mnistzip.engines.choice import current, use
from mnistzip.engines.native_engine import NATIVE, NativeEngine, extension
from mnistzip.idx import read_idx
from mnistzip.models.registry import shipped
from mnistzip.nn.layers import Conv, Residual
from mnistzip.types import Pixels

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "performance.json"
RUNS = 3
SLOW = {"numpy": 8, "native": 4}  # rows with a search use this many times fewer images
STARTS = 15
QUALITY_INDEX = 49
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


def engines() -> list[str]:
    """The engines of this installation."""
    return ["numpy"] if NATIVE is None else ["native", "numpy"]


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


def some_of(images: Pixels, options: dict[str, Any]) -> Pixels:
    """Fewer images for rows that take long."""
    return images if options.get("effort") == 0 else images[: len(images) // SLOW[current().name]]


def peers(images: Pixels) -> dict[str, dict[str, float]]:
    """Images per second of processor time to encode and decode, by Pillow."""
    rows = {}
    for name, options in PEERS.items():
        encode, files = partial(pillow_encode, options, images), pillow_encode(options, images)
        rows[name] = rates(len(images), encode, partial(pillow_decode, files))
    return rows


def batches(images: Pixels, of_peers: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Images per second of processor time to encode and decode, by each of our ways, and the ratio to WebP."""
    rows = {}
    for name, options in OURS.items():
        some = some_of(images, options)
        encode = partial(mnistzip.encode_many, some, **options)
        rows[name] = rates(len(some), encode, partial(mnistzip.decode_many, encode()))
        peer = of_peers["webp-lossless" if options.get("lossless") else "webp"]
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


def of_the_limit(images: Pixels) -> dict[str, dict[str, float]]:
    """Multiply-adds a second of the synthesis of ``mnist``, and of its instruction alone, for each kind of instructions."""
    compiler, module = shutil.which("cc") or shutil.which("gcc"), extension()
    if compiler is None or module is None:
        return {}
    model = shipped("mnist")
    convolutions = [layer for outer in model.transforms.synthesis for layer in getattr(outer, "layers", (outer,))]
    positions = 49
    products = positions * sum(layer.weight.size for layer in convolutions if isinstance(layer, Conv))
    assert all(isinstance(layer, Residual) or not hasattr(layer, "layers") for layer in model.transforms.synthesis)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "multiply_limit")
        subprocess.run([compiler, "-O2", "-o", program, str(ROOT / "benchmarks" / "multiply_limit.c")], check=True)
        quality_index = np.full(len(images), QUALITY_INDEX)
        for instructions in ("avx512", "avx2", "sse2"):
            if instructions not in module.instructions():
                continue
            engine = NativeEngine(module, instructions)
            y = engine.first_latents(model, images, np.ones(images.shape, bool), quality_index)
            seconds = best(partial(engine.synthesize, model, y, quality_index), time.process_time)
            limit = float(subprocess.run([program, instructions], check=True, capture_output=True).stdout)
            reached = products * len(images) / seconds
            rows[instructions] = {"synthesis": reached, "limit": limit, "synthesis, of the limit": reached / limit}
    return rows


def archives(images: Pixels) -> dict[str, float]:
    """Milliseconds of processor time to read one image of an archive, and images a second of iterating."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.cae"
        path.write_bytes(mnistzip.encode_archive(images, labels=[0] * len(images), model="mnist-fast", effort=0))
        chosen = random.Random(0).sample(range(len(images)), 500)
        with mnistzip.Archive(path) as archive:
            one = best(lambda: [archive[index] for index in chosen], time.process_time, 1) / len(chosen)
            iterating = len(images) / best(lambda: list(archive), time.process_time)
        return {"one image, ms": 1000 * one, "iterating, images a second": iterating}


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
    """Wall-clock seconds of functions and of the command for many images, with one and two threads."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.npy", Path(folder) / "out.cae"
        np.save(source, images)
        files = mnistzip.encode_many(images, effort=0, model="mnist")

        def command(count: int) -> None:
            arguments = ["compress", "-f", "--quiet", "-T", str(count), str(source), "-o", str(out)]
            subprocess.run([sys.executable, "-m", "mnistzip", *arguments], check=True)

        works: dict[str, Callable[[int], Any]] = {
            "compress -T": command,
            "encode_many, effort 0": lambda count: mnistzip.encode_many(images, effort=0, model="mnist", threads=count),
            "decode_many": lambda count: mnistzip.decode_many(files, threads=count),
        }
        rows = {}
        for name, work in works.items():
            one, two = (best(partial(work, count), time.perf_counter) for count in (1, 2))
            rows |= {f"{name}, 1 thread": one, f"{name}, 2 threads": two, f"{name}, ratio": one / two}
        return rows


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
        some = some_of(pixels, OURS[name])
        files = mnistzip.encode_many(some, **OURS[name])
        with cProfile.Profile() as profiler:
            _ = mnistzip.encode_many(some, **OURS[name]) if way == "encode" else mnistzip.decode_many(files)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(20)
        return
    of_peers = peers(pixels)
    figures: dict[str, Any] = {
        "images": count,
        "engine": str(mnistzip.engine()),
        "peers, images a second": of_peers,
        "engines": {},
    }
    for name in engines():
        with use(name) as engine:
            figures["engines"][name] = {
                "instructions": engine.instructions,
                "a batch, images a second of processor time": batches(pixels, of_peers),
                "one digit, warm, ms": single(pixels[0]),
            }
    figures |= {
        "multiply-adds a second": of_the_limit(pixels[:512]),
        "archives": archives(pixels),
        "cold start, s": cold(pixels[0]),
        "threads, s": threads(pixels[:2048]),
    }
    RESULTS.write_text(json.dumps(rounded(figures), indent=1) + "\n")
    click.echo(RESULTS.read_text())


if __name__ == "__main__":
    main()
