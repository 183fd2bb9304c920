"""The chosen images as each lossy codec gives them back: a sheet at about equal size, and the pictures of the report."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnistzip.bench.curves import lossy_codecs
from mnistzip.bench.measure import Measured, crop
from mnistzip.bench.registry import Kind
from mnistzip.bench.report.label_placement import short
from mnistzip.bench.report.plots import Chart, quality
from mnistzip.bench.report.style import LIGHT, looks
from mnistzip.bench.results import Row
from mnistzip.bench.runner import Outcome, Run
from mnistzip.metrics import psnr
from mnistzip.types import Pixels

DEFAULT = "mnist@q50"  # what the sheet's sizes are held against
EMBEDDED = 1_900_000  # characters of pictures in a report, so that all of it stays below 3 MB
CELL_SIDE = 280  # pixels of the sheet that a sample takes at least
SHOWN_SIDE = 112  # pixels of the screen that a sample takes at least


@dataclass(frozen=True)
class Setting:
    """One lossy codec at one setting: its row, and the chosen images as it decodes them, with the bytes of their files."""

    row: Row
    samples: list[Pixels]
    sizes: list[float]


def settings(run: Run, outcomes: dict[str, Outcome], rows: Sequence[Row]) -> dict[str, list[Setting]]:
    """Every lossy codec that was measured, its settings from the smallest mean file to the largest."""
    by_key = {row.key: row for row in rows}
    found: dict[str, list[Setting]] = {}
    for job in run.jobs:
        outcome = outcomes[job.key]
        if job.codec.kind is Kind.LOSSY and isinstance(outcome, Measured):
            setting = Setting(by_key[job.key], outcome.samples, outcome.sample_sizes.tolist())
            found.setdefault(job.codec.name, []).append(setting)
    for of_codec in found.values():
        of_codec.sort(key=lambda setting: setting.row.mean_bytes or 0)
    return found


def equal_size(rows: Sequence[Row]) -> list[Row]:
    """The row of each lossy codec whose mean file is nearest in size to that of :func:`reference`, by its logarithm."""
    held_against = reference(rows)
    if held_against is None:
        return []
    target = _size(held_against)
    return [min(every, key=lambda row: abs(math.log(_size(row) / target))) for every in _by_size(rows)]


def reference(rows: Sequence[Row]) -> Row | None:
    """Our default quality; where it was not measured the middle setting of our first lossy codec, or the smallest of all.

    None if no lossy codec was measured.
    """
    codecs = _by_size(rows)
    default = [row for every in codecs for row in every if row.key == DEFAULT]
    middle = [every[len(every) // 2] for every in codecs if every[0].ours]
    smallest = sorted((every[0] for every in codecs), key=_size)
    return next(iter([*default, *middle, *smallest]), None)


def _by_size(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each lossy codec, from the smallest mean file to the largest."""
    return [sorted((row for row in rows if row.codec == codec and row.mean_bytes), key=_size) for codec in lossy_codecs(rows)]


def _size(row: Row) -> float:
    return row.mean_bytes or math.nan


def originals(run: Run) -> list[Pixels]:
    """The chosen images, as :func:`crop` shows them."""
    return [crop(run.source.images[at]) for at in run.chosen]


