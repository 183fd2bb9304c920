"""Measure the memory and time to read hostile inputs of less than 1 MB under default limits.

    python tools/bounds.py [--only WORD] [--limit SECONDS] [--record]

Each input is read in a separate process. The baseline is this process after it has loaded the library and its models. The
script prints the outcome of each input, its peak memory above the baseline in MB and its processor seconds, and at the end the
worst inputs. A process is stopped after ``--limit`` processor seconds and may not take more than 8 GB. Linux only: memory is
the kernel's peak resident size (VmHWM), reset before the reading; ru_maxrss would include the memory of the parent.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

import mnistzip
from mnistzip.archive.group_header import PartCoding
from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header, Method, varint
from mnistzip.bitstream.stored import deflate
from mnistzip.cli.main import run
from mnistzip.coding.lossless import encode_payloads, pixel_symbols
from mnistzip.idx import idx_header, read_idx
from mnistzip.io.image_file import parse_image
from mnistzip.io.labels import read_labels
from mnistzip.limits import DECODED_PIXELS_MAX, SIDE_MAX
from mnistzip.models import registry
from mnistzip.plugins.chunk_format import Chunk, join
from mnistzip.tiling import tiles_in
from mnistzip.types import Mode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reliability_table import Table
from support import forge
from support.paths import DIGITS, VECTORS

SIDE = 8192  # pixels; the largest image is a square of this side
SIZE_MAX = 1_000_000  # bytes of an input
MEMORY_MAX = 8 << 30
GOAL_MB, GOAL_SECONDS = 500, 10
POLL_SECONDS = 0.5

Input = tuple[str, str, str, bytes]  # description, reader, suffix of the file, content


# Readers of inputs, in the child process


def read_archive(path: Path) -> None:
    with mnistzip.Archive(path) as archive:
        for _ in archive:
            pass


def packed(path: Path, *more: str) -> None:
    if run(["compress", str(path), "--lossless", "--model", "classic", "--quiet", "-f", "-o", os.devnull, *more]):
        raise mnistzip.ImageError("refused by the command")


HOW: dict[str, Callable[[Path], object]] = {
    "decode": lambda path: mnistzip.decode(path.read_bytes()),
    "preview": lambda path: mnistzip.preview(path.read_bytes()),
    "every image": read_archive,
    "one image": lambda path: mnistzip.Archive(path)[0],
    "names": lambda path: mnistzip.Archive(path).names,
    "labels": lambda path: mnistzip.Archive(path).labels,
    "recover": lambda path: len(mnistzip.Archive(path, recover=True)),
    "load": registry.find,
    "image": lambda path: parse_image(path.name, path.read_bytes()),
    "image, --convert": lambda path: parse_image(path.name, path.read_bytes(), convert=True),
    "decompress": lambda path: run(["decompress", str(path), "--to", "pgm", "--quiet", "-f", "-o", os.devnull]),
    "decompress to PNG": lambda path: run(["decompress", str(path), "--quiet", "-f", "-o", os.devnull]),
    "compress": packed,
    "compress, --convert": lambda path: packed(path, "--convert"),
    "test": lambda path: run(["test", "--quiet", str(path)]),
    "decompress, --keep-going": lambda path: run(
        ["decompress", str(path), "--to", "npy", "--keep-going", "--quiet", "-f", "-o", os.devnull]
    ),
    "chunk": lambda path: Chunk.parse(path.read_bytes()).unpack(registry.DEFAULT),
    "labels file": read_labels,
}


def memory(field: str, process: int | str = "self") -> int:
    """A memory field of a process as the kernel reports it, in KiB."""
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


def processor_seconds(process: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def child(how: str, path: Path) -> None:
    """Read an input and print the outcome as JSON."""
    for name in registry.SHIPPED:
        model = registry.shipped(name)
        if model.is_bitmap:
            _ = model.bitmaps
            continue
        _ = model.has_pixel_model and (model.grey_pixels if model.is_grey else model.pixels)
    for name in ("mnist-q1", "lossless-blank", "stored-up"):
        mnistzip.decode((VECTORS / "valid" / f"{name}.cae").read_bytes())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    Path("/proc/self/clear_refs").write_text("5")
    base, began = memory("VmRSS"), time.process_time()
    sys.stdout.write(f"{base}\n")
    sys.stdout.flush()
    try:
        HOW[how](path)
        came = "read"
    except mnistzip.MnistzipError as error:
        came = f"{type(error).__name__}: {error}".replace(f"{path.parent}/", "")
    except BaseException as error:
        came = f"CRASH {error!r}".replace(f"{path.parent}/", "")
    seconds = time.process_time() - began
    sys.stdout.write(json.dumps({"came": came, "mb": (memory("VmHWM") - base) * 1024 / 1e6, "seconds": seconds}) + "\n")


# Inputs


def single() -> Iterator[Input]:
    """Files that claim the most pixels, in each mode and method."""
    for method in (Method.DEFLATE, Method.UP, Method.GRADIENT):
        header = Header(Mode.STORED, SIDE, SIDE, method=method).to_bytes()
        content = forge.stored(header, deflate(bytes(SIDE * SIDE)), bytes(SIDE * SIDE))
        yield f"8192x8192 stored, {method.name.lower()}", "decode", "cae", content
    yield "8192x8192 stored", "decompress", "cae", content
    yield "8192x8192 stored", "decompress to PNG", "cae", content
    header = Header(Mode.STORED, 28, 28, method=Method.DEFLATE).to_bytes()
    yield "28x28 stored, 900 MB deflated", "decode", "cae", header + deflate(bytes(900 << 20)) + b"ab"
    yield "8192x8192 lossy", "decode", "cae", Header(Mode.LOSSY, SIDE, SIDE, model=0, quality=50).to_bytes() + b"\x80"
    for mode, widths in ((Mode.LOSSY, (2048, 32768)), (Mode.LOSSLESS, (512,))):
        for name, number in registry.SHIPPED.items():
            if mode is Mode.LOSSLESS and not registry.shipped(name).has_pixel_model:
                continue
            for width in widths:
                yield coded(mode, width, DECODED_PIXELS_MAX[mode] // width, name, number)
    for name in ("mnist", "glyph"):  # every pixel copies from all earlier pixels
        grey, found = np.full((512, 512), 110, np.uint8), registry.shipped(name)
        header = Header(Mode.LOSSLESS, 512, 512, model=found.named).to_bytes()
        content = header + encode_payloads(found, [header], [grey], pixel_symbols(found, [grey]))[0]
        yield f"512x512 lossless, {name}, of one grey level", "decode", "cae", content
        yield f"512x512 lossless, {name}, of one grey level", "preview", "cae", content
    for side in (28, 112, 280, 500, 1000):  # few streams and many streams are decoded by different code
        for mode in (Mode.LOSSY, Mode.LOSSLESS):
            header = Header(mode, side, side, model=0, quality=50 if mode is Mode.LOSSY else None).to_bytes()
            for stream, of in ((b"\x80" * 100, "ink"), (b"\x80\x01\x02", "little")):
                content = header + streams(tiles_in(side, side), stream)
                yield f"{side}x{side} {mode.name.lower()}, mnist, of {of}", "decode", "cae", content


def coded(mode: Mode, width: int, height: int, name: str, number: int) -> Input:
    """A file of random streams of the maximum length: all is decoded before the check fails."""
    count = -(-tiles_in(width, height) // 16)
    each = min(60 if mode is Mode.LOSSY else SIZE_MAX, (SIZE_MAX - 20) // count - 3)
    random = np.random.default_rng(1)
    body = [b"\xc8" + random.bytes(each - 1) for _ in range(count)]
    header = Header(mode, width, height, model=number, quality=100 if mode is Mode.LOSSY else None).to_bytes()
    return f"{width}x{height} {mode.name.lower()}, {name}", "decode", "cae", header + container.join_streams(body)


def streams(tiles: int, stream: bytes = b"\x80") -> bytes:
    """A payload of equal streams for ``tiles`` tiles."""
    count = -(-tiles // 16)
    return varint(len(stream)) * (count - 1) + stream * count


def group(
    images: int,
    side: int,
    per_lane: int,
    method: Mode = Mode.STORED,
    model: int = 0,
    fingerprint: bytes | None = None,
    **sections: bytes,
) -> bytes:
    """A group of black images; if they are not stored, of streams that a decoder has to read to their end."""
    if fingerprint is None:
        fingerprint = bytes(8) if method is Mode.STORED else registry.by_number(model).fingerprint
    like: dict[str, Any] = {
        "images": images,
        "width": side,
        "height": side,
        "per_lane": per_lane,
        "method": method,
        "model": model,
        "quality": 50 if method is Mode.LOSSY else 0,
        "fingerprint": fingerprint,
        "pixels_crc": zlib.crc32(bytes(images * side * side)),
    }
    seed = PartCoding(method, model, like["quality"], per_lane, fingerprint).seed(images, side, side, b"")
    lanes = []
    for number in range(-(-images // per_lane)):
        count = min(per_lane, images - number * per_lane)
        raw = bytes(count * side * side)
        if method is Mode.STORED:
            lanes.append(forge.checked(seed + number.to_bytes(4, "little"), deflate(raw), raw))
        else:
            lanes.append(streams(count * tiles_in(side, side)))
    shortest = min(map(len, lanes))
    table = varint(shortest) + b"".join(varint(len(lane) - shortest) for lane in lanes)
    return forge.group(table=table, lane=b"".join(lanes), **sections, **like)


def repeated(part: bytes, images: int, **footer: Any) -> bytes:
    """An archive that repeats one group as often as it fits."""
    times = (SIZE_MAX - 64) // (len(part) + 20)
    return forge.archive([part] * times, [images * k for k in range(times + 1)], **footer)


def archives() -> Iterator[Input]:
    """Archives with large images, many images and long names."""
    one = group(1, SIDE, 1)
    yield "archive of an image of 8192x8192", "one image", "cae", forge.archive([one], [0, 1])
    yield "archive of images of 8192x8192", "every image", "cae", repeated(one, 1)
    yield "archive of images of 8192x8192", "decompress", "cae", repeated(one, 1)
    full = group(SIDE_MAX, 32, 256)
    yield "group of 65535 images of 32x32 in lanes of 256", "every image", "cae", forge.archive([full], [0, SIDE_MAX])
    yield "group of 65535 images of 32x32 in lanes of 256", "one image", "cae", forge.archive([full], [0, SIDE_MAX])
    yield "groups of 65535 images of 32x32", "every image", "cae", repeated(full, SIDE_MAX)
    tiny = group(SIDE_MAX, 1, 256)
    yield "group of 65535 images of 1x1", "every image", "cae", forge.archive([tiny], [0, SIDE_MAX])
    least = group(10_699, 1, 256, Mode.LOSSY)
    yield "group of 10,699 lossy images of 1x1", "every image", "cae", forge.archive([least], [0, 10_699])
    yield "groups of an image of 1x1", "every image", "cae", repeated(group(1, 1, 1), 1)
    yield "groups of an image of 1x1", "recover", "cae", repeated(group(1, 1, 1), 1)[:-1]
    markers = forge.START + group(1, 1, 1)[:4] * (SIZE_MAX // 4 - 40)
    yield "nothing but beginnings of groups", "recover", "cae", markers
    for mode, model in ((Mode.LOSSY, 0), (Mode.LOSSY, 1), (Mode.LOSSLESS, 0)):
        what = f"{mode.name.lower()} {'mnist' if model == 0 else 'classic'}"
        lanes = group(SIDE_MAX, 28, 256, mode, model)
        yield f"group of 65535 images of 28x28, {what}", "every image", "cae", forge.archive([lanes], [0, SIDE_MAX])
        yield f"group of 65535 images of 28x28, {what}", "one image", "cae", forge.archive([lanes], [0, SIDE_MAX])
    yield "archive of a lossy image of 8192x8192", "one image", "cae", forge.archive([group(1, SIDE, 1, Mode.LOSSY)], [0, 1])
    long = ("/".join(["x" * 255] * 15) + "\0").encode()
    named = group(1000, 1, 256, names=forge.section(long * 1000))
    yield "groups of 1000 names of 3839 bytes", "names", "cae", repeated(named, 1000, names=True)
    labelled = group(SIDE_MAX, 1, 256, labels=forge.section(b"\x01" + bytes(SIDE_MAX)))
    yield "groups of 65535 labels", "labels", "cae", repeated(labelled, SIDE_MAX, labels=True)
    yield "a bomb for labels", "labels", "cae", repeated(group(2, 1, 2, labels=forge.section(bytes(200 << 20))), 2, labels=True)
    yield "a bomb for names", "names", "cae", repeated(group(2, 1, 2, names=forge.section(bytes(200 << 20))), 2, names=True)
    many = {"images": SIDE_MAX, "per_lane": 256, "table": b"\3" + bytes(256), "lane": bytes(3 * 256)}
    for what, how, sections in (
        ("damaged lanes", "test", {}),
        ("damaged lanes", "decompress, --keep-going", {}),
        ("labels", "labels", {"labels": forge.section(b"\1" + bytes(SIDE_MAX))}),
        ("names of no letter", "names", {"names": forge.section(bytes(SIDE_MAX))}),
        ("names of two letters", "names", {"names": forge.section(b"ab\0" * SIDE_MAX)}),
    ):
        part = forge.group(**many, **sections)
        few = 60 if what == "damaged lanes" else (SIZE_MAX - 64) // (len(part) + 20)  # all of them would take minutes
        firsts = [SIDE_MAX * k for k in range(few + 1)]
        has = {"names": "names" in sections, "labels": "labels" in sections, "width": 1, "height": 1}
        yield f"millions of images of 1x1, {what}", how, "cae", forge.archive([part] * few, firsts, **has)
    count = (SIZE_MAX - 100) // 52
    headers = [forge.group(b"", lane=b"", images=SIDE_MAX, table_bytes=52 * (count - k))[:52] for k in range(count)]
    yield "groups each of which has the others as its table", "recover", "cae", forge.START + b"".join(headers)


def chunks() -> Iterator[Input]:
    """Chunks of arrays."""
    header = Header(Mode.STORED, SIDE, SIDE, method=Method.DEFLATE).to_bytes()
    large = forge.stored(header, deflate(bytes(SIDE * SIDE)), bytes(SIDE * SIDE))
    yield "chunk of 4 images of 8192x8192", "chunk", "chunk", join((4,), [large] * 4)
    _, _, _, content = coded(Mode.LOSSLESS, 1024, 768, "mnist", 0)
    yield "chunk of a lossless image of 1024x768", "chunk", "chunk", join((1,), [content])


def held_models() -> Iterator[Input]:
    """Archives with a model of the maximum cost or size, and an image with the default limit of tiles."""
    for what, content in (
        ("of 190 layers of 160 channels", forge.wide(190, 160, 28)),
        ("of 180 layers of 4 channels", forge.wide(180, 4, 28, 7)),
        ("of a layer of 11 million weights", forge.wide(1, 1100, 7, 3)),
        ("that moves numbers", forge.restless(95, 4)),
        ("of a wide prior", forge.wide_prior(60, 20)),
        ("of wide pixel networks", forge.wide_pixels(512)),
    ):
        yield f"a model {what}", "load", "npz", content
        lossless = "pixel" in what
        model = registry.read_model(content, "large")
        tiles = min(model.default_tile_limit(Mode.LOSSLESS if lossless else Mode.LOSSY), 900_000 // 150)  # bytes a tile
        columns = -(-28 * tiles // SIDE_MAX)
        shape = (28 * (tiles // columns), 28 * columns)
        noise = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
        image = np.resize(read_idx(DIGITS), shape) if lossless else noise  # stored, it takes more bytes
        out = io.BytesIO()
        with mnistzip.ArchiveWriter(out, model=model, lossless=lossless, effort=0, embed_model=True) as writer:
            writer.add(image)
        yield f"archive that holds a model {what}", "one image", "cae", out.getvalue()


def model_files() -> Iterator[Input]:
    for megabytes in (15, 60):
        arrays = {f"a{k}": np.zeros((megabytes << 20) // 10, np.int8) for k in range(10)}
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
        yield f"model of {megabytes} MB of zeros", "load", "npz", out.getvalue()


def png(width: int, height: int, bits: int, kind: int, channels: int) -> bytes:
    """A black PNG, made without its pixels in memory."""
    packer, row = zlib.compressobj(9), bytes(1 + (width * channels * bits + 7) // 8)
    body = b"".join([packer.compress(row * 64) for _ in range(height // 64)] + [packer.flush()])

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def images() -> Iterator[Input]:
    """Images, IDX and arrays that claim large shapes."""
    for what, bits, kind, channels in (
        ("1 bit", 1, 0, 1),
        ("grey", 8, 0, 1),
        ("16 bits", 16, 0, 1),
        ("grey and alpha", 8, 4, 2),
        ("RGB", 8, 2, 3),
        ("RGBA", 8, 6, 4),
    ):
        content = png(SIDE, SIDE, bits, kind, channels)
        if len(content) < SIZE_MAX:
            yield f"PNG of 8192x8192, {what}", "image", "png", content
            yield f"PNG of 8192x8192, {what}", "image, --convert", "png", content
    yield "PNG of 13000x13056", "image", "png", png(13000, 13056, 1, 0, 1)
    yield "PNG of 65536x65536", "image", "png", png(65536, 65536, 1, 0, 1)[:1000]
    yield "PNG of 8192x8192", "compress", "png", png(SIDE, SIDE, 8, 0, 1)
    yield "PNG of 8192x8192, RGBA", "compress, --convert", "png", png(SIDE, SIDE, 8, 6, 4)
    yield "PNG of 8192x8192, 16 bits", "compress, --convert", "png", png(SIDE, SIDE, 16, 0, 1)
    header = idx_header((1, SIDE_MAX, SIDE_MAX))
    yield "IDX of one image of 65535x65535", "compress", "idx3", header
    yield "IDX of images with sides of 2^32-1", "compress", "idx3", idx_header((1, (1 << 32) - 1, (1 << 32) - 1))
    yield "IDX of 2^32-1 images", "compress", "idx3", idx_header(((1 << 32) - 1, 28, 28)) + bytes(784)
    yield "IDX of 255 dimensions", "compress", "idx3", bytes([0, 0, 8, 255]) + b"\0\0\0\1" * 255
    bomb = gzip.compress(idx_header((1, 30000, 30000)) + bytes(900_000_000), 9)
    yield "gzipped IDX of one image of 30000x30000", "compress", "gz", bomb
    bomb = gzip.compress(idx_header((900_000, 32, 32)) + bytes(921_600_000), 9)
    yield "gzipped IDX of 900,000 images of 32x32", "compress", "gz", bomb
    for shape in ((1, SIDE_MAX, SIDE_MAX), (1, 1 << 40, 1), (1, 1 << 62, 1 << 62), (1 << 62, 28, 28)):
        yield f"npy of shape {shape}", "compress", "npy", npy(shape)
    yield "npy of shape (1, 65535, 65535), Fortran", "compress", "npy", npy((1, SIDE_MAX, SIDE_MAX), fortran=True)
    out = io.BytesIO()
    np.savez_compressed(out, images=np.zeros((1, 30000, 30000), np.uint8))
    yield "npz of one image of 30000x30000", "compress", "npz", out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("images.npy", npy((900, 1000, 1000), fortran=True)[:-100] + bytes(900_000_000))
    yield "npz of 900 images of 1000x1000, Fortran", "compress", "npz", out.getvalue()
    out = io.BytesIO()
    np.savez_compressed(out, images=np.zeros((100_000_000, 1, 1), np.uint8), labels=np.zeros(100_000_000, np.int64))
    yield "npz of 100,000,000 labels", "compress", "npz", out.getvalue()
    yield "labels, npy of 2^40", "labels file", "npy", npy((1 << 40,))
    yield "labels, npy of 2^62", "labels file", "npy", npy((1 << 62,))
    yield "labels, IDX of 2^32-1", "labels file", "idx1", idx_header(((1 << 32) - 1,))
    bomb = gzip.compress(idx_header((900_000_000,)) + bytes(900_000_000), 9)
    yield "labels, gzipped IDX of 900,000,000", "labels file", "gz", bomb


def npy(shape: tuple[int, ...], fortran: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": fortran, "shape": shape})
    return out.getvalue() + bytes(100)


def tried(how: str, path: Path, limit: float) -> dict[str, Any]:
    """Read an input in a separate process."""
    command = [sys.executable, __file__, "--child", how, str(path)]
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as on the command line: further threads would only wait
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=alone) as process:
        while True:
            try:
                out, err = process.communicate(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if processor_seconds(process.pid) > limit:
                    most = memory("VmHWM", process.pid)
                    process.kill()
                    base = int(process.communicate()[0].splitlines()[0])
                    return {"came": f"STOPPED after {limit:g} s", "mb": (most - base) * 1024 / 1e6, "seconds": limit}
    if process.returncode:
        return {"came": f"DIED with {process.returncode}", "mb": float("nan"), "seconds": float("nan")}
    outcome: dict[str, Any] = json.loads(out.splitlines()[-1])
    message = err.strip().replace(f"{path.parent}/", "")
    return outcome | ({"came": message} if message else {})


@click.command()
@click.option("--only", default="", help="Only inputs whose name contains this text; --record keeps the others.")
@click.option("--limit", default=120.0, show_default=True, help="Processor seconds for each input.")
@click.option("--record", is_flag=True, help="Keep the table in docs/reliability.json.")
def main(only: str, limit: float, record: bool) -> None:
    rows = []
    table = Table(f"bounds, {mnistzip.engine().name}", "input", "read by", "bytes", "MB more", "seconds", "outcome")
    with tempfile.TemporaryDirectory() as folder:
        for source in (single, archives, chunks, held_models, model_files, images):
            for what, how, suffix, content in source():
                if only not in f"{what} {how}":
                    continue
                assert len(content) < SIZE_MAX, f"{what}: {len(content)} bytes"
                path = Path(folder) / f"input.{suffix}"
                path.write_bytes(content)
                outcome = tried(how, path, limit)
                rows.append(outcome | {"what": f"{what}, {how}"})
                figures = f"{outcome['mb']:.0f}", f"{outcome['seconds']:.1f}"
                table.add(what, how, len(content), *figures, f"{outcome['came']:.90}")
    beyond = [row for row in rows if not (row["mb"] <= GOAL_MB and row["seconds"] <= GOAL_SECONDS)]
    click.echo(f"{len(rows)} inputs, {len(beyond)} of them above {GOAL_MB} MB or {GOAL_SECONDS} s", err=True)
    for key, unit in (("mb", "MB"), ("seconds", "s")):
        worst = max(rows, key=lambda row: -1.0 if row[key] != row[key] else row[key])
        click.echo(f"worst: {worst[key]:.1f} {unit}, {worst['what']}", err=True)
    if record:
        if only:
            table.complete(named_by=2)
        most_mb, most_seconds = (max(float(row[column]) for row in table.rows) for column in (3, 4))
        table.keep(f"{len(table.rows)} inputs under 1 MB, at most {most_seconds:.1f} s and {most_mb:.0f} MB")
    sys.exit(min(len(beyond), 100))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
