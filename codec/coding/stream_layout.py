"""How tiles lie in streams, and lossy images decoded from them.

A stream is one rANS lane and holds up to 16 tiles of one image. All streams of a batch are coded side by side.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header
from mnistzip.entropy import rans
from mnistzip.entropy.cdf import TOTAL
from mnistzip.errors import FormatError
from mnistzip.models.latent_prior import SYMBOLS
from mnistzip.models.registry import Model
from mnistzip.tiling import from_tiles, tiles_in
from mnistzip.types import Mode, Pixels

TILES_PER_STREAM = 16
TILES_TOGETHER = 1024  # coded together: small enough for the processor's cache

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Streams:
    """Which tiles each stream of a batch holds: stream ``s`` has tiles ``first[s] .. first[s] + count[s]`` of the batch."""

    first: Ints
    count: Ints
    streams: list[int]  # streams of each image

    @staticmethod
    def in_tiles(tiles: int) -> int:
        """How many streams so many tiles of one image take."""
        return -(-tiles // TILES_PER_STREAM)

    @staticmethod
    def of(counts: Sequence[int]) -> Streams:
        first, count, streams, tile = [], [], [], 0
        for tiles in counts:
            starts = range(0, tiles, TILES_PER_STREAM)
            first += [tile + start for start in starts]
            count += [min(TILES_PER_STREAM, tiles - start) for start in starts]
            streams.append(len(starts))
            tile += tiles
        return Streams(np.array(first, np.int64), np.array(count, np.int64), streams)

    @property
    def owner(self) -> Ints:
        """The stream of each tile: (tiles,)."""
        return np.repeat(np.arange(len(self.count)), self.count)

    def encode(
        self, intervals: tuple[Ints, Ints], checks: Ints, check_bits: int = rans.CHECK_BITS_MIN, turns: bool = False
    ) -> list[bytes]:
        """The bytes of every stream: its tiles one after the other or, if they take ``turns``, symbol by symbol.

        Args:
            intervals: starts and frequencies of all symbols, shape ``(tiles, symbols)`` each.
            checks: of each stream, shape ``(streams,)``.
        """
        coded: list[bytes] = []
        together = max(1, TILES_TOGETHER // int(self.count.max(initial=1)))
        for at in range(0, len(self.count), together):
            part = slice(at, at + together)
            depth = np.arange(int(self.count[part].max()))
            held = depth < self.count[part, None]
            tile = (self.first[part, None] + depth)[held]
            starts, freqs = (
                _side_by_side(values, tile, held, nothing, turns) for values, nothing in zip(intervals, (0, TOTAL), strict=True)
            )
            coded += rans.encode(starts, freqs, checks[part], check_bits)
        return coded

    def payloads(self, coded: Sequence[bytes]) -> list[bytes]:
        """The payload of each image, of the bytes of all streams."""
        ends = np.cumsum(self.streams)
        return [container.join_streams(list(coded[end - n : end])) for end, n in zip(ends, self.streams, strict=True)]

    def all_of(self, whole: NDArray[np.bool_]) -> list[bool]:
        """Which images have only streams of which something holds, given of which streams it does, shape ``(streams,)``."""
        ends = np.cumsum(self.streams)
        return [bool(whole[end - n : end].all()) for end, n in zip(ends, self.streams, strict=True)]

    def checks(self, headers: Sequence[bytes], y: NDArray[np.integer]) -> Ints:
        """The check of every stream, ``(streams,)``, given what each tile holds, ``(tiles, ...)`` in 8 bits each.

        It stands for a stream's place and content: CRC-32 of header, index of the stream, and symbols or grey levels.
        """
        places = [(header, k) for header, streams in zip(headers, self.streams, strict=True) for k in range(streams)]
        spans = zip(self.first.tolist(), self.count.tolist(), strict=True)
        content = np.ascontiguousarray(y, np.int8)
        values = [
            zlib.crc32(content[a : a + n].data, zlib.crc32(header + k.to_bytes(4, "little")))
            for (header, k), (a, n) in zip(places, spans, strict=True)
        ]
        return np.array(values, np.int64)


def _side_by_side(values: Ints, tile: Ints, held: NDArray[np.bool_], nothing: int, turns: bool) -> Ints:
    """Rows of some tiles to rows of lanes, filled up with ``nothing``: (tiles, symbols) -> (lanes, deepest * symbols).

    Args:
        tile: the tiles that lanes hold, lane by lane.
        held: how many they hold: True so many times from the left, shape ``(lanes, deepest)``.
    """
    lanes, deepest = held.shape
    symbols = values.shape[1]
    wide = np.full((symbols, deepest, lanes) if turns else (deepest, symbols, lanes), nothing, np.int64)
    wide.transpose((2, 1, 0) if turns else (2, 0, 1))[held] = values[tile]
    return wide.reshape(-1, lanes).T  # lanes step together: what they take at a time lies side by side


def header_of(model: Model, shape: tuple[int, ...], quality: int) -> Header:
    """The header of a lossy file; of a bare stream, what both ends must agree on."""
    height, width = shape
    return Header(Mode.LOSSY, width, height, model=model.named, quality=quality)


def sound_streams(payloads: Sequence[bytes], tiles: Sequence[int]) -> tuple[dict[int, list[bytes]], dict[int, FormatError]]:
    """The streams of payloads that hold so many tiles each, by the payload's number; and of the others what is wrong."""
    sound: dict[int, list[bytes]] = {}
    damaged: dict[int, FormatError] = {}
    for number, (payload, count) in enumerate(zip(payloads, tiles, strict=True)):
        try:
            streams = container.split_streams(payload, Streams.in_tiles(count))
            if not all(stream and stream[0] for stream in streams):
                raise FormatError("a coded stream is empty or begins with an impossible state")
            sound[number] = streams
        except FormatError as error:
            damaged[number] = error
    return sound, damaged


