from __future__ import annotations

import math

import numpy as np
import pytest

from mnistzip.entropy.cdf import OCTAVES, Cdf
from mnistzip.entropy.cost import TOTAL


def test_octave_table_is_the_rounded_power_of_two() -> None:
    for d in (0, 1, 63, 64, 65, 500, 1343):
        assert OCTAVES[d] == math.floor(2 ** (20 - d / 64) + 0.5)
    assert OCTAVES[-1] == 0
    assert (np.diff(OCTAVES) <= 0).all()


def test_frequencies_give_every_value_a_chance_and_fill_the_interval() -> None:
    logits = np.array([[0, 0, 0], [5000, 0, -32768], [32767, 32767, -32768]], np.float32)
    edges = Cdf.of_logits(logits.T).edges()
    assert (edges[0] == 0).all()
    assert (edges[-1] == TOTAL).all()
    assert (np.diff(edges, axis=0) >= 1).all()
    assert edges[:, 0].tolist() == [0, 21845, 43690, 65536]


@pytest.mark.parametrize("values", [2, 31, 255])
def test_frequencies_equal_integer_division(values: int) -> None:
    random = np.random.default_rng(4)
    logits = random.integers(-600, 600, (200, values)).astype(np.float32)
    logits[:50] *= 30
    logits[50] = 0
    weights = [[int(OCTAVES[min(max(row) - value, len(OCTAVES) - 1)]) for value in row] for row in logits.astype(int).tolist()]
    for cdf in (Cdf.of_logits(logits.T), Cdf.of_weights(np.array(weights).T)):
        for own, given in zip(weights, cdf.edges().T.tolist(), strict=True):
            total, below = sum(own), 0
            for k, weight in enumerate(own):
                assert given[k] == k + below * (TOTAL - values) // total
                below += weight


def test_what_is_found_and_its_interval_are_those_of_the_edges() -> None:
    random = np.random.default_rng(5)
    logits = random.integers(-900, 900, (41, 300)).astype(np.float32)
    for cdf in (Cdf.of_logits(logits), Cdf.of_weights(random.integers(0, 1 << 38, (32, 300)))):
        edges = cdf.edges()
        for slots in (random.integers(0, TOTAL, 300), np.zeros(300, np.int64), np.full(300, TOTAL - 1), edges[7], edges[7] - 1):
            value = cdf.symbol_at(slots)
            start, freq = cdf.interval(value)
            assert (start <= slots).all()
            assert (slots < start + freq).all()
            assert (start == np.take_along_axis(edges, value[None], 0)[0]).all()
        some = cdf.select(np.array([5, 3, 250]))
        assert (some.edges() == edges[:, [5, 3, 250]]).all()
