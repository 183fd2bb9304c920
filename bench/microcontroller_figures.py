"""The figures of docs/microcontrollers.md, from the results of ``benchmarks/microcontrollers.py``."""

from __future__ import annotations

from typing import Any

from mnistzip.bench.figures import Sources
from mnistzip.bench.report.markdown import markdown_table

MEGAHERTZ = 240


def memory(sources: Sources) -> str:
    """Flash and RAM of the parts of a model."""
    measured = sources.microcontrollers
    rows = []
    for row in measured["sizes"]:
        first, last = row["qualities"]
        quality = str(first) if first == last else f"{first} to {last}"
        ram = row["workspace"] + row["stack"]
        cells = (row["constants"], row["flash"], row["workspace"], row["stack"], ram)
        rows.append([f"`{row['model']}`", row["parts"], quality, *(f"{cell:,}" for cell in cells)])
    header = ["model", "part", "qualities", "constants", "flash", "workspace", "stack", "RAM"]
    encoder, both = (_further(_of(measured, parts)) for parts in ("encoder", "encoder and decoder"))
    return (
        f"On a Cortex-M4, in bytes:\n\n{markdown_table(header, rows)}\n\n"
        f"Each further quality of `{measured['model']}` takes {encoder:,} bytes of flash in an encoder, "
        f"and {both:,} in both parts."
    )


def instructions(sources: Sources) -> str:
    """Instructions of a digit, and the time that they take at one instruction per cycle."""
    measured = sources.microcontrollers
    rows = [
        [machine["title"], f"{machine['digits']:,}", *_cells(machine["encode"]), *_cells(machine["decode"])]
        for machine in measured["machines"].values()
    ]
    at = f"ms at {MEGAHERTZ} MHz"
    header = ["", "digits", "encode: instructions, mean", "largest", at, "decode: instructions, mean", "largest", at]
    return (
        f"`{measured['model']}` at quality {measured['quality']}, on MNIST test digits:\n\n"
        + markdown_table(header, rows)
        + f"\n\nMeasured {measured['date']} with {', '.join(measured['tools'])}."
    )


def budgets(sources: Sources) -> str:
    """PSNR of both models at some sizes."""
    measured = sources.microcontrollers
    models = [name for name in measured["budgets"][0] if name != "bytes"]
    rows = [[f"{row['bytes']} bytes", *(f"{row[name]:.2f} dB" for name in models)] for row in measured["budgets"]]
    small = measured["small"]
    return (
        f"{markdown_table(['mean stream', *(f'`{name}`' for name in models)], rows)}\n\n"
        f"`{models[1]}` at quality {small['quality']} takes {small['encode']['mean']:,} instructions to encode a digit on a "
        f"{small['title']}, {small['encode']['mean'] / MEGAHERTZ / 1000:.1f} ms at {MEGAHERTZ} MHz; "
        f"{small['digits']:,} digits gave Python's bytes."
    )


def _of(measured: dict[str, Any], parts: str) -> list[dict[str, Any]]:
    """The sizes of some parts of the first model."""
    return [row for row in measured["sizes"] if row["parts"] == parts and row["model"] == measured["model"]]


def _further(sizes: list[dict[str, Any]]) -> int:
    """Bytes of one more quality."""
    one, many = sizes
    first, last = many["qualities"]
    return round((many["constants"] - one["constants"]) / (last - first))


def _cells(counts: dict[str, Any]) -> list[str]:
    """Mean and largest number of instructions, and the mean time."""
    mean, largest = counts["mean"], counts["max"]
    return [f"{mean:,}", f"{largest:,}", f"{mean / MEGAHERTZ / 1000:.1f}"]
