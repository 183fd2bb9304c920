"""Tiles that the pixel model of a model of tiles codes: the symbols of images, and payloads of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header
from mnistzip.bitstream.stream_layout import Streams, split_payloads
from mnistzip.coding.batches import batches
from mnistzip.engines.choice import current
from mnistzip.engines.interface import PixelSymbols
from mnistzip.errors import FormatError
from mnistzip.models.registry import Model
from mnistzip.tiling import covered, from_tiles, tiles_in, tiles_of, to_tiles
from mnistzip.types import Pixels

PIXEL_TILES_TOGETHER = 512  # coded together: their contexts take more memory than latents


def pixel_symbols(model: Model, images: Sequence[Pixels], max_error: int = 0) -> list[PixelSymbols]:
    """The symbols of each image, tile by tile."""
    out: list[PixelSymbols] = []
    for batch in batches(images, tiles_of, PIXEL_TILES_TOGETHER):
        x = np.concatenate([to_tiles(image, "constant") for image in batch])
        symbols = current().pixel_symbols(model, x, covered([image.shape for image in batch]), max_error)
        out += symbols.split([tiles_of(image) for image in batch])
    return out


def preview_file(model: Model, header: Header, payload: bytes) -> Pixels:
    """An image without its shades: every grey level is the middle of its range, which has 32 levels at most. No check.

    Raises:
        FormatError: the payload cannot be split into its streams.
    """
    streams = Streams.from_tile_counts([tiles_in(header.width, header.height)])
    coded = container.split_streams(payload, streams.per_payload[0])
    tiles, _, _ = current().decode_pixels(model, coded, covered([(header.height, header.width)]), streams, preview=True)
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
    batch = group * max(1, PIXEL_TILES_TOGETHER // (group * max(map(tiles_of, images), default=1)))
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
    coded = current().encode_pixels(PixelSymbols.join(symbols), streams, streams.checks(checksum_seeds, x))
    return streams.payloads(coded)


def decode_payloads(
    model: Model,
    checksum_seeds: Sequence[bytes],
    payloads: Sequence[bytes],
    shapes: Sequence[Sequence[tuple[int, int]]],
    max_error: int = 0,
) -> list[list[Pixels] | FormatError]:
    """For each payload its images, uint8 of the shapes ``(H, W)``, or its error."""
    tiles = [sum(tiles_in(width, height) for height, width in of_payload) for of_payload in shapes]
    split, damaged = split_payloads(payloads, tiles)
    out: dict[int, list[Pixels] | FormatError] = dict(damaged)
    for batch in batches(split, tiles.__getitem__, PIXEL_TILES_TOGETHER):
        streams = Streams.from_tile_counts([tiles[k] for k in batch])
        coded = [stream for k in batch for stream in split[k]]
        of_batch = [shape for k in batch for shape in shapes[k]]
        x, possible, ends = current().decode_pixels(model, coded, covered(of_batch), streams, max_error)
        passed = ends.verify(streams.checks([checksum_seeds[k] for k in batch], x))
        valid = streams.payloads_with_all(passed & np.logical_and.reduceat(possible, streams.first))
        parts = iter(np.split(x, np.cumsum([tiles_in(width, height) for height, width in of_batch])[:-1]))
        for k, intact in zip(batch, valid, strict=True):
            images = [from_tiles(next(parts), width, height) for height, width in shapes[k]]
            out[k] = images if intact else FormatError("its content does not match its check")
    return [out[k] for k in range(len(payloads))]
