"""Read images and split them into training and held-out images."""

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

HELD_OUT = 5000  # images for measurements and tuning, never for training; one in ten of fewer than 50,000
IMAGES_MIN = 100  # for mnistzip train
IMAGES_FEW = 500  # with fewer, a model overfits
FITS = ("tile", "crop", "resize")


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
        source: an argument of :func:`mnistzip.io.readers.load`: files, folders, IDX, arrays, archives, Parquet, or the name of
            a torchvision data set such as ``MNIST``, whose training part is downloaded into ``~/.cache/mnistzip``.
        fit: treatment of images of other sizes than 28x28: ``tile`` cuts them as the codec does, ``crop`` keeps the middle,
            ``resize`` scales them.
        convert: convert colour, transparency and 16 bits to 8-bit grey instead of refusing them.
        draw: seed to draw the held-out images at random, for images that may be sorted; None holds the last ones out.
        min_images: least number of images.
        log: called with messages for the user.

    Raises:
        ImageError: too few images, or all of them the same.
        ModelError: ``source`` names a data set, but torchvision is missing or does not have it.
    """
    images = load_images([source], convert=convert, train=True).images
    pixels = fit_images(images, fit, log)
    if len(pixels) < min_images:
        raise ImageError(
            f"{source} has {len(pixels)} images: too few to train on, {min_images} are needed and {IMAGES_FEW} are few"
        )
    if (pixels == pixels[0]).all():
        raise ImageError(f"all {len(pixels)} images of {source} are the same: there is nothing to learn")
    if len(pixels) < IMAGES_FEW:
        log(f"{len(pixels)} images are few: with less than {IMAGES_FEW} the model may not do well on others")
    if draw is not None:
        pixels = pixels[np.random.default_rng(draw).permutation(len(pixels))]
    held_out = min(HELD_OUT, len(pixels) // 10)
    whole = torch.from_numpy(pixels).unsqueeze(1)
    return Split(whole[:-held_out], whole[-held_out:])


def fit_images(images: Sequence[Pixels], fit: str, log: Callable[[str], None]) -> Pixels:
    """Turn images of any sizes into images of 28x28: (N, 28, 28)."""
    sizes = Counter(image.shape for image in images)
    if set(sizes) == {(TILE, TILE)}:
        return np.stack(images)
    common = ", ".join(f"{width}x{height} ({count})" for (height, width), count in sizes.most_common(3))
    treatment = {
        "tile": f"cut into tiles of {TILE}x{TILE}, edges repeated, as the codec cuts them",
        "crop": f"cropped to the {TILE}x{TILE} in their middle, edges repeated where they are smaller",
        "resize": f"resized to {TILE}x{TILE}: resize what you compress as well",
    }[fit]
    log(f"images of {len(sizes)} size{'s' * (len(sizes) > 1)}, most often {common}, are {treatment}")
    if fit == "tile":
        return np.concatenate([to_tiles(image) for image in images])
    convert = _middle if fit == "crop" else _resized
    return np.stack([convert(image) for image in images])


def _middle(image: Pixels) -> Pixels:
    """The middle of an image, whose edges are repeated if it is too small: (28, 28)."""
    missing = [max(0, TILE - side) for side in image.shape]
    whole = np.pad(image, [(pixels // 2, pixels - pixels // 2) for pixels in missing], mode="edge")
    top, left = ((side - TILE) // 2 for side in whole.shape)
    return whole[top : top + TILE, left : left + TILE]


def _resized(image: Pixels) -> Pixels:
    """An image scaled to (28, 28)."""
    return np.asarray(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS))
