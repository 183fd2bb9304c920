"""Measure an exported model on emulated microcontrollers, and compare its bytes and pixels with Python's.

    python benchmarks/microcontrollers.py IMAGES [--digits N] [--others N]

IMAGES is an IDX file, such as t10k-images-idx3-ubyte.gz. The results go to docs/microcontrollers.json.
QEMU counts instructions. The flash is what the linker keeps of engine and constants, without functions of the C library.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np

import mnistzip
from mnistzip.export.c_header import c_header
from mnistzip.idx import read_idx
from mnistzip.models import registry
from mnistzip.types import Pixels
from support import micro
from support.micro import BARE, Case, Machine

MODEL, QUALITY, CHECK_BITS = "mnist-fast", 25, 8
SMALL, SMALL_QUALITY = "mnist-micro", 40
RANGE = range(20, 31)
FUNCTIONS = {"encoder": "mnz_micro_encode", "decoder": "mnz_micro_decode"}
PARTS = (
    (("encoder",), range(QUALITY, QUALITY + 1)),
    (("decoder",), range(QUALITY, QUALITY + 1)),
    (("encoder", "decoder"), range(QUALITY, QUALITY + 1)),
    (("encoder",), RANGE),
    (("encoder", "decoder"), RANGE),
)
SMALL_PARTS = (
    (("encoder",), range(SMALL_QUALITY, SMALL_QUALITY + 1)),
    (("encoder",), range(SMALL_QUALITY - 5, SMALL_QUALITY + 6)),
)
BUDGETS = (8, 11, 14, 16, 20)  # bytes of streams at which models are compared
FIRST, SIZES_OF = "m3", "m4"  # the machine that codes all digits, and the one whose flash is measured


def options_of(model: str, quality: int) -> dict[str, Any]:
    """What both ends of a bare stream agree on."""
    return {"model": model, "quality": quality, "check_bits": CHECK_BITS}


def export(folder: Path, model: str, parts: tuple[str, ...], qualities: range) -> dict[str, Any]:
    """Write the header of some parts; returns what is known of it."""
    header = c_header(registry.shipped(model), "digit_codec", qualities, "encoder" in parts, "decoder" in parts)
    (folder / "digit_codec.h").write_text(header.text)
    spans = {"model": model, "parts": " and ".join(parts), "qualities": [qualities.start, qualities[-1]]}
    return spans | {"constants": header.model_bytes, "workspace": header.workspace_bytes}


def sizes(folder: Path, machine: Machine) -> list[dict[str, Any]]:
    """Flash and RAM of each part."""
    rows, blank = [], np.zeros((28, 28), np.uint8)
    every = [*((MODEL, QUALITY, *part) for part in PARTS), *((SMALL, SMALL_QUALITY, *part) for part in SMALL_PARTS)]
    for model, quality, parts, qualities in every:
        stream = mnistzip.encode(blank, effort=0, bare=True, **options_of(model, quality))
        row = export(folder, model, parts, qualities)
        row["flash"] = micro.flash(machine, folder, [FUNCTIONS[part] for part in parts])
        machine.build(folder)
        cases = {"encoder": Case("E", quality, CHECK_BITS, blank.tobytes()), "decoder": Case("D", quality, CHECK_BITS, stream)}
        row["stack"] = machine.cases(folder, [*(cases[part] for part in parts), Case("S")])[-1].number
        rows.append(row)
    return rows


def run(folder: Path, machine: Machine, images: Pixels, model: str, quality: int, parts: tuple[str, ...]) -> dict[str, Any]:
    """Code images; returns the instructions of a digit. Raises an error if a byte or a pixel differs from Python's."""
    export(folder, model, parts, range(quality, quality + 1))
    machine.build(folder)
    agreed = options_of(model, quality)
    streams = mnistzip.encode_many(images, effort=0, bare=True, **agreed)
    pixels = [mnistzip.decode_bare(stream, **agreed).tobytes() for stream in streams]
    row: dict[str, Any] = {"title": machine.title, "digits": len(images)}
    contents = [image.tobytes() for image in images]
    for name, kind, given, expected in (("encode", "E", contents, streams), ("decode", "D", streams, pixels)):
        if f"{name}r" not in parts:
            continue
        results = machine.cases(folder, [Case(kind, quality, CHECK_BITS, content) for content in given])
        if [result.content for result in results] != expected:
            raise SystemExit(f"{machine.title}: the results of {name} differ from Python's")
        counts = [result.instructions for result in results]
        row[name] = {"mean": round(sum(counts) / len(counts)), "max": max(counts)}
    return row


def curves(images: Pixels) -> dict[str, list[tuple[float, float]]]:
    """Mean bytes of bare streams and PSNR of both models, at every second quality."""
    out: dict[str, list[tuple[float, float]]] = {}
    for model in (MODEL, SMALL):
        for quality in range(1, 101, 2):
            agreed = options_of(model, quality)
            streams = mnistzip.encode_many(images, effort=0, bare=True, **agreed)
            decoded = np.stack([mnistzip.decode_bare(stream, **agreed) for stream in streams])
            point = round(sum(map(len, streams)) / len(streams), 3), round(mnistzip.psnr(images, decoded), 3)
            out.setdefault(model, []).append(point)
    return out


def version(program: str) -> str:
    """The first line that a program prints of itself."""
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--digits", type=int, default=1000, help=f"on {BARE[FIRST].title}")
    parser.add_argument("--others", type=int, default=100, help="on the other machines")
    options = parser.parse_args()
    images = read_idx(str(options.images))[: options.digits]
    machines = {name: machine for name, machine in BARE.items() if not machine.missing}
    command = f"python benchmarks/microcontrollers.py {options.images.name}"
    tools = sorted({version(name) for machine in machines.values() for name in (machine.compiler, machine.run[0])})
    out: dict[str, Any] = {"date": str(date.today()), "command": command, "tools": tools, "model": MODEL, "quality": QUALITY}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out["sizes"] = sizes(folder, machines[SIZES_OF])
        for row in out["sizes"]:
            print(row, flush=True)
        out["machines"] = {}
        for key, machine in machines.items():
            some = images if key == FIRST else images[: options.others]
            out["machines"][key] = run(folder, machine, some, MODEL, QUALITY, ("encoder", "decoder"))
            print(out["machines"][key], flush=True)
        out["small"] = run(folder, machines[FIRST], images, SMALL, SMALL_QUALITY, ("encoder",)) | {"quality": SMALL_QUALITY}
    points = curves(images)
    out["budgets"] = [
        {
            "bytes": budget,
            **{model: round(float(np.interp(budget, *zip(*curve, strict=True))), 2) for model, curve in points.items()},
        }
        for budget in BUDGETS
    ]
    (ROOT / "docs" / "microcontrollers.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
