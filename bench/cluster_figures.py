"""Measured figures of docs/clusters.md as Markdown."""

from __future__ import annotations

from mnistzip.bench.figures import Sources, duration, number
from mnistzip.bench.report.markdown import markdown_table

BILLION, CLUSTER = 1_000_000_000, 64  # images and processors of docs/clusters.md


def packing_rates(sources: Sources) -> dict[str, tuple[float, float | None]]:
    """Images a second and bytes an image of each way to pack."""
    parquet = sources.measurements["parquet-bytes"]
    return {
        "Parquet, effort 0": (
            number(sources.row("mnist-e0@q50").encode_per_second),
            parquet["DELTA_LENGTH_BYTE_ARRAY and zstd"],
        ),
        "archives, effort 0": (sources.measurements["archive-scale"]["pack_rate"], parquet["rows of archives"]),
        "Parquet or archives, effort 3": (number(sources.row("mnist@q50").encode_per_second), None),
    }


def cost(sources: Sources) -> str:
    """Processor hours and bytes of a million and a billion digits."""
    header = [
        "",
        "images/s per processor",
        "processor hours per million",
        f"a billion on {CLUSTER} processors",
        "bytes per million",
    ]
    rows = []
    for name, (rate, size) in packing_rates(sources).items():
        hours = f"{1e6 / rate / 3600:.2g}"
        whole = duration(BILLION / rate / CLUSTER)
        rows.append([name, f"{rate:,.0f}", hours, whole, "about the same, at higher PSNR" if size is None else f"{size} MB"])
    rows.append(["raw IDX, for comparison", "", "", "", "784 MB"])
    return markdown_table(header, rows)


def shards(sources: Sources) -> str:
    """Time and size of shards."""
    rates = packing_rates(sources)
    (fast, size), (slow, _) = rates["Parquet, effort 0"], rates["Parquet or archives, effort 3"]
    rows = [
        [
            f"{count:,}{' (default)' * (count == 65_536)}",
            f"{-(-BILLION // count):,}",
            duration(count / fast),
            duration(count / slow),
            f"{count * number(size) / 1e6:.3g} MB",
        ]
        for count in (65_536, 1_000_000, 10_000_000)
    ]
    return markdown_table(["images per shard", "shards of a billion", "Parquet, effort 0", "effort 3", "size"], rows)


def workers(sources: Sources) -> str:
    """Speed of two workers on one machine, and the memory of one worker."""
    speed, memory = sources.measurements["ray-speed"], sources.measurements["ray-memory"]
    pairs = list(zip(speed["one_worker"], speed["two_workers"], strict=True))
    gains = " and ".join(f"{two / one:.1f}" for one, two in pairs)
    return (
        f"On two processors, two workers pack {gains} times as many images per second as one, in two runs "
        f"({speed['images']:,} digits, {speed['archives']} archives, effort 0, start of the actors included; "
        f"{speed['date']}, `{speed['command']}`).\n"
        f"A worker that packs digits takes {memory['mb']} MB, including Ray, pandas and pyarrow.\nAllow 1 GB per worker."
    )
