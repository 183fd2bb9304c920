"""The figures of a benchmark: the rows of ``results.json`` and ``results.csv``.

``bench/results.schema.json`` describes the file. Its number changes when the meaning of a field changes.
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
from mnistzip.bench.measure import Measurement
from mnistzip.bench.mnistzip_codecs import models_of
from mnistzip.bench.protocol import versions
from mnistzip.bench.registry import BenchJob
from mnistzip.bench.runner import BenchRun, Outcome, processor
from mnistzip.errors import FormatError

SCHEMA = 1
MEBI = 1 << 20


@dataclass(frozen=True)
class Row:
    """One codec at one setting, over all images. Fields that do not apply or could not be measured are None.

    Attributes:
        options: arguments of the codec.
        kind: ``lossy``, ``lossless`` or ``solid`` (one file of all images).
        mean_bytes, median_bytes, p95_bytes: of the whole file of an image; for a solid codec only the mean share.
        ratio_raw, ratio_png: size of the raw pixels, and of the PNG files of the same images, divided by the size.
        bpp: bits per pixel.
        psnr_db: PSNR of the mean squared error over all pixels of all images; None if every pixel is equal.
        mean_psnr_db: mean of the PSNR of each image; None if an image is identical, whose PSNR is infinite.
        identical: number of images without any error.
        ssim, ms_ssim: mean over the images where they are defined.
        encode_per_second, decode_per_second: images per second of processor time, over all threads.
        peak_mib: peak memory of encoding and decoding in MiB, without images and interpreter.
        header_bytes, ideal_bytes: for codecs of mnistzip, bytes of the header of an image, and the ideal code length of its
            symbols. Checksum and entropy coder take the rest of the file, unless the image is stored without a model.
        error: why the figures are missing.
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
        about: images, date, machine, models and versions.
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
        content = {"schema": SCHEMA, **self.about, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(content | {"bd_rate": self.bd_rate, "budgets": self.budgets}, indent=1, allow_nan=False) + "\n"

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
        FormatError: not a ``results.json``, or one of another schema.
    """
    try:
        content = json.loads(path.read_text())
        if content["schema"] != SCHEMA:
            raise FormatError(f"{path}: schema {content['schema']}, but this version reads {SCHEMA}")
        rows = [Row(**row) for row in content.pop("rows")]
        bd_rate, budgets = content.pop("bd_rate"), content.pop("budgets")
        content.pop("schema")
        return Results(content, rows, bd_rate, budgets)
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise FormatError(f"{path} is not a results.json of mnistzip bench: {cause}") from cause


def about(run: BenchRun) -> dict[str, Any]:
    """Images, date, machine, models and versions of a run."""
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


def row_of(job: BenchJob, outcome: Outcome, pixels: NDArray[np.int64], png_bytes: float | None) -> Row:
    """The figures of one job.

    Args:
        pixels: number of pixels of each image, shape ``(N,)``.
        png_bytes: size of all images as PNG files, if known.
    """
    codec = job.codec
    names = (codec.name, codec.label, job.setting, _options(job), codec.kind.value, codec.ours, codec.versions(), len(pixels))
    if isinstance(outcome, str):
        return Row(*names, error=outcome)
    total, count = float(outcome.sizes.sum()), len(pixels)
    solid = codec.kind.value == "solid"
    mse = outcome.sse / pixels
    return Row(
        *names,
        mean_bytes=_number(total / count, 3),
        median_bytes=None if solid else _number(float(np.median(outcome.sizes)), 1),
        p95_bytes=None if solid else _number(float(np.percentile(outcome.sizes, 95)), 1),
        ratio_raw=_number(pixels.sum() / total, 3),
        ratio_png=None if png_bytes is None else _number(png_bytes / total, 3),
        bpp=_number(8 * total / pixels.sum(), 5),
        psnr_db=_number(metrics.psnr_of_mse(outcome.sse.sum() / pixels.sum()), 4),
        mean_psnr_db=_number(float(np.mean([metrics.psnr_of_mse(float(error)) for error in mse])), 4),
        identical=int((outcome.sse == 0).sum()),
        ssim=_mean(outcome.ssim),
        ms_ssim=_mean(outcome.ms_ssim),
        encode_per_second=_rate(count, outcome.encode_seconds),
        decode_per_second=_rate(count, outcome.decode_seconds),
        peak_mib=_number(outcome.peak_bytes / MEBI, 1) if outcome.peak_bytes >= 0 else None,
        header_bytes=_number(outcome.header_bytes / count, 3),
        ideal_bytes=_number(outcome.ideal_bytes / count, 3),
    )


def rows_of(run: BenchRun, outcomes: dict[str, Outcome]) -> list[Row]:
    """The rows of a finished run."""
    pixels = np.array([image.size for image in run.source.images], np.int64)
    png = outcomes.get("png")
    png_bytes = float(png.sizes.sum()) if isinstance(png, Measurement) else None
    return [row_of(job, outcomes[job.key], pixels, png_bytes) for job in run.jobs]


def _options(job: BenchJob) -> dict[str, Any]:
    """The arguments of a job; a model file appears without its folders."""
    return {key: Path(value).name if key == "model" else value for key, value in job.arguments.items()}


def _number(value: float, digits: int) -> float | None:
    """A rounded number for JSON; None unless it is finite."""
    return round(float(value), digits) if math.isfinite(value) else None


def _mean(values: NDArray[np.float64]) -> float | None:
    """The mean of the values that are defined."""
    defined = values[~np.isnan(values)]
    return _number(float(defined.mean()), 5) if defined.size else None


def _rate(count: int, seconds: float) -> float | None:
    """Images per second, to four digits."""
    return float(f"{count / seconds:.4g}") if seconds > 0 else None
