"""Lossless files without a model: pixels raw, deflated, or as deflated differences, whichever is smallest, and a check.

FORMAT.md section 2 specifies them. Source of deflate: RFC 1951.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

from mnistzip.bitstream.checksums import CHECK16_BYTES, check16
from mnistzip.bitstream.container import Header, Method
from mnistzip.errors import FormatError
from mnistzip.types import Mode, Pixels

LITERAL_BITS = 5  # the least that a deflate stream spends on each byte value that occurs
ONE_BLOCK = 1 << 15  # bytes that :func:`deflate` puts into one block and perhaps one symbol of another
WINDOW_LOSS = 262  # bytes of its window that zlib cannot look back


def store(image: Pixels) -> bytes:
    """The smallest lossless file without a model."""
    return _file(image, *smallest_body([image]))


def smaller_stored(file: bytes, image: Pixels) -> bytes:
    """The stored file of an image if it is no larger than this file of a model, else this file."""
    body = body_below(image, len(file) + 1)
    return file if body is None else min(_file(image, *body), file, key=len)


def smallest_body(images: Sequence[Pixels]) -> tuple[Method, bytes]:
    """The method by which the pixels of some images take the fewest bytes, and these bytes."""
    return _smallest(b"".join(image.tobytes() for image in images), _deflatable(images))


def body_below(image: Pixels, limit: int) -> tuple[Method, bytes] | None:
    """The same for one image; None if body and check surely take ``limit`` bytes or more. A body may still be larger."""
    worth = [(method, raw) for method, raw in _deflatable([image]) if worth_deflating(raw, limit)]
    return _smallest(image.tobytes(), worth) if worth else None  # if none is worth it, raw pixels are too many as well


def _deflatable(images: Sequence[Pixels]) -> list[tuple[Method, bytes]]:
    """The bytes that each method deflates: grey levels, and two kinds of differences, modulo 256."""
    ups = [np.diff(image, axis=0, prepend=np.uint8(0)) for image in images]
    gradients = [np.diff(up, axis=1, prepend=np.uint8(0)) for up in ups]
    kinds = ((Method.DEFLATE, images), (Method.UP, ups), (Method.GRADIENT, gradients))
    return [(method, b"".join(values.tobytes() for values in kind)) for method, kind in kinds]


def _smallest(raw: bytes, deflatable: Sequence[tuple[Method, bytes]]) -> tuple[Method, bytes]:
    """The smallest of the raw pixels and the deflated bytes."""
    bodies = [(Method.RAW, raw), *((method, deflate(content)) for method, content in deflatable)]
    return min(bodies, key=lambda body: len(body[1]))


def _file(image: Pixels, method: Method, body: bytes) -> bytes:
    header = Header(Mode.STORED, image.shape[1], image.shape[0], method=method).to_bytes()
    return header + body + check16(header, image.tobytes())


def worth_deflating(raw: bytes, size: int) -> bool:
    """Whether a deflated body and its check could be smaller than ``size`` bytes.

    Nearly always they cannot, and this bound saves the time to deflate. Each of the m byte values that occur is a literal of
    the stream at least once. In one block a prefix code gives m literals log2(m) bits each on average or more, and zlib fills
    every block but the last with as many symbols as one holds. Over many blocks literals may take fewer bits, but at least
    five each: a code that spends fewer has few literals, and the headers of the many blocks that cover all of them take more
    than that saves.
    """
    levels = int(np.count_nonzero(np.bincount(np.frombuffer(raw, np.uint8))))
    bits = LITERAL_BITS if len(raw) > ONE_BLOCK else max(LITERAL_BITS, math.log2(max(levels - 1, 1)))
    return CHECK16_BYTES + (levels - 1) * bits // 8 < size


def deflate(raw: bytes) -> bytes:
    """A raw deflate stream, as small as zlib makes it. Short inputs get a small window and small tables."""
    window = min(max((len(raw) + WINDOW_LOSS).bit_length(), 9), 15)  # log2 of its bytes
    memory = min(max((len(raw) - 1).bit_length() - 6, 1), 9)  # a block has 2^(memory + 6) symbols
    packer = zlib.compressobj(9, zlib.DEFLATED, -window, memory)
    return packer.compress(raw) + packer.flush()


def inflate(packed: bytes, limit: int) -> bytes:
    """The inverse of :func:`deflate`. It inflates ``limit + 1`` bytes at most.

    Raises:
        FormatError: not a deflate stream, or one that does not end where ``packed`` does, or one of more than ``limit`` bytes.
    """
    unpacker = zlib.decompressobj(-15)
    try:
        raw = unpacker.decompress(packed, limit + 1)
    except zlib.error as cause:
        raise FormatError(f"the file is damaged: {cause}") from cause
    if not unpacker.eof or unpacker.unused_data:
        raise FormatError("the file is damaged: its deflated pixels do not end where the file does")
    return raw


def unstore(header: Header, payload: bytes) -> Pixels:
    """The image of a stored payload: uint8 ``(H, W)``.

    Raises:
        FormatError: damaged, or another number of pixels than the header says.
    """
    body, check = payload[:-CHECK16_BYTES], payload[-CHECK16_BYTES:]
    pixels = header.width * header.height
    if header.method is not Method.RAW:
        body = inflate(body, pixels)
    if len(body) != pixels:
        raise FormatError(f"the file holds {len(body)} pixels, not the {pixels} of a {header.width}x{header.height} image")
    assert header.method is not None
    image = undone(header.method, np.frombuffer(body, np.uint8).reshape(header.height, header.width).copy())
    if check16(header.to_bytes(), image.tobytes()) != check:
        raise FormatError("the file is damaged: its content does not match its check")
    return image


def undone(method: Method, image: Pixels) -> Pixels:
    """The grey levels of an image, from the values that a method stores."""
    if method is Method.GRADIENT:
        image = np.add.accumulate(image, axis=1, dtype=np.uint8)
    if method in (Method.UP, Method.GRADIENT):
        image = np.add.accumulate(image, axis=0, dtype=np.uint8)
    return image
