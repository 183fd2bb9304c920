"""Measured figures as Markdown: one function for each that the README or a page of docs/ shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnistzip.bench.report.markdown import bd_rate_table, benchmark_table, codec_table, markdown_table
from mnistzip.bench.report.tables import named
from mnistzip.bench.results import Results, Row, read_results

README_ROWS = (
    *("auto@q10", "auto@q25", "auto@q50", "mnist-e0@q50", "mnist-fast-e0@q50", "mnistzip-lossless"),
    *("webp@q10", "jpegxl-lossless@e10", "png"),
)
LOSSLESS = "mnistzip-lossless"

# In docs/, as in Sources.
PARTS = (
    *("performance", "flat", "bounded", "measurements", "microcontrollers", "lossless", "lossless-sets", "rate-distortion"),
    "reliability",
)


@dataclass(frozen=True)
class Sources:
    """All files of results.

    Attributes:
        results: ``bench/results/results.json``, by ``mnistzip bench``.
        performance: ``docs/performance.json``, by ``benchmarks/speed.py``.
        flat: ``docs/flat.json``, by ``benchmarks/flat.py``.
        bounded: ``docs/bounded.json``, by ``benchmarks/bounded.py``.
        measurements: ``docs/measurements.json``, results of commands that print them.
        microcontrollers: ``docs/microcontrollers.json``, by ``benchmarks/microcontrollers.py``.
        lossless: ``docs/lossless.json``, by ``benchmarks/lossless.py``.
        lossless_sets: ``docs/lossless-sets.json``, by ``benchmarks/lossless_sets.py``.
        rate_distortion: ``docs/rate-distortion.json``, by ``benchmarks/rate_distortion.py``.
        reliability: ``docs/reliability.json``, by checks with ``--record``.
    """

    results: Results
    performance: dict[str, Any]
    flat: dict[str, Any]
    bounded: dict[str, Any]
    measurements: dict[str, Any]
    microcontrollers: dict[str, Any]
    lossless: dict[str, Any]
    lossless_sets: dict[str, Any]
    rate_distortion: dict[str, Any]
    reliability: dict[str, Any]

    def row(self, key: str) -> Row:
        """One codec at one setting of the benchmark."""
        return next(row for row in self.results.rows if row.key == key)


def read_sources(root: Path) -> Sources:
    """Read all files of results below ``root``."""
    parts = [json.loads((root / "docs" / f"{name}.json").read_text()) for name in PARTS]
    return Sources(read_results(root / "bench" / "results" / "results.json"), *parts)


def number(value: float | None) -> float:
    """A result that must be there."""
    assert value is not None
    return value


# Results of the benchmark: README.md and docs/benchmark.md.


def readme_results(sources: Sources) -> str:
    """The table of the README."""
    return codec_table(sources.results, [sources.row(key) for key in README_ROWS])


def all_results(sources: Sources) -> str:
    """The table of docs/benchmark.md: all settings of mnistzip, and the selected settings of other codecs."""
    return benchmark_table(sources.results)


def bd_rates(sources: Sources) -> str:
    """The BD-rates of docs/benchmark.md."""
    return bd_rate_table(sources.results)


def digit_size(sources: Sources) -> str:
    """The size of a digit at a low quality and at the default one."""
    low, usual, png = (number(sources.row(key).mean_bytes) for key in ("auto@q10", "auto@q50", "png"))
    return f"{low:.0f} to {usual:.0f} bytes, depending on the quality (its PNG takes {png:.0f})"


def speed_sentence(sources: Sources) -> str:
    """The speed of encoding in one sentence."""
    default, fast, fastest, webp = (
        f"{number(sources.row(key).encode_per_second):,.0f}" for key in ("auto@q50", "auto-e0@q50", "mnist-e0@q50", "webp@q10")
    )
    return (
        f"At the default effort it encodes {default} images per second of processor time, at effort 0 {fast}, and at effort 0 "
        f"with the model `mnist` {fastest}; WebP encodes {webp}."
    )


def speed_table(sources: Sources) -> str:
    """Images a second of the models, and of WebP and PNG."""
    models = ("auto", "mnist", "mnist-fast")
    keys = (*(f"{model}{effort}@q50" for model in models for effort in ("", "-e0")), LOSSLESS, "webp@q10", "png")
    rows = [
        [named(row), f"{number(row.encode_per_second):,.0f}", f"{number(row.decode_per_second):,.0f}"]
        for row in map(sources.row, keys)
    ]
    return markdown_table(["", "encoded", "decoded"], rows)


def overhead(sources: Sources) -> str:
    """The bytes of a digit beyond its ideal code length, in a file and in an archive."""
    row, archive = sources.row("mnist-e0@q50"), sources.measurements["archive-bytes"]
    header, ideal = number(row.header_bytes), number(row.ideal_bytes)
    file = number(row.mean_bytes) - ideal
    share = archive["bytes"] / archive["images"] - ideal
    return (
        f"A single file takes {file:.1f} bytes more than the ideal code length: {header:.0f} bytes of header "
        f"(4 for models other than `mnist`), and {file - header:.1f} bytes for checksum and entropy coder.\n"
        f"In an archive of {archive['images']:,} digits an image takes {share:.1f} bytes more than that length."
    )


# docs/archives.md and docs/clusters.md


def archive_bytes(sources: Sources) -> str:
    """Savings of an archive compared with single files."""
    row, archive = sources.row("mnist-e0@q50"), sources.measurements["archive-bytes"]
    share, ideal = archive["bytes"] / archive["images"], number(row.ideal_bytes)
    return (
        f"All {archive['images']:,} test digits at quality 50 and effort 0 take {share:.2f} bytes each in an archive, and "
        f"{number(row.mean_bytes):.2f} bytes in single files.\n"
        f"The ideal code length is {ideal:.2f} bytes."
    )


def archive_scale(sources: Sources) -> str:
    """Speed, memory and random access of an archive of a million digits."""
    scale = sources.measurements["archive-scale"]
    rows = [
        ("size of the archive", f"{scale['images'] * scale['bytes_an_image'] / 1e6:.1f} MB"),
        ("compress, command line", f"{scale['pack_rate']:,} images/s"),
        ("decompress to IDX, command line", f"{scale['unpack_rate']:,} images/s"),
        ("peak memory of either", f"{scale['peak_mb']} MB"),
        ("read one image from anywhere", f"{scale['access_median_ms']} ms"),
        (
            "bytes read for one image",
            f"{scale['access_bytes_median']:,} (median), {scale['access_bytes_max']:,} (largest of 200)",
        ),
    ]
    slower = scale["encode_many_rate"] / scale["encode_archive_rate"]
    return (
        f"Measured {scale['date']} with `{scale['command']}`: {scale['images']:,} digits at effort 0, shifted copies of the "
        "training digits.\nRates are per second of processor time.\n\n"
        + markdown_table(["", ""], rows)
        + f"\n\n`encode_archive` takes {slower:.1f} times as long as `encode_many` at effort 0, because it also decodes each "
        "image: for the checksum of each group's pixels, and for the reported PSNR."
    )


def duration(seconds: float) -> str:
    """A time with two digits, in seconds, minutes or hours."""
    value, unit = next(((seconds / size, unit) for size, unit in ((3600, "h"), (60, "min")) if seconds >= size), (seconds, "s"))
    return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"


# docs/performance.md

PERFORMANCE_ROWS = {
    "mnist-e0": "`mnist`, effort 0",
    "mnist": "`mnist`, default effort",
    "mnist-fast-e0": "`mnist-fast`, effort 0",
    "mnist-fast": "`mnist-fast`, default effort",
    "lossless": "lossless, `mnist`",
    "mnist-fast-lossless": "lossless, `mnist-fast`",
}


def relative_speed(sources: Sources) -> str:
    """Speed of both engines as a share of WebP's, and the time of one digit."""
    rows = []
    for name, label in PERFORMANCE_ROWS.items():
        for engine in ("native", "numpy"):
            of_engine = sources.performance["engines"][engine]
            rates = of_engine["a batch, images a second of processor time"][name]
            single = of_engine["one digit, warm, ms"][name]
            rows.append(
                [
                    label,
                    engine,
                    *(f"{rates[way]:,.0f} ({rates[f'{way}, of WebP' + chr(39) + 's']:.1%})" for way in ("encode", "decode")),
                    *(f"{single[f'{way}_ms']:.2f} ms" for way in ("encode", "decode")),
                ]
            )
    return markdown_table(["", "engine", "encoded a second", "decoded a second", "encode one digit", "decode one digit"], rows)


