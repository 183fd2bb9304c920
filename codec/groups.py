"""Groups, the independent parts of an archive: bytes to head and tables, and back. FORMAT.md section 9 is the norm.

A group is a head of 52 bytes, a table, the lanes, and as far as it has them labels and names. A lane holds the same number of
images throughout a group, but the last, and can be read and decoded without the others.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzip.container import DECODED_MAX, NAMED_BY_HASH, PIXELS_MAX, QUALITY_MAX, Mode, require_pixels, varint
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
        model: number of the model, 15 if it has none; 0 if stored.
        width, height: of all images, or 0 where the table gives a size for each.
        fingerprint: of the model; zeros if stored.
        lanes_crc: of the bytes of all lanes.
        pixels_crc: of the grey levels of all images.
    """

    images: int
    method: Mode
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
    def lanes(self) -> int:
        """How many lanes the images fill."""
        return -(-self.images // self.per_lane)

    @property
    def size(self) -> int:
        """Bytes of the whole group."""
        return HEAD_BYTES + self.table_bytes + self.lanes_bytes + self.labels_bytes + self.names_bytes

    def to_bytes(self, table: bytes) -> bytes:
        """Head and table."""
        what = (self.images, self.method, self.flags, self.model, self.quality, self.per_lane, self.width, self.height)
        parts = (self.table_bytes, self.lanes_bytes, self.labels_bytes, self.names_bytes, self.lanes_crc, self.pixels_crc)
        raw = _HEAD.pack(MARKER, *what, self.fingerprint, *parts, 0)[:-CRC_BYTES]
        return raw + zlib.crc32(table, zlib.crc32(raw)).to_bytes(CRC_BYTES, "little") + table


def place_of(head: Head, sizes: bytes) -> bytes:
    """What the checks of a group's lanes begin with: all that says how to decode them, in 4 bytes."""
    what = (head.images, head.method, 0, head.model, head.quality, head.per_lane, head.width, head.height)
    return zlib.crc32(sizes, zlib.crc32(_HEAD.pack(b"", *what, head.fingerprint, *[0] * 7)[4:24])).to_bytes(CRC_BYTES, "little")


@dataclass(frozen=True)
class Group:
    """Head and table of a group, checked.

    Attributes:
        offset: where it begins in the file.
        shapes: ``(H, W)`` of every image, shape ``(images, 2)``.
        stored: which lanes keep every pixel, shape ``(lanes,)``.
        ends: where each lane begins, from the first on, and the last ends, shape ``(lanes + 1,)``.
        place: what the checks of its lanes begin with.
    """

    head: Head
    offset: int
    shapes: Ints
    stored: NDArray[np.bool_]
    ends: Ints
    place: bytes

    @property
    def lanes_at(self) -> int:
        """Where the lanes begin in the file."""
        return self.offset + HEAD_BYTES + self.head.table_bytes

    def place_of_lane(self, lane: int) -> bytes:
        """What the check of a lane begins with."""
        return self.place + lane.to_bytes(4, "little")

    def images_of(self, lane: int) -> range:
        """The images of a lane, counted from the group's first."""
        return range(lane * self.head.per_lane, min((lane + 1) * self.head.per_lane, self.head.images))

    def shapes_of(self, lane: int) -> list[Shape]:
        """``(H, W)`` of each image of a lane."""
        images = self.images_of(lane)
        return [(height, width) for height, width in self.shapes[images.start : images.stop].tolist()]

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
    stored, ends = _parse_lanes(head, table[len(sizes) :])
    _require_room(offset, head, shapes, max_pixels)
    return Group(head, offset, shapes, stored, ends, place_of(head, sizes))


def _require_room(offset: int, head: Head, shapes: Ints, max_pixels: int | None) -> None:
    """Refuse images, or so many of them, that take too long to decode; a tile costs nearly the same however little it shows."""
    pixels = shapes[:, 0] * shapes[:, 1]
    height, width = shapes[int(pixels.argmax())].tolist()
    require_pixels(head.method, width, height, max_pixels)
    if head.images == 1:
        return
    in_lane = int(np.add.reduceat(pixels, np.arange(0, head.images, head.per_lane)).max())
    tiles = 0 if head.method is Mode.STORED else int(tiles_in(shapes[:, 1], shapes[:, 0]).sum())
    for found, limit, what in (
        (in_lane, DECODED_MAX[head.method], "pixels in a lane"),
        (int(pixels.sum()), GROUP_PIXELS_MAX[head.method], "pixels"),
        (tiles * TILE**2, GROUP_PIXELS_MAX[Mode.LOSSY], "pixels in whole tiles"),
    ):
        if found > (most := min(max(limit, max_pixels or 0), PIXELS_MAX)):
            raise LimitError(
                f"the group at byte {offset} has {found} {what}, more than the limit of {most}: "
                "max_pixels (--max-pixels) raises it"
            )


def _parse_head(start: bytes) -> Head:
    if len(start) < HEAD_BYTES or start[: len(MARKER)] != MARKER:
        raise FormatError("the file is damaged: there is no group of images where one should begin")
    _, images, method, flags, model, quality, per_lane, width, height, fingerprint, *numbers = _HEAD.unpack_from(start)
    try:
        known = Mode(method)
    except ValueError as cause:
        raise UnsupportedError(f"coding method {method} is unsupported: it is reserved for later versions") from cause
    return Head(images, known, flags, model, quality, per_lane, width, height, fingerprint, *numbers[:-1])


def _require_known(head: Head) -> None:
    """Refuse what the check cannot: fields that were written so on purpose."""
    if head.flags & ~_KNOWN_FLAGS:
        raise UnsupportedError(f"group flags {head.flags:#04x} are unsupported: some are reserved for later versions")
    if head.method is not Mode.STORED and head.model == NAMED_BY_HASH - 1:
        raise UnsupportedError(f"model number {head.model} is unsupported: it is reserved for later versions")
    if head.method is not Mode.STORED:
        lowest, highest = (1, QUALITY_MAX) if head.method is Mode.LOSSY else (0, 0)
        sound = lowest <= head.quality <= highest and head.model <= NAMED_BY_HASH
    else:
        sound = not (head.quality or head.model or any(head.fingerprint) or head.flags & MIXED)
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


def _parse_lanes(head: Head, table: bytes) -> tuple[NDArray[np.bool_], Ints]:
    """Which lanes are stored, and where each begins and the last ends."""
    stored = np.full(head.lanes, head.method is Mode.STORED)
    if head.flags & MIXED:
        bitmap, table = table[: -(-head.lanes // 8)], table[-(-head.lanes // 8) :]
        bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little").astype(bool)
        if len(bits) < head.lanes or bits[head.lanes :].any() or not bits.any():
            raise FormatError("the table of a group is damaged: it does not say of each lane whether it is stored")
        stored = bits[: head.lanes]
    values, used = _varints(table, 1 + head.lanes)
    ends = np.concatenate([[0], np.cumsum(values[0] + values[1:])])
    if values[0] < LANE_BYTES_MIN:
        raise FormatError(f"the table of a group is damaged: a lane has fewer than {LANE_BYTES_MIN} bytes")
    if used != len(table) or int(values[1:].min()) or ends[-1] != head.lanes_bytes:
        raise FormatError("the table of a group is damaged: its lanes do not fill their bytes")
    return stored, ends


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
    return 0, 0, b"".join(varint(width) + varint(height) for height, width in shapes)


def write_group(
    head: Head, sizes: bytes, stored: Sequence[bool], lanes: Sequence[bytes], labels: Ints | None, names: list[str] | None
) -> bytes:
    """A group's bytes. Of the head only what describes the images need be filled in."""
    coded = b"".join(lanes)
    shortest = min(map(len, lanes))
    mixed = head.method is not Mode.STORED and any(stored)
    bitmap = np.packbits(np.array(stored, bool), bitorder="little").tobytes() if mixed else b""
    table = sizes + bitmap + b"".join(varint(number) for number in [shortest, *(len(lane) - shortest for lane in lanes)])
    label_part = b"" if labels is None else _to_section(_pack_labels(labels))
    name_part = b"" if names is None else _to_section(pack_names(names))
    flags = SIZES * bool(sizes) | MIXED * mixed | LABELS * bool(label_part) | NAMES * bool(name_part)
    known = (head.images, head.method, flags, head.model, head.quality, head.per_lane, head.width, head.height)
    parts = (len(table), len(coded), len(label_part), len(name_part), zlib.crc32(coded), head.pixels_crc)
    return Head(*known, head.fingerprint, *parts).to_bytes(table) + coded + label_part + name_part


def _pack_labels(labels: Ints) -> bytes:
    """The width of a label in bytes, then the labels in as few bytes as hold them all."""
    width = _label_width(labels)
    return bytes([width]) + labels.astype(f"<i{width}").tobytes()


def _label_width(labels: Ints) -> int:
    """The fewest bytes that hold every label."""
    low, high = int(labels.min()), int(labels.max())
    return next(width for width in (1, 2, 4, 8) if -(1 << 8 * width - 1) <= low and high < 1 << 8 * width - 1)
