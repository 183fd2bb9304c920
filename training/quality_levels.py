"""Choose the level of each of the 100 qualities, so that size and PSNR rise with every quality.

Size and PSNR do not rise steadily with the level: parameters that depend on the level are rounded to integers for each level,
and the size drops by one or two bytes where a channel of the latent becomes constant. The exported integer model therefore
codes held-out images at 200 levels on a grid, and dynamic programming selects 100 of them: size and PSNR rise significantly
at each step, the steps are as even as possible, and no level lies far below the rate-distortion curve.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.entropy.cost import BIT, COST
from mnistzip.metrics import psnr_of_mse
from mnistzip.models.model_file import QUALITIES
from mnistzip.models.registry import Model, read_model
from mnistzip.tiling import TILE
from mnistzip.training.export import export
from mnistzip.training.rd_model import Coder
from mnistzip.training.run_folder import LEVELS
from mnistzip.training.trainer import Run
from mnistzip.types import Pixels

GRID = 2 * QUALITIES  # candidate levels
IMAGES = 1000
BATCH = 250  # images measured together
SIGNIFICANT = 4.0  # standard errors by which a step exceeds zero, so that it holds for other images as well
DB_PER_BYTE = 0.2  # weight of a byte in the evenness of steps; with it quality 50, the default, takes about 23 bytes
LOSS_WEIGHT = 2.0  # dB of unevenness that count as much as one dB below the best curve
FALL_COST = 1e6  # cost of a step that does not rise, compared with squares of dB

Floats = NDArray[np.float64]


def choose(coder: Coder, images: Tensor, run: Run) -> Tensor:
    """The level of each quality, shape (100,), from 0 to 1, for a quantized codec.

    Args:
        images: held-out images, uint8 of shape ``(N, 1, 28, 28)``; the first 1,000 are used.
        run: its folder contains ``levels.npz``, the results of all candidate levels. A file for the same weights is reused
            instead of a new measurement.
    """
    cache = run.folder / LEVELS
    grid = torch.from_numpy(np.linspace(0, 1, GRID, dtype=np.float32))
    parts = [export(coder, part) for part in torch.split(grid, QUALITIES)]
    digest = np.frombuffer(hashlib.sha256(b"".join(parts)).digest(), np.uint8)
    if not cache.exists() or not np.array_equal(np.load(cache).get("digest"), digest):
        probes = images[:IMAGES, 0].numpy()
        results = []
        for part, content in zip(torch.split(grid, QUALITIES), parts, strict=True):
            model = read_model(content, "levels")
            results += [measure(model, probes, quality) for quality in range(1, QUALITIES + 1)]
            run.log(f"levels up to {part[-1]:.2f} measured on {len(probes)} images")
        size, error = (np.array(values) for values in zip(*results, strict=True))
        np.savez(cache, size=size, error=error, digest=digest)
    with np.load(cache) as cached:
        size, error = cached["size"], cached["error"]
    chosen = climb(size, error, QUALITIES)
    mean, psnr = size.mean(axis=1)[chosen], psnr_of(error)[chosen]
    run.log(
        f"{QUALITIES} of {GRID} levels chosen, smallest steps {np.diff(mean).min():.3f} bytes, {np.diff(psnr).min():.3f} dB"
    )
    return grid[torch.from_numpy(chosen)]


def measure(model: Model, images: Pixels, quality: int) -> tuple[Floats, NDArray[np.int64]]:
    """Ideal bytes and squared error of each image at effort 0: (N, 28, 28) -> (N,), (N,)."""
    size, error = np.empty(len(images)), np.empty(len(images), np.int64)
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        x = images[part]
        index = np.full(len(x), model.quality_index(quality))
        y = model.transforms.analyse(x, index)
        _, freqs = model.prior.intervals(y, index)
        size[part] = COST[freqs].sum(axis=1) / (8 * BIT)
        error[part] = np.square(model.transforms.synthesize(y, index).astype(np.int64) - x).sum(axis=(1, 2))
    return size, error


def climb(size: Floats, error: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` levels from the first to the last, with size and PSNR rising in even steps.

    Dynamic programming minimizes the sum of the squared steps and of the squared distances to the best curve. A step that is
    not significant is used only if no other path exists.

    Args:
        size: bytes of every image at every level, shape ``(levels, images)``.
        error: squared error, same shape.
    """
    mean, psnr = size.mean(axis=1), psnr_of(error)
    height = psnr + DB_PER_BYTE * mean
    rises = (gains(size) >= SIGNIFICANT) & (gains(-error) >= SIGNIFICANT)
    cost = np.where(rises, np.square(height - height[:, None]), FALL_COST)
    cost += np.square(LOSS_WEIGHT * (best_psnr(mean, psnr) - psnr))
    cost[np.tril_indices(len(cost))] = np.inf
    total = np.full(len(cost), np.inf)
    total[0] = 0.0
    predecessors: list[NDArray[np.int64]] = []
    for _ in range(count - 1):
        sums = total[:, None] + cost
        predecessors.append(sums.argmin(axis=0))
        total = sums.min(axis=0)
    path = [len(cost) - 1]
    for predecessor in reversed(predecessors):
        path.append(int(predecessor[path[-1]]))
    return np.array(path[::-1])


def gains(values: NDArray[np.number]) -> Floats:
    """Rise of the mean over images between two levels, in standard errors: (levels, images) -> (from, to)."""
    mean, spread = values.mean(axis=1), np.cov(values)
    level_variance = np.diag(spread)
    variance = np.maximum(level_variance + level_variance[:, None] - 2 * spread, 1e-9) / values.shape[1]
    rise: Floats = (mean - mean[:, None]) / np.sqrt(variance)
    return rise


def psnr_of(error: NDArray[np.int64]) -> Floats:
    """PSNR of the mean squared error of each level."""
    return np.array([psnr_of_mse(float(value) / TILE**2) for value in error.mean(axis=1)])


def best_psnr(size: Floats, psnr: Floats) -> Floats:
    """PSNR of the upper convex hull of all points at each size. Images coded at mixed levels reach this curve."""
    hull: list[int] = []
    for point in np.lexsort((psnr, size)):
        while len(hull) > 1:
            a, b = hull[-2:]
            if (psnr[b] - psnr[a]) * (size[point] - size[a]) > (psnr[point] - psnr[a]) * (size[b] - size[a]):
                break
            hull.pop()
        hull.append(point)
    return np.interp(size, size[hull], psnr[hull])
