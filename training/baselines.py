"""Compare a model with PNG, WebP and the shipped models, by whole files of held-out images."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from mnistzip import metrics
from mnistzip.api import decode_many, encode_many
from mnistzip.models.model_file import QUALITIES
from mnistzip.models.registry import CANDIDATES, Model
from mnistzip.types import Pixels

WEBP_QUALITY = 10
EQUAL_DB = 0.05  # models whose PSNR differs by at most this count as equal


def compare(model: Model, images: list[Pixels]) -> dict[str, Any]:
    """Mean bytes of PNG, WebP, ``model`` and the shipped models, lossless and at the PSNR of WebP at quality 10.

    Each model counts at its lowest quality that reaches this PSNR at the default effort. If no quality of ``model`` reaches it,
    the quality of WebP is lowered until one does, or down to 0; ``psnr_db`` then gives what the model reaches.
    """
    best = _psnr(images, encode_many(images, quality=QUALITIES, model=model), model)
    for webp_quality in range(WEBP_QUALITY, -1, -1):
        webp = _pillow(images, format="WEBP", quality=webp_quality, method=6)
        decoded = [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in webp]
        target_db = metrics.psnr(np.stack(images), np.stack(decoded))
        if best >= target_db:
            break
    rows = {
        "images": len(images),
        "png_bytes": _mean(_pillow(images, format="PNG", optimize=True)),
        "webp_lossless_bytes": _mean(_pillow(images, format="WEBP", lossless=True, method=6)),
        "webp_quality": webp_quality,
        "webp_bytes": _mean(webp),
        "webp_psnr_db": round(target_db, 3),
        **at_psnr(model, images, target_db),
        "shipped": {name: at_psnr(name, images, target_db) for name in CANDIDATES},
    }
    return rows | {"use": advice(rows)}


def at_psnr(model: str | Model, images: list[Pixels], target_db: float) -> dict[str, float]:
    """Mean bytes of a model, lossless and at its lowest quality that reaches a PSNR in dB, or at its best quality."""
    low, high = 1, QUALITIES
    while low < high:
        middle = (low + high) // 2
        if _psnr(images, encode_many(images, quality=middle, model=model), model) >= target_db:
            high = middle
        else:
            low = middle + 1
    files = encode_many(images, quality=low, model=model)
    return {
        "lossless_bytes": _mean(encode_many(images, lossless=True, model=model)),
        "quality": low,
        "bytes": _mean(files),
        "psnr_db": round(_psnr(images, files, model), 3),
    }


def advice(rows: dict[str, Any]) -> str:
    """One sentence that names the best model for lossy files and for lossless files."""
    target_db = rows["webp_psnr_db"]
    names = {"this model": rows, **{f"the shipped model `{name}`": row for name, row in rows["shipped"].items()}}
    reached = [name for name, row in names.items() if row["psnr_db"] >= target_db - EQUAL_DB]
    lossless = min(names, key=lambda name: names[name]["lossless_bytes"])
    if reached:
        lossy = min(reached, key=lambda name: names[name]["bytes"])
        quality = f"{target_db:.1f} dB"
    else:
        lossy = max(names, key=lambda name: names[name]["psnr_db"])
        quality = f"{names[lossy]['psnr_db']:.1f} dB (the others reach less)"
    sizes = f"{names[lossy]['bytes']:.1f} bytes at {quality}", f"{names[lossless]['lossless_bytes']:.1f} bytes"
    if lossy == lossless:
        return f"Use {lossy}: its files are the smallest, {sizes[0]} and {sizes[1]} without loss."
    return f"Use {lossy} for lossy files ({sizes[0]}), and {lossless} for `--lossless` ({sizes[1]})."


def table(rows: dict[str, Any]) -> list[str]:
    """The result of :func:`compare` as a table in Markdown, with the advice below it."""
    lines = [
        "| | bytes per file | PSNR |",
        "|---|---|---|",
        f"| PNG | {rows['png_bytes']:.1f} | lossless |",
        f"| WebP lossless | {rows['webp_lossless_bytes']:.1f} | lossless |",
        f"| this model, `--lossless` | {rows['lossless_bytes']:.1f} | lossless |",
    ]
    shipped = rows.get("shipped", {})
    lines += [f"| `{name}`, `--lossless` | {row['lossless_bytes']:.1f} | lossless |" for name, row in shipped.items()]
    lines += [
        f"| WebP, quality {rows['webp_quality']:.0f} | {rows['webp_bytes']:.1f} | {rows['webp_psnr_db']:.2f} dB |",
        f"| this model, `-q {rows['quality']:.0f}` | {rows['bytes']:.1f} | {rows['psnr_db']:.2f} dB |",
    ]
    lines += [
        f"| `{name}`, `-q {row['quality']}` | {row['bytes']:.1f} | {row['psnr_db']:.2f} dB |" for name, row in shipped.items()
    ]
    return [*lines, "", rows["use"]] if "use" in rows else lines


def _pillow(images: list[Pixels], **options: Any) -> list[bytes]:
    """A file of each image in a format of Pillow."""
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, **options)
        files.append(out.getvalue())
    return files


def _psnr(images: list[Pixels], files: list[bytes], model: str | Model) -> float:
    """PSNR of decoded files, of the mean squared error."""
    return metrics.psnr(np.stack(images), np.stack(decode_many(files, model=model)))


def _mean(files: list[bytes]) -> float:
    """Mean size of files."""
    return round(sum(map(len, files)) / len(files), 3)
