"""The PSNR and size of a quality of a shipped model on images like its training images, and what follows for one image.

The figures come from the training report of each model (``pretrained/NAME.json``): held-out images at effort 0.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from mnistzip import pretrained
from mnistzip.entropy.cost import BIT
from mnistzip.metrics import psnr_of_mse
from mnistzip.models.registry import SHIPPED, Model
from mnistzip.tiling import TILE

POOR_DB = 4.0  # below the typical PSNR; at quality 50 fewer than 1 in 200 digits of MNIST are that poor


def typical_psnr(model: str, quality: int) -> float | None:
    """PSNR in dB of a shipped model at a quality; None for other models."""
    if model not in SHIPPED:
        return None
    report = _report(model)
    return float(np.interp(quality, report["quality"], report["psnr_db"]))


def typical_bits(model: Model, quality: int) -> float:
    """Bits of a file of a shipped model at a quality, header and checksum included."""
    report = _report(model.name)
    return 8 * float(np.interp(quality, report["quality"], report["bytes"]))


def typical_error(model: Model, quality: int, bits: int) -> int:
    """Squared error of a digit whose file has so many bits, estimated: it has as much for each bit as other digits.

    Args:
        model: a shipped model.
        quality: 1 to 100.
        bits: of a file, in units of 1 / BIT bits.

    Returns:
        The sum over all pixels, in squared grey levels.
    """
    psnr = typical_psnr(model.name, quality)
    assert psnr is not None
    squared_error = round(255**2 * TILE**2 / 10 ** (psnr / 10))
    return squared_error * bits // round(BIT * typical_bits(model, quality))


def is_poor(model: Model, quality: int, squared_error: float, pixels: int) -> bool:
    """Whether an image has far more error than its quality stands for; never true of models that are not shipped."""
    if model.number is None or not squared_error:
        return False
    typical = typical_psnr(model.name, quality)
    return typical is not None and psnr_of_mse(squared_error / pixels) < typical - POOR_DB


@cache
def _report(name: str) -> dict[str, list[float]]:
    """Qualities, mean bytes of a file and PSNR in dB."""
    rows = json.loads(pretrained.read(f"{name}.json"))["held_out"]
    return {key: [row[key] for row in rows] for key in ("quality", "bytes", "psnr_db")}
