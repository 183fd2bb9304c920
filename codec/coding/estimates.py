"""Cheap estimates of what a model would make of an image, before it is tried.

What MNIST's digits have in common tells whether an image is one. Pixels that differ from their neighbours bound the bytes of
lossless coding from below, for nearly all images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.tiling import TILE, by_shape, differences
from mnistzip.types import Pixels

SOLID = 250  # grey levels from here on are ink throughout, in a digit that was made from a bitmap

# What MNIST's digits have in common. Shares are least and greatest values.
DIGIT_INK = (0.05, 0.36)  # share of the pixels that are not black
DIGIT_GREY = 0.95  # least share of these that are not white


def edge_pixels(image: Pixels) -> int:
    """Pixels of a digit that are neither black nor ink throughout."""
    return int(np.count_nonzero((image > 0) & (image < SOLID)))


def changed_pixels(images: Sequence[Pixels]) -> list[int]:
    """How many pixels of each image differ from the prediction by their neighbours, for the best of three simple rules."""
    least = np.zeros(len(images), np.int64)
    for indices, stack in by_shape(images):
        changes = np.empty((3, *stack.shape), np.uint8)
        differences(stack, changes[0], 1)
        differences(stack, changes[1], 2)
        differences(changes[0], changes[2], 2)
        least[indices] = (changes != 0).reshape(3, len(stack), -1).sum(axis=2).min(axis=0)
    return least.tolist()


def looks_like_a_digit(image: Pixels) -> bool:
    """Whether an image has what MNIST's digits have in common: 28x28, a black border, grey strokes of a certain area."""
    if image.shape != (TILE, TILE) or image[0].any() or image[-1].any() or image[:, 0].any() or image[:, -1].any():
        return False
    ink = int(np.count_nonzero(image))
    grey = ink - int(np.count_nonzero(image == 255))
    return DIGIT_INK[0] <= ink / image.size <= DIGIT_INK[1] and grey >= DIGIT_GREY * ink


def is_mnist(model: Model) -> bool:
    """Whether a model is the shipped model ``mnist``."""
    return model.number == registry.SHIPPED[registry.DIGITS]
