"""A model as a C header: the constants that ``engine/micro`` needs to code bare streams on a bare machine.

Only what is needed is written: the chosen qualities, the networks of the encoder, of the decoder or of both, and of the prior's
weights those that can differ from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream.checksums import crc32
from mnistzip.bitstream.container import Header
from mnistzip.errors import ModelError
from mnistzip.export.c_source import Source, comment
from mnistzip.export.memory_plan import Plan, Step, plan
from mnistzip.export.weights import WIDE, Packed, pack
from mnistzip.models.latent_prior import CHANNELS, POSITIONS, SIDE, SYMBOLS, Prior
from mnistzip.models.model import Model
from mnistzip.models.transforms import GREY_LEVELS
from mnistzip.nn.exact import ACTIVATION_MAX, Range, integers_of, shifts_of
from mnistzip.nn.layer_base import Signal
from mnistzip.nn.layers import Conv, DepthToSpace, Gain, Lookup, MaxPool, Residual, SpaceToDepth, Upsample
from mnistzip.tiling import TILE
from mnistzip.types import Mode

LAYER_BYTES, MODEL_BYTES = 60, 196  # of the structs, where a pointer takes 4 bytes
CDF_BYTES = 16 + 8 * 256
STREAM_BOUND = 2 * SYMBOLS + 4  # most bytes of a stream
ALIGNMENT = 8
OPS = {
    Conv: "MNZ_CONV",
    Gain: "MNZ_GAIN",
    Residual: "MNZ_RESIDUAL",
    SpaceToDepth: "MNZ_SPACE_TO_DEPTH",
    DepthToSpace: "MNZ_DEPTH_TO_SPACE",
    MaxPool: "MNZ_MAX_POOL",
    Upsample: "MNZ_UPSAMPLE",
    Lookup: "MNZ_LOOKUP",
}

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CHeader:
    """An exported model.

    Attributes:
        text: of the header.
        model_bytes: constants, which go into the flash.
        workspace_bytes: memory that coding needs besides the stack.
    """

    text: str
    model_bytes: int
    workspace_bytes: int


def c_header(model: Model, name: str, qualities: range, encoder: bool = True, decoder: bool = True) -> CHeader:
    """Export a model.

    Args:
        name: of the model in C, in lower case.
        qualities: a range of 1 to 100.
        encoder, decoder: which of the networks are needed; at least one.

    Raises:
        ModelError: the model does not code tiles, has a layer that micro.c does not know, or numbers of more than 16 bits.
    """
    if not model.codes_tiles:
        what = "the bitmaps of digits" if model.is_bitmap else "whole images"
        raise ModelError(f"{model.name} codes {what}; only models of tiles can be exported")
    source = Source(name)
    transforms, prior, rows = model.transforms, model.prior, slice(qualities.start - 1, qualities.stop - 1)
    peak = int(np.abs(transforms.step[rows]).max()) * transforms.symbols.peak
    image, latent = Signal(GREY_LEVELS, TILE, TILE, 1), Signal(Range(-peak, peak), SIDE, SIDE, CHANNELS)
    if decoder and peak > WIDE.high:
        raise ModelError(f"{model.name}: symbols times steps of more than 16 bits cannot be exported")
    analysis = plan(transforms.analysis, image) if encoder else None
    synthesis = plan(transforms.synthesis, latent) if decoder else None
    fields = {
        "quality_low": qualities.start,
        "quality_high": qualities.stop - 1,
        "low": transforms.symbols.low,
        "values": prior.values,
        "fine_shift": transforms.fine_shift,
        "check": source.array("uint32_t", "check", np.array([_check(model, quality) for quality in qualities])),
        "fine": source.array("int32_t", "fine", transforms.fine[rows]) if encoder else "NULL",
        "step": source.array("int32_t", "step", transforms.step[rows]) if decoder else "NULL",
        "analysis": _network(source, "analysis", analysis, rows),
        "synthesis": _network(source, "synthesis", synthesis, rows),
        "prior": _prior(source, prior, transforms.symbols, rows),
    }
    source.add(f"const mnz_micro_model {name} = {_struct(fields)};", MODEL_BYTES)
    workspace = _workspace(prior, analysis, synthesis)
    return CHeader(_text(model, name, qualities, source, workspace, encoder, decoder), source.size, workspace)


def in_words(qualities: range) -> str:
    """A range of qualities for people."""
    return f"quality {qualities.start}" if len(qualities) == 1 else f"qualities {qualities.start} to {qualities[-1]}"


def _check(model: Model, quality: int) -> int:
    """The CRC-32 of what a check covers before the symbols: the header that a file would have, and the number of the stream."""
    return crc32([Header(Mode.LOSSY, TILE, TILE, model=model.named, quality=quality).to_bytes(), bytes(4)])


def _text(model: Model, name: str, qualities: range, source: Source, workspace: int, encoder: bool, decoder: bool) -> str:
    upper = name.upper()
    parts = " and ".join(part for part, wanted in (("encoder", encoder), ("decoder", decoder)) if wanted)
    about = comment(f"""
        The {parts} of the model {model.name} (fingerprint {model.fingerprint.hex()}) for bare streams of
        {in_words(qualities)}, written by mnistzip export.

        One file of your program defines {upper}_IMPLEMENTATION before it includes this header, and then holds the
        {source.size} bytes of constants. engine/micro/mnistzip_micro.h has the functions that take them.
        """)
    return f"""{about}
