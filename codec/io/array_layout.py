"""The meaning of an array: which of its axes are images, and which grey levels its numbers are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ImageError

MNIST_PIXELS = 784
FLAT_MIN = 64  # pixels of the smallest flat images that are recognized: those of scikit-learn
TABLE_RATIO = 8  # an array that is this many times higher than wide is a table of flat images
TOLERANCE = 1e-3  # grey levels; rounding error of floats


@dataclass(frozen=True)
class Layout:
    """How an array is read.

    Attributes:
        shape: ``(N, H, W)``.
        guess: a message about what was guessed, or None.
    """

    shape: tuple[int, int, int]
    guess: str | None = None


def layout_of(
    where: object, shape: tuple[int, ...], image_shape: tuple[int, int] | None = None, labels: int | None = None
) -> Layout:
    """How an array of a given shape is read.

    Args:
        where: for messages.
        shape: of the array.
        image_shape: ``(H, W)`` from the user, or None.
        labels: how many labels there are for the images, or None.

    Raises:
        ImageError: the shape has no meaning, or several; the message names the options that help.
    """
    if image_shape is not None:
        return _with_image_shape(where, shape, image_shape)
    if len(shape) == 4 and (shape[3] == 1 or shape[1] == 1):
        height, width = shape[1:3] if shape[3] == 1 else shape[2:]
        return Layout((shape[0], height, width), f"reading it as {shape[0]} images of {(height, width)}")
    if len(shape) == 4 and (shape[3] in (2, 3, 4) or shape[1] in (2, 3, 4)):
        raise ImageError(f"{where} has shape {shape}: it holds colours or transparency; save grey images as uint8 (N, H, W)")
    if len(shape) == 3 and shape[1] > 1 and shape[0] > 1 and shape[2] == 1:
        flat = layout_of(where, shape[:2], labels=labels)
        return Layout(flat.shape, flat.guess or f"reading it as one image of {shape[:2]}")
    if len(shape) == 3 and shape[1] == 1 and shape[2] > 1 and _is_flat(shape[0], shape[2], labels):
        return layout_of(where, (shape[0], shape[2]), labels=labels)
    if len(shape) == 3:
        _require_images_first(where, shape)
        return Layout((shape[0], shape[1], shape[2]))
    if len(shape) == 2:
        return _table(where, shape[0], shape[1], labels)
    hint = "; give labels with --labels" if len(shape) == 1 else ""
    raise ImageError(
        f"{where} has shape {shape}: give an array of shape (N, H, W) or (H, W), or --shape HxW for flat images{hint}"
    )


def _with_image_shape(where: object, shape: tuple[int, ...], image_shape: tuple[int, int]) -> Layout:
    pixels = math.prod(image_shape)
    rest = tuple(side for side in shape[1:] if side != 1)
    if shape == image_shape:
        return Layout((1, *image_shape))
    if len(shape) >= 2 and (rest in (image_shape, (pixels,)) or tuple(shape[1:]) == image_shape):
        return Layout((shape[0], *image_shape))
    if len(shape) == 1 and shape[0] % pixels == 0:
        return Layout((shape[0] // pixels, *image_shape))
    height, width = image_shape
    raise ImageError(f"{where} has shape {shape}: it does not hold images of --shape {height}x{width}")


def _is_flat(count: int, pixels: int, labels: int | None) -> bool:
    """Whether rows are probably square images."""
    if pixels < FLAT_MIN or math.isqrt(pixels) ** 2 != pixels or count == pixels:
        return False
    return pixels == MNIST_PIXELS or labels == count or count >= TABLE_RATIO * pixels


def _table(where: object, height: int, width: int, labels: int | None) -> Layout:
    """An array of two axes: flat images, or one image."""
    side = math.isqrt(width)
    one = f"--shape {height}x{width} reads one image of {(height, width)}"
    if _is_flat(height, width, labels):
        return Layout((height, side, side), f"reading its rows as {height} images of {(side, side)}; {one}")
    if side**2 != width or width < FLAT_MIN or height == width:
        return Layout((1, height, width))
    rows = f"--shape {side}x{side} reads its rows as {height} images of {(side, side)}"
    if width >= TABLE_RATIO * height:
        raise ImageError(f"{where} has shape {(height, width)}, which has two meanings: {rows}, {one}")
    return Layout((1, height, width), f"reading it as one image of {(height, width)}; {rows}")


def _require_images_first(where: object, shape: tuple[int, ...]) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` unless the first of three axes counts the images."""
    high, wide, last = shape
    as_it_is = f"--shape {wide}x{last} reads {high} images of {(wide, last)}"
    if last in (3, 4) and min(high, wide) > 4:
        raise ImageError(f"{where} has shape {shape}: it looks like one colour image; save it as grey; {as_it_is}")
    if high == wide != last and high > 4:
        along = f"save numpy.moveaxis(x, -1, 0) if it holds {last} images of {(high, wide)}"
        raise ImageError(f"{where} has shape {shape}, which has two meanings: {along}; {as_it_is}")


