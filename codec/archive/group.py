"""Groups, the independent sections of an archive: bytes to header and table, and back. FORMAT.md section 9 is the norm.

A group is a header of 52 bytes, a table, the lanes, then optional labels and names. Its images form one part or several. The
images of a part are coded alike. A lane is one payload that holds a fixed number of images of a part, the last lane the rest;
it can be read and decoded without the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnistzip.archive.entry_names import NAME_MAX, pack_names, unpack_names
from mnistzip.archive.group_header import (
    HEADER_BYTES,
    LABELS,
    NAMES,
    NO_FINGERPRINT,
    SIZES,
    CodedPart,
    GroupHeader,
    ImageShape,
)
from mnistzip.archive.group_table import (
    EncodedPart,
    common_size,
    parse_parts,
    parse_sizes,
    write_codings,
    write_lengths,
    write_sizes,
)
from mnistzip.bitstream.checksums import CRC32_BYTES, crc32, crc32_bytes
from mnistzip.bitstream.container import require_pixels
from mnistzip.bitstream.stored import deflate, inflate
from mnistzip.errors import FormatError, LimitError, located
from mnistzip.limits import DECODED_PIXELS_MAX, GROUP_NAMES_MAX, GROUP_PIXELS_MAX, PIXELS_MAX
from mnistzip.tiling import TILE, tiles_in
from mnistzip.types import Integers, Mode

READ_AHEAD = 2048  # the first read of a group, which nearly always contains header and table

Read = Callable[[int, int], bytes]  # offset and size -> that many bytes


@dataclass(frozen=True)
class Group:
    """Verified header and table of a group.

    Attributes:
        offset: where the group begins in the file.
        shapes: ``(H, W)`` of every image, ``(images, 2)``.
        parts: the images that are coded alike; one part or several.
        part_of: the number of each image's part, ``(images,)``.
    """

    header: GroupHeader
    offset: int
    shapes: Integers
    parts: tuple[CodedPart, ...]
    part_of: NDArray[np.uint8]

    @property
    def lanes_offset(self) -> int:
        """Where the lanes begin in the file."""
        return self.offset + HEADER_BYTES + self.header.table_bytes

    @property
    def labels_offset(self) -> int:
        """Where the labels begin in the file."""
        return self.lanes_offset + self.header.lanes_bytes

    @property
    def names_offset(self) -> int:
        """Where the names begin in the file."""
        return self.labels_offset + self.header.labels_bytes

    def locate(self, image: int) -> tuple[int, int, int]:
        """The part and the lane of an image, and its position in the lane."""
        number = int(self.part_of[image])
        part = self.parts[number]
        return number, *divmod(int(np.searchsorted(part.images, image)), part.coding.per_lane)

    def read_labels(self, read: Read) -> Integers | None:
        """The labels, ``(images,)``, or None if the group has none.

        Raises:
            FormatError: they are damaged.
        """
        images = self.header.images
        if not self.header.flags & LABELS:
            return None
        raw = _unpack_section(read(self.labels_offset, self.header.labels_bytes), 1 + 8 * images, "the labels")
        width = raw[0] if raw else 0
        if width not in (1, 2, 4, 8) or len(raw) != 1 + width * images:
            raise FormatError("the labels are damaged: they are not one for each image")
        labels = np.frombuffer(raw, f"<i{width}", offset=1).astype(np.int64)
        if width != _label_bytes(labels):
            raise FormatError("the labels are damaged: they are not in as few bytes as possible")
        return labels

    def read_names(self, read: Read) -> list[str] | None:
        """The names, or None if the group has none.

        Raises:
            FormatError: they are damaged.
        """
        images = self.header.images
        if not self.header.flags & NAMES:
            return None
        limit = min(GROUP_NAMES_MAX, images * (NAME_MAX + 1))
        return unpack_names(_unpack_section(read(self.names_offset, self.header.names_bytes), limit, "the names"), images)


def read_group(read: Read, offset: int, room: int, max_pixels: int | None = None) -> Group:
    """Read and verify header and table of a group.

    Args:
        read: reads from the file.
        offset: where the group begins.
        room: bytes from there to the next structure, which the group may not exceed.
        max_pixels: limit for the pixels of an image, a lane and a group. The default limits are
            :data:`~mnistzip.limits.DECODED_PIXELS_MAX` and :data:`~mnistzip.limits.GROUP_PIXELS_MAX`.

    Raises:
        FormatError: there is no group, or it is damaged.
        UnsupportedError: a method, model or flag that this version does not support.
        LimitError: an image, a lane or the group has too many pixels.
    """
    start = read(offset, min(room, READ_AHEAD))
    header = GroupHeader.parse(start)
    end = HEADER_BYTES + header.table_bytes
    if header.size > room:
        raise FormatError(f"the group at byte {offset} is damaged: it has {header.size} bytes, but {room} are left for it")
    if end > len(start):
        start += read(offset + len(start), end - len(start))
    table = start[HEADER_BYTES:end]
    if header.to_bytes(table) != start[:HEADER_BYTES]:
        raise FormatError(f"the group at byte {offset} is damaged: its header and table do not match their check")
    header.require_valid()
    shapes, sizes = parse_sizes(header, table)
    parts, part_of = parse_parts(header, shapes, sizes, table[len(sizes) :])
    _require_within_limits(offset, parts, max_pixels)
    return Group(header, offset, shapes, parts, part_of)


def _require_within_limits(offset: int, parts: Sequence[CodedPart], max_pixels: int | None) -> None:
    """Refuse images, lanes and groups that take too long to decode. A tile costs about the same however little of it shows."""
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


def _require_at_most(offset: int, count: int, default_limit: int, what: str, max_pixels: int | None) -> None:
    limit = min(max(default_limit, max_pixels or 0), PIXELS_MAX)
    if count > limit:
        raise LimitError(
            f"the group at byte {offset} has {count} {what}, more than the limit of {limit}: "
            "max_pixels (--max-pixels) raises it"
        )


def _unpack_section(section: bytes, limit: int, what: str) -> bytes:
    """The content of labels or names, which are stored as a check and a deflate stream."""
    try:
        raw = inflate(section[CRC32_BYTES:], limit)
    except FormatError as cause:
        raise located(cause, f"{what} are damaged") from cause
    if len(raw) > limit or crc32_bytes(raw) != section[:CRC32_BYTES]:
        raise FormatError(f"{what} are damaged: they do not match their check")
    return raw


def _pack_section(raw: bytes) -> bytes:
    return crc32_bytes(raw) + deflate(raw)


def write_group(
    shapes: Sequence[ImageShape],
    parts: Sequence[EncodedPart],
    pixels_crc: int,
    labels: Integers | None,
    names: list[str] | None,
) -> bytes:
    """The bytes of a group.

    Args:
        shapes: ``(H, W)`` of each image.
        parts: in the order of their first images. A single part that is not stored gives a group that is not in parts, which
            every version reads.
        pixels_crc: CRC-32 of the grey levels of all images.
        labels, names: one for each image, or None.
    """
    width, height = common_size(shapes)
    sizes = b"" if width else write_sizes(shapes)
    if len(parts) == 1 and parts[0].coding.mode is not Mode.STORED:
        header, codings = parts[0].coding.header(len(shapes), width, height), b""
    else:
        header = GroupHeader(len(shapes), None, 0, 0, 0, 1, width, height, NO_FINGERPRINT)
        codings = write_codings(len(shapes), parts)
    table = sizes + codings + b"".join(write_lengths(part.lanes) for part in parts)
    lanes = b"".join(lane for part in parts for lane in part.lanes)
    label_section = b"" if labels is None else _pack_section(_pack_labels(labels))
    name_section = b"" if names is None else _pack_section(pack_names(names))
    header = replace(
        header,
        flags=SIZES * bool(sizes) | LABELS * bool(label_section) | NAMES * bool(name_section),
        table_bytes=len(table),
        lanes_bytes=len(lanes),
        labels_bytes=len(label_section),
        names_bytes=len(name_section),
        lanes_crc=crc32([lanes]),
        pixels_crc=pixels_crc,
    )
    return header.to_bytes(table) + table + lanes + label_section + name_section


def _pack_labels(labels: Integers) -> bytes:
    """The bytes of a label, then the labels, each in as few bytes as hold all of them."""
    size = _label_bytes(labels)
    return bytes([size]) + labels.astype(f"<i{size}").tobytes()


def _label_bytes(labels: Integers) -> int:
    """The fewest bytes that hold every label."""
    low, high = int(labels.min()), int(labels.max())
    return next(size for size in (1, 2, 4, 8) if -(1 << 8 * size - 1) <= low and high < 1 << 8 * size - 1)
