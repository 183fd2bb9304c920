from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip import prior as priors
from mnistzip import rans
from mnistzip.model import shipped
from mnistzip.refine import BIT, COST


def test_octave_table_is_the_rounded_power_of_two() -> None:
    for d in (0, 1, 63, 64, 65, 500, 1343):
        assert priors.OCTAVES[d] == math.floor(2 ** (20 - d / 64) + 0.5)
    assert priors.OCTAVES[-1] == 0
    assert (np.diff(priors.OCTAVES) <= 0).all()


def test_frequencies_give_every_value_a_chance_and_fill_the_interval() -> None:
    logits = np.array([[0, 0, 0], [5000, 0, -32768], [32767, 32767, -32768]], np.float32)
    edges = priors.cumulative(logits)
    assert (edges[:, 0] == 0).all()
    assert (edges[:, -1] == rans.TOTAL).all()
    assert (np.diff(edges) >= 1).all()
    assert edges.tolist()[0] == [0, 21845, 43690, 65536]


def test_frequencies_equal_integer_division() -> None:
    random = np.random.default_rng(4)
    logits = random.integers(-600, 600, (500, 31)).astype(np.float32)
    edges = priors.cumulative(logits)
    for row, given in zip(logits.astype(int).tolist(), edges.tolist(), strict=True):
        weights = [int(priors.OCTAVES[min(max(row) - value, len(priors.OCTAVES) - 1)]) for value in row]
        total, below = sum(weights), 0
        for k, weight in enumerate(weights):
            assert given[k] == k + below * (rans.TOTAL - 31) // total
            below += weight


@pytest.mark.parametrize("name", ["mnist", "classic"])
def test_decoder_finds_the_very_frequencies_of_the_encoder(name: str, digits: NDArray[np.uint8]) -> None:
    model = shipped(name)
    row = np.arange(len(digits)) % 100
    y = model.transforms.analyse(digits, row)
    random = np.random.default_rng(5)
    y[1::2] = random.integers(model.transforms.symbols.low, model.transforms.symbols.high + 1, y[1::2].shape)  # far off, too
    checks = random.integers(0, 65536, len(y))
    streams = rans.encode(*model.prior.intervals(y, row), checks)
    lanes = rans.Decoder(streams)
    assert (model.prior.decode(lanes, row, np.ones(len(y), bool)) == y).all()
    assert lanes.finish(checks).all()


def test_costs_of_the_search_do_not_hang_on_the_last_digit_of_a_logarithm() -> None:
    exact = [BIT * (rans.PROBABILITY_BITS - math.log2(f)) for f in range(1, rans.TOTAL + 1)]
    margin = min(abs(value % 1 - 0.5) for value in exact)
    assert margin > 1e-8  # a libm errs by some 1e-13 here
    assert COST[1] == 16 * BIT
    assert COST[rans.TOTAL] == 0
