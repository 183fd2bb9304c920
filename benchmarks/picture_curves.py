"""Compare a model with WebP and JPEG XL on small pictures of many kinds, over the whole range of qualities.

    python benchmarks/picture_sets.py runs/sets
    python benchmarks/picture_curves.py runs/sets/report --write      # docs/picture-curves.json and docs/small-pictures.md

All sizes are those of whole files. The BD-rate compares mean sizes over the PSNR that both reach.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mnistzip
from mnistzip.metrics import psnr_of_mse
from mnistzip.types import Pixels

QUALITIES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)
WEBP_QUALITIES = (*range(0, 100, 4), 98, 100)
JXL_DISTANCES = (0.3, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 11, 15)
SHOWN = (20, 25, 30, 35, 40)  # dB

DOCS = Path(__file__).parent.parent / "docs"

Curve = list[tuple[float, float]]  # mean bytes and PSNR


def our_curve(images: Sequence[Pixels], model: str, effort: int) -> Curve:
    """Files of mnistzip."""
    curve = []
    for quality in QUALITIES:
        files = mnistzip.encode_many(images, model=model, quality=quality, effort=effort)
        decoded = mnistzip.decode_many(files, model=None if model in ("auto", "grey") else model)
        curve.append(point(images, sum(map(len, files)), squared_error(images, decoded)))
    return curve


def point(images: Sequence[Pixels], size: float, error: float) -> tuple[float, float]:
    """Mean bytes and PSNR, given the sums of bytes and of squared errors."""
    return size / len(images), psnr_of_mse(error / sum(image.size for image in images))


def webp_curve(images: Sequence[Pixels]) -> Curve:
    """WebP by Pillow, method 6."""
    curve = []
    for quality in WEBP_QUALITIES:
        files = []
        for image in images:
            out = io.BytesIO()
            Image.fromarray(image).save(out, "WEBP", quality=quality, method=6)
            files.append(out.getvalue())
        decoded = [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files]
        curve.append(point(images, sum(map(len, files)), squared_error(images, decoded)))
    return curve


def jxl_curve(images: Sequence[Pixels]) -> Curve:
    """JPEG XL, effort 7."""
    curve = []
    for distance in JXL_DISTANCES:
        files = [imagecodecs.jpegxl_encode(image, distance=distance, effort=7, usecontainer=False) for image in images]
        decoded = [imagecodecs.jpegxl_decode(file) for file in files]
        curve.append(point(images, sum(map(len, files)), squared_error(images, decoded)))
    return curve


def squared_error(images: Sequence[Pixels], decoded: Sequence[Pixels]) -> float:
    """The sum over all pixels."""
    return float(sum(np.square(a.astype(float) - b).sum() for a, b in zip(images, decoded, strict=True)))


def rising(curve: Curve) -> NDArray[np.float64]:
    """The points of a curve, by size, that are better than all smaller ones: (n, 2)."""
    best: Curve = []
    for size, psnr in sorted(curve):
        if not best or psnr > best[-1][1]:
            best.append((size, psnr))
    return np.array(best)


def size_at(curve: Curve, psnr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of sizes at some PSNR, between the points of a curve."""
    points = rising(curve)
    return np.interp(psnr, points[:, 1], np.log(points[:, 0]))


def bd_rate(curve: Curve, other: Curve) -> float:
    """Percent that a curve takes more than another, on the average of the PSNR that both reach; NaN if they share none."""
    low = max(rising(each)[0, 1] for each in (curve, other))
    high = min(rising(each)[-1, 1] for each in (curve, other))
    if high <= low:
        return math.nan
    psnr = np.linspace(low, high, 200)
    return 100 * math.expm1(float((size_at(curve, psnr) - size_at(other, psnr)).mean()))


def compare(images: Sequence[Pixels], model: str, effort: int) -> dict[str, Any]:
    """BD-rates in percent, and sizes at some PSNR with their shares of those of the others; None where it is not reached."""
    ours, webp, jxl = our_curve(images, model, effort), webp_curve(images), jxl_curve(images)
    sizes = {}
    for psnr in SHOWN:
        reached = [rising(curve)[0, 1] <= psnr <= rising(curve)[-1, 1] for curve in (ours, webp, jxl)]
        ours_at, webp_at, jxl_at = (float(np.exp(size_at(curve, np.array([psnr]))[0])) for curve in (ours, webp, jxl))
        sizes[str(psnr)] = {
            "bytes": round(ours_at, 1) if reached[0] else None,
            "of_webp": round(ours_at / webp_at, 3) if reached[0] and reached[1] else None,
            "of_jxl": round(ours_at / jxl_at, 3) if reached[0] and reached[2] else None,
        }
    rates = {"webp": bd_rate(ours, webp), "jxl": bd_rate(ours, jxl)}
    return {"bd_rate": {name: None if math.isnan(rate) else round(rate, 1) for name, rate in rates.items()}, "sizes": sizes}


def table(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    heads = ["set", "WebP", "JPEG XL", *(f"{psnr} dB" for psnr in SHOWN)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in results["sets"].items():
        rates = ["" if rate is None else f"{rate:+.1f}%" for rate in row["bd_rate"].values()]
        cells = []
        for at in row["sizes"].values():
            share = "" if at["of_webp"] is None else f" ({at['of_webp']:.2f})"
            cells.append("" if at["bytes"] is None else f"{at['bytes']:.0f} B{share}")
        lines.append(f"| {' | '.join([name, *rates, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every set, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", type=Path)
    parser.add_argument("--model", default="grey")
    parser.add_argument("--effort", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the results and the page")
    options = parser.parse_args()
    results: dict[str, Any] = {"model": options.model, "effort": options.effort, "sets": {}}
    for path in sorted(options.sets.glob("*.npz")):
        with np.load(path) as arrays:
            images = [np.ascontiguousarray(arrays[name]) for name in arrays.files]
        results["sets"][path.stem] = compare(images, options.model, options.effort)
        print(path.stem, results["sets"][path.stem]["bd_rate"], flush=True)
    print(table(results))
    if options.write:
        (DOCS / "picture-curves.json").write_text(json.dumps(results, indent=1) + "\n")
        page = DOCS / "small-pictures.md"
        before, _, rest = page.read_text().partition("<!-- curves -->\n")
        _, _, after = rest.partition("<!-- /curves -->\n")
        page.write_text(f"{before}<!-- curves -->\n{table(results)}\n<!-- /curves -->\n{after}")


if __name__ == "__main__":
    main()
