"""Add golden vectors. Run by hand; no test calls it. Existing vectors are never changed: see CONTRIBUTING.md.

    python tools/make_vectors.py

``valid/NAME.cae`` decodes to the pixels in ``valid/NAME.pgm``, ``bare/NAME.bare`` to those in ``bare/NAME.pgm`` with the
options in ``agreed.json``, and ``own/NAME.cae`` with the model file ``own/own.npz``. ``invalid/NAME.cae`` has one fault, and
``invalid/expected.json`` gives the error of each and a part of its message. ``archive/NAME.cae`` contains images;
``archive/expected.json`` gives their sizes, CRC-32 of the pixels, names and labels. ``invalid-archive`` has one fault each.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import mnistzip
from mnistzip.archive.group_header import MIXED, SIZES
from mnistzip.bitstream.container import KIND_LOSSLESS_DIGIT, MAGIC, varint
from mnistzip.bitstream.stored import deflate
from mnistzip.bitstream.stream_layout import Streams
from mnistzip.coding.lossless import encode_payloads, lossless_header, pixel_symbols
from mnistzip.engines.choice import use
from mnistzip.entropy import rans
from mnistzip.idx import read_idx
from mnistzip.models.pixel import pixel_model
from mnistzip.models.registry import shipped
from mnistzip.types import Mode, Pixels

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import part_vectors
from support import forge
from support.paths import DATA, DIGITS, VECTORS

GOLDEN = ("archive", "bare", "own", "valid")


def pgm(image: Pixels) -> bytes:
    """A binary PGM: a text header and the raw pixels."""
    return b"P5 %d %d 255\n" % (image.shape[1], image.shape[0]) + image.tobytes()


def valid() -> dict[str, bytes]:
    """Files of several qualities, sizes, models and modes."""
    digits = read_idx(DIGITS)
    rows, columns = np.mgrid[:61, :90]
    plaid = ((rows * 5 % 256) ^ (columns * 3 % 256)).astype(np.uint8)
    noise = np.random.default_rng(8).integers(0, 256, (28, 28)).astype(np.uint8)
    slope = (rows * 2 + columns + np.random.default_rng(9).integers(0, 9, rows.shape)).astype(np.uint8)
    files = {f"mnist-q{quality}": mnistzip.encode(digits[quality % 64], quality=quality) for quality in (1, 25, 50, 75, 100)}
    files |= {
        f"classic-q{quality}": mnistzip.encode(digits[quality % 64], quality=quality, model="classic")
        for quality in (1, 50, 100)
    }
    for model in ("mnist-fast", "glyph", "mnist-micro"):
        files |= {
            f"{model}-q{quality}": mnistzip.encode(digits[quality % 64], quality=quality, model=model)
            for quality in (1, 50, 100)
        }
    files |= {
        **{
            f"grey-q{quality}": mnistzip.encode(digits[quality % 64], quality=quality, model="grey") for quality in (1, 50, 100)
        },
        "grey-90x61": mnistzip.encode(plaid, quality=60, model="grey"),
        "grey-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), quality=40, model="grey", effort=0),
        "grey-20x9": mnistzip.encode(digits[9][4:13, 4:24], quality=80, model="grey"),
        "grey-1x1": mnistzip.encode(digits[11][14:15, 14:15], quality=90, model="grey", effort=0),
        "grey-lossless-digit": mnistzip.encode(digits[14], lossless=True, model="grey"),
        "grey-lossless-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), lossless=True, model="grey"),
        "grey-lossless-20x9": mnistzip.encode(digits[9][4:13, 4:24], lossless=True, model="grey"),
        "grey-lossless-90x61": mnistzip.encode(slope, lossless=True, model="grey"),
        "grey-bounded-digit": mnistzip.encode(digits[15], max_error=4, model="grey"),
        "grey-bounded-90x61": mnistzip.encode(slope, max_error=2, model="grey"),
        "grey-bounded-20x9": mnistzip.encode(digits[9][4:13, 4:24], max_error=64, model="grey"),
        **{f"bitmap-digit-{k}": mnistzip.encode(digits[k], lossless=True) for k in (3, 14, 15, 16, 22)},
        "mnist-effort0": mnistzip.encode(digits[7], effort=0),
        "mnist-effort9": mnistzip.encode(digits[7], effort=9),
        "mnist-51-bytes": mnistzip.encode(digits[8], max_bytes=51),
        "mnist-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), quality=30),  # 20 tiles, two streams
        "mnist-plaid-90x61": mnistzip.encode(plaid, effort=0),
        "mnist-20x9": mnistzip.encode(digits[9][4:13, 4:24], effort=0),
        "lossless-digit": mnistzip.encode(digits[10], lossless=True, model="mnist"),
        "stored-digit": mnistzip.encode(digits[10], lossless=True, model="classic"),  # which has no pixel model
        "lossless-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), lossless=True),  # 20 tiles, two streams
        "lossless-20x9": mnistzip.encode(digits[9][4:13, 4:24], lossless=True),
        "lossless-blank": mnistzip.encode(np.zeros((28, 28), np.uint8), lossless=True),
        "lossless-smooth": mnistzip.encode((rows + columns).astype(np.uint8), lossless=True),
        "lossless-noise": mnistzip.encode(noise, lossless=True),
        "lossless-glyph": mnistzip.encode(digits[12], lossless=True, model="glyph"),
        "lossless-1x1": mnistzip.encode(digits[11][14:15, 14:15], lossless=True),
        "lossless-90x61": mnistzip.encode(plaid, lossless=True),
        "bounded-digit": mnistzip.encode(digits[10], max_error=4),
        "bounded-fast": mnistzip.encode(digits[13], max_error=1, model="mnist-fast"),
        "bounded-glyph": mnistzip.encode(plaid[:28, :28], max_error=16, model="glyph"),
        "bounded-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), max_error=9),  # 20 tiles, two streams
        "bounded-112x56": mnistzip.encode(
            255 - np.vstack([np.hstack(list(digits[k : k + 4])) for k in (20, 24)]), max_error=40
        ),
        "bounded-20x9": mnistzip.encode(digits[9][4:13, 4:24], max_error=64),
        "stored-raw": mnistzip.encode(noise, lossless=True, model="classic"),
        "stored-up": mnistzip.encode(np.cumsum(np.tile(noise[:1], (40, 3)), axis=0, dtype=np.uint8), lossless=True),
        "stored-gradient": mnistzip.encode((rows * 3 + columns * 5).astype(np.uint8), lossless=True),
        "stored-65535x1": mnistzip.encode(np.zeros((1, 65535), np.uint8), lossless=True, model="classic"),
        "stored-1x65535": mnistzip.encode(np.full((65535, 1), 255, np.uint8), lossless=True, model="classic"),
    }
    return files


def bare() -> dict[str, tuple[Pixels, dict[str, Any]]]:
    """Images and the options that both ends agree on, for streams without a header."""
    digits = read_idx(DIGITS)
    row = np.hstack(list(digits[:17]))
    return {
        **{f"mnist-check{bits}": (digits[bits], {"quality": 30, "check_bits": bits}) for bits in (0, 5, 8, 15, 16, 23)},
        "classic": (digits[1], {"quality": 50, "check_bits": 8, "model": "classic"}),
        "mnist-row": (row, {"quality": 20, "check_bits": 8}),  # 17 tiles, two streams
        "grey": (digits[2], {"quality": 30, "check_bits": 4, "model": "grey"}),
        "mnist-micro": (digits[4], {"quality": 60, "check_bits": 8, "model": "mnist-micro"}),
    }


def own(model: Path) -> dict[str, bytes]:
    """Files of a user's model, which has a layer of each kind."""
    digits = read_idx(DIGITS)
    return {
        "q1": mnistzip.encode(digits[0], model=model, quality=1),
        "q50": mnistzip.encode(digits[1], model=model, effort=0),
        "row": mnistzip.encode(np.hstack(list(digits[:17])), model=model, quality=20, effort=0),
    }


