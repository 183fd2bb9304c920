"""Train the model of bitmaps in floats.

    python -m mnistzip.training.bitmap_trainer train-images-idx3-ubyte.gz --minutes 20 --out runs/bitmaps.pt

:mod:`mnistzip.training.bitmap_recipe` makes a model file of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from mnistzip.engines.choice import current
from mnistzip.errors import OptionError
from mnistzip.models.bitmap.resampling import Bitmap
from mnistzip.training.picture_trainer import PictureTrainer
from mnistzip.training.splits import load
from mnistzip.training.torch_bitmap_model import BitmapModel, BitmapPixels
from mnistzip.training.trainer import FlushDenormals
from mnistzip.types import Integers

DIGITS_TOGETHER = 5000  # whose bitmaps are searched between two messages
EASY = 512  # easy pixels of a step
MEASURED = 1 << 16  # pixels that are measured together


class BitmapTrainer(PictureTrainer[BitmapModel]):
    """Bits of random pixels; hard ones are drawn more often than easy ones, which count more."""

    stage, batch_pixels = "bitmaps", 4096
    rate, matrix_rate = 2e-3, 0.01

    def __init__(self, model: BitmapModel, pixels: BitmapPixels, minutes: float, seed: int) -> None:
        super().__init__(model, minutes, seed)
        self.pixels = pixels

    def matrices(self) -> list[nn.Parameter]:
        return self.model.matrices()

    def loss(self, x: Tensor) -> Tensor:
        easy = self.pixels.easy[self.chance.integers(0, len(self.pixels.easy), EASY)]
        bits = self.model(self.pixels.inputs(np.append(x.numpy(), easy).astype(np.int64)))
        hard, rest = bits[: len(x)].mean() * len(self.pixels.hard), bits[len(x) :].mean() * len(self.pixels.easy)
        total: Tensor = (hard + rest) / (8 * self.pixels.bitmaps)
        return total


def mean_bytes(model: BitmapModel, pixels: BitmapPixels) -> float:
    """Mean bytes of ideal code length of the pixels of a bitmap."""
    total = 0.0
    with torch.no_grad():
        for index in (pixels.hard, pixels.easy):
            for first in range(0, len(index), MEASURED):
                part: Integers = index[first : first + MEASURED].astype(np.int64)
                total += float(model(pixels.inputs(part)).double().sum())
    return total / (8 * pixels.bitmaps)


def bitmaps_of(digits: Tensor, log: Callable[[str], None]) -> list[Bitmap]:
    """The bitmaps of those of the digits that have one: uint8 ``(N, 1, 28, 28)``."""
    found: list[Bitmap] = []
    for part in torch.split(digits[:, 0], DIGITS_TOGETHER):
        found += [bitmap for bitmap in current().find_bitmaps(part.numpy()) if bitmap is not None]
    log(f"{len(found)} of {len(digits)} digits follow from a bitmap")
    return found


FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("digits")
@click.option("--minutes", default=20.0, show_default=True, help="Time of the whole run.")
@click.option("--out", required=True, type=FILE, help="Checkpoint; an existing one is continued, also beyond its time.")
@click.option("--seed", default=1, show_default=True)
@click.option("-T", "--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of torch.")
@FlushDenormals()
def main(digits: str, minutes: float, out: Path, seed: int, threads: int) -> None:
    """Train the model of bitmaps in floats on MNIST's training digits, without the last 5,000."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    pixels = BitmapPixels(bitmaps_of(load(digits).train, click.echo))
    trainer = BitmapTrainer(BitmapModel().train(), pixels, minutes, seed)
    if out.exists():
        try:
            trainer.load(out)
        except OptionError as error:
            raise click.ClickException(str(error)) from error
        trainer.progress.seconds = 60 * minutes
    trainer.run({"hard": torch.from_numpy(pixels.hard)}, out, click.echo)


if __name__ == "__main__":
    main()
