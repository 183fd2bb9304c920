"""Files made to do harm: every check in them matches, what they say does not. For tests and :mod:`make_vectors`."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip import pretrained
from mnistzip.archive.group_header import LABELS, NAMES, GroupHeader, PartCoding
from mnistzip.archive.index import START, Footer, entry
from mnistzip.bitstream.container import varint
from mnistzip.bitstream.stored import deflate
from mnistzip.types import Mode

LEVELS = b"\7\x09"  # the grey levels of two images of 1x1
PLAIN = GroupHeader(2, Mode.STORED, 0, 0, 0, 2, 1, 1, bytes(8), 0, 0, 0, 0, 0, zlib.crc32(LEVELS))


def crc(*parts: bytes) -> bytes:
    """A check of 32 bits."""
    return zlib.crc32(b"".join(parts)).to_bytes(4, "little")


def stored(header: bytes, body: bytes, levels: bytes) -> bytes:
    """A single file of such a body, with the check that its grey levels should have; also a stored lane, given its place."""
    return header + checked(header, body, levels)


def checked(place: bytes, body: bytes, levels: bytes) -> bytes:
    """A body and its check."""
    return body + (zlib.crc32(levels, zlib.crc32(place)) & 0xFFFF).to_bytes(2, "big")


def section(content: bytes, more: bytes = b"") -> bytes:
    """Labels or names of such content."""
    return crc(content) + deflate(content) + more


def group(
    table: bytes | None = None,
    body: bytes = LEVELS,
    sizes: bytes = b"",
    labels: bytes = b"",
    names: bytes = b"",
    lane: bytes | None = None,
    **change: Any,
) -> bytes:
    """A group of two stored images of 1x1 in one lane, or what changes in its head and elsewhere make of it."""
    flags = LABELS * bool(labels) | NAMES * bool(names)
    header = replace(PLAIN, **({"flags": flags} | change))
    coding = PartCoding(header.method or Mode.LOSSY, header.model, header.quality, header.per_lane, header.fingerprint)
    seed = coding.seed(header.images, header.width, header.height, sizes)
    lane = checked(seed + bytes(4), body, LEVELS) if lane is None else lane
    table = sizes + varint(len(lane)) + b"\0" if table is None else table
    fields = {
        "table_bytes": len(table),
        "lanes_bytes": len(lane),
        "labels_bytes": len(labels),
        "names_bytes": len(names),
        "lanes_crc": zlib.crc32(lane),
    }
    return replace(header, **(fields | change)).to_bytes(table) + table + lane + labels + names


def archive(
    parts: Sequence[bytes], firsts: Sequence[int], offsets: Sequence[int] = (), model: bytes = b"", **footer: Any
) -> bytes:
    """An archive of such groups, with an index that says what it is told to.

    Args:
        firsts: the number of the first image of each group, and of all images.
        offsets: where the groups are said to begin, if not where they do.
    """
    body = START + b"".join(parts)
    where = offsets or [len(START) + sum(map(len, parts[:k])) for k in range(len(parts))]
    index = b"".join(entry(first, offset) for first, offset in zip(firsts, [*where, len(body)], strict=True))
    output: dict[str, Any] = {"count": firsts[-1], "groups": len(parts), "index_offset": len(body)} | footer
    return body + index + model + Footer(**output).to_bytes()


Arrays = dict[str, NDArray[Any]]


def conv(name: str, weight: NDArray[Any], kernel: int = 1, to: Sequence[int] = (0, 1)) -> tuple[dict[str, Any], Arrays]:
    """A layer of a model file, and its arrays."""
    outputs = weight.shape[1]
    zeros = {"place": (1, 1, outputs), "quality": (100, outputs), "shift": (outputs,)}
    arrays = {f"{name}.weight": weight, **{f"{name}.{key}": np.zeros(shape, np.int8) for key, shape in zeros.items()}}
    return {"op": "conv", "name": name, "kernel": kernel, "to": list(to)}, arrays


def model(
    synthesis: Sequence[dict[str, Any]] = (), arrays: Mapping[str, NDArray[Any]] | None = None, base: str = "classic"
) -> bytes:
    """The file of a shipped model with other layers in its synthesis, if any are given, other arrays, and an empty prior."""
    with np.load(Path(pretrained.__file__).with_name(f"{base}.npz")) as file:
        every: Arrays = dict(file)
    output = json.loads(every["meta"].tobytes())
    if synthesis:
        output["synthesis"] = list(synthesis)
        saved = {layer.get("name") for layer in output["analysis"]} | {"meta", "fine", "step", "lmbda", "prior"}
        every = {name: array for name, array in every.items() if name.split(".")[0] in saved}
    every |= {name: np.zeros(array.shape, np.int8) for name, array in every.items() if name.startswith("prior.")}
    every |= {"meta": np.frombuffer(json.dumps(output).encode(), np.uint8), **(arrays or {})}
    out = io.BytesIO()
    np.savez_compressed(out, **every)  # type: ignore[arg-type]
    return out.getvalue()


def own(base: str = "classic") -> bytes:
    """A model of one's own: a shipped one with other weights for the encoder, so without its fingerprint and number."""
    with np.load(Path(pretrained.__file__).with_name(f"{base}.npz")) as file:
        every: Arrays = dict(file)
    out = io.BytesIO()
    np.savez_compressed(out, **every | {"lmbda": every["lmbda"] + 1})  # type: ignore[arg-type]
    return out.getvalue()