def with_check_of(bits: int, **options: Any) -> bytes:
    """A file whose check has this number of bits."""
    digit = read_idx(DIGITS)[12]
    encode = rans.encode
    with (
        use("numpy"),
        patch.object(rans, "CHECK_BITS_MAX", bits),
        patch.object(rans, "encode", lambda starts, freqs, checks, _=None: encode(starts, freqs, checks, bits)),
    ):
        return mnistzip.encode(digit, **options)


def with_shade_of(shade: int, grey: int) -> bytes:
    """A lossless file whose last pixel, of a given grey level, is coded as a shade beyond its range."""
    image = np.zeros((28, 28), np.uint8)
    image[-1, -1] = grey
    decoded = image.copy()
    decoded[-1, -1] = min(grey - pixel_model.LAST_SHADE[pixel_model.ranges(image)[-1, -1]] + shade, 255)
    known = pixel_model.symbols
    header = MAGIC + bytes([KIND_LOSSLESS_DIGIT])

    def symbols(x: Pixels, plane: pixel_model.Plane) -> NDArray[np.int64]:
        return np.full(len(x), shade) if plane is pixel_model.Plane.SHADE else known(x, plane)

    def checks(streams: Streams, headers: list[bytes], _: Pixels) -> NDArray[np.int64]:
        return check_of(streams, headers, decoded[None])

    check_of = Streams.checks
    with use("numpy"), patch.object(pixel_model, "symbols", symbols), patch.object(Streams, "checks", checks):
        return header + encode_payloads(shipped("mnist"), [header], [image], pixel_symbols(shipped("mnist"), [image]))[0]


def with_level_beyond(max_error: int) -> bytes:
    """A bounded file with a pixel of a grey level that the bound does not leave: a value of little probability."""
    image = np.zeros((28, 28), np.uint8)
    image[-1, -1] = 2 * max_error
    model = shipped("mnist")
    header = lossless_header(model, image.shape, max_error).to_bytes()
    with use("numpy"):  # which does not refuse to code it
        return header + encode_payloads(model, [header], [image], pixel_symbols(model, [image], max_error))[0]


