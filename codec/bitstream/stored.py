"""Files that keep every pixel without a model: raw, deflated, or deflated differences, whichever is smallest, and a check."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

from mnistzip.bitstream.container import Header, Method
from mnistzip.errors import FormatError
from mnistzip.types import Mode, Pixels

CHECK_BYTES = 2
LITERAL_BITS = 5  # what a deflate stream spends on each byte value that occurs, at least
ONE_BLOCK = 1 << 15  # bytes that :func:`deflate` puts into one block and perhaps one symbol of another


def store(image: Pixels) -> bytes:
    """The smallest file that keeps every pixel without a model."""
    return _file(image, *smallest_body([image]))


def smaller_stored(file: bytes, image: Pixels) -> bytes:
    """A file that a model coded, or the stored one if that is no larger."""
    body = body_below(image, len(file) + 1)
    return file if body is None else min(_file(image, *body), file, key=len)


def smallest_body(images: Sequence[Pixels]) -> tuple[Method, bytes]:
    """How the pixels of some images take the fewest bytes: raw, or deflated by the best method."""
    return _smallest(b"".join(image.tobytes() for image in images), _ways(images))


def body_below(image: Pixels, limit: int) -> tuple[Method, bytes] | None:
    """The same for one image; None if it is sure that body and check take as many bytes as a limit or more."""
    ways = [way for way in _ways([image]) if worth_deflating(way[1], limit)]
    return _smallest(image.tobytes(), ways) if ways else None  # where there are none, raw pixels are too many as well


def _ways(images: Sequence[Pixels]) -> list[tuple[Method, bytes]]:
    """What can be deflated: grey levels, and two kinds of differences, modulo 256."""
    ups = [np.diff(image, axis=0, prepend=np.uint8(0)) for image in images]
    gradients = [np.diff(up, axis=1, prepend=np.uint8(0)) for up in ups]
    kinds = ((Method.DEFLATE, images), (Method.UP, ups), (Method.GRADIENT, gradients))
    return [(method, b"".join(values.tobytes() for values in kind)) for method, kind in kinds]


def _smallest(raw: bytes, ways: Sequence[tuple[Method, bytes]]) -> tuple[Method, bytes]:
    """The smallest of raw pixels and of what is deflated."""
    bodies = [(Method.RAW, raw), *((method, deflate(body)) for method, body in ways)]
    return min(bodies, key=lambda way: len(way[1]))


def _file(image: Pixels, method: Method, body: bytes) -> bytes:
    header = Header(Mode.STORED, image.shape[1], image.shape[0], method=method).to_bytes()
    return header + body + _check(header, image)


def worth_deflating(raw: bytes, size: int) -> bool:
    """Whether a deflated body and its check could be smaller than so many bytes.

    Nearly always they cannot be, and nothing is deflated to find out. Each of m byte values that occur is a literal of the
    stream at least once. In one block a prefix code gives m literals log2(m) bits each on average or more, and zlib fills a
    block of that many symbols but for the last. Over many blocks literals may take fewer, but five bits each at the least: a
    code that spends fewer has few literals, and the heads of the many blocks that have them all take more than that saves.
    """
    levels = int(np.count_nonzero(np.bincount(np.frombuffer(raw, np.uint8))))
    bits = LITERAL_BITS if len(raw) > ONE_BLOCK else max(LITERAL_BITS, math.log2(max(levels - 1, 1)))
    return CHECK_BYTES + (levels - 1) * bits // 8 < size


def deflate(raw: bytes) -> bytes:
    """A raw deflate stream, as small as zlib makes it; of little, with tables no larger than it asks for."""
    window = min(max((len(raw) + 262).bit_length(), 9), 15)  # zlib looks back as far as its window less 262 bytes
    memory = min(max((len(raw) - 1).bit_length() - 6, 1), 9)  # symbols of one block: 2^6 times that of these bits
    packer = zlib.compressobj(9, zlib.DEFLATED, -window, memory)
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
    assert header.method is not None
    image = undone(header.method, np.frombuffer(body, np.uint8).reshape(header.height, header.width).copy())
    if _check(header.to_bytes(), image) != check:
        raise FormatError("the file is damaged: its content does not match its check")
    return image


def undone(method: Method, image: Pixels) -> Pixels:
    """Grey levels of what a method stores of them."""
    if method is Method.GRADIENT:
        image = np.add.accumulate(image, axis=1, dtype=np.uint8)
    if method in (Method.UP, Method.GRADIENT):
        image = np.add.accumulate(image, axis=0, dtype=np.uint8)
    return image
