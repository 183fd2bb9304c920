"""Which hundred levels the qualities use: chosen so that size and PSNR rise with every one of them.

Along the levels neither rises steadily. Weights that hang on the level are rounded to integers, a level at a time, and where
a channel of the latent falls silent the size drops by a byte or two within a hundredth of a level. So levels on a fine grid
are tried on held-out images, as the exported integers code them, and a hundred of them are picked: each surely a step up in
both size and PSNR, all steps as even as can be, and none of them poor for its size.
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

GRID = 2 * QUALITIES  # levels that are tried
IMAGES = 1000
PART = 250  # images measured together
SURE = 4.0  # standard errors that a step is above zero by, so that it is one for other images, too
BYTE = 0.2  # dB that a byte counts for in the evenness of steps; with it quality 50, the default, takes about 23 bytes
SHORT = 2.0  # dB of unevenness that a dB below the best curve counts for
FALL = 1e6  # what a step that is none costs, against squares of dB

Floats = NDArray[np.float64]


def choose(coder: Coder, images: Tensor, run: Run) -> Tensor:
    """The level of each quality, shape (100,), from 0 to 1, for a quantized codec.

    Args:
        images: held-out images, uint8 of shape ``(N, 1, 28, 28)``; the first 1,000 are used.
        run: its folder keeps ``levels.npz``, what every level gave; where that is there for the same weights, nothing is
            measured again.
    """
    kept = run.folder / "levels.npz"
    grid = torch.from_numpy(np.linspace(0, 1, GRID, dtype=np.float32))
    parts = [export(coder, part) for part in torch.split(grid, QUALITIES)]
    digest = np.frombuffer(hashlib.sha256(b"".join(parts)).digest(), np.uint8)
    if not kept.exists() or not np.array_equal(np.load(kept).get("digest"), digest):
        tried = images[:IMAGES, 0].numpy()
        rows = []
        for part, content in zip(torch.split(grid, QUALITIES), parts, strict=True):
            model = read_model(content, "levels")
            rows += [measure(model, tried, quality) for quality in range(1, QUALITIES + 1)]
            run.log(f"levels up to {part[-1]:.2f} tried on {len(tried)} images")
        size, error = (np.array(values) for values in zip(*rows, strict=True))
        np.savez(kept, size=size, error=error, digest=digest)
    with np.load(kept) as known:
        size, error = known["size"], known["error"]
    chosen = climb(size, error, QUALITIES)
    mean, psnr = size.mean(axis=1)[chosen], psnr_of(error)[chosen]
    run.log(
        f"{QUALITIES} of {GRID} levels chosen, the least steps {np.diff(mean).min():.3f} bytes, {np.diff(psnr).min():.3f} dB"
    )
    return grid[torch.from_numpy(chosen)]


def measure(model: Model, images: Pixels, quality: int) -> tuple[Floats, NDArray[np.int64]]:
    """Ideal bytes and squared error of each image at effort 0."""
    size, error = np.empty(len(images)), np.empty(len(images), np.int64)
    for start in range(0, len(images), PART):
        part = slice(start, start + PART)
        x = images[part]
        row = np.full(len(x), model.quality_index(quality))
        y = model.transforms.analyse(x, row)
        _, freqs = model.prior.intervals(y, row)
        size[part] = COST[freqs].sum(axis=1) / (8 * BIT)
        error[part] = np.square(model.transforms.synthesize(y, row).astype(np.int64) - x).sum(axis=(1, 2))
    return size, error


def climb(size: Floats, error: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` levels from the first to the last, each a step up in size and PSNR, as even as can be.

    The sum of the squares of steps and of what levels lack in PSNR is made least by dynamic programming; a step that is not
    sure is taken only where there is no way around.

    Args:
        size: bytes of every image at every level, shape ``(levels, images)``.
        error: squared error, likewise.
    """
    mean, psnr = size.mean(axis=1), psnr_of(error)
    height = psnr + BYTE * mean
    rises = (gains(size) >= SURE) & (gains(-error) >= SURE)
    cost = np.where(rises, np.square(height - height[:, None]), FALL) + np.square(SHORT * (best_psnr(mean, psnr) - psnr))
    cost[np.tril_indices(len(cost))] = np.inf
    least = np.full(len(cost), np.inf)
    least[0] = 0.0
    came: list[NDArray[np.int64]] = []
    for _ in range(count - 1):
        total = least[:, None] + cost
        came.append(total.argmin(axis=0))
        least = total.min(axis=0)
    path = [len(cost) - 1]
    for before in reversed(came):
        path.append(int(before[path[-1]]))
    return np.array(path[::-1])


def gains(values: NDArray[np.number]) -> Floats:
    """By how many standard errors the mean over images rises from one level to another: (levels, images) -> (from, to)."""
    mean, spread = values.mean(axis=1), np.cov(values)
    own = np.diag(spread)
    variance = np.maximum(own + own[:, None] - 2 * spread, 1e-9) / values.shape[1]
    told: Floats = (mean - mean[:, None]) / np.sqrt(variance)
    return told


def psnr_of(error: NDArray[np.int64]) -> Floats:
    """PSNR of the mean squared error of each level."""
    return np.array([psnr_of_mse(float(value) / TILE**2) for value in error.mean(axis=1)])


def best_psnr(size: Floats, psnr: Floats) -> Floats:
    """What the upper convex hull of all points has at each size: the best curve, as images may be coded at mixed levels."""
    hull: list[int] = []
    for at in np.lexsort((psnr, size)):
        while len(hull) > 1:
            a, b = hull[-2:]
            if (psnr[b] - psnr[a]) * (size[at] - size[a]) > (psnr[at] - psnr[a]) * (size[b] - size[a]):
                break
            hull.pop()
        hull.append(at)
    return np.interp(size, size[hull], psnr[hull])
