"""The frame of an archive: its first bytes, the index of its groups, and the footer. FORMAT.md section 9 is the norm."""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from mnistzip.archive.group import READ_AHEAD, read_group
from mnistzip.archive.group_header import HEAD_BYTES, IMAGES_MAX, LABELS, LANE_BYTES_MIN, MARKER, NAMES, PER_LANE_MAX
from mnistzip.bitstream.container import ARCHIVE, MAGIC, require_magic
from mnistzip.errors import FormatError, MnistzipError, UnsupportedError
from mnistzip.limits import MODEL_FILE_MAX, PIXELS_MAX
from mnistzip.storage.backends import Storage

START = MAGIC + bytes([ARCHIVE, 0])
END = b"\x7f\xe1\xcaE"
CRC_BYTES = 4
_ENTRY = struct.Struct("<QQ")
ENTRY_BYTES = _ENTRY.size + CRC_BYTES
_FOOTER = struct.Struct("<QQQBBHHH")
FOOTER_BYTES = _FOOTER.size + CRC_BYTES + len(END)
EMBEDDED = 16  # flag: the model file lies between index and footer
WINDOW = 128  # entries read together
WINDOWS_KEPT = 256


class Origin(IntEnum):
    """What the images came from, which is what they are given back as."""

    NONE = 0
    IDX = 1
    FOLDER = 2
    NPY = 3
    NPZ = 4
    PARQUET = 5


@dataclass(frozen=True)
class Footer:
    """What an archive says of itself at its end.

    Attributes:
        count: images.
        groups: how many groups they are in.
        index_at: where the index begins.
        width, height: of all images, or 0 where they differ.
        labels, names: whether every image has one.
        embedded: whether the archive holds the model that its groups name by fingerprint.
    """

    count: int
    groups: int
    index_at: int
    origin: Origin = Origin.NONE
    width: int = 0
    height: int = 0
    labels: bool = False
    names: bool = False
    embedded: bool = False

    @property
    def index_end(self) -> int:
        """Where the index ends."""
        return self.index_at + (self.groups + 1) * ENTRY_BYTES

    def to_bytes(self) -> bytes:
        """The last 40 bytes of the file."""
        flags = LABELS * self.labels | NAMES * self.names | EMBEDDED * self.embedded
        raw = _FOOTER.pack(self.count, self.groups, self.index_at, self.origin, flags, self.width, self.height, 0)
        return raw + _crc(raw) + END


@dataclass(frozen=True)
class Extent:
    """Where a group is: its number, its first image and how many, its first byte and how many."""

    number: int
    first: int
    images: int
    offset: int
    size: int


def _crc(raw: bytes) -> bytes:
    return zlib.crc32(raw).to_bytes(CRC_BYTES, "little")


def entry(first: int, offset: int) -> bytes:
    """An entry of the index."""
    raw = _ENTRY.pack(first, offset)
    return raw + _crc(raw)


