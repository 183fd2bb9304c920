"""``model="auto"``: every candidate codes an image, and the better file is kept.

Of files that keep every pixel, or reach a PSNR, that is the smaller one; of files that fit a budget, the one with less error.
Of files of a quality it is the one with fewer bits + lmbda * squared error, lmbda being what the first candidate's quality was
trained for. Qualities are a scale of each model's own: the others code at theirs whose lmbda is nearest to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistzip import model as models
from mnistzip.errors import LimitError
from mnistzip.metrics import mse
from mnistzip.model import Model
from mnistzip.refine import BIT, LMBDA_SHIFT

Pixels = NDArray[np.uint8]
Rank = Callable[[int, float], tuple[float, ...]]  # bytes and squared error -> the lower the better


@dataclass(frozen=True)
class Candidate:
    """A model, and the quality it codes at; None where every pixel is kept."""

    model: Model
    quality: int | None


def candidates(model: str | Path | Model, quality: int | None) -> tuple[Candidate, ...]:
    """Who codes an image: one model, or several where it is ``auto``.

    Raises:
        ModelError: no such model.
    """
    first, *others = models.candidates(model)
    if quality is None:
        return tuple(Candidate(each, None) for each in (first, *others))
    wanted = np.log2(first.lmbda[first.row(quality)])
    nearest = [1 + int(np.argmin(np.abs(np.log2(other.lmbda) - wanted))) for other in others]
    return (Candidate(first, quality), *(Candidate(other, at) for other, at in zip(others, nearest, strict=True)))


def smallest(size: int, squared_error: float) -> tuple[float, ...]:
    """The fewest bytes."""
    return size, squared_error


def truest(size: int, squared_error: float) -> tuple[float, ...]:
    """The least error."""
    return squared_error, size


def balanced(first: Candidate) -> Rank:
    """The least bits + lmbda * squared error in squared grey levels, by the lmbda of a candidate's quality."""
    if first.quality is None:
        return smallest
    lmbda = float(first.model.lmbda[first.model.row(first.quality)]) / (BIT << LMBDA_SHIFT)
    return lambda size, squared_error: (8 * size + lmbda * squared_error,)


def best_files(
    images: Sequence[Pixels],
    every: Sequence[Candidate],
    encode: Callable[[Candidate, list[Pixels]], list[bytes]],
    decode: Callable[[list[bytes]], list[Pixels]],
    rank: Rank,
) -> list[bytes]:
    """For each image the best file that a candidate makes of it, the earlier one where two are as good.

    Raises:
        LimitError: all of them exceed a budget; the message is the first one's.
    """
    best: dict[int, tuple[tuple[float, ...], bytes]] = {}
    failures: dict[int, LimitError] = {}
    for candidate in every:
        made = _attempt(partial(encode, candidate), list(images))
        files = {k: file for k, file in enumerate(made) if isinstance(file, bytes)}
        failures = {k: file for k, file in enumerate(made) if isinstance(file, LimitError)} | failures
        for (k, file), image in zip(files.items(), decode(list(files.values())), strict=True):
            ranked = rank(len(file), mse(images[k], image) * image.size)
            if k not in best or ranked < best[k][0]:
                best[k] = ranked, file
    for k, cause in failures.items():
        if k not in best:
            raise LimitError(f"image {k}: {cause}" if k else str(cause))
    return [best[k][1] for k in range(len(images))]


def _attempt(encode: Callable[[list[Pixels]], list[bytes]], images: list[Pixels]) -> Sequence[bytes | LimitError]:
    """Files of images, or why there is none; where a batch fails, by halves."""
    try:
        return encode(images)
    except LimitError as error:
        if len(images) == 1:
            return [error]
        middle = len(images) // 2
        return [*_attempt(encode, images[:middle]), *_attempt(encode, images[middle:])]
