"""Write the plots of a benchmark as SVG and PNG, and ``report.html``, which needs no other file."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mnistzip.bench.curves import verdict
from mnistzip.bench.registry import INSTALL
from mnistzip.bench.report import samples
from mnistzip.bench.report.inline import inline
from mnistzip.bench.report.label_placement import rate
from mnistzip.bench.report.plots import Chart, charts, quality, styled
from mnistzip.bench.report.style import COLOURS, codec_styles
from mnistzip.bench.report.tables import decibels, named, percent
from mnistzip.bench.results import Results, Row
from mnistzip.bench.runner import COMMAND, PLOT_FILES, REPORT, WAY_OUT, BenchRun, Outcome
from mnistzip.io.output_folders import OutputFolder

NEEDS = ("matplotlib", "jinja2")
PNG_DPI = 160

COLUMNS = (  # field, heading, description, digits; None if _cells makes the text
    ("mean_bytes", "mean B", "Bytes of an image's whole file, mean", 1),
    ("median_bytes", "median", "Bytes of an image's whole file, median", 1),
    ("p95_bytes", "95%", "95 of 100 files are no larger, bytes", 0),
    ("ratio_raw", "x raw", "Times smaller than raw pixels", 2),
    ("ratio_png", "x PNG", "Times smaller than PNG files of the same images", 2),
    ("bpp", "bpp", "Bits per pixel", 3),
    ("psnr_db", "dB", "PSNR of the squared error averaged over all pixels of all images", None),
    ("mean_psnr_db", "mean dB", "Mean of the PSNR of each image; empty if every pixel of an image is equal", 2),
    ("ssim", "SSIM", "Structural similarity, mean", 4),
    ("ms_ssim", "MS-SSIM", "Multi-scale structural similarity, mean", 4),
    ("encode_per_second", "enc/s", "Images encoded per second of processor time", None),
    ("decode_per_second", "dec/s", "Images decoded per second of processor time", None),
    ("peak_mib", "MiB", "Peak memory of encoding and decoding", 0),
)


def write_report(run: BenchRun, outcomes: dict[str, Outcome], results: Results, out: Path) -> str | None:
    """Write the plots and ``report.html`` into the folder ``out``.

    Returns:
        A line that names missing libraries and the command that installs them; None if everything was written.
    """
    folder = OutputFolder(out, COMMAND)
    folder.claim([REPORT, *PLOT_FILES], WAY_OUT)
    folder.remove([REPORT, *PLOT_FILES])  # they may show other images or codecs
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        return f"no plots and no report.html: they need {' and '.join(missing)}: {INSTALL}"
    codecs = samples.decoded_samples(run, outcomes, results.rows)
    with styled():
        sheet = samples.sheet(run, codecs, results.rows, titled=True)
        _save([*charts(results.rows, titled=True), *([sheet] if sheet else [])], out / "plots")
        drawn = [(chart, inline(chart)) for chart in charts(results.rows, titled=False)]
    pictures = samples.pictures(run, codecs, results.rows)
    (out / REPORT).write_text(
        _page(results, drawn, pictures), "utf-8", "backslashreplace"
    )  # names may hold bytes that are not text
    return None


def _save(drawn: Sequence[Chart], folder: Path) -> None:
    """Write charts as SVG and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for chart in drawn:
        chart.figure.savefig(folder / f"{chart.name}.svg", metadata={"Date": None})
        chart.figure.savefig(folder / f"{chart.name}.png", dpi=PNG_DPI)


