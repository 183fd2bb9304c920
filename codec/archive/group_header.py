"""The header of a group in an archive, and how its parts are coded. FORMAT.md section 9 is the norm; this is its shape in code.

| offset | bytes | field |
|---|---|---|
| 0 | 4 | marker ``CA E1 7F 47`` |
| 4 | 2 | images |
| 6 | 1 | method: 0 lossy, 1 lossless, 2 stored, 3 bounded, 4 in parts |
| 7 | 1 | flags |
| 8 | 1 | model |
| 9 | 1 | quality, or the largest error |
| 10 | 2 | images in a lane |
| 12 | 4 | width and height |
| 16 | 8 | fingerprint of the model |
| 24 | 16 | bytes of table, lanes, labels and names |
| 40 | 8 | CRC-32 of the lanes, CRC-32 of the pixels |
| 48 | 4 | CRC-32 of the 48 bytes before and the table |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream.checksums import CRC32_BYTES, crc32_bytes
from mnistzip.bitstream.container import NAMED_BY_HASH, QUALITY_MAX, Reader
from mnistzip.errors import FormatError, UnsupportedError
from mnistzip.limits import ERROR_MAX
from mnistzip.types import Bools, Integers, Mode

MARKER = b"\xca\xe1\x7fG"
_FIELDS = struct.Struct("<HBBBBHHH8sIIIIII")  # the attributes of GroupHeader in order
HEADER_BYTES = len(MARKER) + _FIELDS.size + CRC32_BYTES
_SEED_FIELDS = 20  # the first bytes of the fields, as far as the fingerprint: all that decoding a lane depends on
IMAGES_MAX = 65535  # in a group
PER_LANE_MAX = 256  # images
LANE_BYTES_MIN = 3  # a pixel and a check of two bytes, or a coder state of 17 bits
FINGERPRINT_BYTES = 8
NO_FINGERPRINT = bytes(FINGERPRINT_BYTES)
IN_PARTS = 4  # the method of a group whose images are coded in several ways
SIZES, MIXED, LABELS, NAMES = 1, 2, 4, 8  # flags
_KNOWN_FLAGS = SIZES | MIXED | LABELS | NAMES

ImageShape = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class GroupHeader:
    """The first 52 bytes of a group.

    Attributes:
        images: number of images, 1..65535.
        method: how they are coded; None if each part states its own coding, as model, quality and fingerprint then are 0.
        flags: a sum of SIZES, MIXED, LABELS and NAMES.
        model: number of the model, 15 if it has none; 0 if stored.
        quality: 1..100 if lossy; the largest error, 1..64, if bounded; else 0.
        per_lane: images in a lane, 1..256.
        width, height: of all images, or 0 if the table gives a size for each.
        fingerprint: of the model; zeros if stored.
        table_bytes, lanes_bytes, labels_bytes, names_bytes: sizes of the sections that follow.
        lanes_crc: CRC-32 of the bytes of all lanes.
        pixels_crc: CRC-32 of the grey levels of all images.
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
    table_bytes: int = 0
    lanes_bytes: int = 0
    labels_bytes: int = 0
    names_bytes: int = 0
    lanes_crc: int = 0
    pixels_crc: int = 0

    @classmethod
    def parse(cls, start: bytes) -> GroupHeader:
        """Parse the first bytes of a group. Neither the check nor the fields are verified yet.

        Raises:
            FormatError: no group begins here.
            UnsupportedError: a coding method that this version does not support.
        """
        if len(start) < HEADER_BYTES or start[: len(MARKER)] != MARKER:
            raise FormatError("the file is damaged: there is no group of images where one should begin")
        images, method, *fields = _FIELDS.unpack_from(start, len(MARKER))
        if method != IN_PARTS and method not in tuple(Mode):
            raise UnsupportedError(f"coding method {method} is unsupported: it is reserved for later versions")
        return cls(images, None if method == IN_PARTS else Mode(method), *fields)

    @property
    def size(self) -> int:
        """Bytes of the whole group."""
        return HEADER_BYTES + self.table_bytes + self.lanes_bytes + self.labels_bytes + self.names_bytes

    @property
    def coding(self) -> PartCoding | None:
        """The coding of all images, or None if the group is in parts."""
        if self.method is None:
            return None
        return PartCoding(self.method, self.model, self.quality, self.per_lane, self.fingerprint)

    def to_bytes(self, table: bytes) -> bytes:
        """The header, whose check also covers the table."""
        raw = MARKER + self.fields()
        return raw + crc32_bytes(raw, table)

    def fields(self) -> bytes:
        """The bytes between marker and check."""
        images, method, *values = (getattr(self, field.name) for field in fields(self))
        return _FIELDS.pack(images, IN_PARTS if method is None else method, *values)

    def require_valid(self) -> None:
        """Refuse fields that are forged, which the check cannot detect.

        Raises:
            FormatError: the fields contradict each other.
            UnsupportedError: a flag or a model that this version does not support.
        """
        if self.flags & ~_KNOWN_FLAGS:
            raise UnsupportedError(f"group flags {self.flags:#04x} are unsupported: some are reserved for later versions")
        if not (self._is_coding_valid() and self._are_sizes_valid()):
            raise FormatError("the header of a group is damaged: its fields contradict each other")

    def _is_coding_valid(self) -> bool:
        coding = self.coding
        if coding is None:
            unset = not (self.quality or self.model or any(self.fingerprint) or self.flags & MIXED)
            return unset and self.per_lane == 1
        return coding.is_valid() and not (coding.mode in (Mode.STORED, Mode.BOUNDED) and self.flags & MIXED)

    def _are_sizes_valid(self) -> bool:
        has_one_size = not self.flags & SIZES
        return (
            0 < self.per_lane <= min(self.images, PER_LANE_MAX)
            and (self.width > 0) == (self.height > 0) == has_one_size
            and bool(self.labels_bytes) == bool(self.flags & LABELS)
            and bool(self.names_bytes) == bool(self.flags & NAMES)
        )


