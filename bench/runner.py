"""All jobs over all images: in parallel, each in a process of its own, and what is done is not done again."""

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
from mnistzip.bench.measure import Measured, crop
from mnistzip.bench.mnistzip_codecs import models_of
from mnistzip.bench.protocol import versions
from mnistzip.bench.registry import Job
from mnistzip.errors import FormatError
from mnistzip.io.output_folders import OutputFolder
from mnistzip.io.readers import Source
from mnistzip.storage.atomic import AtomicFile
from mnistzip.types import Pixels

IMAGES = "images.npz"
OTHER_PACKAGES = {
    f"mnistzip.{name}" for name in ("bench", "cli", "plugins", "pretrained", "training")
}  # below mnistzip once installed
COMMAND = "bench"
KEPT, FILES = "measurements", "files"  # folders below --out that finished jobs and coded files are kept in
PLOTS = ("rate-distortion", "ratios", "speed", "sheet")
PLOT_FILES = tuple(f"plots/{name}.{kind}" for name in PLOTS for kind in ("svg", "png"))
REPORT = "report.html"
WRITTEN = ("results.json", "results.csv", REPORT, *PLOT_FILES)
WAY_OUT = "choose another folder with --out"
SAVED = re.compile(r"(\d+|all)\.bin")  # names of coded files
SAMPLES = 8  # images whose reconstructions the report shows
SAMPLE_PIXELS = 40_000  # of all samples together

Outcome = Measured | str  # or why there is none
Progress = Callable[[Job, int], None]


