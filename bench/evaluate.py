"""Measure a model on a set of digits: whole files, decoded from their bytes.

    python -m mnistzip.bench.evaluate t10k-images-idx3-ubyte.gz --model mnist --out mnist.json

PSNR is of the mean squared error over all images. ``ideal_bytes`` is the code length that the model's own frequencies
allow, counted at effort 0; the rest of a file is header, check, and rounding up to bytes.
"""

from __future__ import annotations

import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnistzip import codec, metrics
from mnistzip.idx import read_idx
from mnistzip.model import Model, find
from mnistzip.prior import ideal_bits

BATCH = 500
Pixels = NDArray[np.uint8]


def measure(images: Pixels, model: Model, quality: int, effort: int) -> dict[str, Any]:
    """Sizes and PSNR of the files of all images at one quality and effort."""
    sizes: list[int] = []
    headers = error = ideal = encoding = decoding = 0.0
    for start in range(0, len(images), BATCH):
        x = images[start : start + BATCH]
        began = time.process_time()
        files = codec.encode_many(x, quality=quality, effort=effort, model=model)
        middle = time.process_time()
        x_hat = np.stack(codec.decode_many(files, model=model))
        decoding += time.process_time() - middle
        encoding += middle - began
        if not effort:  # the symbols that were coded are those of the analysis
            row = np.full(len(x), model.row(quality))
            _, freqs = model.prior.intervals(model.transforms.analyse(x, row)[0], row)
            ideal += ideal_bits(freqs) / 8
        sizes += map(len, files)
        headers += sum(codec.info(file).header_bytes for file in files)
        error += metrics.mse(x, x_hat) * len(x)
    count = len(images)
    return {
        "codec": model.name,
        "quality": quality,
        "effort": effort,
        "mean_bytes": round(float(np.mean(sizes)), 3),
        "median_bytes": float(np.median(sizes)),
        "p95_bytes": float(np.percentile(sizes, 95)),
        "header_bytes": round(headers / count, 3),
        "ideal_bytes": None if effort else round(ideal / count, 3),
        "coder_bytes": None if effort else round(float(np.mean(sizes)) - (headers + ideal) / count, 3),
        "psnr_db": round(metrics.psnr_of_mse(error / count), 3),
        "encode_per_cpu_second": round(count / encoding, 1),
        "decode_per_cpu_second": round(count / decoding, 1),
    }


def peer(images: Pixels, kind: str, **options: Any) -> dict[str, Any]:
    """The same for a codec of Pillow."""
    sizes, error = [], 0.0
    for x in images:
        out = BytesIO()
        Image.fromarray(x).save(out, kind, **options)
        sizes.append(out.tell())
        error += metrics.mse(x, np.asarray(Image.open(out).convert("L")))
    psnr = metrics.psnr_of_mse(error / len(images))
    told = " ".join([kind, *(f"{key}={value}" for key, value in options.items())])
    return {"codec": told, "mean_bytes": round(float(np.mean(sizes)), 3), "psnr_db": round(psnr, 3) if error else None}


def _numbers(_context: click.Context, _parameter: click.Parameter, value: str) -> list[int]:
    return [int(part) for part in value.split(",")]


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="mnist", show_default=True)
@click.option("--qualities", default="1,10,25,50,75,90,100", show_default=True, callback=_numbers)
@click.option("--efforts", default="0,3", show_default=True, callback=_numbers)
@click.option("--limit", type=int, help="Only the first so many images.")
@click.option("--peers", is_flag=True, help="PNG, WebP and JPEG of Pillow as well.")
@click.option("--out", type=click.Path(path_type=Path), help="Write JSON here.")
def main(
    data: Path, model: str, qualities: list[int], efforts: list[int], limit: int | None, peers: bool, out: Path | None
) -> None:
    """Measure a model on an IDX file of images."""
    images = read_idx(data)[:limit]
    found = find(model)
    rows = []
    for effort in efforts:
        for quality in qualities:
            rows.append(measure(images, found, quality, effort))
            click.echo(json.dumps(rows[-1]))
    if peers:
        settings: list[tuple[str, dict[str, Any]]] = [("PNG", {"optimize": True}), ("JPEG", {"quality": 10})]
        settings += [("WEBP", {"quality": quality, "method": 6}) for quality in (0, 10)]
        for kind, options in settings:
            rows.append(peer(images, kind, **options))
            click.echo(json.dumps(rows[-1]))
    if out is not None:
        told = {"data": data.name, "images": len(images), "fingerprint": found.fingerprint.hex(), "rows": rows}
        out.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
