"""What a model takes beside PNG and WebP, in whole files of images that it was not trained on."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnistzip import metrics
from mnistzip.codec import decode_many, encode_many
from mnistzip.model import QUALITIES, Model

WEBP_QUALITY = 10

Pixels = NDArray[np.uint8]


def beside(model: Model, images: list[Pixels]) -> dict[str, float]:
    """Mean bytes of PNG, WebP and ``model``, without loss and at the PSNR that WebP of quality 10 has.

    Of the model's qualities the lowest that reaches that PSNR at the default effort counts. Where none does, WebP's quality is
    lowered until the best one does; if that is not enough, the row's ``psnr_db`` tells.
    """
    best = _psnr(images, encode_many(images, quality=QUALITIES, model=model), model)
    for webp_quality in range(WEBP_QUALITY, -1, -1):
        webp = _pillow(images, format="WEBP", quality=webp_quality, method=6)
        seen = [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in webp]
        goal = metrics.psnr(np.stack(images), np.stack(seen))
        if best >= goal:
            break
    low, high = 1, QUALITIES
    while low < high:
        middle = (low + high) // 2
        if _psnr(images, encode_many(images, quality=middle, model=model), model) >= goal:
            high = middle
        else:
            low = middle + 1
    ours = encode_many(images, quality=low, model=model)
    rows = {
        "images": len(images),
        "png_bytes": _mean(_pillow(images, format="PNG", optimize=True)),
        "webp_lossless_bytes": _mean(_pillow(images, format="WEBP", lossless=True, method=6)),
        "lossless_bytes": _mean(encode_many(images, lossless=True, model=model)),
        "webp_quality": webp_quality,
        "webp_bytes": _mean(webp),
        "webp_psnr_db": goal,
        "quality": low,
        "bytes": _mean(ours),
        "psnr_db": _psnr(images, ours, model),
    }
    return {name: round(value, 3) for name, value in rows.items()}


def table(told: dict[str, float]) -> list[str]:
    """The same as a table in Markdown."""
    return [
        "| | bytes a file | PSNR |",
        "|---|---|---|",
        f"| PNG | {told['png_bytes']:.1f} | every pixel |",
        f"| WebP lossless | {told['webp_lossless_bytes']:.1f} | every pixel |",
        f"| this model, `--lossless` | {told['lossless_bytes']:.1f} | every pixel |",
        f"| WebP, quality {told['webp_quality']:.0f} | {told['webp_bytes']:.1f} | {told['webp_psnr_db']:.2f} dB |",
        f"| this model, `-q {told['quality']:.0f}` | {told['bytes']:.1f} | {told['psnr_db']:.2f} dB |",
    ]


def _pillow(images: list[Pixels], **options: Any) -> list[bytes]:
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, **options)
        files.append(out.getvalue())
    return files


def _psnr(images: list[Pixels], files: list[bytes], model: Model) -> float:
    return metrics.psnr(np.stack(images), np.stack(decode_many(files, model=model)))


def _mean(files: list[bytes]) -> float:
    return sum(map(len, files)) / len(files)
