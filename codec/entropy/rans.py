"""Byte-wise rANS over lanes: integer frequencies to bytes and back.

A lane is one independent stream with one state ``x``. All lanes take each step together in numpy. Coding a symbol of
frequency ``f`` and start ``c`` (frequencies of an alphabet sum to 2^16) maps ``x`` to ``(x // f) * 2^16 + c + x % f``; low
bytes leave the state beforehand so that it stays below 2^31.

The state begins at ``2^n + check`` instead of a constant, the check being n bits, and the decoder must end there with no byte
unread: n bits of integrity check that cost n bits and nothing on top, since the state may grow to the normal interval by
coding. The highest bit of the decoder's last state tells n. The encoder takes the largest n that needs no more bytes than the
smallest allowed: what rounding up to whole bytes would waste makes the check stronger.
The final state is written in as few bytes as hold it, up to four.

A state below 2^16 would grow too much where its symbol's slots lie far up. There, that is only in streams whose check has fewer
bits than 16, the slots of each symbol are spread evenly: slot ``s`` belongs to the symbol whose interval holds the bits of
``s`` in reverse (van der Corput's sequence), and the n-th of a symbol's slots counts as n.

Sources: Duda 2013, arXiv 1311.2540 (rANS); Giesen 2014, arXiv 1402.3392 (byte-wise renormalization).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy.cdf import PROBABILITY_BITS, TOTAL, Cdf
from mnistzip.errors import FormatError

CHECK_BITS_MIN = 16  # of a check in a file; streams without a header may ask for fewer
CHECK_BITS_MAX = 23
LOW = 1 << 23  # a state below this takes in a byte, if the lane has one left
FEW_LANES = 8  # so many are stepped faster one by one than by numpy
_EMIT = 31 - PROBABILITY_BITS  # a state of f << _EMIT or more gives off a byte before coding f

Ints = NDArray[np.int64]


def encode(starts: Ints, freqs: Ints, checks: Ints, check_bits: int = CHECK_BITS_MIN) -> list[bytes]:
    """Code each row of symbols into the bytes of one lane.

    Args:
        starts: cumulative frequency below each symbol, shape ``(lanes, symbols)``, in ``0..65535``.
        freqs: frequency of each symbol, same shape, in ``1..65536``. Start 0 with frequency 65536 codes nothing: it fills
            up lanes that hold fewer symbols than others.
        checks: what each decoder must find in its last state, shape ``(lanes,)``, 23 bits of which the low ones are used.
        check_bits: how many bits at least, 0 to 23.

    Returns:
        One byte string per lane.
    """
    bits = np.full(len(starts), check_bits, np.int64)
    streams = _encode(starts, freqs, _first_states(checks, bits))
    spare = np.array([_spare_bits(stream) for stream in streams], np.int64)
    spare = np.minimum(spare, CHECK_BITS_MAX - check_bits)
    while (rest := np.flatnonzero(spare)).size:
        stronger = _encode(starts[rest], freqs[rest], _first_states(checks[rest], bits[rest] + spare[rest]))
        for lane, stream in zip(rest.tolist(), stronger, strict=True):
            if len(stream) == len(streams[lane]):
                streams[lane] = stream
                spare[lane] = 0
            else:  # the spare bits were reckoned without the rounding in the coder
                spare[lane] -= 1
    return streams


def _first_states(checks: Ints, bits: Ints) -> Ints:
    """``2^bits`` and the low ``bits`` of the checks: (lanes,)."""
    one = np.left_shift(np.int64(1), bits)
    return one | (checks & (one - 1))


def _spare_bits(stream: bytes) -> int:
    """By how many bits the number that a stream is could grow without another byte."""
    return 8 - stream[0].bit_length()


def _encode(starts: Ints, freqs: Ints, x: Ints) -> list[bytes]:
    """The bytes of each lane, from its first state."""
    lanes, symbols = starts.shape
    if lanes <= FEW_LANES and x.min(initial=TOTAL) >= TOTAL:
        return [_encode_one(*lane) for lane in zip(starts.tolist(), freqs.tolist(), x.tolist(), strict=True)]
    out = np.empty((lanes, 2 * symbols + 4), np.uint8)  # a symbol gives off two bytes at most
    size = np.zeros(lanes, np.int64)
    for t in reversed(range(symbols)):
        f = freqs[:, t]
        limit = f << _EMIT
        while (full := np.flatnonzero(x >= limit)).size:
            _put(out, size, x, full)
        quotient = x // f
        given, x = x, (quotient << PROBABILITY_BITS) + (x - quotient * f) + starts[:, t]
        if (low := np.flatnonzero(quotient == 0)).size:
            x[low] = _nth_spread_slot(given[low], starts[low, t], f[low])
    while (rest := np.flatnonzero(x)).size:
        _put(out, size, x, rest)
    return [out[lane, : size[lane]][::-1].tobytes() for lane in range(lanes)]


def _encode_one(starts: list[int], freqs: list[int], x: int) -> bytes:
    """The bytes of one lane, in plain integers: faster where lanes are few."""
    out = bytearray()
    for start, freq in zip(reversed(starts), reversed(freqs), strict=True):
        while x >= freq << _EMIT:
            out.append(x & 255)
            x >>= 8
        x = (x // freq << PROBABILITY_BITS) + x % freq + start
    while x:
        out.append(x & 255)
        x >>= 8
    out.reverse()
    return bytes(out)


def _put(out: NDArray[np.uint8], size: Ints, x: Ints, which: Ints) -> None:
    """Move the low byte of the chosen states to their lanes."""
    out[which, size[which]] = x[which] & 255
    size[which] += 1
    x[which] >>= 8


def _nth_spread_slot(n: Ints, start: Ints, freq: Ints) -> Ints:
    """The n-th smallest of ``reverse(start) ... reverse(start + freq - 1)``, counted from 0, digit by digit: (lanes,)."""
    n, prefix, value = n.copy(), np.zeros_like(n), np.zeros_like(n)
    for k in range(PROBABILITY_BITS):
        zeros = _with_low_bits(prefix, k + 1, start, freq)
        one = n >= zeros
        n -= np.where(one, zeros, 0)
        prefix |= np.where(one, 1 << k, 0)
        value |= np.where(one, TOTAL >> k + 1, 0)
    return value


def _spread_slots_below(value: Ints, start: Ints, freq: Ints) -> Ints:
    """How many of ``reverse(start) ... reverse(start + freq - 1)`` are smaller than ``value``: (lanes,)."""
    count, prefix = np.zeros_like(value), np.zeros_like(value)
    for k in range(PROBABILITY_BITS):
        one = (value & (TOTAL >> k + 1)) != 0
        count += np.where(one, _with_low_bits(prefix, k + 1, start, freq), 0)
        prefix |= np.where(one, 1 << k, 0)
    return count


def _spread_slots_below_one(value: int, start: int, freq: int) -> int:
    """The same in plain integers, for one lane."""
    count = prefix = 0
    for k in range(PROBABILITY_BITS):
        if value & (TOTAL >> k + 1):
            count += ((start + freq - prefix - 1) >> k + 1) - ((start - prefix - 1) >> k + 1)
            prefix |= 1 << k
    return count


def _with_low_bits(pattern: Ints, bits: int, start: Ints, freq: Ints) -> Ints:
    """How many of ``start ... start + freq - 1`` have this pattern of low bits: (lanes,)."""
    return ((start + freq - pattern - 1) >> bits) - ((start - pattern - 1) >> bits)


def _reverse(slot: Ints) -> Ints:
    """The 16 bits of each slot the other way round."""
    out = np.zeros_like(slot)
    for k in range(PROBABILITY_BITS):
        out |= ((slot >> k) & 1) << (PROBABILITY_BITS - 1 - k)
    return out


def _reverse_one(slot: int) -> int:
    """The 16 bits of a slot the other way round."""
    return int(f"{slot:0{PROBABILITY_BITS}b}"[::-1], 2)


class Decoder:
    """Steps all lanes through their symbols: :meth:`take` them, given their frequencies, and :meth:`finish`.

    Raises:
        FormatError: a lane is too short or its first state is not one that the encoder writes.
    """

    def __init__(self, lanes: Sequence[bytes]) -> None:
        self._bytes = np.frombuffer(b"".join(lanes), np.uint8)
        sizes = np.array([len(lane) for lane in lanes], np.int64)
        if sizes.size and not sizes.min():
            raise FormatError("a coded stream is empty: the file is cut short")
        self._end = np.cumsum(sizes)
        self._at = self._end - sizes
        head = [lane[: 3 if lane[0] >= 128 else 4] for lane in lanes]
        self._at += np.array([len(state) for state in head], np.int64)
        self._x = np.array([int.from_bytes(state, "big") for state in head], np.int64)
        for state in head:
            if state[0] == 0:  # a shorter form exists
                raise FormatError(f"a coded stream begins with the impossible state {state.hex()}: the file is damaged")
        self._few = len(lanes) <= FEW_LANES
        self._scalars = [list(map(int, state)) for state in zip(self._x, self._at, self._end, strict=True)]

    def take(self, cdf: Cdf, more: NDArray[np.bool_]) -> Ints:
        """The next symbol's index in its alphabet, taken off every lane: (lanes,).

        Args:
            cdf: one alphabet for each lane.
            more: which lanes hold another symbol, shape ``(lanes,)``; the others stay as they are.
        """
        if self._few:
            index = np.zeros(len(more), np.int64)
            for lane, edges in enumerate(cdf.edges().T.tolist()):
                if more[lane]:
                    index[lane] = self._take_one(lane, edges)
            return index
        index = cdf.find(self._slots())
        starts, freqs = cdf.interval(index)
        if not more.all():
            starts, freqs = np.where(more, starts, 0), np.where(more, freqs, TOTAL)
        self._advance(starts, freqs)
        return index

    def _take_one(self, lane: int, edges: list[int]) -> int:
        """The next symbol of one lane, in plain integers, given the cumulative frequencies of its alphabet."""
        x, at, end = self._scalars[lane]
        slot = x & (TOTAL - 1)
        index = bisect_right(edges, slot if x >= TOTAL else _reverse_one(slot)) - 1
        start, freq = edges[index], edges[index + 1] - edges[index]
        x = freq * (x >> PROBABILITY_BITS) + slot - start if x >= TOTAL else _spread_slots_below_one(x, start, freq)
        while x < LOW and at < end:
            x = x << 8 | int(self._bytes[at])
            at += 1
        self._scalars[lane] = [x, at, end]
        return index

    def _slots(self) -> Ints:
        """The number in ``0..65535`` that falls into each lane's next symbol's interval, shape ``(lanes,)``."""
        slots = self._x & (TOTAL - 1)
        if (low := np.flatnonzero(self._x < TOTAL)).size:
            slots[low] = _reverse(slots[low])
        return slots

    def _advance(self, starts: Ints, freqs: Ints) -> None:
        """Take one symbol per lane off, given its start and frequency, each of shape ``(lanes,)``."""
        x = freqs * (self._x >> PROBABILITY_BITS) + (self._x & (TOTAL - 1)) - starts
        if (low := np.flatnonzero(self._x < TOTAL)).size:
            x[low] = _spread_slots_below(self._x[low], starts[low], freqs[low])
        while (hungry := np.flatnonzero((x < LOW) & (self._at < self._end))).size:
            x[hungry] = (x[hungry] << 8) | self._bytes[self._at[hungry]]
            self._at[hungry] += 1
        self._x = x

    def finish(self, checks: Ints, check_bits: int = CHECK_BITS_MIN) -> NDArray[np.bool_]:
        """Which lanes used up all their bytes and ended on their check, of at least so many bits: (lanes,) bool."""
        if self._few:
            self._x, self._at, _ = np.array(self._scalars, np.int64).reshape(-1, 3).T
        bits = np.frexp(self._x.astype(np.float64))[1].astype(np.int64) - 1  # of the check: those below the highest
        strong = (check_bits <= bits) & (bits <= CHECK_BITS_MAX)
        expected = _first_states(checks, np.clip(bits, 0, CHECK_BITS_MAX))
        return (self._at == self._end) & strong & (self._x == expected)


class SharedDecoder(Decoder):
    """Lanes from which several symbols are taken at each step: those of several latents or tiles, or several pixels.

    Each step thus asks for many symbols together, which costs little more than asking for one. The checks have 16
    bits at least; no state of such a lane lies below 2^16, and one that does is damaged.

    Args:
        lanes: as for :class:`Decoder`.
        counts: how many symbols :meth:`take` takes off each lane, 1 or more, shape ``(lanes,)``.
    """

    def __init__(self, lanes: Sequence[bytes], counts: Ints) -> None:
        super().__init__(lanes)
        self._owner = np.repeat(np.arange(len(lanes)), counts)
        self._sunk = np.zeros(len(lanes), bool)

    def take(self, cdf: Cdf, more: NDArray[np.bool_]) -> Ints:
        """As :meth:`Decoder.take`, for all latents, those of a lane beside each other: (latents,)."""
        return self.take_of(cdf, self._owner)

    def take_of(self, cdf: Cdf, lane: Ints) -> Ints:
        """The next symbols of some lanes, those of a lane one after the other: (n,).

        Args:
            cdf: n alphabets.
            lane: that each symbol is taken off, rising, shape ``(n,)``.
        """
        if self._few:
            return self._take_one_by_one(cdf, lane)
        index = np.empty(len(lane), np.int64)
        first = np.searchsorted(lane, lane)
        turn = np.arange(len(lane)) - first
        for depth in range(int(turn.max(initial=-1)) + 1):
            now = np.flatnonzero(turn == depth) if depth else np.flatnonzero(first == np.arange(len(lane)))
            mine, table = lane[now], cdf.of(now)
            x = self._x[mine]
            self._sunk[mine[x < TOTAL]] = True
            slot = x & (TOTAL - 1)
            found = table.find(slot)
            start, freq = table.interval(found)
            x = freq * (x >> PROBABILITY_BITS) + slot - start
            at, end = self._at[mine], self._end[mine]
            while (hungry := np.flatnonzero((x < LOW) & (at < end))).size:
                x[hungry] = (x[hungry] << 8) | self._bytes[at[hungry]]
                at[hungry] += 1
            self._x[mine], self._at[mine] = x, at
            index[now] = found
        return index

    def _take_one_by_one(self, cdf: Cdf, lane: Ints) -> Ints:
        """The same in plain integers."""
        index = []
        for mine, edges in zip(lane.tolist(), cdf.edges().T.tolist(), strict=True):
            if self._scalars[mine][0] < TOTAL:
                self._sunk[mine] = True
            index.append(self._take_one(mine, edges))
        return np.array(index, np.int64)

    def finish(self, checks: Ints, check_bits: int = CHECK_BITS_MIN) -> NDArray[np.bool_]:
        """As :meth:`Decoder.finish`: (lanes,) bool."""
        return super().finish(checks, check_bits) & ~self._sunk
