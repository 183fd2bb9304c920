"""Groups, the independent sections of an archive: bytes to head and tables, and back. FORMAT.md section 9 is the norm.

A group is a head of 52 bytes, a table, the lanes, and as far as it has them labels and names. Its images are coded alike, or in
parts that are each coded alike. A lane holds the same number of images throughout a part, but the last, and can be read and
decoded without the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzip.archive.entry_names import NAME_MAX, pack_names, unpack_names
from mnistzip.archive.group_header import (
    CRC_BYTES,
    HEAD_BYTES,
    LABELS,
    NAMES,
    SIZES,
    CodedPart,
    Coding,
    Head,
    Shape,
    parse_head,
    require_known,
)
from mnistzip.archive.group_table import pack_lengths, pack_map, parse_parts, parse_sizes, sizes_of
from mnistzip.bitstream.container import require_pixels
from mnistzip.bitstream.stored import deflate, inflate
from mnistzip.errors import FormatError, LimitError
from mnistzip.limits import DECODED_PIXELS_MAX, GROUP_NAMES_MAX, GROUP_PIXELS_MAX, PIXELS_MAX
from mnistzip.tiling import TILE, tiles_in
from mnistzip.types import Mode

READ_AHEAD = 2048  # read at once, as head and table are nearly always within

Ints = NDArray[np.int64]
Read = Callable[[int, int], bytes]  # offset and size -> so many bytes


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
    part_of: NDArray[np.uint8]

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
        limit = min(GROUP_NAMES_MAX, self.head.images * (NAME_MAX + 1))
        return unpack_names(_section(read(at, self.head.names_bytes), limit, "the names"), self.head.images)


def read_group(read: Read, offset: int, room: int, max_pixels: int | None = None) -> Group:
    """Read and check head and table of a group.

    Args:
        offset: where it begins.
        room: bytes from there to where the next thing begins; the group may not be larger.
        max_pixels: larger images are refused, by default than :data:`~mnistzip.limits.DECODED_PIXELS_MAX` says; so are lanes,
        and
            groups of more pixels than :data:`~mnistzip.limits.GROUP_PIXELS_MAX` says.

    Raises:
        FormatError: no group there, or a damaged one.
        UnsupportedError: a method, model or flag that this version does not know.
        LimitError: an image of more pixels than allowed.
    """
    start = read(offset, min(room, READ_AHEAD))
    head = parse_head(start)
    end = HEAD_BYTES + head.table_bytes
    if head.size > room:
        raise FormatError(f"the group at byte {offset} is damaged: it has {head.size} bytes where {room} are left for it")
    if end > len(start):
        start += read(offset + len(start), end - len(start))
    table = start[HEAD_BYTES:end]
    if head.to_bytes(table)[:HEAD_BYTES] != start[:HEAD_BYTES]:
        raise FormatError(f"the group at byte {offset} is damaged: its head and table do not match their check")
    require_known(head)
    shapes, sizes = parse_sizes(head, table)
    parts, part_of = parse_parts(head, shapes, sizes, table[len(sizes) :])
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
            _require_at_most(offset, int(in_lane.max()), DECODED_PIXELS_MAX[mode], "pixels in a lane", max_pixels)
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
        described = bytes([len(parts)]) + b"".join(part.to_bytes() for part, _, _ in parts) + pack_map(len(shapes), parts)
    coded = b"".join(lane for _, _, lanes in parts for lane in lanes)
    table = sizes + described + b"".join(pack_lengths(lanes) for _, _, lanes in parts)
    label_part = b"" if labels is None else _to_section(_pack_labels(labels))
    name_part = b"" if names is None else _to_section(pack_names(names))
    flags = SIZES * bool(sizes) | LABELS * bool(label_part) | NAMES * bool(name_part)
    how = (len(shapes), method, flags, coding.model, coding.quality, coding.per_lane, width, height, coding.fingerprint)
    sections = (len(table), len(coded), len(label_part), len(name_part), zlib.crc32(coded), pixels_crc)
    return Head(*how, *sections).to_bytes(table) + coded + label_part + name_part


def _pack_labels(labels: Ints) -> bytes:
    """The width of a label in bytes, then the labels in as few bytes as hold them all."""
    width = _label_width(labels)
    return bytes([width]) + labels.astype(f"<i{width}").tobytes()


def _label_width(labels: Ints) -> int:
    """The fewest bytes that hold every label."""
    low, high = int(labels.min()), int(labels.max())
    return next(width for width in (1, 2, 4, 8) if -(1 << 8 * width - 1) <= low and high < 1 << 8 * width - 1)
