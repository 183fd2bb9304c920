from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mnistzip.bitstream.checksums import CHECK16_BYTES
from mnistzip.bitstream.stored import deflate, inflate, smaller_stored, store, worth_deflating

SIZES = (1, 2, 10, 63, 64, 65, 255, 256, 257, 511, 512, 513, 784, 4096, 32767, 32768, 32769, 70000)


def bodies() -> list[bytes]:
    """Bytes of all sizes, with few and many values, in order, at random, at the end, in runs."""
    random = np.random.default_rng(1)
    result = []
    for size in SIZES:
        for levels in (1, 2, 3, 17, 100, 255, 256):
            some = random.permutation(256)[:levels].astype(np.uint8)
            result += [
                some[random.integers(0, levels, size)].tobytes(),
                np.resize(some, size).tobytes(),
                (bytes(size) + some.tobytes())[-size:],
                np.resize(np.repeat(some, max(1, size // levels)), size).tobytes(),
            ]
    return result


def test_nothing_is_left_out_that_would_be_smaller(digits: NDArray[np.uint8]) -> None:
    for raw in [*bodies(), *(digit.tobytes() for digit in digits)]:
        packed = deflate(raw)
        assert inflate(packed, len(raw)) == raw
        assert worth_deflating(np.frombuffer(raw, np.uint8)[None, None], np.array([len(packed) + CHECK16_BYTES + 1]))


def test_most_digits_are_left_out_where_a_lossy_file_is_small(digits: NDArray[np.uint8]) -> None:
    assert worth_deflating(digits, np.full(len(digits), 22)).sum() <= len(digits) // 4


@settings(deadline=None, max_examples=50)
@given(image=arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 255), fill=st.just(0)))
def test_the_smaller_of_coded_and_stored_file_is_taken_though_nothing_is_deflated_in_vain(image: NDArray[np.uint8]) -> None:
    plain = store(image)
    for size in range(1, len(plain) + 2):
        coded = bytes(size)
        assert smaller_stored([coded], [image]) == [plain if len(plain) <= size else coded]


@pytest.mark.parametrize("levels", range(1, 257))
def test_no_deflate_stream_is_smaller_than_its_grey_levels_allow(levels: int) -> None:
    image = np.repeat(np.arange(levels, dtype=np.uint8), 3)[None]
    plain = store(image)
    assert smaller_stored([bytes(len(plain))], [image]) == [plain]


def test_a_slope_is_stored_by_its_differences() -> None:
    rows, columns = np.mgrid[:28, :28]
    assert len(store((5 * rows + 3 * columns).astype(np.uint8))) < 25
