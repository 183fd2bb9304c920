from __future__ import annotations

from itertools import pairwise

import constriction
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from mnistzip.entropy import rans
from mnistzip.entropy.cdf import Cdf
from mnistzip.entropy.cost import PROBABILITY_BITS, TOTAL
from mnistzip.errors import FormatError

Ints = NDArray[np.int64]
EDGES = np.array([0, 1, 1000, 40000, 40001, 65000, 65536])  # an alphabet of six, very rare values among them


def intervals(symbols: Ints, edges: Ints = EDGES) -> tuple[Ints, Ints]:
    return edges[symbols], edges[symbols + 1] - edges[symbols]


def decode(streams: list[bytes], count: int, edges: Ints = EDGES) -> tuple[Ints, rans.Decoder]:
    decoder = rans.Decoder(streams)
    symbols = np.zeros((len(streams), count), np.int64)
    alphabets = Cdf(np.tile(edges[:, None], len(streams)), np.ones(len(streams), np.int64))
    for t in range(count):
        symbols[:, t] = decoder.decode(alphabets, np.arange(len(streams)))
    return symbols, decoder


def test_few_streams_decode_as_many_do() -> None:
    random = np.random.default_rng(4)
    many = 3 * rans.FEW_STREAMS
    symbols = random.choice(6, (many, 40), p=np.diff(EDGES) / TOTAL)
    checks = random.integers(0, 1 << 32, many)
    streams = rans.encode(*intervals(symbols), checks, 0)  # whose first states are low, too
    for size in (1, rans.FEW_STREAMS, rans.FEW_STREAMS + 1, many):
        decoded, decoder = decode(streams[:size], 40)
        assert (decoded == symbols[:size]).all()
        assert decoder.final_states().verify(checks[:size], 0).all()


def test_a_stream_gives_several_symbols_at_once() -> None:
    random = np.random.default_rng(6)
    many = 3 * rans.FEW_STREAMS
    symbols = random.choice(6, (many, 12), p=np.diff(EDGES) / TOTAL)
    checks = random.integers(0, 1 << 32, many)
    streams = rans.encode(*intervals(symbols), checks, 0)
    for size in (2, many):
        decoder = rans.Decoder(streams[:size])
        for taken in (slice(0, 1), slice(1, 5), slice(5, 12)):
            owner = np.repeat(np.arange(size), taken.stop - taken.start)
            cdf = Cdf(np.tile(EDGES[:, None], len(owner)), np.ones(len(owner), np.int64))
            assert (decoder.decode(cdf, owner) == symbols[:size, taken].ravel()).all()
        assert decoder.final_states().verify(checks[:size], 0).all()


def test_streams_keep_their_bytes_for_ever() -> None:
    symbols = np.arange(48).reshape(2, 24) * 7 % 6
    streams = rans.encode(*intervals(symbols), np.array([0, 0xBEEF]))
    assert [stream.hex() for stream in streams] == [
        "ad0000030d18e0ec00038a68a93c0000a598ace900007fe8ca8f",
        "671d000003ceab5690032708db0600029768aaf000004128a633",
    ]


@settings(deadline=None)
@given(
    symbols=st.lists(st.lists(st.integers(0, 5), min_size=9, max_size=9), min_size=1, max_size=12),
    check=st.integers(0, (1 << 32) - 1),
    bits=st.integers(0, 23),
)
def test_every_stream_comes_back_and_ends_on_its_check(symbols: list[list[int]], check: int, bits: int) -> None:
    array = np.array(symbols)
    checks = np.full(len(array), check)
    streams = rans.encode(*intervals(array), checks, bits)
    decoded, decoder = decode(streams, 9)
    assert (decoded == array).all()
    assert decoder.final_states().verify(checks, bits).all()
    if bits:
        assert not decoder.final_states().verify(checks ^ 1, bits).any()


def test_a_check_is_as_strong_as_its_bytes_allow_and_never_weaker_than_asked() -> None:
    random = np.random.default_rng(3)
    symbols = random.choice(6, (400, 60), p=np.diff(EDGES) / TOTAL)
    checks = random.integers(0, 1 << 32, 400)
    at_least = {bits: rans.encode(*intervals(symbols), checks, bits) for bits in (0, 8, 16, 23)}
    sizes = {bits: np.array([len(stream) for stream in streams]) for bits, streams in at_least.items()}
    assert (sizes[8] <= sizes[16]).all()
    assert 0.8 < (sizes[23] - sizes[16]).mean() < 0.95  # 7 bits are 7/8 of a byte
    assert 0.9 < (sizes[16] - sizes[8]).mean() < 1.1
    assert 0.4 < (sizes[8] - sizes[0]).mean() < 1  # the very first symbols cannot be told so finely
    _, decoder = decode(at_least[16], 60)
    shares = [decoder.final_states().verify(checks, bits).mean() for bits in range(16, 25)]
    assert shares[0] == 1
    assert all(0.05 < a - b < 0.2 for a, b in pairwise(shares))  # all lengths about equally often
    assert shares[-1] == 0


def test_padding_a_stream_costs_no_byte() -> None:
    symbols = np.array([[3, 2, 1, 4, 4]])
    starts, freqs = intervals(symbols)
    filled = np.hstack([starts, np.zeros((1, 7), np.int64)]), np.hstack([freqs, np.full((1, 7), TOTAL)])
    assert rans.encode(*filled, np.array([5])) == rans.encode(starts, freqs, np.array([5]))


def test_no_symbols_leave_the_check_alone() -> None:
    nothing = np.zeros((1, 0), np.int64)
    assert rans.encode(nothing, nothing, np.array([0xABCD])) == [bytes.fromhex("80abcd")]  # bits 16 to 22 of the check are 0


def test_streams_are_no_larger_than_the_range_coder_of_a_known_library_with_a_checksum_of_16_bits() -> None:
    random = np.random.default_rng(1)
    freqs = np.diff(EDGES)
    symbols = random.choice(6, (300, 196), p=freqs / TOTAL)
    ours = sum(map(len, rans.encode(*intervals(symbols), random.integers(0, 65536, 300))))
    model = constriction.stream.model.Categorical(freqs / TOTAL, perfect=True)
    theirs = 0
    for row in symbols:
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(row.astype(np.int32), model)
        theirs += 4 * len(coder.get_compressed()) + 2
    ideal = (PROBABILITY_BITS - np.log2(freqs[symbols])).sum() / 8
    assert ours <= theirs
    assert ours - ideal <= 2.7 * 300  # two bytes of check, and what rounding up to bytes costs


def test_cutting_a_stream_is_noticed() -> None:
    symbols = np.random.default_rng(2).integers(1, 5, (1, 60))
    check = np.array([77])
    stream = rans.encode(*intervals(symbols), check)[0]
    for size in range(len(stream)):
        try:
            _, decoder = decode([stream[:size]], 60)
        except FormatError:
            continue
        assert not decoder.final_states().verify(check).any()
    _, decoder = decode([stream + b"\0"], 60)
    assert not decoder.final_states().verify(check).any()


@pytest.mark.parametrize("stream", [b"", b"\x00", b"\x00\xff\xff", b"\x00\xff\xff\xff\xff"])
def test_states_that_no_encoder_writes_are_refused(stream: bytes) -> None:
    with pytest.raises(FormatError):
        rans.Decoder([stream])
