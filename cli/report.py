"""What ``mnistzip compress`` says of its results: sizes and PSNR, and what to try where a result is poor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click

from mnistzip import api, metrics
from mnistzip.archive.entry_names import shown
from mnistzip.io import image_file
from mnistzip.models import registry
from mnistzip.models.typical_quality import POOR_DB, typical_psnr
from mnistzip.types import Pixels

LARGE = "larger than the default decode limit: decompress with --max-pixels"
LARGE_PICTURE = 64 * 64  # pixels from which on WebP is worth a try
FAR_BELOW = "are far below what quality {} gives on pictures that the models know"
BUDGET_PSNR = 15.0  # dB below which a picture that fits a budget is hardly recognizable


@dataclass(frozen=True)
class Style:
    """How much is said of each image, and where."""

    to_stderr: bool
    as_json: bool
    quiet: bool
    verbose: bool
    brief: bool
    bare: bool


class Report:
    """Sums over the images of one call, a line for each of them, and advice.

    Attributes:
        failed: images that could not be compressed.
    """

    def __init__(self, style: Style, options: dict[str, Any]) -> None:
        self._style = style
        self._options = options
        self._count = self._raw = self._png = self._size = self._poor = self._large_pictures = 0
        self._error = 0.0
        self.failed = 0

    def add(self, source: str, output: str, pixels: Pixels, coded: bytes, decoded: Pixels) -> None:
        """Report on one image and its file."""
        style = self._style
        if style.quiet:
            return
        error = metrics.mse(pixels, decoded)
        decibels = metrics.psnr_of_mse(error)
        png = image_file.png_bytes(pixels)
        row = {
            "input": source,
            "output": output,
            "raw_bytes": pixels.size,
            "png_bytes": png,
            "bytes": len(coded),
            "ratio": round(pixels.size / len(coded), 3),
            "ratio_vs_png": round(png / len(coded), 3),
            "bpp": round(metrics.bpp(len(coded), pixels.size), 4),
            "psnr_db": round(decibels, 3) if error else None,
        }
        self._count += 1
        self._raw += pixels.size
        self._png += png
        self._size += len(coded)
        self._error += error * pixels.size
        if style.as_json:
            click.echo(json.dumps(row), err=style.to_stderr)
        elif not style.brief or style.verbose:
            what = f"{row['raw_bytes']} bytes raw, {row['png_bytes']} as PNG -> {row['bytes']} bytes"
            how = f"{row['ratio']:.1f}x raw, {row['ratio_vs_png']:.1f}x PNG, {row['bpp']:.3f} bpp, {_decibels(decibels)}"
            click.echo(f"{source} -> {output}\n  {what}: {how}", err=style.to_stderr)
        if style.bare:
            return
        if not api.decodes_unasked(coded, self._options["model"]):
            click.echo(f"mnistzip: {output}: {LARGE} {pixels.size}", err=True)
        self._advise(source, api.info(coded), decibels, pixels.size)

    def _advise(self, source: str, info: api.Info, decibels: float, pixels: int) -> None:
        """Say what to try where a result is poor, or count it."""
        if self._style.verbose:
            click.echo(_described(info), err=self._style.to_stderr)
        problem = self._problem(info, decibels)
        if problem is None:
            return
        self._poor += 1
        self._large_pictures += pixels >= LARGE_PICTURE
        if not self._style.brief:
            click.echo(f"mnistzip: {shown(source)}: {problem}. {self._way_out()}", err=True)

    def _problem(self, info: api.Info, decibels: float) -> str | None:
        """What is wrong with a result, if it is poor."""
        least, most = self._options["min_psnr"], self._options["max_bytes"]
        if least is not None:
            lossless = info.mode == "lossless" and info.tiles
            return f"no lossy quality reaches {least:g} dB, so every pixel is kept" if lossless else None
        if info.mode == "lossless" or info.quality is None:
            return None
        if most is not None:
            return f"{most} bytes hold this picture at {decibels:.1f} dB only" if decibels < BUDGET_PSNR else None
        return poor_quality(info.model, info.quality, decibels)

    def _way_out(self) -> str:
        if self._options["min_psnr"] is not None:
            ways = ["a lower --min-psnr"]
        elif self._options["max_bytes"] is not None:
            ways = ["a higher --max-bytes"]
        else:
            ways = ["a higher -q", "--lossless"]
        return way_out(ways, self._options["model"], self._large_pictures > 0)

    def end(self) -> None:
        """Sums over all images, where there are several."""
        style = self._style
        if not style.brief or style.quiet:
            return
        if self._poor:
            budget = self._options["min_psnr"] is not None or self._options["max_bytes"] is not None
            problem = "cannot sensibly have what was asked for" if budget else FAR_BELOW.format(self._options["quality"])
            click.echo(f"mnistzip: {self._poor} of {self._count} images {problem}. {self._way_out()}", err=True)
        if style.as_json:
            return
        if self._count:
            quality = _decibels(metrics.psnr_of_mse(self._error / self._raw))
            ratios = f"{self._raw / self._size:.1f}x raw, {self._png / self._size:.1f}x PNG"
            rates = f"{ratios}, {metrics.bpp(self._size, self._raw):.3f} bpp, {quality}"
            each = self._size / self._count
            click.echo(f"{self._count} images: {self._size} bytes ({each:.1f} each), {rates}", err=style.to_stderr)
        if self.failed:
            click.echo(f"{self.failed} failed", err=True)


def poor_quality(model: str, quality: int, decibels: float) -> str | None:
    """What is wrong with a PSNR, if it is far below what a shipped model gives at a quality."""
    typical = typical_psnr(model, quality)
    if typical is None or decibels >= typical - POOR_DB:
        return None
    return f"{decibels:.1f} dB, where quality {quality} of {model} gives about {typical:.0f} dB on pictures that it knows"


def way_out(ways: list[str], model: str, large: bool) -> str:
    """What to try where a result is poor."""
    if model in registry.SHIPPED:
        ways = ["--model auto", *ways]
    ways = [*ways, "a model of your own (mnistzip train)", *(["WebP, as for large photographs"] if large else [])]
    return f"Try {', '.join(ways[:-1])} or {ways[-1]}"


def _described(info: api.Info) -> str:
    """What is in a file."""
    parts = f"header {info.header_bytes} + payload {info.payload_bytes} bytes"
    size = f"{info.width}x{info.height}" + (f" in {info.tiles} tiles" if info.tiles > 1 else "")
    quality = f", quality {info.quality}" if info.quality else ""
    return f"  {info.mode}, model {info.model}{quality}, {size}, {parts}"


def _decibels(value: float) -> str:
    return "identical" if value == float("inf") else f"{value:.2f} dB"
