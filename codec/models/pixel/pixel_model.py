"""The pixel model: integer probabilities of every part of every grey level, given all that was coded before.

Each plane of :mod:`mnistzip.models.pixel.planes` has a small network of exact integers: what a pixel sees and where it is,
three hidden
layers, logits. Shades are also copied (:mod:`mnistzip.models.pixel.copy_attention`).

The encoder evaluates all pixels at once, the decoder those of one step of all tiles. As sums of integers do not depend on
order, both get the same frequencies bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy import rans
from mnistzip.entropy.cdf import TOTAL, Cdf
from mnistzip.errors import ModelError
from mnistzip.limits import PIXEL_WIDTH_MAX
from mnistzip.models.latent_prior import LOGITS
from mnistzip.models.pixel.context import Contexts, bits_to_inputs, inputs_of, places, size_of
from mnistzip.models.pixel.copy_attention import Copies, Copying, shade_cdf
from mnistzip.models.pixel.planes import (
    LAST_SHADE,
    PIXELS,
    RANGES,
    SHADES,
    SOLID,
    STEP,
    STEPS,
    VALUES,
    Plane,
    chosen,
    input_peaks,
    ranges,
    symbols,
)
from mnistzip.nn.layers import ACTIVATION_MAX, ACTIVATIONS, Affine, product, requantize, require
from mnistzip.tiling import TILE
from mnistzip.types import Bools, Floats, Pixels

TILES_TOGETHER = 16  # evaluated together: small enough for the processor's cache
MIDDLE_SOLID = 253
PIXEL_LAYERS = 3  # hidden ones, of each plane

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PlaneNet:
    """The network of one plane; ``rows`` and ``columns`` are biases of the first layer by where a pixel is, ``(28, width)``."""

    plane: Plane
    layers: tuple[Affine, ...]
    rows: Floats
    columns: Floats
    head: Affine

    def prove(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless every shape fits and every sum is exact."""
        first, *others = self.layers
        width = first.weight.shape[1]
        require(width <= PIXEL_WIDTH_MAX and self.rows.shape == (TILE, width) == self.columns.shape, first.name)
        where = np.abs(self.rows).max(axis=0) + np.abs(self.columns).max(axis=0)
        first.prove(input_peaks(self.plane), where * first.unit)
        for layer in others:
            require(layer.weight.shape == (width, width), layer.name)
            layer.prove(ACTIVATION_MAX)
        outputs = RANGES * SHADES if self.plane is Plane.SHADE else VALUES[self.plane]
        require(self.head.weight.shape == (width, outputs), self.head.name)
        self.head.prove(ACTIVATION_MAX)

    @cached_property
    def _entry(self) -> Floats:
        """The first layer's weights, in the order in which :class:`Contexts` gives its inputs."""
        first, where = self.layers[0], inputs_of(self.plane)
        out = np.zeros((size_of(self.plane), first.weight.shape[1]), np.float32)
        out[where] = first.weight[: len(where)]
        return out

    @cached_property
    def _place(self) -> Floats:
        """The first layer's bias, by pixel: (784, width)."""
        first = self.layers[0]
        return (self.rows[:, None] + self.columns).reshape(PIXELS, -1) * first.unit + first.bias

    def features(self, x: Floats, pixel: Ints, where: Ints | None = None) -> Floats:
        """What pixels see, (n, inputs), where they are and, if they have any, their ranges of shades, (n,) each: (n, width)."""
        h = product(x, self._entry)
        h += self._place[pixel]
        if where is not None:
            h += self.layers[0].weight[-RANGES:][where]
        h = requantize(h, ACTIVATIONS)
        for layer in self.layers[1:]:
            h = layer(h, ACTIVATIONS)
        return h

    def shade_logits(self, h: Floats, where: Ints) -> Floats:
        """Logits of the shades of each pixel's own range: (n, width) -> (32, n)."""
        out = np.empty((SHADES, len(h)), np.float32)
        for k in range(RANGES):
            if (mine := np.flatnonzero(where == k)).size:
                own = slice(k * SHADES, (k + 1) * SHADES)
                total = product(self.head.weight[:, own].T, h[mine].T)
                total += self.head.bias[own, None]
                out[:, mine] = requantize(total, LOGITS)
        return out


class Symbols(NamedTuple):
    """Coded symbols: tile, plane and step of each, start and frequency of its interval; by plane, tile, pixel."""

    tile: Ints
    plane: Ints
    step: Ints
    start: Ints
    freq: Ints


