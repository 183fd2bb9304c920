"""Search for a better latent: fewer bits + lmbda * squared error, counted as the coder and the decoder count them.

The analysis network guesses the latent in one go; this tries for each image the symbols that were rounded with the least
conviction the other way, one after the other, and keeps what lowers the cost. Everything is integers, so every machine
finds the same latent. The decoder never knows.

Source: Campos et al. 2019, arXiv 1906.01223 (content-adaptive refinement), here as a discrete search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzip import rans
from mnistzip.intnet import Rows
from mnistzip.model import Model
from mnistzip.transform import TILE, chunks

TRIALS = (0, 4, 8, 16, 24, 36, 54, 80, 120, 196)  # symbols tried per image at effort 0..9
BIT = 256  # one bit in COST
LMBDA_SHIFT = 14  # model.lmbda weighs squared grey levels against COST in units of 2^-14

Ints = NDArray[np.int64]

# Cost of a symbol by its frequency. No entry lies near a rounding edge, so any libm gives this table (a test checks it).
COST = np.zeros(rans.TOTAL + 1, np.int64)
COST[1:] = np.rint(BIT * (rans.PROBABILITY_BITS - np.log2(np.arange(1, rans.TOTAL + 1))))


def refine(model: Model, x: NDArray[np.uint8], y: Ints, value: Ints, row: Rows, effort: int) -> Ints:
    """Better symbols for images.

    Args:
        x: images, shape ``(N, 28, 28)``.
        y, value: what :meth:`~mnistzip.transform.Transforms.analyse` gave for them, shape ``(N, 196)``.
        row: index of each image's quality, shape ``(N,)``.
        effort: 0..9, how many symbols to try.

    Returns:
        Symbols, shape ``(N, 196)``.
    """
    if not TRIALS[effort]:
        return y
    out = y.copy()
    for part in chunks(len(x)):
        out[part] = _refine_chunk(model, x[part], y[part], value[part], row[part], TRIALS[effort])
    return out


def _refine_chunk(model: Model, x: NDArray[np.uint8], y: Ints, value: Ints, row: Rows, trials: int) -> Ints:
    everyone = np.arange(len(x))
    symbols = model.transforms.symbols
    offset = value - (y << model.transforms.fine_shift)  # how far each value lies from the symbol chosen
    other = np.clip(y + np.where(offset < 0, -1, 1), symbols.low, symbols.high)
    order = np.argsort(-np.abs(offset), axis=1, kind="stable")
    best = _cost(model, x, y, row)
    for t in range(trials):
        at = order[:, t]
        trial = y.copy()
        trial[everyone, at] = other[everyone, at]
        cost = _cost(model, x, trial, row)
        better = cost < best
        best = np.where(better, cost, best)
        y = np.where(better[:, None], trial, y)
    return y


def _cost(model: Model, x: NDArray[np.uint8], y: Ints, row: Rows) -> Ints:
    """Bits + lmbda * squared error of each image: (N,)."""
    _, freqs = model.prior.intervals(y, row)
    error = model.transforms.synthesize(y, row).astype(np.int64) - x
    distortion = np.square(error).reshape(len(x), TILE * TILE).sum(axis=1)
    return (COST[freqs].sum(axis=1) << LMBDA_SHIFT) + model.lmbda[row] * distortion