@dataclass(frozen=True)
class Levels:
    """How numbers become grey levels.

    Attributes:
        scale: factor of the numbers, which are then rounded.
        guess: a message about what was guessed, or None.
    """

    scale: float = 1.0
    guess: str | None = None

    def of(self, numbers: NDArray[Any]) -> NDArray[np.uint8]:
        """The grey levels of numbers of any shape."""
        if numbers.dtype == np.uint8:
            return numbers.view(np.uint8)
        return np.floor(numbers.astype(np.float64) * self.scale + 0.5).astype(np.uint8)


def levels_of(where: object, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]], convert: bool) -> Levels:
    """How the numbers of an array become grey levels. It reads all numbers, unless the type says enough.

    Args:
        where: for messages.
        dtype: the type of the array.
        blocks: parts of the array.
        convert: round numbers that are not integer grey levels.

    Raises:
        ImageError: the numbers are not grey levels, or only with ``convert``.
    """
    if dtype == np.uint8:
        return Levels()
    if dtype.kind == "b":
        return Levels(255.0, f"{dtype}: reading it as the grey levels 0 and 255")
    if dtype.kind not in "iuf":
        raise ImageError(f"{where} holds {dtype}: give numbers, preferably uint8")
    low, high, whole, exact = _statistics(where, dtype, blocks)
    if low < 0:
        raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}: give grey levels of 0 to 255, preferably uint8")
    as_they_are = Levels(1.0, f"{dtype} from {low:g} to {high:g}: reading them as grey levels, 0 as black and 255 as white")
    unit = Levels(255.0, f"{dtype} from {low:g} to {high:g}: reading 0 as black, 1 as white")
    if dtype.kind != "f":
        if high <= 255:
            return as_they_are
        if dtype.kind == "u" and dtype.itemsize == 2 and convert:
            return Levels(255 / 65535, f"{dtype} from {low:g} to {high:g}: reading 0 as black, 65535 as white")
        way = "--convert reads 65535 as white" if dtype.kind == "u" and dtype.itemsize == 2 else "scale them to 0 to 255 first"
        raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}, which are not 8-bit grey levels: {way}")
    if high > 255:
        raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}: scale them to 0 to 255 or to 0 to 1 first")
    if (exact if high <= 1 else whole) or convert:
        return unit if high <= 1 else as_they_are
    way = "--convert rounds them, with " + ("1" if high <= 1 else "255") + " as white"
    raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}, which are not integer grey levels: {way}")


def _statistics(where: object, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]) -> tuple[float, float, bool, bool]:
    """Minimum, maximum, whether all numbers are integers, and whether all are multiples of 1/255."""
    low, high, whole, exact = math.inf, -math.inf, True, True
    tolerance = max(TOLERANCE, 255 * float(np.finfo(dtype).eps)) if dtype.kind == "f" else 0.0
    for block in blocks:
        if not block.size:
            continue
        if dtype.kind == "f":
            if not np.isfinite(block).all():
                raise ImageError(f"{where} holds numbers that are not finite: give grey levels of 0 to 255, preferably uint8")
            numbers = block.astype(np.float64)
            whole = whole and bool((numbers == np.floor(numbers)).all())
            exact = exact and bool((abs(numbers * 255 - np.round(numbers * 255)) <= tolerance).all())
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return (low, high, whole, exact) if low <= high else (0.0, 0.0, True, True)