@dataclass(frozen=True)
class PartCoding:
    """How the images of a part are coded.

    Attributes:
        model: number of the model, 15 if it has none; 0 if stored.
        quality: 1..100 if lossy; the largest error, 1..64, if bounded; else 0.
        per_lane: images in a lane.
        fingerprint: of the model; zeros if stored.
    """

    mode: Mode
    model: int
    quality: int
    per_lane: int
    fingerprint: bytes

    @classmethod
    def parse(cls, reader: Reader, what: str) -> PartCoding:
        """Parse an entry in the table of a group in parts.

        Raises:
            FormatError: the table ends within it; ``what`` names the table.
            UnsupportedError: a mode that this version does not support.
        """
        mode, model, quality, per_lane = reader.take(4, what)
        if mode not in tuple(Mode):
            raise UnsupportedError(f"coding method {mode} of a part is unsupported: it is reserved for later versions")
        fingerprint = NO_FINGERPRINT if mode == Mode.STORED else reader.take(FINGERPRINT_BYTES, what)
        return cls(Mode(mode), model, quality, per_lane + 1, fingerprint)

    @property
    def max_error(self) -> int:
        """How far a grey level may be from the original; 0 if the mode states no bound."""
        return self.quality if self.mode is Mode.BOUNDED else 0

    def to_bytes(self) -> bytes:
        """The entry in the table of a group in parts."""
        fields = bytes([self.mode, self.model, self.quality, self.per_lane - 1])
        return fields if self.mode is Mode.STORED else fields + self.fingerprint

    def header(self, images: int, width: int, height: int) -> GroupHeader:
        """The header of a group of one part with this coding, without flags and sizes of sections."""
        return GroupHeader(images, self.mode, 0, self.model, self.quality, self.per_lane, width, height, self.fingerprint)

    def seed(self, images: int, width: int, height: int, sizes: bytes) -> bytes:
        """CRC-32 of everything that says how to decode the lanes of a part: D in section 9.2 of FORMAT.md.

        Args:
            images: of the part.
            width, height: in the header of the group.
            sizes: the sizes of the part's images, as in the table.
        """
        return crc32_bytes(self.header(images, width, height).fields()[:_SEED_FIELDS], sizes)

    def is_valid(self) -> bool:
        """Whether the fields agree.

        Raises:
            UnsupportedError: a model that this version does not support.
        """
        if self.mode is Mode.STORED:
            return not (self.quality or self.model or any(self.fingerprint))
        if self.model == NAMED_BY_HASH - 1:
            raise UnsupportedError(f"model number {self.model} is unsupported: it is reserved for later versions")
        lowest, highest = {Mode.LOSSY: (1, QUALITY_MAX), Mode.BOUNDED: (1, ERROR_MAX)}.get(self.mode, (0, 0))
        return lowest <= self.quality <= highest and self.model <= NAMED_BY_HASH


@dataclass(frozen=True)
class CodedPart:
    """Images of a group that are coded alike, and where their lanes are.

    Attributes:
        images: their numbers in the group, rising, int32 ``(n,)``.
        shapes: ``(H, W)`` of each, ``(n, 2)``.
        stored: which lanes are stored, bool ``(lanes,)``.
        lane_offsets: where each lane begins and the last one ends, in bytes from the group's first lane, ``(lanes + 1,)``.
        seed: the first 4 bytes of the checksum seeds of its lanes.
        in_parts: whether the group is in parts; if so, stored lanes begin with a storage method.
    """

    coding: PartCoding
    images: NDArray[np.int32]
    shapes: Integers
    stored: Bools
    lane_offsets: Integers
    seed: bytes
    in_parts: bool

    def checksum_seed(self, lane: int) -> bytes:
        """The bytes that the check of a lane covers first."""
        return checksum_seed(self.seed, lane)

    def images_of(self, lane: int) -> NDArray[np.int32]:
        """The images of a lane, by their numbers in the group."""
        return self.images[lane * self.coding.per_lane : (lane + 1) * self.coding.per_lane]

    def shapes_of(self, lane: int) -> list[ImageShape]:
        """``(H, W)`` of each image of a lane."""
        shapes = self.shapes[lane * self.coding.per_lane : (lane + 1) * self.coding.per_lane]
        return [(height, width) for height, width in shapes.tolist()]


def checksum_seed(seed: bytes, lane: int) -> bytes:
    """The bytes that the check of a lane covers first, given the seed of its part."""
    return seed + lane.to_bytes(4, "little")
