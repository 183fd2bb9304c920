"""Quantized twin to model file: the integers of every layer, and the JSON that says how they fit together."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.coding.latent_cost import BIT, LMBDA_SHIFT
from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.model_file import FILE_VERSION, QUALITIES
from mnistzip.nn.exact import ACTIVATION_MAX
from mnistzip.training.classic import SIGMOID_PEAK, Classic
from mnistzip.training.rd_model import Coder
from mnistzip.training.torch_codec import FINE_SHIFT, LATENT_PEAK, Block, Codec, Conv, Gain, Head, Prior, Transform

Arrays = dict[str, NDArray[np.generic]]
Layers = list[dict[str, Any]]
ACTIVATIONS = [0, ACTIVATION_MAX]


def export(coder: Coder, levels: Tensor, pixels: Arrays | None = None) -> bytes:
    """The model file of a quantized codec and head.

    Args:
        levels: those of the qualities, shape (100,).
        pixels: the arrays of a pixel model, if it has one.
    """
    codec = coder.codec
    arrays: Arrays = dict(pixels or {})
    largest = codec.config.symbol_max
    with torch.no_grad():
        analysis, synthesis = (
            classic(codec, levels, arrays) if isinstance(codec, Classic) else variable_rate(codec, levels, arrays)
        )
        arrays["fine"] = integers(codec.fines(levels))
        arrays["step"] = integers(codec.steps(levels))
        arrays["lmbda"] = lmbda_per_grey(codec.config.lmbda(levels))
        prior(codec.prior, coder.head, levels, arrays)
    meta = {"version": FILE_VERSION, "symbols": [-largest, largest], "fine_shift": FINE_SHIFT}
    kept = {"pixels": True} if pixels else {}
    return pack(meta | kept | {"analysis": analysis, "synthesis": synthesis}, arrays)


def variable_rate(codec: Codec, levels: Tensor, arrays: Arrays) -> tuple[Layers, Layers]:
    """Analysis and synthesis of ``mnist`` and its like."""
    analysis = transform(codec.analysis, "analysis", [-LATENT_PEAK, LATENT_PEAK], levels, arrays)
    synthesis = transform(codec.synthesis, "synthesis", [0, WHITE], levels, arrays)
    return [{"op": "space_to_depth", "size": 4}, *analysis], [*synthesis, {"op": "depth_to_space", "size": 4}]


def classic(codec: Classic, levels: Tensor, arrays: Arrays) -> tuple[Layers, Layers]:
    """Analysis and synthesis of the ancestor."""
    pool, upsample = {"op": "max_pool"}, {"op": "upsample"}
    first = conv(codec.first, "first", ACTIVATIONS, levels, arrays)
    second = conv(codec.second, "second", ACTIVATIONS, levels, arrays)
    third = conv(codec.third, "third", ACTIVATIONS, levels, arrays)
    fourth = conv(codec.fourth, "fourth", [-SIGMOID_PEAK - 1, SIGMOID_PEAK], levels, arrays)
    arrays["sigmoid.table"] = integers(codec.sigmoid_table())
    sigmoid = {"op": "lookup", "name": "sigmoid", "low": -SIGMOID_PEAK - 1}
    return [first, pool, second, pool], [upsample, third, upsample, fourth, sigmoid]


def lmbda_per_grey(lmbda: Tensor) -> NDArray[np.generic]:
    """Weights of squared errors of pixels in 0..1 against bits, in the unit of the encoder's search."""
    return integers(torch.round(lmbda * (BIT * 2**LMBDA_SHIFT / WHITE**2)))


def integers(values: Tensor) -> NDArray[np.generic]:
    """The smallest integer type that holds integral floats."""
    array = values.detach().cpu().double().numpy()
    assert (array == np.round(array)).all(), "a weight is not an integer"
    for kind in (np.int8, np.int16, np.int32):
        if np.abs(array).max(initial=0) <= np.iinfo(kind).max:
            return array.astype(kind)
    raise OverflowError(f"a weight of {np.abs(array).max():.0f} does not fit 32 bits")


def conv(layer: Conv, name: str, to: list[int], levels: Tensor, arrays: Arrays) -> dict[str, Any]:
    """One convolution; its arrays go into ``arrays``."""
    weight, place, quality = layer.integers(levels)
    outputs, inputs, kernel, _ = weight.shape
    arrays[f"{name}.weight"] = integers(weight.permute(2, 3, 1, 0).reshape(kernel * kernel * inputs, outputs))
    arrays[f"{name}.place"] = integers(place.permute(1, 2, 0))
    arrays[f"{name}.quality"] = integers(torch.zeros(QUALITIES, outputs) if quality is None else quality)
    arrays[f"{name}.shift"] = integers(layer.shift)
    return {"op": "conv", "name": name, "kernel": kernel, "to": to}


def gain(layer: Gain, name: str, levels: Tensor, arrays: Arrays) -> dict[str, Any]:
    """One gain per level; its factors go into ``arrays``."""
    arrays[f"{name}.factor"] = integers(layer.factor(levels))
    return {"op": "gain", "name": name, "to": ACTIVATIONS}


def transform(part: Transform, name: str, to: list[int], levels: Tensor, arrays: Arrays) -> Layers:
    """The layers of one transform."""
    layers = [conv(part.enter, f"{name}.enter", ACTIVATIONS, levels, arrays), gain(part.first, f"{name}.first", levels, arrays)]
    for number, block in enumerate(part.blocks):
        assert isinstance(block, Block)
        at = f"{name}.{number}"
        inner = [
            conv(block.enter, f"{at}.enter", ACTIVATIONS, levels, arrays),
            gain(block.gain, f"{at}.gain", levels, arrays),
            conv(block.leave, f"{at}.leave", [-ACTIVATION_MAX, ACTIVATION_MAX], levels, arrays),
        ]
        layers.append({"op": "residual", "layers": inner, "to": ACTIVATIONS})
    return [*layers, gain(part.last, f"{name}.last", levels, arrays), conv(part.leave, f"{name}.leave", to, levels, arrays)]


def prior(part: Prior, head: Head, levels: Tensor, arrays: Arrays) -> None:
    """The entropy model and its head."""
    near, far, skip = part.integers()
    near_bias, far_bias = part.biases(levels)
    weight, bias = head.integers()
    arrays |= {
        "prior.near_weight": integers(near),
        "prior.far_weight": integers(far),
        "prior.skip_weight": integers(skip),
        "prior.head_weight": integers(weight),
        "prior.near_bias": integers(near_bias),
        "prior.far_bias": integers(far_bias),
        "prior.head_bias": integers(bias),
        "prior.near_shift": integers(part.near_shift),
        "prior.far_shift": integers(part.far_shift),
        "prior.head_shift": integers(head.shift),
    }


def pack(meta: dict[str, Any], arrays: Arrays) -> bytes:
    """An ``.npz`` whose bytes depend on its content alone: fixed order, no dates."""
    arrays = {"meta": np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8), **arrays}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            body = io.BytesIO()
            npy.write_array(body, np.ascontiguousarray(arrays[name]), version=(1, 0))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), body.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()
