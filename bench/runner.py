"""Run all jobs on all images, in parallel processes, and keep the measurements for the next run.

A measurement is used again if its stamp is equal: the same images, setting, weights, code, libraries and processor.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO

import numpy as np

from mnistzip.bench import worker
from mnistzip.bench.measure import Measurement, crop
from mnistzip.bench.mnistzip_codecs import models_of
from mnistzip.bench.protocol import versions
from mnistzip.bench.registry import BenchJob
from mnistzip.errors import FormatError
from mnistzip.io.output_folders import OutputFolder
from mnistzip.io.readers import Source
from mnistzip.storage.atomic import AtomicFile
from mnistzip.types import Pixels

IMAGES = "images.npz"
# Packages below mnistzip whose code does not change a measurement; bench is hashed by its own name.
OTHER_PACKAGES = {f"mnistzip.{name}" for name in ("bench", "cli", "plugins", "pretrained", "training")}
COMMAND = "bench"
MEASUREMENTS, FILES = "measurements", "files"  # folders below --out for finished jobs and encoded files
PLOTS = ("rate-distortion", "ratios", "speed", "sheet")
PLOT_FILES = tuple(f"plots/{name}.{kind}" for name in PLOTS for kind in ("svg", "png"))
REPORT = "report.html"
WRITTEN = ("results.json", "results.csv", REPORT, *PLOT_FILES)
WAY_OUT = "choose another folder with --out"
SAVED = re.compile(r"(\d+|all)\.bin")  # names of encoded files
SAMPLES = 8  # images that the report shows
SAMPLE_PIXELS = 40_000  # of all samples together

Outcome = Measurement | str  # or why the job failed
Progress = Callable[[BenchJob, int], None]


@dataclass
class BenchRun:
    """A run of the benchmark.

    Attributes:
        source: the images.
        jobs: the codecs and settings.
        out: folder for results; None measures in a temporary folder.
        model: name or path of a model to measure as well.
        threads: number of jobs at a time.
        save_files: whether encoded files are kept below ``out``.
        fresh: whether jobs are measured again although ``out`` has their measurements.
        sample_indices: the images that reports show.
        sha256: hash of the images.
    """

    source: Source
    jobs: list[BenchJob]
    out: Path | None = None
    model: str | None = None
    threads: int = 1
    save_files: bool = False
    fresh: bool = False
    sample_indices: list[int] = field(init=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        self.sample_indices = choose_samples(self.source.images)
        self.sha256 = hash_of(self.source.images)

    def outcomes(self, progress: Progress) -> dict[str, Outcome]:
        """The outcome of every job by its key.

        An interrupt stops the workers; with ``out``, the same call continues from the finished jobs.

        Args:
            progress: called with a job and the number of images finished since its last call.
        """
        done: dict[str, Outcome] = {}
        with self._folder() as folder:
            waiting = []
            for job in self.jobs:
                if reason := job.codec.missing():
                    done[job.key] = reason
                elif (measurement := self._read(folder, job)) is not None:
                    done[job.key] = measurement
                else:
                    waiting.append(job)
                    continue
                progress(job, len(self.source.images))
            waiting.sort(key=lambda job: -job.codec.cost)  # long jobs first, so that all threads finish at about the same time
            done |= self._measure(waiting, folder, progress)
        return {job.key: done[job.key] for job in self.jobs}

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """The folder for measurements; the files of this run below ``out`` are claimed first."""
        if self.out is None:
            with tempfile.TemporaryDirectory(prefix="mnistzip-bench-") as temporary:
                yield Path(temporary)
        else:
            names = [f"{MEASUREMENTS}/{job.key}.npz" for job in self.jobs]
            if self.save_files:
                names += [f"{FILES}/{job.key}" for job in self.jobs]
            OutputFolder(self.out, COMMAND).claim([*WRITTEN, *names], WAY_OUT)
            folder = self.out / MEASUREMENTS
            folder.mkdir(exist_ok=True)
            yield folder

    def _stamp(self, job: BenchJob) -> str:
        """A hash of everything that a measurement depends on."""
        weights = [model.fingerprint.hex() for model in models_of(job.arguments)] if job.codec.ours else []
        metrics = [versions().get(name) for name in ("scikit-image", "torchmetrics")]
        job_parts = (job.key, job.arguments, job.codec.versions(), weights)
        run_parts = (self.sha256, self.sample_indices, self.save_files, metrics, processor(), _code_hash())
        parts = (*job_parts, *run_parts)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _read(self, folder: Path, job: BenchJob) -> Measurement | None:
        """The measurement of an earlier run; None if there is none or it is out of date."""
        if self.fresh or (self.save_files and not self._saved(job).is_dir()):
            return None
        try:
            measurement, stamp = Measurement.from_bytes((folder / f"{job.key}.npz").read_bytes())
        except (OSError, FormatError):
            return None
        return measurement if stamp == self._stamp(job) else None

    def _saved(self, job: BenchJob) -> Path:
        """The folder for the encoded files of a job."""
        assert self.out is not None
        return self.out / FILES / job.key

    def _measure(self, jobs: Sequence[BenchJob], folder: Path, progress: Progress) -> dict[str, Outcome]:
        """Measure jobs in worker processes, ``threads`` at a time."""
        if not jobs:
            return {}
        workers = _Workers()
        with tempfile.TemporaryDirectory(prefix="mnistzip-bench-") as temporary, ThreadPoolExecutor(self.threads) as pool:
            worker.write_images(Path(temporary) / IMAGES, self.source.images)
            futures: dict[Future[Outcome], BenchJob] = {}
            try:
                for job in jobs:
                    futures[pool.submit(self._run_worker, job, Path(temporary), folder, workers, progress)] = job
                return {futures[future].key: future.result() for future in as_completed(futures)}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                workers.stop()
                raise

    def _run_worker(self, job: BenchJob, temporary: Path, folder: Path, workers: _Workers, progress: Progress) -> Outcome:
        """Run one worker and read its output."""
        out = folder / f"{job.key}.npz"
        description, result = temporary / f"{job.key}.json", temporary / f"{job.key}.npz"
        out.unlink(missing_ok=True)
        save = None
        if self.save_files:
            save = str(self._saved(job))
            _empty(self._saved(job))
        task = {"job": job.key, "model": self.model, "samples": self.sample_indices, "stamp": self._stamp(job), "save": save}
        description.write_text(json.dumps(task))
        files = [str(path) for path in (temporary / IMAGES, description, result)]
        command = [sys.executable, "-P", "-m", "mnistzip.bench.worker", *files]
        last, count = "", 0
        with tempfile.TemporaryFile("w+", errors="replace") as stderr, workers.start(command, stderr) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = line.strip()
                if last.isdigit():
                    progress(job, int(last) - count)
                    count = int(last)
            code = process.wait()
            stderr.seek(0)
            message = stderr.read()
        progress(job, len(self.source.images) - count)
        if code == 0:
            content = result.read_bytes()
            with AtomicFile(out, sync=False) as file:
                file.write(content)
            result.unlink()
            return Measurement.from_bytes(content)[0]
        if last.startswith(worker.ERROR):
            return last.removeprefix(worker.ERROR)
        return _exit_reason(code, message)


def _empty(folder: Path) -> None:
    """Remove the encoded files of an earlier run, and no other file."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if SAVED.fullmatch(path.name) and path.is_file():
            path.unlink()


