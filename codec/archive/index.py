"""Start, index and footer of an archive. FORMAT.md section 9 is the norm."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from mnistzip.archive.group import READ_AHEAD, read_group
from mnistzip.archive.group_header import HEADER_BYTES, IMAGES_MAX, LABELS, LANE_BYTES_MIN, MARKER, NAMES, PER_LANE_MAX
from mnistzip.bitstream.checksums import CRC32_BYTES, crc32_bytes
from mnistzip.bitstream.container import KIND_ARCHIVE, MAGIC, require_magic
from mnistzip.errors import FormatError, MnistzipError, UnsupportedError
from mnistzip.limits import MODEL_FILE_MAX, PIXELS_MAX
from mnistzip.storage.backends import Storage

START = MAGIC + bytes([KIND_ARCHIVE, 0])
END = b"\x7f\xe1\xcaE"
_ENTRY = struct.Struct("<QQ")
ENTRY_BYTES = _ENTRY.size + CRC32_BYTES
_FOOTER = struct.Struct("<QQQBBHHH")
FOOTER_BYTES = _FOOTER.size + CRC32_BYTES + len(END)
EMBEDDED = 16  # flag: a model file lies between index and footer
WINDOW = 128  # entries that are read together
WINDOWS_CACHED = 256


class Origin(IntEnum):
    """The kind of data that the images of an archive came from; ``mnistzip decompress`` writes the same kind.

    Example:
        >>> import io, mnistzip, numpy as np
        >>> out = io.BytesIO()
        >>> with mnistzip.ArchiveWriter(out, origin=mnistzip.Origin.NPY) as writer:
        ...     writer.add(np.zeros((28, 28), np.uint8))
        >>> mnistzip.Archive(out.getvalue()).origin.name
        'NPY'
    """

    NONE = 0
    IDX = 1
    FOLDER = 2
    NPY = 3
    NPZ = 4
    PARQUET = 5


@dataclass(frozen=True)
class Footer:
    """The last bytes of an archive, which describe it.

    Attributes:
        count: number of images.
        groups: number of groups.
        index_offset: where the index begins.
        width, height: of all images, or 0 if they differ.
        labels, names: whether every image has one.
        embedded: whether the archive holds the model that its groups name by fingerprint.
    """

    count: int
    groups: int
    index_offset: int
    origin: Origin = Origin.NONE
    width: int = 0
    height: int = 0
    labels: bool = False
    names: bool = False
    embedded: bool = False

    @property
    def index_end(self) -> int:
        """Where the index ends."""
        return self.index_offset + (self.groups + 1) * ENTRY_BYTES

    def to_bytes(self) -> bytes:
        """The last 40 bytes of the file."""
        flags = LABELS * self.labels | NAMES * self.names | EMBEDDED * self.embedded
        raw = _FOOTER.pack(self.count, self.groups, self.index_offset, self.origin, flags, self.width, self.height, 0)
        return raw + crc32_bytes(raw) + END


@dataclass(frozen=True)
class Extent:
    """Where a group is.

    Attributes:
        number: of the group in the archive.
        first, images: its first image, and the number of images.
        offset, size: its first byte, and the number of bytes.
    """

    number: int
    first: int
    images: int
    offset: int
    size: int


def entry(first: int, offset: int) -> bytes:
    """The bytes of an entry of the index."""
    raw = _ENTRY.pack(first, offset)
    return raw + crc32_bytes(raw)


class Index:
    """The index of an archive. Entries are read when they are needed.

    Raises:
        FormatError: the file is not an archive, is cut short, or has a damaged footer.
        UnsupportedError: a version or flag that this version does not support.
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
        """Number of images."""
        return self.footer.count

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.footer.groups

    def model(self) -> bytes | None:
        """The bytes of the model file that the archive holds, or None."""
        if not self.footer.embedded:
            return None
        size = self._storage.size - FOOTER_BYTES - self.footer.index_end
        if size > MODEL_FILE_MAX:
            raise FormatError(f"the archive holds a model file of {size} bytes, more than one may have ({MODEL_FILE_MAX})")
        return self._storage.read(self.footer.index_end, size)

    def extent(self, number: int) -> Extent:
        """Where a group is, by its number."""
        (first, offset), (end, next_offset) = self._entry(number), self._entry(number + 1)
        begins = number > 0 or (first, offset) == (0, len(START))
        ends = number < self.groups - 1 or (end, next_offset) == (self.count, self.footer.index_offset)
        if not (
            begins and ends and first < end <= self.count and offset + HEADER_BYTES <= next_offset <= self.footer.index_offset
        ):
            raise FormatError(f"the index is damaged: group {number} is no part of the file between its neighbours")
        return Extent(number, first, end - first, offset, next_offset - offset)

    def extent_of(self, image: int) -> Extent:
        """Where the group of an image is."""
        number = bisect_right(range(self.groups), image, key=lambda k: self._entry(k)[0]) - 1
        extent = self.extent(max(number, 0))
        if not extent.first <= image < extent.first + extent.images:
            raise FormatError(f"the index is damaged: no group has image {image}")
        return extent

    def _entry(self, number: int) -> tuple[int, int]:
        window, position = divmod(number, WINDOW)
        entries = self._windows.get(window)
        if entries is None:
            count = min(WINDOW, self.groups + 1 - window * WINDOW)
            entries = self._storage.read(self.footer.index_offset + window * WINDOW * ENTRY_BYTES, count * ENTRY_BYTES)
            if len(self._windows) >= WINDOWS_CACHED:
                self._windows.clear()
            self._windows[window] = entries
        raw = entries[position * ENTRY_BYTES : (position + 1) * ENTRY_BYTES]
        if crc32_bytes(raw[:-CRC32_BYTES]) != raw[-CRC32_BYTES:]:
            raise FormatError(f"the index is damaged: entry {number} does not match its check")
        first, offset = _ENTRY.unpack(raw[:-CRC32_BYTES])
        return first, offset


