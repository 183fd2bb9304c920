"""Files of single images: by a quality, without loss, or within a budget, by one model or by whichever suits an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mnistzip.bitstream.stored import store
from mnistzip.coding.lossless import kept_files
from mnistzip.coding.lossy import LossyBatch, encode_streams, is_lossy, require_fits
from mnistzip.coding.model_choice import Candidate, Plan, grouped, plan_lossless, plan_lossy
from mnistzip.coding.stream_layout import TILES_TOGETHER, batches, header_of
from mnistzip.errors import LimitError
from mnistzip.metrics import mse
from mnistzip.models.registry import Model
from mnistzip.tiling import tiles_in
from mnistzip.types import Mode, Pixels


def lossy_files(images: list[Pixels], every: Sequence[Candidate], effort: int) -> list[bytes]:
    """Files at the quality of the candidates, some of which keep every pixel: see :mod:`mnistzip.coding.model_choice`."""
    out: list[bytes] = []
    for some in _batches(images):
        out += _files(some, plan_lossy(some, every, effort))
    return out


def lossless_files(images: list[Pixels], models: Sequence[Model], max_bytes: int | None = None) -> list[bytes]:
    """The smallest files that keep every pixel.

    Raises:
        LimitError: a file has more than ``max_bytes``.
    """
    out: list[bytes] = []
    for some in _batches(images):
        out += _files(some, plan_lossless(some, models))
    for index, file in enumerate(out):
        require_fits(file, max_bytes, index, "lossless")
    return out


def files_within(images: list[Pixels], models: Sequence[Model], effort: int, max_bytes: int) -> list[bytes]:
    """Files of at most so many bytes with the least error that any model gives; none, where every pixel fits.

    Raises:
        LimitError: an image takes more bytes at the lowest quality of every model.
    """
    kept = lossless_files(images, models)

    def files(batch: LossyBatch) -> Sequence[bytes | LimitError]:
        return batch.fit(max_bytes, kept)

    return _best(images, models, effort, files, lambda size, error: (error, size))


def files_that_reach(
    images: list[Pixels], models: Sequence[Model], effort: int, min_psnr: float, max_bytes: int | None
) -> list[bytes]:
    """The smallest files that reach a PSNR in dB.

    Raises:
        LimitError: a file has more than ``max_bytes``.
    """
    kept = lossless_files(images, models)
    best = _best(images, models, effort, lambda batch: batch.reach(min_psnr, kept), lambda size, error: (size, error))
    for index, file in enumerate(best):
        require_fits(file, max_bytes, index, f"for {min_psnr:g} dB")
    return best


def _best(
    images: list[Pixels],
    models: Sequence[Model],
    effort: int,
    files: Callable[[LossyBatch], Sequence[bytes | LimitError]],
    rank: Callable[[int, float], tuple[float, float]],
) -> list[bytes]:
    """For each image the file of lowest rank that a model makes of it; ``rank`` is given bytes and mean squared error."""
    best: dict[int, tuple[tuple[float, float], bytes]] = {}
    failures: dict[int, LimitError] = {}
    for model in models:
        batch = LossyBatch(model, images, effort)
        made = files(batch)
        good = {k: file for k, file in enumerate(made) if isinstance(file, bytes)}
        failures = {k: error for k, error in enumerate(made) if isinstance(error, LimitError)} | failures
        for k, error in _errors(batch, good).items():
            ranked = rank(len(good[k]), error)
            if k not in best or ranked < best[k][0]:
                best[k] = ranked, good[k]
    for k, failure in failures.items():
        if k not in best:
            raise failure
    return [best[k][1] for k in range(len(images))]


def _errors(batch: LossyBatch, files: dict[int, bytes]) -> dict[int, float]:
    """Mean squared error of the files of some images."""
    lossy = [k for k, file in files.items() if is_lossy(file)]
    decoded = batch.decode([files[k] for k in lossy])
    errors = {k: mse(batch.images[k], image) for k, image in zip(lossy, decoded, strict=True)}
    return {k: errors.get(k, 0.0) for k in files}


def _batches(images: list[Pixels]) -> Iterator[list[Pixels]]:
    tiles = [tiles_in(image.shape[1], image.shape[0]) for image in images]
    for batch in batches(range(len(images)), tiles, TILES_TOGETHER):
        yield [images[k] for k in batch]


def _files(images: list[Pixels], plans: Sequence[Plan]) -> list[bytes]:
    """The files of plans."""
    out: dict[int, bytes] = {}
    for which, alike in grouped(plans):
        some, model = [images[k] for k in which], alike[0].model
        if model is None:
            files = [store(image) for image in some]
        elif alike[0].mode is Mode.LOSSLESS:
            files = kept_files(model, some, [plan.symbols for plan in alike if plan.symbols is not None])
        else:
            files = _lossy(model, some, alike)
        out |= zip(which, files, strict=True)
    others = [k for k, plan in enumerate(plans) if plan.alternative is not None]
    if others:
        alternatives = [plan.alternative for plan in plans if plan.alternative is not None]
        for k, file in zip(others, _files([images[k] for k in others], alternatives), strict=True):
            out[k] = min(file, out[k], key=len)
    return [out[k] for k in range(len(images))]


def _lossy(model: Model, images: list[Pixels], plans: Sequence[Plan]) -> list[bytes]:
    """Lossy files of one model."""
    symbols = [plan.y for plan in plans if plan.y is not None]
    qualities = [plan.quality or 0 for plan in plans]
    counts = [len(y) for y in symbols]
    pairs = zip(images, qualities, strict=True)
    headers = [header_of(model, image.shape, quality).to_bytes() for image, quality in pairs]
    row = np.repeat([model.quality_index(quality) for quality in qualities], counts)
    payloads = encode_streams(model, headers, counts, np.concatenate(symbols), row)
    return [header + payload for header, payload in zip(headers, payloads, strict=True)]
