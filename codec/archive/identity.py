"""What tells one archive from another that has taken its place: for processes that open an archive again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mnistzip.archive.group import Group
from mnistzip.archive.index import CRC_BYTES, Extent, Footer, Index
from mnistzip.errors import MnistzipError
from mnistzip.storage.backends import Storage


@dataclass(frozen=True)
class Identity:
    """Size and footer of an archive, and the checks of its first, middle and last group; empty for a group that cannot be read.

    It does not depend on where the file is or when it was written: a copy is the same archive.
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
        """Whether both are of one archive, as far as its groups can be read."""
        checks = zip(self.checks, other.checks, strict=False)
        return (self.size, self.footer) == (other.size, other.footer) and all(a == b for a, b in checks if a and b)


def _checks(storage: Storage, index: Index, group_of: Callable[[Extent], Group], number: int) -> bytes:
    """The head of a group, which holds the checks of its images, and the checks of its labels and names."""
    try:
        group = group_of(index.extent(number))
        head, at = group.head, group.lanes_at + group.head.lanes_bytes
        labels = storage.read(at, min(head.labels_bytes, CRC_BYTES))
        names = storage.read(at + head.labels_bytes, min(head.names_bytes, CRC_BYTES))
        return head.to_bytes(b"") + labels + names
    except MnistzipError:  # damaged, or the archive is closed
        return b""