def invalid(
    good: bytes, stored: bytes, tiled: bytes, kept: bytes, near: bytes, whole: bytes, within: bytes, drawn: bytes
) -> dict[str, tuple[bytes, str, str]]:
    """One fault each: bytes, kind of error, part of its message."""
    levels = mnistzip.decode(stored).tobytes()
    row = b"\xca\xe1%c\3\1"  # the header of three pixels
    size, both = tiled[7] - 128 + 128 * tiled[8], tiled[9:]  # of the first of two streams
    flipped = bytearray(good)
    flipped[-2] ^= 1
    other_quality = bytearray(good)
    other_quality[2] ^= 1
    return {
        "empty": (b"", "FormatError", "begins with nothing"),
        "one-byte": (b"\xca", "FormatError", "not a mnistzip file"),
        "wrong-magic": (b"\xcb" + good[1:], "FormatError", "not a mnistzip file"),
        "png": ((DATA / "digit.png").read_bytes(), "FormatError", "89 50 4e 47"),
        "future-version": (b"\xca\xe2" + good[2:], "UnsupportedError", "needs a newer mnistzip"),
        "reserved-byte": (b"\xca\xe1\x70" + good[3:], "UnsupportedError", "unsupported"),
        "reserved-mode": (b"\xca\xe1\xb0" + good[3:], "FormatError", "largest error"),
        "reserved-method": (b"\xca\xe1\xa7" + good[3:], "UnsupportedError", "unsupported"),
        "unknown-model": (b"\xca\xe1\x8932" + good[3:], "ModelError", "shipped model 9"),
        "custom-model": (b"\xca\xe1\x8f" + bytes(4) + b"2" + good[3:], "ModelError", "needs the custom model 00000000"),
        "long-header": (b"\xca\xe1\x80" + good[2:], "FormatError", "shortest form"),
        "quality-zero": (b"\xca\xe1\x81\0" + good[3:], "FormatError", "quality 0"),
        "zero-width": (b"\xca\xe1\xc02\0\x1c" + good[3:], "FormatError", "side of 0"),
        "overlong-varint": (b"\xca\xe1\xc02\x9d\0\x1c" + good[3:], "FormatError", "shortest form"),
        "endless-varint": (b"\xca\xe1\xc02" + b"\xff" * 12, "FormatError", "larger than 65535"),
        "too-many-pixels": (b"\xca\xe1\xc02\xff\xff\3\xff\xff\3" + good[3:], "LimitError", "65535x65535"),
        "more-streams-than-bytes": (b"\xca\xe1\xc02\xff\xff\3\x7f" + good[3:], "FormatError", "cannot hold"),
        "lossless-too-many-pixels": (b"\xca\xe1\xd0\xff\xff\3\x7f" + kept[3:], "LimitError", "65535x127"),
        "stored-too-many-pixels": (b"\xca\xe1\xe1\xff\xff\3\xff\xff\3" + stored[3:], "LimitError", "65535x65535"),
        "header-only": (good[:3], "FormatError", "cut short"),
        "truncated": (good[:-1], "FormatError", "damaged"),
        "trailing-byte": (good + b"\0", "FormatError", "damaged"),
        "two-files": (good + good, "FormatError", "damaged"),
        "flipped-bit": (bytes(flipped), "FormatError", "damaged"),
        "other-quality": (bytes(other_quality), "FormatError", "damaged"),
        "payload-of-zeros": (good[:3] + bytes(20), "FormatError", "impossible state"),
        "payload-of-ones": (good[:3] + b"\xff" * 20, "FormatError", "damaged"),
        "stream-length-past-end": (tiled[:7] + b"\xff\x7f" + tiled[8:], "FormatError", "the length of a stream is larger"),
        "lossy-called-stored": (b"\xca\xe1\xa1" + good[3:], "FormatError", "damaged"),
        "stored-called-lossy": (good[:3] + stored[3:], "FormatError", "damaged"),
        "stored-called-raw": (b"\xca\xe1\xa0" + stored[3:], "FormatError", "pixels"),
        "lossless-truncated": (kept[:-1], "FormatError", "damaged"),
        "lossless-trailing-byte": (kept + b"\0", "FormatError", "damaged"),
        "lossless-flipped-bit": (kept[:-2] + bytes([kept[-2] ^ 1]) + kept[-1:], "FormatError", "damaged"),
        "lossless-header-only": (kept[:3], "FormatError", "cut short"),
        "lossless-of-zeros": (kept[:3] + bytes(30), "FormatError", "impossible state"),
        "lossless-of-ones": (kept[:3] + b"\xff" * 30, "FormatError", "damaged"),
        "lossless-long-header": (b"\xca\xe1\x90" + kept[3:], "FormatError", "shortest form"),
        "lossless-model-without-pixels": (b"\xca\xe1\x91" + kept[3:], "ModelError", "classic, which has none"),
        "lossless-custom-model": (b"\xca\xe1\x9f" + bytes(4) + kept[3:], "ModelError", "needs the custom model"),
        "lossless-called-lossy": (good[:3] + kept[3:], "FormatError", "damaged"),
        "lossy-called-lossless": (kept[:3] + good[3:], "FormatError", "damaged"),
        "stored-truncated": (stored[:-1], "FormatError", "do"),
        "stored-wrong-check": (stored[:-1] + bytes([stored[-1] ^ 1]), "FormatError", "does not match its check"),
        "second-byte": (b"\xca\xd1" + good[2:], "FormatError", "not a mnistzip file"),
        "past-version": (b"\xca\xe0" + good[2:], "UnsupportedError", "format version 0"),
        "magic-only": (good[:2], "FormatError", "cut short in the header"),
        "reserved-kind-0": (b"\xca\xe1\0" + good[3:], "UnsupportedError", "header byte 0x00"),
        "reserved-kind-102": (b"\xca\xe1\x66" + good[3:], "UnsupportedError", "header byte 0x66"),
        "reserved-kind-126": (b"\xca\xe1\x7e" + good[3:], "UnsupportedError", "header byte 0x7e"),
        "reserved-method-4": (b"\xca\xe1\xa4" + good[3:], "UnsupportedError", "storage method 4"),
        "reserved-method-15": (b"\xca\xe1\xaf" + good[3:], "UnsupportedError", "storage method 15"),
        "reserved-model": (b"\xca\xe1\x8e2" + good[3:], "UnsupportedError", "model number 14"),
        "lossless-reserved-model": (b"\xca\xe1\x9e" + kept[3:], "UnsupportedError", "model number 14"),
        "lossless-unknown-model": (b"\xca\xe1\x9d" + kept[3:], "ModelError", "shipped model 13"),
        "quality-101": (b"\xca\xe1\x81\x65" + good[3:], "FormatError", "quality 101"),
        "quality-missing": (b"\xca\xe1\x81", "FormatError", "cut short in the quality"),
        "fingerprint-cut-short": (b"\xca\xe1\x8f\0\1\2", "FormatError", "cut short in the model's fingerprint"),
        "width-missing": (b"\xca\xe1\xc02", "FormatError", "cut short in the width"),
        "height-missing": (b"\xca\xe1\xc02\x1d", "FormatError", "cut short in the height"),
        "zero-height": (b"\xca\xe1\xc02\x1c\0" + good[3:], "FormatError", "side of 0"),
        "width-65536": (b"\xca\xe1\xc02" + varint(65536) + b"\1" + good[3:], "FormatError", "the width is larger than 65535"),
        "height-65536": (b"\xca\xe1\xc02\1" + varint(65536) + good[3:], "FormatError", "the height is larger than 65535"),
        "overlong-height": (b"\xca\xe1\xc02\x1c\x9d\0" + good[3:], "FormatError", "shortest form"),
        "written-28x28": (b"\xca\xe1\xc12\x1c\x1c" + good[3:], "FormatError", "shortest form"),
        "stored-written-28x28": (forge.stored(b"\xca\xe1\xe0\x1c\x1c", levels, levels), "FormatError", "shortest form"),
        "lossless-written-28x28": (b"\xca\xe1\xd0\x1c\x1c" + kept[3:], "FormatError", "shortest form"),
        "other-width": (tiled[:4] + bytes([tiled[4] ^ 1]) + tiled[5:], "FormatError", "does not match its check"),
        "other-model": (b"\xca\xe1\x822" + good[3:], "FormatError", "damaged"),
        "payload-of-anything": (good[:3] + bytes(range(200, 220)), "FormatError", "damaged"),
        "overlong-stream-length": (tiled[:8] + bytes([tiled[8] | 128, 0]) + both, "FormatError", "shortest form"),
        "empty-stream": (tiled[:7] + b"\0" + both, "FormatError", "empty"),
        "empty-last-stream": (tiled[:7] + varint(len(both)) + both, "FormatError", "empty"),
        "streams-exchanged": (
            tiled[:7] + varint(len(both) - size) + both[size:] + both[:size],
            "FormatError",
            "does not match its check",
        ),
        "weak-check": (with_check_of(8), "FormatError", "does not match its check"),
        "strong-check": (with_check_of(24), "FormatError", "does not match its check"),
        "lossless-weak-check": (with_check_of(8, lossless=True, model="mnist"), "FormatError", "does not match its check"),
        "lossless-strong-check": (with_check_of(24, lossless=True, model="mnist"), "FormatError", "does not match its check"),
        "lossless-solid-shade-of-6": (with_shade_of(6, 255), "FormatError", "does not match its check"),
        "lossless-shade-of-25": (with_shade_of(25, 249), "FormatError", "does not match its check"),
        "bounded-within-0": (near[:3] + b"\0" + near[4:], "FormatError", "largest error"),
        "bounded-within-65": (near[:3] + b"A" + near[4:], "FormatError", "largest error"),
        "bounded-within-another": (near[:3] + b"\5" + near[4:], "FormatError", "does not match its check"),
        "bounded-error-missing": (near[:3], "FormatError", "cut short in the largest error"),
        "bounded-header-only": (near[:4], "FormatError", "cut short"),
        "bounded-truncated": (near[:-1], "FormatError", "does not match its check"),
        "bounded-trailing-byte": (near + b"\0", "FormatError", "does not match its check"),
        "bounded-flipped-bit": (near[:-2] + bytes([near[-2] ^ 1]) + near[-1:], "FormatError", "does not match its check"),
        "bounded-of-ones": (near[:4] + b"\xff" * 30, "FormatError", "does not match its check"),
        "bounded-other-level": (with_level_beyond(4), "FormatError", "does not match its check"),
        "bounded-reserved-model": (b"\xca\xe1\xbe" + near[3:], "UnsupportedError", "model number 14"),
        "bounded-model-without-pixels": (b"\xca\xe1\xb1" + near[3:], "ModelError", "classic, which has none"),
        "bounded-called-lossless": (b"\xca\xe1\x90" + near[3:], "FormatError", "shortest form"),
        "bounded-too-many-pixels": (b"\xca\xe1\xf0\4\xff\xff\3\x7f" + near[4:], "LimitError", "65535x127"),
        "bounded-written-28x28": (b"\xca\xe1\xf0\4\x1c\x1c" + near[4:], "FormatError", "shortest form"),
        "grey-lossless-header-only": (whole[:3], "FormatError", "empty"),
        "grey-lossless-truncated": (whole[:-1], "FormatError", "does not match its check"),
        "grey-lossless-flipped-bit": (
            whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:],
            "FormatError",
            "does not match its check",
        ),
        "grey-lossless-trailing-byte": (whole + b"\0", "FormatError", "does not match its check"),
        "grey-lossless-of-ones": (whole[:3] + b"\xff" * 30, "FormatError", "does not match its check"),
        "grey-bounded-within-another": (within[:3] + b"\5" + within[4:], "FormatError", "does not match its check"),
        "bitmap-header-only": (drawn[:3], "FormatError", "empty"),
        "bitmap-truncated": (drawn[:-1], "FormatError", "does not match its check"),
        "bitmap-flipped-bit": (
            drawn[:-2] + bytes([drawn[-2] ^ 1]) + drawn[-1:],
            "FormatError",
            "does not match its check",
        ),
        "bitmap-trailing-byte": (drawn + b"\0", "FormatError", "does not match its check"),
        "bitmap-of-ones": (drawn[:3] + b"\xff" * 30, "FormatError", "does not match its check"),
        "bitmap-lossy": (b"\xca\xe1\x86\x32" + drawn[3:], "ModelError", "codes without loss only"),
        "bitmap-bounded": (b"\xca\xe1\xb6\x04" + drawn[3:], "ModelError", "codes without loss only"),
        "bitmap-of-29x28": (b"\xca\xe1\xd6\x1d\x1c" + drawn[3:], "FormatError", "images of 28x28 pixels only"),
        "stored-nothing": (row % 0xE0, "FormatError", "holds 0 pixels"),
        "stored-too-few": (forge.stored(row % 0xE0, b"ab", b"ab"), "FormatError", "holds 2 pixels, not the 3"),
        "stored-too-many": (forge.stored(row % 0xE0, b"abcd", b"abcd"), "FormatError", "holds 4 pixels, not the 3"),
        "stored-raw-wrong-check": (forge.stored(row % 0xE0, b"abc", b"abd"), "FormatError", "does not match its check"),
        "stored-up-wrong-check": (forge.stored(row % 0xE2, deflate(b"abc"), b"abd"), "FormatError", "does not match its check"),
        "stored-gradient-wrong-check": (forge.stored(row % 0xE3, deflate(b"abc"), b"abc"), "FormatError", "its check"),
        "stored-deflated-too-few": (
            forge.stored(row % 0xE1, deflate(b"ab"), b"ab"),
            "FormatError",
            "holds 2 pixels, not the 3",
        ),
        "stored-deflated-too-many": (
            forge.stored(row % 0xE1, deflate(b"abcd"), b"abcd"),
            "FormatError",
            "holds 4 pixels, not the 3",
        ),
        "stored-deflate-unfinished": (forge.stored(row % 0xE1, deflate(b"abc")[:-1], b"abc"), "FormatError", "do not end"),
        "stored-deflate-and-more": (forge.stored(row % 0xE1, deflate(b"abc") + b"\0", b"abc"), "FormatError", "do not end"),
        "stored-in-a-zlib-wrapper": (forge.stored(row % 0xE1, zlib.compress(b"abc"), b"abc"), "FormatError", "damaged"),
        "stored-bomb": (forge.stored(row % 0xE1, deflate(bytes(1 << 20)), bytes(1 << 20)), "FormatError", "do not end"),
    }


