"""Charts of a benchmark: quality against size, compression ratios, speed against size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mnistzip.bench.curves import lossy_codecs
from mnistzip.bench.report.label_placement import Label, bytes_axis, layout_labels, log_axis, rate, short
from mnistzip.bench.report.style import LIGHT, CodecStyle, codec_styles
from mnistzip.bench.report.tables import decibels, named
from mnistzip.bench.results import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.6  # inches
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # part of matplotlib, so that charts are the same everywhere
    "font.size": 9,
    "text.parse_math": False,  # a $ in a name does not start a formula
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.edgecolor": LIGHT["muted"],
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.facecolor": LIGHT["paper"],
    "figure.facecolor": LIGHT["paper"],
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.7,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "mnistzip",
}


@dataclass
class Chart:
    """A drawn chart.

    Attributes:
        name: name of its files.
        title, note: texts; the note explains how to read the chart and what is missing.
        figure: the drawing.
        tips: texts of the marks; the id of a mark in the SVG is ``tip-`` and its index here.
    """

    name: str
    title: str
    note: str
    figure: Figure
    tips: list[str] = field(default_factory=list)

    def gid(self, row: Row) -> str:
        """Add the text of a new mark that stands for this row, and return its id."""
        self.tips.append(tip(row))
        return f"tip-{len(self.tips) - 1}"


@contextmanager
def styled() -> Iterator[None]:
    """The style of the charts, independent of any matplotlibrc. Draw and save figures within this context."""
    import warnings

    from matplotlib import style

    with style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")  # names of users may hold any character
        yield


def charts(rows: Sequence[Row], titled: bool) -> list[Chart]:
    """All charts that have something to draw; ``titled`` also draws the title into the figure."""
    drawn = [chart(rows, titled) for chart in (distortion, ratios, speeds)]
    return [chart for chart in drawn if chart is not None]


def tip(row: Row) -> str:
    """The figures of a row in lines; the first line is its name."""
    smaller = [f"{value:.2f}x {reference}" for value, reference in ((row.ratio_raw, "raw"), (row.ratio_png, "PNG")) if value]
    similar = "" if row.ssim is None or row.psnr_db is None else f", SSIM {row.ssim:.3f}"
    rates = (("encode", row.encode_per_second), ("decode", row.decode_per_second))
    speed = (f"{verb} {rate(value)}/s" for verb, value in rates if value)
    lines = [named(row), f"{row.mean_bytes:,.1f} bytes mean", quality(row) + similar, ", ".join(smaller), ", ".join(speed)]
    return "\n".join(line for line in lines if line)


def quality(row: Row) -> str:
    """PSNR of a row as text."""
    return "every pixel kept" if row.psnr_db is None else f"{decibels(row)} dB"


def distortion(rows: Sequence[Row], titled: bool) -> Chart | None:
    """PSNR against mean bytes of every lossy codec; None if there is no finite PSNR."""
    curves = {}
    for codec in lossy_codecs(rows):
        points = [row for row in rows if row.codec == codec and row.mean_bytes and row.psnr_db is not None]
        if points:
            curves[codec] = sorted(points, key=lambda row: row.mean_bytes or 0)
    if not curves:
        return None
    exact = [row for row in rows if row.kind == "lossy" and row.mean_bytes and row.psnr_db is None]
    note = "Up and to the left is better: more quality from fewer bytes."
    if exact:
        note += f" Without a point, as nothing was lost: {', '.join(map(named, exact))}."
    chart, (axes,) = _chart("rate-distortion", "Quality against size", note, 4.9, titled)
    styles = codec_styles(rows)
    bytes_axis(axes.xaxis, [row.mean_bytes or 1 for points in curves.values() for row in points])
    lines, labels = [], []
    for codec, points in reversed(curves.items()):  # codecs of mnistzip are drawn last, on top
        ours = points[0].ours
        positions = [(row.mean_bytes or 0, row.psnr_db or 0) for row in points]
        _line(axes, positions, styles[codec], 2.2 if ours else 1.2)
        for row, (x, y) in zip(points, positions, strict=True):
            _mark(axes, x, y, styles[codec], chart.gid(row), 7 if ours else 5.5)
        lines.append(positions)
        labels.append(Label(short(points[0].label), positions[::-1], styles[codec].light, ours))
    axes.set_xlabel("bytes of an image's file, mean")
    axes.set_ylabel("PSNR, dB")
    axes.margins(y=0.09)
    axes.autoscale_view()
    layout_labels(axes, labels[::-1], [point for line in lines for point in line], lines)
    return chart


def ratios(rows: Sequence[Row], titled: bool) -> Chart | None:
    """Compression ratio against PNG files, or against raw pixels if PNG was not measured."""
    field = "ratio_png" if any(row.ratio_png for row in rows) else "ratio_raw"
    shown = [row for row in rows if row.kind != "lossy" and getattr(row, field)]
    for codec, first in lossy_codecs(rows).items():
        if first.ours:
            shown += extremes_and_median([row for row in rows if row.codec == codec and getattr(row, field)])
    if not shown:
        return None
    value = {row.key: float(getattr(row, field)) for row in shown}
    shown.sort(key=lambda row: value[row.key])
    against = "PNG" if field == "ratio_png" else "raw pixels"
    note = f"{against} is 1; longer to the right is smaller files. Solid codecs keep all images in one file."
    if any(row.kind == "lossy" for row in shown):
        note += " Lossy files of mnistzip stand with their PSNR, at the smallest, middle and largest setting."
    title = f"Times smaller than {against}"
    chart, (axes,) = _chart("ratios", title, note, 1.0 + 0.235 * len(shown), titled, left=2.75, grid="x")
    styles = codec_styles(rows)
    low, high = min(0.8, *value.values()), max(1.25, *value.values())
    octaves = range(math.ceil(math.log2(low)) - 1, math.floor(math.log2(high)) + 2)
    room = (high / low) ** 0.32  # for the texts at the ends of the bars
    ticks = {2.0**k: f"{2**k}x" if k >= 0 else f"1/{2**-k}x" for k in octaves}
    limits = (low / (room**0.5 if low < 0.8 else 1), high * room)
    log_axis(axes.xaxis, limits, {tick: text for tick, text in ticks.items() if limits[0] <= tick <= 1.5 * high})
    for y, row in enumerate(shown):
        ratio = value[row.key]
        (bar,) = axes.barh(y, ratio - 1, 0.72, left=1, color=styles[row.codec].light)
        bar.set_gid(chart.gid(row))
        text = f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"
        if row.kind == "lossy":
            text += ", lossless" if row.psnr_db is None else f", {row.psnr_db:.1f} dB"
        side = 1 if ratio >= 1 else -1
        axes.annotate(text, (ratio, y), xytext=(4 * side, 0), textcoords="offset points", fontsize=8, va="center",
                      ha="left" if side > 0 else "right", fontweight="bold" if row.ours else "normal")  # fmt: skip
    axes.axvline(1, color=LIGHT["muted"], linewidth=0.9)
    axes.set_yticks(range(len(shown)), [short(named(row)) for row in shown])
    for label, row in zip(axes.get_yticklabels(), shown, strict=True):
        label.set_color(styles[row.codec].light if row.ours else LIGHT["ink"])
        label.set_fontweight("bold" if row.ours else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    return chart


def extremes_and_median(rows: Sequence[Row]) -> list[Row]:
    """The settings of one codec with the smallest, the median and the largest mean file."""
    by_size = sorted(rows, key=lambda row: row.mean_bytes or 0)
    return [by_size[index] for index in sorted({0, len(by_size) // 2, len(by_size) - 1})] if by_size else []


def speeds(rows: Sequence[Row], titled: bool) -> Chart | None:
    """Mean bytes against images encoded and decoded per second of processor time."""
    timed = [row for row in rows if row.mean_bytes and (row.encode_per_second or row.decode_per_second)]
    if not timed:
        return None
    note = "Down and to the right is better: smaller and faster. A line joins the settings of one codec."
    chart, panels = _chart("speed", "Speed against size", note, 9.8, titled, panels=2)
    styles = codec_styles(rows)
    for axes, name, verb in zip(panels, ("encode_per_second", "decode_per_second"), ("encoded", "decoded"), strict=True):
        shown = [row for row in timed if getattr(row, name)]
        bytes_axis(axes.yaxis, [row.mean_bytes or 1 for row in timed])
        axes.set_ylabel("bytes of an image, mean")
        axes.set_xlabel(f"images {verb} per second of processor time")
        if shown:
            _speed_axis(axes, [float(getattr(row, name)) for row in shown])
            _speed(chart, axes, shown, name, styles)
    return chart


def _speed(chart: Chart, axes: Axes, rows: Sequence[Row], name: str, styles: dict[str, CodecStyle]) -> None:
    """Draw one panel of the chart of speeds; ``name`` is the field of the speed."""
    labels, marks, lines = [], [], []
    for codec in dict.fromkeys(row.codec for row in reversed(rows)):  # codecs of mnistzip are drawn last, on top
        points = sorted((row for row in rows if row.codec == codec), key=lambda row: row.mean_bytes or 0)
        positions = [(float(getattr(row, name)), row.mean_bytes or 0) for row in points]
        ours = points[0].ours
        _line(axes, positions, styles[codec], 1.4 if ours else 0.8)
        for row, (x, y) in zip(points, positions, strict=True):
            _mark(axes, x, y, styles[codec], chart.gid(row), 7 if ours else 5)
        colour = styles[codec].light if ours or points[0].kind == "lossy" else LIGHT["muted"]
        labels.append(Label(short(points[0].label), positions, colour, ours))
        marks += positions
        lines.append(positions)
    layout_labels(axes, labels[::-1], marks, lines)


def _speed_axis(axes: Axes, values: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with ticks at powers of ten."""
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = 0.06 * (high - low) + 0.2
    powers = range(math.floor(low - pad), math.ceil(high + pad) + 1)
    ticks = {10.0**power: rate(10.0**power) for power in powers if low - pad <= power <= high + pad}
    if len(ticks) < 2:
        steps = (part * 10.0**power for power in powers for part in (1, 2, 5))
        ticks = {step: rate(step) for step in steps if low - pad <= math.log10(step) <= high + pad}
    log_axis(axes.xaxis, (10 ** (low - pad), 10 ** (high + pad)), ticks)


