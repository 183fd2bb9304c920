"""The pixel model: integer probabilities of each part of each grey level, given everything coded before.

Each plane of :mod:`mnistzip.models.pixel.planes` has a small network of exact integers. For n pixels::

    x       (n, inputs)    what the pixels see, of mnistzip.models.pixel.context
    |  layers[0]           + rows[row] + columns[column]; of shades also + the weights of the pixel's range
    v       (n, width)     0..1023
    |  layers[1], layers[2]
    v
    h       (n, width)     features, 0..1023
    |  head                of shades, the part for the pixel's range
    v
    logits  (values, n)    64ths of a power of two; mnistzip.entropy.cdf makes frequencies of them

The frequencies of shades also depend on the shades that the tile has shown before
(:mod:`mnistzip.models.pixel.copy_attention`). A pixel of the first plane that sees no ink needs no network: a table holds its
frequencies.

The encoder evaluates all pixels together, the decoder those of one step of all tiles. Sums of integers do not depend on order,
so both get the same frequencies bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mnistzip.bitstream.bounded import nearest
from mnistzip.entropy import rans
from mnistzip.entropy.cdf import Cdf
from mnistzip.entropy.cost import TOTAL
from mnistzip.errors import ModelError
from mnistzip.limits import PIXEL_WIDTH_MAX
from mnistzip.models.latent_prior import LOGITS
from mnistzip.models.pixel.bounded import Choices, choices
from mnistzip.models.pixel.context import Contexts, bits_to_inputs, inputs_of, padded_index, size_of
from mnistzip.models.pixel.copy_attention import CopyAttention, KeyValueCache, shade_cdf
from mnistzip.models.pixel.planes import (
    LAST_SHADE,
    RANGES,
    SHADES,
    SOLID,
    STEP,
    STEPS,
    TILE_PIXELS,
    VALUES,
    Plane,
    coded_pixels,
    input_peaks,
    ranges,
    symbols,
)
from mnistzip.nn.exact import ACTIVATION_MAX, ACTIVATIONS, Affine, exact_matmul, requantize, require_shape
from mnistzip.tiling import TILE
from mnistzip.types import Bools, Floats, Integers, Pixels

TILES_PER_BATCH = 16  # evaluated together: small enough for the processor's cache
MIDDLE_SOLID = 253
HIDDEN_LAYERS = 3  # of each plane

# What a logit loses whose symbol leads to no grey level of a bounded error; its weight is then 0.
EXCLUDED = np.float32(1 << 20)


@dataclass(frozen=True, eq=False)
class PlaneNet:
    """The network of one plane.

    Attributes:
        layers: the hidden layers.
        rows, columns: biases of the first layer by the position of a pixel, integers of shape ``(28, width)``.
        head: features to logits.
    """

    plane: Plane
    layers: tuple[Affine, ...]
    rows: Floats
    columns: Floats
    head: Affine

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless every shape fits and every sum is exact."""
        first, *others = self.layers
        width = first.weight.shape[1]
        require_shape(width <= PIXEL_WIDTH_MAX and self.rows.shape == (TILE, width) == self.columns.shape, first.name)
        position_bias = np.abs(self.rows).max(axis=0).astype(np.float64) + np.abs(self.columns).max(axis=0)
        first.check_exact(input_peaks(self.plane), position_bias * first.unit)
        for layer in others:
            require_shape(layer.weight.shape == (width, width), layer.name)
            layer.check_exact(ACTIVATION_MAX)
        outputs = RANGES * SHADES if self.plane is Plane.SHADE else VALUES[self.plane]
        require_shape(self.head.weight.shape == (width, outputs), self.head.name)
        self.head.check_exact(ACTIVATION_MAX)

    @cached_property
    def _first_weight(self) -> Floats:
        """The first layer's weights, in the order in which :class:`Contexts` gives its inputs."""
        first, inputs = self.layers[0], inputs_of(self.plane)
        out = np.zeros((size_of(self.plane), first.weight.shape[1]), np.float32)
        out[inputs] = first.weight[: len(inputs)]
        return out

    @cached_property
    def _position_bias(self) -> Floats:
        """The first layer's bias, by pixel: (784, width)."""
        first = self.layers[0]
        return (self.rows[:, None] + self.columns).reshape(TILE_PIXELS, -1) * first.unit + first.bias

    def features(self, x: Floats, pixel: Integers, shade_ranges: Integers | None = None) -> Floats:
        """Features of pixels: (n, width).

        Args:
            x: what the pixels see, shape ``(n, inputs)``.
            pixel: their positions, shape ``(n,)``.
            shade_ranges: their ranges, in the plane of shades only, shape ``(n,)``.
        """
        h = exact_matmul(x, self._first_weight)
        h += self._position_bias[pixel]
        if shade_ranges is not None:
            h += self.layers[0].weight[-RANGES:][shade_ranges]
        h = requantize(h, ACTIVATIONS)
        for layer in self.layers[1:]:
            h = layer(h, ACTIVATIONS)
        return h

    def shade_logits(self, h: Floats, shade_ranges: Integers) -> Floats:
        """Logits of the shades of each pixel's range: (n, width) -> (32, n)."""
        out = np.empty((SHADES, len(h)), np.float32)
        for k in range(RANGES):
            if (pixels := np.flatnonzero(shade_ranges == k)).size:
                outputs = slice(k * SHADES, (k + 1) * SHADES)
                total = exact_matmul(self.head.weight[:, outputs].T, h[pixels].T)
                total += self.head.bias[outputs, None]
                out[:, pixels] = requantize(total, LOGITS)
        return out