def multiply_adds(sources: Sources) -> str:
    """How much of the processor's limit the synthesis reaches."""
    rows = [
        [name, f"{row['synthesis'] / 1e9:.0f}", f"{row['limit'] / 1e9:.0f}", f"{row['synthesis, of the limit']:.0%}"]
        for name, row in sources.performance["multiply-adds a second"].items()
    ]
    return markdown_table(["instructions", "synthesis of `mnist`", "the instruction alone", "share"], rows)


def start_times(sources: Sources) -> str:
    """The time of one command from its start to its end."""
    starts = sources.performance["cold start, s"]
    rows = [
        [f"`mnistzip {name}`", f"{starts[name]:.2f} s", f"{starts[f'{name}, of the imports']:.1f}"]
        for name in ("compress", "compress -e 0", "decompress", "info")
    ]
    return markdown_table(["command", "time", "as a multiple of the imports of numpy, Pillow and click"], rows)


def thread_times(sources: Sources) -> str:
    """Gain of a second thread."""
    times = sources.performance["threads, s"]
    labels = {
        "compress -T": "`mnistzip compress`, an archive at the default effort",
        "encode_many, effort 0": "`encode_many` at effort 0",
        "decode_many": "`decode_many`",
    }
    rows = [
        [
            label,
            *(f"{times[f'{name}, {count}']:.2f} s" for count in ("1 thread", "2 threads")),
            f"{times[f'{name}, ratio']:.2f}",
        ]
        for name, label in labels.items()
    ]
    return markdown_table(["2,048 digits", "1 thread", "2 threads", "times as fast"], rows)


