"""Read a model file: bytes to arrays and description, and these to checked networks.

A model file is an ``.npz`` of integer arrays. One of them, ``meta``, holds JSON in UTF-8: the description of the layers.
Nothing in the file is executed or unpickled. Sizes are checked before memory is allocated, and each array's type and shape
before it is used. Every sum of a network is proved exact before the network is returned. FORMAT.md describes the file.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip.errors import ModelError
from mnistzip.limits import ARRAY_HEADER_MAX, MODEL_FILE_MAX, MODEL_LAYERS_MAX, MODEL_META_MAX
from mnistzip.models.latent_prior import Prior
from mnistzip.models.transforms import Transforms
from mnistzip.nn.exact import SUM_MAX, Affine, Range
from mnistzip.nn.layer_base import Layer
from mnistzip.nn.layers import LAYER_KINDS
from mnistzip.types import Floats

if TYPE_CHECKING:
    from mnistzip.models.pixel.pixel_model import PixelModel

FILE_VERSION = 1
FINGERPRINT_BYTES = 8
QUALITIES = 100
SHIFT_MAX = 30  # bits that a sum is divided by
GREY = "grey"  # the kind of models for pictures of any size
BITMAP = "bitmap"  # the kind of models for the bitmaps of digits; models that code tiles name no kind
PIXEL_PREFIX = "pixels."  # of the names of the pixel model's arrays
READ_ERRORS = (KeyError, TypeError, ValueError, IndexError, RecursionError)  # raised while a damaged description is read

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class LossyParts:
    """Everything in a model file but the pixel model, checked.

    Attributes:
        lmbda: weight of the squared error that each quality was trained for, shape ``(100,)``.
        has_pixel_model: whether the file holds one as well.
    """

    transforms: Transforms
    prior: Prior
    lmbda: NDArray[np.int64]
    has_pixel_model: bool


def fingerprint(content: bytes, name: str, lossy_only: bool = False) -> bytes:
    """The first 8 bytes of the SHA-256 over name, type, shape and content of each array, in order of name.

    It depends on what the file holds, not on how the zip stores it.

    Args:
        lossy_only: leave out the arrays of the pixel model.
    """
    import hashlib

    arrays, _ = read_arrays(content, name, lambda array: not (lossy_only and array.startswith(PIXEL_PREFIX)))
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.digest()[:FINGERPRINT_BYTES]


def read_lossy_parts(content: bytes, name: str) -> LossyParts:
    """All of a model file but the pixel model.

    Raises:
        ModelError: it is no model file, or not for this version, or damaged, or its sums are not provably exact.
    """
    arrays, has_others = read_arrays(content, name, lambda array: not array.startswith(PIXEL_PREFIX))
    try:
        meta = description(arrays["meta"], name)
        require_keys(meta, {"version", "symbols", "fine_shift", "analysis", "synthesis"}, {"pixels"})
        reader = ArrayReader(arrays, name)
        transforms = _read_transforms(reader, meta)
        prior = _read_prior(reader, transforms.symbols.low)
        lmbda = reader.lmbda()
        has_pixel_model = meta.get("pixels", False)
        if not isinstance(has_pixel_model, bool):
            raise ValueError(f"pixels is {has_pixel_model!r}, neither true nor false")
        if has_others and not has_pixel_model:
            raise ValueError("it has arrays of a pixel model that its description does not mention")
    except READ_ERRORS as cause:
        raise damaged(name, repr(cause)) from cause
    if prior.values != transforms.symbols.high - transforms.symbols.low + 1:
        raise ModelError(f"model {name}: the prior has {prior.values} values for the symbols {transforms.symbols}")
    prior.check_exact()
    transforms.check_exact()
    reader.require_all_used({"meta"})
    return LossyParts(transforms, prior, lmbda, has_pixel_model)


def read_pixel_model(content: bytes, name: str) -> PixelModel:
    """The pixel model of a model file.

    Raises:
        ModelError: as :func:`read_lossy_parts`.
    """
    from mnistzip.models.pixel.copy_attention import CopyAttention  # lossy files do without
    from mnistzip.models.pixel.pixel_model import HIDDEN_LAYERS, PixelModel, PlaneNet
    from mnistzip.models.pixel.planes import Plane

    arrays, _ = read_arrays(content, name, lambda array: array.startswith(PIXEL_PREFIX))
    try:
        reader = ArrayReader(arrays, name)
        nets = []
        for plane in Plane:
            key = f"pixels.{plane.name.lower()}"
            hidden = tuple(reader.affine(f"{key}.{number}") for number in range(HIDDEN_LAYERS))
            rows, columns = reader.array(f"{key}.rows", 2), reader.array(f"{key}.columns", 2)
            nets.append(PlaneNet(plane, hidden, rows, columns, reader.affine(f"{key}.head")))
        copying = CopyAttention(reader.affine("pixels.query"), reader.affine("pixels.key"), reader.array("pixels.levels", 2))
        pixel_model = PixelModel(tuple(nets), copying, reader.array("pixels.blank", 1).astype(np.int64))
    except READ_ERRORS as cause:
        raise damaged(name, repr(cause)) from cause
    pixel_model.check_exact()
    reader.require_all_used()
    return pixel_model


def kind(content: bytes, name: str) -> str | None:
    """The kind that the description of a model file names, or None.

    Raises:
        ModelError: as :func:`read_lossy_parts`.
    """
    arrays, _ = read_arrays(content, name, lambda array: array == "meta")
    try:
        named = description(arrays["meta"], name).get("kind")
        if named not in (None, GREY, BITMAP):
            raise ValueError(f"it is of the kind {named!r}")
        return named
    except READ_ERRORS as cause:
        raise damaged(name, repr(cause)) from cause


def _read_transforms(reader: ArrayReader, meta: dict[str, Any]) -> Transforms:
    low, high = meta["symbols"]
    return Transforms(
        analysis=reader.layers(meta["analysis"]),
        synthesis=reader.layers(meta["synthesis"]),
        fine=reader.per_quality("fine"),
        fine_shift=integer_in(meta["fine_shift"], 1, SHIFT_MAX),
        step=reader.per_quality("step"),
        symbols=Range(integer_in(low, -127, 0), integer_in(high, 0, 127)),
    )


def _read_prior(reader: ArrayReader, low: int) -> Prior:
    return Prior.from_integers(
        near_weight=reader.array("prior.near_weight", 2),
        far_weight=reader.array("prior.far_weight", 2),
        skip_weight=reader.array("prior.skip_weight", 2),
        head_weight=reader.array("prior.head_weight", 3),
        near_bias=reader.per_quality("prior.near_bias"),
        far_bias=reader.per_quality("prior.far_bias"),
        head_bias=reader.array("prior.head_bias", 2),
        near_shift=reader.shifts("prior.near_shift"),
        far_shift=reader.shifts("prior.far_shift"),
        head_shift=reader.shifts("prior.head_shift", 2),
        low=low,
    )


def damaged(name: str, error: str) -> ModelError:
    """The error of a file that is no valid model."""
    return ModelError(f"model {name} is damaged or not a model of mnistzip: {error}")


def description(raw: NDArray[np.generic], name: str) -> dict[str, Any]:
    """The JSON of a model file.

    Raises:
        ModelError: it is of another version.
    """
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise ValueError("array meta does not hold text as bytes")
    meta = json.loads(raw.tobytes().decode("utf-8"), object_pairs_hook=_unique_keys)
    if not isinstance(meta, dict):
        raise ValueError("array meta does not hold a JSON object")
    if type(meta["version"]) is not int or meta["version"] != FILE_VERSION:
        raise ModelError(f"model {name}: version {meta['version']} of the model file needs a newer mnistzip")
    return meta


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate keys: readers would not agree on which of them counts."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("its description has a duplicate key")
    return unique


def require_keys(described: dict[str, Any], required: set[str], optional: set[str] | None = None) -> None:
    """Raise unless all keys are known: a key that this version skipped might change every pixel."""
    if unknown := set(described) - required - (optional or set()):
        raise ValueError(f"key {sorted(unknown)[0]!r} of its description is unknown, or comes from a newer version")
    if missing := required - set(described):
        raise ValueError(f"key {sorted(missing)[0]!r} is missing in its description")


def read_arrays(content: bytes, name: str, wanted: Callable[[str], bool] = lambda _: True) -> tuple[Arrays, bool]:
    """The wanted arrays of an ``.npz``, with sizes checked before memory is allocated; and whether there are others."""
    arrays: Arrays = {}
    names: set[str] = set()
    left = MODEL_FILE_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                left -= entry.file_size
                if left < 0:
                    raise ModelError(f"model {name}: its arrays take more than the {MODEL_FILE_MAX} bytes allowed")
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{entry.filename} is compressed by a method that model files do not use")
                array = entry.filename.removesuffix(".npy")
                if array == entry.filename:
                    raise ValueError(f"{entry.filename} is not an array in the .npy format")
                if array in names:
                    raise ValueError(f"{entry.filename} is in the file twice")
                names.add(array)
                if wanted(array):
                    with archive.open(entry) as file:
                        arrays[array] = _read_array(file.read(entry.file_size + 1), array)
    except ModelError:
        raise
    except Exception as cause:  # zipfile, zlib, numpy and tokenize each raise errors of several types
        raise damaged(name, str(cause)) from cause
    return arrays, len(names) > len(arrays)


def _read_array(data: bytes, name: str) -> NDArray[np.generic]:
    """An array of the ``.npy`` format, version 1.0: plain integers of at most 32 bits, in C order, low byte first."""
    if (name == "meta" and len(data) > MODEL_META_MAX) or int.from_bytes(data[8:10], "little") > ARRAY_HEADER_MAX:
        raise ValueError(f"{name}.npy is larger than a model file allows")
    stream = io.BytesIO(data)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError(f"{name}.npy has another version of the .npy format")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy only warns of some malformed headers
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    if dtype.kind not in "iu" or fortran or dtype.itemsize > 4 or dtype.str[0] == ">":
        raise ValueError(f"array {name}.npy holds {dtype.str}, not plain integers of at most 32 bits")
    return np.frombuffer(data[stream.tell() :], dtype).reshape(shape)


def integer_in(value: object, low: int, high: int) -> int:
    """A value of the description; raises ``ValueError`` unless it is an integer in ``low..high``."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value!r} is not an integer in {low}..{high}")
    return value


