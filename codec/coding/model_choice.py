"""Which model and which mode code an image: the one rule of all encoders.

Among several models, the one of least cost wins: bits + lmbda * squared error, at the lmbda that the first model's quality was
trained for. The others code at their quality of the nearest lmbda. A first look at effort 0 (the latents of the analysis, their
ideal code length and their error) picks the model, and only its latents are searched.

Where several models are candidates, a digit that was made from a bitmap can be coded as this bitmap, which keeps every pixel.
It becomes lossless where that costs less by the same measure: from medium qualities on, most digits do. If it clearly costs
less than the first latent, that latent is not searched.

Other images become lossless, by a pixel model or deflated, in two cases. Either the lossless file is no larger than the lossy
one. Or the lossy picture is far worse than its quality stands for, and lossless coding costs less by the same measure.

To try every model on every image would take several times as long as coding it. Therefore a pixel model is tried only where a
low estimate of its bytes lets it win. Images that look like MNIST's digits are not tried with models of the kind ``grey``. At
effort 0 they go to ``mnist`` without a comparison, and their error is estimated from their bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistzip.bitstream.bounded import nearest
from mnistzip.bitstream.checksums import CHECK16_BYTES
from mnistzip.bitstream.stored import bodies_below
from mnistzip.bitstream.stream_layout import TILES_PER_STREAM
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.latents import Latent
from mnistzip.coding.lossless import Symbols, pixel_symbols
from mnistzip.entropy.cost import BIT, LMBDA_SHIFT
from mnistzip.limits import DECODED_PIXELS_MAX, GREY_PIXELS_MAX, GREY_STEPS_MAX
from mnistzip.models import registry
from mnistzip.models.model import pixel_steps
from mnistzip.models.registry import Model
from mnistzip.models.typical_quality import is_poor, typical_bits, typical_error
from mnistzip.tiling import TILE, by_shape, differences, tiles_of
from mnistzip.types import Bools, Integers, Mode, Pixels

BYTE = 8 * BIT  # a byte in the unit of bits

# Lossless bytes for each pixel that differs from its neighbours: nearly all images take more than the first figure, most take
# more than the second, which serves at effort 0.
BYTES_PER_CHANGE, BYTES_PER_CHANGE_FAST = 0.3, 0.45
BITMAP_BYTES_PER_EDGE, BITMAP_BYTES_PER_EDGE_FAST = 0.2, 0.35  # the same for bitmaps, for each pixel at the edge of the ink
PIXEL_MODEL_BYTES_MIN = 2  # of a tile
ADVANTAGE = 32  # a model other than the first must cost less by 1/32
SURELY_LESS = 0.8  # a bitmap of less than this share of the first latent's cost costs less than any searched latent
OVERHEAD = 4 * BYTE  # headers and checks of two modes differ by less
INFEASIBLE = 1 << 60  # a cost

SOLID = 250  # grey levels from here on are ink throughout, in a digit that was made from a bitmap

# What MNIST's digits have in common. Shares are least and greatest values.
DIGIT_INK = (0.05, 0.36)  # share of the pixels that are not black
DIGIT_GREY = 0.95  # least share of these that are not white
DIGIT_BITS = 1.45  # greatest code length, as a multiple of the typical one
DIGIT_BYTES_PER_GREY = 0.9  # most lossless bytes for each pixel that is neither black nor white


class Candidate(NamedTuple):
    """A model, and the quality it codes at; None for lossless coding."""

    model: Model
    quality: int | None


@dataclass(frozen=True, eq=False)
class Plan:
    """How one image is to be coded.

    Attributes:
        mode: lossy, lossless (by a pixel model or as a bitmap), bounded, or stored.
        model: None if the image is stored.
        quality: 1..100 if lossy, else None.
        bits: ideal code length of the body, in units of 1 / :data:`~mnistzip.entropy.cost.BIT` bits.
        latent: if lossy.
        symbols: if a pixel model codes the image.
        max_error: 1..64 if the mode is bounded, else 0.
        alternative: lossless plan that might replace this lossy one: if it costs less, or if its file is no larger.
        saving: what the alternative costs less than this plan, squared error included, in the unit of ``bits``; 0 if it costs
            no less, or if only bytes are compared.
    """

    mode: Mode
    model: Model | None
    quality: int | None
    bits: int
    latent: Latent | None = None
    symbols: Symbols | None = None
    max_error: int = 0
    alternative: Plan | None = None
    saving: int = 0


def candidates(model: str | Path | Model, quality: int | None) -> tuple[Candidate, ...]:
    """The candidates to code an image: one model, or several for ``auto``.

    Raises:
        ModelError: no such model.
    """
    first, *others = registry.candidates(model)
    if quality is None:
        return tuple(Candidate(each, None) for each in (first, *others))
    first.require_lossy()
    wanted = np.log2(first.lmbda[first.quality_index(quality)])
    nearest = [1 + int(np.argmin(np.abs(np.log2(other.lmbda) - wanted))) for other in others]
    return (Candidate(first, quality), *(Candidate(other, q) for other, q in zip(others, nearest, strict=True)))


def grouped(plans: Sequence[Plan]) -> list[tuple[list[int], list[Plan]]]:
    """Indices and plans of images with the same mode and model, in order of the first image of each group."""
    groups: dict[tuple[Mode, Model | None], list[int]] = {}
    for k, plan in enumerate(plans):
        groups.setdefault((plan.mode, plan.model), []).append(k)
    return [(indices, [plans[k] for k in indices]) for indices in groups.values()]


def plan_lossy(
    images: Sequence[Pixels],
    candidates: Sequence[Candidate],
    effort: int,
    use_bits: int = 0,
    tick: Callable[[int], None] | None = None,
) -> list[Plan]:
    """A plan for each image at the quality of the candidates.

    Args:
        images: uint8 ``(H, W)`` each.
        candidates: one, or several to choose from.
        effort: 0..9, how long to search.
        use_bits: cost of each candidate that any image uses, in units of 1 / BIT bits: a part of an archive's group.
        tick: called with the number of tiles whose search has ended.
    """
    best, latents, error = _first_look(images, candidates, effort, use_bits)
    lmbda = _lmbda(candidates[0])
    costs = [latent.bits + (lmbda * squared >> LMBDA_SHIFT) for latent, squared in zip(latents, error, strict=True)]
    bitmaps = _bitmaps_below(images, costs, candidates, effort)
    searched = [k for k in range(len(images)) if k not in bitmaps or bitmaps[k].bits > SURELY_LESS * costs[k]]
    for number, candidate in enumerate(candidates):
        which = [k for k in searched if best[k] == number]
        if effort and which:
            laid_out = kind_of(candidate.model).images([images[k] for k in which])
            first = [latents[k] for k in which]
            refined = laid_out.refine(candidate.model, first, _qualities(candidate, len(which)), effort, tick)
            for k, latent in zip(which, refined, strict=True):
                latents[k] = latent
    plans = [
        Plan(Mode.LOSSY, candidates[number].model, candidates[number].quality, latent.bits, latent)
        for number, latent in zip(best, latents, strict=True)
    ]
    return _with_lossless(images, plans, error, candidates, effort, bitmaps)


def _lmbda(candidate: Candidate) -> int:
    """The weight of the squared error, in squared grey levels, against bits; the unit is that of model files."""
    return int(candidate.model.lmbda[candidate.model.quality_index(candidate.quality or 1)])


def _qualities(candidate: Candidate, count: int) -> list[int]:
    """A candidate's quality, for each of some images."""
    assert candidate.quality is not None
    return [candidate.quality] * count