def single_reads(sources: Sources) -> str:
    """The time to read one image of an archive."""
    archives = sources.performance["archives"]
    return (
        f"Reading one image at random from an archive takes {archives['one image, ms']:.2f} ms, and iterating gives "
        f"{archives['iterating, images a second']:,.0f} images a second (`mnist-fast`)."
    )


def flat_costs(sources: Sources) -> str:
    """Time and memory of an image in archives of several sizes."""
    flat = sources.flat
    rows = [
        [
            f"{row['images']:,}",
            *(f"{row[f'{way}, µs']:.0f} µs" for way in ("compress", "decompress")),
            f"{row['compress, MB']} MB",
        ]
        for row in flat["rows"]
    ]
    return markdown_table(["images in the archive", "compress, per image", "decompress, per image", "peak memory"], rows)


def bounded_files(sources: Sources) -> str:
    """Bytes of lossless and bounded files, and the share of those of other codecs."""
    bounds = sources.bounded["bounds"]
    rows = []
    for name, row in sources.bounded["sets"].items():
        pairs = [row["lossless"], *(row[f"bound {bound}"] for bound in bounds)]
        rows.append([name, *(f"{ours:.0f} B ({ours / peer:.2f})" for ours, peer in pairs)])
    table = markdown_table(["pictures", "lossless", *(f"within {bound}" for bound in bounds)], rows)
    return table + f"\n\nMeasured {sources.bounded['date']} with `python benchmarks/bounded.py runs/sets/report`."


def blas_threads(sources: Sources) -> str:
    """Gain of limiting BLAS to one thread."""
    times = sources.measurements["blas-threads"]
    idle, busy = (" to ".join(map(str, times[name])) for name in ("all_threads_s", "all_threads_busy_s"))
    return (
        f"Example, {times['date']}: {times['command']} take {times['one_thread_s']} s with one thread of BLAS, "
        f"and {idle} s with two.\n"
        f"While two other processes are busy they take {times['one_thread_busy_s']} s, and {busy} s."
    )


# docs/plugins.md, docs/train-your-own.md and docs/small-pictures.md


def torch_speed(sources: Sources) -> str:
    """Images a second out of data sets of PyTorch."""
    speed = sources.measurements["torch-speed"]
    mnist, archive = speed["MNIST"], speed["ArchiveDataset"]
    workers = ", ".join(f"{rate:,}" for rate in archive["two_workers"])
    header = ["", "on disk", "first epoch, in order", "first epoch, shuffled", "later epochs"]
    rows = [
        ["`torchvision.datasets.MNIST`", f"{mnist['bytes']:,} B gzipped", *(f"{rate:,}" for rate in mnist["rates"])],
        ["`ArchiveDataset`", f"{archive['bytes']:,} B", *(f"{rate:,}" for rate in archive["rates"])],
    ]
    return (
        "The 10,000 test digits at effort 0 in batches of 64, images per second of processor time "
        f"({speed['date']}, `{speed['command']}`):\n\n"
        + markdown_table(header, rows)
        + f"\n\nWith two workers on two processors, by the clock: {workers} (MNIST: {mnist['two_workers']:,}).\n"
        "Each worker decodes every group once, so workers gain nothing in the first epoch."
    )


