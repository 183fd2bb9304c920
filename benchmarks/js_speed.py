"""Digits per second of the npm package against Python's native engine, on one core of this machine.

python js/build.py --models
python benchmarks/js_speed.py [--browser] [--seconds 2]

All rates are of single images, coded one after the other. Python's rates are also measured in batches, its faster way.
They are per second of processor time. That of Chromium is not known, so it is compared with Node by the time that passes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np

import mnistzip
from mnistzip.idx import read_idx
from support.browser import open_chromium
from support.js_package import JS, serve
from support.paths import DIGITS

Item = TypeVar("Item")
SETTINGS: list[dict[str, Any]] = [
    {"model": "mnist-fast", "effort": 0},
    {"model": "mnist", "effort": 0},
    {"model": "mnist", "effort": 3},
    {"lossless": True},
]


def rate(items: Sequence[Item], seconds: float, work: Callable[[Item], object], count: int = 1) -> int:
    """Images per second, where each item has so many."""
    work(items[0])
    start, done = time.process_time(), 0
    for item in cycle(items):
        work(item)
        done += count
        if (passed := time.process_time() - start) > seconds:
            return round(done / passed)
    raise AssertionError


def in_python(seconds: float) -> list[dict[str, Any]]:
    """Rates of Python: one by one, and in batches of 64."""
    digits = read_idx(DIGITS)
    results = []
    for options in SETTINGS:
        encode, encode_many = partial(mnistzip.encode, **options), partial(mnistzip.encode_many, **options)
        files = encode_many(digits)
        one_by_one = {"encode": rate(list(digits), seconds, encode), "decode": rate(files, seconds, mnistzip.decode)}
        batch = {
            "encode": rate([digits], seconds, encode_many, len(digits)),
            "decode": rate([files], seconds, mnistzip.decode_many, len(digits)),
        }
        results.append({"one by one": one_by_one, "batches": batch})
    return results


def in_node(seconds: float, clock: str) -> list[dict[str, Any]]:
    """Rates of Node, by the time of the processor (``"cpu"``) or the time that passes (``"wall"``)."""
    command = ["node", str(JS / "benchmark.mjs"), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"MNISTZIP_CLOCK": clock})
    return json.loads(done.stdout)


def in_browser(seconds: float) -> list[dict[str, Any]]:
    """Rates of headless Chromium."""
    digits = np.asarray(read_idx(DIGITS)).reshape(-1, 784).tolist()
    script = """
        const done = arguments[arguments.length - 1];
        import("/js/benchmark.mjs").then(({ measure }) =>
            measure(arguments[0].map((digit) => Uint8Array.from(digit)), arguments[1])).then(done);
    """
    with serve(JS / "models", {"/blank.html": b"<!doctype html>"}) as address, open_chromium() as browser:
        browser.set_script_timeout(600)
        browser.get(f"{address}/blank.html")
        return browser.execute_async_script(script, digits, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    node, python = in_node(options.seconds, "cpu"), in_python(options.seconds)
    wall = in_node(options.seconds, "wall") if options.browser else []
    browser = in_browser(options.seconds) if options.browser else []
    print("| setting | work | Python, batches | Python, one by one | Node | Chromium, of Node |")
    print("|---|---|---|---|---|---|")
    for k, setting in enumerate(SETTINGS):
        name = "lossless" if setting.get("lossless") else f"{setting['model']}, effort {setting['effort']}"
        for work in ("encode", "decode"):
            base, rate_of_node = python[k]["batches"][work], node[k][work]
            beside = f"{browser[k][work] / wall[k][work]:.0%}" if browser else ""
            rates = f"{base:,} | {python[k]['one by one'][work]:,} | {rate_of_node:,} ({rate_of_node / base:.0%}) | {beside}"
            print(f"| {name} | {work} | {rates} |")


if __name__ == "__main__":
    main()
