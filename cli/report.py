"""Reports of ``mnistzip compress``: sizes and PSNR of files, archives and shards, and advice on poor results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from mnistzip import api, metrics
from mnistzip.archive.entry_names import shown
from mnistzip.io import image_file
from mnistzip.limits import PIXELS_MAX
from mnistzip.models import registry
from mnistzip.models.typical_quality import POOR_DB, typical_psnr
from mnistzip.options import EncodeOptions, ModelName
from mnistzip.types import Pixels

if TYPE_CHECKING:
    from mnistzip.archive.writer import ArchiveWriter
    from mnistzip.plugins.sharding import Summary

LARGE = "larger than the default decode limit: decompress with --max-pixels"
LARGE_PICTURE = 64 * 64  # pixels from which WebP is often better
FAR_BELOW = "are far below the usual PSNR of quality {} on pictures that the model knows"
BUDGET_PSNR = 15.0  # dB; below it a picture is hardly recognizable


class Sizes(NamedTuple):
    """Bytes before and after compression, and the PSNR.

    Attributes:
        raw: one byte for each pixel.
        coded: after compression.
        decibels: PSNR, infinite for identical pixels; None if that was not measured.
        png: as PNG; None if that was not measured.
    """

    raw: int
    coded: int
    decibels: float | None
    png: int | None = None

    @property
    def row(self) -> dict[str, int | float | None]:
        """The fields of the JSON report."""
        raw, png, coded = self.raw, self.png, self.coded
        return {
            "raw_bytes": raw,
            "png_bytes": png,
            "bytes": coded,
            "ratio": round(raw / coded, 3) if coded else None,
            "ratio_vs_png": round(png / coded, 3) if png is not None and coded else None,
            "bpp": round(metrics.bpp(coded, raw), 4) if raw else None,
            "psnr_db": round(self.decibels, 3) if self.decibels not in (None, float("inf")) else None,
        }

    @property
    def rates(self) -> str:
        """Ratios, bits per pixel and PSNR, for people."""
        parts = [f"{self.raw / self.coded:.1f}x raw"]
        if self.png is not None:
            parts.append(f"{self.png / self.coded:.1f}x PNG")
        parts.append(f"{metrics.bpp(self.coded, self.raw):.3f} bpp")
        if self.decibels is not None:
            parts.append("identical" if self.decibels == float("inf") else f"{self.decibels:.2f} dB")
        return ", ".join(parts)


class Style(NamedTuple):
    """How much is reported on each image, and where.

    Attributes:
        to_stderr: not to stdout, which takes the file.
        brief: sums only, for many images.
        bare: the files are streams without a header.
    """

    to_stderr: bool
    as_json: bool
    quiet: bool
    verbose: bool
    brief: bool
    bare: bool


class Report:
    """The report on single files: a line for each of them, advice, and sums.

    Args:
        style: what to print.
        encoding: the options of the encoder.

    Attributes:
        failed: images that could not be compressed.
    """

    def __init__(self, style: Style, encoding: EncodeOptions) -> None:
        self._style = style
        self._encoding = encoding
        self._count = self._raw = self._png = self._size = self._poor = self._large_pictures = 0
        self._squared_error = 0.0
        self.failed = 0

    def add(self, source: str, output: str, pixels: Pixels, coded: bytes, decoded: Pixels) -> None:
        """Report on one image and its file."""
        style = self._style
        if style.quiet:
            return
        error = metrics.mse(pixels, decoded)
        decibels = metrics.psnr_of_mse(error)
        png = image_file.png_bytes(pixels)
        sizes = Sizes(raw=pixels.size, png=png, coded=len(coded), decibels=decibels)
        self._count += 1
        self._raw += pixels.size
        self._png += png
        self._size += len(coded)
        self._squared_error += error * pixels.size
        if style.as_json:
            click.echo(json.dumps({"input": source, "output": output, **sizes.row}), err=style.to_stderr)
        elif not style.brief or style.verbose:
            change = f"{pixels.size} bytes raw, {png} as PNG -> {len(coded)} bytes"
            click.echo(f"{source} -> {output}\n  {change}: {sizes.rates}", err=style.to_stderr)
        if style.bare:
            return
        if not api.within_default_limit(coded, self._encoding.model):
            click.echo(f"mnistzip: {output}: {LARGE} {pixels.size}", err=True)
        self._advise(source, api.info(coded), decibels, pixels.size)

    def _advise(self, source: str, info: api.Info, decibels: float, pixels: int) -> None:
        """Print what to try if a result is poor, or count it."""
        if self._style.verbose:
            click.echo(_described(info), err=self._style.to_stderr)
        problem = self._problem(info, decibels)
        if problem is None:
            return
        self._poor += 1
        self._large_pictures += pixels >= LARGE_PICTURE
        if not self._style.brief:
            click.echo(f"mnistzip: {shown(source)}: {problem}. {self._advice()}", err=True)

    def _problem(self, info: api.Info, decibels: float) -> str | None:
        """Why a result is poor, or None."""
        min_psnr, max_bytes = self._encoding.min_psnr, self._encoding.max_bytes
        if min_psnr is not None:
            lossless = info.mode == "lossless" and not info.model.startswith("none")  # some pictures are best stored
            return f"no lossy quality reaches {min_psnr:g} dB: the file is lossless" if lossless else None
        if info.mode == "lossless" or info.quality is None:
            return None
        if max_bytes is not None:
            return f"{max_bytes} bytes give only {decibels:.1f} dB for this picture" if decibels < BUDGET_PSNR else None
        return poor_quality(info.model, info.quality, decibels)

    def _advice(self) -> str:
        if self._encoding.min_psnr is not None:
            ways = ["a lower --min-psnr"]
        elif self._encoding.max_bytes is not None:
            ways = ["a higher --max-bytes"]
        else:
            ways = ["a higher -q", "--lossless"]
        return advice(ways, self._encoding.model, self._large_pictures > 0)

    def end(self) -> None:
        """Print sums over several images."""
        style = self._style
        if not style.brief or style.quiet:
            return
        if self._poor:
            budget = self._encoding.min_psnr is not None or self._encoding.max_bytes is not None
            problem = "do not suit the given limit" if budget else FAR_BELOW.format(self._encoding.quality)
            click.echo(f"mnistzip: {self._poor} of {self._count} images {problem}. {self._advice()}", err=True)
        if style.as_json:
            return
        if self._count:
            decibels = metrics.psnr_of_mse(self._squared_error / self._raw)
            rates = Sizes(raw=self._raw, png=self._png, coded=self._size, decibels=decibels).rates
            each = self._size / self._count
            click.echo(f"{_images(self._count)}: {self._size} bytes ({each:.1f} each), {rates}", err=style.to_stderr)
        if self.failed:
            click.echo(f"{self.failed} failed", err=True)


def report_archive(
    inputs: Sequence[str], output: str, writer: ArchiveWriter, count: int, size: int, encoding: EncodeOptions, as_json: bool
) -> None:
    """Report on ``count`` images that took ``size`` bytes of an archive, with advice."""
    if writer.large:
        images_are = "1 image is" if writer.large == 1 else f"{writer.large} images are"
        click.echo(f"mnistzip: {output}: {images_are} {LARGE} {PIXELS_MAX}", err=True)
    if writer.poor:
        below = FAR_BELOW.format(encoding.quality)
        ways = advice(["a higher -q", "--lossless"], encoding.model, large=False)
        click.echo(f"mnistzip: {output}: {writer.poor} of {count} images {below}. {ways}", err=True)
    raw = writer.raw_bytes
    sizes = Sizes(raw=raw, coded=size, decibels=metrics.psnr_of_mse(writer.squared_error / raw if raw else 0.0))
    to_stderr = output == image_file.STREAM
    source = named(inputs)
    if as_json:
        click.echo(json.dumps({"input": source, "output": output, "images": count, **sizes.row}), err=to_stderr)
        return
    rates = f" ({size / count:.2f} each): {sizes.rates}" if count else ""
    click.echo(f"{source} -> {output}\n  {_images(count)}, {raw} bytes raw -> {size} bytes{rates}", err=to_stderr)


def report_shards(inputs: Sequence[str], output: str, summary: Summary, as_json: bool) -> None:
    """Report on the shards that ``--engine ray`` has written."""
    raw, size, count = summary.raw_bytes, summary.bytes, summary.images
    sizes = Sizes(raw=raw, coded=size, decibels=summary.psnr_db)
    source = named(inputs)
    if as_json:
        counts = {"shards": summary.shards, "resumed": summary.resumed, "images": count, "failed": summary.failed}
        click.echo(json.dumps({"input": source, "output": output, **counts, **sizes.row}))
        return
    rates = f" ({size / count:.2f} each): {sizes.rates}" if count else ""
    resumed = f", {summary.resumed} of them from an earlier call" if summary.resumed else ""
    change = f"{_images(count)}, {raw} bytes raw -> {size} bytes in {summary.shards} shards"
    click.echo(f"{source} -> {output}\n  {change}{resumed}{rates}")
    if summary.failed:
        click.echo(f"{summary.failed} failed", err=True)


def named(inputs: Sequence[str]) -> str:
    """The only input, or how many there are."""
    return inputs[0] if len(inputs) == 1 else f"{len(inputs)} inputs"


def poor_quality(model: str, quality: int, decibels: float) -> str | None:
    """A message if a PSNR is far below the usual one of a shipped model at a quality, else None."""
    typical = typical_psnr(model, quality)
    if typical is None or decibels >= typical - POOR_DB:
        return None
    return f"{decibels:.1f} dB; quality {quality} of {model} gives about {typical:.0f} dB on pictures that it knows"


def advice(ways: list[str], model: ModelName, large: bool) -> str:
    """What to try if a result is poor."""
    if model in registry.SHIPPED:
        ways = ["--model auto", *ways]
    ways = [*ways, "a model of your own (mnistzip train)", *(["WebP, which suits large photographs"] if large else [])]
    return f"Try {', '.join(ways[:-1])} or {ways[-1]}"


def _described(info: api.Info) -> str:
    """The content of a file."""
    parts = f"header {info.header_bytes} + payload {info.payload_bytes} bytes"
    size = f"{info.width}x{info.height}" + (f" in {info.tiles} tiles" if info.tiles > 1 else "")
    quality = f", quality {info.quality}" if info.quality else ""
    return f"  {info.mode}, model {info.model}{quality}, {size}, {parts}"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
