"""Model files: what a decoder needs beside the coded file. And the registry of the models that ship.

A model file is an ``.npz`` of integer arrays plus one array ``meta`` with JSON text in UTF-8. Nothing in it is executed or
unpickled. Sizes are checked before memory is taken, every array's type and shape before use, and every sum is proved exact
before the model is handed out. FORMAT.md describes the file; a model's fingerprint is a hash of its content, not of the
zip around it.
"""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip import pretrained
from mnistzip.bitstream.container import HASH_BYTES, require_pixels
from mnistzip.errors import LimitError, ModelError, OptionError
from mnistzip.limits import (
    ARRAY_HEADER_MAX,
    MACS_MAX,
    MODEL_FILE_MAX,
    MODEL_LAYERS_MAX,
    MODEL_META_MAX,
    PIXELS_MAX,
    PRIOR_VALUES_MAX,
)
from mnistzip.models import user_models
from mnistzip.models.latent_prior import Prior
from mnistzip.models.transforms import Transforms
from mnistzip.nn.layers import (
    SUM_MAX,
    Affine,
    Conv,
    DepthToSpace,
    Gain,
    Layer,
    Lookup,
    MaxPool,
    Range,
    Residual,
    SpaceToDepth,
    Upsample,
)
from mnistzip.tiling import TILE, tiles_in
from mnistzip.types import Floats, Mode

if TYPE_CHECKING:
    from mnistzip.models.pixel.pixel_model import PixelModel

FILE_VERSION = 1
FINGERPRINT_BYTES = 8
QUALITIES = 100
SHIPPED = {"mnist": 0, "classic": 1, "mnist-fast": 2, "glyph": 3}  # ids in files: they never change meaning
AUTO = "auto"  # no model, but whichever of CANDIDATES suits an image
DEFAULT = AUTO
DIGITS = "mnist"  # the model of files whose header names none, and what both ends of a bare stream take if nothing is said
CANDIDATES = (DIGITS, "glyph")
ABOUT = {
    "mnist": "variable-rate codec for handwritten digits, trained for rate and distortion together; keeps every pixel, too",
    "mnist-fast": "a small mnist, more than twice as fast, 1 dB below at equal bytes; lossless files take 5 bytes more",
    "glyph": "for letters, digits and symbols of all kinds, printed and written; a small network; keeps every pixel, too",
    "classic": "the plain autoencoder that mnistzip descends from, quantized and given a prior",
}

LAYER_KEYS = {  # of a layer's description, beside op
    "conv": ("name", "kernel", "to"),
    "gain": ("name", "to"),
    "residual": ("layers", "to"),
    "space_to_depth": ("size",),
    "depth_to_space": ("size",),
    "max_pool": (),
    "upsample": (),
    "lookup": ("name", "low"),
}
PIXELS = "pixels."  # names of the pixel model's arrays begin so
DAMAGE = (KeyError, TypeError, ValueError, IndexError, RecursionError)  # what reading a broken model file may end in

Arrays = dict[str, NDArray[np.generic]]
Placing = Callable[[Transforms, Prior], tuple[Transforms, Prior]]
_placing: list[Placing] = []  # one at most


