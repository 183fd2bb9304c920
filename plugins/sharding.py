"""Many images into many files, a shard of the images each: the plan, and the work on one shard. Who does the work is left open.

A shard is a part of one source, so it can be read without the others. Its file appears whole, then its report does, which says
that it is finished. What is in it hangs on its images and the options alone, not on who made it or when.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mnistzip import api, metrics
from mnistzip.archive.index import Origin
from mnistzip.archive.writer import GROUP_IMAGES, GROUP_PIXELS, ArchiveWriter
from mnistzip.coding.batches import batches
from mnistzip.errors import FormatError, ImageError, MnistzipError, ModelError, OptionError, require_within
from mnistzip.io.detect import holds_many
from mnistzip.io.folders import image_files, natural
from mnistzip.io.image_streams import folder_stream, open_source, require_labels_alike
from mnistzip.io.labels import read_labels
from mnistzip.io.parquet import pyarrow_parquet
from mnistzip.io.read_options import InputOptions, Item, Stream, ignore
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.options import DEFAULT_EFFORT, DEFAULT_QUALITY, ArchiveOptions
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import is_address, local_path

KINDS = {"cae": ".cae", "parquet": ".parquet"}
SHARD_SIZE = 1 << 16
SHARD_SIZE_MAX = 1 << 30
ATTEMPTS = 3  # where a disk or network fails
WORKERS_LOST = 4  # after which a shard is given up
PAUSE = 2.0  # seconds before the second attempt, twice as many before the third
FAILURES_KEPT = 100  # images of a shard that could not be taken and are named
ROWS, ROW_BYTES = 1 << 16, 1 << 26  # of a row group of Parquet
REPORTS = "_reports"
BEGUN = ".begun"  # beside a shard's report while a worker is at it


class ShardError(MnistzipError):
    """Some shards could not be written; the others are there."""


@dataclass(frozen=True)
class Shard:
    """The images of one file.

    Attributes:
        source: where they are from.
        first: the first of them in the source.
        before: how many images other sources hold before this one.
        files: of a source that is a folder, the files of these images.
    """

    number: int
    source: str
    first: int
    count: int
    before: int
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Its file's name, without a suffix."""
        return f"part-{self.number:05}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all shards have in common; it goes to whoever works on one. ``fingerprint`` is that of the model, in hex."""

    out: str
    to: str
    quality: int
    lossless: bool
    effort: int
    model: str
    fingerprint: str
    convert: bool
    labels: str | None
    named: bool
    labelled: bool
    several: bool
    origin: Origin

    def path(self, shard: Shard) -> Path:
        """Where a shard's file goes."""
        return Path(self.out) / (shard.name + KINDS[self.to])

    def report_path(self, shard: Shard) -> Path:
        """Where a shard's report goes."""
        return Path(self.out) / REPORTS / f"{shard.name}.json"

    def find_model(self) -> str | Model:
        """What to code by: the model, or ``auto``.

        Raises:
            ModelError: it is not at hand here, or has other weights than where the plan was made.
        """
        here = _fingerprint_of(self.model)
        if here != self.fingerprint:
            told = f"{self.model} is {here} here and {self.fingerprint} where the plan was made"
            raise ModelError(f"{told}: install one version of mnistzip everywhere")
        return self.model if self.model == registry.AUTO else registry.find(self.model)


