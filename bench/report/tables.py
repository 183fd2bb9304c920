"""Tables of the results for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mnistzip.bench.curves import verdict
from mnistzip.bench.results import Results, Row

WIDTH = 100
OURS = "bold green"
CODECS_PER_TABLE = 3  # columns of a table of BD-rates


def show(results: Results, budget: int | None = None) -> RenderableType:
    """All tables of a benchmark; ``budget`` adds the table for that number of bytes."""
    parts: list[RenderableType] = [sizes(results)]
    failed = [row for row in results.rows if row.error]
    if failed:
        parts.append(failures(failed))
    if results.bd_rate:
        parts.append(savings(results))
    if budget is not None:
        parts.append(fitting(results, budget))
    return Group(*parts)


def named(row: Row) -> str:
    """The label of a codec and its setting."""
    return f"{row.label} {row.setting}".strip()


def titled(title: str, table: Table, note: str = "") -> RenderableType:
    """A table below its title, which may be wider."""
    for column in table.columns[1:]:  # in a narrow terminal names are cut, not figures
        if column.no_wrap:
            column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    parts: list[RenderableType] = [*([Text(title, style="bold")] if title else []), table]
    return Group(*parts, *([Text(note, style="dim")] if note else []), "")


def plain(first: str, *others: str) -> Table:
    """An empty table: a column of names, then columns of figures."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True, overflow="ellipsis", max_width=32)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def sizes(results: Results) -> RenderableType:
    """Size, quality and speed of every codec and setting."""
    data = results.about["data"]
    title = f"{data['images']:,} images of {data['source']}: whole files, decoded from their bytes"
    table = plain("codec", "mean B", "95%", "x raw", "x PNG", "bpp", "dB", "SSIM", "enc/s", "dec/s", "MiB")
    note = "dB: PSNR of the mean squared error; enc/s, dec/s: images per second of processor time"
    for row in results.rows:
        if row.error:
            continue
        table.add_row(
            named(row),
            _short(row.mean_bytes, 1),
            _short(row.p95_bytes, 0),
            _short(row.ratio_raw, 1),
            _short(row.ratio_png, 2),
            _short(row.bpp, 3),
            decibels(row),
            _short(row.ssim, 3),
            _rate(row.encode_per_second),
            _rate(row.decode_per_second),
            _short(row.peak_mib, 0),
            style=OURS if row.ours else "",
        )
    return titled(title, table, note)


def failures(rows: Sequence[Row]) -> RenderableType:
    """The rows that could not be measured, with reasons."""
    table = plain("codec")
    table.add_column("why")
    for row in rows:
        table.add_row(named(row), Text(row.error or "", style="yellow"))
    return titled("not measured", table)


def savings(results: Results) -> RenderableType:
    """BD-rate of the codecs of mnistzip against each lossy peer; notes compare codecs whose curves share no PSNR."""
    ours = list(dict.fromkeys(entry["codec"] for entry in results.bd_rate))
    entries = {(entry["codec"], entry["against"]): entry for entry in results.bd_rate}
    labels = {row.codec: row.label for row in results.rows}
    parts = []
    for start in range(0, len(ours), CODECS_PER_TABLE):
        columns = ours[start : start + CODECS_PER_TABLE]
        table = plain("against", *columns)
        for other in dict.fromkeys(against for _, against in entries):
            cells = [percent(entries[name, other]) or verdict(results.rows, name, other).short for name in columns]
            table.add_row(labels[other], *cells)
        title = "" if start else "BD-rate: change of size at equal PSNR, over the dB that both reach"
        note = "\n".join(apart(results)) if start + CODECS_PER_TABLE >= len(ours) else ""
        parts.append(titled(title, table, note))
    return Group(*parts)


def apart(results: Results) -> list[str]:
    """A sentence for each pair of codecs whose curves share no PSNR."""
    pairs = [(entry["codec"], entry["against"]) for entry in results.bd_rate if entry["percent"] is None]
    return [verdict(results.rows, *pair).sentence for pair in pairs]


def percent(entry: dict[str, Any]) -> str | None:
    """A cell of the table of BD-rates; None if the curves share no PSNR."""
    if entry["percent"] is None:
        return None
    low, high = entry["range_db"]
    return f"{entry['percent']:+.1f}% ({low:.1f} to {high:.1f})"


def fitting(results: Results, limit: int) -> RenderableType:
    """Share and PSNR of the images that fit into ``limit`` bytes, for each codec."""
    entries = [entry for entry in results.budgets if entry["bytes"] == limit]
    link = f" ({entries[0]['link']})" if entries and entries[0]["link"] else ""
    table = plain("codec", "fits", "dB")
    for entry in sorted(entries, key=lambda entry: (-entry["share"], -(entry["psnr_db"] or 1e9))):
        quality = "-" if not entry["share"] else "lossless" if entry["lossless"] else _short(entry["psnr_db"], 2)
        table.add_row(entry["label"], f"{100 * entry['share']:.1f}%", quality)
    return titled(f"what fits in {limit} bytes{link}, each image at the best setting measured", table)


def decibels(row: Row) -> str:
    """PSNR of a row as text."""
    return "same" if row.psnr_db is None else f"{row.psnr_db:.2f}"


def _short(value: float | None, digits: int) -> str:
    """A number as text; empty if there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def _rate(value: float | None) -> str:
    """A speed as text: 12, 1.2k, 12k, 1.2M; empty if there is none."""
    if value is None:
        return ""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.{1 if value < 10 * unit else 0}f}{name}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
