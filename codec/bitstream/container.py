"""Bytes of a single ``.cae`` file to header and payload, and back. FORMAT.md section 1 specifies them.

| offset | bytes | meaning |
|---|---|---|
| 0 | 2 | ``CA E1``: "CAE" and format version 1 |
| 2 | 1 | 1..100: lossy, model ``mnist``, 28x28, this quality; the header ends here |
|   |   | 101: lossless, model ``mnist``, 28x28; the header ends here |
|   |   | 127: an archive of many images, which :mod:`mnistzip.archive.reader` reads |
|   |   | 128..255: bit 6 = size follows, bits 5-4 = mode, bits 3-0 = model or method |
|   | 4 | first bytes of the model's fingerprint, if the model is 15 |
|   | 1 | quality 1..100, if lossy; the largest error 1..64, if bounded |
|   | 2-6 | width and height as varints, if the size follows; else 28x28 |

A header has exactly one form, the shortest. Any other is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mnistzip.errors import FormatError, LimitError, UnsupportedError, require_within
from mnistzip.limits import DECODED_PIXELS_MAX, ERROR_MAX, SIDE_MAX
from mnistzip.types import Mode

MAGIC = b"\xca\xe1"
DEFAULT_SIDE = 28
QUALITY_MAX = 100
NAMED_BY_HASH = 15
HASH_BYTES = 4  # of a fingerprint: enough to tell a user's models apart, and a file has few bytes
KIND_LOSSLESS_DIGIT = 101  # kind of a file: a 28x28 image that the pixel model of ``mnist`` coded
KIND_ARCHIVE = 127  # kind of a file: an archive


class Method(IntEnum):
    """How a stored payload holds its pixels."""

    RAW = 0
    DEFLATE = 1
    UP = 2  # each row less the one above, deflated
    GRADIENT = 3  # each pixel less left + up - upper left, deflated


@dataclass(frozen=True)
class Header:
    """What precedes the payload.

    Attributes:
        mode: how the payload codes the pixels.
        width, height: in pixels.
        model: number of a shipped model, or the first bytes of another model's fingerprint; None if stored.
        quality: 1..100 if lossy, else None.
        method: how a stored payload holds the pixels, else None.
        max_error: 1..64 if bounded: no pixel differs by more grey levels. Else None.
    """

    mode: Mode
    width: int
    height: int
    model: int | bytes | None = None
    quality: int | None = None
    method: Method | None = None
    max_error: int | None = None

    def to_bytes(self) -> bytes:
        """The bytes of the header in its one form."""
        sized = (self.width, self.height) != (DEFAULT_SIDE, DEFAULT_SIDE)
        size = varint(self.width) + varint(self.height) if sized else b""
        if self.mode is Mode.STORED:
            assert self.method is not None
            return MAGIC + bytes([128 | sized << 6 | self.mode << 4 | self.method]) + size
        quality = b"" if self.mode is Mode.LOSSLESS else bytes([self.quality or self.max_error or 0])
        if self.model == 0 and not sized and self.mode is not Mode.BOUNDED:
            return MAGIC + (quality or bytes([KIND_LOSSLESS_DIGIT]))
        name = self.model if isinstance(self.model, bytes) else b""
        low = NAMED_BY_HASH if name else self.model
        return MAGIC + bytes([128 | sized << 6 | self.mode << 4 | int(low or 0)]) + name + quality + size


def is_cae(data: bytes) -> bool:
    """Whether the bytes begin like a mnistzip file of any version."""
    return len(data) >= len(MAGIC) and data[0] == MAGIC[0] and data[1] & 0xF0 == MAGIC[1] & 0xF0


def is_archive(data: bytes) -> bool:
    """Whether the bytes begin like an archive of many images."""
    return is_cae(data) and data[2:3] == bytes([KIND_ARCHIVE])


def require_magic(data: bytes) -> None:
    """Raise FormatError or UnsupportedError unless the bytes begin like a mnistzip file of this version."""
    if not is_cae(data):
        raise FormatError(f"not a mnistzip file: it begins with {data[:4].hex(' ') or 'nothing'}, not with ca e1")
    if data[1] != MAGIC[1]:
        raise UnsupportedError(f"format version {data[1] & 15} needs a newer mnistzip (this one reads version 1)")


def parse(data: bytes, max_pixels: int | None = None) -> tuple[Header, bytes]:
    """Header and payload of a file.

    Raises:
        FormatError: not a mnistzip file, cut short, or a header in a form that no encoder writes.
        UnsupportedError: a version, mode or bit that this version does not know.
        LimitError: more pixels than ``max_pixels``, by default :data:`~mnistzip.limits.DECODED_PIXELS_MAX` of the mode.
    """
    require_magic(data)
    reader = Reader(data, len(MAGIC))
    header = _fields(reader)
    if header.to_bytes() != data[: reader.offset]:
        raise FormatError("the header is damaged: it is not in its shortest form")
    require_pixels(header.mode, header.width, header.height, max_pixels)
    return header, data[reader.offset :]


def require_pixels(mode: Mode, width: int, height: int, max_pixels: int | None) -> None:
    """Raise :class:`~mnistzip.errors.LimitError` for an image above ``max_pixels`` or the default decode limit."""
    limit = DECODED_PIXELS_MAX[mode] if max_pixels is None else max_pixels
    if width * height > limit:
        raise LimitError(f"{width}x{height} is more than the limit of {limit} pixels: max_pixels (--max-pixels) raises it")


def require_limit(max_pixels: int | None) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` unless this is None or a number of pixels."""
    if max_pixels is not None:
        require_within("max_pixels", max_pixels, 1, 1 << 64)


