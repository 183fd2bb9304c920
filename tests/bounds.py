"""What the worst files under 1 MB cost: seconds and memory of decoding them, each in a process of its own.

    OPENBLAS_NUM_THREADS=1 python tests/bounds.py

They claim the largest images that are decoded unasked, in every mode, and hold random streams, so that everything is decoded
before the check says no; or they expand as far as deflate goes. Beside them archives: whole ones, some that hold a model which
is as slow or as large as one may be, and one of nothing but what looks like groups. Exit code 1 above 10 s or 500 MB.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

import forge
import mnistzip
from mnistzip.container import DECODED_MAX, Header, Method, Mode, join_streams
from mnistzip.idx import read_idx
from mnistzip.index import START
from mnistzip.model import SHIPPED, read_model, shipped
from mnistzip.streams import Streams
from mnistzip.tiles import tiles_in

DIGITS = Path(__file__).parent / "data" / "digits-idx3-ubyte.gz"
SECONDS, MEGABYTES, BYTES = 10, 500, 1_000_000


def coded(model: str, mode: Mode, width: int, each: int) -> bytes:
    """As many pixels as are decoded unasked, in streams of so many random bytes, or as many as a file of 1 MB holds."""
    height = DECODED_MAX[mode] // width
    quality = 100 if mode is Mode.LOSSY else None
    streams = Streams.in_tiles(tiles_in(width, height))
    each = min(each, BYTES // streams - 3)
    chance = random.Random(1)
    body = join_streams([b"\xc8" + chance.randbytes(each - 1) for _ in range(streams)])
    return Header(mode, width, height, model=SHIPPED[model], quality=quality).to_bytes() + body


def stored(method: Method) -> bytes:
    """Black pixels, deflated."""
    side = 1 << 13
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(bytes(side * side)) + packer.flush()
    return Header(Mode.STORED, side, side, method=method).to_bytes() + body + b"\0\0"


def archive(lossless: bool) -> bytes:
    """Digits, as many pixels as the writer puts into two or three groups."""
    model = "mnist" if lossless else "mnist-fast"
    digits = np.resize(read_idx(DIGITS), (DECODED_MAX[Mode.LOSSLESS] // 784, 28, 28))
    return mnistzip.encode_archive(digits, lossless=lossless, effort=0, model=model)


def by(content: bytes, lossless: bool = False) -> bytes:
    """An archive that holds a model, and one image of as many tiles as are decoded unasked."""
    model = read_model(content, "large")
    tiles = model.tiles_unasked(Mode.LOSSLESS if lossless else Mode.LOSSY)
    noise = np.random.default_rng(1).integers(0, 256, (tiles, 28, 28)).astype(np.uint8)
    image = (np.resize(read_idx(DIGITS), noise.shape) if lossless else noise).reshape(-1, 28)  # that stored takes more bytes
    out = io.BytesIO()
    with mnistzip.ArchiveWriter(out, model=model, lossless=lossless, effort=0, embed_model=True) as writer:
        writer.add(image)
    return out.getvalue()


def false_groups() -> bytes:
    """Heads of groups, one behind the other, each of which says that all that follows is its table."""
    count = (BYTES - 100) // 52
    return START + b"".join(forge.group(b"", lane=b"", images=65535, table_bytes=52 * (count - k))[:52] for k in range(count))


CASES: dict[str, Callable[[], bytes]] = {
    **{f"lossy, {model}": lambda model=model: coded(model, Mode.LOSSY, 1 << 11, 60) for model in SHIPPED},
    "lossy, least streams": lambda: coded("mnist", Mode.LOSSY, 1 << 11, 3),
    "lossy, one row of tiles": lambda: coded("mnist", Mode.LOSSY, 1 << 15, 60),
    **{
        f"lossless, {model}": lambda model=model: coded(model, Mode.LOSSLESS, 1 << 10, 1 << 20)
        for model in SHIPPED
        if shipped(model).keeps_pixels
    },
    "lossless, least streams": lambda: coded("mnist", Mode.LOSSLESS, 1 << 10, 3),
    **{f"stored, {method.name.lower()}": lambda method=method: stored(method) for method in Method if method is not Method.RAW},
    "a model of 190 layers of 160 channels": lambda: by(forge.wide(190, 160, 28)),
    "of 180 layers of 4 channels": lambda: by(forge.wide(180, 4, 28, 7)),
    "of one layer of 11 million weights": lambda: by(forge.wide(1, 1100, 7, 3)),
    "that moves numbers": lambda: by(forge.restless(95, 4)),
    "of pixels, as wide as one may be": lambda: by(forge.wide_pixels(512), lossless=True),
    "what looks like groups": false_groups,
    "lossy archive": lambda: archive(lossless=False),
    "lossless archive": lambda: archive(lossless=True),
}


def decode(data: bytes) -> str:
    try:
        if mnistzip.container.is_archive(data):
            return f"{sum(1 for _ in mnistzip.Archive(data, recover=True))} images"
        return "an image of {}x{}".format(*mnistzip.decode(data).shape[::-1])
    except mnistzip.MnistzipError as error:
        return type(error).__name__


def child() -> None:
    """Decode what comes from stdin and print what it took."""
    data = sys.stdin.buffer.read()
    mnistzip.decode_many([mnistzip.encode(np.zeros((28, 28), np.uint8), effort=0)])  # what every use takes
    before, start = peak(), time.perf_counter()
    outcome = decode(data)
    print(f"{len(data)} | {time.perf_counter() - start:.1f} | {(peak() - before) / 1024:.0f} | {outcome}")


def peak() -> int:
    """The most memory that this program had, in KiB; what ``getrusage`` says may be its parent's."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> int:
    worst = 0
    print("| file | bytes | seconds | MB more | outcome |\n|---|---|---|---|---|")
    for name, made in CASES.items():
        done = subprocess.run([sys.executable, __file__, "child"], input=made(), capture_output=True, check=True)
        told = done.stdout.decode().strip()
        print(f"| {name} | {told} |", flush=True)
        _, seconds, megabytes, _ = told.split("|")
        worst |= float(seconds) > SECONDS or float(megabytes) > MEGABYTES
    return int(worst)


if __name__ == "__main__":
    sys.exit(child() if len(sys.argv) > 1 else main())
