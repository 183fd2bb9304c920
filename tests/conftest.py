"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.idx import read_idx

HERE = Path(__file__).parent
DATA = HERE / "data"


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """64 MNIST test digits, shape (64, 28, 28)."""
    return read_idx(DATA / "digits-idx3-ubyte.gz")


@pytest.fixture(scope="session")
def digit(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One of them, shape (28, 28)."""
    return digits[0]


@pytest.fixture
def digit_png(tmp_path: Path) -> Path:
    """A digit as a PNG file of its own."""
    path = tmp_path / "digit.png"
    path.write_bytes((DATA / "digit.png").read_bytes())
    return path
