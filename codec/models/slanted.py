"""Images coded pixel by pixel along slanted lines: the order of their pixels, and the pixels around each of them.

The pixel in row r and column c is coded in step c + s r. Pixels of a step see none of each other if no pixel of a row k above
reaches k s columns or more to the right, so a decoder computes them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from mnistzip.types import Integers

ImageShape = tuple[int, int]  # height, width
Window = tuple[tuple[int, int], ...]  # rows and columns of earlier pixels, relative to a pixel


class Places(NamedTuple):
    """Where pixels of some images are, shape ``(n,)`` each."""

    image: Integers
    row: Integers
    column: Integers

    def select(self, which: slice | Integers) -> Places:
        """Some of them."""
        return Places(*(part[which] for part in self))


def steps(shapes: Sequence[ImageShape], row_steps: int) -> tuple[Places, Integers]:
    """The pixels of images of shapes ``(H, W)``, sorted by step, image and row; and where each step begins, with the end."""
    sizes = np.array([height * width for height, width in shapes], np.int64)
    width = np.repeat(np.array([width for _, width in shapes], np.int64), sizes)
    within = np.arange(len(width)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    row, column = np.divmod(within, np.maximum(width, 1))
    step = column + row_steps * row
    order = np.argsort(step, kind="stable")  # images and rows are in order already
    places = Places(np.repeat(np.arange(len(sizes)), sizes), row, column)
    return places.select(order), np.searchsorted(step[order], np.arange(step.max(initial=-1) + 2))


def margins(window: Window) -> tuple[int, int]:
    """The rows above an image and the columns to both sides that its pixels can see."""
    return -min(row for row, _ in window), max(abs(column) for _, column in window)


def cells(shape: ImageShape, window: Window) -> int:
    """The numbers of a canvas that an image takes."""
    (height, width), (up, side) = shape, margins(window)
    return (height + up) * (width + 2 * side)


class Canvas:
    """The pixels of images of any shapes, one after the other, each with a margin.

    Attributes:
        values: of all pixels.
        height, width: of each image.
    """

    def __init__(self, shapes: Sequence[ImageShape], window: Window, margin: int, dtype: DTypeLike = np.int64) -> None:
        self._shapes = shapes
        self._up, self._side = margins(window)
        self._rows, self._columns = np.array(window).T
        self.height, self.width = np.array(shapes, np.int64).reshape(-1, 2).T
        self._stride = self.width + 2 * self._side
        self._size = np.array([cells(shape, window) for shape in shapes], np.int64)
        self._first = np.cumsum(self._size) - self._size
        self.values = np.full(int(self._size.sum()), margin, dtype)

    def index(self, places: Places) -> Integers:
        """The index of pixels."""
        row = places.row + self._up
        return self._first[places.image] + row * self._stride[places.image] + places.column + self._side

    def places_at(self, index: Integers) -> Places:
        """The pixels of indices: the inverse of :meth:`index`."""
        image = np.searchsorted(self._first, index, "right") - 1
        row, column = np.divmod(index - self._first[image], self._stride[image])
        return Places(image, row - self._up, column - self._side)

    def around(self, places: Places) -> Integers:
        """The pixels of the windows of pixels, ``(n, pixels of the window)``."""
        offsets = self._stride[places.image, None] * self._rows + self._columns
        return self.values[self.index(places)[:, None] + offsets]

    def images(self) -> list[Integers]:
        """The pixels of each image, ``(H, W)``, as views."""
        parts = zip(self._first, self._size, self._stride, self._shapes, strict=True)
        whole = [(self.values[first : first + size].reshape(-1, stride), shape) for first, size, stride, shape in parts]
        return [values[self._up :, self._side : self._side + width] for values, (_, width) in whole]
