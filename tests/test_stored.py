from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzip.stored import CHECK_BYTES, deflate, inflate, worth_deflating

SIZES = (1, 2, 10, 63, 64, 65, 255, 256, 257, 511, 512, 513, 784, 4096, 32767, 32768, 32769, 70000)


def bodies() -> list[bytes]:
    """Bytes of all sizes, with few and many values, in order, at random, at the end, in runs."""
    random = np.random.default_rng(1)
    found = []
    for size in SIZES:
        for levels in (1, 2, 3, 17, 100, 255, 256):
            some = random.permutation(256)[:levels].astype(np.uint8)
            found += [
                some[random.integers(0, levels, size)].tobytes(),
                np.resize(some, size).tobytes(),
                (bytes(size) + some.tobytes())[-size:],
                np.resize(np.repeat(some, max(1, size // levels)), size).tobytes(),
            ]
    return found


def test_nothing_is_left_out_that_would_be_smaller(digits: NDArray[np.uint8]) -> None:
    for raw in [*bodies(), *(digit.tobytes() for digit in digits)]:
        packed = deflate(raw)
        assert inflate(packed, len(raw)) == raw
        assert worth_deflating(raw, len(packed) + CHECK_BYTES + 1)


def test_most_digits_are_left_out_where_a_lossy_file_is_small(digits: NDArray[np.uint8]) -> None:
    assert sum(worth_deflating(digit.tobytes(), 22) for digit in digits) <= len(digits) // 4
