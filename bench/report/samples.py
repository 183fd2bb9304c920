"""The sample images as each lossy codec decodes them: a sheet at about equal size, and the pictures of the report."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnistzip.bench.curves import lossy_codecs
from mnistzip.bench.measure import Measurement, crop
from mnistzip.bench.registry import Kind
from mnistzip.bench.report.label_placement import short
from mnistzip.bench.report.plots import Chart, quality
from mnistzip.bench.report.style import LIGHT, codec_styles
from mnistzip.bench.results import Row
from mnistzip.bench.runner import BenchRun, Outcome
from mnistzip.metrics import psnr
from mnistzip.types import Pixels

REFERENCE = "mnist@q50"  # the sizes of the sheet are close to the size of this setting
PICTURES_MAX = 1_900_000  # characters of pictures in a report, so that it stays below 3 MB
CELL_SIDE = 280  # least side of a sample in the sheet, in pixels
SCREEN_SIDE = 112  # least side of a sample in the page, in pixels of the screen


@dataclass(frozen=True)
class DecodedSamples:
    """The sample images decoded by one lossy codec at one setting, with the bytes of their files."""

    row: Row
    samples: list[Pixels]
    sizes: list[float]


def decoded_samples(run: BenchRun, outcomes: dict[str, Outcome], rows: Sequence[Row]) -> dict[str, list[DecodedSamples]]:
    """The settings of each measured lossy codec, ordered by the mean size of the files."""
    by_key = {row.key: row for row in rows}
    codecs: dict[str, list[DecodedSamples]] = {}
    for job in run.jobs:
        outcome = outcomes[job.key]
        if job.codec.kind is Kind.LOSSY and isinstance(outcome, Measurement):
            setting = DecodedSamples(by_key[job.key], outcome.samples, outcome.sample_sizes.tolist())
            codecs.setdefault(job.codec.name, []).append(setting)
    for settings in codecs.values():
        settings.sort(key=lambda setting: setting.row.mean_bytes or 0)
    return codecs


def equal_size(rows: Sequence[Row]) -> list[Row]:
    """For each lossy codec the row whose mean size is nearest to that of :func:`reference`, on a logarithmic scale."""
    reference_row = reference(rows)
    if reference_row is None:
        return []
    target = _size(reference_row)
    return [min(settings, key=lambda row: abs(math.log(_size(row) / target))) for settings in _by_size(rows)]


def reference(rows: Sequence[Row]) -> Row | None:
    """The row that defines the size for comparisons; None if no lossy codec was measured.

    It is the default quality of mnistzip. If that was not measured, it is the middle setting of the first lossy codec of
    mnistzip, else the smallest setting of all.
    """
    codecs = _by_size(rows)
    default = [row for settings in codecs for row in settings if row.key == REFERENCE]
    middle = [settings[len(settings) // 2] for settings in codecs if settings[0].ours]
    smallest = sorted((settings[0] for settings in codecs), key=_size)
    return next(iter([*default, *middle, *smallest]), None)


def _by_size(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each lossy codec, ordered by the mean size of the files."""
    return [sorted((row for row in rows if row.codec == codec and row.mean_bytes), key=_size) for codec in lossy_codecs(rows)]


def _size(row: Row) -> float:
    """Mean bytes of a file; NaN if not measured."""
    return row.mean_bytes or math.nan


def originals(run: BenchRun) -> list[Pixels]:
    """The sample images, cropped by :func:`crop`."""
    return [crop(run.source.images[index]) for index in run.sample_indices]


