"""Plans that keep every pixel, or every pixel within a bound: by bitmaps, pixel models or deflate, whichever is smallest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mnistzip.bitstream.bounded import nearest
from mnistzip.bitstream.checksums import CHECK16_BYTES
from mnistzip.bitstream.stored import bodies_below
from mnistzip.bitstream.stream_layout import TILES_PER_STREAM
from mnistzip.coding.estimates import is_mnist, looks_like_a_digit
from mnistzip.coding.lossless import pixel_symbols
from mnistzip.coding.plans import BYTE, INFEASIBLE, Plan, cheapest
from mnistzip.limits import GREY_STEPS_MAX
from mnistzip.models import registry
from mnistzip.models.model import pixel_steps
from mnistzip.models.registry import Model
from mnistzip.tiling import TILE, tiles_of
from mnistzip.types import Mode, Pixels

PIXEL_MODEL_BYTES_MIN = 2  # of a tile
DIGIT_BYTES_PER_GREY = 0.9  # most lossless bytes of a digit for each pixel that is neither black nor white


def plan_lossless(
    images: Sequence[Pixels], models: Sequence[Model], use_bits: int = 0, max_error: int = 0, with_bitmaps: bool = True
) -> list[Plan]:
    """A plan for each image that keeps every pixel, or every pixel within a bound.

    It is the smallest result of the pixel models, of bitmaps and of deflate. Bitmaps and deflated images are always exact.

    Args:
        images: uint8 ``(H, W)`` each.
        models: some may have no pixel model.
        use_bits: cost of each choice that any image uses, in units of 1 / BIT bits: a part of an archive's group.
        max_error: how far the pixel models may change a pixel, in grey levels, 0 to 64.
        with_bitmaps: whether digits are tried as bitmaps, if there are several models.
    """
    mode = Mode.BOUNDED if max_error else Mode.LOSSLESS
    levels = [nearest(image, max_error) for image in images]
    plain = {k: plan for k, image in enumerate(images) if (plan := _almost_empty(image)) is not None}
    choices: list[dict[int, Plan]] = []  # for each pixel model the plans of images that it was tried on
    tried = [k for k in range(len(images)) if k not in plain]
    bitmaps: dict[int, Plan] = {}
    if with_bitmaps and tries_bitmaps(models):
        plans = plan_bitmaps([images[k] for k in tried])
        bitmaps = {k: plan for k, plan in zip(tried, plans, strict=True) if plan is not None}
        if not max_error:  # bitmaps take fewer bits than pixel models, unless these may change pixels
            tried = [k for k in tried if k not in bitmaps]
    for model in models:
        if not model.has_pixel_model:
            continue
        if choices:
            tried = [k for k in tried if not _is_typical(levels[k], choices[0][k])]
        if model.is_grey:
            tried = [k for k in tried if pixel_steps(*images[k].shape) <= GREY_STEPS_MAX]  # more are refused by default
        choices.append({})
        for k, symbols in zip(tried, pixel_symbols(model, [levels[k] for k in tried], max_error), strict=True):
            if symbols is None:
                continue
            choices[-1][k] = Plan(mode, model, None, symbols.bits, symbols=symbols, max_error=max_error)
            _drop_symbols([plans for plans in choices if k in plans], k)
    choices = [bitmaps, *choices]
    least = {k: min((plans[k].bits for plans in choices if k in plans), default=None) for k in range(len(images))}
    rest = [k for k in range(len(images)) if k not in plain]
    stored = zip(rest, plan_stored([images[k] for k in rest], [least[k] for k in rest]), strict=True)
    choices.append(plain | {k: plan for k, plan in stored if plan is not None})
    costs = [[plans[k].bits if k in plans else INFEASIBLE for k in range(len(images))] for plans in choices]
    best = cheapest(np.array(costs, np.int64), use_bits)
    return [_with_symbols(levels[k], choices[number][k]) for k, number in enumerate(best.tolist())]


def tries_bitmaps(models: Sequence[Model]) -> bool:
    """Whether digits are tried as bitmaps: not if one model was asked for."""
    return len(models) > 1


def plan_bitmaps(images: Sequence[Pixels]) -> list[Plan | None]:
    """A lossless plan for each image that is a digit made from a bitmap."""
    out: list[Plan | None] = [None] * len(images)
    tiles = [k for k, image in enumerate(images) if image.shape == (TILE, TILE)]
    if not tiles:
        return out
    model = registry.shipped(registry.BITMAPS)
    for k, symbols in zip(tiles, pixel_symbols(model, [images[k] for k in tiles]), strict=True):
        if symbols is not None:
            out[k] = Plan(Mode.LOSSLESS, model, None, symbols.bits, symbols=symbols)
    return out


def _drop_symbols(choices: Sequence[dict[int, Plan]], k: int) -> None:
    """Drop the symbols of all plans of an image but the smallest: together they would take much memory."""
    least = min(plans[k].bits for plans in choices)
    for plans in choices:
        if plans[k].bits > least:
            plans[k] = replace(plans[k], symbols=None)


def _with_symbols(image: Pixels, plan: Plan) -> Plan:
    """A lossless plan with its symbols, computed again if they were dropped."""
    if plan.model is None or plan.symbols is not None:
        return plan
    return replace(plan, symbols=pixel_symbols(plan.model, [image], plan.max_error)[0])  # it has some, as it had before


def _almost_empty(image: Pixels) -> Plan | None:
    """A stored plan, if the image has many tiles and is stored in fewer bytes than a pixel model could reach."""
    tiles = tiles_of(image)
    if tiles <= TILES_PER_STREAM:
        return None
    plan = plan_stored([image], [None])[0]
    return plan if plan is not None and plan.bits <= PIXEL_MODEL_BYTES_MIN * tiles * BYTE else None


def plan_stored(images: Sequence[Pixels], limits: Sequence[int | None]) -> list[Plan | None]:
    """For each image a stored plan, if it takes no more than a limit in units of 1 / BIT bits."""
    in_bytes = [image.size if limit is None else limit // BYTE for image, limit in zip(images, limits, strict=True)]
    bodies = bodies_below(images, [limit + CHECK16_BYTES + 1 for limit in in_bytes])
    return [
        None if body is None or (limit is not None and BYTE * len(body[1]) > limit) else _stored_plan(len(body[1]))
        for body, limit in zip(bodies, limits, strict=True)
    ]


def _stored_plan(size: int) -> Plan:
    """A stored plan of so many bytes."""
    return Plan(Mode.STORED, None, None, BYTE * size)


def _is_typical(image: Pixels, plan: Plan) -> bool:
    """Whether an image is surely best coded by ``mnist``: it looks like a digit, and takes as many bytes as digits do."""
    if plan.model is None or not is_mnist(plan.model) or not looks_like_a_digit(image):
        return False
    grey = int(np.count_nonzero((image > 0) & (image < 255)))
    return plan.bits <= DIGIT_BYTES_PER_GREY * BYTE * grey
