"""Compare the bytes and pixels of each shipped model with recorded digests, which are the same on all machines.

    python tools/sameness.py [--batch 64] [--reverse] [--record]

The script needs only mnistzip, so it runs on any machine: ``tools/everywhere.sh`` runs it under other processors'
kernels and threads and other versions of Python and numpy, ``tools/aarch64.sh`` on another architecture. It also decodes the
golden files. Exit code 1 if anything differs. ``--record`` writes ``tests/data/sameness.json``: use it only for intended
changes of the coding.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import zlib
from pathlib import Path

import numpy as np

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.models.registry import AUTO, BITMAPS, SHIPPED
from mnistzip.types import Pixels

MODELS = (AUTO, *SHIPPED)
TESTS = Path(__file__).parents[1] / "tests"
RECORDED = TESTS / "data" / "sameness.json"
DIGITS = read_idx(TESTS / "data" / "digits-idx3-ubyte.gz")
WAYS = ({"quality": 20, "effort": 0}, {"quality": 85, "effort": 3}, {"lossless": True})


def images(model: str) -> list[Pixels]:
    """Digits, and images of other sizes and textures; fewer for grey, whose search takes numpy longer."""
    rows, columns = np.mgrid[:61, :90]
    plaid = ((rows * 5 % 256) ^ (columns * 3 % 256)).astype(np.uint8)
    if model == "grey":
        return [*DIGITS[:4], plaid[:30, :41], DIGITS[30][4:13, 4:24], np.hstack(list(DIGITS[24:27]))]
    return [*DIGITS[:24], plaid, DIGITS[30][4:13, 4:24], np.hstack(list(DIGITS[24:44]))]


def digest(model: str, batch: int, reverse: bool) -> str:
    """Digest of all files, archives and pixels of a model, ``batch`` images at a time, in reverse order if ``reverse``."""
    every = images(model)[:: -1 if reverse else 1]
    found = hashlib.sha256()
    for how in WAYS[-1:] if model == BITMAPS else WAYS:
        files: list[bytes] = []
        for start in range(0, len(every), batch):
            files += mnistzip.encode_many(every[start : start + batch], model=model, **how)
        decoded: list[Pixels] = []
        for start in range(0, len(files), batch):
            decoded += mnistzip.decode_many(files[start : start + batch])
        pairs = list(zip(files, decoded, strict=True))[:: -1 if reverse else 1]
        for file, image in pairs:
            found.update(file + image.tobytes())
        archive = mnistzip.encode_archive(images(model), model=model, **how)
        found.update(archive)
        for image in mnistzip.Archive(archive):
            found.update(image.tobytes())
    return found.hexdigest()


def wrong_vectors() -> list[str]:
    """Golden files that do not decode to their pixels."""
    wrong = []
    for path in sorted((TESTS / "vectors" / "valid").glob("*.cae")):
        image = mnistzip.decode(path.read_bytes())
        header = b"P5 %d %d 255\n" % (image.shape[1], image.shape[0])
        if header + image.tobytes() != path.with_suffix(".pgm").read_bytes():
            wrong.append(path.name)
    for name, expected in json.loads((TESTS / "vectors" / "archive" / "expected.json").read_text()).items():
        found = [zlib.crc32(image.tobytes()) for image in mnistzip.Archive(TESTS / "vectors" / "archive" / f"{name}.cae")]
        if found != expected["crc32"]:
            wrong.append(f"archive {name}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare bytes and pixels with recorded digests.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--model", action="append", choices=MODELS, help="by default all")
    options = parser.parse_args()
    found = {model: digest(model, options.batch, options.reverse) for model in options.model or MODELS}
    if options.record:
        RECORDED.write_text(json.dumps(found, indent=2) + "\n")
    recorded = json.loads(RECORDED.read_text())
    wrong = wrong_vectors() + [model for model, value in found.items() if value != recorded.get(model)]
    where = f"{platform.machine()} {sys.byteorder}-endian, Python {platform.python_version()}, numpy {np.__version__}"
    digests = " ".join(f"{model}={value[:12]}" for model, value in found.items())
    print(f"{'DIFFERS: ' + ', '.join(wrong) if wrong else 'same'} | {where} | {digests}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
