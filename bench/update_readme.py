"""Write the results of a benchmark into the README, between its markers, so that no figure there is typed by hand.

python -m mnistzip.bench.update_readme bench/results/results.json README.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mnistzip.bench.curves import verdict
from mnistzip.bench.report.tables import named
from mnistzip.bench.results import Results, Row, read_results

MARKED = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)
PEERS = (  # each peer where it is smallest, and WebP where it is about as good as ours
    *("webp@q0", "webp@q10", "jpeg@q10", "jpeg2000@dB25", "jpegls@n60", "jpegxl@d15", "avif@q0"),
    *("png", "png-zopfli", "webp-lossless", "jpegxl-lossless@e10", "deflate", "zstd-dictionary"),
    *("sheet-webp", "sheet-jpegxl@e10", "tar-xz", "parquet-zstd"),
)


def section(results: Results) -> str:
    """The tables of the README, in Markdown."""
    rows = {row.key: row for row in results.rows if not row.error}
    shown = [row for row in rows.values() if row.ours] + [rows[key] for key in PEERS if key in rows]
    told = results.about
    data, machine = told["data"], told["machine"]
    lines = [
        f"Measured {told['date']} on all {data['images']:,} images of `{data['source']}`, {machine['processor']}:",
        "",
        "| codec | mean file | vs raw | vs PNG | PSNR | SSIM | encode | decode |",
        "|---|---|---|---|---|---|---|---|",
        *map(_line, shown),
        "",
        "Encode and decode: images per second of processor time, in batches. Solid codecs (an archive, one sheet, tar.xz, "
        "Parquet) put all images into one file; its share of an image is shown.",
        "",
        "| BD-rate: bytes at equal PSNR | " + " | ".join(f"`{name}`" for name in _ours(results)) + " |",
        "|---|" + "---|" * len(_ours(results)),
        *_savings(results),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    psnr = "lossless" if row.psnr_db is None else f"{row.psnr_db:.2f} dB"
    speeds = [f"{value:,.0f}/s" for value in (row.encode_per_second, row.decode_per_second) if value is not None]
    name = f"**{named(row)}**" if row.ours else named(row)
    cells = [
        name,
        f"{row.mean_bytes:.1f} B",
        f"{row.ratio_raw:.1f}x",
        f"{row.ratio_png:.1f}x",
        psnr,
        f"{row.ssim:.3f}",
        *speeds,
    ]
    return "| " + " | ".join(cells) + " |"


def _ours(results: Results) -> list[str]:
    return list(dict.fromkeys(entry["codec"] for entry in results.bd_rate))


def _savings(results: Results) -> list[str]:
    labels = {row.codec: row.label for row in results.rows}
    lines = []
    for other in dict.fromkeys(entry["against"] for entry in results.bd_rate):
        entries = {entry["codec"]: entry for entry in results.bd_rate if entry["against"] == other}
        cells = [_saving(results, entries[name]) for name in _ours(results)]
        lines.append(f"| against {labels[other]} | " + " | ".join(cells) + " |")
    return lines


def _saving(results: Results, entry: dict[str, Any]) -> str:
    percent, span = entry["percent"], entry["range_db"]
    if percent is None:
        found = verdict(results.rows, entry["codec"], entry["against"])
        return found.sentence if found.wins else "no dB shared"
    return f"{percent:+.1f}% ({span[0]:.1f} to {span[1]:.1f} dB)"


def main(arguments: list[str]) -> int:
    """Rewrite what stands between the markers of a Markdown file."""
    source, target = map(Path, arguments)
    text = target.read_text()
    told = section(read_results(source))
    if not MARKED.search(text):
        print(f"{target} has no lines <!-- results --> and <!-- /results -->", file=sys.stderr)
        return 1
    target.write_text(MARKED.sub(lambda _match: told, text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
