"""Latents of several images in one lane, as archives store them, and back.

A lane is a payload of section 3 of FORMAT.md in which the tiles of a stream take turns, symbol by symbol. The initial state of
the coder and the check, about 2.6 bytes, occur once in a lane, and the prior evaluates all tiles of a lane together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.bitstream.stream_layout import Streams, split_payloads
from mnistzip.coding.batches import TILES_TOGETHER, batches
from mnistzip.engines.choice import current
from mnistzip.engines.interface import LatentSymbols
from mnistzip.errors import FormatError
from mnistzip.models.registry import Model
from mnistzip.types import Integers


def encode_lanes(checksum_seeds: Sequence[bytes], tiles: Sequence[int], y: Integers, symbols: LatentSymbols) -> list[bytes]:
    """The bytes of each lane.

    Args:
        checksum_seeds: the position of each lane; its checks begin with it.
        tiles: number of latents of each lane, 1 or more.
        y: symbols in coding order, shape ``(sum of tiles, 196)``.
        symbols: the intervals of these.
    """
    streams = Streams.from_tile_counts(tiles)
    checks = streams.checks(checksum_seeds, y)
    return streams.payloads(current().encode_latents(symbols, streams, checks, interleaved=True))


def decode_lanes(
    model: Model, quality_index: int, checksum_seeds: Sequence[bytes], lanes: Sequence[bytes], tiles: Sequence[int]
) -> list[Integers | FormatError]:
    """For each lane its symbols, shape ``(tiles, 196)``, or its error. All lanes have one quality."""
    split, damaged = split_payloads(lanes, tiles)
    out: dict[int, Integers | FormatError] = dict(damaged)
    for batch in batches(split, tiles.__getitem__, TILES_TOGETHER):
        counts = [tiles[lane] for lane in batch]
        streams = Streams.from_tile_counts(counts)
        coded = [stream for lane in batch for stream in split[lane]]
        of_streams = np.full(len(coded), quality_index, np.int64)
        y, ends = current().decode_latents(model, coded, of_streams, streams, interleaved=True)
        passed = ends.verify(streams.checks([checksum_seeds[lane] for lane in batch], y))
        valid = streams.payloads_with_all(passed)
        for lane, intact, symbols in zip(batch, valid, np.split(y, np.cumsum(counts)[:-1]), strict=True):
            out[lane] = symbols if intact else FormatError("its content does not match its check")
    return [out[lane] for lane in range(len(lanes))]