def _page(results: Results, drawn: Sequence[tuple[Chart, str]], pictures: dict[str, Any]) -> str:
    """The text of ``report.html``."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    folder = resources.files("mnistzip.bench.report")
    environment = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = results.rows
    measured = [row for row in rows if not row.error]
    reference, budgets = samples.reference(rows), _budgets(results)
    return environment.get_template("report.html.j2").render(
        about=results.about,
        sizes=[_span(results.about["data"][side]) for side in ("width", "height")],
        colours=COLOURS,
        facts=facts(rows),
        columns=_columns(measured),
        rows=[(row, named(row), _cells(row, measured)) for row in measured],
        failed=[(row, named(row)) for row in rows if row.error],
        look=codec_styles(rows),
        charts=[(chart, Markup(svg)) for chart, svg in drawn],  # matplotlib and inline() have escaped the texts
        lossy=any(row.kind == "lossy" for row in measured),
        curved=any(chart.name == "rate-distortion" for chart, _ in drawn),
        savings=_savings(results),
        budgets=budgets,
        # The budget that is shown first: the smallest into which more than half of the images fit with some codec.
        roomy=next((budget["bytes"] for budget in budgets if max(entry["share"] for entry in budget["entries"]) > 0.5), None),
        reference=None if reference is None else (reference, named(reference)),
        pictures=pictures,
    )


def facts(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """The main results for the top of the page: a figure, the codec, and a note."""
    measured = [row for row in rows if row.mean_bytes]
    nearest = samples.equal_size(measured)
    out = []
    ours = next((row for row in nearest if row.ours), None)
    if ours is not None:
        ratio = f", {ours.ratio_png:.1f}x smaller than PNG" if ours.ratio_png else ""
        out.append((f"{ours.mean_bytes:,.1f} B", named(ours), f"{quality(ours)}{ratio}"))
    peers = [row for row in nearest if not row.ours]
    if peers:
        smallest = min(peers, key=lambda row: row.mean_bytes or 0)
        out.append((f"{smallest.mean_bytes:,.1f} B", named(smallest), f"{quality(smallest)}, the smallest lossy peer"))
    for kind, note in (("lossless", "smallest lossless files"), ("solid", "smallest file of all images, share of each image")):
        of_kind = [row for row in measured if row.kind == kind]
        if of_kind:
            smallest = min(of_kind, key=lambda row: row.mean_bytes or 0)
            out.append((f"{smallest.mean_bytes:,.1f} B", named(smallest), note))
    return out


def _span(limits: Sequence[int]) -> str:
    """A range of sides as text."""
    low, high = limits
    return f"{low}" if low == high else f"{low} to {high}"


def _columns(rows: Sequence[Row]) -> list[tuple[str, str, str, int | None]]:
    """The columns that have a figure in any row."""
    return [column for column in COLUMNS if column[0] == "psnr_db" or any(getattr(row, column[0]) is not None for row in rows)]


def _cells(row: Row, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The text and the sort key of each column; both are empty if there is no figure."""
    cells = []
    for name, _, _, digits in _columns(rows):
        value = getattr(row, name)
        if name == "psnr_db":
            cells.append((decibels(row), str(math.inf if value is None else value).replace("inf", "Infinity")))
        elif value is None:
            cells.append(("", ""))
        else:
            cells.append((f"{value:,.{digits}f}" if digits is not None else rate(value), str(value)))
    return cells


def _savings(results: Results) -> dict[str, Any] | None:
    """The table of BD-rates: ``ours`` are the headings; ``peers`` the rows, each a label and cells of text and percent."""
    if not results.bd_rate:
        return None
    labels = {row.codec: row.label for row in results.rows}
    entries = {(entry["codec"], entry["against"]): entry for entry in results.bd_rate}
    ours = list(dict.fromkeys(codec for codec, _ in entries))
    against = dict.fromkeys(other for _, other in entries)

    def cell(codec: str, other: str) -> tuple[str, float | None]:
        entry = entries[codec, other]
        return percent(entry) or verdict(results.rows, codec, other).sentence, entry["percent"]

    peers = [(labels[other], [cell(codec, other) for codec in ours]) for other in against]
    return {"ours": [labels[codec] for codec in ours], "peers": peers}


def _budgets(results: Results) -> list[dict[str, Any]]:
    """For each budget ``bytes``, ``link`` and ``entries``, those with the larger share first."""
    budgets: dict[int, dict[str, Any]] = {}
    for entry in results.budgets:
        budget = budgets.setdefault(entry["bytes"], {"bytes": entry["bytes"], "link": entry["link"], "entries": []})
        budget["entries"].append(entry)
    for budget in budgets.values():
        budget["entries"].sort(key=lambda entry: (-entry["share"], -(entry["psnr_db"] or math.inf)))
    return list(budgets.values())
