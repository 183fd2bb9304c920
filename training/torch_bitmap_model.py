"""The model of bitmaps in floats: the probability that a pixel is ink, given the pixels before it.

    window (n, 200), distances from edges (4, n), height and width (2, n) -> three layers -> logits (n,)

:mod:`mnistzip.models.bitmap.bitmap_model` computes the same in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.models.bitmap.bitmap_model import DISTANCES, EDGES, SIZES, WINDOW
from mnistzip.models.bitmap.resampling import Bitmap
from mnistzip.models.slanted import Canvas
from mnistzip.training.torch_layers import ACTIVATION_PEAK
from mnistzip.types import Bools, Integers

WIDTHS = (96, 48, 48)
NEARBY = 2  # rows and columns around a pixel that tell whether it is hard to predict


class Inputs(NamedTuple):
    """What the model sees of n pixels, and whether they are ink, shape ``(n,)``."""

    window: Tensor
    distances: Tensor
    sizes: Tensor
    ink: Tensor


class BitmapPixels:
    """The pixels of bitmaps, by index.

    Attributes:
        bitmaps: how many there are.
        hard: indices of the pixels that both ink and white precede nearby, int32.
        easy: those of all others.
    """

    def __init__(self, bitmaps: Sequence[Bitmap]) -> None:
        shapes = [bitmap.ink.shape for bitmap in bitmaps]
        self.bitmaps = len(bitmaps)
        self._canvas = Canvas(shapes, WINDOW, 0, np.uint8)
        of_pixel = Canvas(shapes, WINDOW, 0, np.uint8)  # 1 if hard, 2 if easy
        for pixels, kinds, bitmap in zip(self._canvas.images(), of_pixel.images(), bitmaps, strict=True):
            pixels[...] = bitmap.ink
            kinds[...] = np.where(_is_hard(bitmap.ink), 1, 2)
        self.hard, self.easy = (np.flatnonzero(of_pixel.values == kind).astype(np.int32) for kind in (1, 2))

    def inputs(self, index: Integers) -> Inputs:
        """What the model sees of some pixels."""
        places = self._canvas.places_at(index)
        height, width = self._canvas.height[places.image], self._canvas.width[places.image]
        distances = places.row, places.column, height - 1 - places.row, width - 1 - places.column
        return Inputs(
            torch.from_numpy(self._canvas.around(places)).float(),
            torch.from_numpy(np.minimum(distances, DISTANCES - 1)),
            torch.from_numpy(np.stack([height, width])),
            torch.from_numpy(self._canvas.values[index]).float(),
        )


def _is_hard(ink: Bools) -> Bools:
    """Whether both ink and white precede each pixel nearby."""
    height, width = ink.shape
    padded = np.pad(ink, ((NEARBY, 0), (NEARBY, NEARBY)))
    before = [
        padded[row : row + height, column : column + width]
        for row in range(NEARBY + 1)
        for column in range(2 * NEARBY + 1 if row < NEARBY else NEARBY)
    ]
    some: Bools = np.any(before, axis=0) & ~np.all(before, axis=0)
    return some


class BitmapModel(nn.Module):
    """The model. Activations are clipped to ``[0, ACTIVATION_PEAK]``."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        self.enter = nn.Linear(len(WINDOW), widths[0])
        self.edges = nn.Parameter(torch.zeros(len(EDGES), DISTANCES, widths[0]))
        self.sizes = nn.Parameter(torch.zeros(2, SIZES, widths[0]))
        self.middle = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise(widths))
        self.head = nn.Linear(widths[-1], 1)
        for layer in (self.enter, *self.middle):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def matrices(self) -> list[nn.Parameter]:
        """The weights of hidden layers."""
        return [part for name, part in self.named_parameters() if part.ndim == 2 and not name.startswith("head")]

    def forward(self, x: Inputs) -> Tensor:
        """Bits of n pixels, shape (n,)."""
        h = self.enter(x.window)
        for table, row in zip((*self.edges, *self.sizes), (*x.distances, *x.sizes), strict=True):
            h = h + F.embedding(row, table)
        h = F.hardtanh(h, 0.0, ACTIVATION_PEAK)
        for layer in self.middle:
            h = F.hardtanh(layer(h), 0.0, ACTIVATION_PEAK)
        bits: Tensor = F.binary_cross_entropy_with_logits(self.head(h)[:, 0], x.ink, reduction="none") / np.log(2)
        return bits
