"""Files made to do harm: every check in them matches, what they say does not. For tests and :mod:`make_vectors`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mnistzip.container import Mode, varint
from mnistzip.groups import LABELS, NAMES, Head, place_of
from mnistzip.index import START, Footer, entry
from mnistzip.stored import deflate

LEVELS = b"\7\x09"  # the grey levels of two images of 1x1
PLAIN = Head(2, Mode.STORED, 0, 0, 0, 2, 1, 1, bytes(8), 0, 0, 0, 0, 0, zlib.crc32(LEVELS))


def crc(*parts: bytes) -> bytes:
    """A check of 32 bits."""
    return zlib.crc32(b"".join(parts)).to_bytes(4, "little")


def stored(header: bytes, body: bytes, levels: bytes) -> bytes:
    """A single file of such a body, with the check that its grey levels should have; also a stored lane, given its place."""
    return header + checked(header, body, levels)


def checked(place: bytes, body: bytes, levels: bytes) -> bytes:
    """A body and its check."""
    return body + (zlib.crc32(levels, zlib.crc32(place)) & 0xFFFF).to_bytes(2, "big")


def section(content: bytes, more: bytes = b"") -> bytes:
    """Labels or names of such content."""
    return crc(content) + deflate(content) + more


def group(
    table: bytes | None = None,
    body: bytes = LEVELS,
    sizes: bytes = b"",
    labels: bytes = b"",
    names: bytes = b"",
    lane: bytes | None = None,
    **change: Any,
) -> bytes:
    """A group of two stored images of 1x1 in one lane, or what changes in its head and elsewhere make of it."""
    flags = LABELS * bool(labels) | NAMES * bool(names)
    head = replace(PLAIN, **({"flags": flags} | change))
    lane = checked(place_of(head, sizes) + bytes(4), body, LEVELS) if lane is None else lane
    table = sizes + varint(len(lane)) + b"\0" if table is None else table
    told = {
        "table_bytes": len(table),
        "lanes_bytes": len(lane),
        "labels_bytes": len(labels),
        "names_bytes": len(names),
        "lanes_crc": zlib.crc32(lane),
    }
    return replace(head, **(told | change)).to_bytes(table) + lane + labels + names


def archive(
    parts: Sequence[bytes], firsts: Sequence[int], offsets: Sequence[int] = (), model: bytes = b"", **footer: Any
) -> bytes:
    """An archive of such groups, with an index that says what it is told to.

    Args:
        firsts: the number of the first image of each group, and of all images.
        offsets: where the groups are said to begin, if not where they do.
    """
    body = START + b"".join(parts)
    where = offsets or [len(START) + sum(map(len, parts[:k])) for k in range(len(parts))]
    index = b"".join(entry(first, offset) for first, offset in zip(firsts, [*where, len(body)], strict=True))
    told: dict[str, Any] = {"count": firsts[-1], "groups": len(parts), "index_at": len(body)} | footer
    return body + index + model + Footer(**told).to_bytes()
