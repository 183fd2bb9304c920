"""Lossless images: tiles to streams by the pixel model, and back.

A stream is one rANS state and holds up to 16 tiles. They take turns, step by step, so all tiles advance together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header
from mnistzip.bitstream.stored import smaller_stored
from mnistzip.coding.batches import batches
from mnistzip.coding.latent_cost import COST
from mnistzip.coding.stream_layout import Streams, split_payloads
from mnistzip.entropy import rans
from mnistzip.entropy.cdf import TOTAL
from mnistzip.errors import FormatError
from mnistzip.models.pixel.pixel_model import PixelModel
from mnistzip.models.pixel.planes import STEPS, TILE_PIXELS, Plane
from mnistzip.models.registry import Model
from mnistzip.tiling import covered, from_tiles, tiles_in, tiles_of, to_tiles
from mnistzip.types import Mode, Pixels

TILES_TOGETHER = 512  # coded together: their contexts take more memory than latents


class PixelSymbols(NamedTuple):
    """The coded symbols of one image, tile by tile, in small integers: a group of an archive holds millions of symbols.

    Attributes:
        counts: symbols of each tile, shape ``(tiles,)``.
        turn: plane and step in which each symbol is coded, shape ``(n,)``.
        start: of its interval, shape ``(n,)``.
        freq_less_one: the length of its interval less one, shape ``(n,)``.
    """

    counts: NDArray[np.int32]
    turn: NDArray[np.int16]
    start: NDArray[np.uint16]
    freq_less_one: NDArray[np.uint16]

    @property
    def bits(self) -> int:
        """Ideal code length in units of 1 / :data:`~mnistzip.coding.latent_cost.BIT` bits."""
        return int(COST[1:][self.freq_less_one].sum())


def pixel_symbols(model: PixelModel, images: Sequence[Pixels]) -> list[PixelSymbols]:
    """The symbols of each image, tile by tile; tiles are counted from the image's first."""
    out: list[PixelSymbols] = []
    for batch in batches(images, tiles_of, TILES_TOGETHER):
        x = np.concatenate([to_tiles(image, "constant") for image in batch])
        coded = model.intervals(x, covered([image.shape for image in batch]).reshape(-1, TILE_PIXELS))
        order = np.argsort(coded.tile, kind="stable")
        first = np.cumsum([0, *map(tiles_of, batch)])
        cuts = np.searchsorted(coded.tile[order], first)
        for k, image in enumerate(batch):
            chosen = order[cuts[k] : cuts[k + 1]]
            turn = coded.plane[chosen] * STEPS + coded.step[chosen]
            counts = np.bincount(coded.tile[chosen] - first[k], minlength=tiles_of(image))
            interval = coded.start[chosen].astype(np.uint16), (coded.freq[chosen] - 1).astype(np.uint16)
            out.append(PixelSymbols(counts.astype(np.int32), turn.astype(np.int16), *interval))
    return out


def lossless_header(model: Model, shape: tuple[int, ...]) -> Header:
    """The header of a file that the pixel model coded."""
    height, width = shape
    return Header(Mode.LOSSLESS, width, height, model=model.named)


def encode_files(model: Model, images: Sequence[Pixels], symbols: Sequence[PixelSymbols]) -> list[bytes]:
    """The file of each image, given its symbols; stored if that is smaller."""
    headers = [lossless_header(model, image.shape).to_bytes() for image in images]
    payloads = encode_payloads(headers, images, symbols)
    coded = [header + payload for header, payload in zip(headers, payloads, strict=True)]
    return [smaller_stored(file, image) for file, image in zip(coded, images, strict=True)]


def decode_files(model: PixelModel, parsed: Sequence[tuple[Header, bytes]]) -> list[Pixels | FormatError]:
    """For each lossless file of a model its image, uint8 ``(H, W)``, or its error."""
    shapes = [(header.height, header.width) for header, _ in parsed]
    seeds, payloads = [header.to_bytes() for header, _ in parsed], [payload for _, payload in parsed]
    results = decode_payloads(model, seeds, payloads, [[shape] for shape in shapes])
    return [
        FormatError(f"the file is damaged: {result}") if isinstance(result, FormatError) else result[0] for result in results
    ]


