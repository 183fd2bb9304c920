"""Plans: how an image is to be coded, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mnistzip.coding.latents import Latent
from mnistzip.coding.lossless import Symbols
from mnistzip.entropy.cost import BIT
from mnistzip.models.registry import Model
from mnistzip.types import Integers, Mode

BYTE = 8 * BIT  # a byte in the unit of bits
INFEASIBLE = 1 << 60  # a cost


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


def grouped(plans: Sequence[Plan]) -> list[tuple[list[int], list[Plan]]]:
    """Indices and plans of images with the same mode and model, in order of the first image of each group."""
    groups: dict[tuple[Mode, Model | None], list[int]] = {}
    for k, plan in enumerate(plans):
        groups.setdefault((plan.mode, plan.model), []).append(k)
    return [(indices, [plans[k] for k in indices]) for indices in groups.values()]


def cheapest(cost: Integers, use: int) -> Integers:
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
