"""Count the damaged files that decode to wrong pixels without an error. Not a test: a million files take ten minutes.

    python tools/corruptions.py [--count 1000000] [--seed 1] [--processes 2]

Files of the sample digits are damaged at random: one bit, one byte, two to eight bytes anywhere, a run overwritten, a byte
removed, a byte added, bytes reversed, or any change in the header alone. They are lossy at five qualities by ``mnist`` and
``grey``, bitmaps, lossless by the pixel model of ``mnist``, and stored. A damaged header may claim any size, so more than 4,096
pixels are refused. The table includes the theoretical number of unnoticed files if the final state of the coder is random: a
state of n + 1 bits, with n equally likely from 16 to 23, where one in 2^n is right; for stored files one in 2^16.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np

import mnistzip
from mnistzip.api import decode_each
from mnistzip.idx import read_idx
from mnistzip.types import Pixels
from reliability_table import Table, record_option

DIGITS = Path(__file__).parents[1] / "tests" / "data" / "digits-idx3-ubyte.gz"
BATCH = 1024
MAX_PIXELS = 4096
QUALITIES = (1, 25, 50, 75, 100)
SHARES = {"lossy": 0.65, "lossy, grey": 0.08, "bitmap": 0.15, "lossless": 0.08, "stored": 0.04}
CODED = sum(2.0**-n for n in range(16, 24)) / 8
UNNOTICED = dict.fromkeys(SHARES, CODED) | {"stored": 2.0**-16}
HEADER_BYTES = 3  # the shortest header

Random = np.random.Generator


@cache
def originals() -> dict[str, list[tuple[bytes, Pixels]]]:
    """Files and their decoded pixels."""
    digits = read_idx(DIGITS)
    files = {
        "lossy": _lossy(digits, "mnist"),
        "lossy, grey": _lossy(digits, "grey"),
        "bitmap": mnistzip.encode_many(digits, lossless=True),
        "lossless": mnistzip.encode_many(digits, lossless=True, model="mnist"),
        "stored": mnistzip.encode_many(digits, lossless=True, model="classic"),
    }
    return {mode: list(zip(some, mnistzip.decode_many(some), strict=True)) for mode, some in files.items()}


def _lossy(digits: Pixels, model: str) -> list[bytes]:
    return [file for quality in QUALITIES for file in mnistzip.encode_many(digits, quality=quality, effort=0, model=model)]


def one_bit(data: bytearray, random: Random) -> None:
    data[random.integers(len(data))] ^= 1 << random.integers(8)


def one_byte(data: bytearray, random: Random) -> None:
    data[random.integers(len(data))] ^= random.integers(1, 256)


def several_bytes(data: bytearray, random: Random) -> None:
    for at in random.choice(len(data), min(len(data), random.integers(2, 9)), replace=False):
        data[at] ^= random.integers(1, 256)


def a_run(data: bytearray, random: Random) -> None:
    at = random.integers(len(data))
    size = min(len(data) - at, random.integers(2, 17))
    data[at : at + size] = random.bytes(size)


def a_byte_lost(data: bytearray, random: Random) -> None:
    del data[random.integers(len(data))]


def a_byte_more(data: bytearray, random: Random) -> None:
    data.insert(random.integers(len(data) + 1), random.integers(256))


def turned(data: bytearray, random: Random) -> None:
    at, end = sorted(random.integers(len(data) + 1, size=2))
    data[at:end] = data[at:end][::-1]


def header(data: bytearray, random: Random) -> None:
    for at in random.choice(HEADER_BYTES, random.integers(1, HEADER_BYTES + 1), replace=False):
        data[at] ^= random.integers(1, 256)


DAMAGES = (one_bit, one_byte, several_bytes, a_run, a_byte_lost, a_byte_more, turned, header)


def attempt(seed: int, batch: int) -> Counter[tuple[str, str, str]]:
    """Counts of mode, damage and outcome over a batch of damaged files."""
    random = np.random.default_rng([seed, batch])
    found: Counter[tuple[str, str, str]] = Counter()
    files: list[bytes] = []
    cases: list[tuple[str, str, Pixels]] = []
    while len(files) < BATCH:
        mode = random.choice(list(SHARES), p=list(SHARES.values()))
        whole, pixels = originals()[mode][random.integers(len(originals()[mode]))]
        damage = DAMAGES[random.integers(len(DAMAGES))]
        data = bytearray(whole)
        damage(data, random)
        if data != whole:
            files.append(bytes(data))
            cases.append((mode, damage.__name__, pixels))
    for (mode, damage_name, pixels), image in zip(cases, decode_each(files, max_pixels=MAX_PIXELS), strict=True):
        if isinstance(image, mnistzip.MnistzipError):
            outcome = "noticed"
        else:
            outcome = "same pixels" if np.array_equal(image, pixels) else "wrong pixels"
        found[mode, damage_name, outcome] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Count damaged files that decode to wrong pixels.")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    record_option(parser)
    options = parser.parse_args()
    start = time.perf_counter()
    found: Counter[tuple[str, str, str]] = Counter()
    with ProcessPoolExecutor(options.processes) as pool:
        for counts in pool.map(partial(attempt, options.seed), range(-(-options.count // BATCH))):
            found += counts
    print(f"{found.total()} damaged files, seed {options.seed}, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    table = Table("damage", "files", "noticed", "same pixels", "wrong pixels", "wrong by theory")
    for mode in SHARES:
        counts = [
            sum(found[mode, damage.__name__, outcome] for damage in DAMAGES)
            for outcome in ("noticed", "same pixels", "wrong pixels")
        ]
        table.add(mode, *counts, f"{sum(counts) * UNNOTICED[mode]:.2f}")
    for (mode, damage, outcome), count in found.items():
        if outcome == "wrong pixels":
            print(f"{mode}, {damage.replace('_', ' ')}: {count} with wrong pixels", file=sys.stderr)
    if options.record:
        wrong = sum(count for (_, _, outcome), count in found.items() if outcome == "wrong pixels")
        table.keep(f"of {found.total():,} damaged files, {wrong or 'none'} decoded to wrong pixels")


if __name__ == "__main__":
    main()
