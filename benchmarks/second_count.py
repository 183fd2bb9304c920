"""Compute the figures of a benchmark a second time, independently: sizes by ``stat``, PSNR by scikit-image.

    mnistzip bench t10k-images-idx3-ubyte.gz --out runs/bench -T 2 --save-files
    python benchmarks/second_count.py t10k-images-idx3-ubyte.gz runs/bench

It uses no code of :mod:`mnistzip.bench`. Each file is decoded by the library of its format. Exit code 1 if a figure differs.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.types import Pixels


def by_pillow(files: list[bytes]) -> Pixels:
    return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files])


def one_by_one(decode: Callable[[bytes], NDArray[np.uint8]]) -> Callable[[list[bytes]], Pixels]:
    return lambda files: np.stack([decode(file) for file in files])


DECODERS: dict[str, Callable[[list[bytes]], Pixels]] = {
    "webp": by_pillow,
    "jpeg": by_pillow,
    "avif": by_pillow,
    "jpeg2000": one_by_one(imagecodecs.jpeg2k_decode),
    "jpegls": one_by_one(imagecodecs.jpegls_decode),
    "jpegxl": one_by_one(imagecodecs.jpegxl_decode),
}


def ours(files: list[bytes]) -> Pixels:
    return np.stack(
        [image for start in range(0, len(files), 500) for image in mnistzip.decode_many(files[start : start + 500])]
    )


def main(data: str, out: str) -> int:
    """Compare every row of ``results.json`` with the files that were kept."""
    images = read_idx(Path(data))
    results = json.loads((Path(out) / "results.json").read_text())
    images = images[: results["data"]["images"]]
    wrong = 0
    for row in results["rows"]:
        key = f"{row['codec']}@{row['setting']}" if row["setting"] else row["codec"]
        folder = Path(out) / "files" / key
        if row["kind"] == "solid":
            sizes = [os.stat(folder / "all.bin").st_size]
        else:
            sizes = [os.stat(folder / f"{index}.bin").st_size for index in range(len(images))]
        checks = {"mean_bytes": (round(sum(sizes) / len(images), 3), row["mean_bytes"])}
        if row["kind"] == "lossy":
            files = [(folder / f"{index}.bin").read_bytes() for index in range(len(images))]
            decoded = ours(files) if row["ours"] else DECODERS[row["codec"]](files)
            psnr = float(peak_signal_noise_ratio(images, decoded, data_range=255))
            each = [float(peak_signal_noise_ratio(a, b, data_range=255)) for a, b in zip(images, decoded, strict=True)]
            mean = round(float(np.mean(each)), 4) if np.isfinite(each).all() else None
            checks |= {"psnr_db": (round(psnr, 4), row["psnr_db"]), "mean_psnr_db": (mean, row["mean_psnr_db"])}
        for name, (counted, reported) in checks.items():
            same = counted == reported
            wrong += not same
            print(f"{'same ' if same else 'WRONG'} {key} {name}: {counted} and {reported}")
    print(f"{wrong} figures differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    np.seterr(divide="ignore")  # identical images have an infinite PSNR
    sys.exit(main(*sys.argv[1:]))
