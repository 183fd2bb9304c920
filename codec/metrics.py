"""How good and how big: MSE, PSNR and bits per pixel of 8-bit images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ImageError

PEAK = 255


def mse(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean squared error between images of the same shape, in squared grey levels.

    Raises:
        ImageError: the shapes differ, there are no pixels, or they are not uint8.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ImageError(f"images of {a.dtype} and {b.dtype} cannot be compared: convert both to uint8 in 0..255 first")
    if a.shape != b.shape or not a.size:
        raise ImageError(f"images of shape {a.shape} and {b.shape} cannot be compared: they must be equal and not empty")
    difference = a.astype(np.int64) - b.astype(np.int64)
    return float(np.square(difference).mean())


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio, ``10 * log10(255^2 / mse)``, in dB; infinity for identical images.

    For a batch of shape ``(N, H, W)`` it is the PSNR of the mean error, not the mean of the PSNRs.
    """
    return psnr_of_mse(mse(a, b))


def psnr_of_mse(error: float) -> float:
    """PSNR in dB of a mean squared error in squared grey levels."""
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def bpp(size: int, pixels: int) -> float:
    """Bits per pixel of ``size`` bytes for ``pixels`` pixels."""
    return 8 * size / pixels
