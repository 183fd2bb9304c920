"""Images to train on: IDX files by our own reader, or a torchvision data set by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnistzip.errors import ImageError, ModelError
from mnistzip.idx import read_idx
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
    path = Path(source)
    images = read_idx(path) if path.is_file() else _torchvision(source)
    if images.ndim != 3 or images.shape[1:] != (TILE, TILE):
        raise ImageError(f"{source} has shape {images.shape}, not (N, {TILE}, {TILE})")
    held_out = min(held_out, len(images) // 10)
    if not held_out:
        raise ImageError(f"{source} has {len(images)} images: too few to hold one in ten out")
    every = torch.from_numpy(np.array(images)).unsqueeze(1)
    return Split(every[:-held_out], every[-held_out:])


def _torchvision(name: str) -> np.ndarray:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as cause:
        raise ModelError(
            f"{name} is no file, and torchvision, which knows data sets by name, cannot be imported ({cause}): "
            "pip install 'mnistzip[train]', or give the path of an IDX file"
        ) from cause
    kind = getattr(datasets, name, None)
    if not isinstance(kind, type) or not issubclass(kind, datasets.VisionDataset):
        raise ModelError(f"{name} is neither a file nor a data set of torchvision (such as MNIST or KMNIST)")
    root = Path.home() / ".cache" / "mnistzip"
    return np.asarray(kind(root, train=True, download=True).data)
