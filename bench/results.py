"""Measurements as figures: the rows of ``results.json`` and ``results.csv``.

``bench/results.schema.json`` describes the file; its number changes when the meaning of a field does.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip import metrics
from mnistzip.bench.measure import Measured
from mnistzip.bench.mnistzip_codecs import models_of
from mnistzip.bench.protocol import versions
from mnistzip.bench.registry import Job
from mnistzip.bench.runner import Outcome, Run, processor
from mnistzip.errors import FormatError

SCHEMA = 1
MEBI = 1 << 20


@dataclass(frozen=True)
class Row:
    """One codec at one setting, over all images. What does not apply or could not be measured is None.

    Attributes:
        options: what the codec was told.
        kind: ``lossy``, ``lossless`` or ``solid`` (one file of all images).
        mean_bytes, median_bytes, p95_bytes: of the whole file of an image; of a solid codec only its mean share.
        ratio_raw, ratio_png: how many times smaller than raw pixels and than the PNG of the same images.
        bpp: bits per pixel.
        psnr_db: of the squared error averaged over all pixels of all images; None if nothing was lost.
        mean_psnr_db: mean of the images' own PSNR; None if any image came back identical, as that would be infinite.
        identical: images that came back without any error.
        ssim, ms_ssim: mean over the images for which they are defined.
        encode_per_second, decode_per_second: images per second of processor time, over all threads.
        peak_mib: most memory that coding and decoding took, in MiB, without the images and the interpreter.
        header_bytes, ideal_bytes: of an image, for mnistzip: its header, and the code length that the model's
            frequencies allow for the rest; check and coder cost what remains, where no image was stored instead.
        error: why there are no figures.
    """

    codec: str
    label: str
    setting: str
    options: dict[str, Any]
    kind: str
    ours: bool
    libraries: str
    images: int
    mean_bytes: float | None = None
    median_bytes: float | None = None
    p95_bytes: float | None = None
    ratio_raw: float | None = None
    ratio_png: float | None = None
    bpp: float | None = None
    psnr_db: float | None = None
    mean_psnr_db: float | None = None
    identical: int | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    encode_per_second: float | None = None
    decode_per_second: float | None = None
    peak_mib: float | None = None
    header_bytes: float | None = None
    ideal_bytes: float | None = None
    error: str | None = None

    @property
    def key(self) -> str:
        """``codec@setting``."""
        return f"{self.codec}@{self.setting}" if self.setting else self.codec


@dataclass(frozen=True)
class Results:
    """A whole benchmark.

    Attributes:
        about: what was measured, where and with what.
        rows: one for each codec and setting.
        bd_rate: see :func:`mnistzip.bench.curves.bd_rates`.
        budgets: see :func:`mnistzip.bench.message_budgets.budgets`.
    """

    about: dict[str, Any]
    rows: list[Row]
    bd_rate: list[dict[str, Any]]
    budgets: list[dict[str, Any]]

    def to_json(self) -> str:
        """The text of ``results.json``."""
        told = {"schema": SCHEMA, **self.about, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(told | {"bd_rate": self.bd_rate, "budgets": self.budgets}, indent=1, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """The rows as ``results.csv``."""
        out = io.StringIO()
        writer = csv.DictWriter(out, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) | {"options": json.dumps(row.options)} for row in self.rows)
        return out.getvalue()


def read_results(path: Path) -> Results:
    """Read a ``results.json``.

    Raises:
        FormatError: not such a file, or one of another schema.
    """
    try:
        told = json.loads(path.read_text())
        if told["schema"] != SCHEMA:
            raise FormatError(f"{path}: schema {told['schema']}, but this version reads {SCHEMA}")
        rows = [Row(**row) for row in told.pop("rows")]
        bd_rate, budgets = told.pop("bd_rate"), told.pop("budgets")
        told.pop("schema")
        return Results(told, rows, bd_rate, budgets)
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise FormatError(f"{path} is not a results.json of mnistzip bench: {cause}") from cause


def about(run: Run) -> dict[str, Any]:
    """What was measured, where and with what."""
    images = run.source.images
    heights, widths = zip(*(image.shape for image in images), strict=True)
    models = {model.name: model for job in run.jobs if job.codec.ours for model in models_of(job.arguments)}
    return {
        "data": {
            "source": run.source.name,
            "images": len(images),
            "pixels": int(sum(image.size for image in images)),
            "width": [int(min(widths)), int(max(widths))],
            "height": [int(min(heights)), int(max(heights))],
            "sha256": run.sha256,
        },
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system(), "threads": run.threads},
        "models": {name: model.fingerprint.hex() for name, model in models.items()},
        "versions": versions(),
    }


def row_of(job: Job, outcome: Outcome, pixels: NDArray[np.int64], png_bytes: float | None) -> Row:
    """The figures of one job.

    Args:
        pixels: of each image, shape ``(N,)``.
        png_bytes: of all images together, if known.
    """
    codec = job.codec
    told = (codec.name, codec.label, job.setting, _told(job), codec.kind.value, codec.ours, codec.versions(), len(pixels))
    if isinstance(outcome, str):
        return Row(*told, error=outcome)
    total, count = float(outcome.sizes.sum()), len(pixels)
    solid = codec.kind.value == "solid"
    each = outcome.sse / pixels
    return Row(
        *told,
        mean_bytes=_number(total / count, 3),
        median_bytes=None if solid else _number(float(np.median(outcome.sizes)), 1),
        p95_bytes=None if solid else _number(float(np.percentile(outcome.sizes, 95)), 1),
        ratio_raw=_number(pixels.sum() / total, 3),
        ratio_png=None if png_bytes is None else _number(png_bytes / total, 3),
        bpp=_number(8 * total / pixels.sum(), 5),
        psnr_db=_number(metrics.psnr_of_mse(outcome.sse.sum() / pixels.sum()), 4),
        mean_psnr_db=_number(float(np.mean([metrics.psnr_of_mse(float(error)) for error in each])), 4),
        identical=int((outcome.sse == 0).sum()),
        ssim=_mean(outcome.ssim),
        ms_ssim=_mean(outcome.ms_ssim),
        encode_per_second=_rate(count, outcome.encode_seconds),
        decode_per_second=_rate(count, outcome.decode_seconds),
        peak_mib=_number(outcome.peak_bytes / MEBI, 1) if outcome.peak_bytes >= 0 else None,
        header_bytes=_number(outcome.header_bytes / count, 3),
        ideal_bytes=_number(outcome.ideal_bytes / count, 3),
    )


def rows_of(run: Run, outcomes: dict[str, Outcome]) -> list[Row]:
    """The rows of a finished run."""
    pixels = np.array([image.size for image in run.source.images], np.int64)
    png = outcomes.get("png")
    png_bytes = float(png.sizes.sum()) if isinstance(png, Measured) else None
    return [row_of(job, outcomes[job.key], pixels, png_bytes) for job in run.jobs]


def _told(job: Job) -> dict[str, Any]:
    """The arguments of a job; of a model of one's own the file's name without its folders."""
    return {key: Path(value).name if key == "model" else value for key, value in job.arguments.items()}


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return _number(float(known.mean()), 5) if known.size else None


def _rate(count: int, seconds: float) -> float | None:
    return float(f"{count / seconds:.4g}") if seconds > 0 else None