def parquet_bytes(sources: Sources) -> str:
    """Bytes of an image with each encoding of Parquet."""
    parquet = sources.measurements["parquet-bytes"]
    names = {
        "PLAIN": "plain encoding",
        "DELTA_LENGTH_BYTE_ARRAY": "`DELTA_LENGTH_BYTE_ARRAY`",
        "DELTA_LENGTH_BYTE_ARRAY and zstd": "`DELTA_LENGTH_BYTE_ARRAY` and zstd, as above",
        "DELTA_BYTE_ARRAY": "`DELTA_BYTE_ARRAY`, which not every reader supports",
        "rows of archives": "one archive of 1,024 images per row",
    }
    return (
        f"Bytes per image of {parquet['images']:,} test digits at effort 0, in files of {parquet['files']} bytes "
        f"({parquet['date']}):\n\n"
        + markdown_table(["column", "bytes per image"], [[label, str(parquet[name])] for name, label in names.items()])
    )


def zarr_chunks(sources: Sources) -> str:
    """Speed of chunks of several sizes."""
    chunks = sources.measurements["zarr-chunks"]
    rows = [[count, *(f"{rate:,}" for rate in rates)] for count, rates in chunks["rates"].items()]
    return (
        f"Images per second of processor time, for {chunks['command']} ({chunks['date']}):\n\n"
        + markdown_table(["images per chunk", "written", "read"], [[f"{int(count):,}", *rates] for count, *rates in rows])
        + f"\n\nReading one digit of a chunk of 1,000 takes {chunks['access_ms']} ms."
    )


def unseen_glyphs(sources: Sources) -> str:
    """Bytes of the model glyph for fonts outside its training set."""
    glyphs = sources.measurements["unseen-glyphs"]
    (size, psnr), (webp_size, webp_psnr) = glyphs["glyph"], glyphs["webp"]
    return (
        f"{glyphs['command'].split(',')[0]} take {size} bytes each at {psnr} dB; "
        f"WebP takes {webp_size} bytes at {webp_psnr} dB ({glyphs['date']})."
    )


def fashion(sources: Sources) -> str:
    """Bytes of models for Fashion-MNIST."""
    large, small = sources.measurements["fashion-60000"], sources.measurements["fashion-1000"]
    rows = [[name, f"{size:.1f}", "lossless" if psnr is None else f"{psnr:.2f} dB"] for name, size, psnr in large["rows"]]
    size, psnr = small["model"]
    return (
        f"Fashion-MNIST (grey textures of clothes, 28x28), {large['images']:,} images, `--kind tile --time 20m -T 2`: "
        f"{large['minutes']} minutes on two cores and {large['gb']} GB of memory ({large['date']}).\n"
        "Whole files of 500 of its test images:\n\n"
        + markdown_table(["", "bytes per file", "PSNR"], rows)
        + f"\n\nA model trained on {small['images']:,} of these images, `--time 8m -T 1`, takes {size} bytes at {psnr} dB on "
        f"{small['held_out']} held-out images; WebP takes {small['webp']} bytes.\n"
        f"Lossless it takes {small['model_lossless']} bytes; WebP takes {small['webp_lossless']} bytes."
    )


def strokes(sources: Sources) -> str:
    """Savings of mnist-fast compared with WebP."""
    entries = {(entry["codec"], entry["against"]): entry for entry in sources.results.bd_rate}
    return f"{-entries['mnist-fast', 'webp']['percent']:.0f}% fewer bytes"


def choice_cost(sources: Sources) -> str:
    """Cost of the choice among models for digits."""
    cost = sources.measurements["choice-cost"]

    def cell(size: float, psnr: float | None) -> str:
        return f"{size:.2f} B, " + ("lossless" if psnr is None else f"{psnr:.2f} dB")

    rows = [
        [name, cell(size, psnr), cell(other_size, other_psnr), change, f"{factor:.2f}x"]
        for name, size, psnr, other_size, other_psnr, change, factor in cost["rows"]
    ]
    return markdown_table(["options", "`mnist`", "default", "bytes", "time"], rows) + (
        f"\n\nMeasured {cost['date']} with `{cost['command']}`."
    )
