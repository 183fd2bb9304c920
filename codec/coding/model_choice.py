"""Which model and which mode code an image: the one rule by which every encoder decides.

Of several models the one counts whose latent costs least: bits + lmbda * squared error, at the lmbda that the first model's
quality was trained for. The others code at their quality whose lmbda is nearest to that. A first look at effort 0 (the
analysis, its ideal code length and its error) decides which model is worth a search.

Every pixel is kept, by a pixel model or deflated, in two cases: that takes no more bytes than the lossy file; or the lossy
picture is far worse than its quality stands for, and every pixel costs less than it by the same measure.

To ask every model about every image would take several times as long as to code it. So a pixel model is asked only where a
low estimate of its bytes lets it win. Where time counts most, images that look like MNIST's digits go to ``mnist`` at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream.stored import CHECK_BYTES, body_below
from mnistzip.coding.latent_cost import BIT, LMBDA_SHIFT, bits_of, error_of, first_latents
from mnistzip.coding.lossless import PixelSymbols, pixel_symbols
from mnistzip.coding.rdo import refine
from mnistzip.coding.stream_layout import TILES_PER_STREAM
from mnistzip.limits import DECODED_PIXELS_MAX
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.models.typical_quality import is_poor, typical_bits
from mnistzip.tiling import TILE, covered, tiles_in, to_tiles
from mnistzip.types import Bools, Mode, Pixels

# Lossless bytes for each pixel that differs from its neighbours: nearly always above the first figure, mostly above the second.
# The second is used at effort 0.
BYTES_A_CHANGE, BYTES_A_CHANGE_FAST = 0.3, 0.45
BYTES_A_TILE = 2  # that a pixel model needs at least
DIGIT_INK = (0.05, 0.36)  # share of a digit's pixels that are not black
DIGIT_GREY = 0.95  # share of these that are not white, at least
DIGIT_BITS = 1.45  # times the typical code length, at most
DIGIT_BYTES_A_GREY = 0.9  # lossless bytes for each pixel that is neither black nor white, at most
ADVANTAGE = 32  # another model than the first has to cost less by 1/32
OVERHEAD = 8 * BIT * 4  # headers and checks of two modes differ by less
NEVER = 1 << 60  # a cost

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """A model, and the quality it codes at; None where every pixel is kept."""

    model: Model
    quality: int | None


@dataclass(frozen=True, eq=False)
class Plan:
    """How one image is to be coded.

    Attributes:
        model: None if it is stored.
        quality: 1..100 if lossy, else None.
        y: symbols of its tiles, shape ``(tiles, 196)``, if lossy.
        symbols: its symbols if a pixel model codes it.
        bits: ideal code length of the body, in units of 1 / :data:`~mnistzip.coding.latent_cost.BIT` bits.
        alternative: of a lossy plan one that keeps every pixel, if that might take no more bytes.
    """

    mode: Mode
    model: Model | None
    quality: int | None
    bits: int
    y: Ints | None = None
    symbols: PixelSymbols | None = None
    alternative: Plan | None = None


def candidates(model: str | Path | Model, quality: int | None) -> tuple[Candidate, ...]:
    """What may code an image: one model, or several where it is ``auto``.

    Raises:
        ModelError: no such model.
    """
    first, *others = registry.candidates(model)
    if quality is None:
        return tuple(Candidate(each, None) for each in (first, *others))
    wanted = np.log2(first.lmbda[first.quality_index(quality)])
    nearest = [1 + int(np.argmin(np.abs(np.log2(other.lmbda) - wanted))) for other in others]
    return (Candidate(first, quality), *(Candidate(other, at) for other, at in zip(others, nearest, strict=True)))


def grouped(plans: Sequence[Plan]) -> list[tuple[list[int], list[Plan]]]:
    """Images of one mode and model, in order of the first of each, and their plans."""
    groups: dict[tuple[Mode, Model | None], list[int]] = {}
    for k, plan in enumerate(plans):
        groups.setdefault((plan.mode, plan.model), []).append(k)
    return [(which, [plans[k] for k in which]) for which in groups.values()]


class _Tiles:
    """The tiles of some images, side by side."""

    def __init__(self, images: Sequence[Pixels]) -> None:
        self.counts = np.array([tiles_in(image.shape[1], image.shape[0]) for image in images], np.int64)
        self.x = np.concatenate([to_tiles(image) for image in images])
        self.inside = covered([image.shape for image in images])
        self.owner = np.repeat(np.arange(len(images)), self.counts)

    def of(self, which: Ints) -> Ints:
        """The tiles of some images."""
        return np.flatnonzero(np.isin(self.owner, which))

    def sums(self, values: Ints, tiles: Ints) -> Ints:
        """Sums over the tiles of each image, of values of some tiles: shape ``(images,)``."""
        return np.bincount(self.owner[tiles], values, len(self.counts)).astype(np.int64)


def plan_lossy(
    images: Sequence[Pixels],
    every: Sequence[Candidate],
    effort: int,
    way_bits: int = 0,
    tick: Callable[[int], None] | None = None,
) -> list[Plan]:
    """A plan for each image at the quality of the candidates.

    Args:
        images: uint8 ``(H, W)`` each.
        every: one candidate, or several to choose from.
        effort: 0..9, how long to search.
        way_bits: what each candidate costs that is used at all, in units of 1 / BIT bits.
        tick: told of tiles whose search is done.
    """
    tiles = _Tiles(images)
    y, best, bits, error = _first_look(images, tiles, every, effort, way_bits)
    for number, candidate in enumerate(every):
        which = np.flatnonzero(best == number)
        if effort and which.size:
            mine = tiles.of(which)
            row = _rows(candidate, mine)
            y[mine] = refine(candidate.model, tiles.x[mine], tiles.inside[mine], y[mine], row, effort, tick)
            bits[which] = tiles.sums(bits_of(candidate.model, y[mine], row), mine)[which]
    parts = np.split(y, np.cumsum(tiles.counts)[:-1])
    chosen = [every[number] for number in best.tolist()]
    plans = [
        Plan(Mode.LOSSY, candidate.model, candidate.quality, size, part)
        for candidate, size, part in zip(chosen, bits.tolist(), parts, strict=True)
    ]
    return _with_lossless(images, plans, error, every, effort)


def _rows(candidate: Candidate, tiles: Ints) -> Ints:
    """The index of the quality, for each of some tiles."""
    assert candidate.quality is not None
    return np.full(len(tiles), candidate.model.quality_index(candidate.quality), np.int64)


def _first_look(
    images: Sequence[Pixels], tiles: _Tiles, every: Sequence[Candidate], effort: int, way_bits: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """The first latents of the candidate that suits each image.

    Returns:
        Symbols, shape ``(tiles, 196)``; for each image the number of its candidate, the bits, and the squared error, 0 where it
        was not measured.
    """
    first = every[0]
    whole = np.arange(len(tiles.x))
    row = _rows(first, whole)
    y = first_latents(first.model, tiles.x, tiles.inside, row)
    bits, error, cost = np.zeros((3, len(every), len(images)), np.int64)
    bits[0] = tiles.sums(bits_of(first.model, y, row), whole)
    asked = np.arange(len(images)) if effort else np.flatnonzero(~_are_typical(images, bits[0], first))
    if len(every) == 1 or not asked.size:
        return y, np.zeros(len(images), np.int64), bits[0], error[0]
    mine = tiles.of(asked)
    x, inside = tiles.x[mine], tiles.inside[mine]
    lmbda = int(first.model.lmbda[row[0]])
    latents = [y[mine]]
    cost[1:] = NEVER
    for number, candidate in enumerate(every):
        row = _rows(candidate, mine)
        if number:
            latents.append(first_latents(candidate.model, x, inside, row))
            bits[number] = tiles.sums(bits_of(candidate.model, latents[-1], row), mine)
        error[number] = tiles.sums(error_of(candidate.model, x, inside, latents[-1], row), mine)
        cost[number, asked] = (bits[number, asked] << LMBDA_SHIFT) + lmbda * error[number, asked]
    cost[0] -= cost[0] // ADVANTAGE
    best = _cheapest(cost, way_bits << LMBDA_SHIFT)
    owner = best[tiles.owner[mine]]
    for number in range(1, len(every)):
        y[mine[owner == number]] = latents[number][owner == number]
    everyone = np.arange(len(images))
    return y, best, bits[best, everyone], error[best, everyone]


def _cheapest(cost: Ints, way: int) -> Ints:
    """For each image the number of the way that costs least, where each way that is used at all costs something, too.

    Args:
        cost: of each way for each image, shape ``(ways, images)``.
        way: cost of using a way, in the same unit.
    """
    if not way:
        best: Ints = cost.argmin(axis=0)
        return best
    ways = range(len(cost))
    sets = [list(some) for size in range(1, len(cost) + 1) for some in combinations(ways, size)]
    used = min(sets, key=lambda some: int(cost[some].min(axis=0).astype(np.float64).sum()) + way * len(some))
    return np.array(used)[cost[used].argmin(axis=0)]


def _with_lossless(
    images: Sequence[Pixels], plans: list[Plan], error: Ints, every: Sequence[Candidate], effort: int
) -> list[Plan]:
    """The plans, those replaced that keep every pixel for less, and alternatives for those that may."""
    first = every[0]
    lmbda = int(first.model.lmbda[first.model.quality_index(first.quality or 1)])
    rate = BYTES_A_CHANGE if effort else BYTES_A_CHANGE_FAST
    poor = [_is_poor(image, plan, found) for image, plan, found in zip(images, plans, error.tolist(), strict=True)]
    limits = []
    for number, (image, plan) in enumerate(zip(images, plans, strict=True)):
        limit = plan.bits
        if poor[number]:
            limit += lmbda * _error(image, plan) >> LMBDA_SHIFT
        limits.append(limit)
    worth = [
        number
        for number, image in enumerate(images)
        if image.size <= DECODED_PIXELS_MAX[Mode.LOSSLESS] and rate * _changes(image) * 8 * BIT <= limits[number] + OVERHEAD
    ]
    kept: dict[int, Plan] = {}
    if worth:
        kept = dict(zip(worth, plan_lossless([images[k] for k in worth], [each.model for each in every]), strict=True))
    for number, (image, plan) in enumerate(zip(images, plans, strict=True)):
        found = kept.get(number) or _stored(image, limits[number] + OVERHEAD)
        if found is None:
            continue
        plans[number] = found if poor[number] and found.bits < limits[number] else replace(plan, alternative=found)
    return plans


def plan_lossless(images: Sequence[Pixels], every: Sequence[Model], way_bits: int = 0) -> list[Plan]:
    """A plan for each image that keeps every pixel: the smallest of what pixel models and deflate make of it.

    Args:
        images: uint8 ``(H, W)`` each.
        every: models, of which some may have no pixel model.
        way_bits: what each way costs that is used at all, in units of 1 / BIT bits.
    """
    plain = {k: plan for k, image in enumerate(images) if (plan := _almost_empty(image)) is not None}
    ways: list[dict[int, Plan]] = []
    asked = [k for k in range(len(images)) if k not in plain]
    for model in every:
        if model.pixels is None:
            continue
        if ways:
            asked = [k for k in asked if not _is_typical(images[k], ways[0][k])]
        ways.append({})
        for k, symbols in zip(asked, pixel_symbols(model.pixels, [images[k] for k in asked]), strict=True):
            ways[-1][k] = Plan(Mode.LOSSLESS, model, None, symbols.bits, symbols=symbols)
            _forget_symbols([way for way in ways if k in way], k)
    least = {k: min((way[k].bits for way in ways if k in way), default=None) for k in range(len(images))}
    stored = {k: plain.get(k) or _stored(image, least[k]) for k, image in enumerate(images)}
    ways.append({k: plan for k, plan in stored.items() if plan is not None})
    cost = np.array([[way[k].bits if k in way else NEVER for k in range(len(images))] for way in ways], np.int64)
    best = _cheapest(cost, way_bits)
    return [_with_symbols(images[k], ways[number][k]) for k, number in enumerate(best.tolist())]


def _forget_symbols(ways: Sequence[dict[int, Plan]], k: int) -> None:
    """Keep the symbols of the smallest plan of an image alone: those of all would take much memory."""
    least = min(way[k].bits for way in ways)
    for way in ways:
        if way[k].bits > least:
            way[k] = replace(way[k], symbols=None)


def _with_symbols(image: Pixels, plan: Plan) -> Plan:
    """A lossless plan with its symbols, asked for again if they were forgotten."""
    if plan.model is None or plan.symbols is not None:
        return plan
    return replace(plan, symbols=pixel_symbols(plan.model.pixel_model(), [image])[0])


def _almost_empty(image: Pixels) -> Plan | None:
    """A stored plan, if pixels take so few bytes that no pixel model needs to be asked about so many tiles."""
    tiles = tiles_in(image.shape[1], image.shape[0])
    if tiles <= TILES_PER_STREAM:
        return None
    plan = _stored(image, None)
    return plan if plan is not None and plan.bits <= BYTES_A_TILE * tiles * 8 * BIT else None


def _stored(image: Pixels, limit: int | None) -> Plan | None:
    """A plan without a model, if that takes fewer bits than a limit in units of 1 / BIT bits."""
    most = image.size if limit is None else limit // (8 * BIT)
    found = body_below(image, most + CHECK_BYTES + 1)
    if found is None or (limit is not None and 8 * BIT * len(found[1]) > limit):
        return None
    return Plan(Mode.STORED, None, None, 8 * BIT * len(found[1]))


def _is_poor(image: Pixels, plan: Plan, error: int) -> bool:
    """Whether a lossy picture with so much squared error is far worse than its quality stands for; digits never are."""
    if plan.model is None or plan.quality is None or not is_poor(plan.model, plan.quality, error, image.size):
        return False
    return not (_is_home(plan.model) and _looks_like_a_digit(image))


def _error(image: Pixels, plan: Plan) -> int:
    """Squared error of what a lossy plan decodes to."""
    assert plan.model is not None
    assert plan.quality is not None
    assert plan.y is not None
    row = np.full(len(plan.y), plan.model.quality_index(plan.quality), np.int64)
    return int(error_of(plan.model, to_tiles(image), covered([image.shape]), plan.y, row).sum())


def _changes(image: Pixels) -> int:
    """How many pixels differ from what their neighbours say, by the best of three simple rules."""
    up = np.diff(image, axis=0, prepend=np.uint8(0))
    left = np.diff(image, axis=1, prepend=np.uint8(0))
    gradient = np.diff(up, axis=1, prepend=np.uint8(0))
    return min(int(np.count_nonzero(differences)) for differences in (up, left, gradient))


def _looks_like_a_digit(image: Pixels) -> bool:
    """Whether an image has what MNIST's digits have in common: 28x28, a black border, grey strokes of a certain area."""
    if image.shape != (TILE, TILE) or image[0].any() or image[-1].any() or image[:, 0].any() or image[:, -1].any():
        return False
    ink = int(np.count_nonzero(image))
    grey = ink - int(np.count_nonzero(image == 255))
    return DIGIT_INK[0] <= ink / image.size <= DIGIT_INK[1] and grey >= DIGIT_GREY * ink


def _is_home(model: Model) -> bool:
    """Whether a model is the one that MNIST's digits are at home with."""
    return model.number == registry.SHIPPED[registry.DIGITS]


def _are_typical(images: Sequence[Pixels], bits: Ints, first: Candidate) -> Bools:
    """Which images are surely best coded by the first candidate: what look like digits, and take as many bits as those do."""
    if not _is_home(first.model) or first.quality is None:
        return np.zeros(len(images), bool)
    most = DIGIT_BITS * BIT * typical_bits(first.model, first.quality)
    return np.array([size <= most and _looks_like_a_digit(image) for size, image in zip(bits.tolist(), images, strict=True)])


def _is_typical(image: Pixels, plan: Plan) -> bool:
    """The same for images whose every pixel is kept."""
    if plan.model is None or not _is_home(plan.model) or not _looks_like_a_digit(image):
        return False
    grey = int(np.count_nonzero((image > 0) & (image < 255)))
    return plan.bits <= DIGIT_BYTES_A_GREY * 8 * BIT * grey