def archives() -> dict[str, bytes]:
    """Archives of several kinds."""
    digits = read_idx(DIGITS)
    rows, columns = np.mgrid[:61, :90]
    plaid = ((rows * 5 % 256) ^ (columns * 3 % 256)).astype(np.uint8)
    noise = np.random.default_rng(8).integers(0, 256, (28, 28)).astype(np.uint8)
    sizes = [digits[0], digits[1][4:13, 4:24], noise, np.hstack(list(digits[:20])), plaid, np.zeros((3, 1), np.uint8)]
    with TemporaryDirectory() as folder:
        grown = Path(folder) / "grown.cae"
        for images, options in (
            (digits[:5], {"quality": 20}),
            (digits[5:8], {"model": "classic"}),
            (digits[8:9], {"lossless": True}),
        ):
            with mnistzip.ArchiveWriter(grown, append=True, effort=0, **options) as writer:
                writer.extend(images)
        appended = grown.read_bytes()
    return {
        "empty": mnistzip.encode_archive([]),
        "tiny": mnistzip.encode_archive(
            np.array([[[0, 255]], [[128, 7]]], np.uint8), lossless=True, model="classic"
        ),  # FORMAT.md explains it byte by byte
        "two": mnistzip.encode_archive(digits[:2]),
        "digits": mnistzip.encode_archive(digits[:30], labels=np.arange(30) * 9 - 1, effort=0),
        "sizes": mnistzip.encode_archive(sizes, names=["a.png", "b/c.png", "", "b/d", "ä", "e.png"], effort=0),
        "lossless": mnistzip.encode_archive(digits[:20], labels=np.arange(20) % 10, lossless=True, model="mnist"),
        "lossless-sizes": mnistzip.encode_archive(sizes, lossless=True),
        "bounded": mnistzip.encode_archive(digits[:20], labels=np.arange(20) % 10, max_error=6),
        "bounded-sizes": mnistzip.encode_archive(sizes, max_error=20),
        "grown": appended,
        "mnist-fast": mnistzip.encode_archive(digits[:9], model="mnist-fast"),
        "mnist-fast-lossless": mnistzip.encode_archive(digits[:9], model="mnist-fast", lossless=True),
        "grey": mnistzip.encode_archive([digits[0], digits[1][3:20], *digits[2:9]], model="grey", quality=60),
        "bitmaps": mnistzip.encode_archive(digits[:20], lossless=True),
        "grey-lossless": mnistzip.encode_archive([digits[0], digits[1][3:20], *digits[2:9]], model="grey", lossless=True),
        "grey-bounded": mnistzip.encode_archive(digits[:9], model="grey", max_error=3),
        "glyph-lossless": mnistzip.encode_archive(digits[:9], model="glyph", lossless=True),
        **part_vectors.valid(),
        "classic": mnistzip.encode_archive(digits[:9], model="classic", labels=[-(1 << 63), *range(7), (1 << 63) - 1]),
        "holds-its-model": mnistzip.encode_archive(
            digits[:9], model=VECTORS / "own" / "own.npz", effort=0, names=["a"] * 9, embed_model=True
        ),
    }


