"""Models of the kind ``bitmap`` that nobody trained, and bitmaps for them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from mnistzip.entropy.cost import TOTAL
from mnistzip.models.bitmap.bitmap_model import (
    DIFFERENCES,
    DISTANCES,
    EDGES,
    LOGITS,
    SHIFTS,
    SIDE_CLASSES,
    SIDES,
    SIZES,
    WINDOW,
)
from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, BITMAP_SIDE_MIN, SHIFT_MAX, SHIFT_MIN, Bitmap
from mnistzip.models.model import Model, read_model
from support.random_models import ACTIVATION_MAX, SUM_MAX, Ints, ModelMaker, model_file

META = {"version": 1, "kind": "bitmap"}
Size = tuple[int, int]


class BitmapMaker(ModelMaker):
    """Makes model files of the kind ``bitmap`` from random numbers."""

    def bitmap_file(self, width: int) -> bytes:
        """A model file, whose layers have as many outputs at most."""
        widths = [self.integer(1, width) for _ in range(3)]
        self.arrays |= {
            "sides": self._cumulative(SIDES),
            "differences": self._cumulative(2 * DIFFERENCES, SIDE_CLASSES),
            "shifts": self._cumulative(SHIFTS),
        }
        others = self._layer("enter", len(WINDOW), widths[0], 1, ACTIVATION_MAX)
        parts = [np.trunc(others * self.random.random(widths[0]) * 0.2).astype(np.int64) for _ in range(len(EDGES) + 1)]
        parts.append(others - np.sum(parts, axis=0))
        rows = [self.shares(part, (DISTANCES if k < len(EDGES) else SIZES,)) for k, part in enumerate(parts)]
        self.arrays["enter.edges"] = self.random.permutation(np.stack(rows[: len(EDGES)]))
        self.arrays["enter.sizes"] = np.stack(rows[len(EDGES) :])
        for number in range(2):
            self._layer(str(number), *widths[number : number + 2], ACTIVATION_MAX, ACTIVATION_MAX)
        self._layer("head", widths[2], 1, ACTIVATION_MAX, self.one_of(60, 600, 4 * LOGITS.high))
        return model_file(META, self.arrays)

    def _layer(self, name: str, inputs: int, outputs: int, peak: int, target: int) -> Ints:
        """The arrays of a layer. Returns the largest magnitudes of what may be added to its bias."""
        weight, bias, others, shift = self.matrix(np.ones((inputs, outputs), bool), np.full(inputs, peak), target)
        self.arrays |= {f"{name}.weight": weight, f"{name}.bias": bias, f"{name}.shift": shift}
        return others

    def _cumulative(self, values: int, rows: int | None = None) -> Ints:
        """Rows of cumulative frequencies of so many values, some of which are rare."""
        share = self.random.random((rows or 1, values)) ** self.one_of(1, 4, 40)
        ends = np.floor(np.cumsum(share, axis=1) / share.sum(axis=1, keepdims=True) * (TOTAL - values)) + np.arange(
            1, values + 1
        )
        ends[:, -1] = TOTAL
        table = np.concatenate([np.zeros((len(ends), 1)), ends], axis=1).astype(np.int64)
        return table if rows else table[0]


@cache
def bitmap_file(seed: int, width: int = 40, **options: Any) -> bytes:
    """A model file of random weights, with sums that just reach their limits."""
    random = np.random.default_rng(seed)
    options = {"largest": int(random.choice([100, 3000, SUM_MAX])), **options}
    return BitmapMaker(random, **options).bitmap_file(width)


@cache
def random_bitmap_model(seed: int, width: int = 40, **options: Any) -> Model:
    """The model of such a file."""
    return read_model(bitmap_file(seed, width, **options), f"random bitmap {seed}")


def a_bitmap(random: np.random.Generator, size: Size | None = None) -> Bitmap:
    """A bitmap: a stroke, noise, or one colour."""
    if size is None:
        side = int(random.choice([BITMAP_SIDE_MIN, BITMAP_SIDE_MAX, *random.integers(BITMAP_SIDE_MIN, BITMAP_SIDE_MAX + 1, 6)]))
        shorter = int(random.choice([1, side, *random.integers(1, side + 1, 6)]))
        size = (side, shorter) if random.random() < 0.5 else (shorter, side)
    rows, columns = np.mgrid[: size[0], : size[1]]
    a, b = random.uniform(-1, 1, 2)
    stroke = np.abs(a * (rows - size[0] / 2) + b * (columns - size[1] / 2)) < random.uniform(1, 9)
    noise = random.random(size) < random.choice([0.0, 0.02, 0.5, 1.0], p=[0.6, 0.2, 0.15, 0.05])
    return Bitmap(stroke ^ noise, int(random.integers(SHIFT_MIN, SHIFT_MAX + 1)))
