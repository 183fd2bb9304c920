"""Curves of a run while it trains: an image file, and files for TensorBoard if it is installed."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SHOWN = ("@1", "@25", "@50", "@75", "@100")  # qualities


def draw(tables: Sequence[Path], picture: Path) -> None:
    """Draw the curves of a run from the CSV files of its stages, as far as they exist."""
    runs = {path.stem: _columns(path) for path in tables if path.exists()}
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, pixels = figure.subplots(1, 3)
    for name, columns in runs.items():
        if "held_out" in columns:
            loss.plot(columns["epoch"], columns["held_out"], ".-", label=name)
        if "bytes" in columns:
            pixels.plot(columns["epoch"], columns["bytes"], ".-", label=name)
        qualities = [quality for quality in SHOWN if f"bytes{quality}" in columns]
        if qualities:
            sizes, psnrs = ([columns[f"{field}{quality}"][-1] for quality in qualities] for field in ("bytes", "dB"))
            rate.plot(sizes, psnrs, ".-", label=name)
    for axes, title, x, y in (
        (loss, "held-out images", "epoch", "loss"),
        (rate, "rate and distortion", "ideal bytes", "PSNR, dB"),
        (pixels, "lossless", "epoch", "ideal bytes"),
    ):
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    loss.set_yscale("log")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a logarithmic axis without data
        figure.savefig(picture, dpi=110)


def _columns(path: Path) -> dict[str, list[float]]:
    """The columns of a CSV file by their names."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


class Board:
    """Writes figures for TensorBoard into the folder of a run, if TensorBoard is installed."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder / "tensorboard" / name))

    def add(self, row: dict[str, float], epoch: int) -> None:
        """Add the figures of an epoch."""
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, epoch)
            self._writer.flush()
