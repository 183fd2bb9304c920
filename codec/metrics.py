"""Measures of 8-bit images: mean squared error, PSNR and bits per pixel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ImageError

PEAK = 255  # the largest grey level


def mse(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean squared error of two arrays, in squared grey levels.

    Args:
        a, b: uint8 of the same shape, such as ``(H, W)`` or ``(N, H, W)``, with at least one pixel.

    Raises:
        ImageError: the shapes differ, there are no pixels, or an array is not uint8.

    Example:
        >>> import numpy as np
        >>> mse(np.array([[0, 3]], np.uint8), np.array([[0, 5]], np.uint8))
        2.0
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ImageError(f"images of {a.dtype} and {b.dtype} cannot be compared: convert both to uint8 in 0..255 first")
    if a.shape != b.shape or not a.size:
        raise ImageError(f"images of shape {a.shape} and {b.shape} cannot be compared: they must be equal and not empty")
    difference = a.astype(np.int64) - b.astype(np.int64)
    return float(np.square(difference).mean())


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two arrays, ``10 * log10(255^2 / mse)``, in dB.

    The result is infinite for identical arrays. For a batch of shape ``(N, H, W)`` it is the PSNR of the mean squared error of
    the batch, not the mean of the images' PSNRs.

    Args:
        a, b: as for :func:`mse`.

    Raises:
        ImageError: as for :func:`mse`.

    Example:
        >>> import numpy as np
        >>> white, black = np.full((28, 28), 255, np.uint8), np.zeros((28, 28), np.uint8)
        >>> psnr(white, black), psnr(white, white)
        (0.0, inf)
    """
    return psnr_of_mse(mse(a, b))


def psnr_of_mse(error: float) -> float:
    """PSNR in dB of a mean squared error in squared grey levels; infinite for 0."""
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def bpp(size: int, pixels: int) -> float:
    """Bits per pixel of a file.

    Args:
        size: bytes of the file.
        pixels: number of pixels that it codes, above 0.

    Example:
        >>> bpp(98, 28 * 28)
        1.0
    """
    return 8 * size / pixels