class Index:
    """The index of an archive, read as it is asked.

    Raises:
        FormatError: not an archive, cut short, or a damaged footer.
        UnsupportedError: a version or flag that this version does not know.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        require_start(storage)
        if storage.size < len(START) + ENTRY_BYTES + FOOTER_BYTES:
            raise FormatError(f"the archive is cut short: it ends after {storage.size} bytes")
        self.footer = _parse_footer(storage.read(storage.size - FOOTER_BYTES, FOOTER_BYTES), storage.size)
        self._windows: dict[int, bytes] = {}

    @property
    def count(self) -> int:
        """How many images."""
        return self.footer.count

    @property
    def groups(self) -> int:
        """How many groups."""
        return self.footer.groups

    def model(self) -> bytes | None:
        """The model file that the archive holds, as it is, or None."""
        if not self.footer.embedded:
            return None
        size = self._storage.size - FOOTER_BYTES - self.footer.index_end
        if size > MODEL_FILE_MAX:
            raise FormatError(f"the archive holds a model file of {size} bytes, more than one may have ({MODEL_FILE_MAX})")
        return self._storage.read(self.footer.index_end, size)

    def extent(self, number: int) -> Extent:
        """Where a group is."""
        (first, offset), (end, next_offset) = self._entry(number), self._entry(number + 1)
        begins = number > 0 or (first, offset) == (0, len(START))
        ends = number < self.groups - 1 or (end, next_offset) == (self.count, self.footer.index_at)
        if not (begins and ends and first < end <= self.count and offset + HEAD_BYTES <= next_offset <= self.footer.index_at):
            raise FormatError(f"the index is damaged: group {number} is no part of the file of its own")
        return Extent(number, first, end - first, offset, next_offset - offset)

    def find(self, image: int) -> Extent:
        """The group of an image."""
        number = bisect_right(range(self.groups), image, key=lambda k: self._entry(k)[0]) - 1
        extent = self.extent(max(number, 0))
        if not extent.first <= image < extent.first + extent.images:
            raise FormatError(f"the index is damaged: no group has image {image}")
        return extent

    def _entry(self, number: int) -> tuple[int, int]:
        window, at = divmod(number, WINDOW)
        held = self._windows.get(window)
        if held is None:
            count = min(WINDOW, self.groups + 1 - window * WINDOW)
            held = self._storage.read(self.footer.index_at + window * WINDOW * ENTRY_BYTES, count * ENTRY_BYTES)
            if len(self._windows) >= WINDOWS_KEPT:
                self._windows.clear()
            self._windows[window] = held
        raw = held[at * ENTRY_BYTES : (at + 1) * ENTRY_BYTES]
        if _crc(raw[:-CRC_BYTES]) != raw[-CRC_BYTES:]:
            raise FormatError(f"the index is damaged: entry {number} does not match its check")
        first, offset = _ENTRY.unpack(raw[:-CRC_BYTES])
        return first, offset


class RecoveredIndex(Index):
    """What an index would say, found by looking for groups: for archives whose end is lost.

    Images are counted from the first group that is left. Tables are read for as many bytes as the file has twice, which is more
    than groups that were written as such can ask for: one full of false ones costs no more.
    """

    def __init__(self, storage: Storage) -> None:
        self._extents: list[Extent] = []
        left = 2 * storage.size

        def read(offset: int, size: int) -> bytes:
            nonlocal left
            if size > READ_AHEAD:
                left -= size
                if left < 0:
                    raise FormatError("the archive is damaged: it is full of what only looks like groups")
            return storage.read(offset, size)

        first, flags, at = 0, LABELS | NAMES, 0
        sizes: set[tuple[int, int]] = set()
        for offset in _markers(storage):
            if offset < at:
                continue
            try:
                group = read_group(read, offset, storage.size - offset, PIXELS_MAX)
            except MnistzipError:
                continue
            self._extents.append(Extent(len(self._extents), first, group.head.images, offset, group.head.size))
            first += group.head.images
            flags &= group.head.flags
            sizes.add((group.head.width, group.head.height))
            at = offset + group.head.size
        if not self._extents:
            raise FormatError("the archive is damaged: nothing in it can be read")
        width, height = sizes.pop() if len(sizes) == 1 else (0, 0)
        has = bool(flags & LABELS), bool(flags & NAMES)
        self.footer = Footer(first, len(self._extents), at, Origin.NONE, width, height, *has)

    def model(self) -> None:
        return None

    def extent(self, number: int) -> Extent:
        return self._extents[number]

    def find(self, image: int) -> Extent:
        return self._extents[bisect_right(self._extents, image, key=lambda extent: extent.first) - 1]


def _markers(storage: Storage) -> Iterator[int]:
    """Where groups might begin."""
    step, overlap = 1 << 20, len(MARKER) - 1
    for start in range(0, storage.size, step):
        piece = storage.read(start, min(step + overlap, storage.size - start))
        at = piece.find(MARKER)
        while at >= 0:
            yield start + at
            at = piece.find(MARKER, at + 1)


def require_start(storage: Storage) -> None:
    """Raise unless a file begins as an archive of this version."""
    start = storage.read(0, min(len(START), storage.size))
    require_magic(start)
    if len(start) < len(START):
        raise FormatError(f"the file is cut short: it ends after {len(start)} bytes")
    if start[2] != ARCHIVE:
        raise FormatError("this file is no archive but holds one image: mnistzip.decode reads it")
    if start[3]:
        raise UnsupportedError(f"archive byte {start[3]:#04x} is unsupported: it is reserved for later versions")


def _parse_footer(raw: bytes, size: int) -> Footer:
    if raw[-len(END) :] != END or _crc(raw[: _FOOTER.size]) != raw[_FOOTER.size : -len(END)]:
        raise FormatError("the archive is damaged or cut short: it does not end as archives do")
    count, groups, index_at, origin, flags, width, height, reserved = _FOOTER.unpack(raw[: _FOOTER.size])
    if flags & ~(LABELS | NAMES | EMBEDDED) or reserved or origin not in set(Origin):
        raise UnsupportedError("a field of the footer is unsupported: it is reserved for later versions")
    has = bool(flags & LABELS), bool(flags & NAMES), bool(flags & EMBEDDED)
    footer = Footer(count, groups, index_at, Origin(origin), width, height, *has)
    model = size - FOOTER_BYTES - footer.index_end  # bytes of its file
    fits = (model > 0 if footer.embedded else model == 0) and len(START) + groups * HEAD_BYTES <= index_at
    most = min(groups * IMAGES_MAX, index_at * PER_LANE_MAX // (LANE_BYTES_MIN + 1))  # its length takes a byte of the table
    if not fits or not groups <= count <= most:
        raise FormatError("the archive is damaged: index and images do not fill the place that its footer gives them")
    if not groups and (footer.labels or footer.names):
        raise FormatError("the archive is damaged: it has no images, but labels or names of theirs")
    if (width > 0) != (height > 0):
        raise FormatError("the archive is damaged: its images have a width or a height but not both")
    return footer
