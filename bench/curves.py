"""Rate-distortion curves, and how much less one needs than another: the Bjøntegaard delta rate.

Sources: Bjøntegaard 2001, VCEG-M33; here with a monotone piecewise cubic (PCHIP), as newer test conditions of JVET take it,
which no outlier can make swing.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
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
