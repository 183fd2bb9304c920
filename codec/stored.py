"""Files that keep every pixel without a model: raw or deflated, whichever is smaller, and a check."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from mnistzip.container import Header, Method, Mode
from mnistzip.errors import FormatError

CHECK_BYTES = 2

Pixels = NDArray[np.uint8]


def store(image: Pixels) -> bytes:
    """A file that keeps every pixel: the smaller of raw and deflated rows."""
    height, width = image.shape
    deflated = deflate(image.tobytes())
    small = len(deflated) < image.size
    header = Header(Mode.STORED, width, height, method=Method.DEFLATE if small else Method.RAW).to_bytes()
    return header + (deflated if small else image.tobytes()) + _check(header, image)


def deflate(raw: bytes) -> bytes:
    """A raw deflate stream, as small as zlib makes it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return packer.compress(raw) + packer.flush()


def inflate(packed: bytes, limit: int) -> bytes:
    """The inverse of :func:`deflate`; no more than ``limit + 1`` bytes of it.

    Raises:
        FormatError: not a deflate stream that ends with the bytes given, or one of more than ``limit`` bytes.
    """
    unpacker = zlib.decompressobj(-15)
    try:
        raw = unpacker.decompress(packed, limit + 1)
    except zlib.error as cause:
        raise FormatError(f"the file is damaged: {cause}") from cause
    if not unpacker.eof or unpacker.unused_data:
        raise FormatError("the file is damaged: its deflated pixels do not end where the file does")
    return raw


def _check(header: bytes, image: Pixels) -> bytes:
    return (zlib.crc32(image.tobytes(), zlib.crc32(header)) & 0xFFFF).to_bytes(CHECK_BYTES, "big")


def unstore(header: Header, payload: bytes) -> Pixels:
    """The image of a stored payload.

    Raises:
        FormatError: damaged, or not as many pixels as the header says.
    """
    body, check = payload[:-CHECK_BYTES], payload[-CHECK_BYTES:]
    pixels = header.width * header.height
    if header.method is Method.DEFLATE:
        body = inflate(body, pixels)
    if len(body) != pixels:
        raise FormatError(f"the file holds {len(body)} pixels, not the {pixels} of a {header.width}x{header.height} image")
    image = np.frombuffer(body, np.uint8).reshape(header.height, header.width).copy()
    if _check(header.to_bytes(), image) != check:
        raise FormatError("the file is damaged: its content does not match its check")
    return image
