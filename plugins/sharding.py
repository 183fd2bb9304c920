"""Many images into many files: sources are cut into shards, and any worker can write any shard.

:func:`plan` makes a list of shards from sources, and :func:`pack_shard` writes one of them. :mod:`mnistzip.plugins.ray` gives
the shards to workers. A shard is a part of one source, so a worker reads it without reading the others. Its bytes depend on its
images and the options alone. The file appears whole; the report appears after it and marks the shard as finished.

    job, shards = plan(["digits-idx3-ubyte"], "packed", to="parquet", effort=0)
    reports = [pack_shard(job, job.find_model(), shard) for shard in shards]
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Unpack, cast

from mnistzip import api, metrics
from mnistzip.archive.index import Origin
from mnistzip.archive.writer import GROUP_IMAGES, GROUP_PIXELS, ArchiveWriter
from mnistzip.coding.batches import batches
from mnistzip.errors import FormatError, ImageError, MnistzipError, ModelError, OptionError, require_within
from mnistzip.io.detect import holds_many
from mnistzip.io.folders import image_files, natural
from mnistzip.io.image_streams import folder_stream, open_source, require_labels_alike
from mnistzip.io.inputs import ignore
from mnistzip.io.labels import read_labels
from mnistzip.io.parquet import pyarrow_parquet
from mnistzip.io.read_options import InputOptions, Item, Stream
from mnistzip.models import registry
from mnistzip.options import ArchiveKeywords, ArchiveOptions, ModelName, with_options
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import is_address, local_path

SUFFIXES = {"cae": ".cae", "parquet": ".parquet"}
SHARD_SIZE = 1 << 16  # images
SHARD_SIZE_MAX = 1 << 30
ATTEMPTS = 3  # to write a shard while a disk or network fails
RETRY_SECONDS = 2.0  # before the second attempt; twice as long before the third
WORKERS_LOST_MAX = 4  # workers that may die while they write a shard; then the shard is given up
FAILURES_NAMED = 100  # unreadable images of a shard that its report names
ROW_GROUP_ROWS, ROW_GROUP_BYTES = 1 << 16, 1 << 26  # of Parquet
REPORTS_FOLDER = "_reports"
STARTED_SUFFIX = ".begun"  # next to the report of a shard while a worker writes the shard


class ShardError(MnistzipError):
    """Some shards could not be written; all others are complete."""


@dataclass(frozen=True)
class Shard:
    """Consecutive images of one source, which go into one file.

    Attributes:
        source: path of the source.
        first: index of the first image in the source.
        count: number of images.
        source_offset: number of images in all earlier sources together.
        files: the image files, if the source is a folder of images.
    """

    number: int
    source: str
    first: int
    count: int
    source_offset: int
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file without its suffix, ``part-00000``."""
        return f"part-{self.number:05}"


@dataclass(frozen=True, kw_only=True)
class ShardJob(ArchiveOptions):
    """The options that all shards share, those of encoding among them; each worker gets a copy.

    Attributes:
        out: the folder for the files, an absolute path.
        to: format of the files, a key of :data:`SUFFIXES`.
        fingerprint: fingerprint of the model in hex.
        labels: path of one file with the labels of all images.
        named, labelled: whether the files hold names, labels.
        several: whether there is more than one source; names then start with the name of the source's folder.
        origin: format of the sources, if all have the same.
    """

    out: str
    to: str
    fingerprint: str
    convert: bool
    labels: str | None
    named: bool
    labelled: bool
    several: bool
    origin: Origin

    def path(self, shard: Shard) -> Path:
        """Path of the file of a shard."""
        return Path(self.out) / (shard.name + SUFFIXES[self.to])

    def report_path(self, shard: Shard) -> Path:
        """Path of the report of a shard."""
        return Path(self.out) / REPORTS_FOLDER / f"{shard.name}.json"

    def archive_keywords(self, model: ModelName) -> ArchiveKeywords:
        """The options of encoding, with the model that a worker has loaded."""
        keywords = {option.name: getattr(self, option.name) for option in fields(ArchiveOptions)}
        return cast(ArchiveKeywords, keywords | {"model": model})

    def find_model(self) -> ModelName:
        """The model to encode with, or the name ``auto``.

        Raises:
            ModelError: this machine does not have the model, or has other weights than the machine that made the plan.
        """
        fingerprint = _fingerprint_of(self.model)
        if fingerprint != self.fingerprint:
            difference = f"{self.model} is {fingerprint} on this machine and {self.fingerprint} in the plan"
            raise ModelError(f"{difference}: install one version of mnistzip everywhere")
        return self.model if self.model == registry.AUTO else registry.find(self.model)