def contents_of(archive: mnistzip.Archive) -> dict[str, Any]:
    """The contents of an archive."""
    images = list(archive)
    return {
        "sizes": [[image.shape[1], image.shape[0]] for image in images],
        "crc32": [zlib.crc32(image.tobytes()) for image in images],
        "names": archive.names,
        "labels": None if archive.labels is None else archive.labels.tolist(),
    }


def invalid_archives(good: bytes, empty: bytes) -> dict[str, tuple[bytes, str, str]]:
    """Archives of one fault each, which reading all images in order must find."""
    group = good[4 : 4 + 52]
    tables = int.from_bytes(group[24:28], "little")
    index_at = int.from_bytes(good[-40 + 16 : -40 + 24], "little")
    footer = good[-40:]

    def flipped(at: int) -> bytes:
        data = bytearray(good)
        data[at] ^= 1
        return bytes(data)

    def headed(at: int, value: int) -> bytes:
        """The header changed and its check made to match."""
        head = bytearray(good[4 : 4 + 48])
        head[at] = value
        table = good[4 + 52 : 4 + 52 + tables]
        check = zlib.crc32(table, zlib.crc32(bytes(head))).to_bytes(4, "little")
        return good[:4] + bytes(head) + check + good[4 + 52 :]

    def footed(at: int, value: int, data: bytes = good) -> bytes:
        """The footer changed and its check made to match."""
        end = bytearray(data[-40:-8])
        end[at] = value
        return data[:-40] + bytes(end) + zlib.crc32(bytes(end)).to_bytes(4, "little") + data[-4:]

    return {
        "start-only": (good[:4], "FormatError", "cut short"),
        "reserved-start": (good[:3] + b"\1" + good[4:], "UnsupportedError", "archive byte 0x01"),
        "future-version": (b"\xca\xe2" + good[2:], "UnsupportedError", "needs a newer mnistzip"),
        "truncated": (good[:-1], "FormatError", "does not end as archives do"),
        "trailing-byte": (good + b"\0", "FormatError", "does not end as archives do"),
        "joined": (good + good, "FormatError", "do not fill"),
        "no-index": (good[:index_at] + footer, "FormatError", "do not fill"),
        "damaged-footer": (flipped(len(good) - 40), "FormatError", "does not end as archives do"),
        "damaged-index": (flipped(index_at), "FormatError", "entry 0 does not match"),
        "damaged-head": (flipped(4 + 18), "FormatError", "do not match their check"),
        "damaged-table": (flipped(4 + 52), "FormatError", "do not match their check"),
        "damaged-lane": (flipped(4 + 52 + tables + 9), "FormatError", "does not match its check"),
        "other-lane-check": (headed(40, good[4 + 40] ^ 1), "FormatError", "does not match its check"),
        "other-pixel-check": (headed(44, good[4 + 44] ^ 1), "FormatError", "group 0 does not match its check"),
        "other-quality": (headed(9, good[4 + 9] ^ 1), "FormatError", "does not match its check"),
        "other-model": (headed(16, good[4 + 16] ^ 1), "ModelError", "written with the model"),
        "reserved-method": (headed(6, 3), "FormatError", "does not match its check"),
        "reserved-method-5": (headed(6, 5), "UnsupportedError", "coding method 5"),
        "reserved-flag": (headed(7, 128), "UnsupportedError", "group flags 0x80"),
        "reserved-model": (headed(8, 14), "UnsupportedError", "model number 14"),
        "unknown-model": (headed(8, 9), "ModelError", "shipped model 9"),
        "no-images-in-a-lane": (headed(10, 0), "FormatError", "contradict"),
        "quality-zero": (headed(9, 0), "FormatError", "contradict"),
        "more-images-than-the-index-says": (headed(4, 9), "FormatError", "damaged"),
        "huge-images": (headed(13, 255), "FormatError", "not what index and footer say"),
        "lanes-past-the-end": (headed(30, 1), "FormatError", "are left for it"),
        "many-images": (footed(3, 255, empty), "FormatError", "do not fill"),
        "reserved-origin": (footed(24, 6), "UnsupportedError", "footer"),
        "reserved-footer-flag": (footed(25, 1), "UnsupportedError", "footer"),
        "reserved-footer-bytes": (footed(30, 1), "UnsupportedError", "footer"),
        "labels-in-the-footer-only": (footed(25, 4), "FormatError", "not what index and footer say"),
        **lying_indices(),
        **lying_groups(),
        **lying_details(),
        **part_vectors.faults(),
    }


