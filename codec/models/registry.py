"""Find models: those that ship, by name, number or fingerprint, and the user's own, by path, name or fingerprint.

Models are cached by file, so each is read and checked once.
"""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mnistzip import pretrained
from mnistzip.errors import ModelError, OptionError
from mnistzip.limits import MODEL_FILE_MAX
from mnistzip.models import stored_models, user_models
from mnistzip.models.model import Model, read_model, within_limits

__all__ = [  # the whole of what models offer to those above, with the names of mnistzip.models.model
    "ABOUT",
    "AUTO",
    "BITMAPS",
    "CANDIDATES",
    "DEFAULT",
    "DIGITS",
    "SHIPPED",
    "Model",
    "by_fingerprint",
    "by_number",
    "candidates",
    "find",
    "find_bare",
    "is_shipped",
    "read_model",
    "shipped",
    "within_limits",
]

SHIPPED = {
    "mnist": 0,
    "classic": 1,
    "mnist-fast": 2,
    "glyph": 3,
    "grey": 4,
    "mnist-micro": 5,
    "mnist-bitmap": 6,
}  # numbers in files: they never change meaning
AUTO = "auto"  # not a model: the encoder chooses one of CANDIDATES for each image
DEFAULT = AUTO
DIGITS = "mnist"  # the model of files whose header names none, and of bare streams where nobody names one
CANDIDATES = (DIGITS, "glyph", "grey")
BITMAPS = "mnist-bitmap"  # what auto tries first on digits that are to be coded without loss
ABOUT = {
    "mnist": "variable-rate codec for handwritten digits, trained for rate and distortion together; keeps every pixel, too",
    "mnist-fast": "a small mnist, up to twice as fast, 1 dB below at equal bytes; lossless files take 5 bytes more",
    "glyph": "for letters, digits and symbols of all kinds, printed and written; a small network; keeps every pixel, too",
    "grey": "for small pictures of any kind and size, such as photographs and icons, without tiles; keeps every pixel, too",
    "mnist-micro": "for encoders on microcontrollers with 160 kB of flash; up to 2 dB below mnist-fast at equal bytes",
    "mnist-bitmap": "for MNIST's digits without loss, as the black and white bitmaps that they were made from",
    "classic": "the plain autoencoder that mnistzip descends from, quantized and given a prior",
}


@cache
def shipped(name: str) -> Model:
    """A model of the package, by name."""
    file = pretrained.FOLDER / f"{name}.npz"
    return Model(name, SHIPPED[name], file.name, stored_models.read(file.with_suffix(stored_models.SUFFIX), file))


def _reduced(model: Model) -> tuple[Callable[..., Model], tuple[object, ...]]:
    """How a model is pickled: a shipped one by its name, as its prepared model is mapped from a file."""
    return (shipped, (model.name,)) if isinstance(model.source, str) else (Model, (model.name, model.number, model.source))


copyreg.pickle(Model, _reduced)


def by_number(number: int) -> Model:
    """The shipped model that a file names by its number."""
    for name, shipped_number in SHIPPED.items():
        if shipped_number == number:
            return shipped(name)
    numbers = ", ".join(f"{shipped_number} = {name}" for name, shipped_number in SHIPPED.items())
    raise ModelError(f"the file needs the shipped model {number}, which this version does not have (it has {numbers})")


def find(model: str | Path | Model) -> Model:
    """A model by shipped name, by the path of its file, or by the name of one of the user's (see
    :mod:`mnistzip.models.user_models`). A loaded model is returned as it is.

    Raises:
        ModelError: there is no such model, or its file is no model.
        OptionError: ``model`` is neither a name nor a path nor a model.
    """
    if isinstance(model, Model):
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise OptionError(f"a model is given as {type(model).__name__}: give its name or the path of its file")
    if str(model) in SHIPPED:
        return shipped(str(model))
    path = Path(model) if os.path.isfile(model) else user_models.named(str(model))
    if path is None:
        names = [*SHIPPED, AUTO, *(file.stem for file in user_models.files())]
        raise ModelError(f"no model {str(model)[:200]!r}: give one of {', '.join(names)} or the path of an .npz file")
    return _load_path(path)


def candidates(model: str | Path | Model) -> list[Model]:
    """The models that may code an image: the one that :func:`find` finds, or several for ``auto``."""
    return [shipped(name) for name in CANDIDATES] if model == AUTO else [find(model)]


def find_bare(model: str | Path | Model) -> Model:
    """The model of a bare stream, which both ends must know: a named one, or ``mnist`` for ``auto``."""
    return shipped(DIGITS) if model == AUTO else find(model)


def is_shipped(model: str | Path | Model) -> bool:
    """Whether this model is part of the package; so is ``auto``, which chooses among those."""
    return model.number is not None if isinstance(model, Model) else str(model) in (*SHIPPED, AUTO)


def by_fingerprint(prefix: bytes) -> Model:
    """The model that a file names by its fingerprint or the first bytes of it: one of the user's, else a shipped one."""
    for path in user_models.files():
        if _fingerprint_of(path, path.stat().st_mtime_ns).startswith(prefix):
            return _load_path(path)
    for name in SHIPPED:  # a file may be older than the number of its model
        if shipped(name).is_named(prefix):
            return shipped(name)
    raise ModelError(
        f"the file needs the custom model {prefix.hex()}: pass its model file, add it by 'mnistzip models --add', "
        f"or name its folder in {user_models.PATH}"
    )


def _load_path(path: Path) -> Model:
    return _load(path, path.stat().st_mtime_ns)


@cache
def _load(path: Path, _mtime: int) -> Model:
    return read_model(_read_file(path), path.stem)


@cache
def _fingerprint_of(path: Path, _mtime: int) -> bytes:
    """The fingerprint of a model file; empty if it cannot be read."""
    from mnistzip.models import model_file

    try:
        return model_file.fingerprint(_read_file(path), path.stem)
    except (ModelError, OSError):
        return b""


def _read_file(path: Path) -> bytes:
    if path.stat().st_size > MODEL_FILE_MAX:
        raise ModelError(f"{path}: {path.stat().st_size} bytes are more than a model file may have ({MODEL_FILE_MAX})")
    return path.read_bytes()