class _Workers:
    """The worker processes of a run. An interrupt ends all of them, also those that are about to start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[str]] = []
        self._stopped = False

    def start(self, command: list[str], stderr: IO[str]) -> subprocess.Popen[str]:
        with self._lock:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, errors="replace", env=_one_thread())
            self._processes.append(process)
            if self._stopped:
                process.terminate()
            return process

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()  # has no effect on a process that has ended
            for process in self._processes:
                process.wait()  # after an interrupt, leaving a ``with`` block does not wait for its process


def _one_thread() -> dict[str, str]:
    """The environment of a worker, in which libraries use one thread."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1")}


@cache
def _code_hash() -> str:
    """A hash of the code of mnistzip that can change a measurement."""
    digest = hashlib.sha256()
    for _, source in sources():
        digest.update(source)
    return digest.hexdigest()


def sources() -> Iterator[tuple[str, bytes]]:
    """Dotted name and source of each module that can change a measurement: the codec with its packages, and the benchmark."""
    for package in ("mnistzip", "mnistzip.bench"):
        yield from _sources_below(package, resources.files(package))


def _sources_below(package: str, folder: Traversable) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{package}.{entry.name.removesuffix('.py')}"
        if entry.name.endswith(".py"):
            yield name, entry.read_bytes()
        elif entry.is_dir() and name not in OTHER_PACKAGES:
            yield from _sources_below(name, entry)


def processor() -> str:
    """The name of the processor, from the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _exit_reason(code: int, message: str) -> str:
    """Why a worker ended without a result."""
    if code < 0:
        names = {int(each): each.name for each in signal.Signals}
        return f"the process was ended by {names.get(-code, f'signal {-code}')}"
    return f"the process ended with code {code}: {(message.strip().splitlines() or ['no message'])[-1]}"


def choose_samples(images: Sequence[Pixels]) -> list[int]:
    """Indices of the images that reports show: up to 8, evenly spread; fewer if they are large."""
    largest = max(crop(image).size for image in images)
    count = min(len(images), SAMPLES, max(1, SAMPLE_PIXELS // largest))
    return sorted({round(index) for index in np.linspace(0, len(images) - 1, count)})


def hash_of(images: Sequence[Pixels]) -> str:
    """SHA-256 over shapes and pixels of images, in order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.shape}".encode())
        digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
