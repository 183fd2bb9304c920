"""The search for latents of whole images with less bits + lmbda * squared error.

The gradient of the squared error gives each symbol a target: where a parabola through the error has its least. From the target
and the symbol's own distribution follows what a change by one would save. That is an estimate, as a symbol also changes the
distributions of those after it. So the changes that promise to save something are tried for real, all together; where that
fails, one half after the other, and so on. Only what lowers the true cost is kept.

All costs are integers, and gradients are equal on every machine (:mod:`mnistzip.nn.backward`), so every engine finds the same
symbols.
"""

from __future__ import annotations

import numpy as np

from mnistzip.entropy.cost import COST, LMBDA_SHIFT
from mnistzip.models.grey.distribution import MEAN_BITS, Distributions
from mnistzip.models.grey.grey_model import CURVATURE_SHIFT, GreyModel
from mnistzip.models.grey.prior import CHANNELS
from mnistzip.types import Floats, Integers, Pixels

TRIALS = (0, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # evaluations of the cost of an image, by effort
SEARCHED = 1 << 12  # positions of a latent; larger ones are not searched
CHANGES = 256  # tried together at most
TARGET_MAX = 1 << 12  # 256ths of a symbol between a symbol and its target
WORST = -(1 << 62)  # a saving


def refine(model: GreyModel, x: Pixels, y: Integers, quality: int, effort: int, lmbda: int) -> Integers:
    """Symbols of less cost.

    Args:
        x: the image, shape ``(H, W)``.
        y: the symbols to start from, shape ``(h, w, 16)``.
        quality: an index from 0.
        effort: 0..9, how long to search.
        lmbda: the weight of the squared error, in the unit of :mod:`mnistzip.entropy.cost`.
    """
    best = y.copy()
    if y.shape[0] * y.shape[1] > SEARCHED:
        return best
    least = cost(model, x, best, quality, lmbda)
    left = TRIALS[effort]
    while left > 0:
        savings, changes = _proposals(model, x, best, quality, lmbda)
        order = np.argsort(-savings, kind="stable")[:CHANGES]
        pending = [order[savings[order] > 0]] if savings[order[0]] > 0 else []
        before = least
        while pending and left > 0:
            which = pending.pop()
            tried = best.copy()
            tried.reshape(-1)[which] += changes[which]
            left -= 1
            total = cost(model, x, tried, quality, lmbda)
            if total < least:
                best, least = tried, total
            elif len(which) > 1:
                half = len(which) // 2
                pending += [which[half:], which[:half]]
        if least == before:
            break
    return best


def cost(model: GreyModel, x: Pixels, y: Integers, quality: int, lmbda: int) -> int:
    """Bits plus lmbda * squared error of an image, in units of 2^-14 / BIT bits."""
    _, freqs = model.prior.intervals(y[None], quality)
    x_hat = model.synthesize(y[None], quality, *x.shape)[0]
    error = int(np.square(x_hat.astype(np.int64) - x).sum())
    return (int(COST[freqs].sum()) << LMBDA_SHIFT) + lmbda * error


def _proposals(model: GreyModel, x: Pixels, y: Integers, quality: int, lmbda: int) -> tuple[Integers, Integers]:
    """For each symbol, row by row, what the better change by one is estimated to save, and the change: -1 or 1."""
    target = y * (1 << MEAN_BITS) - _distance(model, x, y, quality)
    curvature = model.curvature[quality]
    savings, changes = np.full((2, *y.shape), WORST, np.int64)
    parts = model.prior.distributions(y[None], quality)
    for rows, columns, channel, distributions in parts:
        at = rows, columns, channel
        symbol, wanted = y[at].reshape(-1), target[at].reshape(-1)

        def estimate(
            value: Integers,
            distributions: Distributions = distributions,
            wanted: Integers = wanted,
            weight: int = lmbda * int(curvature[channel]),
        ) -> Integers:
            _, freq = distributions.interval(value + distributions.bound)
            error = np.square(wanted - (value << MEAN_BITS)) >> MEAN_BITS
            total: Integers = (COST[freq] << LMBDA_SHIFT) + (weight * error >> CURVATURE_SHIFT + MEAN_BITS)
            return total

        now, best, change = estimate(symbol), np.full(symbol.shape, WORST), np.ones(symbol.shape, np.int64)
        for step in (-1, 1):
            value = symbol + step
            inside = np.abs(value) <= distributions.bound
            saving = np.where(inside, now - estimate(np.where(inside, value, symbol)), WORST)
            change = np.where(saving > best, step, change)
            best = np.maximum(best, saving)
        savings[at], changes[at] = best.reshape(y[at].shape), change.reshape(y[at].shape)
    return savings.reshape(-1), changes.reshape(-1)


def _distance(model: GreyModel, x: Pixels, y: Integers, quality: int) -> Integers:
    """How far each symbol lies above its target, in 256ths: half the gradient of the squared error over the curvature."""
    grey, tapes = model.trace(y[None], quality)
    height, width = x.shape
    difference: Floats = np.zeros(grey.shape, np.float32)
    difference[0, :height, :width] = grey[0, :height, :width] - x
    gradient = model.back(tapes, difference, quality)[0]
    scale = np.float32(1 << MEAN_BITS + CURVATURE_SHIFT)
    distance = np.rint(gradient * scale / model.curvature[quality].astype(np.float32))
    clipped: Integers = distance.clip(-TARGET_MAX, TARGET_MAX).astype(np.int64)
    return clipped.reshape(*y.shape[:2], CHANNELS)
