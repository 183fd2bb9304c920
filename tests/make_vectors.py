"""Make the golden vectors. Run by hand, on purpose; no test calls it. See CONTRIBUTING.md for when that is allowed.

    python tests/make_vectors.py

``valid/NAME.cae`` decodes to the pixels in ``valid/NAME.pgm``, ``bare/NAME.bare`` to those beside it, given what
``agreed.json`` says. ``invalid/NAME.cae`` has one fault, and
``invalid/expected.json`` says for each the error and a part of its message. ``archive/NAME.cae`` holds images of which
``archive/expected.json`` says sizes, CRC-32 of the pixels, names and labels; ``invalid-archive`` holds archives of one fault.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mnistzip
from mnistzip.idx import read_idx

HERE = Path(__file__).parent
VECTORS = HERE / "vectors"
Pixels = NDArray[np.uint8]


def write_pgm(path: Path, image: Pixels) -> None:
    """A binary PGM: a header of text and the pixels as they are."""
    path.write_bytes(b"P5 %d %d 255\n" % (image.shape[1], image.shape[0]) + image.tobytes())


def valid() -> dict[str, bytes]:
    """Files of several qualities, sizes, models and modes."""
    digits = read_idx(HERE / "data" / "digits-idx3-ubyte.gz")
    rows, columns = np.mgrid[:61, :90]
    plaid = ((rows * 5 % 256) ^ (columns * 3 % 256)).astype(np.uint8)
    noise = np.random.default_rng(8).integers(0, 256, (28, 28)).astype(np.uint8)
    files = {f"mnist-q{quality}": mnistzip.encode(digits[quality % 64], quality=quality) for quality in (1, 25, 50, 75, 100)}
    files |= {
        f"classic-q{quality}": mnistzip.encode(digits[quality % 64], quality=quality, model="classic")
        for quality in (1, 50, 100)
    }
    for model in ("mnist-fast", "glyph"):
        files |= {
            f"{model}-q{quality}": mnistzip.encode(digits[quality % 64], quality=quality, model=model)
            for quality in (1, 50, 100)
        }
    files |= {
        "mnist-effort0": mnistzip.encode(digits[7], effort=0),
        "mnist-effort9": mnistzip.encode(digits[7], effort=9),
        "mnist-51-bytes": mnistzip.encode(digits[8], max_bytes=51),
        "mnist-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), quality=30),  # 20 tiles, two streams
        "mnist-plaid-90x61": mnistzip.encode(plaid, effort=0),
        "mnist-20x9": mnistzip.encode(digits[9][4:13, 4:24], effort=0),
        "lossless-digit": mnistzip.encode(digits[10], lossless=True),
        "stored-digit": mnistzip.encode(digits[10], lossless=True, model="classic"),  # which has no pixel model
        "lossless-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), lossless=True),  # 20 tiles, two streams
        "lossless-20x9": mnistzip.encode(digits[9][4:13, 4:24], lossless=True),
        "lossless-blank": mnistzip.encode(np.zeros((28, 28), np.uint8), lossless=True),
        "lossless-smooth": mnistzip.encode((rows + columns).astype(np.uint8), lossless=True),
        "lossless-noise": mnistzip.encode(noise, lossless=True),
        "lossless-glyph": mnistzip.encode(digits[12], lossless=True, model="glyph"),
        "lossless-1x1": mnistzip.encode(digits[11][14:15, 14:15], lossless=True),
        "lossless-90x61": mnistzip.encode(plaid, lossless=True),
    }
    return files


def bare() -> dict[str, tuple[Pixels, dict[str, Any]]]:
    """Images and what both ends agree on, for streams without a header."""
    digits = read_idx(HERE / "data" / "digits-idx3-ubyte.gz")
    row = np.hstack(list(digits[:17]))
    return {
        **{f"mnist-check{bits}": (digits[bits], {"quality": 30, "check_bits": bits}) for bits in (0, 5, 8, 15, 16, 23)},
        "classic": (digits[1], {"quality": 50, "check_bits": 8, "model": "classic"}),
        "mnist-row": (row, {"quality": 20, "check_bits": 8}),  # 17 tiles, two streams
    }


def invalid(good: bytes, stored: bytes, tiled: bytes, kept: bytes) -> dict[str, tuple[bytes, str, str]]:
    """One fault each: bytes, kind of error, part of its message."""
    flipped = bytearray(good)
    flipped[-2] ^= 1
    other_quality = bytearray(good)
    other_quality[2] ^= 1
    return {
        "empty": (b"", "FormatError", "begins with nothing"),
        "one-byte": (b"\xca", "FormatError", "not a mnistzip file"),
        "wrong-magic": (b"\xcb" + good[1:], "FormatError", "not a mnistzip file"),
        "png": ((HERE / "data" / "digit.png").read_bytes(), "FormatError", "89 50 4e 47"),
        "future-version": (b"\xca\xe2" + good[2:], "UnsupportedError", "needs a newer mnistzip"),
        "reserved-byte": (b"\xca\xe1\x70" + good[3:], "UnsupportedError", "unsupported"),
        "reserved-mode": (b"\xca\xe1\xb0" + good[3:], "UnsupportedError", "unsupported"),
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
    }


def archives() -> dict[str, bytes]:
    """Archives of several kinds."""
    digits = read_idx(HERE / "data" / "digits-idx3-ubyte.gz")
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
        ),  # FORMAT.md goes through it byte by byte
        "two": mnistzip.encode_archive(digits[:2]),
        "digits": mnistzip.encode_archive(digits[:30], labels=np.arange(30) * 9 - 1, effort=0),
        "sizes": mnistzip.encode_archive(sizes, names=["a.png", "b/c.png", "", "b/d", "ä", "e.png"], effort=0),
        "lossless": mnistzip.encode_archive(digits[:20], labels=np.arange(20) % 10, lossless=True),
        "lossless-sizes": mnistzip.encode_archive(sizes, lossless=True),
        "grown": appended,
    }


def told_of(archive: mnistzip.Archive) -> dict[str, Any]:
    """What an archive holds."""
    images = list(archive)
    return {
        "sizes": [[image.shape[1], image.shape[0]] for image in images],
        "crc32": [zlib.crc32(image.tobytes()) for image in images],
        "names": archive.names,
        "labels": None if archive.labels is None else archive.labels.tolist(),
    }


def invalid_archives(good: bytes, empty: bytes) -> dict[str, tuple[bytes, str, str]]:
    """One fault each, for whoever reads all images in order."""
    group = good[4 : 4 + 52]
    tables = int.from_bytes(group[24:28], "little")
    index_at = int.from_bytes(good[-40 + 16 : -40 + 24], "little")
    footer = good[-40:]

    def flipped(at: int) -> bytes:
        data = bytearray(good)
        data[at] ^= 1
        return bytes(data)

    def headed(at: int, value: int) -> bytes:
        """The head changed and its check made to match."""
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
        "reserved-method": (headed(6, 3), "UnsupportedError", "coding method 3"),
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
    }


def main() -> None:
    """Write all vectors anew."""
    for kind in ("valid", "invalid", "bare", "archive", "invalid-archive"):
        (VECTORS / kind).mkdir(parents=True, exist_ok=True)
        for old in (VECTORS / kind).iterdir():
            old.unlink()
    files = valid()
    for name, content in files.items():
        (VECTORS / "valid" / f"{name}.cae").write_bytes(content)
        write_pgm(VECTORS / "valid" / f"{name}.pgm", mnistzip.decode(content))
    agreed = {}
    for name, (image, told) in bare().items():
        stream = mnistzip.encode(image, bare=True, **told)
        agreed[name] = told | {"shape": image.shape}
        (VECTORS / "bare" / f"{name}.bare").write_bytes(stream)
        write_pgm(VECTORS / "bare" / f"{name}.pgm", mnistzip.decode_bare(stream, **agreed[name]))
    (VECTORS / "bare" / "agreed.json").write_text(json.dumps(agreed, indent=2) + "\n")
    expected = {}
    broken = invalid(*(files[name] for name in ("mnist-q50", "stored-digit", "mnist-wide-digits", "lossless-digit")))
    for name, (content, kind, says) in broken.items():
        (VECTORS / "invalid" / f"{name}.cae").write_bytes(content)
        expected[name] = {"error": kind, "says": says}
    (VECTORS / "invalid" / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
    many = archives()
    for name, content in many.items():
        (VECTORS / "archive" / f"{name}.cae").write_bytes(content)
    told = {name: told_of(mnistzip.Archive(content)) for name, content in many.items()}
    (VECTORS / "archive" / "expected.json").write_text(json.dumps(told) + "\n")
    faults = {}
    for name, (content, kind, says) in invalid_archives(many["two"], many["empty"]).items():
        (VECTORS / "invalid-archive" / f"{name}.cae").write_bytes(content)
        faults[name] = {"error": kind, "says": says}
    (VECTORS / "invalid-archive" / "expected.json").write_text(json.dumps(faults, indent=2) + "\n")
    print(f"{len(files)} valid, {len(agreed)} bare, {len(many)} archive and {len(expected) + len(faults)} invalid vectors")


if __name__ == "__main__":
    main()
