"""Train the model of bitmaps in floats.

    python -m mnistzip.training.bitmap_trainer train-images-idx3-ubyte.gz --minutes 20 --out runs/bitmaps.pt

:mod:`mnistzip.training.bitmap_recipe` makes a model file of the checkpoint.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mnistzip.training.picture_trainer import PictureTrainer
from mnistzip.training.torch_bitmap_model import BitmapModel, BitmapPixels
from mnistzip.types import Integers

EASY = 512  # easy pixels of a step
MEASURED = 1 << 16  # pixels that are measured together


class BitmapTrainer(PictureTrainer[BitmapModel]):
    """Bits of random pixels; hard ones are drawn more often than easy ones, which count more."""

    phase, batch_pixels = "bitmaps", 4096
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
