"""Bitmaps of digits to streams and back: the model of bitmaps gives the intervals of their symbols."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.engines.interface import Intervals
from mnistzip.entropy import rans
from mnistzip.entropy.states import FinalStates
from mnistzip.models.bitmap.bitmap_model import BitmapModel, Frequencies
from mnistzip.models.bitmap.resampling import Bitmap, require_valid
from mnistzip.types import Integers

BITMAPS_TOGETHER = 256  # whose symbols are computed together


def bitmap_symbols(model: BitmapModel, bitmaps: Sequence[Bitmap]) -> list[Intervals]:
    """The intervals of the symbols of each bitmap in coding order.

    Raises:
        ValueError: a side or a shift of a bitmap is out of its range.
    """
    for bitmap in bitmaps:
        require_valid(bitmap)
    parts = [bitmaps[first : first + BITMAPS_TOGETHER] for first in range(0, len(bitmaps), BITMAPS_TOGETHER)]
    return [
        Intervals(starts.astype(np.uint16), (freqs - 1).astype(np.uint16))
        for part in parts
        for starts, freqs in model.intervals(part)
    ]


def decode(
    model: BitmapModel, coded: Sequence[bytes], counts: Sequence[int]
) -> tuple[list[list[Bitmap]], list[bool], FinalStates]:
    """The bitmaps of each stream, whether all have possible sizes, and where each stream ended. Streams advance together."""
    decoder = rans.Decoder(coded)
    bitmaps: list[list[Bitmap]] = [[] for _ in coded]
    possible = [True] * len(coded)
    for depth in range(max(counts, default=0)):
        alive = np.flatnonzero(np.array(counts) > depth)
        for streams in np.split(alive, range(BITMAPS_TOGETHER, len(alive), BITMAPS_TOGETHER)):

            def next_symbols(alphabets: Frequencies, bitmap: Integers, streams: Integers = streams) -> Integers:
                return decoder.decode(alphabets, streams[bitmap])

            decoded, valid = model.decode(len(streams), next_symbols)
            for stream, bitmap, is_possible in zip(streams.tolist(), decoded, valid, strict=True):
                bitmaps[stream].append(bitmap)
                possible[stream] &= is_possible
    return bitmaps, possible, decoder.final_states()
