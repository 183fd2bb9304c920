"""The figures of docs/lossless.md on digits, from the results of ``benchmarks/lossless.py``."""

from __future__ import annotations

from mnistzip.bench.figures import Sources, number
from mnistzip.bench.report.markdown import markdown_table

PIXELS = 28 * 28
PEERS = {
    "png": "PNG",
    "webp-lossless": "WebP, lossless",
    "jpegxl-lossless@e10": "JPEG XL",
    "sheet-jpegxl@e10": "all digits as one JPEG XL sheet",
}


def digits(sources: Sources) -> str:
    """Lossless files of all test digits, and those of other codecs."""
    measured = sources.lossless
    rows = [[title, f"{number(sources.row(key).mean_bytes):.0f}"] for key, title in PEERS.items()]
    rows += [
        ["**mnistzip, single files**", f"**{measured['digits']['as they are']['auto']['bytes']:.2f}**"],
        ["**mnistzip, archive**", f"**{measured['archive']:.2f}**"],
    ]
    return markdown_table(["all 10,000 MNIST test digits", "bytes per image"], rows)


def bitmaps(sources: Sources) -> str:
    """How many digits follow from a bitmap, and what the bitmap takes."""
    measured, images = sources.lossless["bitmaps"], sources.lossless["digits"]["as they are"]["auto"]["images"]
    return (
        f"Of the {images:,} test digits, {measured['bitmaps']:,} ({measured['bitmaps'] / images:.1%}) follow exactly from a "
        f"bitmap, which takes {measured['ideal of bitmaps']:.1f} bytes of ideal code length."
    )


def changed_digits(sources: Sources) -> str:
    """Lossless files of digits that were changed, by default and by the pixel model of ``mnist``."""
    planes_of = sources.lossless["digits"]["as they are"]["mnist"]["planes"]
    header = ["digits", "file by default", "file by the pixel model of `mnist`", *planes_of]
    rows = []
    for name, row in sources.lossless["digits"].items():
        first = "" if name == "as they are" else f" (first {row['auto']['images']:,})"
        planes = [f"{part:.2f}" for part in row["mnist"]["planes"].values()]
        rows.append([name + first, f"{row['auto']['bytes']:.2f} B", f"{row['mnist']['bytes']:.2f} B", *planes])
    return markdown_table(header, rows)


def cost(sources: Sources) -> str:
    """Bytes and speed of lossless digits."""
    measured, every = sources.lossless, sources.lossless["digits"]["as they are"]
    ideal, file = measured["bitmaps"]["ideal"], every["auto"]["bytes"]
    planes = sum(every["mnist"]["planes"].values())
    rows = [
        ["ideal code length", f"{ideal:.2f} B, {8 * ideal / PIXELS:.3f} bits per pixel", f"{planes:.2f} B"],
        ["file", f"{file:.2f} B", f"{every['mnist']['bytes']:.2f} B"],
        ["in an archive", f"{measured['archive']:.2f} B", ""],
        ["encoding in batches", f"{every['auto']['encode']:,} images per second", f"{every['mnist']['encode']:,}"],
        ["decoding in batches", f"{every['auto']['decode']:,} images per second", f"{every['mnist']['decode']:,}"],
        ["encoding one image, warm", f"{measured['one by one']['encode']:.1f} ms", ""],
        ["decoding one image, warm", f"{measured['one by one']['decode']:.1f} ms", ""],
    ]
    table = markdown_table(["all 10,000 test digits", "default", "`mnist`"], rows)
    return (
        f"{table}\n\nSpeeds are those of a second of processor time with the engine {measured['engine']}.\n"
        f"Measured {measured['measured']} with `{measured['command']}`, which decodes each file and compares it with the image."
    )


def whole(sources: Sources) -> str:
    """The size of all of MNIST in one archive."""
    measured = sources.lossless["whole"]
    megabytes = measured["bytes"] / 1e6
    return f"One archive of all {measured['images']:,} digits of MNIST with their labels takes {megabytes:.2f} MB without loss"


def exact_size(sources: Sources) -> str:
    """The size of a digit without loss."""
    return f"keeps every pixel of a digit of MNIST in {sources.lossless['digits']['as they are']['auto']['bytes']:.0f} bytes"


def other_sets(sources: Sources) -> str:
    """Lossless files of sets like MNIST, and those of other codecs."""
    measured = sources.lossless_sets
    rows = []
    for name, each in measured["sets"].items():
        sizes = each["others"] | {"**mnistzip, single files**": each["files"], "**mnistzip, archive**": each["archive"]}
        rows += [[name, codec, f"{size:.1f}", f"{8 * size / each['pixels']:.3f}"] for codec, size in sizes.items()]
    return (
        markdown_table(["all test images", "codec", "bytes per image", "bits per pixel"], rows)
        + f"\n\nMeasured {measured['measured']} with `{measured['command']}`, which decodes each file and compares it with "
        "the image."
    )
