"""Whole images that the pixel model of a model of the kind ``grey`` codes: their symbols, and payloads of them.

A payload is one stream, whose images follow each other. FORMAT.md, section 13, specifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mnistzip.bitstream.checksums import crc32
from mnistzip.engines.choice import current
from mnistzip.engines.interface import Intervals
from mnistzip.entropy.states import FinalStates
from mnistzip.errors import FormatError
from mnistzip.models.registry import Model
from mnistzip.tiling import by_shape
from mnistzip.types import Pixels

PIXELS_TOGETHER = 1 << 18  # whose symbols are computed together

Decoded = tuple[list[list[Pixels]], list[bool], FinalStates]  # the images of streams, whether possible, and their ends


class ImageSymbols(NamedTuple):
    """The symbols of an image: their intervals in coding order, shape ``(H * W,)`` each."""

    intervals: Intervals

    @property
    def bits(self) -> int:
        """Ideal code length in units of 1 / :data:`~mnistzip.entropy.cost.BIT` bits."""
        return int(self.intervals.bits)


def pixel_symbols(model: Model, images: Sequence[Pixels], max_error: int = 0) -> list[ImageSymbols]:
    """The symbols of each image."""
    out: dict[int, ImageSymbols] = {}
    for indices, stack in by_shape(images):
        together = max(1, PIXELS_TOGETHER // stack[0].size)
        for first in range(0, len(stack), together):
            part = slice(first, first + together)
            symbols = current().image_pixel_symbols(model, stack[part], max_error)
            for k, start, freq_less_one in zip(indices[part].tolist(), symbols.start, symbols.freq_less_one, strict=True):
                out[k] = ImageSymbols(Intervals(start, freq_less_one))
    return [out[k] for k in range(len(images))]


def encode_payloads(
    checksum_seeds: Sequence[bytes], images: Sequence[Pixels], symbols: Sequence[ImageSymbols], group: int = 1
) -> list[bytes]:
    """Payloads of ``group`` images each: :func:`mnistzip.coding.lossless.encode_payloads`."""
    starts = range(0, len(images), group)
    streams = [Intervals.join([each.intervals for each in symbols[start : start + group]]) for start in starts]
    pairs = zip(checksum_seeds, starts, strict=True)
    checks = [_check(seed, images[start : start + group]) for seed, start in pairs]
    return current().encode_streams(streams, np.array(checks, np.int64))


def decode_payloads(
    model: Model,
    checksum_seeds: Sequence[bytes],
    payloads: Sequence[bytes],
    shapes: Sequence[Sequence[tuple[int, int]]],
    max_error: int = 0,
) -> list[list[Pixels] | FormatError]:
    """For each payload its images or its error: :func:`mnistzip.coding.lossless.decode_payloads`."""

    def decode(which: Sequence[int]) -> Decoded:
        images, ends = current().decode_pixel_images(model, [payloads[k] for k in which], [shapes[k] for k in which], max_error)
        return images, [True] * len(which), ends

    return decode_checked(checksum_seeds, payloads, decode)


def decode_checked(
    checksum_seeds: Sequence[bytes], payloads: Sequence[bytes], decode: Callable[[Sequence[int]], Decoded]
) -> list[list[Pixels] | FormatError]:
    """For each payload of one stream its images, or its error.

    Args:
        decode: for the payloads of these numbers their images, whether all symbols are possible, and where each stream ended.
    """
    out: dict[int, list[Pixels] | FormatError] = {}
    which = [k for k, payload in enumerate(payloads) if payload and payload[0]]
    if which:
        images, possible, ends = decode(which)
        checks = np.array([_check(checksum_seeds[k], each) for k, each in zip(which, images, strict=True)], np.int64)
        intact = np.logical_and(ends.verify(checks), possible)
        for k, each, is_intact in zip(which, images, intact.tolist(), strict=True):
            out[k] = each if is_intact else FormatError("its content does not match its check")
    damaged = FormatError("a coded stream is empty or begins with an impossible state")
    return [out.get(k, damaged) for k in range(len(payloads))]


def _check(seed: bytes, images: Sequence[Pixels]) -> int:
    """CRC-32 of the seed, four zeros, and the grey levels of all images."""
    return crc32((seed, bytes(4), *(np.ascontiguousarray(image).tobytes() for image in images)))
