"""Which share of the images fits into N bytes, and at which PSNR.

For each image the best measured setting counts whose file has at most N bytes. A lossless file fits or does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnistzip import metrics
from mnistzip.bench.measure import Measurement
from mnistzip.bench.registry import Kind
from mnistzip.bench.runner import BenchRun, Outcome

LINKS = {  # payload of one message in bytes
    11: "LoRaWAN US915, DR0",
    51: "LoRaWAN EU868, DR0 to DR2",
    115: "LoRaWAN EU868, DR3",
    140: "SMS",
    222: "LoRaWAN EU868, DR4 to DR7",
    340: "Iridium SBD, sent by a 9602 modem",
}
# Sources: LoRaWAN regional parameters RP002-1.0.4 (largest payloads, repeaters allowed for); 3GPP TS 23.040 (140 octets of
# user data); Iridium 9602 developer's guide (mobile-originated messages).


def budgets(run: BenchRun, outcomes: dict[str, Outcome], more: Sequence[int] = ()) -> list[dict[str, Any]]:
    """One entry for each budget and codec that makes a file for each image.

    Args:
        more: budgets in bytes next to those of :data:`LINKS`.

    Returns:
        Dictionaries of ``bytes``, ``link``, ``codec``, ``label``, ``share`` of the images that fit, ``psnr_db`` and
        ``lossless``. ``psnr_db`` is the PSNR of the mean squared error of the images that fit. It is None if no image fits or
        all that fit are equal to the originals; ``lossless`` is true in the second case.
    """
    pixels = np.array([image.size for image in run.source.images], np.int64)
    measured: dict[str, list[Measurement]] = {}
    labels: dict[str, str] = {}
    for job in run.jobs:
        outcome = outcomes[job.key]
        if isinstance(outcome, Measurement) and job.codec.kind is not Kind.SOLID:
            measured.setdefault(job.codec.name, []).append(outcome)
            labels[job.codec.name] = job.codec.label
    rows = []
    for limit in sorted({*LINKS, *more}):
        for name, measurements in measured.items():
            sizes = np.stack([outcome.sizes for outcome in measurements])
            sse = np.stack([outcome.sse for outcome in measurements]).astype(np.float64)
            least_sse = np.where(sizes <= limit, sse, np.inf).min(axis=0)
            fits = np.isfinite(least_sse)
            error = least_sse[fits].sum() / max(1, pixels[fits].sum())
            psnr = metrics.psnr_of_mse(float(error)) if fits.any() else math.nan
            rows.append(
                {
                    "bytes": limit,
                    "link": LINKS.get(limit),
                    "codec": name,
                    "label": labels[name],
                    "share": round(float(fits.mean()), 5),
                    "psnr_db": round(psnr, 3) if math.isfinite(psnr) else None,
                    "lossless": bool(fits.any() and not error),
                }
            )
    return rows
