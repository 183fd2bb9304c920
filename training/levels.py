"""Which hundred levels the qualities use: chosen so that size and PSNR rise with every one of them.

Along the levels neither rises steadily. Weights that hang on the level are rounded to integers, a level at a time, and where
a channel of the latent falls silent the size drops by a byte or two within a hundredth of a level. So levels on a fine grid
are tried on held-out images, as the exported integers code them, and a hundred of them are picked: each a step up in both
size and PSNR, all steps as even as can be, and none of them poor for its size.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.metrics import psnr_of_mse
from mnistzip.model import QUALITIES, Model, read_model
from mnistzip.prior import ideal_bits
from mnistzip.training.coder import Coder
from mnistzip.training.export import export
from mnistzip.training.run import Log

GRID = 4 * QUALITIES  # levels that are tried
IMAGES = 1000
PART = 250  # images measured together
LEAST_BYTES, LEAST_DB = 0.04, 0.03  # of a step: thrice the chance in the mean of so many images
BYTE = 0.2  # dB that a byte counts for in the evenness of steps; with it quality 50, the default, takes about 23 bytes
SHORT = 2.0  # dB of unevenness that a dB below the best curve counts for
FALL = 1e6  # what a step that is none costs, against squares of dB

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


def choose(coder: Coder, images: Tensor, folder: Path, log: Log) -> Tensor:
    """The level of each quality, shape (100,), from 0 to 1, for a quantized codec.

    Args:
        images: held-out images, uint8 of shape ``(N, 1, 28, 28)``; the first 1,000 are used.
        folder: for ``levels.csv``, what every level that was tried gave.
    """
    grid = torch.linspace(0, 1, GRID)
    tried = images[:IMAGES, 0].numpy()
    rows = []
    for part in torch.split(grid, QUALITIES):
        model = read_model(export(coder, part), "levels")
        rows += [measure(model, tried, quality) for quality in range(1, QUALITIES + 1)]
        log(f"level {part[-1]:.2f}: {rows[-1][0]:.2f} bytes, {rows[-1][1]:.2f} dB")
    size, psnr = np.array(rows).T
    chosen = climb(size, psnr, QUALITIES)
    with (folder / "levels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["level", "bytes", "dB", "chosen"])
        writer.writerows(zip(grid.tolist(), size, psnr, np.isin(np.arange(GRID), chosen).astype(int), strict=True))
    steps = np.diff(size[chosen]), np.diff(psnr[chosen])
    log(f"of {GRID} levels {QUALITIES} chosen, the least steps {steps[0].min():.3f} bytes and {steps[1].min():.3f} dB")
    return grid[torch.from_numpy(chosen)]


def measure(model: Model, images: Pixels, quality: int) -> tuple[float, float]:
    """Ideal mean bytes, and PSNR of the mean squared error, of images at effort 0."""
    bits, error = 0.0, 0
    for start in range(0, len(images), PART):
        x = images[start : start + PART]
        row = np.full(len(x), model.row(quality))
        y = model.transforms.analyse(x, row)
        _, freqs = model.prior.intervals(y, row)
        bits += ideal_bits(freqs)
        error += int(np.square(model.transforms.synthesize(y, row).astype(np.int64) - x).sum())
    return bits / 8 / len(images), psnr_of_mse(error / images.size)


def climb(size: Floats, psnr: Floats, count: int) -> NDArray[np.int64]:
    """Indices of ``count`` levels from the first to the last with a step up in size and PSNR each, as even as can be.

    The sum of the squares of steps and of what levels lack in PSNR is made least by dynamic programming; a step that is too
    small or a fall is taken only where there is no way around.
    """
    height = psnr + BYTE * size
    risen = (size - size[:, None] >= LEAST_BYTES) & (psnr - psnr[:, None] >= LEAST_DB)  # (from, to)
    cost = np.where(risen, np.square(height - height[:, None]), FALL) + np.square(SHORT * (best_psnr(size, psnr) - psnr))
    cost[np.tril_indices(len(size))] = np.inf
    least = np.full(len(size), np.inf)
    least[0] = 0.0
    came: list[NDArray[np.int64]] = []
    for _ in range(count - 1):
        total = least[:, None] + cost
        came.append(total.argmin(axis=0))
        least = total.min(axis=0)
    path = [len(size) - 1]
    for before in reversed(came):
        path.append(int(before[path[-1]]))
    return np.array(path[::-1])


def best_psnr(size: Floats, psnr: Floats) -> Floats:
    """What the upper convex hull of all points has at each size: the best curve, as images may be coded at mixed levels."""
    hull: list[int] = []
    for at in np.lexsort((psnr, size)):
        while len(hull) > 1:
            (a, b) = hull[-2:]
            if (psnr[b] - psnr[a]) * (size[at] - size[a]) > (psnr[at] - psnr[a]) * (size[b] - size[a]):
                break
            hull.pop()
        hull.append(at)
    return np.interp(size, size[hull], psnr[hull])
