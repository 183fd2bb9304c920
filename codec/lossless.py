"""Images whose every pixel is kept: tiles to streams by the pixel model, and back.

A stream is one rANS lane and holds up to 16 tiles. They take turns, step by step, so that all tiles advance together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnistzip import container, rans
from mnistzip.cdf import TOTAL
from mnistzip.container import Header, Mode
from mnistzip.errors import FormatError
from mnistzip.model import Model
from mnistzip.pixels import PixelModel
from mnistzip.planes import PIXELS, STEPS, Plane
from mnistzip.stored import smaller_stored, store
from mnistzip.streams import Streams, batches, sound_streams
from mnistzip.tiles import from_tiles, tiles_in, to_tiles

TILES_TOGETHER = 512  # coded together

Pixels = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def keep(model: Model, images: Sequence[Pixels]) -> list[bytes]:
    """For each image the smallest file that keeps every pixel."""
    if model.pixels is None:
        return [store(image, differences=True) for image in images]
    headers = [header_of(model, image.shape).to_bytes() for image in images]
    payloads = encode_payloads(model.pixels, headers, images)
    coded = [head + body for head, body in zip(headers, payloads, strict=True)]
    return [smaller_stored(file, image, differences=True) for file, image in zip(coded, images, strict=True)]


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
    decoder = rans.SharedDecoder(container.split_streams(payload, streams.streams[0]), streams.count)
    tiles, _ = model.decode(decoder, streams.owner, _inside([(header.height, header.width)]), preview=True)
    return from_tiles(tiles, header.width, header.height)


def encode_payloads(model: PixelModel, places: Sequence[bytes], images: Sequence[Pixels], group: int = 1) -> list[bytes]:
    """Payloads of ``group`` images each, the last of what is left; ``places`` are what their checks begin with."""
    out: list[bytes] = []
    batch = group * max(1, TILES_TOGETHER // (group * max(map(_tiles, images), default=1)))
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        out += _encode(model, places[start // group : start // group + -(-len(some) // group)], some, group)
    return out


def _tiles(image: Pixels) -> int:
    return tiles_in(image.shape[1], image.shape[0])


def _encode(model: PixelModel, places: Sequence[bytes], images: Sequence[Pixels], group: int) -> list[bytes]:
    x = np.concatenate([to_tiles(image, "constant") for image in images])
    counts = [sum(map(_tiles, images[start : start + group])) for start in range(0, len(images), group)]
    streams = Streams.of(counts)
    told = model.intervals(x, _inside([image.shape for image in images]))
    lane = streams.owner[told.tile]
    turn = ((lane * len(Plane) + told.plane) * STEPS + told.step) * len(x) + told.tile
    order = np.argsort(turn, kind="stable")
    lane = lane[order]
    size = np.bincount(lane, minlength=len(streams.count))
    slot = np.arange(len(lane)) - (np.cumsum(size) - size)[lane]
    starts = np.zeros((len(size), int(size.max(initial=0))), np.int64)
    freqs = np.full(starts.shape, TOTAL)
    starts[lane, slot], freqs[lane, slot] = told.start[order], told.freq[order]
    coded = rans.encode(starts, freqs, streams.checks(places, x))
    return streams.payloads(coded)


def _inside(shapes: Sequence[tuple[int, ...]]) -> Bools:
    """Which pixels of each tile images of such shapes cover: (tiles, 784)."""
    known = {shape: to_tiles(np.ones(shape, np.uint8), "constant") > 0 for shape in set(shapes)}
    return np.concatenate([known[shape] for shape in shapes]).reshape(-1, PIXELS)


def decode_payloads(
    model: PixelModel, places: Sequence[bytes], payloads: Sequence[bytes], shapes: Sequence[Sequence[tuple[int, int]]]
) -> list[list[Pixels] | FormatError]:
    """Of each payload its images, uint8 of the ``(H, W)`` given, or what is wrong with it."""
    tiles = [sum(tiles_in(width, height) for height, width in some) for some in shapes]
    sound, damaged = sound_streams(payloads, tiles)
    out: dict[int, list[Pixels] | FormatError] = dict(damaged)
    for batch in batches(sound, tiles, TILES_TOGETHER):
        streams = Streams.of([tiles[k] for k in batch])
        decoder = rans.SharedDecoder([stream for k in batch for stream in sound[k]], streams.count)
        every = [shape for k in batch for shape in shapes[k]]
        x, possible = model.decode(decoder, streams.owner, _inside(every))
        checks = streams.checks([places[k] for k in batch], x)
        whole = streams.all_of(decoder.finish(checks) & np.logical_and.reduceat(possible, streams.first))
        parts = iter(np.split(x, np.cumsum([tiles_in(width, height) for height, width in every])[:-1]))
        for k, good in zip(batch, whole, strict=True):
            images = [from_tiles(next(parts), width, height) for height, width in shapes[k]]
            out[k] = images if good else FormatError("its content does not match its check")
    return [out[k] for k in range(len(payloads))]
