"""Latents to streams and back: the prior gives the intervals of the symbols, rANS codes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from mnistzip.bitstream.stream_layout import Streams
from mnistzip.engines.interface import Intervals
from mnistzip.entropy import rans
from mnistzip.entropy.cost import TOTAL
from mnistzip.entropy.states import FinalStates
from mnistzip.models.latent_prior import SYMBOLS, Prior
from mnistzip.types import Bools, Integers

TILES_TOGETHER = 1024  # coded together: small enough for the processor's cache


def latent_symbols(prior: Prior, y: Integers, quality_index: Integers) -> Intervals:
    """The intervals of the symbols of latents, ``(N, 196)``, at a quality each, ``(N,)``."""
    starts, freqs = prior.intervals(y, quality_index)
    return Intervals(starts.astype(np.uint16), (freqs - 1).astype(np.uint16))


def encode(symbols: Intervals, streams: Streams, checks: Integers, check_bits: int, interleaved: bool) -> list[bytes]:
    """The bytes of every stream.

    Args:
        symbols: of all tiles.
        streams: which hold the tiles.
        checks: of each stream, shape ``(streams,)``.
        check_bits: the fewest bits of a check.
        interleaved: whether the tiles of a stream take turns, symbol by symbol; otherwise they follow each other.
    """
    coded: list[bytes] = []
    intervals = symbols.start.astype(np.int64), symbols.freq_less_one.astype(np.int64) + 1
    together = max(1, TILES_TOGETHER // int(streams.count.max(initial=1)))
    for start in range(0, len(streams.count), together):
        part = slice(start, start + together)
        depth = np.arange(int(streams.count[part].max()))
        mask = depth < streams.count[part, None]  # (streams, deepest)
        tile = (streams.first[part, None] + depth)[mask]
        starts, freqs = (
            _rows_of_streams(values, tile, mask, padding, interleaved)
            for values, padding in zip(intervals, (0, TOTAL), strict=True)
        )
        coded += rans.encode(starts, freqs, checks[part], check_bits)
    return coded


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


def decode(
    prior: Prior, coded: Sequence[bytes], quality_index: Integers, streams: Streams, interleaved: bool
) -> tuple[Integers, FinalStates]:
    """The symbols of all tiles, shape ``(tiles, 196)``, and where each stream ended.

    Args:
        prior: of the model.
        coded: the bytes of each stream.
        quality_index: of each stream, shape ``(streams,)``.
        streams, interleaved: as for :func:`encode`.
    """
    decoder = rans.Decoder(coded)
    if interleaved:  # all tiles advance together
        owner = streams.owner
        y = prior.decode(partial(decoder.decode, stream=owner), quality_index[owner])
        return y, decoder.final_states()
    y = np.empty((int(streams.count.sum()), SYMBOLS), np.int64)
    for depth in range(int(streams.count.max())):
        deep = np.flatnonzero(depth < streams.count)
        y[streams.first[deep] + depth] = prior.decode(partial(decoder.decode, stream=deep), quality_index[deep])
    return y, decoder.final_states()
