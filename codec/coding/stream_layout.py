"""How tiles lie in streams, and lossy images decoded from them.

A stream is one rANS state and holds up to 16 tiles of one image. All streams of a batch are coded together.
FORMAT.md section 3 specifies payloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mnistzip.bitstream import container
from mnistzip.bitstream.checksums import crc32
from mnistzip.bitstream.container import Header
from mnistzip.coding.batches import batches
from mnistzip.entropy import rans
from mnistzip.entropy.cdf import TOTAL
from mnistzip.errors import FormatError
from mnistzip.models.latent_prior import SYMBOLS
from mnistzip.models.registry import Model
from mnistzip.tiling import from_tiles, tiles_in
from mnistzip.types import Bools, Integers, Mode, Pixels

TILES_PER_STREAM = 16
TILES_TOGETHER = 1024  # coded together: small enough for the processor's cache


@dataclass(frozen=True)
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

    def encode(
        self,
        intervals: tuple[Integers, Integers],
        checks: Integers,
        check_bits: int = rans.CHECK_BITS_MIN,
        interleaved: bool = False,
    ) -> list[bytes]:
        """The bytes of every stream.

        Args:
            intervals: starts and frequencies of all symbols, shape ``(tiles, symbols)`` each.
            checks: of each stream, shape ``(streams,)``.
            check_bits: the fewest bits of a check.
            interleaved: whether the tiles of a stream take turns, symbol by symbol; otherwise they follow each other.
        """
        coded: list[bytes] = []
        together = max(1, TILES_TOGETHER // int(self.count.max(initial=1)))
        for start in range(0, len(self.count), together):
            part = slice(start, start + together)
            depth = np.arange(int(self.count[part].max()))
            mask = depth < self.count[part, None]  # (streams, deepest)
            tile = (self.first[part, None] + depth)[mask]
            starts, freqs = (
                _rows_of_streams(values, tile, mask, padding, interleaved)
                for values, padding in zip(intervals, (0, TOTAL), strict=True)
            )
            coded += rans.encode(starts, freqs, checks[part], check_bits)
        return coded

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


def _rows_of_streams(values: Integers, tile: Integers, mask: Bools, padding: int, interleaved: bool) -> Integers:
    """One row of symbols for each stream: (tiles, symbols) -> (streams, deepest * symbols).

    Args:
        values: of all tiles.
        tile: the tiles of the streams, stream by stream.
        mask: True for each tile of a stream, from the left, shape ``(streams, deepest)``.
        padding: fills up the rows of streams that hold fewer tiles than the deepest.
    """
    streams, deepest = mask.shape
    symbols = values.shape[1]
    # The streams are the last axis: the coder steps all of them together, and these values are contiguous.
    padded = np.full((symbols, deepest, streams) if interleaved else (deepest, symbols, streams), padding, np.int64)
    padded.transpose((2, 1, 0) if interleaved else (2, 0, 1))[mask] = values[tile]
    return padded.reshape(-1, streams).T


def lossy_header(model: Model, shape: tuple[int, ...], quality: int) -> Header:
    """The header of a lossy file. A bare stream has none, but its checks cover the same bytes."""
    height, width = shape
    return Header(Mode.LOSSY, width, height, model=model.named, quality=quality)


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


def decode_images(
    model: Model, parsed: Sequence[tuple[Header, bytes]], check_bits: int = rans.CHECK_BITS_MIN
) -> list[Pixels | FormatError]:
    """For each lossy file of a model its image, uint8 ``(H, W)``, or its error."""
    counts = [tiles_in(header.width, header.height) for header, _ in parsed]
    split, damaged = split_payloads([payload for _, payload in parsed], counts)
    out: dict[int, Pixels | FormatError] = dict(damaged)
    for batch in batches(split, counts.__getitem__, TILES_TOGETHER):
        streams = [stream for k in batch for stream in split[k]]
        images = _decode(model, [parsed[k][0] for k in batch], streams, [counts[k] for k in batch], check_bits)
        out |= zip(batch, images, strict=True)
    return [out[k] for k in range(len(parsed))]


def _decode(
    model: Model, headers: Sequence[Header], coded: Sequence[bytes], counts: Sequence[int], check_bits: int
) -> list[Pixels | FormatError]:
    """The images of some files, given the bytes of their streams and the numbers of their tiles."""
    streams = Streams.from_tile_counts(counts)
    decoder = rans.Decoder(coded)
    quality_index = np.array([model.quality_index(header.quality or 0) for header in headers], np.int64)
    of_streams = np.repeat(quality_index, streams.per_payload)
    y = np.empty((sum(counts), SYMBOLS), np.int64)
    for depth in range(int(streams.count.max())):
        deep = np.flatnonzero(depth < streams.count)
        y[streams.first[deep] + depth] = model.prior.decode(partial(decoder.decode, stream=deep), of_streams[deep])
    passed = decoder.verify(streams.checks([header.to_bytes() for header in headers], y), check_bits)
    x_hat = model.transforms.synthesize(y, np.repeat(quality_index, counts))
    parts = zip(headers, np.split(x_hat, np.cumsum(counts)[:-1]), streams.payloads_with_all(passed), strict=True)
    damage = FormatError("the file is damaged: its content does not match its check")
    return [from_tiles(tiles, header.width, header.height) if valid else damage for header, tiles, valid in parts]


def image_or_raise(result: Pixels | FormatError) -> Pixels:
    """The image of a result; raises its error."""
    if isinstance(result, FormatError):
        raise result
    return result
