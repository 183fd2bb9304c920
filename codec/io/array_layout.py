"""What the axes and the numbers of an array mean: which of them are images, and which grey levels the numbers are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ImageError

MNIST = 784  # pixels of an image of MNIST
FLAT_MIN = 64  # pixels of the smallest flat images that are recognized, those of scikit-learn
LONG = 8  # so many times as high as wide is no image, but a table of flat images
TOLERANCE = 1e-3  # of a grey level, that floats may be off by rounding


@dataclass(frozen=True)
class Layout:
    """How an array is read: ``(N, H, W)``, and what of that was guessed, or None."""

    shape: tuple[int, int, int]
    guess: str | None = None


def layout_of(where: object, shape: tuple[int, ...], wanted: tuple[int, int] | None = None, rows: int | None = None) -> Layout:
    """How an array of some shape is read.

    Args:
        where: for messages.
        shape: of the array.
        wanted: ``(H, W)`` that the user named.
        rows: how many labels there are for the images, if that is known.

    Raises:
        ImageError: the shape has no sensible meaning, or several; the message says what to do.
    """
    if wanted is not None:
        return _as_wanted(where, shape, wanted)
    if len(shape) == 4 and (shape[3] == 1 or shape[1] == 1):
        height, width = shape[1:3] if shape[3] == 1 else shape[2:]
        return Layout((shape[0], height, width), f"taken as {shape[0]} images of {(height, width)}")
    if len(shape) == 4 and (shape[3] in (2, 3, 4) or shape[1] in (2, 3, 4)):
        raise ImageError(f"{where} has shape {shape}: it holds colours or transparency; save grey images as uint8 (N, H, W)")
    if len(shape) == 3 and shape[1] > 1 and shape[0] > 1 and shape[2] == 1:
        read = layout_of(where, shape[:2], rows=rows)
        return Layout(read.shape, read.guess or f"taken as one image of {shape[:2]}")
    if len(shape) == 3 and shape[1] == 1 and shape[2] > 1 and _is_flat(shape[0], shape[2], rows):
        return layout_of(where, (shape[0], shape[2]), rows=rows)
    if len(shape) == 3:
        _require_images_first(where, shape)
        return Layout((shape[0], shape[1], shape[2]))
    if len(shape) == 2:
        return _table(where, shape[0], shape[1], rows)
    hint = "; if these are labels, give them by --labels" if len(shape) == 1 else ""
    raise ImageError(f"{where} has shape {shape}: give an array of (N, H, W) or (H, W), or --shape HxW for flat images{hint}")


def _as_wanted(where: object, shape: tuple[int, ...], wanted: tuple[int, int]) -> Layout:
    each = math.prod(wanted)
    rest = tuple(side for side in shape[1:] if side != 1)
    if shape == wanted:
        return Layout((1, *wanted))
    if len(shape) >= 2 and (rest in (wanted, (each,)) or tuple(shape[1:]) == wanted):
        return Layout((shape[0], *wanted))
    if len(shape) == 1 and shape[0] % each == 0:
        return Layout((shape[0] // each, *wanted))
    raise ImageError(f"{where} has shape {shape}: it does not hold images of {wanted}, as --shape {wanted[0]}x{wanted[1]} says")


def _is_flat(count: int, pixels: int, labels: int | None) -> bool:
    """Whether rows are square images in all likelihood."""
    if pixels < FLAT_MIN or math.isqrt(pixels) ** 2 != pixels or count == pixels:
        return False
    return pixels == MNIST or labels == count or count >= LONG * pixels


def _table(where: object, height: int, width: int, labels: int | None) -> Layout:
    """Of an array of two axes: flat images, or one image."""
    side = math.isqrt(width)
    one = f"--shape {height}x{width} takes one image of {(height, width)}"
    if _is_flat(height, width, labels):
        return Layout((height, side, side), f"its rows are taken as {height} images of {(side, side)}; {one}")
    if side**2 != width or width < FLAT_MIN or height == width:
        return Layout((1, height, width))
    rows = f"--shape {side}x{side} takes its rows as {height} images of {(side, side)}"
    if width >= LONG * height:
        raise ImageError(f"{where} has shape {(height, width)}, which has two meanings: {rows}, {one}")
    return Layout((1, height, width), f"taken as one image of {(height, width)}; {rows}")


def _require_images_first(where: object, shape: tuple[int, ...]) -> None:
    """Raise unless the images of an array of three axes lie along the first of them."""
    high, wide, last = shape
    as_it_is = f"--shape {wide}x{last} takes {high} images of {(wide, last)}"
    if last in (3, 4) and min(high, wide) > 4:
        raise ImageError(f"{where} has shape {shape}: it looks like one image in colours; save it as grey; {as_it_is}")
    if high == wide != last and high > 4:
        along = f"save numpy.moveaxis(x, -1, 0) if it holds {last} images of {(high, wide)}"
        raise ImageError(f"{where} has shape {shape}, which has two meanings: {along}; {as_it_is}")


@dataclass(frozen=True)
class Levels:
    """How numbers become grey levels: times ``scale``, rounded; and what of that was guessed, or None."""

    scale: float = 1.0
    guess: str | None = None

    def of(self, numbers: NDArray[Any]) -> NDArray[np.uint8]:
        """The grey levels of some numbers."""
        if numbers.dtype == np.uint8:
            return numbers.view(np.uint8)
        return np.floor(numbers.astype(np.float64) * self.scale + 0.5).astype(np.uint8)


def levels_of(where: object, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]], convert: bool) -> Levels:
    """How the numbers of an array become grey levels; all of them are looked at, unless the type says it.

    Args:
        where: for messages.
        dtype: the array's type.
        blocks: the array, part by part.
        convert: round numbers that are no whole grey levels.

    Raises:
        ImageError: numbers that are no grey levels, or are such only with ``convert``.
    """
    if dtype == np.uint8:
        return Levels()
    if dtype.kind == "b":
        return Levels(255.0, f"{dtype}: taken as the grey levels 0 and 255")
    if dtype.kind not in "iuf":
        raise ImageError(f"{where} holds {dtype}: give numbers, best as uint8")
    low, high, whole, exact = _looked_at(where, dtype, blocks)
    if low < 0:
        raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}: give grey levels of 0 to 255, best as uint8")
    as_they_are = Levels(1.0, f"{dtype} from {low:g} to {high:g}: taken as grey levels, 0 as black and 255 as white")
    unit = Levels(255.0, f"{dtype} from {low:g} to {high:g}: 0 is taken as black, 1 as white")
    if dtype.kind != "f":
        if high <= 255:
            return as_they_are
        if dtype.kind == "u" and dtype.itemsize == 2 and convert:
            return Levels(255 / 65535, f"{dtype} from {low:g} to {high:g}: 0 is taken as black, 65535 as white")
        way = "--convert takes 65535 as white" if dtype.kind == "u" and dtype.itemsize == 2 else "scale them to 0 to 255 first"
        raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}, which are no grey levels of 8 bits: {way}")
    if high > 255:
        raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}: scale them to 0 to 255 or to 0 to 1 first")
    if (exact if high <= 1 else whole) or convert:
        return unit if high <= 1 else as_they_are
    way = "--convert rounds them, with " + ("1" if high <= 1 else "255") + " as white"
    raise ImageError(f"{where} holds {dtype} from {low:g} to {high:g}, which are no whole grey levels: {way}")


def _looked_at(where: object, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]) -> tuple[float, float, bool, bool]:
    """The least and the greatest number, whether all are whole, and whether all are whole in units of 1/255."""
    low, high, whole, exact = math.inf, -math.inf, True, True
    tolerance = max(TOLERANCE, 255 * float(np.finfo(dtype).eps)) if dtype.kind == "f" else 0.0
    for block in blocks:
        if not block.size:
            continue
        if dtype.kind == "f":
            if not np.isfinite(block).all():
                raise ImageError(f"{where} holds numbers that are not finite: give grey levels of 0 to 255, best as uint8")
            numbers = block.astype(np.float64)
            whole = whole and bool((numbers == np.floor(numbers)).all())
            exact = exact and bool((abs(numbers * 255 - np.round(numbers * 255)) <= tolerance).all())
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return (low, high, whole, exact) if low <= high else (0.0, 0.0, True, True)
