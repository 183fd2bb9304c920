"""Encode and decode every digit: lossy and lossless, as single files and in an archive.

    OPENBLAS_NUM_THREADS=1 python benchmarks/round_trip.py train-images-idx3-ubyte.gz t10k-images-idx3-ubyte.gz [--record]

Lossless images must equal the digits, and so must images that the encoder chose to code without loss. Lossy images must equal
the reconstruction of the encoder, from single files and from the archive. Prints the number of mismatches of each kind; their
sum is the exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import mnistzip
from mnistzip.coding.kinds import kind_of
from mnistzip.idx import read_idx
from mnistzip.models import registry
from mnistzip.models.registry import find
from mnistzip.types import Mode, Pixels

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from reliability_table import Table

BATCH = 5000
MODELS = (registry.AUTO, *(name for name in registry.SHIPPED if name != registry.BITMAPS))  # auto codes bitmaps


def mismatches(got: list[Pixels], expected: Pixels) -> int:
    """Number of images that differ from the expected ones."""
    if len(got) != len(expected):
        raise click.ClickException(f"{len(got)} images were decoded instead of {len(expected)}")
    return sum(not np.array_equal(one, other) for one, other in zip(got, expected, strict=True))


def reconstructed(images: Pixels, quality: int, model: str) -> Pixels:
    """The reconstruction of images at effort 0, without a file."""
    loaded, qualities = find(model), [quality] * len(images)
    kind = kind_of(loaded)
    latents = kind.images(list(images)).first(loaded, qualities)
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    return np.stack(kind.reconstruct(loaded, [latent.y for latent in latents], shapes, qualities))


def parts(images: Pixels) -> Iterator[Pixels]:
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))


def exact_in(archive: mnistzip.Archive) -> NDArray[np.bool_]:
    """Which images of an archive are not lossy."""
    exact = np.zeros(len(archive), bool)
    first = 0
    for group in archive.groups():
        assert not isinstance(group, mnistzip.MnistzipError)
        for part in group.parts:
            if part.coding.mode is not Mode.LOSSY:
                exact[first + part.images] = True
        first += group.header.images
    return exact


def ways(model: str) -> list[str]:
    """What a model can code."""
    if model == registry.AUTO:
        return ["lossless"]
    loaded = find(model)
    return ["lossless"] * loaded.has_pixel_model + ["lossy"] * (not loaded.is_bitmap)


def round_trip(images: Pixels, model: str, way: str, quality: int) -> dict[str, tuple[int, int]]:
    """For single files and an archive, the mismatches and the bytes."""
    found = {"single files": (0, 0), "archive": (0, 0)}
    how: dict[str, Any] = {"lossless": True} if way == "lossless" else {"quality": quality}
    for some in parts(images):
        expected = some if way == "lossless" else reconstructed(some, quality, model)
        files = mnistzip.encode_many(some, effort=0, model=model, **how)
        packed = mnistzip.encode_archive(some, effort=0, model=model, **how)
        exact = np.array([mnistzip.info(file).mode == "lossless" for file in files])
        archive = mnistzip.Archive(packed)
        wrong = (
            mismatches(mnistzip.decode_many(files), np.where(exact[:, None, None], some, expected)),
            mismatches(list(archive), np.where(exact_in(archive)[:, None, None], some, expected)),
        )
        size = sum(map(len, files)), len(packed)
        found = {
            kind: (found[kind][0] + bad, found[kind][1] + taken) for kind, bad, taken in zip(found, wrong, size, strict=True)
        }
    return found


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--quality", default=50, show_default=True)
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True)
@click.option("--record", is_flag=True, help="Keep the table in docs/reliability.json.")
def main(sources: tuple[Path, ...], quality: int, models: tuple[str, ...], record: bool) -> None:
    images = np.concatenate([read_idx(source) for source in sources])
    table = Table("round trip", "model", "mode", "form", "images", "mismatches", "bytes per image")
    total = 0
    for model in models:
        for way in ways(model):
            for form, (wrong, size) in round_trip(images, model, way, quality).items():
                mode = way if way == "lossless" else f"lossy, quality {quality}, effort 0"
                table.add(f"`{model}`", mode, form, len(images), wrong, f"{size / len(images):.2f}")
                total += wrong
    if record:
        table.keep(f"{len(images):,} digits, {total or 'no'} mismatches")
    sys.exit(min(total, 100))


if __name__ == "__main__":
    main()
