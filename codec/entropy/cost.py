"""Units of probability and of cost: code lengths in 1/256 bits, and the weight of the squared error against them.

All costs are integers, so every machine makes the same choices. The decoder does not depend on them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzip.types import Integers

PROBABILITY_BITS = 16
TOTAL = 1 << PROBABILITY_BITS  # frequencies of one alphabet sum to this
BIT = 256  # one bit in COST
LMBDA_SHIFT = 14  # a model's lmbda weighs squared grey levels against COST in units of 2^-14

# Cost of a symbol by its frequency. No entry lies near a rounding edge, so any libm gives this table (a test checks it).
COST = np.zeros(TOTAL + 1, np.int64)
COST[1:] = np.rint(BIT * (PROBABILITY_BITS - np.log2(np.arange(1, TOTAL + 1))))


def code_length(freq_less_one: NDArray[np.uint16]) -> Integers:
    """Ideal code length of sequences of symbols, in units of 1 / :data:`BIT` bits: shape ``(..., symbols)`` to ``(...)``.

    Args:
        freq_less_one: the frequency of each symbol less one.
    """
    bits: Integers = COST[1:][freq_less_one].sum(axis=-1)
    return bits
