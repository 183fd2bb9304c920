"""The states in which streams begin and end, see :mod:`mnistzip.entropy.rans`. All engines check them here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mnistzip.errors import FormatError
from mnistzip.limits import CHECK_BITS_MAX, CHECK_BITS_MIN
from mnistzip.types import Bools, Integers


def initial_states(checks: Integers, bits: Integers) -> Integers:
    """``2^bits`` and the low ``bits`` of the checks: (streams,)."""
    one = np.left_shift(np.int64(1), bits)
    return one | (checks & (one - 1))


class FinalStates(NamedTuple):
    """Where the decoder of some streams ended.

    Attributes:
        x: the state of each stream, shape ``(streams,)``.
        used_up: whether all its bytes were read, shape ``(streams,)``.
    """

    x: Integers
    used_up: Bools

    def verify(self, checks: Integers, check_bits: int = CHECK_BITS_MIN) -> Bools:
        """Which streams used up their bytes and ended on their check of at least ``check_bits`` bits: (streams,).

        A state that ran below 2^16 never rises above it, as its bytes are used up: no check of 16 bits or more passes then.
        """
        bits = np.frexp(self.x.astype(np.float64))[1].astype(np.int64) - 1  # of the check: those below the highest
        strong = (check_bits <= bits) & (bits <= CHECK_BITS_MAX)
        expected = initial_states(checks, np.clip(bits, 0, CHECK_BITS_MAX))
        passed: Bools = self.used_up & strong & (self.x == expected)
        return passed


def first_states(streams: Sequence[bytes]) -> list[bytes]:
    """The bytes of each stream that spell the decoder's first state.

    Raises:
        FormatError: a stream is empty, or its first state is not one that the encoder writes.
    """
    if not all(streams):
        raise FormatError("a coded stream is empty: the file is cut short")
    states = [stream[: 3 if stream[0] >= 128 else 4] for stream in streams]
    for state in states:
        if state[0] == 0:  # a shorter form exists
            raise FormatError(f"a coded stream begins with the impossible state {state.hex()}: the file is damaged")
    return states