def _fields(reader: Reader) -> Header:
    kind = reader.byte("the header")
    if 1 <= kind <= QUALITY_MAX:
        return Header(Mode.LOSSY, DEFAULT_SIDE, DEFAULT_SIDE, model=0, quality=kind)
    if kind == KIND_LOSSLESS_DIGIT:
        return Header(Mode.LOSSLESS, DEFAULT_SIDE, DEFAULT_SIDE, model=0)
    if kind == KIND_ARCHIVE:
        raise UnsupportedError("this file is an archive of many images: mnistzip.Archive opens it")
    low, sized, mode = kind & 15, bool(kind & 64), kind >> 4 & 3
    if kind < 128:
        raise UnsupportedError(f"header byte {kind:#04x} is unsupported: it is reserved for later versions")
    if mode == Mode.STORED:
        if low not in tuple(Method):
            raise UnsupportedError(f"storage method {low} is unsupported: it is reserved for later versions")
        width, height = reader.size(sized)
        return Header(Mode.STORED, width, height, method=Method(low))
    if low == NAMED_BY_HASH - 1:
        raise UnsupportedError(f"model number {low} is unsupported: it is reserved for later versions")
    model = reader.take(HASH_BYTES, "the model's fingerprint") if low == NAMED_BY_HASH else low
    if mode == Mode.LOSSLESS:
        width, height = reader.size(sized)
        return Header(Mode.LOSSLESS, width, height, model=model)
    if mode == Mode.BOUNDED:
        max_error = reader.byte("the largest error")
        if not 1 <= max_error <= ERROR_MAX:
            raise FormatError(f"the largest error is {max_error}, outside 1..{ERROR_MAX}: the header is damaged")
        width, height = reader.size(sized)
        return Header(Mode.BOUNDED, width, height, model=model, max_error=max_error)
    quality = reader.byte("the quality")
    if not 1 <= quality <= QUALITY_MAX:
        raise FormatError(f"quality {quality} is outside 1..{QUALITY_MAX}: the header is damaged")
    width, height = reader.size(sized)
    return Header(Mode.LOSSY, width, height, model=model, quality=quality)


def varint(value: int) -> bytes:
    """A number in little-endian base 128; the top bit of a byte says that another byte follows."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Reads the fields of a file in order. Its errors name the field that was cut off."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    def take(self, count: int, field: str) -> bytes:
        piece = self.data[self.offset : self.offset + count]
        if len(piece) < count:
            raise FormatError(f"the file is cut short in {field}: it ends after {len(self.data)} bytes")
        self.offset += count
        return piece

    def byte(self, field: str) -> int:
        return self.take(1, field)[0]

    def varint(self, field: str, limit: int) -> int:
        value = shift = 0
        while True:
            byte = self.byte(field)
            value |= (byte & 127) << shift
            shift += 7
            if value > limit or shift > 35:
                raise FormatError(f"{field} is larger than {limit}: the file is damaged")
            if byte < 128:
                return value

    def size(self, sized: bool) -> tuple[int, int]:
        """Width and height; 28x28 if the file has none."""
        if not sized:
            return DEFAULT_SIDE, DEFAULT_SIDE
        width, height = self.varint("the width", SIDE_MAX), self.varint("the height", SIDE_MAX)
        if not width or not height:
            raise FormatError(f"the image is {width}x{height}: no image has a side of 0")
        return width, height


def join_streams(streams: list[bytes]) -> bytes:
    """The payload of some streams: the length of each but the last as a varint, then their bytes."""
    return b"".join([varint(len(stream)) for stream in streams[:-1]] + streams)


def split_streams(payload: bytes, count: int) -> list[bytes]:
    """The inverse of :func:`join_streams`.

    Raises:
        FormatError: the lengths do not fit into the payload.
    """
    if count > len(payload):
        raise FormatError(f"the file is cut short: {len(payload)} bytes cannot hold {count} streams")
    reader = Reader(payload)
    lengths = [reader.varint("the length of a stream", len(payload)) for _ in range(count - 1)]
    streams = [reader.take(length, "a stream") for length in lengths]
    streams.append(payload[reader.offset :])
    if join_streams(streams) != payload:
        raise FormatError("the lengths of the streams are damaged: they are not in their shortest form")
    return streams
