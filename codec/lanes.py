"""Latents of several images in one lane, as archives keep them, and back.

A lane is a payload of section 3 of FORMAT.md in which the tiles of a stream take turns, symbol by symbol. The coder's start and
the check, some 2.6 bytes, are paid once a lane, and the prior is asked for all tiles of a lane at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnistzip import rans
from mnistzip.errors import FormatError
from mnistzip.lossy import Streams, batches, sound_streams
from mnistzip.model import Model
from mnistzip.prior import SYMBOLS

TILES_TOGETHER = 64  # whose symbols are turned into intervals together
TILES_DECODED_TOGETHER = 1024

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
    checks = streams.checks(list(places), y)
    starts, freqs = np.empty(y.shape, np.int64), np.empty(y.shape, np.int64)
    for at in range(0, len(y), TILES_TOGETHER):
        part = slice(at, at + TILES_TOGETHER)
        starts[part], freqs[part] = model.prior.intervals(y[part], row[part])
    coded: list[bytes] = []
    together = max(1, TILES_DECODED_TOGETHER // int(streams.count.max()))
    for at in range(0, len(checks), together):
        part = slice(at, at + together)
        first, count = streams.first[part], streams.count[part]
        deepest = int(count.max())
        held = np.arange(deepest) < count[:, None]
        tile = (first[:, None] + np.arange(deepest))[held]
        turns = (
            np.zeros((len(first), deepest, SYMBOLS), np.int64),
            np.full((len(first), deepest, SYMBOLS), rans.TOTAL, np.int64),
        )
        for wide, narrow in zip(turns, (starts, freqs), strict=True):
            wide[held] = narrow[tile]
        wide_starts, wide_freqs = (np.ascontiguousarray(t.swapaxes(1, 2)).reshape(len(first), -1) for t in turns)
        coded += rans.encode(wide_starts, wide_freqs, checks[part])
    return streams.payloads(coded)


def decode_lanes(
    model: Model, row: int, places: Sequence[bytes], lanes: Sequence[bytes], tiles: Sequence[int]
) -> list[Ints | FormatError]:
    """Of each lane its symbols, shape ``(tiles, 196)``, or what is wrong with it. ``row`` is the index of the quality."""
    sound, damaged = sound_streams(lanes, tiles)
    out: dict[int, Ints | FormatError] = dict(damaged)
    for batch in batches(sound, tiles, TILES_DECODED_TOGETHER):
        counts = [tiles[lane] for lane in batch]
        streams = Streams.of(counts)
        decoder = rans.SharedDecoder([stream for lane in batch for stream in sound[lane]], streams.count)
        rows = np.full(sum(counts), row, np.int64)
        y = model.prior.decode(decoder, rows, np.ones(len(rows), bool))
        whole = streams.all_of(decoder.finish(streams.checks([places[lane] for lane in batch], y)))
        for lane, good, symbols in zip(batch, whole, np.split(y, np.cumsum(counts)[:-1]), strict=True):
            out[lane] = symbols if good else FormatError("its content does not match its check")
    return [out[lane] for lane in range(len(lanes))]