class Symbols(NamedTuple):
    """Coded symbols: tile, plane and step of each, start and frequency of its interval; by plane, tile, pixel."""

    tile: Integers
    plane: Integers
    step: Integers
    start: Integers
    freq: Integers


@dataclass(frozen=True, eq=False)
class PixelModel:
    """All networks of lossless files.

    Attributes:
        nets: one for each plane.
        copying: raises the frequencies of shades that the tile has shown before.
        blank: frequency of ink, out of 65536, of pixels that see none, ``(784,)``.
    """

    nets: tuple[PlaneNet, ...]
    copying: CopyAttention
    blank: Integers

    @property
    def macs(self) -> int:
        """Multiply-adds for a pixel, with the shades of its range alone."""
        nets = sum(sum(layer.weight.size for layer in net.layers) + net.head.weight.size for net in self.nets)
        other_ranges = self.nets[Plane.SHADE].head.weight.size // RANGES * (RANGES - 1)
        return nets - other_ranges + self.copying.query.weight.size + self.copying.key.weight.size

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless every shape fits and every sum is exact in float32."""
        require_shape(len(self.nets) == len(Plane), "pixels")
        for net in self.nets:
            net.check_exact()
        self.copying.check_exact(len(self.nets[Plane.SHADE].head.weight))
        if self.blank.shape != (TILE_PIXELS,) or self.blank.min() < 1 or self.blank.max() >= TOTAL:
            raise ModelError(f"pixels blank: a frequency is outside 1..{TOTAL - 1}")

    def intervals(self, x: Pixels, inside: Bools, max_error: int = 0) -> Symbols:
        """The symbols of whole tiles, and their intervals.

        Args:
            x: grey levels, shape ``(N, 28, 28)``, 0 outside; with ``max_error`` those of :func:`nearest` only.
            inside: pixels that the image covers, shape ``(N, 784)``.
        """
        kept = choices(max_error) if max_error else None
        grey = x.reshape(len(x), TILE_PIXELS)
        contexts = Contexts.of(grey)
        planes: list[tuple[Integers, ...]] = []
        for plane in Plane:
            tile, pixel = coded_pixels(plane, grey, inside)
            symbol = symbols(grey[tile, pixel], plane)
            start, freq = np.empty((2, len(tile)), np.int64)
            for part in _batches(tile):
                cdf = self._cdf(plane, contexts, tile[part], pixel[part], grey[tile[part], pixel[part]], kept)
                start[part], freq[part] = cdf.interval(symbol[part])
            planes.append((tile, np.full(len(tile), plane), STEP[pixel], start, freq))
        return Symbols(*(np.concatenate(column) for column in zip(*planes, strict=True)))

    def _cdf(
        self, plane: Plane, contexts: Contexts, tile: Integers, pixel: Integers, value: Pixels, kept: Choices | None
    ) -> Cdf:
        """Frequencies of pixels of whole tiles, in coding order, whose grey levels are all known."""
        if plane is not Plane.SHADE:
            return self._frequencies(plane, contexts, tile, pixel, kept)
        shade_ranges = ranges(value)
        h, logits = self._shades(contexts, tile, pixel, shade_ranges, kept)
        return shade_cdf(logits, self.copying.votes(h, tile, pixel, shade_ranges, symbols(value, plane)))

    def _frequencies(self, plane: Plane, contexts: Contexts, tile: Integers, pixel: Integers, kept: Choices | None) -> Cdf:
        """Frequencies of all planes but the last."""
        net = self.nets[plane]
        index = padded_index(tile, pixel)
        if plane is not Plane.INK:
            logits = net.head.transposed(net.features(contexts.near(plane, index), pixel), LOGITS)
            if kept is not None:
                logits -= EXCLUDED * ~kept.of(plane)[:, None]
            return Cdf.of_logits(logits)
        sums = np.zeros((3, len(tile)))
        sums[1], sums[2] = TOTAL - self.blank[pixel], TOTAL
        total = np.ones(len(tile))
        ink = contexts.ink_above(index)
        if (inked := np.flatnonzero(ink.any(axis=1))).size:
            h = net.features(bits_to_inputs(ink[inked]), pixel[inked])
            cdf = Cdf.of_logits(net.head.transposed(h, LOGITS))
            sums[:, inked], total[inked] = cdf.sums, cdf.total
        return Cdf(sums, total)

    def _shades(
        self, contexts: Contexts, tile: Integers, pixel: Integers, shade_ranges: Integers, kept: Choices | None
    ) -> tuple[Floats, Floats]:
        """Features and logits of shades."""
        net = self.nets[Plane.SHADE]
        h = net.features(contexts.near(Plane.SHADE, padded_index(tile, pixel)), pixel, shade_ranges)
        logits = net.shade_logits(h, shade_ranges)
        if kept is not None:
            logits -= EXCLUDED * ~kept.shade[shade_ranges].T
        return h, logits

    def decode(
        self, decoder: rans.Decoder, stream: Integers, inside: Bools, max_error: int = 0, preview: bool = False
    ) -> tuple[Pixels, Bools]:
        """Decode whole tiles or, for a preview, all planes but the shades.

        Args:
            decoder: of the streams that hold the tiles.
            stream: the stream of each tile, in ascending order, shape ``(N,)``.
            inside: pixels that the image covers, shape ``(N, 784)``.
            max_error: that of the encoder; 0 without loss.

        Returns:
            Grey levels, shape ``(N, 28, 28)``, in a preview those in the middle of their ranges; and which tiles have all their
            shades within their ranges and only grey levels that ``max_error`` leaves, shape ``(N,)``.
        """
        kept = choices(max_error) if max_error else None
        count = len(stream)
        grey = np.zeros((count, TILE_PIXELS), np.uint8)
        valid = np.ones(count, bool)
        contexts = Contexts(count)
        for plane in list(Plane)[: Plane.SHADE] if preview else Plane:
            tile, pixel = coded_pixels(plane, grey, inside)
            order = np.argsort(STEP[pixel], kind="stable")
            ends = np.searchsorted(STEP[pixel][order], np.arange(STEPS + 1))
            cache = KeyValueCache(self.copying, count, int(np.bincount(tile).max(initial=0)) if plane is Plane.SHADE else 0)
            for step in range(STEPS):
                now = order[ends[step] : ends[step + 1]]
                if not now.size:
                    continue
                t, p = tile[now], pixel[now]
                if plane is Plane.SHADE:
                    shade_ranges = ranges(grey[t, p])
                    h, logits = self._shades(contexts, t, p, shade_ranges, kept)
                    symbol = decoder.decode(shade_cdf(logits, cache.votes(h, t, shade_ranges)), stream[t])
                    cache.add(h, t, shade_ranges, symbol)
                    valid[t[symbol > LAST_SHADE[shade_ranges]]] = False
                else:
                    symbol = decoder.decode(self._frequencies(plane, contexts, t, p, kept), stream[t])
                value = _lowest_grey(plane, symbol, grey[t, p])
                grey[t, p] = value
                index = padded_index(t, p)
                contexts.update(plane, index, value)
                if plane is Plane.SOLID:
                    contexts.set_level(index[symbol > 0], RANGES)
        if preview:
            grey = np.where(grey == 0, 0, np.where(grey >= SOLID, MIDDLE_SOLID, grey + SHADES // 2 - 1)).astype(np.uint8)
        elif max_error:
            valid &= (nearest(grey, max_error) == grey).all(axis=1)
        return grey.reshape(count, TILE, TILE), valid


def _lowest_grey(plane: Plane, symbol: Integers, grey: Pixels) -> Pixels:
    """The lowest grey levels that the symbols of a plane leave possible, given those of the plane before."""
    if plane is Plane.INK:
        value = symbol
    elif plane is Plane.SOLID:
        value = np.where(symbol > 0, SOLID, 1)
    elif plane is Plane.LEVEL:
        value = symbol * SHADES + 1
    else:
        value = grey + symbol
    return np.minimum(value, 255).astype(np.uint8)


def _batches(tile: Integers) -> list[slice]:
    """Cut pixels, sorted by tile, into batches of whole tiles."""
    cuts = np.searchsorted(tile, np.arange(0, int(tile.max(initial=-1)) + TILES_PER_BATCH + 1, TILES_PER_BATCH))
    return [slice(a, b) for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True) if a < b]