class ArrayReader:
    """Arrays by name, checked, and the layers that are built of them."""

    def __init__(self, arrays: Arrays, model: str) -> None:
        self.model = model
        self._arrays = arrays
        self._layer_count = 0
        self._layer_names: set[str] = set()
        self._used: set[str] = set()

    def require_all_used(self, others: set[str] | None = None) -> None:
        """Raise if there are arrays that nothing has read, apart from ``others``."""
        if unknown := set(self._arrays) - self._used - (others or set()):
            raise ModelError(f"model {self.model}: its array {sorted(unknown)[0]!r} is unknown, or comes from a newer version")

    def array(self, key: str, rank: int) -> Floats:
        """Integers of at most 2^24, which float32 holds exactly."""
        self._used.add(key)
        array = self._arrays[key]
        if array.ndim != rank or array.size == 0 or max(-int(array.min()), int(array.max())) > SUM_MAX:
            raise ValueError(f"array {key} of shape {array.shape} is not of rank {rank} or out of range")
        return np.ascontiguousarray(array, np.float32)

    def shifts(self, key: str, rank: int = 1) -> Floats:
        """Numbers of bits."""
        array = self.array(key, rank)
        if array.min() < 0 or array.max() > SHIFT_MAX:
            raise ValueError(f"array {key} has shifts outside 0..{SHIFT_MAX}")
        return array

    def per_quality(self, key: str, rank: int = 2) -> Floats:
        """A table with one row per quality."""
        array = self.array(key, rank)
        if len(array) != QUALITIES:
            raise ValueError(f"array {key} has {len(array)} rows, not one for each of the {QUALITIES} qualities")
        return array

    def lmbda(self) -> NDArray[np.int64]:
        """The weight of the squared error that each quality was trained for, shape ``(100,)``."""
        lmbda = self.array("lmbda", 1).astype(np.int64)
        if lmbda.shape != (QUALITIES,) or lmbda.min() < 0:
            raise ValueError("array lmbda is not one weight for each quality")
        return lmbda

    def affine(self, name: str) -> Affine:
        weight, bias = self.array(f"{name}.weight", 2), self.array(f"{name}.bias", 1)
        return Affine.from_integers(f"{self.model} {name}", weight, bias, self.shifts(f"{name}.shift"))

    def layers(self, described: list[dict[str, Any]]) -> tuple[Layer, ...]:
        return tuple(self._layer(entry) for entry in described)

    def _layer(self, entry: dict[str, Any]) -> Layer:
        self._layer_count += 1
        if self._layer_count > MODEL_LAYERS_MAX:
            raise ValueError(f"more than {MODEL_LAYERS_MAX} layers")
        kind = LAYER_KINDS.get(entry["op"])
        if kind is None:
            raise ValueError(f"unknown layer {entry['op']!r}")
        require_keys(entry, {"op", *kind.keys})
        return kind.from_spec(_LayerEntry(self, entry))

    def take_name(self, name: object) -> str:
        """The name of a layer, which no other layer has."""
        if not isinstance(name, str) or name in self._layer_names:
            raise ValueError(f"two layers are named {name!r}")
        self._layer_names.add(name)
        return name


class _LayerEntry:
    """A :class:`~mnistzip.nn.layer_base.LayerSpec`: the description of one layer, and its arrays."""

    def __init__(self, reader: ArrayReader, entry: dict[str, Any]) -> None:
        self._reader = reader
        self._entry = entry
        self._prefix = reader.take_name(entry["name"]) if "name" in entry else ""
        self.name = f"{reader.model} {self._prefix}"

    def integer(self, key: str, low: int, high: int) -> int:
        return integer_in(self._entry[key], low, high)

    def output_range(self) -> Range:
        low, high = self._entry["to"]
        return Range(integer_in(low, -SUM_MAX, 0), integer_in(high, 0, SUM_MAX))

    def inner_layers(self, key: str = "layers") -> tuple[Layer, ...]:
        if not self._entry[key]:
            raise ValueError(f"a layer with no {key} inside")
        return self._reader.layers(self._entry[key])

    def array(self, key: str, rank: int) -> Floats:
        return self._reader.array(f"{self._prefix}.{key}", rank)

    def per_quality(self, key: str) -> Floats:
        return self._reader.per_quality(f"{self._prefix}.{key}")

    def shifts(self, key: str) -> Floats:
        return self._reader.shifts(f"{self._prefix}.{key}")
