"""Compare the default with the other options of mnistzip and with WebP on small pictures of many kinds: docs/small-pictures.md.

    python benchmarks/picture_sets.py runs/sets
    python benchmarks/small_pictures.py runs/sets/report          # writes docs/small-pictures.json and docs/small-pictures.md

Sizes are means of whole files. PSNR is computed from the mean squared error over all pixels of a set. The cost of a picture is
bits + lmbda * squared error, with the lmbda of quality 50.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import mnistzip
from mnistzip.coding.model_choice import candidates
from mnistzip.entropy.cost import BIT, LMBDA_SHIFT
from mnistzip.metrics import mse, psnr_of_mse
from mnistzip.models import registry
from mnistzip.types import Pixels

SHEET_WIDTH, GAP, LABEL_HEIGHT, GROUND = 420, 4, 12, 96  # pixels, and a grey level
SHEET_QUALITY = 10  # of WebP
DOCS = Path(__file__).parent.parent / "docs"
QUALITY = 50
LMBDA = float(registry.shipped("mnist").lmbda[QUALITY - 1]) / (BIT << LMBDA_SHIFT)


def result(images: Sequence[Pixels], size: int, decoded: Sequence[Pixels]) -> dict[str, Any]:
    """Mean bytes, PSNR (None if every pixel is equal) and cost of a set."""
    error = sum(mse(image, other) * image.size for image, other in zip(images, decoded, strict=True))
    return {
        "bytes": round(size / len(images), 2),
        "psnr_db": round(psnr_of_mse(error / sum(image.size for image in images)), 2) if error else None,
        "cost": round((8 * size + LMBDA * error) / len(images), 1),
    }


def of_ours(images: Sequence[Pixels], **options: Any) -> dict[str, Any]:
    """Files of mnistzip."""
    files = mnistzip.encode_many(images, **options)
    return result(images, sum(map(len, files)), mnistzip.decode_many(files))


def archive(images: Sequence[Pixels], **options: Any) -> dict[str, Any]:
    """An archive of mnistzip."""
    content = mnistzip.encode_archive(images, **options)
    with mnistzip.Archive(content) as opened:
        return result(images, len(content), list(opened))


def webp_files(images: Sequence[Pixels], **options: Any) -> tuple[list[bytes], list[Pixels]]:
    """WebP files by Pillow, and the decoded images."""
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "WEBP", method=6, **options)
        files.append(out.getvalue())
    return files, [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files]


def webp(images: Sequence[Pixels], **options: Any) -> dict[str, Any]:
    """WebP files."""
    files, decoded = webp_files(images, **options)
    return result(images, sum(map(len, files)), decoded)


def strip(images: Sequence[Pixels]) -> Pixels:
    """Pictures next to each other on grey."""
    row = np.full((max(len(image) for image in images) + 2, SHEET_WIDTH), GROUND, np.uint8)
    left = 0
    for image in images:
        row[1 : 1 + len(image), left : left + image.shape[1]] = image
        left += image.shape[1] + GAP
    return row


def label(text: str) -> Pixels:
    """A line of text in small letters."""
    line = Image.new("L", (SHEET_WIDTH, LABEL_HEIGHT), GROUND)
    ImageDraw.Draw(line).text((1, 0), text, 255, font=ImageFont.load_default(LABEL_HEIGHT - 2))
    return np.asarray(line)


def sheet(sets: dict[str, list[Pixels]]) -> Image.Image:
    """Draw the first pictures of each set: as they were, by mnistzip in as many bytes as WebP, and by WebP."""
    rows = []
    for name, images in sets.items():
        fitting = np.cumsum([image.shape[1] + GAP for image in images]) <= SHEET_WIDTH
        some = images[: int(fitting.sum())]
        files, decoded = webp_files(some, quality=SHEET_QUALITY)
        sizes = [len(file) for file in files]
        ours = [mnistzip.encode(image, max_bytes=size) for image, size in zip(some, sizes, strict=True)]
        rows += [
            label(f"{name}: {round(sum(sizes) / len(sizes))} bytes"),
            strip(some),
            strip(mnistzip.decode_many(ours)),
            strip(decoded),
        ]
    whole = Image.fromarray(np.vstack(rows))
    return whole.resize((2 * whole.width, 2 * whole.height), Image.Resampling.NEAREST)


def measure(images: Sequence[Pixels]) -> dict[str, dict[str, Any]]:
    """All results of a set."""
    others = [name for name in registry.SHIPPED if name not in (*registry.CANDIDATES, registry.BITMAPS)]
    every = candidates("auto", QUALITY)
    return {
        "default": of_ours(images),
        **{each.model.name: of_ours(images, model=each.model.name, quality=each.quality) for each in every},
        **{name: of_ours(images, model=name, quality=QUALITY) for name in others},
        "lossless": of_ours(images, lossless=True),
        "archive": archive(images),
        "archive-lossless": archive(images, lossless=True),
        "webp-smallest": webp(images, quality=0),
        "webp-lossless": webp(images, lossless=True, quality=100),
    }


def faults(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The promises of the default that a set breaks."""
    default, smallest = rows["default"], rows["webp-smallest"]
    found = [
        f"{name} costs {1 - rows[name]['cost'] / default['cost']:.1%} less"
        for name in (*registry.SHIPPED, "lossless")
        if name in rows and default["cost"] > 1.03 * rows[name]["cost"]
    ]
    if default["bytes"] > rows["lossless"]["bytes"]:
        found.append("lossless files are smaller")
    ours, theirs = (np.inf if row["psnr_db"] is None else row["psnr_db"] for row in (default, smallest))
    if default["bytes"] > smallest["bytes"] and theirs > ours:
        found.append("WebP's smallest files are smaller and better")
    return found


def cell(row: dict[str, Any]) -> str:
    """Bytes and PSNR."""
    return f"{row['bytes']:.1f} B, " + ("lossless" if row["psnr_db"] is None else f"{row['psnr_db']:.2f} dB")


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The results in Markdown."""
    columns = ("default", *registry.CANDIDATES, "lossless", "archive", "webp-smallest", "webp-lossless")
    heads = ("default", *registry.CANDIDATES, "`--lossless`", "archive", "WebP, quality 0", "WebP lossless")
    lines = ["| set | " + " | ".join(heads) + " | what falls short |", "|---" * (len(heads) + 2) + "|"]
    for name, rows in results.items():
        cells = [cell(rows[column]) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {'; '.join(faults(rows)) or 'nothing'} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every set, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", type=Path)
    sets = {}
    for path in sorted(parser.parse_args().sets.glob("*.npz")):
        with np.load(path) as held:
            sets[path.stem] = [held[key] for key in held.files]
    sheet(sets).save(DOCS / "small-pictures.png", optimize=True)
    results = {}
    for name, images in sets.items():
        results[name] = measure(images)
        print(name, *faults(results[name]), sep=": ", flush=True)
    (DOCS / "small-pictures.json").write_text(json.dumps(results, indent=1) + "\n")
    page = DOCS / "small-pictures.md"
    before, _, rest = page.read_text().partition("<!-- results -->\n")
    _, _, after = rest.partition("<!-- /results -->\n")
    page.write_text(f"{before}<!-- results -->\n{table(results)}\n<!-- /results -->\n{after}")


if __name__ == "__main__":
    main()