def batches(numbers: Iterable[int], tiles: Sequence[int], together: int) -> Iterator[list[int]]:
    """Cut payloads into batches of so many tiles together or a few more."""
    batch: list[int] = []
    size = 0
    for number in numbers:
        batch.append(number)
        size += tiles[number]
        if size >= together:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def decode_images(
    model: Model, parsed: Sequence[tuple[Header, bytes]], check_bits: int = rans.CHECK_BITS_MIN
) -> list[Pixels | FormatError]:
    """Of each file under one model its image, uint8 ``(H, W)``, or what is wrong with it."""
    counts = [tiles_in(header.width, header.height) for header, _ in parsed]
    whole, damaged = sound_streams([payload for _, payload in parsed], counts)
    out: dict[int, Pixels | FormatError] = dict(damaged)
    for part in batches(whole, counts, TILES_TOGETHER):
        streams = [stream for k in part for stream in whole[k]]
        images = _decode(model, [parsed[k][0] for k in part], streams, [counts[k] for k in part], check_bits)
        out |= zip(part, images, strict=True)
    return [out[k] for k in range(len(parsed))]


def _decode(
    model: Model, headers: Sequence[Header], streams: Sequence[bytes], counts: Sequence[int], check_bits: int
) -> list[Pixels | FormatError]:
    lanes = Streams.of(counts)
    decoder = rans.Decoder(streams)
    quality_row = np.array([model.quality_index(header.quality or 0) for header in headers], np.int64)
    stream_row = np.repeat(quality_row, lanes.streams)
    y = np.empty((sum(counts), SYMBOLS), np.int64)
    for depth in range(int(lanes.count.max())):
        deep = np.flatnonzero(depth < lanes.count)
        y[lanes.first[deep] + depth] = model.prior.decode(partial(decoder.decode, stream=deep), stream_row[deep])
    ends = decoder.verify(lanes.checks([header.to_bytes() for header in headers], y), check_bits)
    x_hat = model.transforms.synthesize(y, np.repeat(quality_row, counts))
    parts = zip(headers, np.split(x_hat, np.cumsum(counts)[:-1]), lanes.all_of(ends), strict=True)
    damage = FormatError("the file is damaged: its content does not match its check")
    return [from_tiles(tiles, header.width, header.height) if good else damage for header, tiles, good in parts]


def sound(found: Pixels | FormatError) -> Pixels:
    """An image, or what is wrong with it as an error."""
    if isinstance(found, FormatError):
        raise found
    return found
