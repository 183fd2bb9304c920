"""Labels next to points, placed so that they do not overlap; and logarithmic axes with readable ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

DISTANCES = (7.0, 13.0, 20.0, 30.0, 44.0, 60.0)  # from the mark to the label, in points (1/72 inch)
LEADER_DISTANCE = 16.0  # points; a label farther from its mark gets a thin line
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7))
LABEL_LENGTH_MAX = 34

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels


@dataclass(frozen=True)
class Label:
    """A label next to one of its anchors, ``(x, y)`` in data units; the first anchor is preferred."""

    text: str
    anchors: Sequence[Point]
    colour: str
    strong: bool = False


def short(text: str, max_length: int = LABEL_LENGTH_MAX) -> str:
    """A name shortened to fit next to a point."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def layout_labels(axes: Axes, labels: Sequence[Label], marks: Sequence[Point], lines: Sequence[Sequence[Any]]) -> None:
    """Draw each label at the position where it covers least. The limits and the size of the axes must be final.

    Args:
        axes: the axes to draw in.
        labels: the labels, most important first.
        marks: all drawn points, in data units.
        lines: the drawn lines, each as a list of points.
    """
    figure = axes.figure
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # the Agg canvas has it
    unit = renderer.points_to_pixels(1.0)
    obstacles = [_around(x, y, 4 * unit) for x, y in axes.transData.transform(np.reshape(marks, (-1, 2)))]
    for line in lines:
        obstacles += [_around(x, y, 1.5 * unit) for x, y in _along(axes.transData.transform(np.asarray(line)), 6 * unit)]
    frame = axes.get_window_extent(renderer)
    limits = (frame.x0 + 2, frame.y0 + 2, frame.x1 - 2, frame.y1 - 2)
    placed: list[Box] = []
    for label in labels:
        probe = axes.text(0, 0, label.text, fontsize=8.5, fontweight="bold" if label.strong else "normal")
        extent = probe.get_window_extent(renderer)
        probe.remove()
        candidates = _candidates(axes, label, (extent.width, 0.8 * extent.height), unit, limits, obstacles, placed)
        _, anchor, (dx, dy), box = min(candidates, key=lambda candidate: candidate[0])
        placed.append(box)
        obstacles += [box, *_leader(axes, anchor, (dx, dy), unit)]
        line_start = (0.0 if dx > 0 else 1.0 if dx < 0 else 0.5, 0.5)  # the side of the label where its line starts
        leader = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": line_start}
        axes.annotate(
            label.text,
            anchor,
            xytext=(dx, dy),
            textcoords="offset points",
            ha="left" if dx > 0 else "right" if dx < 0 else "center",
            va="center",
            fontsize=8.5,
            fontweight="bold" if label.strong else "normal",
            color=label.colour,
            arrowprops=leader if math.hypot(dx, dy) > LEADER_DISTANCE else None,
        )


def _candidates(
    axes: Axes, label: Label, size: Point, unit: float, limits: Box, obstacles: list[Box], placed: list[Box]
) -> list[tuple[float, Point, Point, Box]]:
    """Cost, anchor, offset in points and box of every possible position of a label."""
    width, height = size
    candidates = []
    for order, anchor in enumerate(label.anchors):
        x, y = axes.transData.transform(anchor)
        for side, (right, up) in enumerate(DIRECTIONS):
            for distance in DISTANCES:
                dx, dy = right * distance, up * distance
                left = x + dx * unit - (0 if dx > 0 else width if dx < 0 else width / 2)
                middle = y + dy * unit
                box = (left, middle - height / 2, left + width, middle + height / 2)
                covered = sum(_overlap(box, other) for other in obstacles)
                covered += sum(_overlap(part, other) for part in _leader(axes, anchor, (dx, dy), unit) for other in placed)
                outside = width * height - _overlap(box, limits)
                cost = 10 * covered / unit**2 + 50 * outside / unit**2 + 3 * distance + 4 * order + side
                candidates.append((cost, anchor, (dx, dy), box))
    return candidates


def _leader(axes: Axes, anchor: Point, offset: Point, unit: float) -> list[Box]:
    """Boxes along the line from a mark to its label; none if there is no line."""
    if math.hypot(*offset) <= LEADER_DISTANCE:
        return []
    start = axes.transData.transform(anchor)
    end = start + unit * np.array(offset)
    return [_around(x, y, unit) for x, y in _along(np.array([start, end]), 3 * unit)]


def _around(x: float, y: float, radius: float) -> Box:
    """A square around a point."""
    return (x - radius, y - radius, x + radius, y + radius)


def _overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _along(points: NDArray[np.float64], step: float) -> list[Point]:
    """Points at most ``step`` apart on a line; ``points`` has shape ``(N, 2)``."""
    out: list[Point] = []
    for a, b in pairwise(points):
        count = max(1, math.ceil(math.dist(a, b) / step))
        out += [tuple(a + (b - a) * t) for t in np.linspace(0, 1, count, endpoint=False)]
    return out


def bytes_axis(axis: Axis, values: Sequence[float]) -> None:
    """Make an axis of bytes logarithmic around ``values``, with ticks 16, 32, 64, ...; closer ticks for a small range."""
    low, high = math.log2(min(values)), math.log2(max(values))
    pad = 0.07 * (high - low) + 0.25
    low, high = low - pad, high + pad
    step = max(1, math.ceil((high - low) / 9))
    ticks = [2.0**power for power in range(math.ceil(low), math.floor(high) + 1, step)]
    if len(ticks) < 3:
        parts = (1, 1.25, 1.5, 1.75)
        ticks = [part * 2.0**power for power in range(math.floor(low), math.ceil(high) + 1) for part in parts]
    log_axis(axis, (2**low, 2**high), {tick: byte_size(tick) for tick in ticks if low <= math.log2(tick) <= high})


def log_axis(axis: Axis, limits: tuple[float, float], ticks: dict[float, str]) -> None:
    """Make an axis logarithmic with these ticks only."""
    axes = axis.axes
    horizontal = axis is axes.xaxis
    (axes.set_xscale if horizontal else axes.set_yscale)("log", base=2)
    (axes.set_xlim if horizontal else axes.set_ylim)(*limits)
    axis.set_ticks(list(ticks), labels=list(ticks.values()))
    axis.set_ticks([], minor=True)


def byte_size(value: float) -> str:
    """A short text for bytes: 16, 4 KiB, 1.5 MiB."""
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.4g}"


def rate(value: float) -> str:
    """A short text for images per second: 20, 4.1k, 2.9M."""
    if value < 100:
        return f"{value:.3g}"
    return f"{value:.0f}" if value < 1000 else f"{value / 1000:.3g}k" if value < 1e6 else f"{value / 1e6:.3g}M"
