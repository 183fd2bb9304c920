"""The results of a benchmark as tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mnistzip.bench.curves import verdict
from mnistzip.bench.report.tables import named
from mnistzip.bench.results import Results, Row

PEERS = (  # each codec at its smallest setting, and WebP where its PSNR is close to that of mnistzip
    *("webp@q0", "webp@q10", "jpeg@q10", "jpeg2000@dB25", "jpegls@n60", "jpegxl@d15", "avif@q0"),
    *("png", "png-zopfli", "webp-lossless", "jpegxl-lossless@e10", "deflate", "zstd-dictionary"),
    *("sheet-webp", "sheet-jpegxl@e10", "tar-xz", "parquet-zstd"),
)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(cells) for cells in (header, *rows)]
    return "\n".join(f"| {line} |" for line in lines).replace("\n", f"\n|{'---|' * len(header)}\n", 1)


def benchmark_table(results: Results) -> str:
    """All rows of mnistzip and those of :data:`PEERS`."""
    rows = {row.key: row for row in results.rows if not row.error}
    return codec_table(results, [row for row in rows.values() if row.ours] + [rows[key] for key in PEERS if key in rows])


def codec_table(results: Results, rows: Sequence[Row]) -> str:
    """Size, quality and speed of some codecs, with the conditions of the measurement."""
    about = results.about
    lines = [
        f"Measured {about['date']} on {about['data']['images']:,} images of `{about['data']['source']}`, "
        f"{about['machine']['processor']}, engine {about['versions'].get('engine', 'numpy')}:",
        "",
        markdown_table(
            ["codec", "mean file", "vs raw", "vs PNG", "PSNR", "SSIM", "encode", "decode"], list(map(codec_cells, rows))
        ),
        "",
        "Encode and decode are images per second of processor time, in batches for mnistzip.",
    ]
    if any(row.kind == "solid" for row in rows):
        lines.append(
            "Solid codecs (an archive, one sheet, tar.xz, Parquet) put all images into one file; the mean share is shown."
        )
    return "\n".join(lines)


def codec_cells(row: Row) -> list[str]:
    """A row of the table."""
    psnr = "lossless" if row.psnr_db is None else f"{row.psnr_db:.2f} dB"
    speeds = [f"{value:,.0f}/s" for value in (row.encode_per_second, row.decode_per_second) if value is not None]
    name = f"**{named(row)}**" if row.ours else named(row)
    ratios = [f"{row.mean_bytes:.1f} B", f"{row.ratio_raw:.1f}x", f"{row.ratio_png:.1f}x"]
    return [name, *ratios, psnr, f"{row.ssim:.3f}", *speeds]


def bd_rate_table(results: Results) -> str:
    """BD-rate of each model of mnistzip against each other codec."""
    ours = list(dict.fromkeys(entry["codec"] for entry in results.bd_rate))
    labels = {row.codec: row.label for row in results.rows}
    rows = []
    for other in dict.fromkeys(entry["against"] for entry in results.bd_rate):
        entries = {entry["codec"]: entry for entry in results.bd_rate if entry["against"] == other}
        cells = [bd_rate_cell(results, entries[name]) for name in ours]
        rows.append([f"against {labels[other]}", *cells])
    return markdown_table(["BD-rate: bytes at equal PSNR", *(f"`{name}`" for name in ours)], rows)


def bd_rate_cell(results: Results, entry: dict[str, Any]) -> str:
    """One BD-rate, or which codec is better where the two curves share no PSNR."""
    percent, span = entry["percent"], entry["range_db"]
    if percent is None:
        result = verdict(results.rows, entry["codec"], entry["against"])
        return result.sentence if result.wins else "no dB shared"
    return f"{percent:+.1f}% ({span[0]:.1f} to {span[1]:.1f} dB)"
