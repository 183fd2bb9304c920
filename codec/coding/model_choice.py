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
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistzip.coding.estimates import changed_pixels, edge_pixels, is_mnist, looks_like_a_digit
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.latents import Latent
from mnistzip.coding.lossless_choice import plan_bitmaps, plan_lossless, plan_stored, tries_bitmaps
from mnistzip.coding.plans import BYTE, INFEASIBLE, Plan, cheapest, grouped
from mnistzip.entropy.cost import BIT, LMBDA_SHIFT
from mnistzip.limits import DECODED_PIXELS_MAX, GREY_PIXELS_MAX
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.models.typical_quality import is_poor, typical_bits, typical_error
from mnistzip.tiling import TILE
from mnistzip.types import Bools, Mode, Pixels

# Lossless bytes for each pixel that differs from its neighbours: nearly all images take more than the first figure, most take
# more than the second, which serves at effort 0.
BYTES_PER_CHANGE, BYTES_PER_CHANGE_FAST = 0.3, 0.45
BITMAP_BYTES_PER_EDGE, BITMAP_BYTES_PER_EDGE_FAST = 0.2, 0.35  # the same for bitmaps, for each pixel at the edge of the ink
ADVANTAGE = 32  # a model other than the first must cost less by 1/32
SURELY_LESS = 0.8  # a bitmap of less than this share of the first latent's cost costs less than any searched latent
OVERHEAD = 4 * BYTE  # headers and checks of two modes differ by less
DIGIT_BITS = 1.45  # greatest code length of a digit, as a multiple of the typical one


class Candidate(NamedTuple):
    """A model, and the quality it codes at; None for lossless coding."""

    model: Model
    quality: int | None


def candidates(model: str | Path | Model, quality: int | None) -> tuple[Candidate, ...]:
    """The candidates to code an image: one model, or several for ``auto``.

    Raises:
        ModelError: no such model.
    """
    first, *others = registry.candidates(model)
    if quality is None:
        return tuple(Candidate(each, None) for each in (first, *others))
    first.require_lossy()
    if not others:  # a user's model may have an lmbda of 0
        return (Candidate(first, quality),)
    wanted = np.log2(first.lmbda[first.quality_index(quality)])
    nearest = [1 + int(np.argmin(np.abs(np.log2(other.lmbda) - wanted))) for other in others]
    return (Candidate(first, quality), *(Candidate(other, q) for other, q in zip(others, nearest, strict=True)))


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
    best = cheapest(cost, use_bits << LMBDA_SHIFT).tolist()
    for k in compared:
        latents[k], error[k] = looks[best[k]][k]
    return best, latents, error


def _suits_grey(image: Pixels, is_typical: bool) -> bool:
    """Whether models of the kind ``grey`` are tried on an image: not on digits, nor on one that decoders refuse by default."""
    return not is_typical and image.size <= GREY_PIXELS_MAX


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
        for k, changes in enumerate(changed_pixels(images))
        if k not in bitmaps
        and images[k].size <= DECODED_PIXELS_MAX[Mode.LOSSLESS]
        and rate * changes * BYTE <= limits[k] + OVERHEAD
    ]
    models = [candidate.model for candidate in candidates]
    plans_of_worth = plan_lossless([images[k] for k in worth], models, with_bitmaps=False) if worth else []
    coded = bitmaps | dict(zip(worth, plans_of_worth, strict=True))
    rest = [k for k in range(len(images)) if k not in coded]
    stored = zip(rest, plan_stored([images[k] for k in rest], [limits[k] + OVERHEAD for k in rest]), strict=True)
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
    if not tries_bitmaps([candidate.model for candidate in candidates]):
        return {}
    rate = BITMAP_BYTES_PER_EDGE if effort else BITMAP_BYTES_PER_EDGE_FAST
    tiles = [k for k, image in enumerate(images) if image.shape == (TILE, TILE)]
    worth = [k for k in tiles if rate * edge_pixels(images[k]) * BYTE <= costs[k] + OVERHEAD]
    plans = zip(worth, plan_bitmaps([images[k] for k in worth]), strict=True)
    return {k: plan for k, plan in plans if plan is not None}


def _is_poor(image: Pixels, plan: Plan, error: int) -> bool:
    """Whether a lossy picture of this squared error is far worse than its quality stands for; digits never are."""
    if plan.model is None or plan.quality is None or not is_poor(plan.model, plan.quality, error, image.size):
        return False
    return not (is_mnist(plan.model) and looks_like_a_digit(image))


def _are_typical(images: Sequence[Pixels], bits: Sequence[int], first: Candidate) -> Bools:
    """Which images are surely best coded by the first candidate: they look like digits, and take as many bits as digits do."""
    if not is_mnist(first.model) or first.quality is None:
        return np.zeros(len(images), bool)
    limit = DIGIT_BITS * BIT * typical_bits(first.model, first.quality)
    return np.array([size <= limit and looks_like_a_digit(image) for size, image in zip(bits, images, strict=True)])
