"""Compare archives of small pictures with one sheet of all pictures as WebP or JPEG XL.

    python benchmarks/picture_sets.py runs/sets
    python benchmarks/picture_archives.py runs/sets/report            # docs/picture-archives.json and docs/small-pictures.md

Sheets have the pictures of one size in rows, about as wide as high. Archives are encoded at the default effort and read any
picture by itself; a sheet is decoded whole.
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
from PIL import Image

import mnistzip
from mnistzip.types import Pixels
from picture_curves import DOCS, Curve, bd_rate, point, squared_error

QUALITIES = (1, 10, 25, 50, 75, 90, 100)
WEBP_QUALITIES = (*range(0, 100, 10), 95, 100)


def sheets(images: Sequence[Pixels]) -> list[tuple[list[int], Pixels]]:
    """A sheet for each size: the numbers of its pictures, and the sheet. Missing pictures of the last row are black."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        sizes.setdefault(image.shape, []).append(number)
    out = []
    for (height, width), numbers in sizes.items():
        columns = max(1, round(math.sqrt(len(numbers) * height / width)))
        rows = -(-len(numbers) // columns)
        cells = np.zeros((rows * columns, height, width), np.uint8)
        cells[: len(numbers)] = [images[number] for number in numbers]
        sheet = cells.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
        out.append((numbers, np.ascontiguousarray(sheet)))
    return out


def pictures_of(sheet: Pixels, shape: tuple[int, ...], count: int) -> list[Pixels]:
    """The pictures of a sheet."""
    height, width = shape
    cells = sheet.reshape(len(sheet) // height, height, sheet.shape[1] // width, width).swapaxes(1, 2)
    return list(cells.reshape(-1, height, width)[:count])


def webp_curve(images: Sequence[Pixels]) -> Curve:
    """Sheets as WebP, method 6."""
    curve = []
    for quality in WEBP_QUALITIES:
        size, error = 0, 0.0
        for numbers, sheet in sheets(images):
            out = io.BytesIO()
            Image.fromarray(sheet).save(out, "WEBP", quality=quality, method=6)
            size += len(out.getvalue())
            decoded = np.asarray(Image.open(out).convert("L"))
            originals = [images[number] for number in numbers]
            error += squared_error(originals, pictures_of(decoded, originals[0].shape, len(numbers)))
        curve.append(point(images, size, error))
    return curve


def our_curve(images: Sequence[Pixels]) -> Curve:
    """Archives of mnistzip with the default model."""
    curve = []
    for quality in QUALITIES:
        content = mnistzip.encode_archive(images, quality=quality)
        with mnistzip.Archive(content) as archive:
            curve.append(point(images, len(content), squared_error(images, list(archive))))
    return curve


def lossless(images: Sequence[Pixels]) -> tuple[float, float]:
    """Mean bytes of a picture in a lossless archive, and in sheets as JPEG XL, effort 9."""
    content = mnistzip.encode_archive(images, lossless=True)
    with mnistzip.Archive(content) as archive:
        if any((image != other).any() for image, other in zip(images, archive, strict=True)):
            raise ValueError("an archive is not lossless")
    files = [imagecodecs.jpegxl_encode(sheet, lossless=True, effort=9, usecontainer=False) for _, sheet in sheets(images)]
    return len(content) / len(images), sum(map(len, files)) / len(images)


def table(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    lines = ["| set | lossy, against a WebP sheet | lossless | share of a JPEG XL sheet |", "|---|---|---|---|"]
    for name, row in results.items():
        rate = "" if row["webp_bd_rate"] is None else f"{row['webp_bd_rate']:+.1f}%"
        ours, sheet = row["lossless"]
        lines.append(f"| {name} | {rate} | {ours:.0f} B | {ours / sheet:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every set, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", type=Path)
    results: dict[str, Any] = {}
    for path in sorted(parser.parse_args().sets.glob("*.npz")):
        with np.load(path) as arrays:
            images = [np.ascontiguousarray(arrays[name]) for name in arrays.files]
        rate = bd_rate(our_curve(images), webp_curve(images))
        ours, sheet = lossless(images)
        results[path.stem] = {
            "images": len(images),
            "webp_bd_rate": None if math.isnan(rate) else round(rate, 1),
            "lossless": [round(ours, 1), round(sheet, 1)],
        }
        print(path.stem, results[path.stem], flush=True)
    (DOCS / "picture-archives.json").write_text(json.dumps(results, indent=1) + "\n")
    page = DOCS / "small-pictures.md"
    before, _, rest = page.read_text().partition("<!-- archives -->\n")
    _, _, after = rest.partition("<!-- /archives -->\n")
    page.write_text(f"{before}<!-- archives -->\n{table(results)}\n<!-- /archives -->\n{after}")


if __name__ == "__main__":
    main()
