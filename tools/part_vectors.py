"""Golden archives whose groups are in parts, and archives of one such group with one fault each (FORMAT.md, section 9.5)."""

from __future__ import annotations

from typing import Any

import numpy as np

import mnistzip
from mnistzip.archive.group_header import MIXED, SIZES, PartCoding
from mnistzip.bitstream.container import varint
from mnistzip.bitstream.stored import deflate
from mnistzip.idx import read_idx
from mnistzip.types import Mode
from support import forge
from support.paths import DIGITS

STORED = PartCoding(Mode.STORED, 0, 0, 2, bytes(8))
ALONE = PartCoding(Mode.STORED, 0, 0, 1, bytes(8))
LOSSY = PartCoding(Mode.LOSSY, 0, 5, 1, b"12345678")


def valid() -> dict[str, bytes]:
    """Archives of pictures of several kinds."""
    digits = read_idx(DIGITS)
    rows, columns = np.mgrid[:28, :28]
    slopes = [(rows * k + columns * 3).astype(np.uint8) for k in range(1, 5)]
    inverse = [np.ascontiguousarray(255 - digit) for digit in digits[:6]]
    noise = list(np.random.default_rng(5).integers(0, 256, (3, 28, 28), np.uint8))
    mixed = [image for four in zip(digits[6:10], slopes, inverse, digits[10:14], strict=False) for image in four]
    sizes = [*mixed[:6], digits[20][4:13, 4:24], np.hstack(slopes), np.full((3, 1), 9, np.uint8)]
    names = [f"{k}.png" for k in range(len(sizes))]
    return {
        "parts": mnistzip.encode_archive(mixed, labels=range(len(mixed)), effort=0),
        "parts-sizes": mnistzip.encode_archive(sizes, names=names, effort=0),
        "parts-lossless": mnistzip.encode_archive([*mixed, *noise], lossless=True),
        "stored-slopes": mnistzip.encode_archive(slopes, lossless=True),
        "stored-ways": mnistzip.encode_archive([*slopes * 8, *noise, *[np.zeros((28, 28), np.uint8)] * 20], lossless=True),
    }


def described(codings: list[PartCoding], image_parts: bytes = b"", packed: bytes | None = None) -> bytes:
    """The table up to where lanes are listed."""
    packed = deflate(image_parts) if packed is None else packed
    mapped = varint(len(packed)) + packed if packed and len(codings) > 1 else b""
    return bytes([len(codings)]) + b"".join(coding.to_bytes() for coding in codings) + mapped


def lane(coding: PartCoding, body: bytes, levels: bytes, images: int) -> bytes:
    """A stored lane of images of 1x1."""
    return forge.checked(coding.seed(images, 1, 1, b"") + bytes(4), body, levels)


def faults() -> dict[str, tuple[bytes, str, str]]:
    """Archives of one group that is marked as in parts."""
    whole = lane(STORED, b"\0" + forge.LEVELS, forge.LEVELS, 2)
    one = varint(len(whole)) + b"\0"
    three = b"\4\0" * 2  # of two parts with a lane each
    two_parts = {"lane": bytes(8)}
    listed: list[tuple[str, str, str, dict[str, Any]]] = [
        ("parts-of-none", "FormatError", "0 parts", {"table": b"\0" + one}),
        ("parts-of-17", "FormatError", "17 parts", {"table": b"\x11" + STORED.to_bytes() * 17 + one}),
        ("part-of-a-later-mode", "FormatError", "cut short", {"table": b"\1\3\0\0\1" + one}),
        ("part-of-mode-5", "UnsupportedError", "coding method 5 of a part", {"table": b"\1\5\0\0\1" + one}),
        ("part-within-65", "FormatError", "contradict", {"table": b"\1\3\0A\1" + bytes(8) + one}),
        ("part-of-a-reserved-model", "UnsupportedError", "model number 14", {"table": b"\1\0\x0e\5\1" + bytes(8) + one}),
        ("part-cut-off", "FormatError", "cut short", {"table": b"\1\0\0"}),
        ("one-part-that-is-lossy", "FormatError", "contradict", {"table": described([LOSSY]) + one}),
        ("part-with-a-quality-it-does-not-have", "FormatError", "contradict", {"table": b"\1\2\0\5\1" + one}),
        ("part-with-more-in-a-lane-than-it-has", "FormatError", "contradict", {"table": b"\1\2\0\0\2" + one}),
        ("part-without-images", "FormatError", "contradict", two_parts | {"table": described([ALONE, LOSSY], b"\0\0") + three}),
        ("parts-out-of-order", "FormatError", "contradict", two_parts | {"table": described([ALONE, LOSSY], b"\1\0") + three}),
        ("parts-alike", "FormatError", "contradict", two_parts | {"table": described([ALONE, ALONE], b"\0\1") + three}),
        ("image-of-no-part", "FormatError", "contradict", two_parts | {"table": described([ALONE, LOSSY], b"\0\2") + three}),
        ("map-of-too-few", "FormatError", "contradict", two_parts | {"table": described([ALONE, LOSSY], b"\0") + three}),
        ("map-of-too-many", "FormatError", "contradict", two_parts | {"table": described([ALONE, LOSSY], b"\0\1\0") + three}),
        ("map-bomb", "FormatError", "do not end", two_parts | {"table": described([ALONE, LOSSY], bytes(1 << 20)) + three}),
        ("map-past-the-table", "FormatError", "cut short", {"table": described([ALONE, LOSSY], packed=b"")[:-1] + b"\7"}),
        ("parts-and-a-model", "FormatError", "contradict", {"table": described([STORED]) + one, "model": 1}),
        ("parts-and-a-lane-of-two", "FormatError", "contradict", {"table": described([STORED]) + one, "per_lane": 2}),
        ("parts-and-stored-lanes", "FormatError", "contradict", {"table": described([STORED]) + one, "flags": MIXED}),
        ("parts-whose-table-goes-on", "FormatError", "do not fill", {"table": described([STORED]) + one + b"\0"}),
        ("part-with-a-lane-too-few", "FormatError", "numbers", {"table": described([STORED]) + varint(len(whole))}),
        ("part-of-a-reserved-method", "UnsupportedError", "method 4", {
            "lane": lane(STORED, b"\4" + forge.LEVELS, forge.LEVELS, 2)}),
        ("part-of-no-pixels", "FormatError", "does not match its check", {"lane": lane(STORED, b"\0", forge.LEVELS, 2)}),
        ("part-of-other-pixels", "FormatError", "does not match its check", {
            "lane": lane(STORED, b"\2" + deflate(b"\7\7"), forge.LEVELS, 2)}),
        ("parts-that-repeat-one-size", "FormatError", "all have the same", {
            "flags": SIZES, "width": 0, "height": 0, "sizes": b"\1\1\1\1", "table": b"\1\1\1\1" + described([STORED]) + one}),
    ]  # fmt: skip
    out = {}
    for name, error, says, change in listed:
        content = {"lane": whole} | change
        content.setdefault("table", described([STORED]) + varint(len(content["lane"])) + b"\0")
        group = forge.group(**{"method": None, "per_lane": 1, **content})
        out[name] = (forge.archive([group], [0, 2]), error, says)
    return out
