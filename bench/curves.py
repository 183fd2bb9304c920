"""Rate-distortion curves, and how much less one needs than another: the Bjøntegaard delta rate.

Sources: Bjøntegaard 2001, VCEG-M33; here with a monotone piecewise cubic (PCHIP), as newer test conditions of JVET take it,
which no outlier can make swing.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.bench.results import Row

CAN_INTERPOLATE = importlib.util.find_spec("scipy") is not None

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # log of bytes and dB, both rising


def curve_of(rows: Sequence[Row], codec: str) -> Curve:
    """The curve of one lossy codec; points that cost more than others without being better are left out."""
    points = sorted(
        (row.psnr_db, row.mean_bytes)
        for row in rows
        if row.codec == codec and row.psnr_db is not None and row.mean_bytes is not None
    )
    kept: list[tuple[float, float]] = []
    for psnr, size in points:
        while kept and kept[-1][1] >= size:  # a better image for no more bytes
            kept.pop()
        if not kept or psnr > kept[-1][0]:
            kept.append((psnr, size))
    return np.log([size for _, size in kept]), np.array([psnr for psnr, _ in kept])


def bd_rate(reference: Curve, tested: Curve) -> tuple[float, tuple[float, float]] | None:
    """Mean change of size in percent at equal PSNR, and the range of dB that both curves share; None if they share none.

    -50 means that the tested curve needs half the bytes of the reference.
    """
    from scipy.interpolate import PchipInterpolator

    curves = (reference, tested)
    if min(len(psnr) for _, psnr in curves) < 2:
        return None
    low = max(float(psnr[0]) for _, psnr in curves)
    high = min(float(psnr[-1]) for _, psnr in curves)
    if high <= low:
        return None
    first, second = (float(PchipInterpolator(psnr, size).integrate(low, high)) for size, psnr in curves)
    return 100 * (math.exp((second - first) / (high - low)) - 1), (low, high)


def lossy_codecs(rows: Sequence[Row]) -> dict[str, Row]:
    """The first row of every lossy codec that was measured, by the codec's name."""
    found: dict[str, Row] = {}
    for row in rows:
        if row.kind == "lossy" and row.mean_bytes is not None:
            found.setdefault(row.codec, row)
    return found


def bd_rates(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each of our lossy codecs against each other lossy codec: ``codec``, ``against``, ``percent`` and ``range_db``.

    ``percent`` is None, and so is the range, where the curves share no PSNR. Empty without scipy.
    """
    if not CAN_INTERPOLATE:
        return []
    every = lossy_codecs(rows)
    out = []
    for name in (name for name, row in every.items() if row.ours):
        for other in (other for other, row in every.items() if not row.ours):
            found = bd_rate(curve_of(rows, other), curve_of(rows, name))
            percent, span = (None, None) if found is None else (round(found[0], 2), [round(db, 2) for db in found[1]])
            out.append({"codec": name, "against": other, "percent": percent, "range_db": span})
    return out


@dataclass(frozen=True)
class Verdict:
    """What can be said of one of our codecs and a peer whose curves share no PSNR.

    Attributes:
        short: for the cell of a table.
        sentence: for below it; names both.
        wins: the name of the codec that is smaller and better, if one is.
    """

    short: str
    sentence: str
    wins: str | None = None


def verdict(rows: Sequence[Row], ours: str, peer: str) -> Verdict:
    """Compare two lossy codecs setting by setting.

    One codec is smaller and better where for each setting of the other it has one with fewer bytes and more dB.
    """
    labels = {row.codec: row.label for row in rows}
    points = {name: _points(rows, name) for name in (ours, peer)}
    for best, other in ((peer, ours), (ours, peer)):
        beaten = [point for point in points[other] if any(_beats(rival, point) for rival in points[best])]
        if beaten:
            winner = "peer wins" if best == peer else "ours wins"
            whole = len(beaten) == len(points[other])
            start = "" if whole else f"from {min(size for size, _ in beaten):,.1f} bytes on "
            sentence = f"{start}{labels[best]} is smaller and better than {labels[other]}"
            return Verdict(winner if whole else f"{winner} in part", sentence, best)
    return Verdict("apart", f"{labels[ours]} and {labels[peer]} are apart: {_span(points[ours])} and {_span(points[peer])}")


def _points(rows: Sequence[Row], codec: str) -> list[tuple[float, float]]:
    """Mean bytes and dB of each setting; infinite where nothing was lost."""
    found = [row for row in rows if row.codec == codec and row.mean_bytes is not None]
    return [(row.mean_bytes or 0.0, math.inf if row.psnr_db is None else row.psnr_db) for row in found]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


def _span(points: Sequence[tuple[float, float]]) -> str:
    low, high = min(db for _, db in points), max(db for _, db in points)
    if math.isinf(low):
        return "every pixel"
    top = "every pixel" if math.isinf(high) else f"{high:.1f}"
    return f"{low:.1f} dB" if low == high else f"{low:.1f} to {top} dB"
