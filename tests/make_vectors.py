"""Make the golden vectors. Run by hand, on purpose; no test calls it. See CONTRIBUTING.md for when that is allowed.

    python tests/make_vectors.py

``valid/NAME.cae`` decodes to the pixels in ``valid/NAME.pgm``, ``bare/NAME.bare`` to those beside it, given what
``agreed.json`` says. ``invalid/NAME.cae`` has one fault, and
``invalid/expected.json`` says for each the error and a part of its message.
"""

from __future__ import annotations

import json
from pathlib import Path
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
    files |= {
        "mnist-effort0": mnistzip.encode(digits[7], effort=0),
        "mnist-effort9": mnistzip.encode(digits[7], effort=9),
        "mnist-51-bytes": mnistzip.encode(digits[8], max_bytes=51),
        "mnist-wide-digits": mnistzip.encode(np.hstack(list(digits[:20])), quality=30),  # 20 tiles, two streams
        "mnist-plaid-90x61": mnistzip.encode(plaid, effort=0),
        "mnist-20x9": mnistzip.encode(digits[9][4:13, 4:24], effort=0),
        "lossless-digit": mnistzip.encode(digits[10], lossless=True),
        "lossless-noise": mnistzip.encode(noise, lossless=True),
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


def invalid(good: bytes, stored: bytes, tiled: bytes) -> dict[str, tuple[bytes, str, str]]:
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
        "reserved-mode": (b"\xca\xe1\x90" + good[3:], "UnsupportedError", "unsupported"),
        "reserved-method": (b"\xca\xe1\xa7" + good[3:], "UnsupportedError", "unsupported"),
        "unknown-model": (b"\xca\xe1\x8932" + good[3:], "ModelError", "shipped model 9"),
        "custom-model": (b"\xca\xe1\x8f" + bytes(8) + b"2" + good[3:], "ModelError", "needs the custom model 0000000000000000"),
        "long-header": (b"\xca\xe1\x80" + good[2:], "FormatError", "shortest form"),
        "quality-zero": (b"\xca\xe1\x81\0" + good[3:], "FormatError", "quality 0"),
        "zero-width": (b"\xca\xe1\xc02\0\x1c" + good[3:], "FormatError", "side of 0"),
        "overlong-varint": (b"\xca\xe1\xc02\x9d\0\x1c" + good[3:], "FormatError", "shortest form"),
        "endless-varint": (b"\xca\xe1\xc02" + b"\xff" * 12, "FormatError", "larger than 65535"),
        "too-many-pixels": (b"\xca\xe1\xc02\xff\xff\3\xff\xff\3" + good[3:], "LimitError", "65535x65535"),
        "more-streams-than-bytes": (b"\xca\xe1\xc02\xff\xff\3\xff\x07" + good[3:], "FormatError", "cannot hold"),
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
        "stored-truncated": (stored[:-1], "FormatError", "do"),
        "stored-wrong-check": (stored[:-1] + bytes([stored[-1] ^ 1]), "FormatError", "does not match its check"),
    }


def main() -> None:
    """Write all vectors anew."""
    for kind in ("valid", "invalid", "bare"):
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
    for name, (content, kind, says) in invalid(files["mnist-q50"], files["lossless-digit"], files["mnist-wide-digits"]).items():
        (VECTORS / "invalid" / f"{name}.cae").write_bytes(content)
        expected[name] = {"error": kind, "says": says}
    (VECTORS / "invalid" / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
    print(f"{len(files)} valid, {len(agreed)} bare and {len(expected)} invalid vectors")


if __name__ == "__main__":
    main()
