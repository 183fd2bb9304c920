from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.engines.reference.rdo import PASSES, refine, refine_to_budget
from mnistzip.entropy.cost import BIT, COST, LMBDA_SHIFT
from mnistzip.models import registry
from mnistzip.models.registry import Model
from support.models import TILED

Ints = NDArray[np.int64]
WHOLE = np.ones((80, 28, 28), bool)  # tiles that the picture covers


def cost(model: Model, x: NDArray[np.uint8], y: Ints, row: Ints) -> Ints:
    _, freqs = model.prior.intervals(y, row)
    error = np.square(model.transforms.synthesize(y, row).astype(np.int64) - x).sum(axis=(1, 2))
    total: Ints = (COST[freqs].sum(axis=1) << LMBDA_SHIFT) + model.lmbda[row] * error
    return total


@pytest.mark.parametrize("name", TILED)
def test_more_effort_never_costs_more(name: str, digits: NDArray[np.uint8]) -> None:
    model = registry.shipped(name)
    x, row = digits[:24], np.arange(24) * 4
    y = model.transforms.analyse(x, row)
    before = cost(model, x, y, row)
    for effort in range(6):
        result = refine(model, x, WHOLE[:24], y, row, effort)
        assert model.transforms.symbols.low <= result.min()
        assert result.max() <= model.transforms.symbols.high
        now = cost(model, x, result, row)
        assert (now <= before).all()
        before = now
    assert before.sum() < 0.98 * cost(model, x, y, row).sum()


def test_effort_0_is_the_analysis_alone(digits: NDArray[np.uint8]) -> None:
    model = registry.shipped("mnist")
    row = np.full(8, 50)
    y = model.transforms.analyse(digits[:8], row)
    assert refine(model, digits[:8], WHOLE[:8], y, row, 0) is y


def test_an_image_gets_the_same_symbols_in_any_batch(digits: NDArray[np.uint8]) -> None:
    model = registry.shipped("mnist")
    x, row = np.concatenate([digits, digits[:9]]), np.arange(73)
    y = model.transforms.analyse(x, row)
    together = refine(model, x, WHOLE[:73], y, row, 3)
    backwards = refine(model, x[::-1], WHOLE[:73], y[::-1], row[::-1], 3)[::-1]
    assert (together == backwards).all()
    for i in (0, 40, 72):
        assert (refine(model, x[i : i + 1], WHOLE[:1], y[i : i + 1], row[i : i + 1], 3) == together[i]).all()


def test_a_limit_is_met_and_room_below_it_is_used(digits: NDArray[np.uint8]) -> None:
    model = registry.shipped("mnist")
    x, row = digits[:16], np.full(16, 40)

    def cost(y: Ints) -> tuple[Ints, Ints]:
        _, freqs = model.prior.intervals(y, row)
        return COST[freqs].sum(axis=1), np.square(model.transforms.synthesize(y, row).astype(np.int64) - x).sum(axis=(1, 2))

    bits, _ = cost(refine(model, x, WHOLE[:16], model.transforms.analyse(x, row), row, 3))
    less, more = bits * 9 // 10, bits * 11 // 10
    (few, coarse), (many, fine) = (cost(refine_to_budget(model, x, WHOLE[:16], row, 3, limit)) for limit in (less, more))
    assert (few <= less).all()
    assert (many <= more).all()
    assert (few > 0.95 * less).mean() > 0.8
    assert (fine < coarse).all()


def test_costs_in_bits_are_those_of_the_coder() -> None:
    assert (COST[1], COST[1 << 15], COST[1 << 16]) == (16 * BIT, BIT, 0)
    assert (np.diff(COST[1:]) <= 0).all()
    assert list(PASSES) == sorted(PASSES)