#ifndef {upper}_H
#define {upper}_H

#include "mnistzip_micro.h"

#define {upper}_QUALITY_LOW {qualities.start}
#define {upper}_QUALITY_HIGH {qualities.stop - 1}
#define {upper}_WORKSPACE {workspace} /* bytes: uint64_t workspace[{upper}_WORKSPACE / 8] */

extern const mnz_micro_model {name};

#endif

#ifdef {upper}_IMPLEMENTATION

{source.text}

#endif
"""


def _struct(fields: dict[str, Any]) -> str:
    """An initializer of a struct."""
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def _weights(source: Source, name: str, packed: Packed) -> str:
    """An ``mnz_micro_weights``."""
    if not packed.is_narrow:
        return _struct({"wide": source.array("int16_t", name, packed.values)})
    fields = {
        "narrow": source.array("int8_t", name, packed.values),
        "excesses": source.array("uint16_t", f"{name}_excesses", packed.excesses),
    }
    if len(packed.excess):
        body = ",\n".join(f"    {{{i}, {o}, {high}}}" for i, o, high in packed.excess.tolist())
        fields["excess"] = source.entries("mnz_micro_excess", f"{name}_excess", body, 4 * len(packed.excess))
    return _struct(fields)


# ---- Networks ----


def _network(source: Source, name: str, network: Plan | None, rows: slice) -> str:
    """An ``mnz_micro_network``, which is empty if it is left out."""
    if network is None:
        return "{0}"
    layers = _layers(source, name, network.steps, rows)
    body = ",\n".join(f"    {layer}" for layer in layers)
    array = source.entries("mnz_micro_layer", name, body, LAYER_BYTES * len(layers))
    fields = {"layer": array, "count": len(layers), "patch": network.patch, "outputs": network.outputs, "memory": network.size}
    return _struct(fields)


def _layers(source: Source, name: str, steps: Sequence[Step], rows: slice) -> list[str]:
    """The ``mnz_micro_layer`` of each step, those inside a step behind it."""
    layers: list[str] = []
    for index, step in enumerate(steps):
        layer, label = step.layer, f"{name}_{index}"
        if type(layer) not in OPS:
            raise ModelError(f"a layer of the kind {layer.kind} cannot be exported")
        inner = _layers(source, label, step.inner, rows)
        fields: dict[str, Any] = {"op": OPS[type(layer)], "inner": len(inner)}
        fields |= {"height": step.input.height, "width": step.input.width, "channels": step.input.channels}
        fields |= {"outputs": step.output.channels, "low": step.output.values.low, "high": step.output.values.high}
        fields["to"] = step.to.start
        if isinstance(layer, Conv):
            fields |= _conv(source, label, layer, step.input.values.peak, rows)
        elif isinstance(layer, Gain):
            fields["factor"] = source.array("int16_t", f"{label}_factor", layer.factor[rows])
        elif isinstance(layer, (SpaceToDepth, DepthToSpace)):
            fields["size"] = layer.size
        elif isinstance(layer, Lookup):
            fields |= {"table": source.array("int16_t", f"{label}_table", layer.table), "table_low": layer.low}
        layers += [_struct(fields), *inner]
    return layers


def _conv(source: Source, label: str, layer: Conv, peak: int, rows: slice) -> dict[str, Any]:
    """The fields of a convolution."""
    packed = pack(layer.name, [integers_of(layer.weight, layer.unit)], peak)
    return {
        "size": layer.kernel,
        "everywhere": int(layer.position_bias.shape[:2] == (1, 1)),
        "weights": _weights(source, f"{label}_weight", packed),
        "place": source.array("int32_t", f"{label}_place", integers_of(layer.position_bias, layer.unit)),
        "quality": source.array("int32_t", f"{label}_quality", integers_of(layer.quality_bias[rows], layer.unit)),
        "shift": source.array("uint8_t", f"{label}_shift", shifts_of(layer.unit)),
    }


# ---- Prior ----


def _prior(source: Source, prior: Prior, symbols: Range, rows: slice) -> str:
    """An ``mnz_micro_prior``: of each matrix the part that earlier symbols reach."""
    a, b = prior.near_weight.shape[1] // POSITIONS, prior.head_weight.shape[1]
    near, far = integers_of(prior.near_weight, prior.near_unit), integers_of(prior.far_weight, prior.far_unit)
    skip, head = integers_of(prior.skip_weight, prior.far_unit), integers_of(prior.head_weight, prior.head_unit[:, None])

    def of_near(p: int) -> slice:
        return slice(p * a, (p + 1) * a)

    def of_far(p: int, channel: int = 0) -> slice:
        return slice((p * CHANNELS + channel) * b, (p + 1) * CHANNELS * b)

    every = range(POSITIONS)
    own = [(p, channel) for p in every for channel in range(CHANNELS - 1)]
    matrices = {
        "near_weight": ([near[: p * CHANNELS, of_near(p)] for p in every], symbols.peak),
        "far_weight": ([far[: (p + 1) * a, of_far(p)] for p in every], ACTIVATION_MAX),
        "skip_weight": ([skip[: p * CHANNELS, of_far(p)] for p in every], symbols.peak),
        "own_weight": ([skip[None, p * CHANNELS + c, of_far(p, c + 1)] for p, c in own], symbols.peak),
        "head_weight": (list(head), ACTIVATION_MAX),
    }
    fields: dict[str, Any] = {"near": a, "far": b}
    for name, (parts, peak) in matrices.items():
        fields[name] = _weights(source, name, pack(f"prior {name}", parts, peak))
    fields |= {
        "near_bias": source.array("int32_t", "near_bias", integers_of(prior.near_bias[rows], prior.near_unit)),
        "far_bias": source.array("int32_t", "far_bias", integers_of(prior.far_bias[rows], prior.far_unit)),
        "head_bias": source.array("int32_t", "head_bias", integers_of(prior.head_bias, prior.head_unit)),
        "near_shift": source.array("uint8_t", "near_shift", shifts_of(prior.near_unit)),
        "far_shift": source.array("uint8_t", "far_shift", shifts_of(prior.far_unit)),
        "head_shift": source.array("uint8_t", "head_shift", shifts_of(prior.head_unit)),
    }
    return _struct(fields)


# ---- Memory ----


def _workspace(prior: Prior, analysis: Plan | None, synthesis: Plan | None) -> int:
    """Bytes that micro.c takes at most: the symbols, and behind them a network, or the prior and the stream."""
    a, b = prior.near_weight.shape[1] // POSITIONS, prior.head_weight.shape[1]
    latent = _taken((2, POSITIONS * a), (2, b), (4, a), (4, CHANNELS * b), (4, prior.values), (CDF_BYTES, 1))
    stream = _taken((1, STREAM_BOUND), (2, SYMBOLS), (2, SYMBOLS))
    coding = latent + stream if analysis else latent
    networks = [_taken((2, each.size), (2, each.patch), (4, each.outputs)) for each in (analysis, synthesis) if each]
    return _taken((2, SYMBOLS)) + max(coding, *networks)


def _taken(*parts: tuple[int, int]) -> int:
    """Bytes of parts of so many bytes and items, each aligned."""
    return sum(-(-item * count // ALIGNMENT) * ALIGNMENT for item, count in parts)
