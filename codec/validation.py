"""Checks of arguments: images, labels and indices as numpy, Pillow and other libraries hold them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistzip.errors import ImageError, OptionError
from mnistzip.limits import PIXELS_MAX, SIDE_MAX
from mnistzip.types import Pixels

LABEL_MIN, LABEL_MAX = -(1 << 63), (1 << 63) - 1


def as_image(image: ArrayLike, index: int) -> Pixels:
    """An image as contiguous uint8 of shape ``(H, W)``.

    Args:
        image: anything that numpy converts to such an array, or a greyscale Pillow image of 8 bits.
        index: position of the image among the arguments, for the error.

    Raises:
        ImageError: anything else, or an image that is too large; the message names ``index``.
    """
    where = f"image {index}" if index else "the image"
    try:
        array = _levels(image, where) if _is_pillow(image) else np.asarray(image)
    except (ValueError, TypeError, RuntimeError) as cause:  # rows of several lengths, a tensor that is learned
        raise ImageError(f"{where} is no array: {cause}") from cause
    if array.ndim != 2:
        hint = "give a greyscale image of shape (height, width)"
        if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
            hint += ", without the axis of length 1"
        raise ImageError(f"{where} has shape {array.shape}: {hint}")
    if array.dtype != np.uint8:
        raise ImageError(f"{where} holds {array.dtype}: convert it to uint8 in 0..255 first")
    if not array.size or max(array.shape) > SIDE_MAX or array.size > PIXELS_MAX:
        limits = f"sides of 1..{SIDE_MAX} and at most {PIXELS_MAX} pixels"
        raise ImageError(f"{where} is {array.shape[1]}x{array.shape[0]}: the format takes {limits}")
    return np.ascontiguousarray(array)


def _is_pillow(image: object) -> bool:
    """Whether an object is an image of Pillow, found without importing Pillow."""
    if isinstance(image, np.ndarray):
        return False
    return hasattr(image, "getpalette") and any(kind.__module__ == "PIL.Image" for kind in type(image).__mro__)


def _levels(image: Any, where: str) -> NDArray[Any]:
    """The grey levels of an image of Pillow, of modes that have 8 bits of grey without loss."""
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8) * np.uint8(255)
    if image.mode == "P" and not image.has_transparency_data:
        indices = np.asarray(image)
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        used = np.flatnonzero(np.bincount(indices.ravel()))
        if used.size and used[-1] < len(palette) and (palette[used] == palette[used, :1]).all():
            return palette[:, 0][indices]
    if image.mode.startswith(("I", "F")):
        raise ImageError(f"{where} is a Pillow image of mode {image.mode}: scale its levels to uint8 in 0..255 first")
    colours = "mode P with colours or transparency" if image.mode == "P" else f"mode {image.mode}"
    raise ImageError(f"{where} is a Pillow image of {colours}: give image.convert('L')")


def as_integer(value: object) -> int:
    """A Python int of an integer: of Python or numpy, or of an array or tensor without dimensions.

    Raises:
        TypeError: anything else; a bool too.
    """
    if type(value) is int:
        return value
    if not hasattr(value, "__index__") and hasattr(value, "__array__"):
        value = np.asarray(value)
    if isinstance(value, bool) or getattr(value, "shape", None) or str(getattr(value, "dtype", "")).endswith("bool"):
        raise TypeError(f"{value!r} is no integer")
    return operator.index(value)  # type: ignore[arg-type]


def as_index(index: object, count: int) -> int:
    """The position of an item among ``count``, 0 or more. Negative indices count from the end.

    Raises:
        OptionError: no integer.
        IndexError: the index is outside the items.
    """
    try:
        position = as_integer(index)
    except TypeError as cause:
        raise OptionError(f"{_short(index)} is no index of an image: give a whole number") from cause
    if not -count <= position < count:
        raise IndexError(f"image {position} of an archive of {count}")
    return position % count


def as_label(label: object, index: int) -> int:
    """The label of an image.

    Raises:
        OptionError: no integer of 64 bits; the message names ``index``.
    """
    try:
        number = as_integer(label)
    except TypeError:
        number = LABEL_MAX + 1
    if not LABEL_MIN <= number <= LABEL_MAX:
        raise OptionError(f"label {_short(label)} of image {index} is not an integer of 64 bits")
    return number


def require_one_each(what: str, values: object, images: object) -> None:
    """Refuse labels or names whose shape or length does not give one for each image.

    Raises:
        OptionError: more than one dimension, or another number than there are images.
    """
    shape = getattr(values, "shape", ())
    if len(shape) > 1:
        raise OptionError(f"{what} have shape {tuple(shape)}: give one dimension, one for each image")
    try:
        value_count, image_count = len(values), len(images)  # type: ignore[arg-type]
    except TypeError:  # an iterator
        return
    if value_count != image_count:
        raise OptionError(f"there are {value_count} {what} for {image_count} images: give one for each image")


def _short(value: object) -> str:
    """A value for an error."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:60]}..."
