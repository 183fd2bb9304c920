"""Where the tests' data lie."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DATA = TESTS / "data"
DIGITS = DATA / "digits-idx3-ubyte.gz"
VECTORS = TESTS / "vectors"
