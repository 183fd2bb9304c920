"""Files of single images: at a quality, lossless, or within a budget, by one model or by the best of several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mnistzip.bitstream import container
from mnistzip.bitstream.bounded import in_words, nearest
from mnistzip.bitstream.stored import store
from mnistzip.coding import lossless
from mnistzip.coding.batches import TILES_TOGETHER, batches
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.lossless_choice import plan_lossless
from mnistzip.coding.lossy import LossyBatch, is_lossy, require_fits
from mnistzip.coding.lossy_decoder import lossy_header
from mnistzip.coding.model_choice import Candidate, plan_lossy
from mnistzip.coding.plans import Plan, grouped
from mnistzip.errors import LimitError
from mnistzip.limits import DECODED_PIXELS_MAX, ERROR_MAX, GREY_PIXELS_MAX, PIXELS_MAX
from mnistzip.metrics import mse, psnr
from mnistzip.models.registry import Model
from mnistzip.tiling import tiles_of
from mnistzip.types import Mode, Pixels

BOUNDS_AHEAD = 4  # bounds tried below the result of a bisection


def encode_at_quality(images: list[Pixels], candidates: Sequence[Candidate], effort: int) -> list[bytes]:
    """Files at the quality of the candidates, some of them lossless: see :mod:`mnistzip.coding.model_choice`."""
    out: list[bytes] = []
    for batch in batches(images, tiles_of, TILES_TOGETHER):
        out += _files_of_plans(batch, plan_lossy(batch, candidates, effort))
    return out


def encode_lossless(
    images: list[Pixels], models: Sequence[Model], max_bytes: int | None = None, first: int = 0, max_error: int = 0
) -> list[bytes]:
    """The smallest files that keep every pixel or, with ``max_error``, every pixel within so many grey levels.

    Args:
        first: the number of the first image, for errors.

    Raises:
        LimitError: a file has more than ``max_bytes``.
    """
    out: list[bytes] = []
    for batch in batches(images, tiles_of, TILES_TOGETHER):
        out += _files_of_plans(batch, plan_lossless(batch, models, max_error=max_error))
    for index, file in enumerate(out, first):
        require_fits(file, max_bytes, index, in_words(max_error) if max_error else "lossless")
    return out


def encode_to_size(images: list[Pixels], models: Sequence[Model], effort: int, max_bytes: int, first: int = 0) -> list[bytes]:
    """Files of ``max_bytes`` at most, each with the least error of all models, lossy, bounded or lossless.

    Raises:
        LimitError: an image takes more bytes at the lowest quality of every model.
    """
    lossless_files = encode_lossless(images, models)
    inexact = [k for k, file in enumerate(lossless_files) if len(file) > max_bytes and _may_be_bounded(images[k])]
    bounded = _bounded_to_size([images[k] for k in inexact], models, max_bytes)
    return _best_of_models(
        images,
        models,
        effort,
        encode=lambda batch: batch.encode_to_size(max_bytes, lossless_files, first),
        rank=lambda size, error: (error, size),
        others={k: file for k, file in zip(inexact, bounded, strict=True) if file is not None},
    )


def encode_to_psnr(
    images: list[Pixels],
    models: Sequence[Model],
    effort: int,
    min_psnr: float,
    max_bytes: int | None = None,
    first: int = 0,
) -> list[bytes]:
    """The smallest files that reach a PSNR in dB, lossy, bounded or lossless.

    Raises:
        LimitError: a file has more than ``max_bytes``.
    """
    lossless_files = encode_lossless(images, models)
    bounds = [_largest_error(image, min_psnr) if _may_be_bounded(image) else 0 for image in images]
    best = _best_of_models(
        images,
        models,
        effort,
        encode=lambda batch: batch.encode_to_psnr(min_psnr, lossless_files),
        rank=lambda size, error: (size, error),
        others=_bounded_files(images, models, {k: bound for k, bound in enumerate(bounds) if bound}),
    )
    for index, file in enumerate(best, first):
        require_fits(file, max_bytes, index, f"for {min_psnr:g} dB")
    return best


def _best_of_models(
    images: list[Pixels],
    models: Sequence[Model],
    effort: int,
    encode: Callable[[LossyBatch], Sequence[bytes | LimitError]],
    rank: Callable[[int, float], tuple[float, float]],
    others: dict[int, bytes],
) -> list[bytes]:
    """For each image the file of lowest rank among those of all models, and others.

    Args:
        images: uint8 ``(H, W)`` each.
        models: tried one by one.
        effort: 0..9.
        encode: the files of a model, or errors.
        rank: of a file, by its bytes and its mean squared error.
        others: bounded files of some of the images.
    """
    if any(image.size > GREY_PIXELS_MAX for image in images):  # decoders refuse such a file of grey by default
        models = [model for model in models if not model.is_grey] or models
    best = {k: (rank(len(file), _error_within_bound(images[k], file)), file) for k, file in others.items()}
    failures: dict[int, LimitError] = {}
    for model in models:
        batch = LossyBatch(model, images, effort)
        results = encode(batch)
        files = {k: file for k, file in enumerate(results) if isinstance(file, bytes)}
        failures = {k: error for k, error in enumerate(results) if isinstance(error, LimitError)} | failures
        for k, error in _errors(batch, files).items():
            ranked = rank(len(files[k]), error)
            if k not in best or ranked < best[k][0]:
                best[k] = ranked, files[k]
    for k, failure in failures.items():
        if k not in best:
            raise failure
    return [best[k][1] for k in range(len(images))]


def _may_be_bounded(image: Pixels) -> bool:
    """Whether decoders take a bounded file of the image without ``max_pixels``; no budget needs one that they refuse."""
    return image.size <= DECODED_PIXELS_MAX[Mode.BOUNDED]


def _largest_error(image: Pixels, min_psnr: float) -> int:
    """The largest bound whose nearest grey levels reach a PSNR in dB; 0 if there is none."""
    return next((bound for bound in range(ERROR_MAX, 0, -1) if psnr(image, nearest(image, bound)) >= min_psnr), 0)


def _bounded_files(images: Sequence[Pixels], models: Sequence[Model], bounds: dict[int, int]) -> dict[int, bytes]:
    """Files of some images, by their indices, each within its bound."""
    out: dict[int, bytes] = {}
    for bound in sorted(set(bounds.values())):
        which = [k for k, wanted in bounds.items() if wanted == bound]
        out |= zip(which, encode_lossless([images[k] for k in which], models, max_error=bound), strict=True)
    return out


def _bounded_to_size(images: Sequence[Pixels], models: Sequence[Model], max_bytes: int) -> list[bytes | None]:
    """For each image the file of ``max_bytes`` at most with the least error; None if there is none.

    The search is a bisection over the bounds with less error than all larger ones. Size does not fall quite steadily with the
    bound, so a few bounds below the result are tried as well.
    """
    bounds = [_useful_bounds(image) for image in images]
    files: dict[int, bytes] = {}
    low, high = [0] * len(images), [len(each) - 1 for each in bounds]
    position = dict(enumerate(high))  # the largest bound first: if its file is too large, so are most others
    while position:
        coded = _bounded_files(images, models, {k: bounds[k][at] for k, at in position.items()})
        for k, file in coded.items():
            if len(file) <= max_bytes:
                files[k], high[k] = file, position[k] - 1
            elif k not in files:
                high[k] = -1
            else:
                low[k] = position[k] + 1
        position = {k: (low[k] + high[k]) // 2 for k in position if low[k] <= high[k]}
    for below in range(1, BOUNDS_AHEAD + 1):
        wanted = {k: bounds[k][high[k] + 1 - below] for k in files if high[k] + 1 >= below}
        found = {k: file for k, file in _bounded_files(images, models, wanted).items() if len(file) <= max_bytes}
        files |= found  # of ever smaller bounds
    return [files.get(k) for k in range(len(images))]


def _useful_bounds(image: Pixels) -> list[int]:
    """The bounds whose error is less than that of all larger ones, rising."""
    useful: list[int] = []
    least = math.inf
    for bound in range(ERROR_MAX, 0, -1):
        error = mse(image, nearest(image, bound))
        if error < least:
            useful.append(bound)
            least = error
    return useful[::-1]


def _error_within_bound(image: Pixels, file: bytes) -> float:
    """Mean squared error of a bounded or lossless file."""
    return mse(image, nearest(image, container.parse(file, PIXELS_MAX)[0].max_error or 0))


def _errors(batch: LossyBatch, files: dict[int, bytes]) -> dict[int, float]:
    """Mean squared error of the files of some images."""
    lossy_images = [k for k, file in files.items() if is_lossy(file)]
    decoded = batch.decode([files[k] for k in lossy_images])
    errors = {k: mse(batch.images[k], image) for k, image in zip(lossy_images, decoded, strict=True)}
    return {k: errors.get(k, 0.0) for k in files}


def _files_of_plans(images: list[Pixels], plans: Sequence[Plan]) -> list[bytes]:
    """The file of each image by its plan, or by the plan's alternative if that costs less or its file is no larger."""
    out: dict[int, bytes] = {}
    plans = [plan.alternative if plan.alternative is not None and plan.saving else plan for plan in plans]
    for which, alike in grouped(plans):
        some, model = [images[k] for k in which], alike[0].model
        if model is None:
            files = [store(image) for image in some]
        elif alike[0].mode is not Mode.LOSSY:
            symbols = [plan.symbols for plan in alike if plan.symbols is not None]
            files = lossless.encode_files(model, some, symbols, alike[0].max_error)
        else:
            files = _lossy_files(model, some, alike)
        out |= zip(which, files, strict=True)
    others = [k for k, plan in enumerate(plans) if plan.alternative is not None]
    if others:
        alternatives = [plan.alternative for plan in plans if plan.alternative is not None]
        for k, file in zip(others, _files_of_plans([images[k] for k in others], alternatives), strict=True):
            out[k] = min(file, out[k], key=len)
    return [out[k] for k in range(len(images))]


def _lossy_files(model: Model, images: list[Pixels], plans: Sequence[Plan]) -> list[bytes]:
    """Lossy files of one model, given their symbols."""
    latents = [[plan.latent] for plan in plans if plan.latent is not None]
    pairs = zip(images, plans, strict=True)
    headers = [lossy_header(model, image.shape, plan.quality or 0).to_bytes() for image, plan in pairs]
    payloads = kind_of(model).encode(headers, latents)
    return [header + payload for header, payload in zip(headers, payloads, strict=True)]
