"""Rate-distortion curves and their difference in rate, the Bjøntegaard delta rate (BD-rate).

Sources: Bjøntegaard 2001, VCEG-M33. The curves are interpolated by a monotone piecewise cubic (PCHIP), as in newer test
conditions of JVET, because a monotone curve does not oscillate around outliers.
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

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # log of bytes and PSNR in dB, both increasing


def curve_of(rows: Sequence[Row], codec: str) -> Curve:
    """The curve of one lossy codec, without points that are larger than another point but not better."""
    points = sorted(
        (row.psnr_db, row.mean_bytes)
        for row in rows
        if row.codec == codec and row.psnr_db is not None and row.mean_bytes is not None
    )
    front: list[tuple[float, float]] = []
    for psnr, size in points:
        while front and front[-1][1] >= size:  # this point is better and not larger
            front.pop()
        if not front or psnr > front[-1][0]:
            front.append((psnr, size))
    return np.log([size for _, size in front]), np.array([psnr for psnr, _ in front])


def bd_rate(reference: Curve, tested: Curve) -> tuple[float, tuple[float, float]] | None:
    """Mean change of size in percent at equal PSNR, and the range of PSNR in dB that both curves share.

    -50 means that the tested curve needs half the bytes of the reference. None if the curves share no range.
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
    """The first row of every measured lossy codec, by the name of the codec."""
    first: dict[str, Row] = {}
    for row in rows:
        if row.kind == "lossy" and row.mean_bytes is not None:
            first.setdefault(row.codec, row)
    return first


def bd_rates(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each lossy codec of mnistzip against each other lossy codec: dictionaries of ``codec``, ``against``, ``percent`` and
    ``range_db``.

    ``percent`` and ``range_db`` are None if the curves share no PSNR. The list is empty without scipy.
    """
    if not CAN_INTERPOLATE:
        return []
    codecs = lossy_codecs(rows)
    out = []
    for name in (name for name, row in codecs.items() if row.ours):
        for other in (other for other, row in codecs.items() if not row.ours):
            result = bd_rate(curve_of(rows, other), curve_of(rows, name))
            percent, span = (None, None) if result is None else (round(result[0], 2), [round(db, 2) for db in result[1]])
            out.append({"codec": name, "against": other, "percent": percent, "range_db": span})
    return out


@dataclass(frozen=True)
class Verdict:
    """The comparison of a codec of mnistzip with a peer whose curve shares no PSNR with its own.

    Attributes:
        short: text for the cell of a table.
        sentence: text for below the table, with both names.
        wins: name of the codec that is smaller and better, if one is.
    """

    short: str
    sentence: str
    wins: str | None = None


def verdict(rows: Sequence[Row], ours: str, peer: str) -> Verdict:
    """Compare two lossy codecs setting by setting.

    One codec is smaller and better if for each setting of the other it has a setting with fewer bytes and more dB.
    """
    labels = {row.codec: row.label for row in rows}
    points = {name: _points(rows, name) for name in (ours, peer)}
    for best, other in ((peer, ours), (ours, peer)):
        beaten = [point for point in points[other] if any(_beats(rival, point) for rival in points[best])]
        if beaten:
            winner = "peer wins" if best == peer else "ours wins"
            all_beaten = len(beaten) == len(points[other])
            start = "" if all_beaten else f"from {min(size for size, _ in beaten):,.1f} bytes on "
            sentence = f"{start}{labels[best]} is smaller and better than {labels[other]}"
            return Verdict(winner if all_beaten else f"{winner} in part", sentence, best)
    return Verdict("apart", f"{labels[ours]} and {labels[peer]} are apart: {_span(points[ours])} and {_span(points[peer])}")


def _points(rows: Sequence[Row], codec: str) -> list[tuple[float, float]]:
    """Mean bytes and PSNR of each setting; the PSNR is infinite if every pixel is equal."""
    measured = [row for row in rows if row.codec == codec and row.mean_bytes is not None]
    return [(row.mean_bytes or 0.0, math.inf if row.psnr_db is None else row.psnr_db) for row in measured]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """True if a point is no larger, no worse, and not the same."""
    return one[0] <= other[0] and one[1] >= other[1] and one != other


def _span(points: Sequence[tuple[float, float]]) -> str:
    """The range of PSNR of some points as text."""
    low, high = min(db for _, db in points), max(db for _, db in points)
    if math.isinf(low):
        return "every pixel"
    top = "every pixel" if math.isinf(high) else f"{high:.1f}"
    return f"{low:.1f} dB" if low == high else f"{low:.1f} to {top} dB"
