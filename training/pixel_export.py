"""Export a quantized pixel model to the arrays of a model file."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mnistzip.entropy.cdf import TOTAL
from mnistzip.models.pixel.planes import Plane
from mnistzip.training.export import integers
from mnistzip.training.torch_pixel_model import Affine, PixelModel, PlaneNet

Arrays = dict[str, NDArray[np.generic]]


def export_pixels(model: PixelModel) -> Arrays:
    """The arrays, by name, of a quantized twin."""
    arrays: Arrays = {}
    with torch.no_grad():
        for plane, net in zip(Plane, model.nets, strict=True):
            assert isinstance(net, PlaneNet)
            prefix = f"pixels.{plane.name.lower()}"
            for number, layer in enumerate((net.enter, *net.middle)):
                assert isinstance(layer, Affine)
                _affine(layer, f"{prefix}.{number}", arrays)
            _affine(net.head, f"{prefix}.head", arrays)
            rows, columns = net.enter.position_integers()
            arrays |= {f"{prefix}.rows": integers(rows), f"{prefix}.columns": integers(columns)}
        _affine(model.copy.query, "pixels.query", arrays)
        _affine(model.copy.key, "pixels.key", arrays)
        arrays["pixels.levels"] = integers(model.copy.level_keys())
        arrays["pixels.blank"] = integers(model.blank * TOTAL)
    return arrays


def _affine(layer: Affine, name: str, arrays: Arrays) -> None:
    weight, bias = layer.integers()
    arrays |= {f"{name}.weight": integers(weight.T), f"{name}.bias": integers(bias), f"{name}.shift": integers(layer.shift)}
