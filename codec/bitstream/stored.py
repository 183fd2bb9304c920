"""Lossless files without a model: pixels raw, deflated, or as deflated differences, whichever is smallest, and a check.

FORMAT.md section 2 specifies them. Source of deflate: RFC 1951.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from mnistzip.bitstream.checksums import CHECK16_BYTES, check16
from mnistzip.bitstream.container import Header, Method
from mnistzip.errors import FormatError
from mnistzip.tiling import by_shape, differences
from mnistzip.types import Bools, Integers, Mode, Pixels

DEFLATED = (Method.DEFLATE, Method.UP, Method.GRADIENT)  # grey levels, and two kinds of differences, modulo 256
FIXED_LITERAL_BITS = 8  # the least that deflate's fixed code spends on a literal
DYNAMIC_HEADER_BITS, DYNAMIC_LITERAL_BITS = 29, 0.5  # the least that the header of a block with a code of its own takes
LITERAL_BITS = 5  # the least that a stream of many blocks spends on each byte value that occurs
SAMPLE = 3  # of so many pixels one decides most cases
ONE_BLOCK = 1 << 15  # bytes that :func:`deflate` puts into one block and perhaps one symbol of another
WINDOW_LOSS = 262  # bytes of its window that zlib cannot look back


def store(image: Pixels) -> bytes:
    """The smallest lossless file without a model."""
    return _file(image, *smallest_body([image]))


def smaller_stored(files: Sequence[bytes], images: Sequence[Pixels]) -> list[bytes]:
    """For each image its stored file if that is no larger than its file of a model, else the latter."""
    bodies = bodies_below(images, [len(file) + 1 for file in files])
    return [
        file if body is None else min(_file(image, *body), file, key=len)
        for file, image, body in zip(files, images, bodies, strict=True)
    ]


def smallest_body(images: Sequence[Pixels]) -> tuple[Method, bytes]:
    """The method by which the pixels of some images take the fewest bytes, and these bytes."""
    of_images = [_kinds(image[None]) for image in images]
    deflatable = {method: _joined([kinds[k] for kinds in of_images]) for k, method in enumerate(DEFLATED)}
    return _smallest(_joined(images), deflatable)


def bodies_below(images: Sequence[Pixels], limits: Sequence[int]) -> list[tuple[Method, bytes] | None]:
    """The same for each image; None if body and check surely take ``limit`` bytes or more. A body may still be larger."""
    bodies: list[tuple[Method, bytes] | None] = [None] * len(images)
    for indices, stack in by_shape(images):
        kinds = _kinds(stack)
        worth = worth_deflating(kinds, np.array([limits[k] for k in indices]))
        for n in np.flatnonzero(worth.any(axis=0)):
            deflatable = {method: _joined([kinds[k, n]]) for k, method in enumerate(DEFLATED) if worth[k, n]}
            bodies[indices[n]] = _smallest(_joined([stack[n]]), deflatable)
    return bodies


def _kinds(images: Pixels) -> Pixels:
    """The bytes that each method of :data:`DEFLATED` deflates: ``(N, H, W)`` to ``(3, N, H, W)``."""
    kinds = np.empty((len(DEFLATED), *images.shape), np.uint8)
    kinds[0] = images
    differences(images, kinds[1], 1)
    differences(kinds[1], kinds[2], 2)
    return kinds


def _joined(images: Sequence[Pixels]) -> memoryview:
    """The pixels of some images in one row; of one image without a copy."""
    rows = [image.reshape(-1) for image in images]
    return (rows[0] if len(rows) == 1 else np.concatenate(rows)).data


def _smallest(raw: memoryview, deflatable: Mapping[Method, memoryview]) -> tuple[Method, bytes]:
    """The smallest of the raw pixels and the deflated bytes."""
    deflated = ((method, deflate(content)) for method, content in deflatable.items())
    method, body = min(deflated, key=lambda each: len(each[1]), default=(Method.RAW, b""))
    return (method, body) if deflatable and len(body) < len(raw) else (Method.RAW, raw.tobytes())


def _file(image: Pixels, method: Method, body: bytes) -> bytes:
    header = Header(Mode.STORED, image.shape[1], image.shape[0], method=method).to_bytes()
    return header + body + check16(header, image.tobytes())


def worth_deflating(values: Pixels, size: Integers) -> Bools:
    """Whether deflated bytes and their check could be smaller than ``size``, ``(N,)``: ``(..., N, H, W)`` to ``(..., N)``.

    Nearly always they cannot, and this bound saves the time to deflate. Each of the m byte values that occur is a literal of
    the stream at least once. :func:`deflate` puts up to 2^15 bytes into one block, and perhaps one symbol into another. In a
    block of the fixed code a literal takes 8 bits or more. In any other, a prefix code gives m literals log2(m) bits each on
    average or more. The header of the block then takes 29 bits, and describes the code by half a bit for each literal or more
    (RFC 1951, 3.2.7). Over many blocks literals may take fewer bits, but at least five each: a code that spends fewer has few
    literals, and the headers of the many blocks that cover all of them take more than that saves.
    """
    shape, pixels = values.shape[:-2], values.shape[-2] * values.shape[-1]
    flat, limit = values.reshape(-1, pixels), np.broadcast_to(size, shape).reshape(-1)
    worth = CHECK16_BYTES + _least_bytes(flat[:, ::SAMPLE], pixels) < limit  # of some pixels: a lower bound, too, and faster
    undecided = np.flatnonzero(worth)
    if undecided.size:
        worth[undecided] = CHECK16_BYTES + _least_bytes(flat[undecided], pixels) < limit[undecided]
    return worth.reshape(shape)


def _least_bytes(values: Pixels, length: int) -> Integers:
    """The least that a deflated body of ``length`` bytes takes, which has the byte values of a row: ``(N, n)`` to ``(N,)``."""
    occurs = np.zeros((len(values), 256), bool)
    occurs[np.arange(len(values))[:, None], values] = True
    literals = occurs.sum(axis=1) - 1
    if length > ONE_BLOCK:
        return LITERAL_BITS * literals // 8
    own_code = DYNAMIC_HEADER_BITS + literals * (np.log2(np.maximum(literals, 1)) + DYNAMIC_LITERAL_BITS)
    least: Integers = np.minimum(FIXED_LITERAL_BITS * literals, own_code).astype(np.int64) // 8
    return least


def deflate(raw: bytes | memoryview) -> bytes:
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