@dataclass
class Report:
    """What became of a shard.

    Attributes:
        squared_error: sum over its pixels; None in Parquet, whose files are not decoded again.
        failures: images that could not be taken and why, the first 100 of them; ``failed`` counts all.
        error: why there is no file, if there is none.
    """

    shard: int
    images: int = 0
    failed: int = 0
    raw_bytes: int = 0
    bytes: int = 0
    squared_error: float | None = None
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass
class Summary:
    """Sums over all shards; ``resumed`` of them were finished before."""

    shards: int = 0
    resumed: int = 0
    images: int = 0
    failed: int = 0
    raw_bytes: int = 0
    bytes: int = 0
    squared_error: float | None = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Count a shard in."""
        self.shards += 1
        for name in ("images", "failed", "raw_bytes", "bytes", "failures"):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        known = self.squared_error is not None and report.squared_error is not None
        self.squared_error = self.squared_error + report.squared_error if known else None  # type: ignore[operator]

    @property
    def psnr_db(self) -> float | None:
        """PSNR of all images; infinite if they are identical, None if it is not known."""
        if self.squared_error is None or not self.raw_bytes:
            return None
        return metrics.psnr_of_mse(self.squared_error / self.raw_bytes)


def _fingerprint_of(model: str) -> str:
    """The fingerprint of a model in hex, or of all that ``auto`` chooses from."""
    return "-".join(candidate.fingerprint.hex() for candidate in registry.candidates(model))


def plan(
    sources: Sequence[str],
    out: str,
    *,
    to: str = "cae",
    shard_size: int = SHARD_SIZE,
    labels: str | None = None,
    convert: bool = False,
    quality: int = DEFAULT_QUALITY,
    lossless: bool = False,
    effort: int = DEFAULT_EFFORT,
    model: str = registry.DEFAULT,
) -> tuple[Job, list[Shard]]:
    """Cut sources into shards; headers are read, images are not.

    Raises:
        OptionError: an option outside its range.
        ImageError, FormatError, ModelError, OSError: as :func:`mnistzip.io.image_streams.open_stream` and
        :func:`mnistzip.encode`.
    """
    if to not in KINDS:
        raise OptionError(f"shards are written as {' or '.join(KINDS)}, not as {to!r}")
    if is_address(out):
        raise OptionError(f"{out} is an address: shards are written into a folder that all workers see, so give its path")
    out = local_path(out)
    require_within("shard_size", shard_size, 1, SHARD_SIZE_MAX)
    ArchiveOptions(quality=quality, effort=effort).require_valid()
    sources = [file for source in sources for file in _expand(os.path.abspath(source))]
    several = len(sources) > 1
    reading = InputOptions(convert=convert, model=model)
    shards: list[Shard] = []
    streams: list[Stream] = []
    before = 0
    for source in sources:
        files = image_files(Path(source)) if os.path.isdir(source) else []
        stream = folder_stream(Path(source), files, reading, "") if files else open_source(source, reading)
        count = stream.count or 0
        for first in range(0, count, shard_size):
            size = min(shard_size, count - first)
            shards.append(Shard(len(shards), source, first, size, before, tuple(files[first : first + size])))
        before += count
        streams.append(stream)
    if labels is None:
        require_labels_alike(sources, streams)
    elif len(read_labels(Path(labels))) != before:
        raise OptionError(f"{labels} holds {len(read_labels(Path(labels)))} labels for {before} images")
    origins = {stream.origin for stream in streams}
    job = Job(
        out=os.path.abspath(out),
        to=to,
        quality=quality,
        lossless=lossless,
        effort=effort,
        model=model if registry.is_shipped(model) else os.path.abspath(model),
        fingerprint=_fingerprint_of(model),
        convert=convert,
        labels=None if labels is None else os.path.abspath(labels),
        named=any(stream.named for stream in streams),
        labelled=labels is not None or all(stream.labelled for stream in streams),
        several=several,
        origin=origins.pop() if len(origins) == 1 else Origin.NONE,
    )
    if to == "parquet":
        pyarrow_parquet(Path(out))  # if it is missing, say so now
    return job, shards


def _expand(source: str) -> list[str]:
    """A source, or the files in it if it is a folder of files that hold many images each."""
    if not os.path.isdir(source):
        return [source]
    held = [str(path) for path in sorted(Path(source).iterdir(), key=natural) if holds_many(str(path))]
    return held or [source]


def pack_shard(job: Job, model: str | Model, shard: Shard, sleep: Callable[[float], None] = time.sleep) -> Report:
    """Write a shard's file and then its report; a failing disk or network is tried again. No error is raised, but reported.

    A shard whose workers died again and again, for want of memory perhaps, is given up.
    """
    begun = job.report_path(shard).with_suffix(BEGUN)
    try:
        begun.parent.mkdir(parents=True, exist_ok=True)
        with begun.open("ab") as file:
            file.write(b"*")  # one for every worker that began
        if begun.stat().st_size > WORKERS_LOST:
            return Report(shard.number, error=f"{shard.name}: {WORKERS_LOST} workers died of it")
        return _pack_shard(job, model, shard, sleep)
    except OSError as error:
        return Report(shard.number, error=f"{shard.name}: {error}")
    finally:
        with suppress(OSError):
            begun.unlink()


def _pack_shard(job: Job, model: str | Model, shard: Shard, sleep: Callable[[float], None]) -> Report:
    began = time.perf_counter()
    for attempt in range(ATTEMPTS):
        report = Report(shard.number)
        try:
            (_write_archive if job.to == "cae" else _write_parquet)(job, model, shard, report)
            report.bytes = job.path(shard).stat().st_size
            report.seconds = time.perf_counter() - began
            with AtomicFile(job.report_path(shard)) as file:
                file.write(json.dumps(asdict(report)).encode())
            return report
        except MnistzipError as error:
            return Report(shard.number, error=f"{shard.name}: {error}")
        except OSError as error:
            failure = Report(shard.number, error=f"{shard.name}: {error}")
        if attempt + 1 < ATTEMPTS:
            sleep(PAUSE * 2**attempt)
    return failure


def _items(job: Job, shard: Shard, report: Report) -> Iterator[Item]:
    """The images of a shard that can be taken; of the others the report says why not."""
    folder = Path(shard.source)
    reading = InputOptions(convert=job.convert, model=job.model, say=ignore)  # the plan has said it
    if shard.files:
        stream = folder_stream(folder, shard.files, reading, folder.name if job.several else "")
    else:
        stream = open_source(shard.source, reading, first=shard.first)
    labels = None if job.labels is None else read_labels(Path(job.labels))[shard.before + shard.first :]
    for number in range(shard.count):
        item = next(stream.items, None)
        if item is None:
            raise FormatError(f"{shard.source} holds fewer images than when the plan was made")
        if isinstance(item.image, ImageError):
            report.failed += 1
            report.failures += [f"{item.where}: {item.image}"][: FAILURES_KEPT - len(report.failures)]
        elif isinstance(item.image, Exception):
            raise item.image
        else:
            label = item.label if labels is None else int(labels[number])
            report.images += 1
            report.raw_bytes += item.image.size
            yield Item(item.image, item.name, label, item.where)


def _write_archive(job: Job, model: str | Model, shard: Shard, report: Report) -> None:
    how: dict[str, Any] = {"quality": job.quality, "lossless": job.lossless, "effort": job.effort}
    with ArchiveWriter(job.path(shard), origin=job.origin, model=model, **how) as writer:
        for item in _items(job, shard, report):
            writer.add(item.image, name=item.name if job.named else None, label=item.label if job.labelled else None)  # type: ignore[arg-type]
    report.squared_error = writer.squared_error


def _write_parquet(job: Job, model: str | Model, shard: Shard, report: Report) -> None:
    path = job.path(shard)
    parquet = pyarrow_parquet(path)
    import pyarrow

    fields = [("image", pyarrow.binary())]
    fields += [("name", pyarrow.string())] * job.named + [("label", pyarrow.int64())] * job.labelled
    schema = pyarrow.schema(fields)
    how: dict[str, Any] = {"quality": job.quality, "lossless": job.lossless, "effort": job.effort}
    encoding = {"image": "DELTA_LENGTH_BYTE_ARRAY"}
    rows: list[dict[str, Any]] = []
    with AtomicFile(path) as file:
        writer = parquet.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=["label"] if job.labelled else False, column_encoding=encoding
        )

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

        items = _items(job, shard, report)
        # as many together as a group of an archive has
        for batch in batches(items, lambda item: item.image.size, GROUP_PIXELS, GROUP_IMAGES):  # type: ignore[union-attr]
            files = api.encode_many([item.image for item in batch], model=model, **how)  # type: ignore[misc]
            rows += [{"image": file, "name": item.name, "label": item.label} for file, item in zip(files, batch, strict=True)]
            if len(rows) >= ROWS or sum(len(row["image"]) for row in rows) >= ROW_BYTES:
                flush()
        if rows:
            flush()
        writer.close()
