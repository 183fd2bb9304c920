"""The functions of ``engine/mnistzip.h`` that take whole files, in a library that shows its symbols."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream import container
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models import prepared
from mnistzip.models.model import Model
from mnistzip.types import Mode, Pixels

ALIGNMENT, HEADER_MAX, BY_FINGERPRINT = 64, 14, 15
Octets = NDArray[np.uint8]


class CHeader(ctypes.Structure):
    """``mnz_header``."""

    _fields_ = (
        ("mode", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("model", ctypes.c_int),
        ("fingerprint", ctypes.c_uint8 * 4),
        ("quality", ctypes.c_int),
        ("max_error", ctypes.c_int),
    )


def is_visible(path: str) -> bool:
    """Whether a library shows its symbols; the extension of an installation does not."""
    return hasattr(ctypes.CDLL(path), "mnz_decode")


class CLibrary:
    """The library at a path."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._models: WeakKeyDictionary[Model, tuple[Octets, Octets, ctypes.c_void_p]] = WeakKeyDictionary()
        for name in ("mnz_model_memory", "mnz_image_workspace", "mnz_file_bound"):
            getattr(self._library, name).restype = ctypes.c_size_t

    def read_header(self, file: bytes) -> CHeader | None:
        """The header of a file; None if it is refused."""
        header, size = CHeader(), ctypes.c_size_t()
        status = self._library.mnz_read_header(file, _size(len(file)), ctypes.byref(header), ctypes.byref(size))
        return None if status else header

    def decode(self, model: Model, header: CHeader | container.Header, payload: bytes) -> Pixels | None:
        """The image of a payload; None if it is refused."""
        c_header = _header(header)
        x = np.empty((c_header.height, c_header.width), np.uint8)
        space = self._workspace(model, c_header)
        arguments = self._load(model), ctypes.byref(c_header), payload, _size(len(payload)), CHECK_BITS_MIN, _at(x)
        return None if self._library.mnz_decode(*arguments, _at(space), _size(space.size)) else x

    def encode(self, model: Model, header: container.Header, x: Pixels, effort: int) -> bytes | None:
        """The file of an image; None if the model cannot code it."""
        c_header, written = _header(header), ctypes.c_size_t()
        x, space = np.ascontiguousarray(x), self._workspace(model, c_header)
        out = np.empty(self._library.mnz_file_bound(ctypes.byref(c_header)), np.uint8)
        arguments = self._load(model), ctypes.byref(c_header), _at(x), effort, -1, _at(out), _size(out.size)
        status = self._library.mnz_encode(*arguments, ctypes.byref(written), _at(space), _size(space.size))
        return None if status else out[: written.value].tobytes()

    def _workspace(self, model: Model, header: CHeader) -> Octets:
        return _aligned(int(self._library.mnz_image_workspace(self._load(model), ctypes.byref(header))))

    def _load(self, model: Model) -> ctypes.c_void_p:
        if model not in self._models:
            content = np.frombuffer(prepared.prepare(model), np.uint8)
            held = _aligned(content.size)
            held[:] = content
            memory = _aligned(int(self._library.mnz_model_memory(_at(held), _size(held.size))))
            loaded = ctypes.c_void_p()
            arguments = _at(held), _size(held.size), None, _at(memory), _size(memory.size)
            status = self._library.mnz_model_load(*arguments, ctypes.byref(loaded))
            assert status == 0, "a sound model does not load"
            self._models[model] = held, memory, loaded
        return self._models[model][2]


def _header(header: CHeader | container.Header) -> CHeader:
    if isinstance(header, CHeader):
        return header
    name = header.model if isinstance(header.model, bytes) else bytes(4)
    number = BY_FINGERPRINT if isinstance(header.model, bytes) else header.model or 0
    quality, max_error = header.quality or 0, header.max_error or 0
    return CHeader(int(Mode(header.mode)), header.width, header.height, number, (ctypes.c_uint8 * 4)(*name), quality, max_error)


def _aligned(size: int) -> Octets:
    """Memory that is aligned as the library wants it."""
    block = np.empty(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + size]


_size: Callable[[int], Any] = ctypes.c_size_t


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
