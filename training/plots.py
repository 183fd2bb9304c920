"""Curves of a training run: a picture, and event files for TensorBoard if it is installed."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

QUALITY_SUFFIXES = ("@1", "@25", "@50", "@75", "@100")  # of columns, one for each quality of the probe


def draw(tables: Sequence[Path], picture: Path) -> None:
    """Draw the curves of a run.

    Args:
        tables: CSV files of the stages; missing files are skipped.
        picture: path of the PNG file.
    """
    runs = {path.stem: _columns(path) for path in tables if path.exists()}
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, pixels = figure.subplots(1, 3)
    for name, columns in runs.items():
        if "held_out" in columns:
            loss.plot(columns["epoch"], columns["held_out"], ".-", label=name)
        if "bytes" in columns:
            pixels.plot(columns["epoch"], columns["bytes"], ".-", label=name)
        suffixes = [suffix for suffix in QUALITY_SUFFIXES if f"bytes{suffix}" in columns]
        if suffixes:
            sizes, psnrs = ([columns[f"{unit}{suffix}"][-1] for suffix in suffixes] for unit in ("bytes", "dB"))
            rate.plot(sizes, psnrs, ".-", label=name)
    for axes, title, x, y in (
        (loss, "loss of held-out images", "epoch", "loss"),
        (rate, "rate and distortion, last epoch", "ideal bytes", "PSNR, dB"),
        (pixels, "lossless", "epoch", "ideal bytes"),
    ):
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    loss.set_yscale("log")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty axes have no scale
        figure.savefig(picture, dpi=110)


def _columns(path: Path) -> dict[str, list[float]]:
    """The columns of a CSV file by name."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


class Board:
    """Writes the results of a stage for TensorBoard into the run's folder, if TensorBoard is installed."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder / "tensorboard" / name))

    def add(self, row: dict[str, float], epoch: int) -> None:
        """Write the results of an epoch."""
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, epoch)
            self._writer.flush()
