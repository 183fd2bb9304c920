"""Images to train on, and those held out."""

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

HELD_OUT = 5000  # images for choosing and tuning, never for training; of fewer than ten times as many, one in ten
FEWEST = 100
FEW = 500  # with fewer a model learns them by heart rather than what they have in common
FITS = ("tile", "crop", "resize")


@dataclass(frozen=True)
class Split:
    """Training and held-out images, uint8 of shape ``(N, 1, 28, 28)``."""

    train: Tensor
    held_out: Tensor

    def to(self, device: torch.device) -> Split:
        """The same images in a device's memory."""
        return Split(self.train.to(device), self.held_out.to(device))


def load(
    source: str,
    *,
    fit: str = "tile",
    convert: bool = False,
    draw: int | None = None,
    fewest: int = 10,
    log: Callable[[str], None] = lambda _: None,
) -> Split:
    """Read ``source`` and hold some images out.

    Args:
        source: what :func:`mnistzip.io.readers.load` takes: files, folders, IDX, arrays, archives, Parquet, or the name of a
            torchvision data set such as ``MNIST``, whose training part is downloaded into ``~/.cache/mnistzip``.
        fit: what is done to images of other sizes than 28x28: ``tile`` cuts them up as the codec will, ``crop`` takes their
            middle, ``resize`` scales them.
        convert: take colour, transparency and 16 bits as 8-bit grey instead of refusing them.
        draw: seed by which the images to hold out are drawn, as they may be sorted; None holds the last ones out.
        fewest: so many images are needed.
        log: told what is done to images of other sizes, and what is odd about them.

    Raises:
        ImageError: too few images, or all of them the same.
        ModelError: a data set's name is given but torchvision is missing or does not have it.
    """
    images = load_images([source], convert=convert, train=True).images
    every = fitted(images, fit, log)
    if len(every) < fewest:
        raise ImageError(f"{source} has {len(every)} images: too few to train on, {fewest} are needed and {FEW} are few")
    if (every == every[0]).all():
        raise ImageError(f"all {len(every)} images of {source} are the same: there is nothing to learn")
    if len(every) < FEW:
        log(f"{len(every)} images are few: with less than {FEW} the model may not do well on others")
    if draw is not None:
        every = every[np.random.default_rng(draw).permutation(len(every))]
    held_out = min(HELD_OUT, len(every) // 10)
    whole = torch.from_numpy(every).unsqueeze(1)
    return Split(whole[:-held_out], whole[-held_out:])


def fitted(images: Sequence[Pixels], fit: str, log: Callable[[str], None]) -> Pixels:
    """Images of any sizes as 28x28 ones: (N, 28, 28)."""
    sizes = Counter(image.shape for image in images)
    if set(sizes) == {(TILE, TILE)}:
        return np.stack(images)
    often = ", ".join(f"{width}x{height} ({count})" for (height, width), count in sizes.most_common(3))
    told = {
        "tile": f"cut into tiles of {TILE}x{TILE}, edges repeated, as the codec cuts them",
        "crop": f"cropped to the {TILE}x{TILE} in their middle, edges repeated where they are smaller",
        "resize": f"resized to {TILE}x{TILE}: resize what you compress as well",
    }[fit]
    log(f"images of {len(sizes)} size{'s' * (len(sizes) > 1)}, most often {often}, are {told}")
    if fit == "tile":
        return np.concatenate([to_tiles(image) for image in images])
    change = _middle if fit == "crop" else _resized
    return np.stack([change(image) for image in images])


def _middle(image: Pixels) -> Pixels:
    """The middle of an image that was made large enough by repeating its edges: (28, 28)."""
    short = [max(0, TILE - side) for side in image.shape]
    whole = np.pad(image, [(some // 2, some - some // 2) for some in short], mode="edge")
    top, left = ((side - TILE) // 2 for side in whole.shape)
    return whole[top : top + TILE, left : left + TILE]


def _resized(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS))
