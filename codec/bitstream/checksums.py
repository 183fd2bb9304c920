"""Checksums as bytes. FORMAT.md sections 2, 5 and 9 specify them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

CRC32_BYTES = 4
CHECK16_BYTES = 2


def crc32(pieces: Iterable[bytes]) -> int:
    """CRC-32 of pieces of bytes in order; a generator needs no memory for all of them."""
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc


def crc32_bytes(*pieces: bytes) -> bytes:
    """CRC-32 of pieces of bytes in order, low byte first."""
    return crc32(pieces).to_bytes(CRC32_BYTES, "little")


def check16(*pieces: bytes) -> bytes:
    """The low 16 bits of the CRC-32, high byte first."""
    return (crc32(pieces) & 0xFFFF).to_bytes(CHECK16_BYTES, "big")
