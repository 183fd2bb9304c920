"""The table of a group in an archive: sizes of images, parts, where their lanes lie. FORMAT.md section 9 is the norm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mnistzip.archive.group_header import IMAGES_MAX, LANE_BYTES_MIN, MIXED, SIZES, CodedPart, Coding, Head, Shape, is_sound
from mnistzip.bitstream.container import Reader, varint
from mnistzip.bitstream.stored import deflate, inflate
from mnistzip.errors import FormatError, UnsupportedError
from mnistzip.types import Mode

PARTS_MAX = 16
WHAT = "the table of a group"

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]


def parse_sizes(head: Head, table: bytes) -> tuple[Ints, bytes]:
    """``(H, W)`` of each image, and the bytes of the table that say so."""
    if not head.flags & SIZES:
        return np.broadcast_to(np.array([head.height, head.width], np.int64), (head.images, 2)), b""
    values, used = _varints(table, 2 * head.images)
    if values.min() < 1 or values.max() > IMAGES_MAX:
        raise FormatError("the table of a group is damaged: a side is 0 or above 65535")
    shapes = values.reshape(-1, 2)[:, ::-1]
    if (shapes == shapes[0]).all():
        raise FormatError("the table of a group is damaged: it gives each image a size where all have the same")
    return shapes, table[:used]


def parse_parts(head: Head, shapes: Ints, sizes: bytes, table: bytes) -> tuple[tuple[CodedPart, ...], Bytes]:
    """The parts of a group, and the part of each image; ``table`` is what follows the sizes."""
    if head.method is None:
        codings, part_of, used = _parse_codings(head, table)
        table = table[used:]
    else:
        codings = [Coding(head.method, head.model, head.quality, head.per_lane, head.fingerprint)]
        part_of = np.broadcast_to(np.uint8(0), head.images)  # many groups are held at once
    parts = []
    at = 0
    for number, coding in enumerate(codings):
        images = np.flatnonzero(part_of == number).astype(np.int32)
        lanes = -(-len(images) // coding.per_lane)
        stored, marked = _parse_stored(head, coding, lanes, table)
        ends, used = _parse_ends(table[marked:], lanes)
        table = table[marked + used :]
        its_sizes = sizes if len(codings) == 1 else size_table(shapes[images])
        place = coding.place(len(images), head.width, head.height, its_sizes if sizes else b"")
        parts.append(CodedPart(coding, images, shapes[images], stored, at + ends, place, head.method is None))
        at += int(ends[-1])
    if table or at != head.lanes_bytes:
        raise FormatError("the table of a group is damaged: its lanes do not fill their bytes")
    return tuple(parts), part_of


def _parse_codings(head: Head, table: bytes) -> tuple[list[Coding], Bytes, int]:
    """How each part of a group is coded, the part of each image, and how many bytes of the table say so."""
    reader = Reader(table)
    count = reader.byte(WHAT)
    if not 1 <= count <= PARTS_MAX:
        raise FormatError(f"the table of a group is damaged: it has {count} parts")
    codings = []
    for _ in range(count):
        mode, model, quality, lanes = reader.take(4, WHAT)
        if mode > Mode.STORED:
            raise UnsupportedError(f"coding method {mode} of a part is unsupported: it is reserved for later versions")
        fingerprint = bytes(8) if mode == Mode.STORED else reader.take(8, WHAT)
        codings.append(Coding(Mode(mode), model, quality, lanes + 1, fingerprint))
    part_of = np.zeros(head.images, np.uint8)
    if count > 1:
        size = reader.varint(WHAT, len(table))
        packed = inflate(reader.take(size, WHAT), head.images)
        part_of = np.frombuffer(packed, np.uint8)
    _require_one_form(head, codings, part_of)
    return codings, part_of, reader.offset


def _require_one_form(head: Head, codings: Sequence[Coding], part_of: Bytes) -> None:
    """Refuse parts in a form that no encoder writes."""
    sound = all(is_sound(coding) for coding in codings)
    known, first = np.unique(part_of, return_index=True)
    in_order = len(part_of) == head.images and known.tolist() == list(range(len(codings))) and (np.diff(first) > 0).all()
    different = len({replace(coding, per_lane=1) for coding in codings}) == len(codings)
    needed = len(codings) > 1 or codings[0].mode is Mode.STORED
    fits = all(coding.per_lane <= int((part_of == number).sum()) for number, coding in enumerate(codings))
    if not (sound and in_order and different and needed and fits):
        raise FormatError("the table of a group is damaged: its parts contradict each other")


def _parse_stored(head: Head, coding: Coding, lanes: int, table: bytes) -> tuple[NDArray[np.bool_], int]:
    """Which lanes are stored, and how many bytes of the table say so."""
    if not head.flags & MIXED:
        return np.full(lanes, coding.mode is Mode.STORED), 0
    used = -(-lanes // 8)
    bits = np.unpackbits(np.frombuffer(table[:used], np.uint8), bitorder="little").astype(bool)
    if len(bits) < lanes or bits[lanes:].any() or not bits.any():
        raise FormatError("the table of a group is damaged: it does not say of each lane whether it is stored")
    return bits[:lanes], used


def _parse_ends(table: bytes, lanes: int) -> tuple[Ints, int]:
    """Where each lane begins and the last ends, and how many bytes of the table say so."""
    values, used = _varints(table, 1 + lanes)
    if values[0] < LANE_BYTES_MIN:
        raise FormatError(f"the table of a group is damaged: a lane has fewer than {LANE_BYTES_MIN} bytes")
    if int(values[1:].min()):
        raise FormatError(
            "the table of a group is damaged: the lanes do not fill their bytes, as the shortest is longer than it says"
        )
    return np.concatenate([[0], np.cumsum(values[0] + values[1:])]), used


def _varints(data: bytes, count: int) -> tuple[Ints, int]:
    """The first ``count`` varints, and how many bytes they take."""
    raw = np.frombuffer(data, np.uint8).astype(np.int64)
    last = np.flatnonzero(raw < 128)[:count]
    first = np.concatenate([[0], last[:-1] + 1])
    if len(last) < count or (last - first).max() > 4 or ((raw[last] == 0) & (last > first)).any():
        raise FormatError("the table of a group is damaged: it does not hold the numbers that it should")
    values = np.zeros(count, np.int64)
    for k in range(5):
        here = np.minimum(first + k, last)
        values += np.where(first + k <= last, (raw[here] & 127) << 7 * k, 0)
    return values, int(last[-1]) + 1


def sizes_of(shapes: Sequence[Shape]) -> tuple[int, int, bytes]:
    """Width and height that all images share, or 0 and 0 and the bytes of a table of sizes."""
    if len(set(shapes)) == 1:
        return shapes[0][1], shapes[0][0], b""
    return 0, 0, size_table(shapes)


def size_table(shapes: Iterable[Iterable[int]]) -> bytes:
    """Width and height of each image as varints."""
    return b"".join(varint(int(width)) + varint(int(height)) for height, width in shapes)


def pack_map(images: int, parts: Sequence[tuple[Coding, Sequence[int], Sequence[bytes]]]) -> bytes:
    """Which part each image belongs to; nothing where there is one."""
    if len(parts) == 1:
        return b""
    part_of = np.empty(images, np.uint8)
    for number, (_, numbers, _) in enumerate(parts):
        part_of[list(numbers)] = number
    packed = deflate(part_of.tobytes())
    return varint(len(packed)) + packed


def pack_lengths(lanes: Sequence[bytes]) -> bytes:
    """The length of the shortest lane, and by how much each is longer."""
    shortest = min(map(len, lanes))
    return b"".join(varint(number) for number in [shortest, *(len(lane) - shortest for lane in lanes)])
