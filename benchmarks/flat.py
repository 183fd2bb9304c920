"""Measure time and memory per image in archives of a thousand to a million images, through the command line, and plot both.

    python benchmarks/flat.py t10k-images-idx3-ubyte.gz [--folder DIR] [--model mnist-fast]

Digits are repeated and shifted as in ``archive_scale.py``, packed at effort 0 and unpacked. Times are processor time, minus the
time of the command for one image. Measured memory cannot be less than the memory of this script. Writes ``docs/flat.json`` and
``docs/flat.png``. Needs 2.3 GB of disk space.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from archive_scale import run, write_moved
from mnistzip.idx import read_idx

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
DOCS = Path(__file__).parents[1] / "docs"
WAYS = ("compress", "decompress")


def costs(images: Path, folder: Path, model: str, count: int) -> dict[str, dict[str, float]]:
    """Processor seconds and MB to pack and unpack ``count`` images."""
    source, packed, back = folder / "in-idx3-ubyte", folder / "in.cae", folder / "back-idx3-ubyte"
    write_moved(source, read_idx(images), count)
    measured = {
        "compress": run("compress", "--quiet", "-f", "-e", "0", "--model", model, str(source), "-o", str(packed)),
        "decompress": run("decompress", "--quiet", "-f", str(packed), "-o", str(back)),
    }
    back.unlink()
    return measured


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Microseconds and memory over the number of images."""
    figure, (time, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    counts = [row["images"] for row in rows]
    for way, colour in zip(WAYS, ("#0b6bcb", "#c2410c"), strict=True):
        time.plot(counts, [row[f"{way}, µs"] for row in rows], "o-", color=colour, label=way)
        memory.plot(counts, [row[f"{way}, MB"] for row in rows], "o-", color=colour, label=way)
    for axes, title in ((time, "µs of processor time an image"), (memory, "memory held at most, MB")):
        axes.set(xscale="log", xlabel="images in the archive", title=title)
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)


@click.command()
@click.argument("images", type=click.Path(exists=True, path_type=Path))
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with enough space.")
@click.option("--model", default="mnist-fast", show_default=True)
def main(images: Path, folder: Path | None, model: str) -> None:
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        start = costs(images, Path(name), model, 1)
        for count in COUNTS:
            measured = costs(images, Path(name), model, count)
            row: dict[str, float] = {"images": count}
            for way in WAYS:
                row[f"{way}, µs"] = round(1e6 * (measured[way]["cpu"] - start[way]["cpu"]) / count, 1)
                row[f"{way}, MB"] = round(measured[way]["mb"])
            rows.append(row)
            click.echo(json.dumps(row, ensure_ascii=False))
    DOCS.joinpath("flat.json").write_text(json.dumps({"model": model, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
    draw(rows, DOCS / "flat.png")


if __name__ == "__main__":
    main()
