"""The pixel model of the kind ``grey``: a distribution of each grey level of a whole image, given the pixels before it.

::

    levels  (n, 68)     grey levels of the pixels of WINDOW
    |  minus the median prediction of the pixel, divided by the spread of the nearest ones
    x       (n, 68)     -1023..1023
    |  enter            + a bias by spread, prediction, largest error and position
    |  middle           two layers
    v
    h       (n, width)  features, 0..1023
    |  head             + a bias by spread and largest error; to the means also a linear sum of x
    v
    weights, means and scales of some logistic distributions, whose mixture is that of the grey level

Pixels follow each other in slanted steps (:mod:`mnistzip.models.slanted`). Those of a step see none of each other, so a decoder
computes them together. An encoder computes all pixels together. Sums of integers do not depend on order, so both get the same
frequencies bit for bit. FORMAT.md, section 13, specifies all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np

from mnistzip.bitstream.bounded import nearest
from mnistzip.entropy.cdf import OCTAVES
from mnistzip.entropy.cost import PROBABILITY_BITS, TOTAL
from mnistzip.errors import ModelError
from mnistzip.limits import PIXEL_WIDTH_MAX
from mnistzip.models.grey.distribution import MEAN_BITS, SEGMENT_BITS, Shape
from mnistzip.models.slanted import Canvas, ImageShape, Places, cells, steps
from mnistzip.nn.exact import ACTIVATIONS, SUM_MAX, Affine, Numbers, Range, exact_matmul, requantize, require_shape
from mnistzip.threads import go_on
from mnistzip.types import Floats, Integers, Pixels

REACH = ((8, -1), (7, 2), (6, 5), (5, 5), (5, 5), (4, 4), (3, 3))  # columns to the left and right, by the rows above
WINDOW = tuple((-up, column) for up, (left, right) in enumerate(REACH) for column in range(-left, right + 1))
NEAREST = ((0, -2), (0, -1), (-1, -1), (-1, 0), (-1, 1), (-1, 2), (-2, 0), (-2, 1))  # of which the spread is
ROW_STEPS = 3  # the pixel in row r and column c is coded in step c + 3r
UNKNOWN = -1  # the grey level of pixels beyond the image
FIRST = 128  # the prediction of the first pixel

SPREADS = 44  # indices of a spread
ERRORS = 25  # indices of a largest error
PREDICTION_BITS = 2  # a bias is shared by 4 neighbouring predictions
PREDICTIONS = 256 >> PREDICTION_BITS
EDGES = 8  # distances from an edge of the image that are told apart
POSITIONS = ("rows", "left", "right")

INPUTS = Range(-1023, 1023)
MAGNIFY_BITS = 8
AMPLITUDE_BITS = 8
HEAD = Range(-65536, 65536)
MEAN = Range(-32768, 98047)  # 256ths of a grey level
SCALE_BITS = 4
COMPONENTS_MAX = 16
WEIGHT_BITS = 16
FACTOR_MAX = 1 << 24  # of ``magnify`` and ``amplitude``
PIXELS_PER_BATCH = 1 << 14  # that are computed together
CELLS_TOGETHER = 1 << 20  # grey levels with the margins around images that are coded together

NextSymbols = Callable[["Mixtures", Integers], Integers]


def quarter_octaves(number: Integers) -> Integers:
    """The whole quarters of octaves of numbers of at least 1: ``4 * floor(log2 m)``, and the two bits below the highest one."""
    exponent = np.frexp(number.astype(np.float64))[1].astype(np.int64) - 1
    return 4 * exponent + (((number << 2) >> exponent) & 3)


@cache
def level_table(max_error: int) -> tuple[Integers, Integers]:
    """The grey levels that a bounded error leaves, and the index of the nearest of them for each grey level, ``(256,)``."""
    every = np.arange(256).astype(np.uint8)
    left, index = np.unique(nearest(every, max_error), return_inverse=True)
    return left.astype(np.int64), index.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Mixtures:
    """The distributions of n grey levels; a :class:`~mnistzip.entropy.rans.Decoder` takes them as a ``Cdf``.

    Symbols are indices of the grey levels that the largest error leaves.

    Attributes:
        levels: those grey levels, rising.
        weight: of the components, in 2^-16, shape ``(n, components)``.
        mean: in 256ths of a grey level, of the same shape.
        scale: indices of scales, of the same shape.
    """

    shape: Shape
    levels: Integers
    weight: Integers
    mean: Integers
    scale: Integers

    def _below(self, index: Integers) -> Integers:
        """The cumulative frequency below symbols, ``(n,)`` or ``(k, 1)``: 0 for the first one, 65536 behind the last one."""
        last = len(self.levels) - 1
        inner = np.clip(index, 1, last)
        edge = (self.levels[inner - 1] + self.levels[inner])[..., None] << MEAN_BITS  # 512ths of a grey level
        share = (self.shape.share(edge - 2 * self.mean, self.scale) * self.weight).sum(axis=-1) >> WEIGHT_BITS
        within = (share * (TOTAL - last - 1) >> PROBABILITY_BITS + SEGMENT_BITS) + index
        return np.where(index <= 0, 0, np.where(index > last, TOTAL, within))

    def interval(self, index: Integers) -> tuple[Integers, Integers]:
        """Start and frequency of one symbol of each alphabet: (n,)."""
        start = self._below(index)
        return start, self._below(index + 1) - start

    def edges(self) -> Integers:
        """All cumulative frequencies: (values + 1, n)."""
        return self._below(np.arange(len(self.levels) + 1)[:, None])

    def symbol_at(self, slots: Integers) -> Integers:
        """The indices whose intervals hold these numbers of 0..65535: (n,) -> (n,)."""
        first, last = np.zeros(len(slots), np.int64), np.full(len(slots), len(self.levels) - 1)
        while (first < last).any():
            middle = (first + last + 1) // 2
            holds = self._below(middle) <= slots
            first, last = np.where(holds, middle, first), np.where(holds, last, middle - 1)
        return first

    def select(self, which: Integers) -> Mixtures:
        """Some of the n alphabets."""
        return Mixtures(self.shape, self.levels, self.weight[which], self.mean[which], self.scale[which])


@dataclass(frozen=True, eq=False)
class GreyPixels:
    """The pixel model.

    Attributes:
        enter: the first layer, from 68 inputs.
        spread, prediction, error, positions: what is added to its bias, multiples of its unit: ``(44, width)``,
            ``(64, width)``, ``(25, width)`` and, for the distances from the upper, left and right edge, ``(3, 8, width)``.
        middle: the two layers behind it.
        head: to weights, means and scales of the components.
        head_spread, head_error: what is added to its bias, ``(44, outputs)`` and ``(25, outputs)``.
        linear: from the inputs to the means.
        magnify: by spread, what differences are multiplied by, in 256ths, shape ``(44,)``.
        amplitude: by spread, what means are multiplied by, in 256ths, shape ``(44,)``.
        shape: of the distributions.
    """

    enter: Affine
    spread: Floats
    prediction: Floats
    error: Floats
    positions: Floats
    middle: tuple[Affine, Affine]
    head: Affine
    head_spread: Floats
    head_error: Floats
    linear: Affine
    magnify: Integers
    amplitude: Integers
    shape: Shape

    @property
    def components(self) -> int:
        """The number of logistic distributions of a mixture."""
        return self.linear.weight.shape[1]

    @cached_property
    def macs(self) -> int:
        """Multiply-adds for each pixel."""
        layers = (self.enter, *self.middle, self.head, self.linear)
        return sum(layer.weight.size for layer in layers)

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless all shapes fit and every sum is exact."""
        self.shape.require_valid()
        width, outputs = self.enter.weight.shape[1], self.head.weight.shape[1]
        require_shape(self.enter.weight.shape[0] == self.linear.weight.shape[0] == len(WINDOW), "pixels")
        require_shape(self.spread.shape == (SPREADS, width) and self.prediction.shape == (PREDICTIONS, width), "pixels")
        require_shape(self.error.shape == (ERRORS, width) and self.positions.shape == (len(POSITIONS), EDGES, width), "pixels")
        require_shape(self.head_spread.shape == (SPREADS, outputs) and self.head_error.shape == (ERRORS, outputs), "pixels")
        require_shape(outputs == 3 * self.components and self.components <= COMPONENTS_MAX, "pixels")
        widths = width, *(layer.weight.shape[1] for layer in self.middle)
        require_shape(max(widths) <= PIXEL_WIDTH_MAX and self.middle[0].weight.shape[0] == width, "pixels")
        require_shape((self.middle[1].weight.shape[0], self.head.weight.shape[0]) == widths[1:], "pixels")
        for factor in (self.magnify, self.amplitude):
            if factor.shape != (SPREADS,) or factor.min() < 0 or factor.max() > FACTOR_MAX:
                raise ModelError("a factor of the pixel model is out of range")
        tables = (self.spread, self.prediction, self.error, *self.positions)
        self.enter.check_exact(INPUTS.high, _largest(*tables))
        for layer in self.middle:
            layer.check_exact(ACTIVATIONS.high)
        self.head.check_exact(ACTIVATIONS.high, _largest(self.head_spread, self.head_error))
        self.linear.check_exact(INPUTS.high)

    def intervals(self, x: Pixels, max_error: int = 0) -> tuple[Integers, Integers]:
        """Starts and frequencies of the symbols of n images of one shape in coding order: ``(n, H * W)`` each.

        Args:
            x: grey levels, ``(n, H, W)``: if there is a ``max_error``, only those that it leaves.
        """
        together = max(1, CELLS_TOGETHER // cells((x.shape[1], x.shape[2]), WINDOW))
        parts = [self._intervals(x[first : first + together], max_error) for first in range(0, len(x), together)]
        starts, freqs = zip(*parts, strict=True)
        return np.concatenate(starts), np.concatenate(freqs)

    def _intervals(self, x: Pixels, max_error: int) -> tuple[Integers, Integers]:
        """As :meth:`intervals`, all images together."""
        n, height, width = x.shape
        canvas = Canvas([(height, width)] * n, WINDOW, UNKNOWN)
        for levels, image in zip(canvas.images(), x, strict=True):
            levels[...] = image
        one, _ = steps([(height, width)], ROW_STEPS)
        places = Places(np.repeat(np.arange(n), height * width), np.tile(one.row, n), np.tile(one.column, n))
        symbol = level_table(max_error)[1][canvas.values[canvas.index(places)]]
        start, freq = np.empty((2, len(symbol)), np.int64)
        for first in range(0, len(symbol), PIXELS_PER_BATCH):
            go_on()
            part = slice(first, first + PIXELS_PER_BATCH)
            start[part], freq[part] = self._mixtures(canvas, places.select(part), max_error).interval(symbol[part])
        return start.reshape(n, -1), freq.reshape(n, -1)

    def decode(self, shapes: Sequence[ImageShape], max_error: int, next_symbols: NextSymbols) -> list[Pixels]:
        """Decode images of shapes ``(H, W)``, all step by step.

        Args:
            next_symbols: decodes the next symbols, given their distributions and the images that they are of, rising.

        Returns:
            Grey levels of each image, ``(H, W)``.
        """
        canvas, levels = Canvas(shapes, WINDOW, UNKNOWN), level_table(max_error)[0]
        places, first = steps(shapes, ROW_STEPS)
        for start, end in pairwise(first.tolist()):
            for some in range(start, end, PIXELS_PER_BATCH):
                go_on()
                part = places.select(slice(some, min(some + PIXELS_PER_BATCH, end)))
                canvas.values[canvas.index(part)] = levels[next_symbols(self._mixtures(canvas, part, max_error), part.image)]
        return [image.astype(np.uint8) for image in canvas.images()]

    def _mixtures(self, canvas: Canvas, places: Places, max_error: int) -> Mixtures:
        """The distributions of n pixels, whose windows are known."""
        around = canvas.around(places)
        prediction = _predict(around)
        difference = np.where(around == UNKNOWN, 0, around - prediction[:, None])
        spread = quarter_octaves(np.abs(difference[:, _NEAREST]).sum(axis=1) + 1)
        scaled = (difference * self.magnify[spread, None] + (1 << MAGNIFY_BITS - 1)) >> MAGNIFY_BITS
        x = np.clip(scaled, INPUTS.low, INPUTS.high).astype(np.float32)
        error = int(quarter_octaves(np.array(max_error + 1)))

        total = exact_matmul(x, self.enter.weight)
        total += self.enter.bias + self.error[error]
        total += self.spread[spread]
        total += self.prediction[prediction >> PREDICTION_BITS]
        distances = places.row, places.column, canvas.width[places.image] - 1 - places.column
        for table, distance in zip(self.positions, distances, strict=True):
            total += table[np.minimum(distance, EDGES - 1)]
        h = requantize(total, ACTIVATIONS)
        for layer in self.middle:
            h = layer(h, ACTIVATIONS)
        out = exact_matmul(h, self.head.weight)
        out += self.head.bias + self.head_error[error]
        out += self.head_spread[spread]
        logit, moved, scale = np.split(requantize(out, HEAD).astype(np.int64), 3, axis=1)

        moved = moved + self.linear(x, Range(-SUM_MAX, SUM_MAX)).astype(np.int64)
        moved = (moved * self.amplitude[spread, None] + (1 << AMPLITUDE_BITS - 1)) >> AMPLITUDE_BITS
        mean = np.clip((prediction[:, None] << MEAN_BITS) + moved, MEAN.low, MEAN.high)
        scale = np.clip((scale + (1 << SCALE_BITS - 1)) >> SCALE_BITS, 0, len(self.shape.inverse_scale) - 1)
        behind = logit.max(axis=1, keepdims=True) - logit
        share = OCTAVES.take(behind, mode="clip")
        weight = (share << WEIGHT_BITS) // share.sum(axis=1, keepdims=True)
        return Mixtures(self.shape, level_table(max_error)[0], weight, mean, scale)


_NEAREST = [WINDOW.index(offset) for offset in NEAREST]
_LEFT, _ABOVE, _ABOVE_LEFT = (WINDOW.index(offset) for offset in ((0, -1), (-1, 0), (-1, -1)))


def _predict(around: Integers) -> Integers:
    """The median prediction of pixels, given their windows. Source: Weinberger et al. 2000 (LOCO-I, JPEG-LS)."""
    left, above, corner = around[:, _LEFT], around[:, _ABOVE], around[:, _ABOVE_LEFT]
    low, high = np.minimum(left, above), np.maximum(left, above)
    median = np.where(corner >= high, low, np.where(corner <= low, high, left + above - corner))
    without_left = np.where(above == UNKNOWN, FIRST, above)
    return np.where(left == UNKNOWN, without_left, np.where(above == UNKNOWN, left, median))


def _largest(*tables: Floats) -> Numbers:
    """The largest magnitude of a sum of one row of each table, by output."""
    total: Numbers = np.sum([np.abs(table).max(axis=0).astype(np.float64) for table in tables], axis=0)
    return total
