"""SSIM and MS-SSIM of many images.

SSIM comes from scikit-image with the settings of Wang et al. 2004 (Gaussian window of 11x11, sigma 1.5). Images of one shape
are stacked into one tall image for speed. Only windows that lie within one image count.

MS-SSIM comes from torchmetrics (Wang et al. 2003, five scales). It needs sides of 176 pixels or more, so digits have none.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mnistzip.types import Pixels

WINDOW = 11  # pixels
MS_SIDE_MIN = 176  # the window must fit at the coarsest of five scales: 11 * 2^4 pixels

Floats = NDArray[np.float64]


def ssim(images: Sequence[Pixels], decoded: Sequence[Pixels]) -> Floats:
    """SSIM of each pair of uint8 images, shape ``(N,)``; NaN for sides below 11 and without scikit-image."""
    out = np.full(len(images), np.nan)
    if importlib.util.find_spec("skimage") is None:
        return out
    from skimage.metrics import structural_similarity

    for (height, width), members in _by_shape(images):
        if min(height, width) < WINDOW:
            continue
        a = np.concatenate([images[i] for i in members])
        b = np.concatenate([decoded[i] for i in members])
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        _, values = structural_similarity(a, b, full=True, **options)
        edge = WINDOW // 2
        inside = values.reshape(len(members), height, width)[:, edge : height - edge, edge : width - edge]
        out[members] = inside.mean(axis=(1, 2))
    return out


def ms_ssim(images: Sequence[Pixels], decoded: Sequence[Pixels]) -> Floats:
    """MS-SSIM of each pair, shape ``(N,)``; NaN for sides below 176 and without torchmetrics."""
    out = np.full(len(images), np.nan)
    large = [i for i, image in enumerate(images) if min(image.shape) >= MS_SIDE_MIN]
    if not large or importlib.util.find_spec("torchmetrics") is None:
        return out
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as measure

    for i in large:
        a, b = (torch.from_numpy(image.astype(np.float32))[None, None] for image in (images[i], decoded[i]))
        out[i] = float(measure(a, b, data_range=255.0))
    return out


def identical_scores(images: Sequence[Pixels]) -> tuple[Floats, Floats]:
    """SSIM and MS-SSIM of images with themselves: 1, or NaN where the functions above return NaN."""
    sides = np.array([min(image.shape) for image in images])
    scores = [1.0 if importlib.util.find_spec(name) else np.nan for name in ("skimage", "torchmetrics")]
    return np.where(sides >= WINDOW, scores[0], np.nan), np.where(sides >= MS_SIDE_MIN, scores[1], np.nan)


def _by_shape(images: Sequence[Pixels]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Each shape with the indices of its images."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault((image.shape[0], image.shape[1]), []).append(index)
    yield from groups.items()
