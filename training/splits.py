"""Load images and split them into training images and held-out images, all of 28x28 pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mnistzip.errors import ImageError
from mnistzip.io.readers import load as load_images
from mnistzip.tiling import TILE, to_tiles
from mnistzip.types import Pixels

HELD_OUT = 5000  # for measuring and tuning, never for training; one in ten of fewer than 50,000 images
IMAGES_MIN = 100
FEW = 500  # with fewer a model overfits


@dataclass(frozen=True)
class Split:
    """Training and held-out images, uint8 of shape ``(N, 1, 28, 28)``."""

    train: Tensor
    held_out: Tensor

    def to(self, device: torch.device) -> Split:
        """The same images on a device."""
        return Split(self.train.to(device), self.held_out.to(device))


def load(
    source: str,
    *,
    fit: str = "tile",
    convert: bool = False,
    draw: int | None = None,
    min_images: int = 10,
    log: Callable[[str], None] = lambda _: None,
) -> Split:
    """Read images and hold some of them out.

    Args:
        source: argument of :func:`mnistzip.io.readers.load`: files, folders, IDX, arrays, archives, Parquet, or the name of a
            torchvision data set such as ``MNIST``. Its training part is downloaded into ``~/.cache/mnistzip``.
        fit: conversion of images of other sizes than 28x28: ``tile`` cuts them into tiles as the codec does, ``crop`` uses
            the middle, ``resize`` scales them.
        convert: convert colour, transparency and 16 bits to 8-bit grey instead of refusing them.
        draw: seed for a random choice of the held-out images, as images may be sorted. None holds out the last ones.
        min_images: minimum number of images.
        log: receives messages on images of other sizes and on small data sets.

    Raises:
        ImageError: too few images, or all images are equal.
        ModelError: the source is the name of a data set and torchvision is missing or does not contain it.
    """
    images = fitted(load_images([source], convert=convert, train=True).images, fit, log)
    _require_enough(images, source, min_images, log)
    if draw is not None:
        images = images[np.random.default_rng(draw).permutation(len(images))]
    held_out = min(HELD_OUT, len(images) // 10)
    tensor = torch.from_numpy(images).unsqueeze(1)
    return Split(tensor[:-held_out], tensor[-held_out:])


def load_pictures(source: str, *, convert: bool, draw: int, min_images: int, log: Callable[[str], None]) -> list[Pixels]:
    """Read images as they are, in random order; arguments and errors are those of :func:`load`."""
    images = load_images([source], convert=convert, train=True).images
    _require_enough(images, source, min_images, log)
    return [images[k] for k in np.random.default_rng(draw).permutation(len(images)).tolist()]


def _require_enough(images: Sequence[Pixels] | Pixels, source: str, min_images: int, log: Callable[[str], None]) -> None:
    """Raise :class:`~mnistzip.errors.ImageError` if there are too few images, or if all are equal."""
    if len(images) < min_images:
        raise ImageError(f"{source} has {len(images)} images: too few to train on, the minimum is {min_images}")
    if all(np.array_equal(image, images[0]) for image in images):
        raise ImageError(f"all {len(images)} images of {source} are the same: a model needs different images")
    if len(images) < FEW:
        log(f"{len(images)} images are few: with fewer than {FEW} the model may compress other images badly")


def fitted(images: Sequence[Pixels], fit: str, log: Callable[[str], None]) -> Pixels:
    """Convert images of any size to 28x28 pixels: (N, 28, 28). ``log`` receives a message if any had another size."""
    sizes = Counter(image.shape for image in images)
    if set(sizes) == {(TILE, TILE)}:
        return np.stack(images)
    common = ", ".join(f"{width}x{height} ({count})" for (height, width), count in sizes.most_common(3))
    conversion = {
        "tile": f"cut into tiles of {TILE}x{TILE}, edges repeated, as the codec cuts them",
        "crop": f"cropped to the {TILE}x{TILE} in their middle, edges repeated where they are smaller",
        "resize": f"resized to {TILE}x{TILE}: resize the images that you compress as well",
    }[fit]
    log(f"images of {len(sizes)} size{'s' * (len(sizes) > 1)}, most often {common}, are {conversion}")
    if fit == "tile":
        return np.concatenate([to_tiles(image) for image in images])
    convert = _middle if fit == "crop" else _resized
    return np.stack([convert(image) for image in images])


def _middle(image: Pixels) -> Pixels:
    """The middle of an image, (28, 28). Smaller images are padded by repeating their edges."""
    missing = [max(0, TILE - side) for side in image.shape]
    padded = np.pad(image, [(count // 2, count - count // 2) for count in missing], mode="edge")
    top, left = ((side - TILE) // 2 for side in padded.shape)
    return padded[top : top + TILE, left : left + TILE]


def _resized(image: Pixels) -> Pixels:
    """The image scaled to (28, 28)."""
    return np.asarray(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS))
