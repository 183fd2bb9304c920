"""Export a quantized twin to a model file: an ``.npz`` with the integers of all layers and a JSON description."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.entropy.cost import BIT, LMBDA_SHIFT, TOTAL
from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.model_file import FILE_VERSION
from mnistzip.models.pixel.planes import Plane
from mnistzip.nn.exact import ACTIVATION_MAX
from mnistzip.training.classic import SIGMOID_PEAK, Classic
from mnistzip.training.rd_model import Coder
from mnistzip.training.torch_codec import FINE_SHIFT, LATENT_PEAK, Block, Codec, Head, Prior, Transform
from mnistzip.training.torch_layers import TwinLayer, exact_shift
from mnistzip.training.torch_pixel_model import Affine, PixelModel, PlaneNet

Arrays = dict[str, NDArray[np.generic]]
Layers = list[dict[str, Any]]
ACTIVATIONS = [0, ACTIVATION_MAX]


def export(coder: Coder, levels: Tensor, pixels: Arrays | None = None) -> bytes:
    """The model file of a quantized codec and head.

    Args:
        coder: codec and head.
        levels: the level of each quality, shape (100,).
        pixels: the arrays of a pixel model, or None.
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
    flags = {"pixels": True} if pixels else {}
    return pack(meta | flags | {"analysis": analysis, "synthesis": synthesis}, arrays)


def variable_rate(codec: Codec, levels: Tensor, arrays: Arrays) -> tuple[Layers, Layers]:
    """Analysis and synthesis of the variable-rate model."""
    analysis = transform(codec.analysis, "analysis", [-LATENT_PEAK, LATENT_PEAK], levels, arrays)
    synthesis = transform(codec.synthesis, "synthesis", [0, WHITE], levels, arrays)
    return [{"op": "space_to_depth", "size": 4}, *analysis], [*synthesis, {"op": "depth_to_space", "size": 4}]


def classic(codec: Classic, levels: Tensor, arrays: Arrays) -> tuple[Layers, Layers]:
    """Analysis and synthesis of the plain autoencoder."""
    pool, upsample = {"op": "max_pool"}, {"op": "upsample"}
    first = layer(codec.first, "first", ACTIVATIONS, levels, arrays)
    second = layer(codec.second, "second", ACTIVATIONS, levels, arrays)
    third = layer(codec.third, "third", ACTIVATIONS, levels, arrays)
    fourth = layer(codec.fourth, "fourth", [-SIGMOID_PEAK - 1, SIGMOID_PEAK], levels, arrays)
    arrays["sigmoid.table"] = integers(codec.sigmoid_table())
    sigmoid = {"op": "lookup", "name": "sigmoid", "low": -SIGMOID_PEAK - 1}
    return [first, pool, second, pool], [upsample, third, upsample, fourth, sigmoid]


def lmbda_per_grey(lmbda: Tensor) -> NDArray[np.generic]:
    """Convert weights of squared errors of pixels in 0..1 to the unit of the encoder's search on integers."""
    return integers(torch.round(lmbda * (BIT * 2**LMBDA_SHIFT / WHITE**2)))


def integers(values: Tensor) -> NDArray[np.generic]:
    """Convert integral floats to the smallest integer type that contains them."""
    array = values.detach().cpu().double().numpy()
    assert (array == np.round(array)).all(), "a weight is not an integer"
    for kind in (np.int8, np.int16, np.int32):
        if np.abs(array).max(initial=0) <= np.iinfo(kind).max:
            return array.astype(kind)
    raise OverflowError(f"a weight of {np.abs(array).max():.0f} does not fit 32 bits")


def layer(twin: TwinLayer, name: str, output_range: list[int], levels: Tensor, arrays: Arrays) -> dict[str, Any]:
    """Add the arrays of a layer to ``arrays`` and return its description."""
    arrays |= {f"{name}.{key}": integers(values) for key, values in twin.arrays(levels).items()}
    return {"op": twin.kind, "name": name, "to": output_range, **twin.description()}


def transform(part: Transform, name: str, output_range: list[int], levels: Tensor, arrays: Arrays) -> Layers:
    """Add the arrays of a transform to ``arrays`` and return the descriptions of its layers."""
    layers = [
        layer(part.enter, f"{name}.enter", ACTIVATIONS, levels, arrays),
        layer(part.first, f"{name}.first", ACTIVATIONS, levels, arrays),
    ]
    for number, block in enumerate(part.blocks):
        assert isinstance(block, Block)
        prefix = f"{name}.{number}"
        inner = [
            layer(block.enter, f"{prefix}.enter", ACTIVATIONS, levels, arrays),
            layer(block.gain, f"{prefix}.gain", ACTIVATIONS, levels, arrays),
            layer(block.leave, f"{prefix}.leave", [-ACTIVATION_MAX, ACTIVATION_MAX], levels, arrays),
        ]
        layers.append({"op": "residual", "layers": inner, "to": ACTIVATIONS})
    layers.append(layer(part.last, f"{name}.last", ACTIVATIONS, levels, arrays))
    layers.append(layer(part.leave, f"{name}.leave", output_range, levels, arrays))
    return layers


def prior(part: Prior, head: Head, levels: Tensor, arrays: Arrays) -> None:
    """Add the arrays of the prior and its head to ``arrays``."""
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


def export_pixels(model: PixelModel) -> Arrays:
    """The arrays of a quantized pixel model, by name."""
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
    """The arrays of one layer of the pixel model."""
    weight, bias = layer.integers()
    arrays |= {f"{name}.weight": integers(weight.T), f"{name}.bias": integers(bias), f"{name}.shift": integers(layer.shift)}


def affine_arrays(
    arrays: Arrays,
    name: str,
    weight: Tensor,
    bias: Tensor,
    inputs: tuple[float, int],
    out: Tensor,
    tables: Mapping[str, Tensor],
) -> None:
    """The arrays of a layer and of what is added to its bias, all with one shift for each output.

    Args:
        weight: ``(outputs, inputs)``.
        inputs: float units of an integer step of an input, and its largest magnitude.
        out: integer steps of an output per float unit.
        tables: whose last axis is that of the outputs.
    """
    unit, peak = inputs
    scaled = weight * unit * out[:, None]
    largest = [table.abs().flatten(0, -2) for table in tables.values() if table.ndim == 2]
    largest += [part.abs() for table in tables.values() if table.ndim == 3 for part in table]
    most = bias.abs() + sum((table.amax(0) for table in largest), torch.zeros(len(bias)))
    shift = exact_shift(scaled, torch.full(scaled.shape[1:], float(peak)), most * out)
    scale = torch.exp2(shift)
    arrays |= {
        f"{name}.weight": integers(torch.round(scaled * scale[:, None]).T),
        f"{name}.bias": integers(torch.round(bias * out * scale)),
        f"{name}.shift": integers(shift),
    }
    arrays |= {f"{name}.{key}": integers(torch.round(table * out * scale)) for key, table in tables.items()}


def pack(meta: dict[str, Any], arrays: Arrays) -> bytes:
    """The bytes of an ``.npz``. They depend only on the content: sorted names, no dates."""
    arrays = {"meta": np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8), **arrays}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            body = io.BytesIO()
            npy.write_array(body, np.ascontiguousarray(arrays[name]), version=(1, 0))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), body.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()