@dataclass
class Run:
    """What is measured, and where results are kept."""

    source: Source
    jobs: list[Job]
    out: Path | None = None
    model: str | None = None
    threads: int = 1
    save_files: bool = False
    fresh: bool = False  # measure anew what was kept
    chosen: list[int] = field(init=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        self.chosen = choose(self.source.images)
        self.sha256 = hash_of(self.source.images)

    def outcomes(self, progress: Progress) -> dict[str, Outcome]:
        """The outcome of every job by its key; ``progress`` is told of images done.

        An interrupt stops the workers; with ``out`` the same call goes on from there.
        """
        done: dict[str, Outcome] = {}
        with self._folder() as kept:
            waiting = []
            for job in self.jobs:
                if why := job.codec.missing():
                    done[job.key] = why
                elif (found := self._kept(kept, job)) is not None:
                    done[job.key] = found
                else:
                    waiting.append(job)
                    continue
                progress(job, len(self.source.images))
            waiting.sort(key=lambda job: -job.codec.cost)  # long ones first: no thread is left alone with one at the end
            done |= self._measure(waiting, kept, progress)
        return {job.key: done[job.key] for job in self.jobs}

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Where measurements are kept; below ``out``, what this run will write there is claimed first."""
        if self.out is None:
            with tempfile.TemporaryDirectory(prefix="mnistzip-bench-") as passing:
                yield Path(passing)
        else:
            names = [f"{KEPT}/{job.key}.npz" for job in self.jobs]
            if self.save_files:
                names += [f"{FILES}/{job.key}" for job in self.jobs]
            OutputFolder(self.out, COMMAND).claim([*WRITTEN, *names], WAY_OUT)
            folder = self.out / KEPT
            folder.mkdir(exist_ok=True)
            yield folder

    def _stamp(self, job: Job) -> str:
        """Everything that a measurement hangs on; one with another stamp is measured anew."""
        weights = [model.fingerprint.hex() for model in models_of(job.arguments)] if job.codec.ours else []
        told = (job.key, job.arguments, job.codec.versions(), weights, self.sha256, self.chosen, self.save_files)
        judges = [versions().get(name) for name in ("scikit-image", "torchmetrics")]
        parts = (*told, judges, processor(), _code())
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _kept(self, folder: Path, job: Job) -> Measured | None:
        if self.fresh or (self.save_files and not self._saved(job).is_dir()):
            return None
        try:
            measured, stamp = Measured.from_bytes((folder / f"{job.key}.npz").read_bytes())
        except (OSError, FormatError):
            return None
        return measured if stamp == self._stamp(job) else None

    def _saved(self, job: Job) -> Path:
        """Where the coded files of a job are kept."""
        assert self.out is not None
        return self.out / FILES / job.key

    def _measure(self, jobs: Sequence[Job], kept: Path, progress: Progress) -> dict[str, Outcome]:
        if not jobs:
            return {}
        workers = _Workers()
        with tempfile.TemporaryDirectory(prefix="mnistzip-bench-") as passing, ThreadPoolExecutor(self.threads) as pool:
            worker.write_images(Path(passing) / IMAGES, self.source.images)
            futures: dict[Future[Outcome], Job] = {}
            try:
                for job in jobs:
                    futures[pool.submit(self._one, job, Path(passing), kept, workers, progress)] = job
                return {futures[future].key: future.result() for future in as_completed(futures)}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                workers.stop()
                raise

    def _one(self, job: Job, passing: Path, kept: Path, workers: _Workers, progress: Progress) -> Outcome:
        """Run one worker and read what it prints."""
        out, described, made = kept / f"{job.key}.npz", passing / f"{job.key}.json", passing / f"{job.key}.npz"
        out.unlink(missing_ok=True)
        save = None
        if self.save_files:
            save = str(self._saved(job))
            _empty(self._saved(job))
        told = {"job": job.key, "model": self.model, "chosen": self.chosen, "stamp": self._stamp(job), "save": save}
        described.write_text(json.dumps(told))
        command = [sys.executable, "-P", "-m", "mnistzip.bench.worker", str(passing / IMAGES), str(described), str(made)]
        last, count = "", 0
        with tempfile.TemporaryFile("w+", errors="replace") as noise, workers.start(command, noise) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = line.strip()
                if last.isdigit():
                    progress(job, int(last) - count)
                    count = int(last)
            code = process.wait()
            noise.seek(0)
            complaint = noise.read()
        progress(job, len(self.source.images) - count)
        if code == 0:
            content = made.read_bytes()
            with AtomicFile(out, sync=False) as file:
                file.write(content)
            made.unlink()
            return Measured.from_bytes(content)[0]
        if last.startswith(worker.ERROR):
            return last.removeprefix(worker.ERROR)
        return _death(code, complaint)


def _empty(folder: Path) -> None:
    """Remove the coded files of an earlier run, and nothing else."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if SAVED.fullmatch(path.name) and path.is_file():
            path.unlink()


class _Workers:
    """The processes of a run, so that an interrupt ends them all, those that are just being started too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[str]] = []
        self._stopped = False

    def start(self, command: list[str], noise: IO[str]) -> subprocess.Popen[str]:
        with self._lock:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=noise, errors="replace", env=_one_thread())
            self._processes.append(process)
            if self._stopped:
                process.terminate()
            return process

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()  # does nothing to those that have ended


def _one_thread() -> dict[str, str]:
    """The environment of a worker: libraries that would start threads of their own use one."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1")}


@cache
def _code() -> str:
    """A hash of all of our code that can change a measurement."""
    digest = hashlib.sha256()
    for _, source in sources():
        digest.update(source)
    return digest.hexdigest()


def sources() -> Iterator[tuple[str, bytes]]:
    """Dotted names and sources of the modules that can change a measurement: the codec, all its rooms, and the benchmark."""
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
    """The name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _death(code: int, complaint: str) -> str:
    if code < 0:
        known = {int(each): each.name for each in signal.Signals}
        return f"the process was ended by {known.get(-code, f'signal {-code}')}"
    return f"the process ended with code {code}: {(complaint.strip().splitlines() or ['no message'])[-1]}"


def choose(images: Sequence[Pixels]) -> list[int]:
    """Indices of the images that the report shows: up to 8, evenly spread, fewer if they are large."""
    largest = max(crop(image).size for image in images)
    count = min(len(images), SAMPLES, max(1, SAMPLE_PIXELS // largest))
    return sorted({round(at) for at in np.linspace(0, len(images) - 1, count)})


def hash_of(images: Sequence[Pixels]) -> str:
    """SHA-256 over shapes and pixels of images, in order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.shape}".encode())
        digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
