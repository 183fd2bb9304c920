"""Compare a graphics processor with one thread of the processor: images per second, and that files and pixels are equal.

    OPENBLAS_NUM_THREADS=1 python benchmarks/gpu_speed.py t10k-images-idx3-ubyte.gz [--device cuda] [--model mnist]

Wall-clock time of one batch call at effort 0, without the first call on the device, which loads libraries and weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import numpy as np

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.plugins import gpu

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    out = work()
    return time.perf_counter() - began, out


@click.command()
@click.argument("digits", type=click.Path(exists=True, path_type=Path))
@click.option("--device", default="cuda", show_default=True)
@click.option("--model", default="mnist", show_default=True)
@click.option("--count", default=10_000, show_default=True)
def main(digits: Path, device: str, model: str, count: int) -> None:
    images = read_idx(digits)[:count]
    rows = {}
    for where in ("cpu", device):
        gpu.use(where)
        mnistzip.decode_many(mnistzip.encode_many(images[:256], effort=0, model=model))
        encoding, files = timed(lambda: mnistzip.encode_many(images, effort=0, model=model))
        decoding, pixels = timed(lambda files=files: mnistzip.decode_many(files))
        rows[where] = encoding, decoding, files, np.stack(pixels)
    here, there = rows["cpu"], rows[device]
    if here[2] != there[2] or (here[3] != there[3]).any():
        raise click.ClickException(f"{device} gives other bytes or pixels than the processor")
    for name, at in (("encode", 0), ("decode", 1)):
        slow, fast = (len(images) / row[at] for row in (here, there))
        click.echo(f"{name}: {slow:,.0f} a second on the processor, {fast:,.0f} on {device}: {fast / slow:.1f} times")
    click.echo(f"{len(images)} files and images are equal")


if __name__ == "__main__":
    main()
