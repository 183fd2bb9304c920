"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command has it: matrices are small, and threads would only wait

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.idx import read_idx
from support.paths import DATA


@pytest.fixture(scope="session", autouse=True)
def no_models_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have models of their own; the tests must not see them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MNISTZIP_MODEL_PATH", raising=False)
        for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("data")))
        yield


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
