r"""Measure lossless digits: sizes, ideal code lengths, speed, and what happens to digits that were changed.

    python benchmarks/lossless.py t10k-images-idx3-ubyte.gz          # writes docs/lossless.json; update_readme writes the page
    python benchmarks/lossless.py t10k-images-idx3-ubyte.gz --whole train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz \
        t10k-labels-idx1-ubyte.gz                                    # and one archive of all digits with their labels

Every file is decoded and compared. Times are processor time of all threads.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mnistzip
from mnistzip.coding.lossless import pixel_symbols
from mnistzip.entropy.cost import BIT
from mnistzip.idx import read_idx
from mnistzip.models.pixel.planes import TILE_PIXELS, Plane
from mnistzip.models.registry import BITMAPS, shipped
from mnistzip.types import Pixels

PART = 1000
ODD = 1000  # images of each transformation
SINGLE = 50  # images encoded one by one
RESULTS = Path(__file__).parents[1] / "docs" / "lossless.json"

WAYS: dict[str, Callable[[Pixels], Pixels]] = {
    "as they are": lambda x: x,
    "shifted by 3 down, 2 right": lambda x: np.roll(x, (3, 2), (1, 2)),
    "rotated by 90 degrees": lambda x: np.rot90(x, axes=(1, 2)),
    "mirrored": lambda x: x[:, :, ::-1],
    "inverted": lambda x: 255 - x,
    "half as bright": lambda x: x // 2,
}


def files_of(x: Pixels, model: str) -> dict[str, Any]:
    """Mean bytes of files, images per second of processor time, and how many files each model coded."""
    size, encoding, decoding = 0, 0.0, 0.0
    models: dict[str, int] = {}
    for start in range(0, len(x), PART):
        part = x[start : start + PART]
        began = time.process_time()
        files = mnistzip.encode_many(part, lossless=True, model=model)
        between = time.process_time()
        decoded = mnistzip.decode_many(files)
        encoding, decoding = encoding + between - began, decoding + time.process_time() - between
        if not (np.stack(decoded) == part).all():
            raise ValueError("a pixel differs")
        size += sum(map(len, files))
        for file in files:
            name = mnistzip.info(file).model or "stored"
            models[name] = models.get(name, 0) + 1
    speed = {"encode": round(len(x) / encoding), "decode": round(len(x) / decoding)}
    return {"images": len(x), "bytes": round(size / len(x), 2), "coded by": models, **speed}


def planes(x: Pixels) -> dict[str, float]:
    """Mean ideal bytes of each plane of the pixel model of ``mnist``."""
    model = shipped("mnist").pixels
    bits = np.zeros(len(Plane))
    for start in range(0, len(x), PART):
        part = x[start : start + PART]
        intervals = model.intervals(part, np.ones((len(part), TILE_PIXELS), bool))
        bits += np.bincount(intervals.plane, weights=16 - np.log2(intervals.freq), minlength=len(Plane))
    return {plane.name.lower(): round(part, 2) for plane, part in zip(Plane, (bits / 8 / len(x)).tolist(), strict=True)}


def bitmaps(x: Pixels) -> dict[str, Any]:
    """How many digits follow from a bitmap, and the mean ideal bytes of all digits: the others by the pixel model."""
    others: list[Pixels] = []
    bits = 0
    for start in range(0, len(x), PART):
        part = list(x[start : start + PART])
        for image, symbols in zip(part, pixel_symbols(shipped(BITMAPS), part), strict=True):
            bits += 0 if symbols is None else symbols.bits
            others += [image] if symbols is None else []
    of_others = sum(symbols.bits for symbols in pixel_symbols(shipped("mnist"), others) if symbols is not None)
    count = len(x) - len(others)
    return {
        "bitmaps": count,
        "ideal of bitmaps": round(bits / (8 * BIT) / count, 2),
        "ideal": round((bits + of_others) / (8 * BIT) / len(x), 2),
    }


def archive_bytes(x: Pixels, labels: Any = None) -> int:
    """The size of an archive, which is read again."""
    content = mnistzip.encode_archive(x, lossless=True, labels=labels)
    with mnistzip.Archive(content) as archive:
        for image, other in zip(x, archive, strict=True):
            if not np.array_equal(image, other):
                raise ValueError("a pixel differs")
    return len(content)


def one_by_one(x: Pixels) -> dict[str, float]:
    """Milliseconds to encode and to decode a digit, warm."""
    files = [mnistzip.encode(image, lossless=True) for image in x]
    began = time.perf_counter()
    files = [mnistzip.encode(image, lossless=True) for image in x]
    between = time.perf_counter()
    for file in files:
        mnistzip.decode(file)
    ended = time.perf_counter()
    return {"encode": round(1e3 * (between - began) / len(x), 2), "decode": round(1e3 * (ended - between) / len(x), 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("digits", type=Path)
    parser.add_argument("--whole", nargs=3, type=Path, metavar=("TRAIN", "TRAIN-LABELS", "TEST-LABELS"))
    arguments = parser.parse_args()
    x = read_idx(arguments.digits)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results |= {
        "measured": datetime.date.today().isoformat(),
        "command": f"python benchmarks/lossless.py {arguments.digits.name}",
        "engine": str(mnistzip.engine()),
    }
    results["digits"] = {}
    for name, way in WAYS.items():
        images = np.ascontiguousarray(way(x if name == "as they are" else x[:ODD]))
        results["digits"][name] = {
            "auto": files_of(images, "auto"),
            "mnist": files_of(images, "mnist") | {"planes": planes(images)},
        }
        print(name, results["digits"][name], flush=True)
    results["bitmaps"] = bitmaps(x) | {"macs": shipped(BITMAPS).bitmaps.macs}
    results["archive"] = round(archive_bytes(x) / len(x), 2)
    results["one by one"] = one_by_one(x[:SINGLE])
    if arguments.whole:
        train, *labels = (read_idx(path) for path in arguments.whole)
        every = np.concatenate([train, x])
        results["whole"] = {"images": len(every), "bytes": archive_bytes(every, np.concatenate(labels))}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({key: value for key, value in results.items() if key != "digits"}, indent=1))


if __name__ == "__main__":
    main()
