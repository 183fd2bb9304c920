"""Black and white drawings, as the bitmaps that MNIST's digits were made from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MIN, Bitmap
from mnistzip.types import Bools

DRAWN_SIDE_MAX = 90  # cells of larger ones have many counts


def drawings(random: np.random.Generator, count: int) -> list[Bitmap]:
    """Strokes and blobs with ink at all four edges. The longer side is up to :data:`DRAWN_SIDE_MAX` pixels."""
    return [_drawing(random, int(random.integers(BITMAP_SIDE_MIN, DRAWN_SIDE_MAX + 1))) for _ in range(count)]


def _drawing(random: np.random.Generator, side: int) -> Bitmap:
    ink = np.zeros((side, side), bool)
    corners = random.uniform(0.1, 0.9, (int(random.integers(2, 6)), 2)) * side
    corners[:, int(random.integers(2))] = np.linspace(0, side, len(corners))  # from edge to edge
    for start, end in pairwise(corners):
        ink |= _stroke(side, start, end, side * random.uniform(0.04, 0.12))
    if random.random() < 0.3:
        ink |= _stroke(side, *random.uniform(0.2, 0.8, (2, 2)) * side, side * 0.15)
    rows, columns = ink.any(axis=1).nonzero()[0], ink.any(axis=0).nonzero()[0]
    if len(rows) < len(columns):
        return Bitmap(ink[rows[0] : rows[-1] + 1], 0)
    return Bitmap(ink[:, columns[0] : columns[-1] + 1], 0)


def _stroke(side: int, start: np.ndarray, end: np.ndarray, width: float) -> Bools:
    """The pixels that are near a line."""
    pixels = np.stack(np.mgrid[:side, :side], axis=-1) + 0.5
    along = end - start
    part = ((pixels - start) @ along / max(float(along @ along), 1e-9)).clip(0, 1)
    near: Bools = ((pixels - start - part[..., None] * along) ** 2).sum(axis=-1) < width**2
    return near