class RecoveredIndex(Index):
    """An index made by a search for groups, for archives whose end is lost.

    Images are counted from the first group that is found. The search reads tables of at most twice the size of the file, which
    is more than sound groups need, so that a file full of false groups costs no more.
    """

    def __init__(self, storage: Storage) -> None:
        self._extents: list[Extent] = []
        left = 2 * storage.size

        def read(offset: int, size: int) -> bytes:
            nonlocal left
            if size > READ_AHEAD:
                left -= size
                if left < 0:
                    raise FormatError("the archive is damaged: it is full of false groups")
            return storage.read(offset, size)

        first, flags, end = 0, LABELS | NAMES, 0
        sizes: set[tuple[int, int]] = set()
        for offset in _markers(storage):
            if offset < end:
                continue
            try:
                group = read_group(read, offset, storage.size - offset, PIXELS_MAX)
            except MnistzipError:
                continue
            self._extents.append(Extent(len(self._extents), first, group.header.images, offset, group.header.size))
            first += group.header.images
            flags &= group.header.flags
            sizes.add((group.header.width, group.header.height))
            end = offset + group.header.size
        if not self._extents:
            raise FormatError("the archive is damaged: nothing in it can be read")
        width, height = sizes.pop() if len(sizes) == 1 else (0, 0)
        has = bool(flags & LABELS), bool(flags & NAMES)
        self.footer = Footer(first, len(self._extents), end, Origin.NONE, width, height, *has)

    def model(self) -> None:
        return None

    def extent(self, number: int) -> Extent:
        return self._extents[number]

    def extent_of(self, image: int) -> Extent:
        return self._extents[bisect_right(self._extents, image, key=lambda extent: extent.first) - 1]


def _markers(storage: Storage) -> Iterator[int]:
    """The offsets of all markers of groups, true or false."""
    step, overlap = 1 << 20, len(MARKER) - 1
    for start in range(0, storage.size, step):
        piece = storage.read(start, min(step + overlap, storage.size - start))
        position = piece.find(MARKER)
        while position >= 0:
            yield start + position
            position = piece.find(MARKER, position + 1)


def require_start(storage: Storage) -> None:
    """Raise unless a file begins as an archive of this version does."""
    start = storage.read(0, min(len(START), storage.size))
    require_magic(start)
    if len(start) < len(START):
        raise FormatError(f"the file is cut short: it ends after {len(start)} bytes")
    if start[2] != KIND_ARCHIVE:
        raise FormatError("this file holds a single image, not an archive: mnistzip.decode reads it")
    if start[3]:
        raise UnsupportedError(f"archive byte {start[3]:#04x} is unsupported: it is reserved for later versions")


def _parse_footer(raw: bytes, size: int) -> Footer:
    if raw[-len(END) :] != END or crc32_bytes(raw[: _FOOTER.size]) != raw[_FOOTER.size : -len(END)]:
        raise FormatError("the archive is damaged or cut short: it does not end as archives do")
    count, groups, index_offset, origin, flags, width, height, reserved = _FOOTER.unpack(raw[: _FOOTER.size])
    if flags & ~(LABELS | NAMES | EMBEDDED) or reserved or origin not in set(Origin):
        raise UnsupportedError("a field of the footer is unsupported: it is reserved for later versions")
    has = bool(flags & LABELS), bool(flags & NAMES), bool(flags & EMBEDDED)
    footer = Footer(count, groups, index_offset, Origin(origin), width, height, *has)
    model_bytes = size - FOOTER_BYTES - footer.index_end
    fits = (model_bytes > 0 if footer.embedded else model_bytes == 0) and len(START) + groups * HEADER_BYTES <= index_offset
    images_max = min(groups * IMAGES_MAX, index_offset * PER_LANE_MAX // (LANE_BYTES_MIN + 1))  # a lane has a byte in the table
    if not fits or not groups <= count <= images_max:
        raise FormatError("the archive is damaged: index and images do not fill the room that the footer gives them")
    if not groups and (footer.labels or footer.names):
        raise FormatError("the archive is damaged: it has no images, but labels or names of theirs")
    if (width > 0) != (height > 0):
        raise FormatError("the archive is damaged: its images have a width or a height but not both")
    return footer
