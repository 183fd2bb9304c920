"""Whole files by the library in C: what the cases of ``tools/engine_cases.py`` are too small for.

An installed extension shows no functions of the library. A slow test in ``tests/fuzz`` builds one that does, and runs these.
"""

from __future__ import annotations

import numpy as np
import pytest

import mnistzip
from mnistzip.bitstream import container
from mnistzip.models.registry import shipped
from mnistzip.types import Pixels
from support.c_library import CLibrary, is_visible
from support.engines import EXTENSION

PATH = EXTENSION.__file__ if EXTENSION is not None else None
STREAMS = 257  # whose numbers need more than 8 bits

pytestmark = pytest.mark.skipif(PATH is None or not is_visible(PATH), reason="no functions of the library are visible")


def test_files_of_many_streams_are_those_of_python(digits: Pixels) -> None:
    columns, picks = 8 * (STREAMS - 1) + 1, np.random.default_rng(1)
    tiles = [np.roll(digits[picks.integers(64)], picks.integers(-4, 5, 2), (0, 1)) for _ in range(2 * columns)]
    image = np.concatenate([np.concatenate(row, axis=1) for row in (tiles[:columns], tiles[columns:])])
    file = mnistzip.encode(image, model="mnist-fast", quality=30, effort=0)
    header, payload = container.parse(file)
    assert len(container.split_streams(payload, STREAMS)) == STREAMS
    library, model = CLibrary(PATH or ""), shipped("mnist-fast")
    assert library.encode(model, header, image, effort=0) == file
    decoded = library.decode(model, header, payload)
    assert decoded is not None
    assert np.array_equal(decoded, mnistzip.decode(file))
