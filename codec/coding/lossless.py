"""Images whose every pixel is kept: tiles to streams by the pixel model, and back.

A stream is one rANS lane and holds up to 16 tiles. They take turns, step by step, so that all tiles advance together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header
from mnistzip.bitstream.stored import smaller_stored
from mnistzip.coding.latent_cost import COST
from mnistzip.coding.stream_layout import Streams, batches, sound_streams
from mnistzip.entropy import rans
from mnistzip.entropy.cdf import TOTAL
from mnistzip.errors import FormatError
from mnistzip.models.pixel.pixel_model import PixelModel
from mnistzip.models.pixel.planes import STEPS, TILE_PIXELS, Plane
from mnistzip.models.registry import Model
from mnistzip.tiling import covered, from_tiles, tiles_in, to_tiles
from mnistzip.types import Mode, Pixels

TILES_TOGETHER = 512  # coded together

Ints = NDArray[np.int64]


class PixelSymbols(NamedTuple):
    """The coded symbols of one image, tile by tile, in little memory: a group of an archive holds millions.

    Attributes:
        counts: symbols of each tile, shape ``(tiles,)``.
        turn: when each symbol is coded, shape ``(n,)``.
        start: of its interval, shape ``(n,)``.
        rest: the length of its interval less one, shape ``(n,)``.
    """

    counts: NDArray[np.int32]
    turn: NDArray[np.int16]
    start: NDArray[np.uint16]
    rest: NDArray[np.uint16]

    @property
    def bits(self) -> int:
        """Ideal code length in units of 1 / :data:`~mnistzip.coding.latent_cost.BIT` bits."""
        return int(COST[1:][self.rest].sum())


def kept_files(model: Model, images: Sequence[Pixels], symbols: Sequence[PixelSymbols]) -> list[bytes]:
    """Files of images whose symbols are known; stored where that is smaller."""
    headers = [header_of(model, image.shape).to_bytes() for image in images]
    payloads = encode_payloads(headers, images, symbols)
    coded = [head + body for head, body in zip(headers, payloads, strict=True)]
    return [smaller_stored(file, image) for file, image in zip(coded, images, strict=True)]


def pixel_symbols(model: PixelModel, images: Sequence[Pixels]) -> list[PixelSymbols]:
    """The symbols of each image, tile by tile; tiles are counted from the image's first."""
    counts = [_tiles(image) for image in images]
    out: list[PixelSymbols] = []
    for batch in batches(range(len(images)), counts, TILES_TOGETHER):
        some = [images[k] for k in batch]
        x = np.concatenate([to_tiles(image, "constant") for image in some])
        found = model.intervals(x, covered([image.shape for image in some]).reshape(-1, TILE_PIXELS))
        order = np.argsort(found.tile, kind="stable")
        first = np.cumsum([0, *(counts[k] for k in batch)])
        cuts = np.searchsorted(found.tile[order], first)
        for number in range(len(batch)):
            mine = order[cuts[number] : cuts[number + 1]]
            turn = found.plane[mine] * STEPS + found.step[mine]
            held = np.bincount(found.tile[mine] - first[number], minlength=counts[batch[number]])
            interval = found.start[mine].astype(np.uint16), (found.freq[mine] - 1).astype(np.uint16)
            out.append(PixelSymbols(held.astype(np.int32), turn.astype(np.int16), *interval))
    return out


def header_of(model: Model, shape: tuple[int, ...]) -> Header:
    """The header of a file that the pixel model coded."""
    height, width = shape
    return Header(Mode.LOSSLESS, width, height, model=model.named)


def decode_kept(model: PixelModel, parsed: Sequence[tuple[Header, bytes]]) -> list[Pixels | FormatError]:
    """Of each file under one model its image, uint8 ``(H, W)``, or what is wrong with it."""
    shapes = [(header.height, header.width) for header, _ in parsed]
    places, payloads = [header.to_bytes() for header, _ in parsed], [payload for _, payload in parsed]
    out = decode_payloads(model, places, payloads, [[shape] for shape in shapes])
    return [FormatError(f"the file is damaged: {found}") if isinstance(found, FormatError) else found[0] for found in out]


