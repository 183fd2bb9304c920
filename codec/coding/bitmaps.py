"""Digits of MNIST that a model codes as the bitmaps that they were made from: their symbols, and payloads of them.

A payload is one stream, whose digits follow each other. FORMAT.md, section 14, specifies it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.coding.image_pixels import Decoded, ImageSymbols, decode_checked, encode_payloads
from mnistzip.engines.choice import current
from mnistzip.errors import FormatError
from mnistzip.models.registry import Model
from mnistzip.tiling import TILE
from mnistzip.types import Mode, Pixels

__all__ = ["decode_payloads", "encode_payloads", "pixel_symbols"]  # what mnistzip.coding.lossless calls


def pixel_symbols(model: Model, images: Sequence[Pixels], max_error: int = 0) -> list[ImageSymbols | None]:
    """The symbols of each image that is a digit of MNIST and that a bitmap gives exactly; None for all others."""
    out: list[ImageSymbols | None] = [None] * len(images)
    tiles = [k for k, image in enumerate(images) if image.shape == (TILE, TILE)]
    if max_error or not tiles:
        return out
    found = current().find_bitmaps(np.stack([images[k] for k in tiles]))
    bitmaps = {k: bitmap for k, bitmap in zip(tiles, found, strict=True) if bitmap is not None}
    for k, intervals in zip(bitmaps, current().bitmap_symbols(model, list(bitmaps.values())), strict=True):
        out[k] = ImageSymbols(intervals)
    return out


def decode_payloads(
    model: Model,
    checksum_seeds: Sequence[bytes],
    payloads: Sequence[bytes],
    shapes: Sequence[Sequence[tuple[int, int]]],
    max_error: int = 0,
) -> list[list[Pixels] | FormatError]:
    """For each payload its images or its error: :func:`mnistzip.coding.lossless.decode_payloads`."""
    if max_error:
        model.require_mode(Mode.BOUNDED)

    def decode(which: Sequence[int]) -> Decoded:
        engine = current()
        bitmaps, possible, ends = engine.decode_bitmaps(model, [payloads[k] for k in which], [len(shapes[k]) for k in which])
        digits = iter(engine.digits_of([bitmap for of_stream in bitmaps for bitmap in of_stream]))
        return [[next(digits) for _ in of_stream] for of_stream in bitmaps], possible, ends

    refused = FormatError(f"the model {model.name} codes images of {TILE}x{TILE} pixels only")
    fits = [all(shape == (TILE, TILE) for shape in of_payload) for of_payload in shapes]
    fitting = [payload if is_fit else b"" for payload, is_fit in zip(payloads, fits, strict=True)]
    decoded = decode_checked(checksum_seeds, fitting, decode)
    return [images if is_fit else refused for images, is_fit in zip(decoded, fits, strict=True)]