def lying_indices() -> dict[str, tuple[bytes, str, str]]:
    """Archives of valid groups with a false index or footer."""
    one, many = forge.group(), [forge.group()] * 2
    large = forge.group(names=forge.section(bytes(2), b""), lane=bytes(400), table=b"\x90\3\0")
    no_part, unfilled, other = "no part of the file", "do not fill", "not what index and footer say"
    return {
        name: (content, "FormatError", says)
        for name, content, says in (
            ("first-entry-of-image-1", forge.archive([one], [1, 2]), no_part),
            ("first-entry-at-byte-5", forge.archive([b"\0" + one], [0, 2], [5]), no_part),
            ("section-twice", forge.archive(many, [0, 2, 4], [4, 4]), no_part),
            ("sections-overlap", forge.archive(many, [0, 2, 4], [4, 20]), no_part),
            ("sections-backwards", forge.archive(many, [0, 2, 4], [4 + len(one), 4]), no_part),
            ("section-past-the-end", forge.archive(many, [0, 2, 4], [4, 1 << 40]), no_part),
            ("first-group-of-no-images", forge.archive(many, [0, 0, 2]), "group 0 has no images"),
            ("group-of-no-images-between", forge.archive([one] * 3, [0, 2, 2, 4]), "group 1 has no images"),
            ("last-group-of-no-images", forge.archive(many, [0, 2, 2]), "group 1 has no images"),
            ("images-that-fall", forge.archive([one] * 3, [0, 3, 2, 4]), other),
            ("last-entry-of-fewer-images", forge.archive([one], [0, 1], count=2), no_part),
            ("last-entry-elsewhere", forge.archive([one, one], [0, 2, 4], [4, 4 + len(one)], groups=1), unfilled),
            ("gap-between-groups", forge.archive([one + b"\0", one], [0, 2, 4]), other),
            ("group-of-other-images", forge.archive(many, [0, 3, 4]), other),
            ("no-group-where-one-should-be", forge.archive([bytes(60)], [0, 2]), "no group"),
            ("images-without-groups", forge.archive([], [0], count=5), unfilled),
            ("count-of-2-to-the-32", forge.archive([one], [0, 2], count=(1 << 32) - 1), unfilled),
            ("groups-of-2-to-the-60", forge.archive([one], [0, 2], groups=1 << 60), unfilled),
            ("index-at-2-to-the-63", forge.archive([one], [0, 2], index_offset=1 << 63), unfilled),
            ("images-of-2-to-the-62", forge.archive(many, [0, 2, 1 << 62]), unfilled),
            ("more-groups-than-images", forge.archive(many, [0, 1, 1]), unfilled),
            ("more-images-than-a-group-takes", forge.archive([large], [0, 65536]), unfilled),
            ("more-images-than-bytes-take", forge.archive([one], [0, 20000]), unfilled),
            ("width-without-height", forge.archive([one], [0, 2], width=3), "but not both"),
            ("other-size-in-the-footer", forge.archive([one], [0, 2], width=3, height=3), other),
            ("names-in-the-footer-only", forge.archive([one], [0, 2], names=True), other),
            ("labels-in-the-group-only", forge.archive([forge.group(labels=forge.section(b"\1ab"))], [0, 2]), other),
            ("labels-of-no-images", forge.archive([], [0], labels=True), "labels or names of theirs"),
            ("names-of-no-images", forge.archive([], [0], names=True), "labels or names of theirs"),
            ("model-flag-alone", forge.archive([one], [0, 2], embedded=True), unfilled),
            ("model-without-its-flag", forge.archive([one], [0, 2], model=b"PK\3\4"), unfilled),
        )
    } | {
        "no-model-where-one-should-be": (
            forge.archive(
                [forge.group(method=Mode.LOSSY, quality=5, model=15, fingerprint=b"12345678")],
                [0, 2],
                model=b"PK",
                embedded=True,
            ),
            "ModelError",
            "in the archive",
        )
    }


