"""Use mnistzip from many threads of one process for a long time, among faults, and watch its memory.

    python tools/soak.py [--minutes 60] [--threads 8] [--seed 1] [--out runs/soak]

Each thread encodes, decodes, writes archives, appends to them and reads from them, in random order. Meanwhile disks are full (a
small file system in memory where the user may mount one, and everywhere a file that refuses to grow), processes that read are
killed, archives are replaced and cut short beneath their readers, and files are damaged. Every result is compared with bytes
and pixels that were computed before the threads started; a fault may end in an exception of mnistzip or of the system, as
docs/usage.md says, and in nothing else.

Every few seconds the script writes resident memory, open files and threads into ``samples.csv``, and at the end ``soak.json``
and a chart, ``memory.png``, which needs matplotlib. It reads ``/proc``, so it needs Linux. Exit code 1 if a result is wrong, an
exception is unexpected, a file or thread is left open, or the memory of the last tenth of the time exceeds that after the first
two fifths by more than 10%.
"""

from __future__ import annotations

import argparse
import csv
import errno
import gc
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does

import numpy as np

import mnistzip
from mnistzip.idx import read_idx
from mnistzip.models import registry
from mnistzip.types import Pixels
from reliability_table import ROOT, Table, record_option

DIGITS = read_idx(Path(__file__).parents[1] / "tests" / "data" / "digits-idx3-ubyte.gz")
WAYS: tuple[dict[str, Any], ...] = (
    {"quality": 50, "effort": 0, "model": "mnist"},
    {"quality": 30, "effort": 1, "model": "mnist-fast"},
    {"quality": 70, "effort": 0, "model": "grey"},
    {"lossless": True, "model": "mnist"},
    {"max_error": 8, "model": "glyph"},
)
DISK_BYTES = 1 << 14  # of a disk that is full soon
FILE_BYTES = 600  # that a file takes before its disk is full
APPENDED_MAX = 64  # images of an archive, before it begins anew
SAMPLE_SECONDS = 3.0
CHART = ROOT / "docs" / "memory.png"
WARM_UP, LAST = 0.4, 0.1  # parts of the time: memory of the last part is compared with that just after the warm-up
GROWTH_MAX = 0.10
HANGS_SECONDS = 300.0  # that the last work may take
UNNOTICED = 1 / 65_536  # of damaged files, at most, by the size of the check
UNNOTICED_BY_CHANCE = 2  # files more


# ---- What is expected ----


@dataclass(frozen=True)
class Expected:
    """What a way of coding makes of the digits.

    Attributes:
        files, images: of each digit.
        archive, archived: an archive, and its pixels.
        grown: the pixels of archives of one digit each: some digits are lossless in a file and lossy in an archive.
    """

    how: dict[str, Any]
    files: list[bytes]
    images: list[Pixels]
    archive: bytes
    archived: list[Pixels]
    grown: list[Pixels]


def expectations(count: int) -> list[Expected]:
    """The results of all ways for some digits, computed by one thread."""
    found = []
    for how in WAYS:
        files = mnistzip.encode_many(DIGITS[:count], **how)
        archive = mnistzip.encode_archive(DIGITS[:count], **how)
        grown = [mnistzip.Archive(mnistzip.encode_archive([digit], **how))[0] for digit in DIGITS[:count]]
        found.append(Expected(how, files, mnistzip.decode_many(files), archive, list(mnistzip.Archive(archive)), grown))
    return found


class WrongResultError(Exception):
    """A result differs from the expected one."""


def require(holds: bool, what: str) -> None:
    """Raise :class:`WrongResultError` unless a statement holds."""
    if not holds:
        raise WrongResultError(what)


def require_images(found: Sequence[Pixels], expected: Sequence[Pixels], what: str) -> None:
    """Raise :class:`WrongResultError` unless images are equal."""
    require(len(found) == len(expected), f"{what}: {len(found)} images, not {len(expected)}")
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        require(np.array_equal(one, other), f"{what}: image {number} differs")


# ---- What the threads do ----


class FullFile(io.BytesIO):
    """A file on a disk that is full after some bytes."""

    def write(self, data: object, /) -> int:
        written = super().write(data)  # type: ignore[arg-type]
        if self.tell() > FILE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written