@dataclass
class Report:
    """The result of one shard; as JSON it is the report file.

    Attributes:
        shard: number of the shard.
        images: number of images in the file.
        failed: number of unreadable images.
        raw_bytes, bytes: size of the pixels and of the file.
        squared_error: sum over all pixels, in squared grey levels; None for Parquet, whose files are not decoded again.
        seconds: time to write the shard.
        failures: for the first 100 unreadable images, name and error.
        error: why the file is missing; None if it is complete.
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
    """Sums of the reports of all complete shards; fields as in :class:`Report`.

    Attributes:
        shards: number of complete shards.
        resumed: number of those that an earlier call completed.
    """

    shards: int = 0
    resumed: int = 0
    images: int = 0
    failed: int = 0
    raw_bytes: int = 0
    bytes: int = 0
    squared_error: float | None = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Add the report of a shard to the sums."""
        self.shards += 1
        for name in ("images", "failed", "raw_bytes", "bytes", "failures"):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        if self.squared_error is None or report.squared_error is None:
            self.squared_error = None
        else:
            self.squared_error += report.squared_error

    @property
    def psnr_db(self) -> float | None:
        """PSNR of all images; infinite if every pixel is equal, None if it is unknown."""
        if self.squared_error is None or not self.raw_bytes:
            return None
        return metrics.psnr_of_mse(self.squared_error / self.raw_bytes)


def _fingerprint_of(model: ModelName) -> str:
    """The fingerprint of a model in hex; for ``auto`` those of all models that it chooses from."""
    return "-".join(candidate.fingerprint.hex() for candidate in registry.candidates(model))


@with_options(ArchiveOptions)
def plan(
    sources: Sequence[str],
    out: str,
    *,
    to: str = "cae",
    shard_size: int = SHARD_SIZE,
    labels: str | None = None,
    convert: bool = False,
    **options: Unpack[ArchiveKeywords],
) -> tuple[ShardJob, list[Shard]]:
    """Cut sources into shards. Reads their headers, but no images.

    Args:
        sources: folders of images, Parquet, IDX and array files, archives, or folders of such files.
        out: the folder for the shards; all workers must see it under this path.
        to: ``"cae"`` for archives or ``"parquet"``.
        shard_size: images per shard, at most.
        labels: a file with one label for each image of all sources; without it the labels of the sources are kept.
        convert: whether images that are not 8-bit greyscale are converted.
        options: quality, lossless, max_error, effort and model, as for :func:`mnistzip.encode`; a model is a name or a path.

    Returns:
        The options that all shards share, and the shards in the order of the images.

    Raises:
        OptionError: an option outside its range, or not one label for each image.
        ImageError: a source without images.
        FormatError: a damaged source.
        ModelError: no such model.
        OSError: a source cannot be read.
    """
    if to not in SUFFIXES:
        raise OptionError(f"shards are written as {' or '.join(SUFFIXES)}, not as {to!r}")
    if is_address(out):
        raise OptionError(f"{out} is an address: shards need a folder that all workers see, so give its path")
    out = local_path(out)
    require_within("shard_size", shard_size, 1, SHARD_SIZE_MAX)
    wanted = ArchiveOptions(**options)
    wanted.require_valid()
    model = os.fspath(wanted.model) if isinstance(wanted.model, Path) else wanted.model
    if not isinstance(model, str):
        raise OptionError(f"model is a {type(model).__name__}: give a name or a path, which workers on other machines can open")
    sources = [file for source in sources for file in _expand(os.path.abspath(source))]
    reading = InputOptions(convert=convert, model=model)
    shards: list[Shard] = []
    streams: list[Stream] = []
    total = 0
    for source in sources:
        files = image_files(Path(source)) if os.path.isdir(source) else []
        stream = folder_stream(Path(source), files, reading, "") if files else open_source(source, reading)
        source_count = stream.count or 0
        for first in range(0, source_count, shard_size):
            count = min(shard_size, source_count - first)
            shards.append(Shard(len(shards), source, first, count, total, tuple(files[first : first + count])))
        total += source_count
        streams.append(stream)
    if labels is None:
        require_labels_alike(sources, streams)
    elif (label_count := len(read_labels(Path(labels)))) != total:
        raise OptionError(f"{labels} holds {label_count} labels for {total} images")
    origins = {stream.origin for stream in streams}
    job = ShardJob(
        **options | {"model": model if registry.is_shipped(model) else os.path.abspath(model)},
        out=os.path.abspath(out),
        to=to,
        fingerprint=_fingerprint_of(model),
        convert=convert,
        labels=None if labels is None else os.path.abspath(labels),
        named=any(stream.named for stream in streams),
        labelled=labels is not None or all(stream.labelled for stream in streams),
        several=len(sources) > 1,
        origin=origins.pop() if len(origins) == 1 else Origin.NONE,
    )
    if to == "parquet":
        pyarrow_parquet(Path(out))  # raises here, not in a worker, if pyarrow is missing
    return job, shards


def _expand(source: str) -> list[str]:
    """The source itself, or its files if it is a folder of files that hold many images each."""
    if not os.path.isdir(source):
        return [source]
    files = [str(path) for path in sorted(Path(source).iterdir(), key=natural) if holds_many(str(path))]
    return files or [source]