def lying_groups() -> dict[str, tuple[bytes, str, str]]:
    """Archives of one group with a false header or table."""
    lossy = {"method": Mode.LOSSY, "quality": 5}
    own_sizes = {"flags": SIZES, "width": 0, "height": 0}
    many = {"images": 2000, "per_lane": 256, "width": 8000, "height": 8000}
    faults: list[tuple[str, str, str, dict[str, Any]]] = [
        ("flag-of-later-versions", "UnsupportedError", "group flags 0x10", {"flags": 16}),
        ("stored-with-stored-lanes", "FormatError", "contradict", {"flags": MIXED}),
        ("stored-with-a-model", "FormatError", "contradict", {"model": 1}),
        ("stored-with-a-quality", "FormatError", "contradict", {"quality": 5}),
        ("stored-with-a-fingerprint", "FormatError", "contradict", {"fingerprint": b"12345678"}),
        ("lossless-with-a-quality", "FormatError", "contradict", lossy | {"method": Mode.LOSSLESS}),
        ("quality-of-101", "FormatError", "contradict", lossy | {"quality": 101}),
        ("model-number-of-16", "FormatError", "contradict", lossy | {"model": 16}),
        ("custom-model", "ModelError", "needs the custom model", lossy | {"model": 15}),
        ("group-of-no-images", "FormatError", "contradict", {"images": 0}),
        ("more-images-in-a-lane-than-there-are", "FormatError", "contradict", {"per_lane": 3}),
        ("257-images-in-a-lane", "FormatError", "contradict", {"images": 300, "per_lane": 257}),
        ("no-width", "FormatError", "contradict", {"width": 0}),
        ("no-size", "FormatError", "contradict", {"width": 0, "height": 0}),
        ("two-kinds-of-size", "FormatError", "contradict", {"flags": SIZES, "sizes": b"\1\1\1\1"}),
        ("labels-of-no-bytes", "FormatError", "contradict", {"flags": 4}),
        ("labels-without-their-flag", "FormatError", "contradict", {"flags": 0, "labels": forge.section(b"\1ab")}),
        ("names-of-no-bytes", "FormatError", "contradict", {"flags": 8}),
        ("names-without-their-flag", "FormatError", "contradict", {"flags": 0, "names": forge.section(b"a\0b\0")}),
        ("lanes-of-2-gib", "FormatError", "are left for it", {"lanes_bytes": 1 << 31}),
        ("table-of-2-gib", "FormatError", "are left for it", {"table_bytes": 1 << 31}),
        ("side-of-0", "FormatError", "a side is 0", own_sizes | {"sizes": b"\1\0\1\1"}),
        ("side-of-65536", "FormatError", "above 65535", own_sizes | {"sizes": varint(65536) + b"\1\1\1"}),
        ("sizes-that-are-the-same", "FormatError", "all have the same", own_sizes | {"sizes": b"\1\1\1\1"}),
        ("varint-of-6-bytes", "FormatError", "numbers", own_sizes | {"sizes": b"\xff" * 5 + b"\1\1\1\1"}),
        ("overlong-side", "FormatError", "numbers", own_sizes | {"sizes": b"\x81\0\1\1\1"}),
        ("overlong-lane-size", "FormatError", "numbers", {"table": b"\x84\0\0"}),
        ("table-without-lanes", "FormatError", "numbers", {"table": b"\4"}),
        ("table-goes-on", "FormatError", "do not fill", {"table": b"\4\0\0"}),
        ("lanes-do-not-fill-their-bytes", "FormatError", "do not fill", {"table": b"\3\0"}),
        ("lanes-have-too-many-bytes", "FormatError", "do not fill", {"table": b"\4\1"}),
        ("lane-of-no-bytes", "FormatError", "fewer than 3", {"table": b"\0\0\4", "per_lane": 1}),
        ("lane-of-2-bytes", "FormatError", "fewer than 3", {"table": b"\2\0\0", "per_lane": 1, "lane": bytes(4)}),
        ("shortest-lane-of-none", "FormatError", "do not fill", {"table": b"\3\1"}),
        ("bitmap-missing", "FormatError", "whether it is stored", lossy | {"flags": MIXED, "table": b""}),
        ("bitmap-of-nothing", "FormatError", "whether it is stored", lossy | {"flags": MIXED, "table": b"\0\4\0"}),
        ("bitmap-with-unused-bits", "FormatError", "whether it is stored", lossy | {"flags": MIXED, "table": b"\3\4\0"}),
        ("image-beyond-the-limit", "LimitError", "65535x65535", {"width": 65535, "height": 65535}),
        ("images-beyond-the-limit", "LimitError", "pixels in a lane", many | {"table": b"\4" + bytes(8), "lane": bytes(32)}),
        ("stored-lane-too-short", "FormatError", "damaged", {"body": b"\7"}),
        ("stored-lane-and-more", "FormatError", "do not end", {"body": deflate(forge.LEVELS) + b"\0"}),
        ("stored-lane-unfinished", "FormatError", "do not end", {"body": deflate(forge.LEVELS)[:-1]}),
        ("stored-lane-of-other-pixels", "FormatError", "does not match its check", {"body": b"\7\7"}),
        ("stored-lane-bomb", "FormatError", "do not end", {"body": deflate(bytes(1 << 20))}),
    ]
    out = {}
    for name, error, says, change in faults:
        images = max(change.get("images", 2), 1)
        out[name] = (forge.archive([forge.group(**change)], [0, images]), error, says)
    return out