def sheet(run: BenchRun, codecs: dict[str, list[DecodedSamples]], rows: Sequence[Row], titled: bool) -> Chart | None:
    """Draw the originals in the first row, then a row for each lossy codec at about equal size, enlarged without smoothing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not codecs:
        return None
    nearest = {row.codec: row for row in equal_size(rows)}
    strips = [("original", f"{len(run.sample_indices)} of {len(run.source.images):,}", LIGHT["ink"], originals(run))]
    styles = codec_styles(rows)
    for name, settings in codecs.items():
        setting = next(setting for setting in settings if setting.row == nearest[name])
        row = setting.row
        figures = f"{row.setting}  {row.mean_bytes:,.1f} B, {quality(row)}".strip()
        strips.append((short(row.label, 30), figures, styles[name].light, setting.samples))
    longest = max(max(image.shape) for image in strips[0][3])
    factor = math.ceil(CELL_SIDE / longest)  # whole squares, so that a viewer does not smooth the pixels
    enlarged = [[image.repeat(factor, axis=0).repeat(factor, axis=1) for image in images] for *_, images in strips]
    side = longest * factor
    gap = side // 14
    picture = _mosaic(enlarged, side, gap)
    left, top, right = 2.25, 0.5 if titled else 0.1, 0.1
    cell = min(0.72, 5.6 / len(run.sample_indices)) if len(run.sample_indices) > 2 else 1.1
    scale = cell / side
    width = max(left + scale * picture.shape[1] + right, 4.6)
    height = top + scale * picture.shape[0] + 0.1
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    position = (left / width, 0.1 / height, scale * picture.shape[1] / width, scale * picture.shape[0] / height)
    axes = figure.add_axes(position)
    extent = (0, picture.shape[1], picture.shape[0], 0)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none", extent=extent)
    axes.set_axis_off()
    for index, (name, figures, colour, _) in enumerate(strips):
        middle = index * (side + gap) + side / 2
        for text, y_offset, weight, text_colour in ((name, 6.5, "bold", colour), (figures, -6.5, "normal", LIGHT["muted"])):
            axes.annotate(text, (0, middle), xytext=(-9, y_offset), textcoords="offset points", ha="right", va="center",
                          fontsize=8.5, fontweight=weight, color=text_colour, annotation_clip=False)  # fmt: skip
    title = "At about equal size"
    if titled:
        figure.text(0.15 / width, 1 - 0.26 / height, title, fontsize=12, fontweight="bold", va="center")
    return Chart("sheet", title, "", figure)


def _mosaic(strips: Sequence[Sequence[Pixels]], side: int, gap: int) -> Pixels:
    """One image, shape ``(H, W)``, with the images in square cells and white gaps between them."""
    out = np.full([count * (side + gap) - gap for count in (len(strips), len(strips[0]))], 255, np.uint8)
    for row, images in enumerate(strips):
        for column, image in enumerate(images):
            height, width = image.shape  # centred in its cell
            top, left = row * (side + gap) + (side - height) // 2, column * (side + gap) + (side - width) // 2
            out[top : top + height, left : left + width] = image
    return out


def pictures(run: BenchRun, codecs: dict[str, list[DecodedSamples]], rows: Sequence[Row]) -> dict[str, Any]:
    """The pictures for the slider of the page, as data for JSON.

    ``images``: ``name``, ``uri``, and ``width`` and ``height`` on the screen. ``codecs``: ``label``, ``ours`` and ``settings``,
    each with ``setting``, ``figures`` (mean bytes and PSNR of all images, as text) and, for each image, ``uris`` and
    ``captions`` (bytes of the file and PSNR of the crop). ``equal``: for each codec the index of the setting of about equal
    size. Images are dropped from the end until the pictures fit into :data:`PICTURES_MAX`.
    """
    crops = originals(run)
    uris = [[[_uri(image) for image in setting.samples] for setting in settings] for settings in codecs.values()]
    original_uris = [_uri(image) for image in crops]
    strips = [original_uris, *(strip for codec_uris in uris for strip in codec_uris)]
    count = len(crops)
    while count > 1 and sum(len(uri) for strip in strips for uri in strip[:count]) > PICTURES_MAX:
        count -= 1
    scale = math.ceil(SCREEN_SIDE / max(max(image.shape) for image in crops))
    images = [
        {"name": run.source.names[index], "uri": uri, "width": scale * image.shape[1], "height": scale * image.shape[0]}
        for index, uri, image in zip(run.sample_indices[:count], original_uris, crops, strict=False)
    ]
    nearest = equal_size(rows)
    out: dict[str, Any] = {"images": images, "codecs": [], "equal": []}
    for settings, codec_uris in zip(codecs.values(), uris, strict=True):
        entries = [
            {
                "setting": setting.row.setting,
                "figures": f"{setting.row.mean_bytes:,.1f} bytes mean, {quality(setting.row)}",
                "uris": strip[:count],
                "captions": [_caption(*sample) for sample in zip(setting.sizes[:count], crops, setting.samples, strict=False)],
            }
            for setting, strip in zip(settings, codec_uris, strict=True)
        ]
        row = settings[0].row
        out["codecs"].append({"name": row.codec, "label": row.label, "ours": row.ours, "settings": entries})
        out["equal"].append(next(index for index, setting in enumerate(settings) if setting.row in nearest))
    return out


def _caption(size: float, original: Pixels, decoded: Pixels) -> str:
    """Bytes of a file and PSNR of a picture, in two lines."""
    value = psnr(original, decoded)
    return f"{size:,.0f} B\n" + (f"{value:.2f} dB" if math.isfinite(value) else "every pixel")


def _uri(image: Pixels) -> str:
    """A PNG of the image as a data URI."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
