"""Compare ``mnistzip.plugins.torch.ArchiveDataset`` with ``torchvision.datasets.MNIST`` in a DataLoader: images per second.

    python benchmarks/torch_speed.py IMAGES LABELS [--workers 2] [--batch 64] [--count 10000] [--effort 0]

IMAGES and LABELS are IDX files. Both data sets turn images into tensors with the same transform. Three epochs are timed: one in
order, one shuffled with an empty cache, and one shuffled with a full cache. Times are processor time, or with workers
wall-clock.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

import mnistzip
from mnistzip.idx import idx_header, read_idx
from mnistzip.plugins.torch import ArchiveDataset

OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def import_datasets() -> Any:
    """Import ``torchvision.datasets``, also if torchvision was built for a GPU and torch was not.

    In this case its operators cannot be loaded, and the import fails unless two of them are declared first.
    """
    try:
        from torchvision import datasets
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for declaration in OPERATORS.values():
            library.define(declaration)
        from torchvision import datasets
    return datasets


def mnist_of(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.integer], transform: Any = None) -> Any:
    """``torchvision.datasets.MNIST`` of some images and labels, with its files below ``folder``."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx_header(images.shape) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx_header(labels.shape) + labels.astype(np.uint8).tobytes())
    return import_datasets().MNIST(folder, train=False, transform=transform)


def to_tensor(image: Any) -> torch.Tensor:
    """Grey levels in 0..1, shape ``(1, H, W)``."""
    return torch.from_numpy(np.array(image)).unsqueeze(0).float() / 255


def epoch(loader: DataLoader[Any]) -> float:
    """Seconds to read all batches: processor time, or wall-clock time with workers."""
    clock = time.perf_counter if loader.num_workers else time.process_time
    began = clock()
    for _ in loader:
        pass
    return clock() - began


def rates(make: Callable[[], Dataset[Any]], count: int, batch: int, workers: int) -> list[float]:
    """Images per second: in order, shuffled for the first time, shuffled again."""
    out = []
    for shuffle, epochs in ((False, 1), (True, 2)):
        loader = DataLoader(make(), batch, shuffle=shuffle, num_workers=workers, persistent_workers=workers > 0)
        out += [count / epoch(loader) for _ in range(epochs)]
    return out


@click.command()
@click.argument("images", type=click.Path(exists=True, path_type=Path))
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=10000, show_default=True)
@click.option("--batch", default=64, show_default=True)
@click.option("--workers", default=0, show_default=True)
@click.option("--effort", default=0, show_default=True)
def main(images: Path, labels: Path, count: int, batch: int, workers: int, effort: int) -> None:
    torch.set_num_threads(1)
    pixels, numbers = read_idx(images)[:count], read_idx(labels)[:count]
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "digits.cae"
        archive.write_bytes(mnistzip.encode_archive(pixels, labels=numbers, effort=effort))
        raw = mnist_of(Path(folder), pixels, numbers, to_tensor)
        size = sum(len(gzip.compress(array.tobytes(), 9)) for array in (pixels, numbers))
        click.echo(f"{len(pixels)} images, {workers} workers, batches of {batch}; images/s in order, shuffled first, and again")
        for name, make, size_text in (
            ("MNIST", lambda: raw, f"{size:,} bytes gzipped"),
            ("ArchiveDataset", lambda: ArchiveDataset(archive, to_tensor), f"{archive.stat().st_size:,} bytes"),
        ):
            speeds = "  ".join(f"{rate:8,.0f}" for rate in rates(make, len(pixels), batch, workers))
            click.echo(f"{name:16}{speeds}   {size_text}")


if __name__ == "__main__":
    main()
