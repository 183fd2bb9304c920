"""Byte-wise rANS over many streams: integer frequencies to bytes and back.

Each stream has one state ``x``, and all streams take each step together in numpy. Frequencies of an alphabet sum to 2^16.
To code a symbol of frequency ``f`` and start ``c``, ``x`` becomes ``(x // f) * 2^16 + c + x % f``. Before that, low bytes
leave the state, so that it stays below 2^31.

The state begins at ``2^n + check`` instead of a constant, where the check has n bits. The decoder must end there with no byte
unread. The check therefore costs n bits and nothing more, because coding raises the state to the normal interval anyway. The
highest bit of the decoder's last state gives n. The encoder takes the largest n that needs no more bytes than the smallest
allowed n, so the bits that rounding up to whole bytes would waste make the check stronger. The final state is written in as
few bytes as hold it, four at most.

A state below 2^16 would grow too much for a symbol whose slots lie high. Such states occur only in streams whose check has
fewer than 16 bits. For them the slots of each symbol are spread evenly: slot ``s`` belongs to the symbol whose interval holds
the bits of ``s`` in reverse (van der Corput's sequence), and the n-th slot of a symbol counts as n.

Few streams are stepped one by one in plain integers (the scalar way), many together in numpy (the vector way). Both ways give
the same bytes and symbols.

Sources: Duda 2013, arXiv 1311.2540 (rANS); Giesen 2014, arXiv 1402.3392 (byte-wise renormalization).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy.cost import PROBABILITY_BITS, TOTAL
from mnistzip.entropy.states import FinalStates, first_states, initial_states
from mnistzip.limits import CHECK_BITS_MAX, CHECK_BITS_MIN
from mnistzip.types import Integers

LOW = 1 << 23  # a state below this takes in a byte, if the stream has one left
FEW_STREAMS = 8  # the scalar way is faster for up to this many
_EMIT = 31 - PROBABILITY_BITS  # a state of f << _EMIT or more gives off a byte before coding f

Number = TypeVar("Number", int, Integers)  # of one stream, or of each of several: (streams,)


class Alphabets(Protocol):
    """The frequencies of the next symbols of n streams; they sum to 2^16."""

    def symbol_at(self, slots: Integers) -> Integers:
        """The symbols whose intervals hold these numbers of 0..65535: (n,) -> (n,)."""

    def interval(self, value: Integers) -> tuple[Integers, Integers]:
        """Start and frequency of one symbol of each alphabet: (n,)."""

    def edges(self) -> Integers:
        """All cumulative frequencies: (values + 1, n)."""

    def select(self, which: Integers) -> Self:
        """Some of the n alphabets."""


def encode(starts: Integers, freqs: Integers, checks: Integers, check_bits: int = CHECK_BITS_MIN) -> list[bytes]:
    """Code each row of symbols into the bytes of one stream.

    Args:
        starts: cumulative frequency below each symbol, shape ``(streams, symbols)``, in ``0..65535``.
        freqs: frequency of each symbol, same shape, in ``1..65536``. Start 0 with frequency 65536 codes nothing: it pads
            streams that hold fewer symbols than others.
        checks: the check of each stream, shape ``(streams,)``; as many of its low bits are used as fit, 23 at most.
        check_bits: the fewest bits of the check, 0 to 23.

    Returns:
        One byte string per stream.
    """
    bits = np.full(len(starts), check_bits, np.int64)
    streams = _encode(starts, freqs, initial_states(checks, bits))
    spare = np.array([_spare_bits(stream) for stream in streams], np.int64)
    spare = np.minimum(spare, CHECK_BITS_MAX - check_bits)
    while (rest := np.flatnonzero(spare)).size:
        stronger = _encode(starts[rest], freqs[rest], initial_states(checks[rest], bits[rest] + spare[rest]))
        for k, stream in zip(rest.tolist(), stronger, strict=True):
            if len(stream) == len(streams[k]):
                streams[k] = stream
                spare[k] = 0
            else:  # the estimate of spare bits ignores that the coder rounds
                spare[k] -= 1
    return streams


def _spare_bits(stream: bytes) -> int:
    """By how many bits the number that a stream spells could grow without another byte."""
    return 8 - stream[0].bit_length()


def _encode(starts: Integers, freqs: Integers, x: Integers) -> list[bytes]:
    """The bytes of each stream, from its initial state."""
    if len(x) <= FEW_STREAMS:
        return [_encode_scalar(*stream) for stream in zip(starts.tolist(), freqs.tolist(), x.tolist(), strict=True)]
    return _encode_vector(starts, freqs, x)


def _encode_scalar(starts: list[int], freqs: list[int], x: int) -> bytes:
    """The bytes of one stream."""
    out = bytearray()
    for start, freq in zip(reversed(starts), reversed(freqs), strict=True):
        while x >= freq << _EMIT:
            out.append(x & 255)
            x >>= 8
        quotient, remainder = divmod(x, freq)
        x = (quotient << PROBABILITY_BITS) + remainder + start if quotient else _nth_spread_slot(x, start, freq)
    while x:
        out.append(x & 255)
        x >>= 8
    out.reverse()
    return bytes(out)


def _encode_vector(starts: Integers, freqs: Integers, x: Integers) -> list[bytes]:
    """The bytes of each stream, all streams step by step."""
    streams, symbols = starts.shape
    out = np.empty((streams, 2 * symbols + 4), np.uint8)  # a symbol gives off two bytes at most
    size = np.zeros(streams, np.int64)
    for t in reversed(range(symbols)):
        f = freqs[:, t]
        limit = f << _EMIT
        while (full := np.flatnonzero(x >= limit)).size:
            _emit(out, size, x, full)
        quotient = x // f
        previous, x = x, (quotient << PROBABILITY_BITS) + (x - quotient * f) + starts[:, t]
        if (low := np.flatnonzero(quotient == 0)).size:
            x[low] = _nth_spread_slot(previous[low], starts[low, t], f[low])
    while (rest := np.flatnonzero(x)).size:
        _emit(out, size, x, rest)
    return [out[k, : size[k]][::-1].tobytes() for k in range(streams)]


def _emit(out: NDArray[np.uint8], size: Integers, x: Integers, which: Integers) -> None:
    """Move the low byte of the chosen states to their streams."""
    out[which, size[which]] = x[which] & 255
    size[which] += 1
    x[which] >>= 8


def _nth_spread_slot(n: Number, start: Number, freq: Number) -> Number:
    """The n-th smallest of ``reverse(start) ... reverse(start + freq - 1)``, counted from 0, digit by digit."""
    slot = prefix = n * 0
    for k in range(PROBABILITY_BITS):
        zeros = _with_low_bits(prefix, k + 1, start, freq)
        bit = (n >= zeros) * 1
        n = n - bit * zeros
        prefix = prefix | (bit << k)
        slot = slot << 1 | bit
    return slot


def _spread_slots_below(slot: Number, start: Number, freq: Number) -> Number:
    """How many of ``reverse(start) ... reverse(start + freq - 1)`` are smaller than ``slot``."""
    count = prefix = slot * 0
    for k in range(PROBABILITY_BITS):
        bit = slot >> PROBABILITY_BITS - 1 - k & 1
        count = count + bit * _with_low_bits(prefix, k + 1, start, freq)
        prefix = prefix | (bit << k)
    return count


def _with_low_bits(pattern: Number, bits: int, start: Number, freq: Number) -> Number:
    """How many of ``start ... start + freq - 1`` have this pattern of low bits."""
    return ((start + freq - pattern - 1) >> bits) - ((start - pattern - 1) >> bits)


def _reverse(slot: Number) -> Number:
    """The 16 bits of a slot in reverse order."""
    out = slot * 0
    for k in range(PROBABILITY_BITS):
        out = out << 1 | (slot >> k & 1)
    return out


class Decoder:
    """The states of some streams: :meth:`decode` their symbols, given the frequencies, then take their :meth:`final_states`.

    Raises:
        FormatError: a stream is too short, or its first state is not one that the encoder writes.
    """

    def __init__(self, streams: Sequence[bytes]) -> None:
        states = first_states(streams)
        self._bytes = b"".join(streams)
        self._array = np.frombuffer(self._bytes, np.uint8)
        self._x = np.array([int.from_bytes(state, "big") for state in states], np.int64)
        self._end = np.cumsum([len(stream) for stream in streams], dtype=np.int64)
        unread = [len(stream) - len(state) for stream, state in zip(streams, states, strict=True)]
        self._position = self._end - np.array(unread, np.int64)
        # The scalar way reads and writes the same numbers, several times faster than by indexing an array.
        self._scalars = self._x.data, self._position.data, self._end.data

    def decode(self, cdf: Alphabets, stream: Integers) -> Integers:
        """The next symbols of some streams, as indices into their alphabets: (n,).

        Args:
            cdf: n alphabets.
            stream: the stream of each symbol, rising, shape ``(n,)``. A stream that occurs k times gives its next k symbols.
        """
        if len(self._x) <= FEW_STREAMS:
            return self._decode_scalar(cdf, stream)
        if (stream[1:] > stream[:-1]).all():
            return self._decode_vector(cdf, stream)
        symbols = np.empty(len(stream), np.int64)
        turn = np.arange(len(stream)) - np.searchsorted(stream, stream)
        for depth in range(int(turn.max()) + 1):
            now = np.flatnonzero(turn == depth)
            symbols[now] = self._decode_vector(cdf.select(now), stream[now])
        return symbols

    def _decode_scalar(self, cdf: Alphabets, stream: Integers) -> Integers:
        """The next symbols of some streams, one by one."""
        states, positions, ends = self._scalars
        symbols = []
        for k, edges in zip(stream.tolist(), cdf.edges().T.tolist(), strict=True):
            x = states[k]
            slot = x & (TOTAL - 1)
            symbol = bisect_right(edges, slot if x >= TOTAL else _reverse(slot)) - 1
            start, freq = edges[symbol], edges[symbol + 1] - edges[symbol]
            x = freq * (x >> PROBABILITY_BITS) + slot - start if x >= TOTAL else _spread_slots_below(x, start, freq)
            if x < LOW:
                position, end = positions[k], ends[k]
                while x < LOW and position < end:
                    x = x << 8 | self._bytes[position]
                    position += 1
                positions[k] = position
            states[k] = x
            symbols.append(symbol)
        return np.array(symbols, np.int64)

    def _decode_vector(self, cdf: Alphabets, stream: Integers) -> Integers:
        """The next symbol of each of some streams, which differ."""
        which = slice(None) if len(stream) == len(self._x) else stream  # all of them: arrays are not gathered
        x, position, end = self._x[which], self._position[which], self._end[which]
        slot = x & (TOTAL - 1)
        low = np.flatnonzero(x < TOTAL)
        if low.size:
            slot[low] = _reverse(slot[low])
        symbol = cdf.symbol_at(slot)
        start, freq = cdf.interval(symbol)
        after = freq * (x >> PROBABILITY_BITS) + (x & (TOTAL - 1)) - start
        if low.size:
            after[low] = _spread_slots_below(x[low], start[low], freq[low])
        while (hungry := np.flatnonzero((after < LOW) & (position < end))).size:
            after[hungry] = (after[hungry] << 8) | self._array[position[hungry]]
            position[hungry] += 1
        self._x[which], self._position[which] = after, position
        return symbol

    def final_states(self) -> FinalStates:
        """Where the streams have ended."""
        return FinalStates(self._x.copy(), self._position == self._end)
