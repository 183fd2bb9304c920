"""What fits: the share of the images whose file has at most N bytes, and how good they are.

Each image is given the best of the settings measured whose file fits. A lossless codec fits or it does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnistzip import metrics
from mnistzip.bench.measure import Measured
from mnistzip.bench.registry import Kind
from mnistzip.bench.runner import Outcome, Run

LINKS = {  # payload bytes of one message
    11: "LoRaWAN US915, DR0",
    51: "LoRaWAN EU868, DR0 to DR2",
    115: "LoRaWAN EU868, DR3",
    140: "SMS",
    222: "LoRaWAN EU868, DR4 to DR7",
    340: "Iridium SBD, sent by a 9602 modem",
}
# Sources: LoRaWAN regional parameters RP002-1.0.4 (largest payloads, repeaters allowed for); 3GPP TS 23.040 (140 octets of
# user data); Iridium 9602 developer's guide (mobile-originated messages).


def budgets(run: Run, outcomes: dict[str, Outcome], more: Sequence[int] = ()) -> list[dict[str, Any]]:
    """For each budget and codec: ``bytes``, ``link``, ``codec``, ``label``, ``share`` of the images that fit, ``psnr_db``.

    The PSNR is of the mean squared error of the images that fit, None if none does or nothing is lost; ``lossless`` tells
    these apart.
    """
    pixels = np.array([image.size for image in run.source.images], np.int64)
    measured: dict[str, list[Measured]] = {}
    labels: dict[str, str] = {}
    for job in run.jobs:
        outcome = outcomes[job.key]
        if isinstance(outcome, Measured) and job.codec.kind is not Kind.SOLID:
            measured.setdefault(job.codec.name, []).append(outcome)
            labels[job.codec.name] = job.codec.label
    rows = []
    for limit in sorted({*LINKS, *more}):
        for name, outcomes_of in measured.items():
            sizes = np.stack([outcome.sizes for outcome in outcomes_of])
            sse = np.stack([outcome.sse for outcome in outcomes_of]).astype(np.float64)
            best = np.where(sizes <= limit, sse, np.inf).min(axis=0)
            fits = np.isfinite(best)
            error = best[fits].sum() / max(1, pixels[fits].sum())
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
