"""What fuzzing feeds to the functions of the library in C that take whole files: they must agree with Python."""

from __future__ import annotations

from functools import cache

import numpy as np

import mnistzip
from mnistzip import api
from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header
from mnistzip.engines import choice
from mnistzip.models.registry import BITMAPS, shipped
from mnistzip.types import Mode, Pixels
from support import both_engines
from support.both_engines import both, target
from support.c_library import CLibrary
from support.engines import EXTENSION
from support.fuzz_targets import DIGIT

PIXELS_MAX, SIDE, QUALITIES = 900, 40, 100  # as for the other targets
MODELS = ("mnist", "mnist-fast", "mnist-micro", "glyph", "classic", "grey", BITMAPS)


@cache
def _library() -> CLibrary:
    assert EXTENSION is not None
    return CLibrary(EXTENSION.__file__ or "")


@target
def library(data: bytes) -> None:
    """A file for the functions of the library that take whole files, and if its first byte is odd pixels for them."""
    if data[:1] and data[0] & 1:
        _encode_by_library(data)
        return
    file = data[1:]
    header = _library().read_header(file)
    with choice.use(both_engines.reference):
        try:
            parsed, payload = container.parse(file, 1 << 32)
        except mnistzip.MnistzipError:
            parsed = payload = None
    if parsed is None or parsed.mode is Mode.STORED:
        assert header is None, "the library reads a header that Python refuses"
        return
    assert header is not None, "the library refuses a header that Python reads"
    assert (header.width, header.height, header.mode) == (parsed.width, parsed.height, parsed.mode)
    if isinstance(parsed.model, bytes) or parsed.width * parsed.height > PIXELS_MAX:
        return
    with choice.use(both_engines.reference):
        try:
            used = api.model_for(parsed.model or 0, None)
            used.require_mode(parsed.mode)
        except mnistzip.MnistzipError:
            return
        expected = mnistzip.decode_each([file], max_pixels=PIXELS_MAX)[0]
    found = _library().decode(used, header, payload or b"")
    if isinstance(expected, mnistzip.FormatError):
        assert found is None, "the library decodes what Python refuses"
    else:
        assert found is not None, "the library refuses what Python decodes"
        assert np.array_equal(found, expected), "the library decodes to other pixels"


def _encode_by_library(data: bytes) -> None:
    """Pixels to a file of the library, which Python decodes to what the library does."""
    if len(data) < 6:
        return
    _, which, way, quality, height, width = data[:6]
    shape = (28, 28) if way & 4 else (height % SIDE + 1, width % SIDE + 1)
    x: Pixels = np.resize(np.frombuffer(data[6:] or b"\0", np.uint8), shape[0] * shape[1]).reshape(shape)
    used = shipped(MODELS[which % len(MODELS)])
    if used.is_bitmap and way & 8:
        x = DIGIT
    mode = (Mode.LOSSY, Mode.LOSSLESS, Mode.BOUNDED)[way % 3]
    header = Header(
        mode,
        *shape[::-1],
        model=used.named,
        quality=quality % QUALITIES + 1 if mode is Mode.LOSSY else None,
        max_error=quality % 64 + 1 if mode is Mode.BOUNDED else None,
    )
    file = _library().encode(used, header, x, effort=way // 16 % 3)
    if file is None:
        assert used.is_bitmap or not used.has_pixel_model, "the library does not code an image"
        return
    assert file.startswith(header.to_bytes())
    decoded = both(data, lambda _: mnistzip.decode(file, max_pixels=SIDE**2))
    again = _library().decode(used, header, file[len(header.to_bytes()) :])
    assert again is not None
    assert np.array_equal(decoded, again)
    if mode is not Mode.LOSSY:
        assert np.abs(decoded.astype(int) - x).max() <= (header.max_error or 0)