class Worker:
    """The work of one thread, in a folder of its own. Each method is one kind of work; it raises if a result is wrong."""

    def __init__(self, expected: Sequence[Expected], folder: Path, small_disk: Path | None, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self._expected, self._small_disk = expected, small_disk
        self._grown = dict.fromkeys(range(len(expected)), 0)  # images of the archives that grow
        self.damaged = self.unnoticed = 0
        folder.mkdir()

    def _pick(self) -> tuple[int, Expected]:
        number = self.random.randrange(len(self._expected))
        return number, self._expected[number]

    def encode(self) -> None:
        """One digit, or some in a batch."""
        _, told = self._pick()
        first = self.random.randrange(len(told.files))
        last = first + self.random.randint(1, 4)
        files = mnistzip.encode_many(DIGITS[first : min(last, len(told.files))], **told.how)
        require(files == told.files[first:last], f"encode_many with {told.how}: other bytes")

    def decode(self) -> None:
        """Files of all ways in one call."""
        chosen = [self.random.randrange(len(told.files)) for told in self._expected]
        files = [told.files[k] for told, k in zip(self._expected, chosen, strict=True)]
        images = [told.images[k] for told, k in zip(self._expected, chosen, strict=True)]
        require_images(mnistzip.decode_many(files, threads=self.random.choice((1, 2))), images, "decode_many")

    def write_archive(self) -> None:
        """A whole archive."""
        number, told = self._pick()
        path = self.folder / f"written-{number}.cae"
        with mnistzip.ArchiveWriter(path, threads=self.random.choice((1, 2)), **told.how) as writer:
            for image in DIGITS[: len(told.files)]:
                writer.add(image)
        require(path.read_bytes() == told.archive, f"ArchiveWriter with {told.how}: other bytes")

    def append(self) -> None:
        """A digit more in an archive, which then is read."""
        number, told = self._pick()
        path, count = self.folder / f"grown-{number}.cae", self._grown[number]
        if count >= APPENDED_MAX:
            path.unlink()
            count = 0
        first = count % len(told.files)
        with mnistzip.ArchiveWriter(path, append=True, **told.how) as writer:
            writer.add(DIGITS[first], label=first)
        self._grown[number] = count + 1
        with mnistzip.Archive(path) as archive:
            require(len(archive) == count + 1, f"{len(archive)} images after {count + 1} were appended")
            require(archive.labels is not None and archive.labels[-1] == first, "the last label differs")
            chosen = self.random.randrange(count + 1)
            require_images([archive[chosen]], [told.grown[chosen % len(told.files)]], "an archive that grows")

    def read(self) -> None:
        """Images of an archive in memory, in several ways."""
        _, told = self._pick()
        archive, count = mnistzip.Archive(told.archive), len(told.archived)
        first = self.random.randrange(count)
        last = self.random.randint(first, count)
        require_images([archive[first]], [told.archived[first]], "an archive, one image")
        require_images(archive[first:last], told.archived[first:last], "an archive, a slice")

    # ---- Faults ----

    def fill_disk(self) -> None:
        """A file that refuses to grow, or a disk that is full: the writer raises OSError, and an old file stays."""
        _, told = self._pick()
        if self._small_disk is None or self.random.random() < 0.5:
            self._write_too_much(FullFile(), 10 * list(DIGITS), told.how)
            return
        path = self._small_disk / f"{self.folder.name}.cae"
        path.write_bytes(b"")  # takes no room
        noise = [np.random.default_rng(seed).integers(0, 256, (28, 28), np.uint8) for seed in range(DISK_BYTES // 784 + 2)]
        self._write_too_much(path, noise, {"lossless": True, "model": "mnist"})
        require(path.read_bytes() == b"", "a full disk changes an old file")
        left = [name for name in os.listdir(self._small_disk) if f"-{path.name}-" in name]
        require(not left, f"a full disk leaves {left}")

    def _write_too_much(self, file: Path | FullFile, images: Sequence[Pixels], how: dict[str, Any]) -> None:
        """Write an archive that the disk cannot hold."""
        try:
            with mnistzip.ArchiveWriter(file, **how) as writer:
                for image in images:
                    writer.add(image)
        except OSError as error:
            require(error.errno == errno.ENOSPC, f"a full disk raises {error!r}")
        else:
            raise WrongResultError("a full disk raises nothing")

    def kill_reader(self) -> None:
        """A process that reads an archive is killed; the archive stays."""
        number, told = self._pick()
        path = self.folder / f"killed-{number}.cae"
        path.write_bytes(told.archive)
        code = "import sys, mnistzip\nprint('ready', flush=True)\nwhile True: list(mnistzip.Archive(sys.argv[1]))"
        with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            require(process.stdout.readline() == b"ready\n", "a process that reads does not start")
            time.sleep(self.random.random() * 0.3)
            process.send_signal(signal.SIGKILL)
        require(process.returncode == -signal.SIGKILL, f"a process that reads ends with {process.returncode}")
        require_images(mnistzip.Archive(path)[:], told.archived, "an archive whose reader was killed")

    def replace_file(self) -> None:
        """Another archive takes the place of one that is open: the reader keeps what it opened."""
        (_, told), (_, other) = self._pick(), self._pick()
        path = self.folder / "replaced.cae"
        path.write_bytes(told.archive)
        with mnistzip.Archive(path) as archive:
            path.with_suffix(".new").write_bytes(other.archive)
            path.with_suffix(".new").replace(path)
            require_images(archive[:], told.archived, "an archive that was replaced")
        require_images(mnistzip.Archive(path)[:], other.archived, "the archive that replaced it")

    def cut_file(self) -> None:
        """An open archive is cut short, or overwritten by another: FormatError, or the pixels that were there."""
        (_, told), (_, other) = self._pick(), self._pick()
        path = self.folder / "cut.cae"
        path.write_bytes(told.archive)
        with mnistzip.Archive(path) as archive:
            if self.random.random() < 0.5:
                os.truncate(path, self.random.randrange(len(told.archive)))
            else:
                path.write_bytes(other.archive)
            self._refuse(lambda: archive[:], told.archived, other.archived)

    def damage(self) -> None:
        """A damaged file or archive: an exception of mnistzip, or the right pixels (in bits that deflate does not use)."""
        _, told = self._pick()
        number = self.random.randrange(len(told.files))
        file = self._damaged(told.files[number])
        self._refuse(lambda: [mnistzip.decode(file)], [told.images[number]])
        archive = self._damaged(told.archive)
        self._refuse(lambda: mnistzip.Archive(archive)[:], told.archived)

    def _damaged(self, content: bytes) -> bytes:
        """Content with a flipped bit, cut short, or with bytes of another value."""
        changed, at = bytearray(content), self.random.randrange(len(content))
        kind = self.random.randrange(3)
        if kind == 0:
            changed[at] ^= 1 << self.random.randrange(8)
        elif kind == 1:
            del changed[at:]
        else:
            changed[at : at + 8] = self.random.randbytes(min(8, len(changed) - at))
        return bytes(changed)

    def _refuse(self, read: Callable[[], Sequence[Pixels]], *allowed: Sequence[Pixels]) -> None:
        """Read what is damaged: it raises an exception of mnistzip, gives images that are allowed, or counts as unnoticed."""
        self.damaged += 1
        try:
            found = read()
        except mnistzip.MnistzipError:
            return
        if not any(len(found) == len(images) and all(map(np.array_equal, found, images)) for images in allowed):
            self.unnoticed += 1


WORK = (Worker.encode, Worker.decode, Worker.write_archive, Worker.append, Worker.read)
FAULTS = (Worker.fill_disk, Worker.replace_file, Worker.cut_file, Worker.damage)
RARE = (Worker.kill_reader,)  # starting a process takes as long as all other work
WEIGHTS = {**dict.fromkeys(WORK, 4.0), **dict.fromkeys(FAULTS, 3.0), **dict.fromkeys(RARE, 0.25)}


# ---- What is measured ----


@dataclass(frozen=True)
class Sample:
    """The state of this process at a moment."""

    seconds: float
    resident_mb: float
    open_files: int
    threads: int
    tasks: int

    @classmethod
    def now(cls, start: float, tasks: int) -> Sample:
        """Measure; Linux only."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        files = len(os.listdir("/proc/self/fd")) - 1  # the listing itself has one open
        threads = len(os.listdir("/proc/self/task"))
        return cls(round(time.monotonic() - start, 1), round(resident, 2), files, threads, tasks)


class Soak:
    """Runs workers in threads until a time has passed, and collects samples and failures."""

    def __init__(self, workers: Sequence[Worker], seconds: float) -> None:
        self._workers, self._seconds = workers, seconds
        self._lock, self._stop = threading.Lock(), threading.Event()
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.samples: list[Sample] = []

    def run(self, csv_path: Path, every: float) -> None:
        """Work, and write a row for each sample."""
        start = time.monotonic()
        threads = [threading.Thread(target=self._work, args=[worker], daemon=True) for worker in self._workers]
        for thread in threads:
            thread.start()
        with csv_path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(field.name for field in fields(Sample))
            while time.monotonic() - start < self._seconds and not self._stop.wait(every):
                self._sample(start, rows)
                file.flush()
            self._stop.set()
            patience = time.monotonic() + HANGS_SECONDS
            for thread in threads:
                thread.join(max(0.0, patience - time.monotonic()))
            self.failures += [f"{thread.name} hangs" for thread in threads if thread.is_alive()]
            self._sample(start, rows)

    def _sample(self, start: float, rows: Any) -> None:
        self.samples.append(Sample.now(start, self.done.total()))
        rows.writerow(astuple(self.samples[-1]))

    def _work(self, worker: Worker) -> None:
        kinds, weights = zip(*WEIGHTS.items(), strict=True)
        while not self._stop.is_set():
            (kind,) = worker.random.choices(kinds, weights)
            try:
                kind(worker)
            except Exception:
                with self._lock:
                    self.failures.append(f"{kind.__name__}: {traceback.format_exc()}")
                self._stop.set()
            with self._lock:
                self.done[kind.__name__] += 1


def growth(samples: Sequence[Sample]) -> float:
    """How much the median memory of the end exceeds that after warm-up, as a part of it."""
    last = samples[-1].seconds

    def memory(start: float) -> float:
        within = [s.resident_mb for s in samples if start * last <= s.seconds <= (start + LAST) * last]
        return float(np.median(within or [samples[0].resident_mb]))

    return memory(1 - LAST) / memory(WARM_UP) - 1


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Memory, open files and threads against time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from mnistzip.bench.report.plots import WIDTH, styled
    from mnistzip.bench.report.style import LIGHT

    minutes = [sample.seconds / 60 for sample in samples]
    with styled():
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        memory, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        memory.plot(minutes, [sample.resident_mb for sample in samples], color=LIGHT["ours-0"])
        memory.set_ylabel("resident memory, MB")
        memory.set_ylim(bottom=0)
        memory.axvspan(0, WARM_UP * minutes[-1], color=LIGHT["grid"], alpha=0.6, linewidth=0)
        memory.annotate(
            "warm-up", (WARM_UP * minutes[-1] / 2, 0.04), xycoords=("data", "axes fraction"), ha="center", color=LIGHT["muted"]
        )
        for name, label, colour in (("open_files", "open files", "peer-0"), ("threads", "threads", "peer-1")):
            counts.plot(minutes, [getattr(sample, name) for sample in samples], color=LIGHT[colour], label=label, linewidth=1)
        counts.set_ylim(0, 1.5 * max(max(sample.open_files, sample.threads) for sample in samples))  # with room for the legend
        counts.set_xlim(0, minutes[-1])
        counts.set_xlabel("minutes")
        counts.legend(frameon=False, ncols=2, loc="upper right")
        figure.savefig(path, dpi=144)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system in memory that is full soon, or None where this user may not mount one."""
    place = folder / "small-disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def soak(minutes: float, threads: int, seed: int, out: Path, every: float = SAMPLE_SECONDS, record: bool = False) -> int:
    """Run a soak, write its files into a folder, and return the exit code."""
    out.mkdir(parents=True, exist_ok=True)
    for name in registry.SHIPPED:
        registry.shipped(name)  # each keeps its file mapped: damage can make a header name any of them
    expected = expectations(16)
    with TemporaryDirectory() as temporary, small_disk(Path(temporary)) as disk:
        files_before, threads_before = len(os.listdir("/proc/self/fd")), threading.active_count()
        workers = [Worker(expected, Path(temporary) / str(k), disk, seed * 1000 + k) for k in range(threads)]
        run = Soak(workers, minutes * 60)
        run.run(out / "samples.csv", every)
        gc.collect()  # closes archives that an exception holds
        left_open = len(os.listdir("/proc/self/fd")) - files_before
        left_running = threading.active_count() - threads_before
    failures = list(run.failures)
    more = growth(run.samples)
    damaged, unnoticed = sum(worker.damaged for worker in workers), sum(worker.unnoticed for worker in workers)
    if unnoticed > UNNOTICED_BY_CHANCE + damaged * UNNOTICED:
        failures.append(f"{unnoticed} of {damaged} damaged files and archives give other pixels without an error")
    if more > GROWTH_MAX:
        failures.append(f"memory grows by {100 * more:.1f}% after warm-up")
    if left_open > 0 or left_running > 0:
        failures.append(f"{left_open} files and {left_running} threads are left open")
    report = {
        "minutes": round(run.samples[-1].seconds / 60, 2),
        "threads": threads,
        "seed": seed,
        "small_disk": disk is not None,
        "tasks": dict(sorted(run.done.items())),
        "damaged": damaged,
        "unnoticed": unnoticed,
        "growth_percent": round(100 * more, 2),
        "resident_mb_max": max(sample.resident_mb for sample in run.samples),
        "open_files_max": max(sample.open_files for sample in run.samples),
        "failures": failures,
    }
    (out / "soak.json").write_text(json.dumps(report, indent=2) + "\n")
    draw(run.samples, out / "memory.png")
    table = Table("soak", "work", "times")
    for name, times in sorted(run.done.items()):
        table.add(name.replace("_", " "), times)
    result = (
        f"{report['minutes']:.0f} minutes, {threads} threads, {len(failures) or 'no'} failures, memory {100 * more:+.1f}% "
        "after warm-up"
    )
    print(result)
    for failure in failures:
        print(failure, file=sys.stderr)
    if record:
        table.keep(result)
        shutil.copy(out / "memory.png", CHART)
    return bool(failures)


def main() -> None:
    parser = argparse.ArgumentParser(description="Use mnistzip from many threads for a long time, among faults.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    record_option(parser)
    options = parser.parse_args()
    sys.exit(soak(options.minutes, options.threads, options.seed, options.out, record=options.record))


if __name__ == "__main__":
    main()
