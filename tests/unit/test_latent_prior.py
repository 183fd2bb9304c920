from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.entropy import rans
from mnistzip.entropy.cost import BIT, COST, PROBABILITY_BITS, TOTAL
from mnistzip.models.registry import shipped


@pytest.mark.parametrize("name", ["mnist", "classic", "mnist-fast", "glyph"])
def test_decoder_computes_the_same_frequencies_as_the_encoder(name: str, digits: NDArray[np.uint8]) -> None:
    model = shipped(name)
    quality_index = np.arange(len(digits)) % 100
    y = model.transforms.analyse(digits, quality_index)
    random = np.random.default_rng(5)
    y[1::2] = random.integers(model.transforms.symbols.low, model.transforms.symbols.high + 1, y[1::2].shape)  # far off, too
    checks = random.integers(0, 65536, len(y))
    streams = rans.encode(*model.prior.intervals(y, quality_index), checks)
    decoder = rans.Decoder(streams)
    assert (model.prior.decode(lambda cdf: decoder.decode(cdf, np.arange(len(y))), quality_index) == y).all()
    assert decoder.final_states().verify(checks).all()


def test_costs_of_the_search_do_not_depend_on_the_last_digit_of_a_logarithm() -> None:
    exact = [BIT * (PROBABILITY_BITS - math.log2(f)) for f in range(1, TOTAL + 1)]
    margin = min(abs(value % 1 - 0.5) for value in exact)
    assert margin > 1e-8  # a libm errs by some 1e-13 here
    assert COST[1] == 16 * BIT
    assert COST[TOTAL] == 0
