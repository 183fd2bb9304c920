"""Latents of tiles: the kind of ``mnist`` and ``glyph``, whose networks take 28x28 pixels.

In a lane of an archive the tiles of a stream take turns, symbol by symbol. The initial state of the coder and the check, about
2.6 bytes, occur once in a lane, and the prior evaluates all tiles of a lane together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mnistzip.bitstream.stream_layout import Streams, split_payloads
from mnistzip.coding.batches import TILES_TOGETHER, batches
from mnistzip.coding.latents import Latent, Shape, Symbols
from mnistzip.engines.choice import current
from mnistzip.engines.interface import Intervals
from mnistzip.entropy.cost import BIT
from mnistzip.errors import FormatError
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models.registry import Model
from mnistzip.tiling import TILE, covered, from_tiles, squared_error, tiles_in, tiles_of, to_tiles
from mnistzip.types import Integers, Pixels

SIDE, CHANNELS = 7, 4  # of the latent of a tile
TAIL = 1.0  # bits that a stream takes above its check and the ideal code length, before rounding up to bytes


class TileImages:
    """Images cut into tiles: :class:`~mnistzip.coding.latents.Images`."""

    def __init__(self, images: Sequence[Pixels]) -> None:
        self._images = images
        self._counts = [tiles_of(image) for image in images]
        self._x = np.concatenate([to_tiles(image) for image in images])
        self._inside = covered([image.shape for image in images])

    def select(self, which: Sequence[int]) -> TileImages:
        return self if len(which) == len(self._images) else TileImages([self._images[k] for k in which])

    def first(self, model: Model, qualities: Sequence[int]) -> list[Latent]:
        engine, quality_index = current(), _quality_indices(model, qualities, self._counts)
        y = engine.first_latents(model, self._x, self._inside, quality_index)
        return self._split(y, engine.latent_symbols(model, y, quality_index))

    def refine(
        self,
        model: Model,
        latents: Sequence[Latent],
        qualities: Sequence[int],
        effort: int,
        tick: Callable[[int], None] | None = None,
    ) -> list[Latent]:
        if not effort:
            return list(latents)
        engine, quality_index = current(), _quality_indices(model, qualities, self._counts)
        y = np.concatenate([latent.y for latent in latents])
        y = engine.refine(model, self._x, self._inside, y, quality_index, effort, tick)
        return self._split(y, engine.latent_symbols(model, y, quality_index))

    def fit(self, model: Model, qualities: Sequence[int], effort: int, bits: int, check_bits: int) -> list[Latent]:
        """The bits are shared among an image's tiles in proportion to what the latents of the analysis take."""
        engine, quality_index = current(), _quality_indices(model, qualities, self._counts)
        y = engine.first_latents(model, self._x, self._inside, quality_index)
        streams = np.array([Streams.needed(count) for count in self._counts])
        # Each stream but the last has its length before it, in a byte as a rule.
        ideal = np.maximum(bits - streams * (check_bits + TAIL) - 8 * (streams - 1), 0)
        spent = engine.latent_symbols(model, y, quality_index).bits
        total = np.add.reduceat(spent, np.cumsum([0, *self._counts[:-1]]))
        limit = spent * np.repeat(np.floor(ideal * BIT).astype(np.int64), self._counts) // np.repeat(total, self._counts)
        y = engine.refine_to_budget(model, self._x, self._inside, quality_index, effort, limit)
        return self._split(y, engine.latent_symbols(model, y, quality_index))

    def errors(self, model: Model, latents: Sequence[Latent], qualities: Sequence[int]) -> list[int]:
        y = np.concatenate([latent.y for latent in latents])
        x_hat = current().synthesize(model, y, _quality_indices(model, qualities, self._counts))
        error = squared_error(self._x, x_hat, self._inside)
        sums: list[int] = np.add.reduceat(error, np.cumsum([0, *self._counts[:-1]])).tolist()
        return sums

    def _split(self, y: Integers, symbols: Intervals) -> list[Latent]:
        """The latent of each image."""
        ends = np.cumsum(self._counts).tolist()
        parts = [slice(end - count, end) for end, count in zip(ends, self._counts, strict=True)]
        return [Latent(y[part], symbols.select(part)) for part in parts]


