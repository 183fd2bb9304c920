"""Measure memory, speed and random access of an archive of a million digits, through the command line.

    python benchmarks/archive_scale.py IMAGES [--count 1000000] [--effort 0] [--threads 1] [--folder DIR]

IMAGES is an IDX file. Its digits are repeated, shifted by up to two pixels, until there are COUNT. The files need 2.3 GB per
million digits in a temporary folder or below DIR. Speeds are images per second of processor time. Batch calls encode the same
images in memory before and after, to show changes in the speed of the machine. An archive does more than ``encode_many``: it
also decodes each image, for its checksum and for the PSNR in the report.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

import mnistzip
from mnistzip.archive import reader as archives
from mnistzip.idx import idx_header, read_idx
from mnistzip.storage.backends import Storage, open_storage
from mnistzip.types import Pixels

SAMPLE = 4096  # images of the batch calls
READS = 200
SHIFTS = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]


def write_moved(path: Path, digits: Pixels, count: int) -> None:
    """Write an IDX file of ``count`` images: the digits, repeated with different shifts."""
    with path.open("wb") as file:
        file.write(idx_header((count, *digits.shape[1:])))
        for turn, start in enumerate(range(0, count, len(digits))):
            moved = np.roll(digits, SHIFTS[turn % len(SHIFTS)], axis=(1, 2))
            file.write(moved[: count - start].tobytes())


def run(*arguments: str) -> dict[str, float]:
    """Run the command line; returns processor and wall-clock seconds, and peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mnistzip", *arguments])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise click.ClickException(f"mnistzip {' '.join(arguments)} failed")
    return {"cpu": used.ru_utime + used.ru_stime, "wall": time.perf_counter() - began, "mb": used.ru_maxrss / 1000}


def rate(work: Callable[[Any], Any], items: Any) -> float:
    """Images per second of processor time."""
    began = time.process_time()
    work(items)
    return len(items) / (time.process_time() - began)


class Counting:
    """A storage that counts the bytes read."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.size = inner.size
        self.bytes = 0

    def read(self, offset: int, count: int) -> bytes:
        self.bytes += count
        return self._inner.read(offset, count)

    def close(self) -> None:
        self._inner.close()


def random_access(path: Path) -> dict[str, float]:
    """Milliseconds and bytes read for single images from anywhere in an archive."""
    counting = Counting(open_storage(path))
    archives.open_storage = lambda _: counting
    archive = mnistzip.Archive(path)
    places = np.random.default_rng(0).integers(0, len(archive), READS + 1).tolist()
    times, sizes = [], []
    for place in places:
        before, began = counting.bytes, time.perf_counter()
        archive[place]
        times.append(time.perf_counter() - began)
        sizes.append(counting.bytes - before)
    return {
        "first_ms": times[0] * 1e3,
        "median_ms": median(times[1:]) * 1e3,
        "bytes_median": median(sizes[1:]),
        "bytes_max": max(sizes),
    }


@click.command()
@click.argument("images", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=1_000_000, show_default=True)
@click.option("--effort", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="The folder for the large files.")
def main(images: Path, count: int, effort: int, threads: int, folder: Path | None) -> None:
    digits = read_idx(images)
    sample = np.roll(digits[:SAMPLE], SHIFTS[0], axis=(1, 2))  # the first images of the archive
    coding = ["-e", str(effort), "-T", str(threads)]
    calls: list[dict[str, float]] = []

    def call_batches() -> None:
        files = mnistzip.encode_many(sample, effort=effort)
        packed = mnistzip.encode_archive(sample, effort=effort)
        calls.append(
            {
                "encode_many": rate(lambda part: mnistzip.encode_many(part, effort=effort), sample),
                "encode_archive": rate(lambda part: mnistzip.encode_archive(part, effort=effort), sample),
                "decode_many": rate(mnistzip.decode_many, files),
                "archive": rate(list, mnistzip.Archive(packed)),
            }
        )

    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        source, packed, back = (str(Path(temporary) / name) for name in ("in-idx3-ubyte", "digits.cae", "back-idx3-ubyte"))
        write_moved(Path(source), digits, count)
        call_batches()
        packing = run("compress", source, "-o", packed, "--quiet", *coding)
        call_batches()
        unpacking = run("decompress", packed, "-o", back, "--quiet")
        call_batches()
        size = os.path.getsize(packed)
        access = random_access(Path(packed))
    figures = {
        "images": count,
        "bytes_an_image": size / count,
        "pack_rate": count / packing["cpu"],
        "pack_wall_s": packing["wall"],
        "pack_peak_mb": packing["mb"],
        "unpack_rate": count / unpacking["cpu"],
        "unpack_wall_s": unpacking["wall"],
        "unpack_peak_mb": unpacking["mb"],
        **{f"{name}_rate": median(call[name] for call in calls) for name in calls[0]},
        **{f"access_{name}": value for name, value in access.items()},
    }
    click.echo(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
