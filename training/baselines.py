"""What a model takes beside PNG, WebP and the models that ship, in whole files of images that it was not trained on."""

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
SAME_DB = 0.05  # PSNR that two models may differ by and still count as equal


def beside(model: Model, images: list[Pixels]) -> dict[str, Any]:
    """Mean bytes of PNG, WebP, ``model`` and the models that ship, without loss and at the PSNR that WebP of quality 10 has.

    Of a model's qualities the lowest that reaches that PSNR at the default effort counts. Where none of ``model`` does, WebP's
    quality is lowered until the best one does; if that is not enough, ``psnr_db`` tells.
    """
    best = _psnr(images, encode_many(images, quality=QUALITIES, model=model), model)
    for webp_quality in range(WEBP_QUALITY, -1, -1):
        webp = _pillow(images, format="WEBP", quality=webp_quality, method=6)
        seen = [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in webp]
        goal = metrics.psnr(np.stack(images), np.stack(seen))
        if best >= goal:
            break
    rows = {
        "images": len(images),
        "png_bytes": _mean(_pillow(images, format="PNG", optimize=True)),
        "webp_lossless_bytes": _mean(_pillow(images, format="WEBP", lossless=True, method=6)),
        "webp_quality": webp_quality,
        "webp_bytes": _mean(webp),
        "webp_psnr_db": round(goal, 3),
        **at_psnr(model, images, goal),
        "shipped": {name: at_psnr(name, images, goal) for name in CANDIDATES},
    }
    return rows | {"use": advice(rows)}


def at_psnr(model: str | Model, images: list[Pixels], goal: float) -> dict[str, float]:
    """What a model takes at its lowest quality that reaches a PSNR, or at its best, and without loss."""
    low, high = 1, QUALITIES
    while low < high:
        middle = (low + high) // 2
        if _psnr(images, encode_many(images, quality=middle, model=model), model) >= goal:
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
    """One sentence for the user: which model to take for files with and without loss."""
    goal = rows["webp_psnr_db"]
    names = {"this model": rows, **{f"the shipped model `{name}`": row for name, row in rows["shipped"].items()}}
    reached = [name for name, row in names.items() if row["psnr_db"] >= goal - SAME_DB]
    kept = min(names, key=lambda name: names[name]["lossless_bytes"])
    if reached:
        lossy = min(reached, key=lambda name: names[name]["bytes"])
        quality = f"{goal:.1f} dB"
    else:
        lossy = max(names, key=lambda name: names[name]["psnr_db"])
        quality = f"{names[lossy]['psnr_db']:.1f} dB (the others reach less)"
    sizes = f"{names[lossy]['bytes']:.1f} bytes at {quality}", f"{names[kept]['lossless_bytes']:.1f} bytes"
    if lossy == kept:
        return f"Use {lossy}: its files are the smallest, {sizes[0]} and {sizes[1]} without loss."
    return f"Use {lossy} for lossy files ({sizes[0]}), and {kept} for `--lossless` ({sizes[1]})."


def table(rows: dict[str, Any]) -> list[str]:
    """The same as a table in Markdown, and the advice below it."""
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
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, **options)
        files.append(out.getvalue())
    return files


def _psnr(images: list[Pixels], files: list[bytes], model: str | Model) -> float:
    return metrics.psnr(np.stack(images), np.stack(decode_many(files, model=model)))


def _mean(files: list[bytes]) -> float:
    return round(sum(map(len, files)) / len(files), 3)
