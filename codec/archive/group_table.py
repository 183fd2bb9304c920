"""The table of a group in an archive: sizes of images, parts, and lengths of lanes. FORMAT.md section 9 is the norm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnistzip.archive.group_header import (
    LANE_BYTES_MIN,
    MIXED,
    SIZES,
    CodedPart,
    GroupHeader,
    ImageShape,
    PartCoding,
)
from mnistzip.bitstream.container import Reader, varint
from mnistzip.bitstream.stored import deflate, inflate
from mnistzip.errors import FormatError
from mnistzip.limits import SIDE_MAX
from mnistzip.types import Bools, Integers, Mode

PARTS_MAX = 16
TABLE = "the table of a group"  # in errors

PartNumbers = NDArray[np.uint8]  # the number of each image's part, (images,)


@dataclass(frozen=True)
class EncodedPart:
    """Images of a group that are coded alike, and their lanes.

    Attributes:
        images: their numbers in the group, rising.
        lanes: the bytes of each lane.
    """

    coding: PartCoding
    images: Sequence[int]
    lanes: Sequence[bytes]


def parse_sizes(header: GroupHeader, table: bytes) -> tuple[Integers, bytes]:
    """Parse ``(H, W)`` of each image, ``(images, 2)``; also return the bytes of this section of the table."""
    if not header.flags & SIZES:
        return np.broadcast_to(np.array([header.height, header.width], np.int64), (header.images, 2)), b""
    values, used = _parse_varints(table, 2 * header.images)
    if values.min() < 1 or values.max() > SIDE_MAX:
        raise FormatError(f"{TABLE} is damaged: a side is 0 or above {SIDE_MAX}")
    shapes = values.reshape(-1, 2)[:, ::-1]
    if (shapes == shapes[0]).all():
        raise FormatError(f"{TABLE} is damaged: it gives each image a size, although all have the same")
    return shapes, table[:used]


def parse_parts(header: GroupHeader, shapes: Integers, sizes: bytes, table: bytes) -> tuple[tuple[CodedPart, ...], PartNumbers]:
    """Parse the parts of a group.

    Args:
        header: of the group.
        shapes: ``(H, W)`` of each image.
        sizes: the bytes of the table that state the sizes.
        table: the bytes that follow them.

    Returns:
        the parts, and the number of each image's part.
    """
    if header.coding is None:
        codings, part_of, used = _parse_codings(header, table)
        table = table[used:]
    else:
        codings = [header.coding]
        part_of = np.broadcast_to(np.uint8(0), header.images)  # takes no memory: readers cache many groups
    parts = []
    offset = 0
    for number, coding in enumerate(codings):
        images = np.flatnonzero(part_of == number).astype(np.int32)
        lanes = -(-len(images) // coding.per_lane)
        stored, mask_bytes = _parse_stored(header, coding, lanes, table)
        lane_offsets, used = _parse_lengths(table[mask_bytes:], lanes)
        table = table[mask_bytes + used :]
        part_sizes = sizes if len(codings) == 1 or not sizes else write_sizes(shapes[images])
        seed = coding.seed(len(images), header.width, header.height, part_sizes)
        parts.append(CodedPart(coding, images, shapes[images], stored, offset + lane_offsets, seed, header.method is None))
        offset += int(lane_offsets[-1])
    if table or offset != header.lanes_bytes:
        raise FormatError(f"{TABLE} is damaged: its lanes do not fill their bytes")
    return tuple(parts), part_of


def _parse_codings(header: GroupHeader, table: bytes) -> tuple[list[PartCoding], PartNumbers, int]:
    """Parse the coding of each part and the part of each image; also return how many bytes they take."""
    reader = Reader(table)
    count = reader.byte(TABLE)
    if not 1 <= count <= PARTS_MAX:
        raise FormatError(f"{TABLE} is damaged: it has {count} parts")
    codings = [PartCoding.parse(reader, TABLE) for _ in range(count)]
    part_of = np.zeros(header.images, np.uint8)
    if count > 1:
        size = reader.varint(TABLE, len(table))
        part_of = np.frombuffer(inflate(reader.take(size, TABLE), header.images), np.uint8)
    _require_canonical(header, codings, part_of)
    return codings, part_of, reader.offset


def _require_canonical(header: GroupHeader, codings: Sequence[PartCoding], part_of: PartNumbers) -> None:
    """Refuse parts in a form that no encoder writes."""
    valid = all(coding.is_valid() for coding in codings)
    numbers, first = np.unique(part_of, return_index=True)
    in_order = len(part_of) == header.images and numbers.tolist() == list(range(len(codings))) and (np.diff(first) > 0).all()
    different = len({replace(coding, per_lane=1) for coding in codings}) == len(codings)
    needed = len(codings) > 1 or codings[0].mode is Mode.STORED
    lanes_full = all(coding.per_lane <= int((part_of == number).sum()) for number, coding in enumerate(codings))
    if not (valid and in_order and different and needed and lanes_full):
        raise FormatError(f"{TABLE} is damaged: its parts contradict each other")


def _parse_stored(header: GroupHeader, coding: PartCoding, lanes: int, table: bytes) -> tuple[Bools, int]:
    """Parse which lanes are stored; also return how many bytes that takes."""
    if not header.flags & MIXED:
        return np.full(lanes, coding.mode is Mode.STORED), 0
    used = -(-lanes // 8)
    mask = np.unpackbits(np.frombuffer(table[:used], np.uint8), bitorder="little").astype(bool)
    if len(mask) < lanes or mask[lanes:].any() or not mask.any():
        raise FormatError(f"{TABLE} is damaged: it does not say of each lane whether it is stored")
    return mask[:lanes], used


def _parse_lengths(table: bytes, lanes: int) -> tuple[Integers, int]:
    """Parse where each lane begins and the last one ends, ``(lanes + 1,)``; also return how many bytes that takes."""
    values, used = _parse_varints(table, 1 + lanes)
    if values[0] < LANE_BYTES_MIN:
        raise FormatError(f"{TABLE} is damaged: a lane has fewer than {LANE_BYTES_MIN} bytes")
    if int(values[1:].min()):
        raise FormatError(f"{TABLE} is damaged: the lanes do not fill their bytes, as no lane has the least length")
    return np.concatenate([[0], np.cumsum(values[0] + values[1:])]), used


def _parse_varints(data: bytes, count: int) -> tuple[Integers, int]:
    """Parse ``count`` varints; also return how many bytes they take."""
    raw = np.frombuffer(data, np.uint8).astype(np.int64)
    last = np.flatnonzero(raw < 128)[:count]
    first = np.concatenate([[0], last[:-1] + 1])
    if len(last) < count or (last - first).max() > 4 or ((raw[last] == 0) & (last > first)).any():
        raise FormatError(f"{TABLE} is damaged: it does not hold the numbers that it should")
    values = np.zeros(count, np.int64)
    for k in range(5):
        position = np.minimum(first + k, last)
        values += np.where(first + k <= last, (raw[position] & 127) << 7 * k, 0)
    return values, int(last[-1]) + 1


def common_size(shapes: Sequence[ImageShape]) -> tuple[int, int]:
    """Width and height that all images share, or 0 and 0."""
    return (shapes[0][1], shapes[0][0]) if len(set(shapes)) == 1 else (0, 0)


def write_sizes(shapes: Iterable[Iterable[int]]) -> bytes:
    """Width and height of each image as varints."""
    return b"".join(varint(int(width)) + varint(int(height)) for height, width in shapes)


def write_codings(images: int, parts: Sequence[EncodedPart]) -> bytes:
    """The number of parts, their codings, and the part of each image if there are several."""
    out = bytes([len(parts)]) + b"".join(part.coding.to_bytes() for part in parts)
    if len(parts) == 1:
        return out
    part_of = np.empty(images, np.uint8)
    for number, part in enumerate(parts):
        part_of[list(part.images)] = number
    packed = deflate(part_of.tobytes())
    return out + varint(len(packed)) + packed


def write_lengths(lanes: Sequence[bytes]) -> bytes:
    """The length of the shortest lane, then how much longer each lane is."""
    shortest = min(map(len, lanes))
    return b"".join(varint(number) for number in [shortest, *(len(lane) - shortest for lane in lanes)])
