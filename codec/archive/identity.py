"""Tell an archive from another one that has replaced its file, for processes that open it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mnistzip.archive.group import Group
from mnistzip.archive.index import Extent, Footer, Index
from mnistzip.bitstream.checksums import CRC32_BYTES
from mnistzip.errors import MnistzipError
from mnistzip.storage.backends import Storage


@dataclass(frozen=True)
class Identity:
    """Size and footer of an archive, and the checks of its first, middle and last group.

    The identity does not depend on path or time: a copy is the same archive.

    Attributes:
        checks: of each of these groups; empty if the group cannot be read.
    """

    size: int
    footer: Footer
    checks: tuple[bytes, ...]

    @classmethod
    def of(cls, storage: Storage, index: Index, group_of: Callable[[Extent], Group]) -> Identity:
        """The identity of an open archive."""
        last = index.groups - 1
        numbers = sorted({0, last // 2, last}) if index.groups else []
        return cls(storage.size, index.footer, tuple(_checks(storage, index, group_of, number) for number in numbers))

    def matches(self, other: Identity) -> bool:
        """Whether both are the same archive, as far as its groups can be read."""
        checks = zip(self.checks, other.checks, strict=False)
        return (self.size, self.footer) == (other.size, other.footer) and all(a == b for a, b in checks if a and b)


def _checks(storage: Storage, index: Index, group_of: Callable[[Extent], Group], number: int) -> bytes:
    """The header of a group, which holds the checks of its images, and the checks of its labels and names."""
    try:
        group = group_of(index.extent(number))
        labels = storage.read(group.labels_offset, min(group.header.labels_bytes, CRC32_BYTES))
        names = storage.read(group.names_offset, min(group.header.names_bytes, CRC32_BYTES))
        return group.header.fields() + labels + names
    except MnistzipError:  # the group is damaged, or the archive is closed
        return b""
