"""The head of a group in an archive, and how parts of a group are coded. FORMAT.md section 9 is the norm."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream.container import NAMED_BY_HASH, QUALITY_MAX
from mnistzip.errors import FormatError, UnsupportedError
from mnistzip.types import Mode

MARKER = b"\xca\xe1\x7fG"
_HEAD = struct.Struct("<4sHBBBBHHH8sIIIIIII")
HEAD_BYTES = _HEAD.size
IMAGES_MAX = 65535  # in a group
PER_LANE_MAX = 256  # images
LANE_BYTES_MIN = 3  # a pixel and a check of two bytes, or a state of 17 bits
CRC_BYTES = 4
PARTS = 4  # the coding method of a group whose images are coded in several ways; 3 is reserved
SIZES, MIXED, LABELS, NAMES = 1, 2, 4, 8  # flags
_KNOWN_FLAGS = SIZES | MIXED | LABELS | NAMES

Ints = NDArray[np.int64]
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
    images: NDArray[np.int32]
    shapes: Ints
    stored: NDArray[np.bool_]
    ends: Ints
    place: bytes
    by_methods: bool

    def place_of_lane(self, lane: int) -> bytes:
        """What the check of a lane begins with."""
        return self.place + lane.to_bytes(4, "little")

    def images_of(self, lane: int) -> NDArray[np.int32]:
        """The images of a lane, by their numbers in the group."""
        return self.images[lane * self.coding.per_lane : (lane + 1) * self.coding.per_lane]

    def shapes_of(self, lane: int) -> list[Shape]:
        """``(H, W)`` of each image of a lane."""
        some = self.shapes[lane * self.coding.per_lane : (lane + 1) * self.coding.per_lane]
        return [(height, width) for height, width in some.tolist()]


def parse_head(start: bytes) -> Head:
    """The head that the first bytes of a group are, unchecked.

    Raises:
        FormatError: no group begins so.
        UnsupportedError: a coding method that this version does not know.
    """
    if len(start) < HEAD_BYTES or start[: len(MARKER)] != MARKER:
        raise FormatError("the file is damaged: there is no group of images where one should begin")
    _, images, method, flags, model, quality, per_lane, width, height, fingerprint, *numbers = _HEAD.unpack_from(start)
    if method != PARTS and method not in tuple(Mode):
        raise UnsupportedError(f"coding method {method} is unsupported: it is reserved for later versions")
    known = None if method == PARTS else Mode(method)
    return Head(images, known, flags, model, quality, per_lane, width, height, fingerprint, *numbers[:-1])


def require_known(head: Head) -> None:
    """Refuse what the check cannot: fields that were written so on purpose."""
    if head.flags & ~_KNOWN_FLAGS:
        raise UnsupportedError(f"group flags {head.flags:#04x} are unsupported: some are reserved for later versions")
    if head.method is None:
        sound = not (head.quality or head.model or any(head.fingerprint) or head.flags & MIXED) and head.per_lane == 1
    else:
        sound = is_sound(Coding(head.method, head.model, head.quality, head.per_lane, head.fingerprint))
        sound = sound and not (head.method is Mode.STORED and head.flags & MIXED)
    one_size = not head.flags & SIZES
    sound = sound and head.images > 0 and 0 < head.per_lane <= min(head.images, PER_LANE_MAX)
    sound = sound and (head.width > 0) == (head.height > 0) == one_size
    sound = (
        sound and bool(head.labels_bytes) == bool(head.flags & LABELS) and bool(head.names_bytes) == bool(head.flags & NAMES)
    )
    if not sound:
        raise FormatError("the head of a group is damaged: its fields contradict each other")


def is_sound(coding: Coding) -> bool:
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