def _chart(
    name: str, title: str, note: str, height: float, titled: bool, panels: int = 1, left: float = 0.75, grid: str = "both"
) -> tuple[Chart, list[Axes]]:
    """A chart of fixed size in inches, and its axes from top to bottom. The margins do not depend on the content."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    top = 0.45 if titled else 0.12
    height += top
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left / WIDTH, 0.55 / height, 1 - 0.15 / WIDTH, 1 - top / height, hspace=0.2)
    axes = list(figure.subplots(panels, 1, squeeze=False)[:, 0])
    for panel in axes:
        panel.grid(visible=False)
        panel.grid(visible=True, axis=grid)
    if titled:
        figure.text(0.15 / WIDTH, 1 - 0.28 / height, title, fontsize=12, fontweight="bold", va="center")
    return Chart(name, title, note, figure), axes


def _line(axes: Axes, points: Sequence[tuple[float, float]], style: CodecStyle, width: float) -> None:
    """Draw the line of a codec."""
    axes.plot(*zip(*points, strict=True), color=style.light, linewidth=width, linestyle=style.dash, solid_capstyle="round")


def _mark(axes: Axes, x: float, y: float, style: CodecStyle, gid: str, size: float) -> None:
    """Draw the mark of a row."""
    axes.plot([x], [y], marker=style.marker, markersize=size, color=style.light, markeredgecolor=LIGHT["paper"],
              markeredgewidth=0.8, linestyle="none", gid=gid)  # fmt: skip
