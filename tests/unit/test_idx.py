from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from mnistzip.errors import FormatError
from mnistzip.idx import read_idx
from support.paths import DIGITS

IDX = bytes.fromhex("00000802 00000002 00000003") + bytes(range(6))


def test_plain_and_gzipped_files_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(IDX)
    assert read_idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    path.write_bytes(gzip.compress(IDX))
    assert read_idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_path_may_be_a_string() -> None:
    assert (read_idx(str(DIGITS)) == read_idx(DIGITS)).all()


def test_the_sample_digits_are_digits() -> None:
    digits = read_idx(DIGITS)
    assert digits.shape == (64, 28, 28)
    assert 20 < np.mean(digits) < 50


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        IDX[:-1],
        IDX + b"x",
        IDX[:7],
        b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0",  # floats
        b"\x89PNG\r\n\x1a\n",
        bytes.fromhex("00000803 ffffffff ffffffff ffffffff"),
        gzip.compress(IDX, mtime=0)[:-9],
        b"\x1f\x8bnot gzip at all",
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="x"):
        read_idx(path)
