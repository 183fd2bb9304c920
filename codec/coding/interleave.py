"""Latents of several images in one lane, as archives keep them, and back.

A lane is a payload of section 3 of FORMAT.md in which the tiles of a stream take turns, symbol by symbol. The coder's start and
the check, some 2.6 bytes, are paid once a lane, and the prior is asked for all tiles of a lane at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mnistzip.coding.stream_layout import TILES_TOGETHER, Streams, batches, sound_streams
from mnistzip.entropy import rans
from mnistzip.errors import FormatError
from mnistzip.models.registry import Model

Ints = NDArray[np.int64]


def encode_lanes(model: Model, places: Sequence[bytes], tiles: Sequence[int], y: Ints, row: Ints) -> list[bytes]:
    """The bytes of each lane.

    Args:
        places: what each lane's check begins with: it says where the lane belongs.
        tiles: how many of the latents each lane holds, 1 or more.
        y: symbols in coding order, shape ``(sum of tiles, 196)``.
        row: index of each latent's quality, shape ``(sum of tiles,)``.
    """
    streams = Streams.of(tiles)
    intervals = model.prior.intervals(y, row)
    return streams.payloads(streams.encode(intervals, streams.checks(places, y), turns=True))


def decode_lanes(
    model: Model, row: int, places: Sequence[bytes], lanes: Sequence[bytes], tiles: Sequence[int]
) -> list[Ints | FormatError]:
    """Of each lane its symbols, shape ``(tiles, 196)``, or what is wrong with it. ``row`` is the index of the quality."""
    sound, damaged = sound_streams(lanes, tiles)
    out: dict[int, Ints | FormatError] = dict(damaged)
    for batch in batches(sound, tiles, TILES_TOGETHER):
        counts = [tiles[lane] for lane in batch]
        streams = Streams.of(counts)
        decoder = rans.Decoder([stream for lane in batch for stream in sound[lane]])
        rows = np.full(sum(counts), row, np.int64)
        y = model.prior.decode(partial(decoder.decode, stream=streams.owner), rows)
        whole = streams.all_of(decoder.verify(streams.checks([places[lane] for lane in batch], y)))
        for lane, good, symbols in zip(batch, whole, np.split(y, np.cumsum(counts)[:-1]), strict=True):
            out[lane] = symbols if good else FormatError("its content does not match its check")
    return [out[lane] for lane in range(len(lanes))]
