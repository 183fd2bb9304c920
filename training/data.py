"""Images to train on, and those held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnistzip.data.sources import load as load_images
from mnistzip.errors import ImageError
from mnistzip.transform import TILE

HELD_OUT = 5000  # the last so many images are for choosing and tuning, never for training


@dataclass(frozen=True)
class Split:
    """Training and held-out images, uint8 of shape ``(N, 1, 28, 28)``."""

    train: Tensor
    held_out: Tensor


def load(source: str, held_out: int = HELD_OUT) -> Split:
    """Read ``source`` and hold the last images out.

    Args:
        source: path of an IDX file of images (``.gz`` too), or the name of a torchvision data set such as ``MNIST``, whose
            training part is downloaded into ``~/.cache/mnistzip``.

    Raises:
        ImageError: not 28x28, or too few images to hold any out.
        ModelError: a data set's name is given but torchvision is missing or does not have it.
    """
    images = load_images([source], train=True).images
    for index, image in enumerate(images):
        if image.shape != (TILE, TILE):
            raise ImageError(f"image {index} of {source} has shape {image.shape}, not ({TILE}, {TILE})")
    held_out = min(held_out, len(images) // 10)
    if not held_out:
        raise ImageError(f"{source} has {len(images)} images: too few to hold one in ten out")
    every = torch.from_numpy(np.stack(images)).unsqueeze(1)
    return Split(every[:-held_out], every[-held_out:])
