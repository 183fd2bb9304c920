"""The figures of docs/rate-distortion.md, from the results of ``benchmarks/rate_distortion.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnistzip.bench.figures import Sources
from mnistzip.bench.report.markdown import markdown_table
from mnistzip.entropy.cost import BIT, LMBDA_SHIFT
from mnistzip.models.registry import shipped
from mnistzip.tiling import TILE

EFFORTS = (0, 3, 9)
BUDGETS = {11: 14, 16: 27}  # of bare streams: bytes at most, and the agreed quality


def by_default(sources: Sources) -> str:
    """Files by default: size, PSNR, cost above that of effort 9, and how many digits keep every pixel."""
    header = ["quality", *(f"effort {effort}" for effort in EFFORTS), *(f"more cost at effort {effort}" for effort in (0, 3))]
    rows = []
    for same in _at_each_quality(sources, "auto"):
        cells = [f"{row['mean_bytes']:.1f} B {_decibels(row)}" for row in same]
        *costs, least = (_cost(row) for row in same)
        cells += [f"{cost / least - 1:.1%}" for cost in costs]
        rows.append([str(same[0]["quality"]), *cells, f"{same[1]['lossless']:.0%}"])
    return markdown_table([*header, "keep every pixel at effort 3"], rows)


def by_mnist(sources: Sources) -> str:
    """Files of ``mnist``, and bytes of low efforts above those of effort 9 at equal PSNR."""
    slow = _rows(sources, "mnist", 9)
    header = ["quality", *(f"effort {effort}" for effort in EFFORTS), *(f"more bytes at effort {effort}" for effort in (0, 3))]
    rows = []
    for same in _at_each_quality(sources, "mnist"):
        cells = [f"{row['mean_bytes']:.1f} B {_decibels(row)}" for row in same]
        more = [_more_bytes(row, slow) for row in same[:-1]]
        rows.append([str(same[0]["quality"]), *cells, *("" if share is None else f"{share:.0%}" for share in more)])
    return markdown_table(header, rows)


def bare_streams(sources: Sources) -> str:
    """PSNR of bare streams within a budget."""
    rows = []
    for most, quality in BUDGETS.items():
        row = sources.rate_distortion[f"mnist, bare, quality {quality}, 8 check bits, at most {most} bytes, effort 9"]
        rows.append([str(most), str(quality), f"{row['psnr_db']:.2f} dB", f"{row['images']:,}"])
    return markdown_table(["bytes at most", "agreed quality", "PSNR", "digits"], rows)


def steps(sources: Sources) -> str:
    """The smallest steps from one quality to the next."""
    rows = []
    for effort in (0, 3):
        measured = sources.rate_distortion[f"mnist, every quality, effort {effort}"]
        size, psnr = measured["mean_bytes, least step"], measured["psnr_db, least step"]
        rows.append([str(effort), f"{measured['images']:,}", f"{size:+.3f} B", f"{psnr:+.3f} dB"])
    return markdown_table(["effort", "digits", "smallest step of size", "smallest step of PSNR"], rows)


def readable(sources: Sources) -> str:
    """What a classifier reads that has only seen originals."""
    measured = dict(sources.rate_distortion["mnist, readable, effort 3"])
    images, originals = measured.pop("images"), measured.pop("originals")
    rows = [
        ["originals", f"{originals:.2%}"],
        *([f"files of `mnist`, {name}", f"{share:.2%}"] for name, share in measured.items()),
    ]
    return markdown_table([f"{images:,} test digits", "read correctly"], rows)


def work(sources: Sources) -> str:
    """Multiply-adds of two models."""
    measured = sources.rate_distortion["work"]
    rows = [
        [part, *(f"{counts[part] / 1e6:.1f} million" for counts in measured.values())]
        for part in ("analysis", "synthesis", "prior", "decoding")
    ]
    return markdown_table(["multiply-adds per digit", *(f"`{model}`" for model in measured)], rows)


def _rows(sources: Sources, model: str, effort: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = sources.rate_distortion[f"{model}, effort {effort}"]
    return rows


def _at_each_quality(sources: Sources, model: str) -> list[tuple[dict[str, Any], ...]]:
    """The rows of all efforts, by quality."""
    return list(zip(*(_rows(sources, model, effort) for effort in EFFORTS), strict=True))


def _decibels(row: dict[str, Any]) -> str:
    return "lossless" if row["psnr_db"] is None else f"{row['psnr_db']:.2f} dB"


def _cost(row: dict[str, Any]) -> float:
    """Bits + lmbda * squared error of a digit, on average."""
    lmbda = shipped("mnist").lmbda[row["quality"] - 1] / (BIT << LMBDA_SHIFT)
    squared_error = 0 if row["psnr_db"] is None else TILE**2 * 255**2 / 10 ** (row["psnr_db"] / 10)
    return float(8 * row["mean_bytes"] + lmbda * squared_error)


def _more_bytes(row: dict[str, Any], slow: list[dict[str, Any]]) -> float | None:
    """The share of bytes above a curve at the same PSNR; None outside its range."""
    size, psnr = ([other[key] for other in slow] for key in ("mean_bytes", "psnr_db"))
    if not psnr[0] <= row["psnr_db"] <= psnr[-1]:
        return None
    return float(row["mean_bytes"] / np.exp(np.interp(row["psnr_db"], psnr, np.log(size))) - 1)
