"""What a quality of a shipped model gives on pictures like those it was trained on, and what counts as far below that.

The figures come from the report of each model's training (``pretrained/NAME.json``): PSNR of held-out pictures at effort 0.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import numpy as np

from mnistzip import pretrained
from mnistzip.metrics import psnr_of_mse
from mnistzip.models.registry import SHIPPED, Model

POOR_DB = 4.0  # below what the quality gives; at quality 50 fewer than one in two hundred of MNIST's digits lie so low


def typical_psnr(model: str, quality: int) -> float | None:
    """PSNR in dB that a shipped model gives at a quality; None for other models."""
    if model not in SHIPPED:
        return None
    report = _report(model)
    return float(np.interp(quality, report["quality"], report["psnr_db"]))


def typical_bits(model: Model, quality: int) -> float:
    """Bits that a file of a shipped model takes at a quality, header and check included."""
    report = _report(model.name)
    return 8 * float(np.interp(quality, report["quality"], report["bytes"]))


def is_poor(model: Model, quality: int, squared_error: float, pixels: int) -> bool:
    """Whether so much error is far more than what the quality stands for; never for models that do not ship."""
    if model.number is None or not squared_error:
        return False
    typical = typical_psnr(model.name, quality)
    return typical is not None and psnr_of_mse(squared_error / pixels) < typical - POOR_DB


@cache
def _report(name: str) -> dict[str, list[float]]:
    """Qualities, mean bytes of a file and PSNR in dB."""
    rows = json.loads(resources.files(pretrained).joinpath(f"{name}.json").read_bytes())["held_out"]
    return {key: [row[key] for row in rows] for key in ("quality", "bytes", "psnr_db")}
