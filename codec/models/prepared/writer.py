"""The records and arrays of a prepared model."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzip.models.stored_models import ALIGNMENT, RECORD
from mnistzip.nn.exact import Affine, Range, integers_of, shifts_of
from mnistzip.types import Floats

MAGIC = 0x4D4E5A50
BLOCK = 16
NARROW = Range(-(1 << 15), (1 << 15) - 1)

Ints = NDArray[np.int64]


class Use(Enum):
    """What an array of a prepared model is for."""

    CODING = "coding"
    SEARCH = "search"  # gradients
    PIXELS = "pixels"  # the pixel model


class Section(NamedTuple):
    """A record or an array of a prepared model, of int16 or int32."""

    use: Use
    values: NDArray[Any]


class Writer:
    """Appends records and arrays, aligned."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._parts: list[bytes] = []
        self.sections: list[Section] = []
        self.use = Use.CODING  # of the arrays that follow

    def record(self, *fields: int) -> None:
        """Numbers of a record; the rest is 0."""
        self._add(np.array([*fields, *[0] * (RECORD - len(fields))]), "i4")

    def numbers(self, values: NDArray[Any]) -> None:
        """An array of integers."""
        self._add(values, "i4")

    def matrix(self, weight: Ints | Floats, wide: bool) -> None:
        """A matrix of integers, of shape ``(runs, inputs, outputs)``."""
        runs, inputs, outputs = weight.shape
        shape = runs, inputs if wide else even(inputs), -(-outputs // BLOCK) * BLOCK
        padded = np.zeros(shape, np.int32 if wide else np.int16)
        padded[:, :inputs, :outputs] = weight
        if wide:
            self._add(padded, "i4")
        else:
            pairs = padded.reshape(runs, padded.shape[1] // 2, 2, padded.shape[2] // BLOCK, BLOCK)
            self._add(pairs.transpose(3, 0, 1, 4, 2), "i2")

    def gradient(self, weight: Ints | Floats, wide: bool) -> None:
        """The matrix of a gradient."""
        self.use = Use.SEARCH
        self.matrix(weight, wide)
        self.use = Use.CODING

    def paired(self, weight: Ints) -> None:
        """A depthwise convolution, ``(rows, columns, channels)``: two input rows together, for two output rows.

        An output row takes the input rows in the pairs 0 and 1, 2 and 3, ..., the one below it as none and 0, 1 and 2, ...; the
        layout is ``(blocks, pairs, columns, 2, 16, 2)`` of int16.
        """
        rows, columns, channels = weight.shape
        both = np.zeros((2, rows + 1, columns, -(-channels // BLOCK) * BLOCK), np.int64)
        both[0, :-1, :, :channels] = both[1, 1:, :, :channels] = weight
        pairs = both.reshape(2, (rows + 1) // 2, 2, columns, -1, BLOCK)
        self._add(pairs.transpose(4, 1, 3, 0, 5, 2), "i2")

    def rows(self, table: Ints) -> None:
        """Numbers whose last axis is padded by zeros to whole blocks of outputs."""
        self.numbers(np.pad(table, [(0, 0)] * (table.ndim - 1) + [(0, -table.shape[-1] % BLOCK)]))

    def finish(self) -> bytes:
        """All parts, with their size in the third number of the first record."""
        head, size = self._parts[0], sum(map(len, self._parts))
        return b"".join([head[:8], np.array([size], f"{self._order}u4").tobytes(), head[12:], *self._parts[1:]])

    def _add(self, values: NDArray[Any], kind: str) -> None:
        dtype = np.dtype(f"{self._order}{kind}")
        content = values.astype(dtype).tobytes()
        self.sections.append(Section(self.use, np.frombuffer(content, dtype).reshape(values.shape)))
        self._parts += [content, bytes(-len(content) % ALIGNMENT)]


def is_wide(*weights: Ints | Floats, peak: int = 0) -> bool:
    """Whether weights, or inputs of this magnitude, need more than 16 bits."""
    low = min((int(weight.min(initial=0)) for weight in weights), default=0)
    high = max((int(weight.max(initial=0)) for weight in weights), default=0)
    return low < NARROW.low or high > NARROW.high or peak > NARROW.high


def even(number: int) -> int:
    """A number of inputs, rounded up to pairs."""
    return -(-number // 2) * 2


def affine_weight(layer: Affine) -> Ints:
    """The integer weights of a layer, ``(inputs, outputs)``."""
    return integers_of(layer.weight, layer.unit)


def write_dense(writer: Writer, layer: Affine, wide: bool, quality_bias: Floats | None = None) -> None:
    """A layer, whose bias may have a row for each quality."""
    bias = layer.bias if quality_bias is None else layer.bias + quality_bias.astype(np.float64)
    writer.matrix(affine_weight(layer)[None], wide)
    writer.rows(integers_of(bias, layer.unit))
    writer.numbers(shifts_of(layer.unit))