def preview_file(model: PixelModel, header: Header, payload: bytes) -> Pixels:
    """An image without its shades: every grey level is the middle of its range, which has 32 levels at most. No check.

    Raises:
        FormatError: the payload cannot be split into its streams.
    """
    streams = Streams.from_tile_counts([tiles_in(header.width, header.height)])
    decoder = rans.Decoder(container.split_streams(payload, streams.per_payload[0]))
    inside = covered([(header.height, header.width)]).reshape(-1, TILE_PIXELS)
    tiles, _ = model.decode(decoder, streams.owner, inside, preview=True)
    return from_tiles(tiles, header.width, header.height)


def encode_payloads(
    checksum_seeds: Sequence[bytes], images: Sequence[Pixels], symbols: Sequence[PixelSymbols], group: int = 1
) -> list[bytes]:
    """Payloads of ``group`` images each, the last of those that remain.

    Args:
        checksum_seeds: of each payload: its checks begin with it.
        images: uint8 ``(H, W)`` each.
        symbols: of each image.
        group: images of a payload.
    """
    out: list[bytes] = []
    batch = group * max(1, TILES_TOGETHER // (group * max(map(tiles_of, images), default=1)))
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        count = -(-len(images[part]) // group)
        seeds = checksum_seeds[start // group : start // group + count]
        out += _encode(seeds, images[part], symbols[part], group)
    return out


def _encode(
    checksum_seeds: Sequence[bytes], images: Sequence[Pixels], symbols: Sequence[PixelSymbols], group: int
) -> list[bytes]:
    """As :func:`encode_payloads`, all in one batch."""
    x = np.concatenate([to_tiles(image, "constant") for image in images])
    tiles = [tiles_of(image) for image in images]
    streams = Streams.from_tile_counts([sum(tiles[start : start + group]) for start in range(0, len(images), group)])
    tile = np.repeat(np.arange(len(x)), np.concatenate([each.counts for each in symbols]))
    turn = np.concatenate([each.turn for each in symbols]).astype(np.int64)
    stream = streams.owner[tile]
    order = np.argsort((stream * (len(Plane) * STEPS) + turn) * len(x) + tile, kind="stable")
    stream = stream[order]
    size = np.bincount(stream, minlength=len(streams.count))
    column = np.arange(len(stream)) - (np.cumsum(size) - size)[stream]
    starts = np.zeros((len(size), int(size.max(initial=0))), np.int64)
    freqs = np.full(starts.shape, TOTAL)  # start 0 with frequency TOTAL pads the shorter streams
    starts[stream, column] = np.concatenate([each.start for each in symbols])[order]
    freqs[stream, column] = np.concatenate([each.freq_less_one for each in symbols])[order].astype(np.int64) + 1
    return streams.payloads(rans.encode(starts, freqs, streams.checks(checksum_seeds, x)))


def decode_payloads(
    model: PixelModel,
    checksum_seeds: Sequence[bytes],
    payloads: Sequence[bytes],
    shapes: Sequence[Sequence[tuple[int, int]]],
) -> list[list[Pixels] | FormatError]:
    """For each payload its images, uint8 of the shapes ``(H, W)``, or its error."""
    tiles = [sum(tiles_in(width, height) for height, width in of_payload) for of_payload in shapes]
    split, damaged = split_payloads(payloads, tiles)
    out: dict[int, list[Pixels] | FormatError] = dict(damaged)
    for batch in batches(split, tiles.__getitem__, TILES_TOGETHER):
        streams = Streams.from_tile_counts([tiles[k] for k in batch])
        decoder = rans.Decoder([stream for k in batch for stream in split[k]])
        of_batch = [shape for k in batch for shape in shapes[k]]
        x, possible = model.decode(decoder, streams.owner, covered(of_batch).reshape(-1, TILE_PIXELS))
        passed = decoder.verify(streams.checks([checksum_seeds[k] for k in batch], x))
        valid = streams.payloads_with_all(passed & np.logical_and.reduceat(possible, streams.first))
        parts = iter(np.split(x, np.cumsum([tiles_in(width, height) for height, width in of_batch])[:-1]))
        for k, intact in zip(batch, valid, strict=True):
            images = [from_tiles(next(parts), width, height) for height, width in shapes[k]]
            out[k] = images if intact else FormatError("its content does not match its check")
    return [out[k] for k in range(len(payloads))]
