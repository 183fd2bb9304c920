"""Files that keep every pixel without a model: raw, deflated, or deflated differences, whichever is smallest, and a check."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from mnistzip.container import Header, Method, Mode
from mnistzip.errors import FormatError

CHECK_BYTES = 2

Pixels = NDArray[np.uint8]


def store(image: Pixels, differences: bool = False) -> bytes:
    """A file that keeps every pixel: the smallest of raw and deflated rows and, if asked for, deflated differences."""
    height, width = image.shape
    bodies = {Method.RAW: image.tobytes(), Method.DEFLATE: deflate(image.tobytes())}
    if differences:
        up = np.diff(image, axis=0, prepend=np.uint8(0))  # modulo 256
        bodies[Method.UP] = deflate(up.tobytes())
        bodies[Method.GRADIENT] = deflate(np.diff(up, axis=1, prepend=np.uint8(0)).tobytes())
    method = min(bodies, key=lambda method: len(bodies[method]))
    header = Header(Mode.STORED, width, height, method=method).to_bytes()
    return header + bodies[method] + _check(header, image)


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
    if header.method is not Method.RAW:
        body = inflate(body, pixels)
    if len(body) != pixels:
        raise FormatError(f"the file holds {len(body)} pixels, not the {pixels} of a {header.width}x{header.height} image")
    image = np.frombuffer(body, np.uint8).reshape(header.height, header.width).copy()
    if header.method is Method.GRADIENT:
        image = np.add.accumulate(image, axis=1, dtype=np.uint8)
    if header.method in (Method.UP, Method.GRADIENT):
        image = np.add.accumulate(image, axis=0, dtype=np.uint8)
    if _check(header.to_bytes(), image) != check:
        raise FormatError("the file is damaged: its content does not match its check")
    return image