def _first_look(
    images: Sequence[Pixels], candidates: Sequence[Candidate], effort: int, use_bits: int
) -> tuple[list[int], list[Latent], list[int]]:
    """For each image the number of the candidate of least cost, its first latent, and its squared error.

    The error is 0 if there is one candidate, and an estimate for digits at effort 0.
    """
    first = candidates[0]
    everyone = kind_of(first.model).images(images)
    latents = everyone.first(first.model, _qualities(first, len(images)))
    best, error = [0] * len(images), [0] * len(images)
    if len(candidates) == 1:
        return best, latents, error
    typical = _are_typical(images, [latent.bits for latent in latents], first)
    compared = [k for k in range(len(images)) if effort or not typical[k]]
    for k in set(range(len(images))).difference(compared):
        error[k] = typical_error(first.model, first.quality or 0, latents[k].bits + OVERHEAD)
    if not compared:
        return best, latents, error
    lmbda = _lmbda(first)
    looks: list[dict[int, tuple[Latent, int]]] = []  # latent and error
    cost = np.zeros((len(candidates), len(images)), np.int64)
    cost[1:] = INFEASIBLE
    for number, candidate in enumerate(candidates):
        which = [k for k in compared if not candidate.model.is_grey or _suits_grey(images[k], bool(typical[k]))]
        looks.append({})
        if not which:
            continue
        kind, qualities = kind_of(candidate.model), _qualities(candidate, len(which))
        alike = kind is kind_of(first.model)
        laid_out = everyone.select(which) if alike else kind.images([images[k] for k in which])
        look = laid_out.first(candidate.model, qualities) if number else [latents[k] for k in which]
        errors = laid_out.errors(candidate.model, look, qualities)
        looks[-1] = dict(zip(which, zip(look, errors, strict=True), strict=True))
        bits = np.array([latent.bits for latent in look], np.int64)
        cost[number, which] = (bits << LMBDA_SHIFT) + lmbda * np.array(errors, np.int64)
    cost[0] -= cost[0] // ADVANTAGE
    best = _cheapest(cost, use_bits << LMBDA_SHIFT).tolist()
    for k in compared:
        latents[k], error[k] = looks[best[k]][k]
    return best, latents, error