def every_op() -> bytes:
    """A small model that nobody trained, with a layer of each kind, and a prior whose every array counts."""
    random, symbol = np.random.default_rng(7), np.arange(196)

    def some(*shape: int, most: int = 2) -> NDArray[np.int8]:
        return random.integers(-most, most + 1, shape).astype(np.int8)

    made = [
        conv("made.first", some(9 * 4, 16, most=9), 3, (0, 1023)),
        conv("made.within", some(16, 16), 1, (-500, 500)),
        conv("made.second", some(9 * 4, 8), 3, (0, 1023)),
        conv("made.last", some(9 * 32, 1), 3, (0, 255)),
    ]
    first, within, second, last = (layer for layer, _ in made)
    arrays = {name: array for _, own in made for name, array in own.items()}
    arrays |= {
        "made.first.place": some(7, 7, 16, most=60),
        "made.second.quality": some(100, 8, most=90),
        "made.last.shift": np.array([5], np.int8),
        "made.gain.factor": random.integers(100, 500, (100, 16)).astype(np.int16),
        "made.turn.table": np.arange(255, -1, -1).astype(np.uint8),
        "prior.near_bias": some(100, 49, most=90),
        "prior.far_bias": some(100, 196, most=90),
        "prior.near_weight": some(196, 49) * (symbol[:, None] // 4 < np.arange(49)),
        "prior.far_weight": some(49, 196) * (np.arange(49)[:, None] <= symbol // 4),
        "prior.skip_weight": some(196, 196) * (symbol[:, None] < symbol),
        "prior.head_weight": some(196, 1, 63),
        "prior.head_bias": (some(196, 63, most=90) - 60 * abs(np.arange(-31, 32))).astype(np.int16),
        "prior.near_shift": np.ones(49, np.int8),
        "prior.far_shift": np.full(196, 2, np.int8),
        "prior.head_shift": np.zeros((196, 63), np.int8),
    }
    layers = [
        first,
        {"op": "gain", "name": "made.gain", "to": [0, 1023]},
        {"op": "residual", "layers": [within], "to": [0, 1023]},
        {"op": "depth_to_space", "size": 2},
        second,
        {"op": "upsample"},
        {"op": "space_to_depth", "size": 2},
        {"op": "max_pool"},
        {"op": "upsample"},
        {"op": "upsample"},
        last,
        {"op": "lookup", "name": "made.turn", "low": 0},
    ]
    return model(layers, arrays)


def wide(layers: int, channels: int, side: int, kernel: int = 1) -> bytes:
    """A model whose synthesis is as many convolutions of as many channels, with weights of 1."""
    made = [conv("made.first", np.ones((4, channels), np.int8))]
    ones = np.ones((kernel**2 * channels, channels), np.int8)
    made += [conv(f"made.{k}", ones, kernel) for k in range(layers)]
    made += [conv("made.last", np.ones((channels, 28 * 28 // side**2), np.int8))]
    (first, *middle, last), arrays = [layer for layer, _ in made], {k: v for _, own in made for k, v in own.items()}
    grow = [{"op": "upsample"}] * (side // 14)
    shrink = [{"op": "depth_to_space", "size": 28 // side}] * (side < 28)
    return model([first, *grow, *middle, last, *shrink], arrays)


def restless(pairs: int, channels: int) -> bytes:
    """A model that does nothing but move numbers: it doubles every value in both directions and takes the largest again."""
    first, arrays = conv("made.first", np.ones((4, channels), np.int8))
    last, more = conv("made.last", np.ones((channels, 1), np.int8))
    moves = [{"op": "upsample"}, {"op": "max_pool"}] * pairs
    return model([first, {"op": "upsample"}, {"op": "upsample"}, *moves, last], arrays | more)


def wide_prior(a: int, b: int) -> bytes:
    """A model whose prior has as many numbers of ``near`` for each place and of ``far`` for each symbol, all of them 0."""
    near, far = 49 * a, 196 * b
    shapes = {
        "near_weight": (196, near),
        "far_weight": (near, far),
        "skip_weight": (196, far),
        "head_weight": (196, b, 63),
        "near_bias": (100, near),
        "far_bias": (100, far),
        "near_shift": (near,),
        "far_shift": (far,),
    }
    return model((), {f"prior.{name}": np.zeros(shape, np.int8) for name, shape in shapes.items()})


def wide_pixels(width: int) -> bytes:
    """``glyph`` with pixel networks of that width, most of whose weights are 0."""
    arrays: Arrays = {}
    with np.load(Path(pretrained.__file__).with_name("glyph.npz")) as file:
        every = dict(file)
    for name, array in every.items():
        part, *rest = name.removeprefix("pixels.").split(".")
        if part in ("blank", "levels") or not name.startswith("pixels."):
            continue
        own = [len(every[f"pixels.{part}.1.bias"])] if part not in ("query", "key") else [len(every["pixels.shade.1.bias"])]
        outputs_grow = part not in ("query", "key") and rest[0] != "head"
        inputs_grow = part in ("query", "key") or rest[0] in ("1", "2", "head")
        pad = [(0, 0)] * array.ndim
        if outputs_grow:
            pad[-1] = (0, width - own[0])
        if inputs_grow and rest[-1] == "weight":
            pad[0] = (0, width - own[0])
        arrays[name] = np.pad(array, pad)
    return model((), arrays, "glyph")


def with_arrays(content: bytes, others: Arrays) -> bytes:
    """A model file with other arrays of some names."""
    from support.random_models import model_file

    with np.load(io.BytesIO(content)) as arrays:
        kept = {key: arrays[key].astype(np.int64) for key in arrays.files if key != "meta"}
        meta = json.loads(arrays["meta"].tobytes())
    return model_file(meta, kept | others)


def with_changed_array(content: bytes, name: str, value: int | None) -> bytes:
    """A model file with one array whose first number is another, or which is all ones if ``value`` is None."""
    with np.load(io.BytesIO(content)) as arrays:
        changed = arrays[name].astype(np.int64)
    if value is None:
        changed[:] = 1
    else:
        changed.reshape(-1)[0] = value
    return with_arrays(content, {name: changed})