@dataclass(frozen=True, eq=False)
class Model:
    """A model that was loaded, checked and proved exact.

    Attributes:
        name: for people: the shipped name or the file's stem.
        number: the id of a shipped model in files, or None.
        content: the model file.
        lmbda: weight of the squared error that each quality was trained for, shape ``(100,)``; only encoders use it.
        keeps_pixels: whether it has a pixel model.
    """

    name: str
    number: int | None
    content: bytes
    transforms: Transforms
    prior: Prior
    lmbda: NDArray[np.int64]
    keeps_pixels: bool

    @cached_property
    def fingerprint(self) -> bytes:
        """First 8 bytes of the SHA-256 of what the file holds."""
        return fingerprint(_read_arrays(self.content, self.name)[0])

    @cached_property
    def pixels(self) -> PixelModel | None:
        """What codes every pixel; None if the model cannot."""
        return _read_pixels(self.content, self.name) if self.keeps_pixels else None

    def pixel_model(self) -> PixelModel:
        """What codes every pixel, or :class:`~mnistzip.errors.ModelError`."""
        if self.pixels is None:
            raise ModelError(f"the file keeps every pixel by the pixel model of {self.name}, which has none")
        return self.pixels

    def tiles_unasked(self, mode: Mode) -> int:
        """How many tiles are decoded unasked, in some seconds; of shipped models the limits of pixels say so."""
        if mode is Mode.STORED or self.number is not None or not (self.keeps_pixels or mode is Mode.LOSSY):
            return PIXELS_MAX
        if mode is Mode.LOSSY:
            return min(MACS_MAX[mode] // (self.transforms.work + self.prior.work), PRIOR_VALUES_MAX // self.prior.held)
        return MACS_MAX[mode] // (self.pixel_model().work * TILE**2)

    def require_quick(self, mode: Mode, shapes: Iterable[Iterable[int]]) -> None:
        """Raise :class:`~mnistzip.errors.LimitError` if images of such ``(H, W)`` take longer than is decoded unasked."""
        if self.number is not None:
            return
        if mode is Mode.LOSSY:
            tiles = sum(tiles_in(width, height) for height, width in shapes)
        else:
            tiles = sum(height * width for height, width in shapes) // TILE**2
        if tiles > (most := self.tiles_unasked(mode)):
            raise LimitError(
                f"the model {self.name} is too large for {tiles} tiles, as it takes seconds for {most} already: max_pixels "
                "(--max-pixels) allows more"
            )

    @property
    def named(self) -> int | bytes:
        """What a single file names the model by: its id, or the first bytes of its fingerprint."""
        return self.fingerprint[:HASH_BYTES] if self.number is None else self.number

    def row(self, quality: int) -> int:
        """The row of the tables per quality that a quality 1..100 uses."""
        return quality - 1


def within_limits(mode: Mode, model: Model | None, shapes: Iterable[tuple[int, int]]) -> bool:
    """Whether images of such ``(H, W)`` are decoded without ``max_pixels``; model is None where they are stored."""
    every = list(shapes)
    try:
        for height, width in every:
            require_pixels(mode, width, height, None)
        if model is not None:
            model.require_quick(mode, every)
    except LimitError:
        return False
    return True


def place(how: Placing | None) -> None:
    """Have the lossy networks of all models computed elsewhere from now on, as on a graphics processor; None brings them back.

    Args:
        how: makes of transforms and prior others that give the same.
    """
    _placing[:] = [how] if how else []
    shipped.cache_clear()
    _by_path.cache_clear()


@cache
def shipped(name: str) -> Model:
    """A model of the package, by name; it is loaded once, its pixel model when that is first used."""
    return _read_lossy(_packaged(f"{name}.npz"), name, SHIPPED[name])


def _packaged(file: str) -> bytes:
    """The content of a model file that is part of the package."""
    try:
        return Path(pretrained.__file__).with_name(file).read_bytes()
    except OSError:  # the package is imported from a zip file
        from importlib import resources  # importing it takes longer than reading the file

        return resources.files(pretrained).joinpath(file).read_bytes()


def by_number(number: int) -> Model:
    """The shipped model that a file names by its id."""
    for name, known in SHIPPED.items():
        if known == number:
            return shipped(name)
    ids = ", ".join(f"{known} = {name}" for name, known in SHIPPED.items())
    raise ModelError(f"the file needs the shipped model {number}, which this version does not know (it has {ids})")


def find(model: str | Path | Model) -> Model:
    """A model by shipped name, by the path of its file, or by the name of one of one's own
    (:mod:`mnistzip.models.user_models`).
    """
    if isinstance(model, Model):
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise OptionError(f"a model is given as {type(model).__name__}: give its name or the path of its file")
    if str(model) in SHIPPED:
        return shipped(str(model))
    path = Path(model) if os.path.isfile(model) else user_models.named(str(model))
    if path is None:
        known = [*SHIPPED, AUTO, *(own.stem for own in user_models.files())]
        raise ModelError(f"no model {str(model)[:200]!r}: give one of {', '.join(known)} or the path of an .npz file")
    return _by_path(path, path.stat().st_mtime_ns)


def candidates(model: str | Path | Model) -> list[Model]:
    """The models that may code an image: the one that :func:`find` finds, or several for ``auto``."""
    return [shipped(name) for name in CANDIDATES] if model == AUTO else [find(model)]


def find_bare(model: str | Path | Model) -> Model:
    """The model of a bare stream, which both ends must know: a named one, or ``mnist`` where nothing is said."""
    return shipped(DIGITS) if model == AUTO else find(model)


def ships(model: str | Path | Model) -> bool:
    """Whether this is what comes with the package, or ``auto``, which chooses from that."""
    return model.number is not None if isinstance(model, Model) else str(model) in (*SHIPPED, AUTO)


def by_fingerprint(wanted: bytes) -> Model:
    """The model that a file names by its fingerprint or the first bytes of it: one of one's own, else one that ships."""
    for path in user_models.files():
        if _fingerprint_of(path, path.stat().st_mtime_ns).startswith(wanted):
            return _by_path(path, path.stat().st_mtime_ns)
    for name in SHIPPED:  # a file may be older than the number of its model
        if shipped(name).fingerprint.startswith(wanted):
            return shipped(name)
    raise ModelError(
        f"the file needs the custom model {wanted.hex()}: pass its model file, add it by 'mnistzip models --add', "
        f"or name its folder in {user_models.PATH}"
    )


@cache
def _by_path(path: Path, _mtime: int) -> Model:
    return read_model(_content_of(path), path.stem)


@cache
def _fingerprint_of(path: Path, _mtime: int) -> bytes:
    """Of a model file; empty if it is none."""
    try:
        return fingerprint(_read_arrays(_content_of(path), path.stem)[0])
    except (ModelError, OSError):
        return b""


def _content_of(path: Path) -> bytes:
    if path.stat().st_size > MODEL_FILE_MAX:
        raise ModelError(f"{path}: {path.stat().st_size} bytes are more than a model file may have ({MODEL_FILE_MAX})")
    return path.read_bytes()


def fingerprint(arrays: Arrays) -> bytes:
    """First 8 bytes of the SHA-256 over name, type, shape and content of every array, in order of name."""
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.digest()[:FINGERPRINT_BYTES]


def read_model(content: bytes, name: str, number: int | None = None) -> Model:
    """Read, check and prove a model file, all of it at once.

    Raises:
        ModelError: it is not a model file, not one for this version, damaged, or not provably exact.
    """
    model = _read_lossy(content, name, number)
    _ = model.pixels, model.fingerprint
    return model


def _read_lossy(content: bytes, name: str, number: int | None) -> Model:
    """All of a model but its pixel model."""
    arrays, has_pixels = _read_arrays(content, name, lambda array: not array.startswith(PIXELS))
    try:
        meta = _description(arrays["meta"])
        if type(meta["version"]) is not int or meta["version"] != FILE_VERSION:
            raise ModelError(f"model {name}: version {meta['version']} of the model file needs a newer mnistzip")
        _require_keys(meta, {"version", "symbols", "fine_shift", "analysis", "synthesis"}, {"pixels"})
        parts = _Parts(arrays, name)
        low, high = meta["symbols"]
        transforms = Transforms(
            analysis=parts.layers(meta["analysis"]),
            synthesis=parts.layers(meta["synthesis"]),
            fine=parts.rows("fine"),
            fine_shift=_integer(meta["fine_shift"], 1, 30),
            step=parts.rows("step"),
            symbols=Range(_integer(low, -127, 0), _integer(high, 0, 127)),
        )
        prior = Prior(
            near_weight=parts.floats("prior.near_weight", 2),
            far_weight=parts.floats("prior.far_weight", 2),
            skip_weight=parts.floats("prior.skip_weight", 2),
            head_weight=parts.floats("prior.head_weight", 3),
            near_bias=parts.rows("prior.near_bias"),
            far_bias=parts.rows("prior.far_bias"),
            head_bias=parts.floats("prior.head_bias", 2),
            near_shift=parts.shift("prior.near_shift"),
            far_shift=parts.shift("prior.far_shift"),
            head_shift=parts.shift("prior.head_shift", 2),
            low=transforms.symbols.low,
        )
        lmbda = parts.floats("lmbda", 1).astype(np.int64)
        if lmbda.shape != (QUALITIES,) or lmbda.min() < 0:
            raise ValueError("array lmbda is not one weight for each quality")
        keeps_pixels = meta.get("pixels", False)
        if not isinstance(keeps_pixels, bool):
            raise ValueError(f"pixels is {keeps_pixels!r}, neither true nor false")
        if not keeps_pixels and has_pixels:
            raise ValueError("it has arrays of a pixel model that it does not speak of")
    except DAMAGE as cause:
        raise ModelError(f"model {name} is damaged or not a model of mnistzip: {cause!r}") from cause
    if prior.values != transforms.symbols.high - transforms.symbols.low + 1:
        raise ModelError(f"model {name}: the prior has {prior.values} values for the symbols {transforms.symbols}")
    prior.prove()
    transforms.prove()
    parts.require_all_used({"meta"})
    for how in _placing:
        transforms, prior = how(transforms, prior)
    return Model(name, number, content, transforms, prior, lmbda, keeps_pixels)


def _read_pixels(content: bytes, name: str) -> PixelModel:
    """The pixel model of a model file."""
    try:
        parts = _Parts(_read_arrays(content, name, lambda array: array.startswith(PIXELS))[0], name)
        pixels = parts.pixels()
    except DAMAGE as cause:
        raise ModelError(f"model {name} is damaged or not a model of mnistzip: {cause!r}") from cause
    pixels.prove()
    parts.require_all_used()
    return pixels


def _description(raw: NDArray[np.generic]) -> dict[str, Any]:
    """The JSON of a model file."""
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise ValueError("array meta is not text in bytes")
    meta = json.loads(raw.tobytes().decode("utf-8"), object_pairs_hook=_without_twins)
    if not isinstance(meta, dict):
        raise ValueError("array meta does not hold an object of JSON")
    return meta


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no key may stand twice: readers would not agree on which counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key of its description stands there twice")
    return found


def _require_keys(described: dict[str, Any], needed: set[str], more: set[str] | None = None) -> None:
    """Raise unless the keys are known: what this version would pass over might change every pixel."""
    if unknown := set(described) - needed - (more or set()):
        raise ValueError(f"{sorted(unknown)[0]!r} of its description is unknown, or comes from a newer version")
    if missing := needed - set(described):
        raise ValueError(f"{sorted(missing)[0]!r} is missing in its description")


def _read_arrays(content: bytes, name: str, wanted: Callable[[str], bool] = lambda _: True) -> tuple[Arrays, bool]:
    """The arrays of an ``.npz`` that are wanted, with every size checked before memory is taken; and whether there are more."""
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
                    raise ValueError(f"{entry.filename} is packed in a way that model files do not use")
                array = entry.filename.removesuffix(".npy")
                if array == entry.filename or array in names:
                    raise ValueError(f"{entry.filename} is no array, or is there twice")
                names.add(array)
                if not wanted(array):
                    continue
                with archive.open(entry) as file:
                    data = file.read(entry.file_size + 1)
                if (array == "meta" and len(data) > MODEL_META_MAX) or int.from_bytes(data[8:10], "little") > ARRAY_HEADER_MAX:
                    raise ValueError(f"{entry.filename} is larger than model files have it")
                stream = io.BytesIO(data)
                if npy.read_magic(stream) != (1, 0):
                    raise ValueError("an array of another version of the .npy format")
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # of headers by other hands
                    shape, fortran, dtype = npy.read_array_header_1_0(stream)
                if dtype.kind not in "iu" or fortran or dtype.itemsize > 4 or dtype.str[0] == ">":
                    raise ValueError(f"array {entry.filename} holds {dtype.str}, not plain integers of at most 32 bits")
                body = data[stream.tell() :]
                arrays[array] = np.frombuffer(body, dtype).reshape(shape)
    except ModelError:
        raise
    except Exception as cause:  # zipfile, zlib, numpy and tokenize each have errors of their own
        raise ModelError(f"model {name} is damaged or not a model of mnistzip: {cause}") from cause
    return arrays, len(names) > len(arrays)


def _integer(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value!r} is not an integer in {low}..{high}")
    return value


def _kernel(value: object) -> int:
    size = _integer(value, 1, 7)
    if size % 2 == 0:
        raise ValueError(f"a kernel of {size}x{size} has no middle")
    return size


class _Parts:
    """Builds layers out of their descriptions in the JSON and the arrays they name."""

    def __init__(self, arrays: Arrays, model: str) -> None:
        self._arrays = arrays
        self._model = model
        self._count = 0
        self._names: set[str] = set()
        self._used: set[str] = set()

    def require_all_used(self, others: set[str] | None = None) -> None:
        """Raise if there are arrays that nothing asked for, but for some."""
        if unknown := set(self._arrays) - self._used - (others or set()):
            raise ModelError(f"model {self._model}: its array {sorted(unknown)[0]!r} is unknown, or comes from a newer version")

    def floats(self, key: str, rank: int) -> Floats:
        self._used.add(key)
        array = self._arrays[key]
        if array.ndim != rank or array.size == 0 or max(-int(array.min()), int(array.max())) > SUM_MAX:
            raise ValueError(f"array {key} of shape {array.shape} is not of rank {rank} or out of range")
        return np.ascontiguousarray(array, np.float32)

    def shift(self, key: str, rank: int = 1) -> Floats:
        array = self.floats(key, rank)
        if array.min() < 0 or array.max() > 30:
            raise ValueError(f"array {key} has shifts outside 0..30")
        return array

    def rows(self, key: str) -> Floats:
        array = self.floats(key, 2)
        if len(array) != QUALITIES:
            raise ValueError(f"array {key} has {len(array)} rows, not one for each of the {QUALITIES} qualities")
        return array

    def affine(self, name: str) -> Affine:
        weight, bias = self.floats(f"{name}.weight", 2), self.floats(f"{name}.bias", 1)
        return Affine(f"{self._model} {name}", weight, bias, self.shift(f"{name}.shift"))

    def pixels(self) -> PixelModel:
        from mnistzip.models.pixel.copy_attention import Copying  # lossy files do without
        from mnistzip.models.pixel.pixel_model import PIXEL_LAYERS, PixelModel, PlaneNet
        from mnistzip.models.pixel.planes import Plane

        nets = []
        for plane in Plane:
            at = f"pixels.{plane.name.lower()}"
            layers = tuple(self.affine(f"{at}.{number}") for number in range(PIXEL_LAYERS))
            rows, columns = self.floats(f"{at}.rows", 2), self.floats(f"{at}.columns", 2)
            nets.append(PlaneNet(plane, layers, rows, columns, self.affine(f"{at}.head")))
        copying = Copying(self.affine("pixels.query"), self.affine("pixels.key"), self.floats("pixels.levels", 2))
        return PixelModel(tuple(nets), copying, self.floats("pixels.blank", 1).astype(np.int64))

    def layers(self, described: list[dict[str, Any]]) -> tuple[Layer, ...]:
        return tuple(self._layer(entry) for entry in described)

    def _layer(self, entry: dict[str, Any]) -> Layer:
        self._count += 1
        if self._count > MODEL_LAYERS_MAX:
            raise ValueError(f"more than {MODEL_LAYERS_MAX} layers")
        kind = entry["op"]
        if kind not in LAYER_KEYS:
            raise ValueError(f"unknown layer {kind!r}")
        _require_keys(entry, {"op", *LAYER_KEYS[kind]})
        if kind == "space_to_depth":
            return SpaceToDepth(_integer(entry["size"], 2, 4))
        if kind == "depth_to_space":
            return DepthToSpace(_integer(entry["size"], 2, 4))
        if kind == "max_pool":
            return MaxPool()
        if kind == "upsample":
            return Upsample()
        if kind == "residual":
            if not entry["layers"]:
                raise ValueError("a residual without layers")
            return Residual(self.layers(entry["layers"]), self._range(entry))
        name = entry["name"]
        if not isinstance(name, str) or name in self._names:
            raise ValueError(f"two layers are named {name!r}")
        self._names.add(name)
        if kind == "conv":
            return Conv(
                name=f"{self._model} {name}",
                kernel=_kernel(entry["kernel"]),
                weight=self.floats(f"{name}.weight", 2),
                place=self.floats(f"{name}.place", 3),
                quality=self.rows(f"{name}.quality"),
                shift=self.shift(f"{name}.shift"),
                to=self._range(entry),
            )
        if kind == "gain":
            return Gain(f"{self._model} {name}", self.rows(f"{name}.factor"), self._range(entry))
        return Lookup(f"{self._model} {name}", _integer(entry["low"], -SUM_MAX, SUM_MAX), self.floats(f"{name}.table", 1))

    def _range(self, entry: dict[str, Any]) -> Range:
        low, high = entry["to"]
        return Range(_integer(low, -SUM_MAX, 0), _integer(high, 0, SUM_MAX))
