"""Lossless tiles to streams and back: the pixel model gives the intervals of the symbols, rANS codes them.

The tiles of a stream take turns, step by step, so all tiles advance together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.bitstream.stream_layout import Streams
from mnistzip.engines.interface import PixelSymbols
from mnistzip.entropy import rans
from mnistzip.entropy.cost import TOTAL
from mnistzip.entropy.states import FinalStates
from mnistzip.models.pixel.pixel_model import PixelModel
from mnistzip.models.pixel.planes import STEPS, TILE_PIXELS, Plane
from mnistzip.types import Bools, Integers, Pixels


def pixel_symbols(model: PixelModel, x: Pixels, inside: Bools, max_error: int) -> PixelSymbols:
    """The symbols of tiles, tile by tile.

    Args:
        x: grey levels, 0 outside the image, shape ``(N, 28, 28)``.
        inside: which pixels the image covers, shape ``(N, 28, 28)``.
        max_error: 0, or that of :mod:`mnistzip.bitstream.bounded`.
    """
    coded = model.intervals(x, inside.reshape(-1, TILE_PIXELS), max_error)
    order = np.argsort(coded.tile, kind="stable")
    turn = coded.plane * STEPS + coded.step
    return PixelSymbols(
        counts=np.bincount(coded.tile, minlength=len(x)).astype(np.int32),
        turn=turn[order].astype(np.int16),
        start=coded.start[order].astype(np.uint16),
        freq_less_one=(coded.freq[order] - 1).astype(np.uint16),
    )


def encode(symbols: PixelSymbols, streams: Streams, checks: Integers) -> list[bytes]:
    """The bytes of each stream, given the symbols of all tiles and the check of each stream, shape ``(streams,)``."""
    tiles = len(symbols.counts)
    tile = np.repeat(np.arange(tiles), symbols.counts)
    stream = streams.owner[tile]
    order = np.argsort((stream * (len(Plane) * STEPS) + symbols.turn) * tiles + tile, kind="stable")
    stream = stream[order]
    size = np.bincount(stream, minlength=len(streams.count))
    column = np.arange(len(stream)) - (np.cumsum(size) - size)[stream]
    starts = np.zeros((len(size), int(size.max(initial=0))), np.int64)
    freqs = np.full(starts.shape, TOTAL)  # start 0 with frequency TOTAL pads the shorter streams
    starts[stream, column] = symbols.start[order]
    freqs[stream, column] = symbols.freq_less_one[order].astype(np.int64) + 1
    return rans.encode(starts, freqs, checks)


def decode(
    model: PixelModel, coded: Sequence[bytes], inside: Bools, streams: Streams, max_error: int, preview: bool
) -> tuple[Pixels, Bools, FinalStates]:
    """Tiles, shape ``(N, 28, 28)``; which of them have valid grey levels only, shape ``(N,)``; where each stream ended.

    Args:
        model: of the tiles.
        coded: the bytes of each stream.
        inside: which pixels the image covers, shape ``(N, 28, 28)``.
        streams: which hold the tiles.
        max_error: as for :func:`pixel_symbols`.
        preview: decode all planes but the shades.
    """
    decoder = rans.Decoder(coded)
    x, possible = model.decode(decoder, streams.owner, inside.reshape(-1, TILE_PIXELS), max_error, preview)
    return x, possible, decoder.final_states()
