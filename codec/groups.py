"""Groups, the independent sections of an archive: bytes to head and tables, and back. FORMAT.md section 9 is the norm.

A group is a head of 52 bytes, a table, the lanes, and as far as it has them labels and names. Its images are coded alike, or in
parts that are each coded alike. A lane holds the same number of images throughout a part, but the last, and can be read and
decoded without the others.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnistzip.container import (
    DECODED_MAX,
    NAMED_BY_HASH,
    PIXELS_MAX,
    QUALITY_MAX,
    Mode,
    Reader,
    require_pixels,
    varint,
)
from mnistzip.errors import FormatError, LimitError, UnsupportedError
from mnistzip.names import NAME_MAX, pack_names, unpack_names
from mnistzip.stored import deflate, inflate
from mnistzip.tiles import tiles_in
from mnistzip.transform import TILE

MARKER = b"\xca\xe1\x7fG"
_HEAD = struct.Struct("<4sHBBBBHHH8sIIIIIII")
HEAD_BYTES = _HEAD.size
IMAGES_MAX = 65535  # in a group
PER_LANE_MAX = 256  # images
LANE_BYTES_MIN = 3  # a pixel and a check of two bytes, or a state of 17 bits
GROUP_PIXELS_MAX = {Mode.LOSSY: 1 << 23, Mode.LOSSLESS: 1 << 21, Mode.STORED: PIXELS_MAX}  # that are held together, unasked
NAMES_MAX = 1 << 22  # bytes of a group's names together
READ_AHEAD = 2048  # read at once, as head and table are nearly always within
CRC_BYTES = 4
PARTS = 4  # the coding method of a group whose images are coded in several ways; 3 is reserved
PARTS_MAX = 16
SIZES, MIXED, LABELS, NAMES = 1, 2, 4, 8  # flags
_KNOWN_FLAGS = SIZES | MIXED | LABELS | NAMES

Ints = NDArray[np.int64]
Read = Callable[[int, int], bytes]  # offset and size -> so many bytes
Shape = tuple[int, int]


@dataclass(frozen=True)
class Head:
    """The first 52 bytes of a group.

    Attributes:
        images: how many, 1 to 65,535.
        method: how they are coded; None if each part says it for itself, as then model, quality and fingerprint.
        model: number of the model, 15 if it has none; 0 if stored.
        width, height: of all images, or 0 where the table gives a size for each.
        fingerprint: of the model; zeros if stored.
        lanes_crc: of the bytes of all lanes.
        pixels_crc: of the grey levels of all images.
    """

    images: int
    method: Mode | None
    flags: int
    model: int
    quality: int
    per_lane: int
    width: int
    height: int
    fingerprint: bytes
    table_bytes: int
    lanes_bytes: int
    labels_bytes: int
    names_bytes: int
    lanes_crc: int
    pixels_crc: int

    @property
    def size(self) -> int:
        """Bytes of the whole group."""
        return HEAD_BYTES + self.table_bytes + self.lanes_bytes + self.labels_bytes + self.names_bytes

    def to_bytes(self, table: bytes) -> bytes:
        """Head and table."""
        method = PARTS if self.method is None else self.method
        what = (self.images, method, self.flags, self.model, self.quality, self.per_lane, self.width, self.height)
        parts = (self.table_bytes, self.lanes_bytes, self.labels_bytes, self.names_bytes, self.lanes_crc, self.pixels_crc)
        raw = _HEAD.pack(MARKER, *what, self.fingerprint, *parts, 0)[:-CRC_BYTES]
        return raw + zlib.crc32(table, zlib.crc32(raw)).to_bytes(CRC_BYTES, "little") + table


@dataclass(frozen=True)
class Coding:
    """How the images of a part are coded.

    Attributes:
        model: number of the model, 15 if it has none; 0 if stored.
        quality: 1..100 if lossy, else 0.
        per_lane: images that share a lane.
        fingerprint: of the model; zeros if stored.
    """

    mode: Mode
    model: int
    quality: int
    per_lane: int
    fingerprint: bytes

    def place(self, images: int, width: int, height: int, sizes: bytes) -> bytes:
        """What the checks of the lanes begin with: all that says how to decode them, in 4 bytes."""
        what = (images, self.mode, 0, self.model, self.quality, self.per_lane, width, height)
        raw = _HEAD.pack(b"", *what, self.fingerprint, *[0] * 7)[4:24]
        return zlib.crc32(sizes, zlib.crc32(raw)).to_bytes(CRC_BYTES, "little")

    def to_bytes(self) -> bytes:
        """As it stands in the table of a group of parts."""
        short = bytes([self.mode, self.model, self.quality, self.per_lane - 1])
        return short if self.mode is Mode.STORED else short + self.fingerprint


@dataclass(frozen=True)
class CodedPart:
    """Images of a group that are coded alike.

    Attributes:
        images: their numbers in the group, rising, shape ``(n,)``.
        shapes: ``(H, W)`` of each, shape ``(n, 2)``.
        stored: which lanes are stored, shape ``(lanes,)``.
        ends: where each lane begins, from the group's first lane on, and the last ends, shape ``(lanes + 1,)``.
        place: what the checks of its lanes begin with.
        by_methods: stored lanes say by which method their pixels are stored.
    """

    coding: Coding
    images: Ints
    shapes: Ints
    stored: NDArray[np.bool_]
    ends: Ints
    place: bytes
    by_methods: bool

    def place_of_lane(self, lane: int) -> bytes:
        """What the check of a lane begins with."""
        return self.place + lane.to_bytes(4, "little")

    def images_of(self, lane: int) -> Ints:
        """The images of a lane, by their numbers in the group."""
        return self.images[lane * self.coding.per_lane : (lane + 1) * self.coding.per_lane]

    def shapes_of(self, lane: int) -> list[Shape]:
        """``(H, W)`` of each image of a lane."""
        some = self.shapes[lane * self.coding.per_lane : (lane + 1) * self.coding.per_lane]
        return [(height, width) for height, width in some.tolist()]


@dataclass(frozen=True)
class Group:
    """Head and table of a group, checked.

    Attributes:
        offset: where it begins in the file.
        shapes: ``(H, W)`` of every image, shape ``(images, 2)``.
        parts: one, or several that are coded in ways of their own.
        part_of: number of the part that each image belongs to, shape ``(images,)``.
    """

    head: Head
    offset: int
    shapes: Ints
    parts: tuple[CodedPart, ...]
    part_of: Ints

    @property
    def lanes_at(self) -> int:
        """Where the lanes begin in the file."""
        return self.offset + HEAD_BYTES + self.head.table_bytes

    def locate(self, image: int) -> tuple[int, int, int]:
        """Part and lane of an image, and its place among the images of the lane."""
        number = int(self.part_of[image])
        part = self.parts[number]
        return number, *divmod(int(np.searchsorted(part.images, image)), part.coding.per_lane)

    def read_labels(self, read: Read) -> Ints | None:
        """The labels, shape ``(images,)``, or None if it has none."""
        if not self.head.flags & LABELS:
            return None
        at = self.lanes_at + self.head.lanes_bytes
        raw = _section(read(at, self.head.labels_bytes), 1 + 8 * self.head.images, "the labels")
        width = raw[0] if raw else 0
        if width not in (1, 2, 4, 8) or len(raw) != 1 + width * self.head.images:
            raise FormatError("the labels are damaged: they are not one for each image")
        labels = np.frombuffer(raw, f"<i{width}", offset=1).astype(np.int64)
        if width != _label_width(labels):
            raise FormatError("the labels are damaged: they are not in as few bytes as hold them")
        return labels

    def read_names(self, read: Read) -> list[str] | None:
        """The names, or None if it has none."""
        if not self.head.flags & NAMES:
            return None
        at = self.lanes_at + self.head.lanes_bytes + self.head.labels_bytes
        limit = min(NAMES_MAX, self.head.images * (NAME_MAX + 1))
        return unpack_names(_section(read(at, self.head.names_bytes), limit, "the names"), self.head.images)


def read_group(read: Read, offset: int, room: int, max_pixels: int | None = None) -> Group:
    """Read and check head and table of a group.

    Args:
        offset: where it begins.
        room: bytes from there to where the next thing begins; the group may not be larger.
        max_pixels: larger images are refused, by default than :data:`~mnistzip.container.DECODED_MAX` says; so are lanes, and
            groups of more pixels than :data:`GROUP_PIXELS_MAX` says.

    Raises:
        FormatError: no group there, or a damaged one.
        UnsupportedError: a method, model or flag that this version does not know.
        LimitError: an image of more pixels than allowed.
    """
    start = read(offset, min(room, READ_AHEAD))
    head = _parse_head(start)
    end = HEAD_BYTES + head.table_bytes
    if head.size > room:
        raise FormatError(f"the group at byte {offset} is damaged: it has {head.size} bytes where {room} are left for it")
    if end > len(start):
        start += read(offset + len(start), end - len(start))
    table = start[HEAD_BYTES:end]
    if head.to_bytes(table)[:HEAD_BYTES] != start[:HEAD_BYTES]:
        raise FormatError(f"the group at byte {offset} is damaged: its head and table do not match their check")
    _require_known(head)
    shapes, sizes = _parse_sizes(head, table)
    parts, part_of = _parse_parts(head, shapes, sizes, table[len(sizes) :])
    _require_room(offset, parts, max_pixels)
    return Group(head, offset, shapes, parts, part_of)


def _require_room(offset: int, parts: Sequence[CodedPart], max_pixels: int | None) -> None:
    """Refuse images, or so many of them, that take too long to decode; a tile costs nearly the same however little it shows."""
    pixels = [part.shapes[:, 0] * part.shapes[:, 1] for part in parts]
    for part, sizes in zip(parts, pixels, strict=True):
        height, width = part.shapes[int(sizes.argmax())].tolist()
        require_pixels(part.coding.mode, width, height, max_pixels)
    if sum(map(len, pixels)) == 1:
        return
    for part, sizes in zip(parts, pixels, strict=True):
        mode, in_lane = part.coding.mode, np.add.reduceat(sizes, np.arange(0, len(sizes), part.coding.per_lane))
        if len(sizes) > 1:
            _require_at_most(offset, int(in_lane.max()), DECODED_MAX[mode], "pixels in a lane", max_pixels)
    for mode in Mode:
        of_mode = sum(int(sizes.sum()) for part, sizes in zip(parts, pixels, strict=True) if part.coding.mode is mode)
        _require_at_most(offset, of_mode, GROUP_PIXELS_MAX[mode], "pixels", max_pixels)
    coded = [part.shapes for part in parts if part.coding.mode is not Mode.STORED]
    tiles = sum(int(tiles_in(shapes[:, 1], shapes[:, 0]).sum()) for shapes in coded)
    _require_at_most(offset, tiles * TILE**2, GROUP_PIXELS_MAX[Mode.LOSSY], "pixels in whole tiles", max_pixels)


def _require_at_most(offset: int, found: int, limit: int, what: str, max_pixels: int | None) -> None:
    if found > (most := min(max(limit, max_pixels or 0), PIXELS_MAX)):
        raise LimitError(
            f"the group at byte {offset} has {found} {what}, more than the limit of {most}: max_pixels (--max-pixels) raises it"
        )


def _parse_head(start: bytes) -> Head:
    if len(start) < HEAD_BYTES or start[: len(MARKER)] != MARKER:
        raise FormatError("the file is damaged: there is no group of images where one should begin")
    _, images, method, flags, model, quality, per_lane, width, height, fingerprint, *numbers = _HEAD.unpack_from(start)
    if method != PARTS and method not in tuple(Mode):
        raise UnsupportedError(f"coding method {method} is unsupported: it is reserved for later versions")
    known = None if method == PARTS else Mode(method)
    return Head(images, known, flags, model, quality, per_lane, width, height, fingerprint, *numbers[:-1])


def _require_known(head: Head) -> None:
    """Refuse what the check cannot: fields that were written so on purpose."""
    if head.flags & ~_KNOWN_FLAGS:
        raise UnsupportedError(f"group flags {head.flags:#04x} are unsupported: some are reserved for later versions")
    if head.method is None:
        sound = not (head.quality or head.model or any(head.fingerprint) or head.flags & MIXED) and head.per_lane == 1
    else:
        sound = _is_sound(Coding(head.method, head.model, head.quality, head.per_lane, head.fingerprint))
        sound = sound and not (head.method is Mode.STORED and head.flags & MIXED)
    one_size = not head.flags & SIZES
    sound = sound and head.images > 0 and 0 < head.per_lane <= min(head.images, PER_LANE_MAX)
    sound = sound and (head.width > 0) == (head.height > 0) == one_size
    sound = (
        sound and bool(head.labels_bytes) == bool(head.flags & LABELS) and bool(head.names_bytes) == bool(head.flags & NAMES)
    )
    if not sound:
        raise FormatError("the head of a group is damaged: its fields contradict each other")


def _parse_sizes(head: Head, table: bytes) -> tuple[Ints, bytes]:
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


def _is_sound(coding: Coding) -> bool:
    """Whether the fields of a coding go together.

    Raises:
        UnsupportedError: a model that this version does not know.
    """
    if coding.mode is Mode.STORED:
        return not (coding.quality or coding.model or any(coding.fingerprint))
    if coding.model == NAMED_BY_HASH - 1:
        raise UnsupportedError(f"model number {coding.model} is unsupported: it is reserved for later versions")
    lowest, highest = (1, QUALITY_MAX) if coding.mode is Mode.LOSSY else (0, 0)
    return lowest <= coding.quality <= highest and coding.model <= NAMED_BY_HASH


def _parse_parts(head: Head, shapes: Ints, sizes: bytes, table: bytes) -> tuple[tuple[CodedPart, ...], Ints]:
    """The parts of a group, and the part of each image; ``table`` is what follows the sizes."""
    if head.method is None:
        codings, part_of, used = _parse_codings(head, table)
        table = table[used:]
    else:
        codings = [Coding(head.method, head.model, head.quality, head.per_lane, head.fingerprint)]
        part_of = np.zeros(head.images, np.int64)
    parts = []
    at = 0
    for number, coding in enumerate(codings):
        images = np.flatnonzero(part_of == number)
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


def _parse_codings(head: Head, table: bytes) -> tuple[list[Coding], Ints, int]:
    """How each part of a group is coded, the part of each image, and how many bytes of the table say so."""
    reader = Reader(table)
    count = reader.byte("the table of a group")
    if not 1 <= count <= PARTS_MAX:
        raise FormatError(f"the table of a group is damaged: it has {count} parts")
    codings = []
    for _ in range(count):
        mode, model, quality, lanes = reader.take(4, "the table of a group")
        if mode > Mode.STORED:
            raise UnsupportedError(f"coding method {mode} of a part is unsupported: it is reserved for later versions")
        fingerprint = bytes(8) if mode == Mode.STORED else reader.take(8, "the table of a group")
        codings.append(Coding(Mode(mode), model, quality, lanes + 1, fingerprint))
    part_of = np.zeros(head.images, np.int64)
    if count > 1:
        size = reader.varint("the table of a group", len(table))
        packed = inflate(reader.take(size, "the table of a group"), head.images)
        part_of = np.frombuffer(packed, np.uint8).astype(np.int64)
    _require_one_form(head, codings, part_of)
    return codings, part_of, reader.at


def _require_one_form(head: Head, codings: Sequence[Coding], part_of: Ints) -> None:
    """Refuse parts in a form that no encoder writes."""
    known, first = np.unique(part_of, return_index=True)
    in_order = len(part_of) == head.images and known.tolist() == list(range(len(codings))) and (np.diff(first) > 0).all()
    different = len({replace(coding, per_lane=1) for coding in codings}) == len(codings)
    needed = len(codings) > 1 or codings[0].mode is Mode.STORED
    fits = all(coding.per_lane <= int((part_of == number).sum()) for number, coding in enumerate(codings))
    if not (in_order and different and needed and fits and all(map(_is_sound, codings))):
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


def _section(section: bytes, limit: int, what: str) -> bytes:
    """The content of labels or names: a check, then a deflate stream."""
    try:
        raw = inflate(section[CRC_BYTES:], limit)
    except FormatError as cause:
        raise FormatError(f"{what} are damaged: {cause}") from cause
    if len(raw) > limit or zlib.crc32(raw).to_bytes(CRC_BYTES, "little") != section[:CRC_BYTES]:
        raise FormatError(f"{what} are damaged: they do not match their check")
    return raw


def _to_section(raw: bytes) -> bytes:
    return zlib.crc32(raw).to_bytes(CRC_BYTES, "little") + deflate(raw)


def sizes_of(shapes: Sequence[Shape]) -> tuple[int, int, bytes]:
    """Width and height that all images share, or 0 and 0 and the bytes of a table of sizes."""
    if len(set(shapes)) == 1:
        return shapes[0][1], shapes[0][0], b""
    return 0, 0, size_table(shapes)


def size_table(shapes: Iterable[Iterable[int]]) -> bytes:
    """Width and height of each image as varints."""
    return b"".join(varint(int(width)) + varint(int(height)) for height, width in shapes)


def write_group(
    shapes: Sequence[Shape],
    parts: Sequence[tuple[Coding, Sequence[int], Sequence[bytes]]],
    pixels_crc: int,
    labels: Ints | None,
    names: list[str] | None,
) -> bytes:
    """A group's bytes.

    Args:
        shapes: ``(H, W)`` of each image.
        parts: how each is coded, the numbers of its images, rising, and its lanes; in order of their first images. One part
            that is not stored gives a group as every version reads it.
        pixels_crc: check of the grey levels of all images.
        labels, names: of each image.
    """
    width, height, sizes = sizes_of(shapes)
    method, coding, described = None, Coding(Mode.STORED, 0, 0, 1, bytes(8)), b""
    if len(parts) == 1 and parts[0][0].mode is not Mode.STORED:
        coding = parts[0][0]
        method = coding.mode
    else:
        described = bytes([len(parts)]) + b"".join(part.to_bytes() for part, _, _ in parts) + _pack_map(len(shapes), parts)
    coded = b"".join(lane for _, _, lanes in parts for lane in lanes)
    table = sizes + described + b"".join(_pack_lengths(lanes) for _, _, lanes in parts)
    label_part = b"" if labels is None else _to_section(_pack_labels(labels))
    name_part = b"" if names is None else _to_section(pack_names(names))
    flags = SIZES * bool(sizes) | LABELS * bool(label_part) | NAMES * bool(name_part)
    how = (len(shapes), method, flags, coding.model, coding.quality, coding.per_lane, width, height, coding.fingerprint)
    sections = (len(table), len(coded), len(label_part), len(name_part), zlib.crc32(coded), pixels_crc)
    return Head(*how, *sections).to_bytes(table) + coded + label_part + name_part


def _pack_map(images: int, parts: Sequence[tuple[Coding, Sequence[int], Sequence[bytes]]]) -> bytes:
    """Which part each image belongs to; nothing where there is one."""
    if len(parts) == 1:
        return b""
    part_of = np.empty(images, np.uint8)
    for number, (_, numbers, _) in enumerate(parts):
        part_of[list(numbers)] = number
    packed = deflate(part_of.tobytes())
    return varint(len(packed)) + packed


def _pack_lengths(lanes: Sequence[bytes]) -> bytes:
    """The length of the shortest lane, and by how much each is longer."""
    shortest = min(map(len, lanes))
    return b"".join(varint(number) for number in [shortest, *(len(lane) - shortest for lane in lanes)])


def _pack_labels(labels: Ints) -> bytes:
    """The width of a label in bytes, then the labels in as few bytes as hold them all."""
    width = _label_width(labels)
    return bytes([width]) + labels.astype(f"<i{width}").tobytes()


def _label_width(labels: Ints) -> int:
    """The fewest bytes that hold every label."""
    low, high = int(labels.min()), int(labels.max())
    return next(width for width in (1, 2, 4, 8) if -(1 << 8 * width - 1) <= low and high < 1 << 8 * width - 1)