@dataclass(frozen=True)
class PixelModel:
    """All networks, and how shades are copied.

    Attributes:
        nets: one for each plane.
        blank: frequency of ink, out of 65536, of pixels that see none, ``(784,)``.
    """

    nets: tuple[PlaneNet, ...]
    copying: Copying
    blank: Ints

    @property
    def work(self) -> int:
        """How many multiplications a pixel takes, of its range of shades alone."""
        nets = sum(sum(layer.weight.size for layer in net.layers) + net.head.weight.size for net in self.nets)
        others = self.nets[Plane.SHADE].head.weight.size // RANGES * (RANGES - 1)
        return nets - others + self.copying.query.weight.size + self.copying.key.weight.size

    def prove(self) -> None:
        """Raise :class:`ModelError` unless every shape fits and every sum is exact in float32."""
        require(len(self.nets) == len(Plane), "pixels")
        for net in self.nets:
            net.prove()
        self.copying.prove(len(self.nets[Plane.SHADE].head.weight))
        if self.blank.shape != (PIXELS,) or self.blank.min() < 1 or self.blank.max() >= TOTAL:
            raise ModelError(f"pixels blank: a frequency is outside 1..{TOTAL - 1}")

    def intervals(self, x: Pixels, inside: Bools) -> Symbols:
        """The symbols of whole tiles, and where the coder finds them.

        Args:
            x: grey levels, shape ``(N, 28, 28)``, 0 outside.
            inside: which pixels the image covers, shape ``(N, 784)``.
        """
        grey = x.reshape(len(x), PIXELS)
        seen = Contexts.of(grey)
        told: list[tuple[Ints, ...]] = []
        for plane in Plane:
            tile, pixel = chosen(plane, grey, inside)
            known = symbols(grey[tile, pixel], plane)
            start, freq = np.empty((2, len(tile)), np.int64)
            for part in _parts(tile):
                cdf = self._cdf(plane, seen, tile[part], pixel[part], grey[tile[part], pixel[part]])
                start[part], freq[part] = cdf.interval(known[part])
            told.append((tile, np.full(len(tile), plane), STEP[pixel], start, freq))
        return Symbols(*(np.concatenate(column) for column in zip(*told, strict=True)))

    def _cdf(self, plane: Plane, seen: Contexts, tile: Ints, pixel: Ints, value: Pixels) -> Cdf:
        """Frequencies of pixels of whole tiles, in coding order, all of whose grey levels are known."""
        if plane is not Plane.SHADE:
            return self._frequencies(plane, seen, tile, pixel)
        where = ranges(value)
        h, logits = self._shades(seen, tile, pixel, where)
        return shade_cdf(logits, self.copying.votes(h, tile, pixel, where, symbols(value, plane)))

    def _frequencies(self, plane: Plane, seen: Contexts, tile: Ints, pixel: Ints) -> Cdf:
        """Frequencies of all planes but the last."""
        net = self.nets[plane]
        at = places(tile, pixel)
        if plane is not Plane.INK:
            return Cdf.of_logits(net.head.transposed(net.features(seen.near(plane, at), pixel), LOGITS))
        sums = np.zeros((3, len(tile)))
        sums[1], sums[2] = TOTAL - self.blank[pixel], TOTAL
        total = np.ones(len(tile))
        ink = seen.ink_above(at)
        if (some := np.flatnonzero(ink.any(axis=1))).size:
            h = net.features(bits_to_inputs(ink[some]), pixel[some])
            cdf = Cdf.of_logits(net.head.transposed(h, LOGITS))
            sums[:, some], total[some] = cdf.sums, cdf.total
        return Cdf(sums, total)

    def _shades(self, seen: Contexts, tile: Ints, pixel: Ints, where: Ints) -> tuple[Floats, Floats]:
        """Features and logits of shades."""
        net = self.nets[Plane.SHADE]
        h = net.features(seen.near(Plane.SHADE, places(tile, pixel)), pixel, where)
        return h, net.shade_logits(h, where)

    def decode(self, decoder: rans.Decoder, stream: Ints, inside: Bools, preview: bool = False) -> tuple[Pixels, Bools]:
        """Decode whole tiles or, for a preview, all but the shades.

        Args:
            stream: the stream of each tile, rising, shape ``(N,)``.
            inside: which pixels the image covers, shape ``(N, 784)``.

        Returns:
            Grey levels, shape ``(N, 28, 28)``, in a preview those in the middle of their ranges; and which tiles have no shade
            that is beyond its range, shape ``(N,)``.
        """
        count = len(stream)
        grey = np.zeros((count, PIXELS), np.uint8)
        sound = np.ones(count, bool)
        seen = Contexts(count)
        for plane in list(Plane)[: Plane.SHADE] if preview else Plane:
            tile, pixel = chosen(plane, grey, inside)
            order = np.argsort(STEP[pixel], kind="stable")
            ends = np.searchsorted(STEP[pixel][order], np.arange(STEPS + 1))
            copies = Copies(self.copying, count, int(np.bincount(tile).max(initial=0)) if plane is Plane.SHADE else 0)
            for step in range(STEPS):
                now = order[ends[step] : ends[step + 1]]
                if not now.size:
                    continue
                t, p = tile[now], pixel[now]
                if plane is Plane.SHADE:
                    where = ranges(grey[t, p])
                    h, logits = self._shades(seen, t, p, where)
                    symbol = decoder.decode(shade_cdf(logits, copies.votes(h, t, where)), stream[t])
                    copies.add(h, t, where, symbol)
                    sound[t[symbol > LAST_SHADE[where]]] = False
                else:
                    symbol = decoder.decode(self._frequencies(plane, seen, t, p), stream[t])
                value = _known(plane, symbol, grey[t, p])
                grey[t, p] = value
                at = places(t, p)
                seen.tell(plane, at, value)
                if plane is Plane.SOLID:
                    seen.tell_solid(at[symbol > 0], RANGES)
        if preview:
            grey = np.where(grey == 0, 0, np.where(grey >= SOLID, MIDDLE_SOLID, grey + SHADES // 2 - 1)).astype(np.uint8)
        return grey.reshape(count, TILE, TILE), sound


def _known(plane: Plane, symbol: Ints, grey: Pixels) -> Pixels:
    """The grey levels after a plane: the lowest that its symbol leaves possible."""
    if plane is Plane.INK:
        value = symbol
    elif plane is Plane.SOLID:
        value = np.where(symbol > 0, SOLID, 1)
    elif plane is Plane.LEVEL:
        value = symbol * SHADES + 1
    else:
        value = grey + symbol
    return np.minimum(value, 255).astype(np.uint8)


def _parts(tile: Ints) -> list[slice]:
    """Cut pixels, sorted by tile, into whole tiles, some at a time."""
    cuts = np.searchsorted(tile, np.arange(0, int(tile.max(initial=-1)) + TILES_TOGETHER + 1, TILES_TOGETHER))
    return [slice(a, b) for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True) if a < b]
