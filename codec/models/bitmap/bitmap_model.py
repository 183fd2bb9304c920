"""The model of bitmaps: the probability that a pixel is ink, given the pixels before it.

::

    window  (n, 200)    1 where an earlier pixel around the pixel is ink, else 0
    |  enter            + a bias by the distance from each edge, and by height and width
    |  middle           two layers
    v
    h       (n, width)  0..1023
    |  head
    v
    logit   (n,)        of ink, in 64ths of a power of two

The size of a bitmap and its shift precede its pixels; tables hold their frequencies. Pixels follow each other in slanted steps
(:mod:`mnistzip.models.slanted`), so a decoder computes many of them together. FORMAT.md, section 14, specifies all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mnistzip.entropy.cdf import OCTAVES, ONE
from mnistzip.entropy.cost import TOTAL
from mnistzip.errors import ModelError
from mnistzip.limits import PIXEL_WIDTH_MAX
from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, BITMAP_SIDE_MIN, SHIFT_MAX, SHIFT_MIN, Bitmap
from mnistzip.models.slanted import Canvas, ImageShape, Places, steps
from mnistzip.nn.exact import ACTIVATIONS, Affine, Numbers, Range, exact_matmul, requantize, require_shape
from mnistzip.threads import go_on
from mnistzip.types import Floats, Integers

UP, LEFT, RIGHT = 10, 10, 8  # rows above a pixel and columns to both sides that it sees
WINDOW = tuple((row, column) for row in range(-UP, 1) for column in range(-LEFT, RIGHT + 1 if row else 0))
ROW_STEPS = RIGHT + 1  # the pixel in row r and column c is coded in step c + 9r
EDGES = ("above", "left", "below", "right")
DISTANCES = 64  # from an edge that are told apart
SIZES = BITMAP_SIDE_MAX + 1  # rows of the tables of heights and widths
LOGITS = Range(-1344, 1344)

SIDES = BITMAP_SIDE_MAX - BITMAP_SIDE_MIN + 1  # values of the longer side
DIFFERENCES = 128  # values of the difference of the sides
SHIFTS = SHIFT_MAX - SHIFT_MIN + 1
SIDE_BITS = 4  # longer sides that differ in these bits only share a table of differences
SIDE_CLASSES = (BITMAP_SIDE_MAX >> SIDE_BITS) + 1
PIXELS_PER_BATCH = 1 << 15  # that are computed together


class Frequencies(NamedTuple):
    """Alphabets of n symbols, as a :class:`~mnistzip.entropy.rans.Decoder` takes them.

    Attributes:
        cumulative: from 0 to 65536, shape ``(values + 1, n)``.
    """

    cumulative: Integers

    def symbol_at(self, slots: Integers) -> Integers:
        """The symbols whose intervals hold these numbers of 0..65535: (n,) -> (n,)."""
        symbols: Integers = (self.cumulative[1:] <= slots).sum(axis=0)
        return symbols

    def interval(self, value: Integers) -> tuple[Integers, Integers]:
        """Start and frequency of one symbol of each alphabet: (n,)."""
        each = np.arange(len(value))
        start = self.cumulative[value, each]
        return start, self.cumulative[value + 1, each] - start

    def edges(self) -> Integers:
        """All cumulative frequencies: (values + 1, n)."""
        return self.cumulative

    def select(self, which: Integers) -> Frequencies:
        """Some of the n alphabets."""
        return Frequencies(self.cumulative[:, which])


# Decodes the next symbols, given their alphabets and the bitmaps that they are of, rising.
NextSymbols = Callable[[Frequencies, Integers], Integers]


class Extents(NamedTuple):
    """The symbols of the sizes and shifts of n bitmaps, shape ``(n,)`` each.

    Attributes:
        side: the longer side, less :data:`BITMAP_SIDE_MIN`.
        difference: twice the difference of the sides, plus 1 if the width is the longer one.
        shift: less :data:`SHIFT_MIN`.
    """

    side: Integers
    difference: Integers
    shift: Integers

    @classmethod
    def of(cls, bitmaps: Sequence[Bitmap]) -> Extents:
        """Those of bitmaps."""
        height, width = np.array([bitmap.ink.shape for bitmap in bitmaps], np.int64).reshape(-1, 2).T
        shift = np.array([bitmap.shift for bitmap in bitmaps], np.int64)
        difference = 2 * np.abs(height - width) + (width > height)
        return cls(np.maximum(height, width) - BITMAP_SIDE_MIN, difference, shift - SHIFT_MIN)

    def shapes(self) -> tuple[list[ImageShape], list[bool]]:
        """``(height, width)`` of each bitmap, and whether these symbols are possible; sides are at least 1."""
        side, apart, is_wide = self.side + BITMAP_SIDE_MIN, self.difference >> 1, (self.difference & 1).astype(bool)
        possible = (apart < side) & ~(is_wide & (apart == 0))
        shorter = np.maximum(side - apart, 1)
        height, width = np.where(is_wide, shorter, side), np.where(is_wide, side, shorter)
        return list(zip(height.tolist(), width.tolist(), strict=True)), possible.tolist()


@dataclass(frozen=True, eq=False)
class BitmapModel:
    """The model.

    Attributes:
        sides, differences, shifts: cumulative frequencies from 0 to 65536: ``(SIDES + 1,)``, for classes of longer sides
            ``(SIDE_CLASSES, 2 * DIFFERENCES + 1)``, and ``(SHIFTS + 1,)``.
        enter: the first layer, from 200 pixels.
        edges, sizes: what is added to its bias, multiples of its unit: by distance from each edge, ``(4, 64, width)``, and by
            height and width, ``(2, 129, width)``.
        middle: the two layers behind it.
        head: to the logit.
    """

    sides: Integers
    differences: Integers
    shifts: Integers
    enter: Affine
    edges: Floats
    sizes: Floats
    middle: tuple[Affine, Affine]
    head: Affine

    @cached_property
    def macs(self) -> int:
        """Multiply-adds for each pixel."""
        return sum(layer.weight.size for layer in (self.enter, *self.middle, self.head))

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless all shapes fit and every sum is exact."""
        for table, shape in (
            (self.sides, (SIDES + 1,)),
            (self.differences, (SIDE_CLASSES, 2 * DIFFERENCES + 1)),
            (self.shifts, (SHIFTS + 1,)),
        ):
            require_shape(table.shape == shape, "bitmap")
            if table[..., 0].any() or (table[..., -1] != TOTAL).any() or (np.diff(table, axis=-1) < 1).any():
                raise ModelError("a table of the bitmap model does not rise from 0 to 65536")
        widths = [layer.weight.shape[1] for layer in (self.enter, *self.middle)]
        require_shape(self.enter.weight.shape[0] == len(WINDOW) and max(widths) <= PIXEL_WIDTH_MAX, "bitmap")
        require_shape(self.edges.shape == (len(EDGES), DISTANCES, widths[0]), "bitmap")
        require_shape(self.sizes.shape == (2, SIZES, widths[0]), "bitmap")
        require_shape([layer.weight.shape[0] for layer in (*self.middle, self.head)] == widths, "bitmap")
        require_shape(self.head.weight.shape[1] == 1, "bitmap")
        largest: Numbers = sum(np.abs(table).max(axis=0).astype(np.float64) for table in (*self.edges, *self.sizes))
        self.enter.check_exact(1, largest)
        for layer in (*self.middle, self.head):
            layer.check_exact(ACTIVATIONS.high)

    def intervals(self, bitmaps: Sequence[Bitmap]) -> list[tuple[Integers, Integers]]:
        """Starts and frequencies of the symbols of each bitmap, in coding order, shape ``(n,)`` each."""
        extents, shapes = Extents.of(bitmaps), [bitmap.ink.shape for bitmap in bitmaps]
        of_extents = [alphabets.interval(value) for alphabets, value in zip(self._extents(extents), extents, strict=True)]
        canvas = Canvas(shapes, WINDOW, 0)
        for pixels, bitmap in zip(canvas.images(), bitmaps, strict=True):
            pixels[...] = bitmap.ink
        places, _ = steps(shapes, ROW_STEPS)
        start, freq = np.empty((2, len(places.image)), np.int64)
        for first in range(0, len(start), PIXELS_PER_BATCH):
            go_on()
            part = places.select(slice(first, first + PIXELS_PER_BATCH))
            alphabets = self._pixels(canvas, part)
            start[first : first + PIXELS_PER_BATCH], freq[first : first + PIXELS_PER_BATCH] = alphabets.interval(
                canvas.values[canvas.index(part)]
            )
        order = np.argsort(places.image, kind="stable")
        cuts = np.cumsum([height * width for height, width in shapes])[:-1]
        of_pixels = zip(np.split(start[order], cuts), np.split(freq[order], cuts), strict=True)
        return [
            (np.append([each[0][k] for each in of_extents], starts), np.append([each[1][k] for each in of_extents], freqs))
            for k, (starts, freqs) in enumerate(of_pixels)
        ]

    def decode(self, count: int, next_symbols: NextSymbols) -> tuple[list[Bitmap], list[bool]]:
        """Decode bitmaps, all step by step.

        Args:
            count: of the bitmaps.
            next_symbols: decodes the next symbols.

        Returns:
            The bitmaps, and whether each has a possible size.
        """
        every = np.arange(count)
        side = next_symbols(self._sides(count), every)
        difference = next_symbols(self._differences(side), every)
        shift = next_symbols(self._shifts(count), every)
        shapes, possible = Extents(side, difference, shift).shapes()
        canvas = Canvas(shapes, WINDOW, 0)
        places, first = steps(shapes, ROW_STEPS)
        for start, end in pairwise(first.tolist()):
            go_on()
            part = places.select(slice(start, end))
            canvas.values[canvas.index(part)] = next_symbols(self._pixels(canvas, part), part.image)
        pairs = zip(canvas.images(), (shift + SHIFT_MIN).tolist(), strict=True)
        return [Bitmap(ink.astype(bool), moved) for ink, moved in pairs], possible

    def _extents(self, extents: Extents) -> tuple[Frequencies, Frequencies, Frequencies]:
        """The alphabets of sizes and shifts that are known."""
        count = len(extents.side)
        return self._sides(count), self._differences(extents.side), self._shifts(count)

    def _sides(self, count: int) -> Frequencies:
        return Frequencies(np.repeat(self.sides[:, None], count, axis=1))

    def _differences(self, side: Integers) -> Frequencies:
        return Frequencies(self.differences[(side + BITMAP_SIDE_MIN) >> SIDE_BITS].T)

    def _shifts(self, count: int) -> Frequencies:
        return Frequencies(np.repeat(self.shifts[:, None], count, axis=1))

    def _pixels(self, canvas: Canvas, places: Places) -> Frequencies:
        """The alphabets of n pixels, whose windows are known."""
        total = exact_matmul(canvas.around(places).astype(np.float32), self.enter.weight)
        total += self.enter.bias
        height, width = canvas.height[places.image], canvas.width[places.image]
        distances = places.row, places.column, height - 1 - places.row, width - 1 - places.column
        for table, distance in zip(self.edges, distances, strict=True):
            total += table[np.minimum(distance, DISTANCES - 1)]
        for table, size in zip(self.sizes, (height, width), strict=True):
            total += table[size]
        h = requantize(total, ACTIVATIONS)
        for layer in self.middle:
            h = layer(h, ACTIVATIONS)
        logit = self.head(h, LOGITS)[:, 0].astype(np.int64)
        weight = OCTAVES[np.abs(logit)]
        rarer = (TOTAL - 2) * weight // (ONE + weight) + 1
        white = np.where(logit > 0, rarer, TOTAL - rarer)
        return Frequencies(np.stack([np.zeros_like(white), white, np.full_like(white, TOTAL)]))
