"""The memory that numpy and Python take, in multiples of what is read; that of Pillow and the native engine is not counted."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable

import numpy as np
from PIL import Image

import mnistzip
from mnistzip.io.image_file import parse_image
from mnistzip.models.prepared import prepare
from mnistzip.models.registry import read_model
from support import forge

SIDE = 4096  # large beside the blocks that are read at once


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes that a piece of work takes at any time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_large_png_is_read_in_little_more_than_its_pixels() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (SIDE, SIDE)).save(out, "PNG")
    assert peak_bytes(lambda: parse_image("large", out.getvalue(), convert=True)) < 2 * SIDE**2


def test_a_large_image_is_stored_in_seven_times_its_pixels() -> None:
    image = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)
    assert peak_bytes(lambda: mnistzip.encode(image, lossless=True, model="classic")) < 7 * SIDE**2


def test_a_large_model_is_prepared_in_24_bytes_a_weight() -> None:
    channels, kernel = 600, 3
    model = read_model(forge.wide(1, channels, 7, kernel), "wide")
    assert peak_bytes(lambda: prepare(model)) < 24 * (kernel * channels) ** 2
