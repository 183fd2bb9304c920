"""Encode and decode every digit: lossy and lossless, as single files and in an archive.

    OPENBLAS_NUM_THREADS=1 python benchmarks/round_trip.py train-images-idx3-ubyte.gz t10k-images-idx3-ubyte.gz

Lossless images must equal the digits, and so must lossy files that became lossless because that took no more bytes. Lossy
images must equal the reconstruction of the encoder, from single files and from the archive. Prints the number of mismatches of
each kind; their sum is the exit code. 70,000 digits take about four minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.models.registry import find
from mnistzip.types import Pixels

BATCH = 5000


def mismatches(got: list[Pixels], expected: Pixels) -> int:
    """Number of images that differ from the expected ones."""
    if len(got) != len(expected):
        raise click.ClickException(f"{len(got)} images were decoded instead of {len(expected)}")
    return sum(not np.array_equal(one, other) for one, other in zip(got, expected, strict=True))


def synthesized(images: Pixels, quality: int, model: str) -> Pixels:
    """The reconstruction of images at effort 0, without a file."""
    loaded = find(model)
    quality_index = np.full(len(images), loaded.quality_index(quality))
    return loaded.transforms.synthesize(loaded.transforms.analyse(images, quality_index), quality_index)


def parts(images: Pixels) -> Iterator[Pixels]:
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--quality", default=50, show_default=True)
@click.option("--model", default="mnist", show_default=True)
def main(sources: tuple[Path, ...], quality: int, model: str) -> None:
    images = np.concatenate([read_idx(source) for source in sources])
    total = 0
    for name, lossless in (("lossless", True), ("lossy", False)):
        began, wrong, size = time.process_time(), [0, 0], [0, 0]
        for some in parts(images):
            expected = some if lossless else synthesized(some, quality, model)
            how = {"lossless": True} if lossless else {"quality": quality}
            files = mnistzip.encode_many(some, effort=0, model=model, **how)
            packed = mnistzip.encode_archive(some, effort=0, model=model, **how)
            exact = [mnistzip.info(file).mode == "lossless" for file in files]  # also lossy ones where that took no more bytes
            singles = np.where(np.array(exact)[:, None, None], some, expected)
            wrong[0] += mismatches(mnistzip.decode_many(files), singles)
            wrong[1] += mismatches(list(mnistzip.Archive(packed)), expected)
            size = [size[0] + sum(map(len, files)), size[1] + len(packed)]
        for kind, bad, taken in zip(("single files", "archive"), wrong, size, strict=True):
            click.echo(f"{name}, {kind}: {len(images)} images, {bad} mismatches, {taken / len(images):.2f} bytes an image")
        click.echo(f"{name}: {time.process_time() - began:.0f} s of processor time")
        total += sum(wrong)
    sys.exit(min(total, 100))


if __name__ == "__main__":
    main()