def _suits_grey(image: Pixels, is_typical: bool) -> bool:
    """Whether models of the kind ``grey`` are tried on an image: not on digits, nor on one that decoders refuse by default."""
    return not is_typical and image.size <= GREY_PIXELS_MAX


def _cheapest(cost: Integers, use: int) -> Integers:
    """For each image the number of the choice of least cost, where each choice that any image uses costs something as well.

    Args:
        cost: of each choice for each image, shape ``(choices, images)``.
        use: cost of using a choice, in the same unit.
    """
    if not use:
        best: Integers = cost.argmin(axis=0)
        return best
    choices = range(len(cost))
    subsets = [list(subset) for size in range(1, len(cost) + 1) for subset in combinations(choices, size)]
    # float64: the sum of infeasible costs of many images would exceed int64
    used = min(subsets, key=lambda subset: int(cost[subset].min(axis=0).astype(np.float64).sum()) + use * len(subset))
    return np.array(used)[cost[used].argmin(axis=0)]


def _with_lossless(
    images: Sequence[Pixels],
    plans: Sequence[Plan],
    error: Sequence[int],
    candidates: Sequence[Candidate],
    effort: int,
    bitmaps: dict[int, Plan],
) -> list[Plan]:
    """The plans, with alternatives where lossless coding might cost less."""
    lmbda = _lmbda(candidates[0])
    poor = (k for k, squared in enumerate(error) if _is_poor(images[k], plans[k], squared))
    weighed = sorted({*bitmaps, *poor})  # with their error
    squared = _errors(images, plans, weighed) if effort else {k: error[k] for k in weighed}
    limits = [plan.bits + (lmbda * squared.get(k, 0) >> LMBDA_SHIFT) for k, plan in enumerate(plans)]
    rate = BYTES_PER_CHANGE if effort else BYTES_PER_CHANGE_FAST
    worth = [
        k
        for k, changes in enumerate(_changes(images))
        if k not in bitmaps
        and images[k].size <= DECODED_PIXELS_MAX[Mode.LOSSLESS]
        and rate * changes * BYTE <= limits[k] + OVERHEAD
    ]
    models = [candidate.model for candidate in candidates]
    plans_of_worth = plan_lossless([images[k] for k in worth], models, with_bitmaps=False) if worth else []
    coded = bitmaps | dict(zip(worth, plans_of_worth, strict=True))
    rest = [k for k in range(len(images)) if k not in coded]
    stored = zip(rest, _stored([images[k] for k in rest], [limits[k] + OVERHEAD for k in rest]), strict=True)
    lossless = coded | {k: plan for k, plan in stored if plan is not None}
    return [
        replace(plan, alternative=lossless[k], saving=max(0, limits[k] - lossless[k].bits) if k in squared else 0)
        if k in lossless
        else plan
        for k, plan in enumerate(plans)
    ]


def _errors(images: Sequence[Pixels], plans: Sequence[Plan], which: Sequence[int]) -> dict[int, int]:
    """Squared errors of the images that some lossy plans decode to."""
    out: dict[int, int] = {}
    for indices, alike in grouped([plans[k] for k in which]):
        model, some = alike[0].model, [which[k] for k in indices]
        assert model is not None
        latents = [plan.latent for plan in alike if plan.latent is not None]
        laid_out = kind_of(model).images([images[k] for k in some])
        out |= zip(some, laid_out.errors(model, latents, [plan.quality or 0 for plan in alike]), strict=True)
    return out


