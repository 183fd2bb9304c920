"""The pixel model: integer probabilities of every part of every grey level, given all that was coded before.

Each plane of :mod:`mnistzip.planes` has a small network of exact integers: what a pixel sees and where it is, three hidden
layers, logits. Shades are also copied: every earlier pixel of the tile that lies in the same range votes for its own shade,
with a weight that is a power of two of the product of a query and a key. Digits repeat their greys, as they were resampled
from few black and white pixels.

The encoder evaluates all pixels at once, the decoder those of one step of all tiles. As sums of integers do not depend on
order, both get the same frequencies bit for bit.

Sources: Gu et al. 2016, arXiv 1603.06393 (copying); Vaswani et al. 2017, arXiv 1706.03762 (queries and keys).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzip import rans
from mnistzip.errors import ModelError
from mnistzip.intnet import ACTIVATION_MAX, ACTIVATIONS, Floats, Range, half_of, power_of_two, prove_exact, requantize, require
from mnistzip.planes import (
    ORDER,
    PAD,
    PIXELS,
    PLACE,
    RANGES,
    SEEN_AS,
    SHADES,
    SOLID,
    STEP,
    STEPS,
    STRIDE,
    TILE,
    VALUES,
    VIEWS,
    Plane,
    input_peaks,
    ranges,
    symbols,
)
from mnistzip.prior import LOGITS, LOGITS_PER_OCTAVE, OCTAVES, cumulative

COPY_LOW, COPY_HIGH = -10, 8  # octaves that a vote is clipped to
COPY_BITS = 10  # a vote of one is 2^10
KEY_PEAK = 255
KEY_SHIFT = 4  # bits that the product of query and key is divided by
KEYS = Range(-KEY_PEAK, KEY_PEAK)
TILES_TOGETHER = 64  # whose votes are counted together
WIDTH_MAX = 1024
MIDDLE_SOLID = 253
PIXEL_LAYERS = 3  # hidden ones, of each plane

Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Bools = NDArray[np.bool_]

_VOTE = OCTAVES[(COPY_HIGH - COPY_LOW) * LOGITS_PER_OCTAVE :: -1] >> 20 - COPY_BITS - COPY_HIGH  # by score, the lowest first


@dataclass(frozen=True)
class Affine:
    """Integer weights ``(inputs, outputs)``, biases and shifts ``(outputs,)``."""

    name: str
    weight: Floats
    bias: Floats
    shift: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", self.bias + half_of(self.shift))
        object.__setattr__(self, "shift", power_of_two(-self.shift))

    def prove(self, peak: Floats | int, more: Floats | int = 0) -> None:
        """Raise :class:`ModelError` unless shapes fit and all sums are exact; ``more`` is what is added to the bias."""
        inputs, outputs = self.weight.shape
        require(self.bias.shape == (outputs,) == self.shift.shape, self.name)
        require(np.ndim(peak) == 0 or np.shape(peak) == (inputs,), self.name)
        prove_exact(self.name, self.weight, peak, (np.abs(self.bias) + more).astype(np.float32))

    def __call__(self, x: Floats, to: Range, extra: Floats | None = None) -> Floats:
        """(n, inputs) -> (n, outputs), clipped."""
        total = x @ self.weight
        total += self.bias
        if extra is not None:
            total += extra
        return requantize(total, self.shift, to)


@dataclass(frozen=True)
class PlaneNet:
    """The network of one plane; ``rows`` and ``columns`` are biases of the first layer by where a pixel is, ``(28, width)``."""

    layers: tuple[Affine, ...]
    rows: Floats
    columns: Floats
    head: Affine

    def prove(self, plane: Plane) -> None:
        first, *others = self.layers
        width = first.weight.shape[1]
        require(width <= WIDTH_MAX and self.rows.shape == (TILE, width) == self.columns.shape, first.name)
        first.prove(input_peaks(plane), np.abs(self.rows).max(axis=0) + np.abs(self.columns).max(axis=0))
        for layer in others:
            require(layer.weight.shape == (width, width), layer.name)
            layer.prove(ACTIVATION_MAX)
        outputs = RANGES * SHADES if plane is Plane.SHADE else VALUES[plane]
        require(self.head.weight.shape == (width, outputs), self.head.name)
        self.head.prove(ACTIVATION_MAX)

    def features(self, x: Floats, pixel: Ints) -> Floats:
        """What pixels see, (n, inputs), and where they are, (n,) -> (n, width)."""
        row, column = np.divmod(pixel, TILE)
        first, *others = self.layers
        h = first(x, ACTIVATIONS, self.rows[row] + self.columns[column])
        for layer in others:
            h = layer(h, ACTIVATIONS)
        return h

    def shade_logits(self, h: Floats, where: Ints) -> Floats:
        """Logits of the shades of each pixel's own range: (n, width) -> (n, 32)."""
        out = np.empty((len(h), SHADES), np.float32)
        for k in range(RANGES):
            if (mine := np.flatnonzero(where == k)).size:
                own = slice(k * SHADES, (k + 1) * SHADES)
                total = h[mine] @ self.head.weight[:, own]
                total += self.head.bias[own]
                out[mine] = requantize(total, self.head.shift[own], LOGITS)
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
    """All networks, and what copying takes.

    Attributes:
        nets: one for each plane.
        query: features of a shade to ``key`` numbers and the gate.
        key: features of a shade to ``key`` numbers.
        levels: what each grey level adds to its key, ``(288, key)``: 32 shades of each range.
        blank: frequency of ink, out of 65536, of pixels that see none, ``(784,)``.
    """

    nets: tuple[PlaneNet, ...]
    query: Affine
    key: Affine
    levels: Floats
    blank: Ints

    def prove(self) -> None:
        """Raise :class:`ModelError` unless every shape fits and every sum is exact in float32."""
        require(len(self.nets) == len(Plane), "pixels")
        for plane, net in zip(Plane, self.nets, strict=True):
            net.prove(plane)
        width, size = self.key.weight.shape
        require(width == len(self.nets[Plane.SHADE].head.weight), self.key.name)
        require(self.query.weight.shape == (width, size + 1), self.query.name)
        require(self.levels.shape == (RANGES * SHADES, size), "pixels levels")
        self.query.prove(ACTIVATION_MAX)
        self.key.prove(ACTIVATION_MAX)
        prove_exact(
            "pixels copy", np.full((size, 1), KEY_PEAK, np.float32), KEY_PEAK + np.abs(self.levels).max(), 1 << KEY_SHIFT
        )
        if self.blank.shape != (PIXELS,) or self.blank.min() < 1 or self.blank.max() >= rans.TOTAL:
            raise ModelError(f"pixels blank: a frequency is outside 1..{rans.TOTAL - 1}")

    def intervals(self, x: Pixels, inside: Bools) -> Symbols:
        """The symbols of whole tiles, and where the coder finds them.

        Args:
            x: grey levels, shape ``(N, 28, 28)``, 0 outside.
            inside: which pixels the image covers, shape ``(N, 784)``.
        """
        padded = np.pad(x, ((0, 0), (PAD, PAD), (PAD, PAD)))
        seen = {plane: table[padded].reshape(-1) for plane, table in SEEN_AS.items()}
        grey = x.reshape(len(x), PIXELS)
        told: list[tuple[Ints, ...]] = []
        for plane in Plane:
            tile, pixel = _chosen(plane, grey, inside)
            known = symbols(grey[tile, pixel], plane)
            edges = np.empty((len(tile), VALUES[plane] + 1), np.int64)
            for part in _parts(tile):
                edges[part] = self._edges(plane, seen, tile[part], pixel[part], grey[tile[part], pixel[part]])
            every = np.arange(len(tile))
            start = edges[every, known]
            told.append((tile, np.full(len(tile), plane), STEP[pixel], start, edges[every, known + 1] - start))
        return Symbols(*(np.concatenate(column) for column in zip(*told, strict=True)))

    def _edges(self, plane: Plane, seen: dict[Plane, NDArray[np.int8]], tile: Ints, pixel: Ints, value: Pixels) -> Ints:
        """Cumulative frequencies of pixels of whole tiles, in coding order, all of whose grey levels are known."""
        if plane is not Plane.SHADE:
            return self._frequencies(plane, seen, tile, pixel)
        where, shade = ranges(value), symbols(value, plane)
        h, logits = self._shades(seen, tile, pixel, where)
        query, key = self._keys(h, where, shade)
        tiles, owner = np.unique(tile, return_inverse=True)
        count = np.bincount(owner)
        most = int(count.max(initial=0))
        slot = np.arange(len(tile)) - (np.cumsum(count) - count)[owner]
        keys = np.zeros((len(tiles), most, key.shape[1]), np.float32)
        queries, gates = np.zeros_like(keys), np.zeros((len(tiles), most, 1), np.float32)
        steps, places, shades = (np.full((len(tiles), most), -1) for _ in range(3))
        keys[owner, slot], queries[owner, slot], gates[owner, slot] = key, query[:, :-1], query[:, -1:]
        steps[owner, slot], places[owner, slot], shades[owner, slot] = STEP[pixel], where, shade
        asking, asked = (places[:, :, None], steps[:, :, None]), (places[:, None], steps[:, None])
        lane, one, other = np.nonzero((asking[0] == asked[0]) & (asked[1] < asking[1]) & (asked[1] >= 0))
        product = queries @ keys.transpose(0, 2, 1)
        score = _score(product[lane, one, other], gates[lane, one, 0])
        row = (np.cumsum(count) - count)[lane] + one
        votes = _count(score, row * SHADES + shades[lane, other], len(tile))
        return shade_edges(logits, votes)

    def _frequencies(self, plane: Plane, seen: dict[Plane, NDArray[np.int8]], tile: Ints, pixel: Ints) -> Ints:
        """Cumulative frequencies of all planes but the last."""
        x = _view(plane, seen, tile, pixel)
        net = self.nets[plane]
        if plane is not Plane.INK:
            return cumulative(net.head(net.features(x, pixel), LOGITS))
        edges = np.empty((len(tile), 3), np.int64)
        edges[:] = 0, 0, rans.TOTAL
        edges[:, 1] -= self.blank[pixel] - rans.TOTAL
        if (some := np.flatnonzero(x.any(axis=1))).size:
            edges[some] = cumulative(net.head(net.features(x[some], pixel[some]), LOGITS))
        return edges

    def _shades(self, seen: dict[Plane, NDArray[np.int8]], tile: Ints, pixel: Ints, where: Ints) -> tuple[Floats, Floats]:
        """Features and logits of shades."""
        net = self.nets[Plane.SHADE]
        own = (where[:, None] == np.arange(RANGES)).astype(np.float32)
        h = net.features(np.concatenate([_view(Plane.SHADE, seen, tile, pixel), own], 1), pixel)
        return h, net.shade_logits(h, where)

    def _keys(self, h: Floats, where: Ints, shade: Ints) -> tuple[Floats, Floats]:
        """Queries with their gate, and keys."""
        query = self.query(h, LOGITS)
        np.clip(query[:, :-1], -KEY_PEAK, KEY_PEAK, out=query[:, :-1])
        return query, self.key(h, KEYS) + self.levels[where * SHADES + shade]

    def decode(self, lanes: rans.SharedDecoder, lane: Ints, inside: Bools, preview: bool = False) -> Pixels:
        """Take whole tiles off their lanes, or, for a preview, all but the shades.

        Args:
            lane: the lane of each tile, rising, shape ``(N,)``.
            inside: which pixels the image covers, shape ``(N, 784)``.

        Returns:
            Grey levels, shape ``(N, 28, 28)``; in a preview those in the middle of their ranges.
        """
        count = len(lane)
        grey = np.zeros((count, PIXELS), np.uint8)
        seen = {plane: np.zeros(count * STRIDE * STRIDE, np.int8) for plane in Plane}
        for plane in list(Plane)[: Plane.SHADE] if preview else Plane:
            tile, pixel = _chosen(plane, grey, inside)
            order = np.argsort(STEP[pixel], kind="stable")
            ends = np.searchsorted(STEP[pixel][order], np.arange(STEPS + 1))
            copies = _Copies(self, count, int(np.bincount(tile).max(initial=0))) if plane is Plane.SHADE else None
            for step in range(STEPS):
                now = order[ends[step] : ends[step + 1]]
                if not now.size:
                    continue
                t, p = tile[now], pixel[now]
                if copies is None:
                    symbol = lanes.take_of(self._frequencies(plane, seen, t, p), lane[t])
                    value = _known(plane, symbol, grey[t, p])
                else:
                    value = copies.take(lanes, lane, seen, t, p, grey[t, p])
                grey[t, p] = value
                at = t * STRIDE**2 + PLACE[p]
                seen[plane][at] = SEEN_AS[plane][value]
                if plane is Plane.SOLID:
                    seen[Plane.LEVEL][at[symbol > 0]] = RANGES
        if preview:
            grey = np.where(grey == 0, 0, np.where(grey >= SOLID, MIDDLE_SOLID, grey + SHADES // 2 - 1)).astype(np.uint8)
        return grey.reshape(count, TILE, TILE)


class _Copies:
    """Keys of the shades decoded so far, tile by tile."""

    def __init__(self, model: PixelModel, tiles: int, most: int) -> None:
        self._model = model
        self._count = np.zeros(tiles, np.int64)
        self._keys = np.zeros((tiles, most, model.key.weight.shape[1]), np.float32)
        self._where = np.full((tiles, most), -1)
        self._shade = np.zeros((tiles, most), np.int64)

    def take(
        self, lanes: rans.SharedDecoder, lane: Ints, seen: dict[Plane, NDArray[np.int8]], tile: Ints, pixel: Ints, grey: Pixels
    ) -> Pixels:
        """Take the shades of one step; ``grey`` lies in the range of each."""
        model, where = self._model, ranges(grey)
        h, logits = model._shades(seen, tile, pixel, where)
        query = model.query(h, LOGITS)
        np.clip(query[:, :-1], -KEY_PEAK, KEY_PEAK, out=query[:, :-1])
        most = int(self._count[tile].max())
        one, other = np.nonzero(self._where[tile, :most] == where[:, None])
        owner = tile[one]
        product = np.einsum("nd,nd->n", query[one, :-1], self._keys[owner, other])
        votes = _count(_score(product, query[one, -1]), one * SHADES + self._shade[owner, other], len(tile))
        shade = lanes.take_of(shade_edges(logits, votes), lane[tile])
        slot = self._count[tile] + np.arange(len(tile)) - np.searchsorted(tile, tile)
        self._keys[tile, slot] = model.key(h, KEYS) + model.levels[where * SHADES + shade]
        self._where[tile, slot], self._shade[tile, slot] = where, shade
        np.add.at(self._count, tile, 1)
        return _known(Plane.SHADE, shade, grey)


def _chosen(plane: Plane, grey: Pixels, inside: Bools) -> tuple[Ints, Ints]:
    """Tile and pixel of all that have a symbol in a plane, tile by tile in coding order, given earlier planes of ``grey``."""
    chosen = inside
    if plane is not Plane.INK:
        chosen = grey > 0
    if plane is Plane.LEVEL:
        chosen = chosen & (grey < SOLID)
    tile, number = np.nonzero(chosen[:, ORDER])
    return tile, ORDER[number]


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


def _view(plane: Plane, seen: dict[Plane, NDArray[np.int8]], tile: Ints, pixel: Ints) -> Floats:
    """What pixels see of others: (n, inputs)."""
    at = (tile * STRIDE**2 + PLACE[pixel])[:, None]
    return np.concatenate([seen[view.plane][at + view.window] for view in VIEWS[plane]], 1).astype(np.float32)


def _parts(tile: Ints) -> list[slice]:
    """Cut pixels, sorted by tile, into whole tiles, some at a time."""
    cuts = np.searchsorted(tile, np.arange(0, int(tile.max(initial=-1)) + TILES_TOGETHER + 1, TILES_TOGETHER))
    return [slice(a, b) for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True) if a < b]


def _score(product: Floats, gate: Floats) -> Ints:
    """Votes of products of query and key, in 2^-10."""
    score = np.floor(product * np.float32(2.0**-KEY_SHIFT) + np.float32(0.5)) + gate
    low, high = COPY_LOW * LOGITS_PER_OCTAVE, COPY_HIGH * LOGITS_PER_OCTAVE
    votes: Ints = _VOTE[np.clip(score, low, high).astype(np.int64) - low]
    return votes


def _count(votes: Ints, cell: Ints, rows: int) -> Ints:
    """Sum votes by cell: (rows, 32)."""
    total = np.bincount(cell, weights=votes, minlength=rows * SHADES)  # in float64, below 2^28
    return total.astype(np.int64).reshape(rows, SHADES)


def shade_edges(logits: Floats, votes: Ints) -> Ints:
    """Cumulative frequencies of shades: as :func:`~mnistzip.prior.cumulative`, each weight times one and its votes."""
    behind = (logits.max(axis=1, keepdims=True) - logits).astype(np.int64)
    weight = OCTAVES[np.minimum(behind, len(OCTAVES) - 1)] * ((1 << COPY_BITS) + votes) >> COPY_BITS  # below 2^38
    edges = np.zeros((len(logits), SHADES + 1), np.int64)
    weight.cumsum(axis=1, out=edges[:, 1:])
    edges[:] = edges * (rans.TOTAL - SHADES) // edges[:, -1:]  # products below 2^60
    edges += np.arange(SHADES + 1)
    return edges
