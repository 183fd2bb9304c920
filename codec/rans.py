"""Byte-wise rANS over lanes: integer frequencies to bytes and back.

A lane is one independent stream with one state ``x``. All lanes take each step together in numpy. Coding a symbol of
frequency ``f`` and start ``c`` (frequencies of an alphabet sum to 2^16) maps ``x`` to ``(x // f) * 2^16 + c + x % f``; low
bytes leave the state beforehand so that it stays below 2^31.

The state begins at ``2^16 + check`` instead of a constant, and the decoder must end there with no byte unread: 16 bits of
integrity check that cost 16 bits and nothing on top, since the state may grow to the normal interval by coding.
The final state is written in as few bytes as hold it, three or four.

Sources: Duda 2013, arXiv 1311.2540 (rANS); Giesen 2014, arXiv 1402.3392 (byte-wise renormalization).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import FormatError

PROBABILITY_BITS = 16
TOTAL = 1 << PROBABILITY_BITS  # frequencies of one alphabet sum to this
CHECK_BITS = 16
START = 1 << CHECK_BITS  # a lane's first state is START + check
LOW = 1 << 23  # a state below this takes in a byte, if the lane has one left
_EMIT = 31 - PROBABILITY_BITS  # a state of f << _EMIT or more gives off a byte before coding f

Ints = NDArray[np.int64]


def encode(starts: Ints, freqs: Ints, checks: Ints) -> list[bytes]:
    """Code each row of symbols into the bytes of one lane.

    Args:
        starts: cumulative frequency below each symbol, shape ``(lanes, symbols)``, in ``0..65535``.
        freqs: frequency of each symbol, same shape, in ``1..65536``. Start 0 with frequency 65536 codes nothing: it fills
            up lanes that hold fewer symbols than others.
        checks: value each decoder must end on, shape ``(lanes,)``, in ``0..65535``.

    Returns:
        One byte string per lane, at least 3 bytes each.
    """
    lanes, symbols = starts.shape
    x = START + checks.astype(np.int64)
    out = np.empty((lanes, 2 * symbols + 4), np.uint8)  # a symbol gives off two bytes at most
    size = np.zeros(lanes, np.int64)
    for t in reversed(range(symbols)):
        f = freqs[:, t]
        limit = f << _EMIT
        while (full := np.flatnonzero(x >= limit)).size:
            out[full, size[full]] = x[full] & 255
            size[full] += 1
            x[full] >>= 8
        quotient = x // f
        x = (quotient << PROBABILITY_BITS) + (x - quotient * f) + starts[:, t]
    for _ in range(3):
        _put(out, size, x, slice(None))
    _put(out, size, x, np.flatnonzero(x))
    return [out[lane, : size[lane]][::-1].tobytes() for lane in range(lanes)]


def _put(out: NDArray[np.uint8], size: Ints, x: Ints, which: slice | Ints) -> None:
    """Move the low byte of the chosen states to their lanes."""
    rows = np.arange(len(x))[which]
    out[rows, size[rows]] = x[rows] & 255
    size[rows] += 1
    x[rows] >>= 8


class Decoder:
    """Steps all lanes through their symbols: look at :meth:`slots`, find the symbols, :meth:`advance`, and :meth:`finish`.

    Raises:
        FormatError: a lane is too short or its first state is not one that the encoder writes.
    """

    def __init__(self, lanes: Sequence[bytes]) -> None:
        self._bytes = np.frombuffer(b"".join(lanes), np.uint8)
        sizes = np.array([len(lane) for lane in lanes], np.int64)
        if sizes.size and sizes.min() < 3:
            raise FormatError(f"a coded stream has {sizes.min()} bytes, fewer than the 3 that any has: the file is cut short")
        self._end = np.cumsum(sizes)
        self._at = self._end - sizes
        head = [lane[: 3 if lane[0] >= 128 or len(lane) == 3 else 4] for lane in lanes]
        self._at += np.array([len(state) for state in head], np.int64)
        self._x = np.array([int.from_bytes(state, "big") for state in head], np.int64)
        for state in head:
            if state[0] == 0:  # a shorter form exists, or it lies below START
                raise FormatError(f"a coded stream begins with the impossible state {state.hex()}: the file is damaged")

    def slots(self) -> Ints:
        """The number in ``0..65535`` that falls into each lane's next symbol's interval, shape ``(lanes,)``."""
        return self._x & (TOTAL - 1)

    def advance(self, starts: Ints, freqs: Ints) -> None:
        """Take one symbol per lane off, given its start and frequency, each of shape ``(lanes,)``."""
        x = self._x
        x = freqs * (x >> PROBABILITY_BITS) + (x & (TOTAL - 1)) - starts
        while (hungry := np.flatnonzero((x < LOW) & (self._at < self._end))).size:
            x[hungry] = (x[hungry] << 8) | self._bytes[self._at[hungry]]
            self._at[hungry] += 1
        self._x = x

    def finish(self, checks: Ints) -> NDArray[np.bool_]:
        """Which lanes used up all their bytes and ended on their check: (lanes,) bool."""
        return (self._at == self._end) & (self._x == START + checks)
