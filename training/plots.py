"""What a run looks like while it goes on: a picture of its curves, and TensorBoard's files where that is installed."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SHOWN = ("@1", "@25", "@50", "@75", "@100")  # qualities


def draw(tables: Sequence[Path], picture: Path) -> None:
    """Draw curves from the CSV files of a run's stages, those that exist."""
    runs = {path.stem: _columns(path) for path in tables if path.exists()}
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, pixels = figure.subplots(1, 3)
    for name, columns in runs.items():
        if "held_out" in columns:
            loss.plot(columns["epoch"], columns["held_out"], ".-", label=name)
        if "bytes" in columns:
            pixels.plot(columns["epoch"], columns["bytes"], ".-", label=name)
        at = [quality for quality in SHOWN if f"bytes{quality}" in columns]
        if at:
            sizes, heights = ([columns[f"{what}{quality}"][-1] for quality in at] for what in ("bytes", "dB"))
            rate.plot(sizes, heights, ".-", label=name)
    for axes, title, x, y in (
        (loss, "what held-out images cost", "epoch", "loss"),
        (rate, "rate and distortion now", "ideal bytes", "PSNR, dB"),
        (pixels, "every pixel kept", "epoch", "ideal bytes"),
    ):
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    loss.set_yscale("log")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an axis with nothing on it yet has no scale
        figure.savefig(picture, dpi=110)


def _columns(path: Path) -> dict[str, list[float]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


class Board:
    """Writes numbers for TensorBoard into a run's folder, if it is installed."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder / "tensorboard" / name))

    def add(self, row: dict[str, float], epoch: int) -> None:
        """The numbers of an epoch."""
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, epoch)
            self._writer.flush()
