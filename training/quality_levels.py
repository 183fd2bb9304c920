"""Choose the 100 levels of the qualities so that size and PSNR increase with the quality.

Neither increases steadily with the level. Weights that depend on the level are rounded to integers for each level, and the size
drops by a byte or two where a channel of the latent becomes zero. Therefore the exported model is measured on held-out images
at a fine grid of levels. Of these, 100 are chosen such that each has significantly more bytes and PSNR than the one before,
that steps are even, and that no level is far below the best PSNR for its size.

    grid of 200 levels -> export -> size, error: (levels, images) -> choose_path -> 100 levels
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.coding.latent_cost import BIT, COST
from mnistzip.metrics import psnr_of_mse
from mnistzip.models.model_file import QUALITIES
from mnistzip.models.registry import Model, read_model
from mnistzip.tiling import TILE
from mnistzip.training.export import export
from mnistzip.training.rd_model import Coder
from mnistzip.training.trainer import Run
from mnistzip.types import Pixels

GRID = 2 * QUALITIES  # measured levels
IMAGES = 1000  # held-out images for the measurement
BATCH = 250  # images measured together
SIGNIFICANT = 4.0  # standard errors; a smaller step might not be one on other images
DB_PER_BYTE = 0.2  # weight of bytes in the evenness of steps; quality 50, the default, then takes about 23 bytes
SHORTFALL_WEIGHT = 2.0  # cost of a dB below the best curve, in dB of unevenness
FALL_COST = 1e6  # of a step that is not significant, compared with squared dB

Floats = NDArray[np.float64]


def choose_levels(coder: Coder, images: Tensor, run: Run) -> Tensor:
    """The level of each quality, shape (100,), from 0 to 1, for a quantized codec.

    Args:
        images: held-out images, uint8 of shape ``(N, 1, 28, 28)``; the first 1,000 are used.
        run: its folder holds ``levels.npz`` with the measurements, which are used again for the same weights.
    """
    path = run.folder / "levels.npz"
    grid = torch.from_numpy(np.linspace(0, 1, GRID, dtype=np.float32))
    parts = [export(coder, part) for part in torch.split(grid, QUALITIES)]
    digest = np.frombuffer(hashlib.sha256(b"".join(parts)).digest(), np.uint8)
    if not path.exists() or not np.array_equal(np.load(path).get("digest"), digest):
        probe = images[:IMAGES, 0].numpy()
        rows = []
        for part, content in zip(torch.split(grid, QUALITIES), parts, strict=True):
            model = read_model(content, "levels")
            rows += [measure(model, probe, quality) for quality in range(1, QUALITIES + 1)]
            run.log(f"levels up to {part[-1]:.2f} measured on {len(probe)} images")
        size, error = (np.array(values) for values in zip(*rows, strict=True))
        np.savez(path, size=size, error=error, digest=digest)
    with np.load(path) as measurements:
        size, error = measurements["size"], measurements["error"]
    chosen = choose_path(size, error, QUALITIES)
    mean, psnr = size.mean(axis=1)[chosen], psnr_of(error)[chosen]
    run.log(
        f"{QUALITIES} of {GRID} levels chosen, the least steps {np.diff(mean).min():.3f} bytes, {np.diff(psnr).min():.3f} dB"
    )
    return grid[torch.from_numpy(chosen)]


def measure(model: Model, images: Pixels, quality: int) -> tuple[Floats, NDArray[np.int64]]:
    """Ideal bytes and squared error of each image at effort 0."""
    size, error = np.empty(len(images)), np.empty(len(images), np.int64)
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        x = images[part]
        quality_index = np.full(len(x), model.quality_index(quality))
        y = model.transforms.analyse(x, quality_index)
        _, freqs = model.prior.intervals(y, quality_index)
        size[part] = COST[freqs].sum(axis=1) / (8 * BIT)
        error[part] = np.square(model.transforms.synthesize(y, quality_index).astype(np.int64) - x).sum(axis=(1, 2))
    return size, error


def choose_path(size: Floats, error: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` levels from the first to the last, in steps up in size and PSNR that are as even as possible.

    Dynamic programming minimizes the sum of squared steps and squared shortfalls in PSNR. A step that is not significant is
    taken only if there is no other path.

    Args:
        size: bytes of every image at every level, shape ``(levels, images)``.
        error: squared error in squared grey levels, same shape.
    """
    mean, psnr = size.mean(axis=1), psnr_of(error)
    height = psnr + DB_PER_BYTE * mean
    rises = (gains(size) >= SIGNIFICANT) & (gains(-error) >= SIGNIFICANT)
    cost = np.where(rises, np.square(height - height[:, None]), FALL_COST) + np.square(
        SHORTFALL_WEIGHT * (best_psnr(mean, psnr) - psnr)
    )
    cost[np.tril_indices(len(cost))] = np.inf
    least = np.full(len(cost), np.inf)
    least[0] = 0.0
    origins: list[NDArray[np.int64]] = []
    for _ in range(count - 1):
        total = least[:, None] + cost
        origins.append(total.argmin(axis=0))
        least = total.min(axis=0)
    path = [len(cost) - 1]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])


def gains(values: NDArray[np.number]) -> Floats:
    """Increase of the mean from one level to another, in standard errors: (levels, images) -> (from, to)."""
    mean, covariance = values.mean(axis=1), np.cov(values)
    own = np.diag(covariance)
    variance = np.maximum(own + own[:, None] - 2 * covariance, 1e-9) / values.shape[1]
    out: Floats = (mean - mean[:, None]) / np.sqrt(variance)
    return out


def psnr_of(error: NDArray[np.int64]) -> Floats:
    """PSNR of the mean squared error of each level."""
    return np.array([psnr_of_mse(float(value) / TILE**2) for value in error.mean(axis=1)])


def best_psnr(size: Floats, psnr: Floats) -> Floats:
    """PSNR of the upper convex hull at each size: the best curve, since images may be encoded at different levels."""
    hull: list[int] = []
    for index in np.lexsort((psnr, size)):
        while len(hull) > 1:
            a, b = hull[-2:]
            if (psnr[b] - psnr[a]) * (size[index] - size[a]) > (psnr[index] - psnr[a]) * (size[b] - size[a]):
                break
            hull.pop()
        hull.append(index)
    return np.interp(size, size[hull], psnr[hull])
