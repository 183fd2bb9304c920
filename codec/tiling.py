"""Images of any size as 28x28 tiles, row by row, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

import numpy as np

from mnistzip.types import Bools, Integers, Pixels

TILE = 28  # pixels a side
Sides = TypeVar("Sides", int, Integers)


def to_tiles(image: Pixels, beyond: Literal["edge", "constant"] = "edge") -> Pixels:
    """Cut an image into tiles, row by row: uint8 ``(H, W)`` to ``(tiles, 28, 28)``.

    Args:
        image: of any size.
        beyond: what tiles hold beyond the image: its edge pixels repeated, or zeros (``"constant"``).
    """
    height, width = image.shape
    if (height, width) == (TILE, TILE):
        return image[None]
    padded = np.pad(image, ((0, -height % TILE), (0, -width % TILE)), mode=beyond)
    rows, columns = padded.shape[0] // TILE, padded.shape[1] // TILE
    return padded.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE)


def covered(shapes: Sequence[tuple[int, ...]]) -> Bools:
    """Which pixels of their tiles images of these shapes ``(H, W)`` cover: ``(tiles, 28, 28)``."""
    by_shape = {shape: to_tiles(np.ones(shape, np.uint8), "constant") > 0 for shape in set(shapes)}
    return np.concatenate([by_shape[shape] for shape in shapes])


def from_tiles(tiles: Pixels, width: int, height: int) -> Pixels:
    """The inverse of :func:`to_tiles`."""
    rows, columns = -(-height // TILE), -(-width // TILE)
    whole = tiles.reshape(rows, columns, TILE, TILE).swapaxes(1, 2).reshape(rows * TILE, columns * TILE)
    return np.ascontiguousarray(whole[:height, :width])


def squared_error(x: Pixels, x_hat: Pixels, inside: Bools) -> Integers:
    """Squared error of each tile in squared grey levels, of the pixels inside the image: ``(N, 28, 28)`` each to ``(N,)``."""
    error: Integers = np.square((x_hat.astype(np.int64) - x) * inside).reshape(len(x), TILE * TILE).sum(axis=1)
    return error


def by_shape(images: Sequence[Pixels]) -> Iterator[tuple[Integers, Pixels]]:
    """Images of one shape together: their indices, and an array of shape ``(N, H, W)``."""
    of_shape: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        of_shape.setdefault(image.shape, []).append(index)
    for indices in of_shape.values():
        alone = len(indices) == 1
        yield np.array(indices, np.int64), images[indices[0]][None] if alone else np.stack([images[index] for index in indices])


def differences(images: Pixels, out: Pixels, axis: int) -> None:
    """Fill ``out`` with each value less the one before it along an axis, modulo 256; the one before the first is 0."""
    values, results = images.swapaxes(0, axis), out.swapaxes(0, axis)
    results[0] = values[0]
    np.subtract(values[1:], values[:-1], out=results[1:])


def tiles_in(width: Sides, height: Sides) -> Sides:
    """How many tiles cover an image of this size, or each of several."""
    return -(-width // TILE) * -(-height // TILE)


def tiles_of(image: Pixels) -> int:
    """How many tiles cover an image."""
    return tiles_in(image.shape[1], image.shape[0])
