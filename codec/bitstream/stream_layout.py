"""How tiles lie in streams, and streams in payloads.

A stream is one rANS state and holds up to 16 tiles of one payload. FORMAT.md section 3 specifies payloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnistzip.bitstream import container
from mnistzip.bitstream.checksums import crc32
from mnistzip.errors import FormatError
from mnistzip.types import Bools, Integers

TILES_PER_STREAM = 16


@dataclass(frozen=True, eq=False)
class Streams:
    """Which tiles of a batch each stream holds.

    Attributes:
        first: index of each stream's first tile in the batch, shape ``(streams,)``.
        count: number of tiles of each stream, shape ``(streams,)``.
        per_payload: number of streams of each payload.
    """

    first: Integers
    count: Integers
    per_payload: list[int]

    @staticmethod
    def needed(tiles: int) -> int:
        """How many streams the tiles of one payload take."""
        return -(-tiles // TILES_PER_STREAM)

    @staticmethod
    def from_tile_counts(counts: Sequence[int]) -> Streams:
        """The streams of payloads, given the number of tiles of each."""
        first, count, per_payload, tile = [], [], [], 0
        for tiles in counts:
            starts = range(0, tiles, TILES_PER_STREAM)
            first += [tile + start for start in starts]
            count += [min(TILES_PER_STREAM, tiles - start) for start in starts]
            per_payload.append(len(starts))
            tile += tiles
        return Streams(np.array(first, np.int64), np.array(count, np.int64), per_payload)

    @property
    def owner(self) -> Integers:
        """The stream of each tile, shape ``(tiles,)``."""
        return np.repeat(np.arange(len(self.count)), self.count)

    def payloads(self, coded: Sequence[bytes]) -> list[bytes]:
        """The payloads that the bytes of all streams make."""
        ends = np.cumsum(self.per_payload)
        return [container.join_streams(list(coded[end - n : end])) for end, n in zip(ends, self.per_payload, strict=True)]

    def payloads_with_all(self, passed: Bools) -> list[bool]:
        """For each payload whether all its streams passed; ``passed`` has shape ``(streams,)``."""
        ends = np.cumsum(self.per_payload)
        return [bool(passed[end - n : end].all()) for end, n in zip(ends, self.per_payload, strict=True)]

    def checks(self, seeds: Sequence[bytes], content: np.ndarray) -> Integers:
        """The check of every stream: CRC-32 of seed, index of the stream in its payload, and content of its tiles.

        It covers position and content, so a stream at another position or under another header fails its check.

        Args:
            seeds: of each payload: the header of a file, or the position of a lane in an archive.
            content: symbols or grey levels of each tile, shape ``(tiles, ...)``; their low 8 bits count.

        Returns:
            Shape ``(streams,)``.
        """
        positions = [(seed, k) for seed, streams in zip(seeds, self.per_payload, strict=True) for k in range(streams)]
        spans = zip(self.first.tolist(), self.count.tolist(), strict=True)
        octets = np.ascontiguousarray(content, np.int8)
        values = [
            crc32((seed, k.to_bytes(4, "little"), octets[start : start + count].tobytes()))
            for (seed, k), (start, count) in zip(positions, spans, strict=True)
        ]
        return np.array(values, np.int64)


def split_payloads(payloads: Sequence[bytes], tiles: Sequence[int]) -> tuple[dict[int, list[bytes]], dict[int, FormatError]]:
    """The streams of each payload that can be split, by the payload's index, and the errors of the others.

    Args:
        payloads: the bytes of each.
        tiles: how many tiles each holds.
    """
    split: dict[int, list[bytes]] = {}
    damaged: dict[int, FormatError] = {}
    for index, (payload, count) in enumerate(zip(payloads, tiles, strict=True)):
        try:
            streams = container.split_streams(payload, Streams.needed(count))
            if not all(stream and stream[0] for stream in streams):
                raise FormatError("a coded stream is empty or begins with an impossible state")
            split[index] = streams
        except FormatError as error:
            damaged[index] = error
    return split, damaged