def sheet(run: Run, codecs: dict[str, list[Setting]], rows: Sequence[Row], titled: bool) -> Chart | None:
    """Originals in the first row, then one row for each lossy codec, all of about equal size; every pixel is a square."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not codecs:
        return None
    nearest = {row.codec: row for row in equal_size(rows)}
    strips = [("original", f"{len(run.chosen)} of {len(run.source.images):,}", LIGHT["ink"], originals(run))]
    look = looks(rows)
    for name, of_codec in codecs.items():
        setting = next(setting for setting in of_codec if setting.row == nearest[name])
        row = setting.row
        told = f"{row.setting}  {row.mean_bytes:,.1f} B, {quality(row)}".strip()
        strips.append((short(row.label, 30), told, look[name].light, setting.samples))
    longest = max(max(image.shape) for image in strips[0][3])
    factor = math.ceil(CELL_SIDE / longest)  # whole squares, so that no viewer can smooth them away
    enlarged = [[image.repeat(factor, axis=0).repeat(factor, axis=1) for image in images] for *_, images in strips]
    side = longest * factor
    gap = side // 14
    picture = _mosaic(enlarged, side, gap)
    left, top, right = 2.25, 0.5 if titled else 0.1, 0.1
    cell = min(0.72, 5.6 / len(run.chosen)) if len(run.chosen) > 2 else 1.1
    scale = cell / side
    width = max(left + scale * picture.shape[1] + right, 4.6)
    height = top + scale * picture.shape[0] + 0.1
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    place = (left / width, 0.1 / height, scale * picture.shape[1] / width, scale * picture.shape[0] / height)
    axes = figure.add_axes(place)
    extent = (0, picture.shape[1], picture.shape[0], 0)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none", extent=extent)
    axes.set_axis_off()
    for at, (name, told, colour, _) in enumerate(strips):
        middle = at * (side + gap) + side / 2
        for text, up, strength, ink in ((name, 6.5, "bold", colour), (told, -6.5, "normal", LIGHT["muted"])):
            axes.annotate(text, (0, middle), xytext=(-9, up), textcoords="offset points", ha="right", va="center",
                          fontsize=8.5, fontweight=strength, color=ink, annotation_clip=False)  # fmt: skip
    title = "At about equal size"
    if titled:
        figure.text(0.15 / width, 1 - 0.26 / height, title, fontsize=12, fontweight="bold", va="center")
    return Chart("sheet", title, "", figure)


def _mosaic(strips: Sequence[Sequence[Pixels]], side: int, gap: int) -> Pixels:
    """Images in rows and columns of cells of ``side``, white between them, shape ``(H, W)``."""
    out = np.full([count * (side + gap) - gap for count in (len(strips), len(strips[0]))], 255, np.uint8)
    for row, images in enumerate(strips):
        for column, image in enumerate(images):
            height, width = image.shape  # in the middle of its cell
            top, left = row * (side + gap) + (side - height) // 2, column * (side + gap) + (side - width) // 2
            out[top : top + height, left : left + width] = image
    return out


def pictures(run: Run, codecs: dict[str, list[Setting]], rows: Sequence[Row]) -> dict[str, Any]:
    """What the page's slider shows, ready for JSON.

    ``images``: ``name``, ``uri``, and the ``width`` and ``height`` to show it at. ``codecs``: ``label``, ``ours`` and
    ``settings``, each with ``setting``, ``figures`` (mean bytes and PSNR of all images, as text) and, in the order of the
    images, ``uris`` and ``captions`` (bytes of the file and PSNR of what is shown). ``equal``: for each codec the index of the
    setting of about equal size.
    Images are left out from the end until the pictures stay below :data:`EMBEDDED`.
    """
    shown = originals(run)
    uris = [[[_uri(image) for image in setting.samples] for setting in of_codec] for of_codec in codecs.values()]
    first = [_uri(image) for image in shown]
    every = [first, *(setting for of_codec in uris for setting in of_codec)]
    count = len(shown)
    while count > 1 and sum(len(uri) for strip in every for uri in strip[:count]) > EMBEDDED:
        count -= 1
    scale = math.ceil(SHOWN_SIDE / max(max(image.shape) for image in shown))
    images = [
        {"name": run.source.names[at], "uri": uri, "width": scale * image.shape[1], "height": scale * image.shape[0]}
        for at, uri, image in zip(run.chosen[:count], first, shown, strict=False)
    ]
    nearest = equal_size(rows)
    out: dict[str, Any] = {"images": images, "codecs": [], "equal": []}
    for of_codec, uris_of in zip(codecs.values(), uris, strict=True):
        told = [
            {
                "setting": setting.row.setting,
                "figures": f"{setting.row.mean_bytes:,.1f} bytes mean, {quality(setting.row)}",
                "uris": strip[:count],
                "captions": [_caption(*these) for these in zip(setting.sizes[:count], shown, setting.samples, strict=False)],
            }
            for setting, strip in zip(of_codec, uris_of, strict=True)
        ]
        row = of_codec[0].row
        out["codecs"].append({"name": row.codec, "label": row.label, "ours": row.ours, "settings": told})
        out["equal"].append(next(at for at, setting in enumerate(of_codec) if setting.row in nearest))
    return out


def _caption(size: float, original: Pixels, decoded: Pixels) -> str:
    value = psnr(original, decoded)
    return f"{size:,.0f} B\n" + (f"{value:.2f} dB" if math.isfinite(value) else "every pixel")


def _uri(image: Pixels) -> str:
    """A PNG of the image as a data URI."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