class Tiles:
    """:class:`~mnistzip.coding.latents.Kind`."""

    def images(self, images: Sequence[Pixels]) -> TileImages:
        return TileImages(images)

    def reconstruct(
        self, model: Model, y: Sequence[Integers], shapes: Sequence[Shape], qualities: Sequence[int]
    ) -> list[Pixels]:
        counts = [len(each) for each in y]
        x_hat = current().synthesize(model, np.concatenate(y), _quality_indices(model, qualities, counts))
        pieces = np.split(x_hat, np.cumsum(counts)[:-1])
        return [from_tiles(tiles, width, height) for tiles, (height, width) in zip(pieces, shapes, strict=True)]

    def arranged(self, y: Integers, shape: Shape) -> Symbols:
        rows, columns = (-(-side // TILE) for side in shape)
        tiles = y.astype(np.int8).reshape(len(y), rows, columns, SIDE, SIDE, CHANNELS).transpose(0, 5, 1, 3, 2, 4)
        return tiles.reshape(len(y), CHANNELS, rows * SIDE, columns * SIDE)

    def encode(
        self,
        seeds: Sequence[bytes],
        latents: Sequence[Sequence[Latent]],
        check_bits: int = CHECK_BITS_MIN,
        in_lanes: bool = False,
    ) -> list[bytes]:
        every = [latent for of_payload in latents for latent in of_payload]
        y, symbols = np.concatenate([latent.y for latent in every]), Intervals.join([latent.symbols for latent in every])
        streams = Streams.from_tile_counts([sum(len(latent.y) for latent in of_payload) for of_payload in latents])
        checks = streams.checks(seeds, y)
        return streams.payloads(current().encode_latents(symbols, streams, checks, check_bits, interleaved=in_lanes))

    def decode(
        self,
        model: Model,
        seeds: Sequence[bytes],
        payloads: Sequence[bytes],
        shapes: Sequence[Sequence[Shape]],
        qualities: Sequence[int],
        check_bits: int = CHECK_BITS_MIN,
        in_lanes: bool = False,
    ) -> list[list[Integers] | FormatError]:
        counts = [[tiles_in(width, height) for height, width in of_payload] for of_payload in shapes]
        tiles = [sum(of_payload) for of_payload in counts]
        split, damaged = split_payloads(payloads, tiles)
        out: dict[int, list[Integers] | FormatError] = dict(damaged)
        for batch in batches(split, tiles.__getitem__, TILES_TOGETHER):
            streams = Streams.from_tile_counts([tiles[k] for k in batch])
            coded = [stream for k in batch for stream in split[k]]
            quality_index = _quality_indices(model, [qualities[k] for k in batch], streams.per_payload)
            y, ends = current().decode_latents(model, coded, quality_index, streams, interleaved=in_lanes)
            passed = ends.verify(streams.checks([seeds[k] for k in batch], y), check_bits)
            valid = streams.payloads_with_all(passed)
            parts = iter(np.split(y, np.cumsum([count for k in batch for count in counts[k]])[:-1]))
            for k, intact in zip(batch, valid, strict=True):
                symbols = [next(parts) for _ in counts[k]]
                out[k] = symbols if intact else FormatError("its content does not match its check")
        return [out[k] for k in range(len(payloads))]


TILES = Tiles()


def _quality_indices(model: Model, qualities: Sequence[int], counts: Sequence[int]) -> Integers:
    """The index of each item's quality, as often as it has tiles or streams."""
    return np.repeat(np.array([model.quality_index(quality) for quality in qualities], np.int64), counts)
