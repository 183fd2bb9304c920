"""Digits of MNIST that a model codes as the bitmaps that they were made from: their symbols, and payloads of them.

A payload is one stream, whose digits follow each other. FORMAT.md, section 14, specifies it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.coding.image_pixels import ImageSymbols, encode_payloads, image_check
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
    out: list[list[Pixels] | FormatError] = [
        FormatError("a coded stream is empty or begins with an impossible state") for _ in payloads
    ]
    for k, of_payload in enumerate(shapes):
        if any(shape != (TILE, TILE) for shape in of_payload):
            out[k] = FormatError(f"the model {model.name} codes images of {TILE}x{TILE} pixels only")
    coded = [
        k for k, payload in enumerate(payloads) if payload and payload[0] and all(shape == (TILE, TILE) for shape in shapes[k])
    ]
    if not coded:
        return out
    bitmaps, possible, ends = current().decode_bitmaps(model, [payloads[k] for k in coded], [len(shapes[k]) for k in coded])
    digits = iter(current().digits_of([bitmap for of_stream in bitmaps for bitmap in of_stream]))
    images = [[next(digits) for _ in of_stream] for of_stream in bitmaps]
    checks = np.array([image_check(checksum_seeds[k], each) for k, each in zip(coded, images, strict=True)], np.int64)
    intact = np.logical_and(ends.verify(checks), possible)
    for k, each, valid in zip(coded, images, intact.tolist(), strict=True):
        out[k] = each if valid else FormatError("its content does not match its check")
    return out