def lying_details() -> dict[str, tuple[bytes, str, str]]:
    """Archives of one group with valid images and invalid names or labels."""
    names = {
        "parent": b"../x",
        "parent-within": b"a/../../x",
        "absolute": b"/x",
        "drive": b"C:x",
        "backslash": b"..\\x",
        "control": b"a\x1fb",
        "delete": b"a\x7fb",
        "empty-part": b"a//b",
        "slash-at-the-end": b"a/",
        "dot": b"./a",
        "long-part": b"x" * 256,
        "long": b"x/" * 2048 + b"x",
        "10000-characters": b"x" * 10000,
        "not-utf8": b"\xff",
        "nul": b"a\0b",
    }
    sections = {f"name-{key}": (name + b"\0y\0", "name") for key, name in names.items()}
    sections |= {
        "names-too-few": (b"x\0", "not 2"),
        "names-unfinished": (b"x\0y", "not 2"),
        "names-bomb": (b"x" * (1 << 20), "the names are damaged"),
    }
    out = {
        key: (forge.archive([forge.group(names=forge.section(raw))], [0, 2], names=True), "FormatError", says)
        for key, (raw, says) in sections.items()
    }
    out["names-other-check"] = (
        forge.archive([forge.group(names=b"\1" + forge.section(b"x\0y\0")[1:])], [0, 2], names=True),
        "FormatError",
        "do not match their check",
    )
    out["names-and-more"] = (
        forge.archive([forge.group(names=forge.section(b"x\0y\0", b"\0"))], [0, 2], names=True),
        "FormatError",
        "do not end",
    )
    labels = {
        "labels-of-3-bytes": (b"\3abcdef", "one for each image"),
        "labels-too-few": (b"\1a", "one for each image"),
        "labels-too-many": (b"\1abc", "one for each image"),
        "labels-of-nothing": (b"", "one for each image"),
        "labels-bomb": (bytes(1 << 20), "the labels are damaged"),
        "labels-wider-than-need-be": (b"\2a\0b\0", "as few bytes"),
    }
    return out | {
        key: (forge.archive([forge.group(labels=forge.section(raw))], [0, 2], labels=True), "FormatError", says)
        for key, (raw, says) in labels.items()
    }


def keep(path: Path, content: bytes) -> bytes:
    """The existing golden file, else a new one. An existing file is never overwritten."""
    if not path.exists():
        path.write_bytes(content)
    return path.read_bytes()


def keep_facts(path: Path, facts: dict[str, Any]) -> None:
    """Write the facts of golden files; those of existing files do not change."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(facts | known, indent=2) + "\n")


def freeze() -> None:
    """Write the hash of every golden file, in the format of sha256sum; a test compares the files with it."""
    paths = sorted(path for kind in GOLDEN for path in (VECTORS / kind).iterdir() if path.suffix != ".json")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(VECTORS).as_posix()}\n" for path in paths]
    (VECTORS / "FROZEN").write_text("".join(lines))


def main() -> None:
    """Add golden files that do not exist yet, and rewrite those of faults."""
    for kind in GOLDEN:
        (VECTORS / kind).mkdir(parents=True, exist_ok=True)
    for kind in ("invalid", "invalid-archive"):
        (VECTORS / kind).mkdir(parents=True, exist_ok=True)
        for old in (VECTORS / kind).iterdir():
            old.unlink()
    files = {name: keep(VECTORS / "valid" / f"{name}.cae", content) for name, content in valid().items()}
    for name, content in files.items():
        keep(VECTORS / "valid" / f"{name}.pgm", pgm(mnistzip.decode(content)))
    agreed = {}
    for name, (image, facts) in bare().items():
        agreed[name] = facts | {"shape": image.shape}
        stream = keep(VECTORS / "bare" / f"{name}.bare", mnistzip.encode(image, bare=True, **facts))
        keep(VECTORS / "bare" / f"{name}.pgm", pgm(mnistzip.decode_bare(stream, **agreed[name])))
    keep_facts(VECTORS / "bare" / "agreed.json", agreed)
    keep(VECTORS / "own" / "own.npz", forge.every_op())
    for name, made in own(VECTORS / "own" / "own.npz").items():
        content = keep(VECTORS / "own" / f"{name}.cae", made)
        keep(VECTORS / "own" / f"{name}.pgm", pgm(mnistzip.decode(content, model=VECTORS / "own" / "own.npz")))
    expected = {}
    intact = ["mnist-q50", "stored-digit", "mnist-wide-digits", "lossless-digit", "bounded-digit"]
    intact += ["grey-lossless-digit", "grey-bounded-digit", "bitmap-digit-14"]
    broken = invalid(*(files[name] for name in intact))
    for name, (content, kind, says) in broken.items():
        (VECTORS / "invalid" / f"{name}.cae").write_bytes(content)
        expected[name] = {"error": kind, "says": says}
    (VECTORS / "invalid" / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
    many = {name: keep(VECTORS / "archive" / f"{name}.cae", content) for name, content in archives().items()}
    keep_facts(VECTORS / "archive" / "expected.json", {name: contents_of(mnistzip.Archive(many[name])) for name in many})
    faults = {}
    for name, (content, kind, says) in invalid_archives(many["two"], many["empty"]).items():
        (VECTORS / "invalid-archive" / f"{name}.cae").write_bytes(content)
        faults[name] = {"error": kind, "says": says}
    (VECTORS / "invalid-archive" / "expected.json").write_text(json.dumps(faults, indent=2) + "\n")
    freeze()
    print(f"{len(files)} valid, {len(agreed)} bare, {len(many)} archive and {len(expected) + len(faults)} invalid vectors")


if __name__ == "__main__":
    main()