def _bitmaps_below(
    images: Sequence[Pixels], costs: Sequence[int], candidates: Sequence[Candidate], effort: int
) -> dict[int, Plan]:
    """Lossless plans of digits made from bitmaps, by their indices, where one might cost less than the first latent."""
    if not _tries_bitmaps([candidate.model for candidate in candidates]):
        return {}
    rate = BITMAP_BYTES_PER_EDGE if effort else BITMAP_BYTES_PER_EDGE_FAST
    tiles = [k for k, image in enumerate(images) if image.shape == (TILE, TILE)]
    worth = [k for k in tiles if rate * _edge_pixels(images[k]) * BYTE <= costs[k] + OVERHEAD]
    plans = zip(worth, _plan_bitmaps([images[k] for k in worth]), strict=True)
    return {k: plan for k, plan in plans if plan is not None}


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
    if with_bitmaps and _tries_bitmaps(models):
        plans = _plan_bitmaps([images[k] for k in tried])
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
    stored = zip(rest, _stored([images[k] for k in rest], [least[k] for k in rest]), strict=True)
    choices.append(plain | {k: plan for k, plan in stored if plan is not None})
    costs = [[plans[k].bits if k in plans else INFEASIBLE for k in range(len(images))] for plans in choices]
    best = _cheapest(np.array(costs, np.int64), use_bits)
    return [_with_symbols(levels[k], choices[number][k]) for k, number in enumerate(best.tolist())]


def _tries_bitmaps(models: Sequence[Model]) -> bool:
    """Whether digits are tried as bitmaps: not if one model was asked for."""
    return len(models) > 1


def _plan_bitmaps(images: Sequence[Pixels]) -> list[Plan | None]:
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


def _edge_pixels(image: Pixels) -> int:
    """Pixels of a digit that are neither black nor ink throughout."""
    return int(np.count_nonzero((image > 0) & (image < SOLID)))


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
    plan = _stored([image], [None])[0]
    return plan if plan is not None and plan.bits <= PIXEL_MODEL_BYTES_MIN * tiles * BYTE else None


def _stored(images: Sequence[Pixels], limits: Sequence[int | None]) -> list[Plan | None]:
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


def _is_poor(image: Pixels, plan: Plan, error: int) -> bool:
    """Whether a lossy picture of this squared error is far worse than its quality stands for; digits never are."""
    if plan.model is None or plan.quality is None or not is_poor(plan.model, plan.quality, error, image.size):
        return False
    return not (_is_mnist(plan.model) and looks_like_a_digit(image))


def _changes(images: Sequence[Pixels]) -> list[int]:
    """How many pixels of each image differ from the prediction by their neighbours, for the best of three simple rules."""
    least = np.zeros(len(images), np.int64)
    for indices, stack in by_shape(images):
        changes = np.empty((3, *stack.shape), np.uint8)
        differences(stack, changes[0], 1)
        differences(stack, changes[1], 2)
        differences(changes[0], changes[2], 2)
        least[indices] = (changes != 0).reshape(3, len(stack), -1).sum(axis=2).min(axis=0)
    return least.tolist()


def looks_like_a_digit(image: Pixels) -> bool:
    """Whether an image has what MNIST's digits have in common: 28x28, a black border, grey strokes of a certain area."""
    if image.shape != (TILE, TILE) or image[0].any() or image[-1].any() or image[:, 0].any() or image[:, -1].any():
        return False
    ink = int(np.count_nonzero(image))
    grey = ink - int(np.count_nonzero(image == 255))
    return DIGIT_INK[0] <= ink / image.size <= DIGIT_INK[1] and grey >= DIGIT_GREY * ink


def _is_mnist(model: Model) -> bool:
    """Whether a model is the shipped model ``mnist``."""
    return model.number == registry.SHIPPED[registry.DIGITS]


def _are_typical(images: Sequence[Pixels], bits: Sequence[int], first: Candidate) -> Bools:
    """Which images are surely best coded by the first candidate: they look like digits, and take as many bits as digits do."""
    if not _is_mnist(first.model) or first.quality is None:
        return np.zeros(len(images), bool)
    limit = DIGIT_BITS * BIT * typical_bits(first.model, first.quality)
    return np.array([size <= limit and looks_like_a_digit(image) for size, image in zip(bits, images, strict=True)])


def _is_typical(image: Pixels, plan: Plan) -> bool:
    """The same for a lossless plan."""
    if plan.model is None or not _is_mnist(plan.model) or not looks_like_a_digit(image):
        return False
    grey = int(np.count_nonzero((image > 0) & (image < 255)))
    return plan.bits <= DIGIT_BYTES_PER_GREY * BYTE * grey