def pack_shard(job: ShardJob, model: ModelName, shard: Shard, sleep: Callable[[float], None] = time.sleep) -> Report:
    """Write the file of a shard, then its report.

    An error of the disk or network is tried again, up to three attempts in all. A shard whose workers die, perhaps for lack of
    memory, is given up after the fourth. No error is raised: the report holds it.

    Args:
        job: the options that all shards share.
        model: the result of :meth:`ShardJob.find_model`; a worker loads it once for all of its shards.
        shard: the images.
        sleep: waits for a number of seconds between attempts.
    """
    started = job.report_path(shard).with_suffix(STARTED_SUFFIX)
    try:
        started.parent.mkdir(parents=True, exist_ok=True)
        with started.open("ab") as file:
            file.write(b"*")  # one byte for each worker that starts; a worker that dies leaves the file
        if started.stat().st_size > WORKERS_LOST_MAX:
            return Report(shard.number, error=f"{shard.name}: {WORKERS_LOST_MAX} workers died of it")
        return _pack_shard(job, model, shard, sleep)
    except OSError as error:
        return Report(shard.number, error=f"{shard.name}: {error}")
    finally:
        with suppress(OSError):
            started.unlink()


def _pack_shard(job: ShardJob, model: ModelName, shard: Shard, sleep: Callable[[float], None]) -> Report:
    """Write a shard, with further attempts if the system reports an error."""
    start = time.perf_counter()
    write = _write_archive if job.to == "cae" else _write_parquet
    for attempt in range(ATTEMPTS):
        report = Report(shard.number)
        try:
            write(job, model, shard, report)
            report.bytes = job.path(shard).stat().st_size
            report.seconds = time.perf_counter() - start
            with AtomicFile(job.report_path(shard)) as file:
                file.write(json.dumps(asdict(report)).encode())
            return report
        except MnistzipError as error:
            return Report(shard.number, error=f"{shard.name}: {error}")
        except OSError as error:
            failure = Report(shard.number, error=f"{shard.name}: {error}")
        if attempt + 1 < ATTEMPTS:
            sleep(RETRY_SECONDS * 2**attempt)
    return failure


def _items(job: ShardJob, shard: Shard, report: Report) -> Iterator[Item]:
    """The readable images of a shard; the others are counted and named in the report."""
    folder = Path(shard.source)
    reading = InputOptions(convert=job.convert, model=job.model, say=ignore)  # the plan gave the warnings
    if shard.files:
        stream = folder_stream(folder, shard.files, reading, folder.name if job.several else "")
    else:
        stream = open_source(shard.source, reading, first=shard.first)
    labels = None if job.labels is None else read_labels(Path(job.labels))[shard.source_offset + shard.first :]
    for number in range(shard.count):
        item = next(stream.items, None)
        if item is None:
            raise FormatError(f"{shard.source} holds fewer images than when the plan was made: it has changed")
        if isinstance(item.image, ImageError):
            report.failed += 1
            report.failures += [f"{item.where}: {item.image}"][: FAILURES_NAMED - len(report.failures)]
        elif isinstance(item.image, Exception):
            raise item.image
        else:
            label = item.label if labels is None else int(labels[number])
            report.images += 1
            report.raw_bytes += item.image.size
            yield Item(item.image, item.name, label, item.where)


def _write_archive(job: ShardJob, model: ModelName, shard: Shard, report: Report) -> None:
    """Write a shard as an archive."""
    with ArchiveWriter(job.path(shard), origin=job.origin, **job.archive_keywords(model)) as writer:
        for item in _items(job, shard, report):
            writer.add(item.image, name=item.name if job.named else None, label=item.label if job.labelled else None)  # type: ignore[arg-type]
    report.squared_error = writer.squared_error


def _write_parquet(job: ShardJob, model: ModelName, shard: Shard, report: Report) -> None:
    """Write a shard as Parquet: a binary column of ``.cae`` files, with names and labels where the sources have them."""
    path = job.path(shard)
    parquet = pyarrow_parquet(path)
    import pyarrow

    columns = [("image", pyarrow.binary())]
    columns += [("name", pyarrow.string())] * job.named + [("label", pyarrow.int64())] * job.labelled
    schema = pyarrow.schema(columns)
    rows: list[dict[str, Any]] = []
    with AtomicFile(path) as file:
        writer = parquet.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=["label"] if job.labelled else False,
            column_encoding={"image": "DELTA_LENGTH_BYTE_ARRAY"},
        )

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

        items = _items(job, shard, report)
        # encoded together: as many images as a group of an archive has
        for batch in batches(items, lambda item: item.image.size, GROUP_PIXELS, GROUP_IMAGES):  # type: ignore[union-attr]
            files = api.encode_many([item.image for item in batch], **job.archive_keywords(model))  # type: ignore[misc]
            rows += [{"image": file, "name": item.name, "label": item.label} for file, item in zip(files, batch, strict=True)]
            if len(rows) >= ROW_GROUP_ROWS or sum(len(row["image"]) for row in rows) >= ROW_GROUP_BYTES:
                flush()
        if rows:
            flush()
        writer.close()
