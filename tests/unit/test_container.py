from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header, Method
from mnistzip.errors import FormatError, LimitError, MnistzipError, UnsupportedError
from mnistzip.limits import SIDE_MAX
from mnistzip.types import Mode

HASH = bytes(range(4))
PINNED = {
    "cae132": Header(Mode.LOSSY, 28, 28, model=0, quality=50),
    "cae18132": Header(Mode.LOSSY, 28, 28, model=1, quality=50),
    "cae1c0323c811f": Header(Mode.LOSSY, 60, 3969, model=0, quality=50),
    "cae18f0001020364": Header(Mode.LOSSY, 28, 28, model=HASH, quality=100),
    "cae1a0": Header(Mode.STORED, 28, 28, method=Method.RAW),
    "cae1e10105": Header(Mode.STORED, 1, 5, method=Method.DEFLATE),
    "cae1e17f8001": Header(Mode.STORED, 127, 128, method=Method.DEFLATE),
    "cae1e1ff7f01": Header(Mode.STORED, 16383, 1, method=Method.DEFLATE),
    "cae1e101808001": Header(Mode.STORED, 1, 16384, method=Method.DEFLATE),
}

sides = st.integers(1, SIDE_MAX)
lossy = st.builds(
    Header,
    mode=st.just(Mode.LOSSY),
    width=sides,
    height=sides,
    model=st.integers(0, 13) | st.binary(min_size=4, max_size=4),
    quality=st.integers(1, 100),
)
stored = st.builds(Header, mode=st.just(Mode.STORED), width=sides, height=sides, method=st.sampled_from(Method))


@pytest.mark.parametrize("text", PINNED)
def test_headers_keep_their_bytes_for_ever(text: str) -> None:
    assert PINNED[text].to_bytes().hex() == text
    assert container.parse(bytes.fromhex(text) + b"payload") == (PINNED[text], b"payload")


@pytest.mark.parametrize("text", ["", "ca", "c9e1", "cbe1", "cad1", "caf1", "e1ca", "89504e47"])
def test_other_files_do_not_begin_like_ours(text: str) -> None:
    assert not container.is_cae(bytes.fromhex(text))
    assert container.is_cae(b"\xca\xe2")  # a later version


@given(header=lossy | stored)
def test_every_header_comes_back(header: Header) -> None:
    assert container.parse(header.to_bytes(), SIDE_MAX**2) == (header, b"")


@given(data=st.binary(max_size=20))
def test_any_bytes_give_a_header_or_one_of_our_errors(data: bytes) -> None:
    try:
        header, payload = container.parse(b"\xca\xe1" + data)
    except MnistzipError:
        return
    assert header.to_bytes() + payload == b"\xca\xe1" + data


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", FormatError, "not a mnistzip file"),
        ("ca", FormatError, "not a mnistzip file"),
        ("89504e47", FormatError, "89 50 4e 47"),
        ("cae2", UnsupportedError, "needs a newer mnistzip"),
        ("cae1", FormatError, "cut short in the header"),
        ("cae100", UnsupportedError, "0x00 is unsupported"),
        ("cae166", UnsupportedError, "0x66 is unsupported"),
        ("cae190", FormatError, "shortest form"),
        ("cae19e", UnsupportedError, "model number 14"),
        ("cae1b0", FormatError, "cut short in the largest error"),
        ("cae1a4", UnsupportedError, "storage method 4"),
        ("cae18e32", UnsupportedError, "model number 14"),
        ("cae18032", FormatError, "shortest form"),
        ("cae18100", FormatError, "quality 0"),
        ("cae18165", FormatError, "quality 101"),
        ("cae181", FormatError, "cut short in the quality"),
        ("cae18f0001", FormatError, "fingerprint"),
        ("cae1c0321c1c", FormatError, "shortest form"),
        ("cae1c032", FormatError, "the width"),
        ("cae1c0321d", FormatError, "the height"),
        ("cae1c032001d", FormatError, "side of 0"),
        ("cae1c0328080041d", FormatError, "larger than 65535"),
        ("cae1c0329d001d", FormatError, "shortest form"),
        ("cae1c032ffffffffffffffffff1d", FormatError, "larger than"),
        ("cae1c032ffff03ffff03", LimitError, "65535x65535"),
    ],
)
def test_bad_headers_say_what_is_wrong(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        container.parse(bytes.fromhex(text))


@given(streams=st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_streams_come_apart_where_they_were_joined(streams: list[bytes]) -> None:
    joined = container.join_streams(streams)
    if len(streams) <= len(joined):
        assert container.split_streams(joined, len(streams)) == streams


@pytest.mark.parametrize(("payload", "count"), [(b"", 1), (b"\x05ab", 2), (b"\x81\x00abc", 2), (b"\xff\xff", 2)])
def test_lengths_that_do_not_fit_are_refused(payload: bytes, count: int) -> None:
    with pytest.raises(FormatError):
        container.split_streams(payload, count)
