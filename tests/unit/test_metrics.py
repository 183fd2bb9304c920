from __future__ import annotations

import math

import numpy as np
import pytest

import mnistzip


def test_psnr_is_what_the_textbook_says() -> None:
    a = np.zeros((2, 2), np.uint8)
    b = np.array([[0, 0], [0, 255]], np.uint8)
    assert mnistzip.mse(a, b) == 255**2 / 4
    assert mnistzip.psnr(a, b) == pytest.approx(10 * math.log10(4))
    assert mnistzip.psnr(b, b) == math.inf


def test_psnr_of_a_batch_is_that_of_the_mean_error() -> None:
    a = np.zeros((2, 1, 1), np.uint8)
    b = np.array([[[0]], [[10]]], np.uint8)
    assert mnistzip.psnr(a, b) == pytest.approx(10 * math.log10(255**2 / 50))


def test_images_of_different_shape_are_not_compared() -> None:
    with pytest.raises(mnistzip.ImageError, match="cannot be compared"):
        mnistzip.mse(np.zeros((2, 2), np.uint8), np.zeros((2, 1), np.uint8))
    with pytest.raises(mnistzip.ImageError):
        mnistzip.mse(np.zeros((0, 2), np.uint8), np.zeros((0, 2), np.uint8))


def test_floats_are_not_taken_for_grey_levels() -> None:
    with pytest.raises(mnistzip.ImageError, match="uint8"):
        mnistzip.psnr(np.full((2, 2), 0.2), np.full((2, 2), 0.9))  # type: ignore[arg-type]


def test_bits_per_pixel() -> None:
    assert mnistzip.bpp(49, 784) == 0.5