def preview_kept(model: PixelModel, header: Header, payload: bytes) -> Pixels:
    """An image without its shades: every grey level in the middle of its range, of 32 mostly. Nothing is checked.

    Raises:
        FormatError: the payload does not hold as many streams as it should.
    """
    streams = Streams.of([tiles_in(header.width, header.height)])
    decoder = rans.Decoder(container.split_streams(payload, streams.streams[0]))
    tiles, _ = model.decode(
        decoder, streams.owner, covered([(header.height, header.width)]).reshape(-1, TILE_PIXELS), preview=True
    )
    return from_tiles(tiles, header.width, header.height)


def encode_payloads(
    places: Sequence[bytes], images: Sequence[Pixels], symbols: Sequence[PixelSymbols], group: int = 1
) -> list[bytes]:
    """Payloads of ``group`` images each, the last of what is left; ``places`` are what their checks begin with."""
    out: list[bytes] = []
    batch = group * max(1, TILES_TOGETHER // (group * max(map(_tiles, images), default=1)))
    for start in range(0, len(images), batch):
        some = slice(start, start + batch)
        number = -(-len(images[some]) // group)
        out += _encode(places[start // group : start // group + number], images[some], symbols[some], group)
    return out


def _tiles(image: Pixels) -> int:
    return tiles_in(image.shape[1], image.shape[0])


def _encode(places: Sequence[bytes], images: Sequence[Pixels], symbols: Sequence[PixelSymbols], group: int) -> list[bytes]:
    x = np.concatenate([to_tiles(image, "constant") for image in images])
    tiles = [_tiles(image) for image in images]
    streams = Streams.of([sum(tiles[start : start + group]) for start in range(0, len(images), group)])
    tile = np.repeat(np.arange(len(x)), np.concatenate([each.counts for each in symbols]))
    turn = np.concatenate([each.turn for each in symbols]).astype(np.int64)
    lane = streams.owner[tile]
    order = np.argsort((lane * (len(Plane) * STEPS) + turn) * len(x) + tile, kind="stable")
    lane = lane[order]
    size = np.bincount(lane, minlength=len(streams.count))
    slot = np.arange(len(lane)) - (np.cumsum(size) - size)[lane]
    starts = np.zeros((len(size), int(size.max(initial=0))), np.int64)
    freqs = np.full(starts.shape, TOTAL)
    starts[lane, slot] = np.concatenate([each.start for each in symbols])[order]
    freqs[lane, slot] = np.concatenate([each.rest for each in symbols])[order].astype(np.int64) + 1
    coded = rans.encode(starts, freqs, streams.checks(places, x))
    return streams.payloads(coded)


def decode_payloads(
    model: PixelModel, places: Sequence[bytes], payloads: Sequence[bytes], shapes: Sequence[Sequence[tuple[int, int]]]
) -> list[list[Pixels] | FormatError]:
    """Of each payload its images, uint8 of the ``(H, W)`` given, or what is wrong with it."""
    tiles = [sum(tiles_in(width, height) for height, width in some) for some in shapes]
    sound, damaged = sound_streams(payloads, tiles)
    out: dict[int, list[Pixels] | FormatError] = dict(damaged)
    for batch in batches(sound, tiles, TILES_TOGETHER):
        streams = Streams.of([tiles[k] for k in batch])
        decoder = rans.Decoder([stream for k in batch for stream in sound[k]])
        every = [shape for k in batch for shape in shapes[k]]
        x, possible = model.decode(decoder, streams.owner, covered(every).reshape(-1, TILE_PIXELS))
        checks = streams.checks([places[k] for k in batch], x)
        whole = streams.all_of(decoder.verify(checks) & np.logical_and.reduceat(possible, streams.first))
        parts = iter(np.split(x, np.cumsum([tiles_in(width, height) for height, width in every])[:-1]))
        for k, good in zip(batch, whole, strict=True):
            images = [from_tiles(next(parts), width, height) for height, width in shapes[k]]
            out[k] = images if good else FormatError("its content does not match its check")
    return [out[k] for k in range(len(payloads))]
