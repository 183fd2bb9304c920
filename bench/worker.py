"""Runs one job in a separate process, so that its memory can be measured and a crash of a codec ends nothing else.

    python -m mnistzip.bench.worker images.npz job.json out.npz

Prints the number of finished images, one line each time. After an error the last line is ``error:`` and the message.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnistzip.bench.measure import cut, measure
from mnistzip.bench.registry import all_jobs
from mnistzip.errors import MnistzipError
from mnistzip.types import Pixels

ERROR = "error: "


def write_images(path: Path, images: Sequence[Pixels]) -> None:
    """Write images for workers: an ``.npz`` of shapes and pixels."""
    shapes = np.array([image.shape for image in images], np.int64)
    np.savez(path, shapes=shapes, pixels=np.concatenate([image.ravel() for image in images]))


def read_images(path: Path) -> list[Pixels]:
    """Read the images that :func:`write_images` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        shapes, pixels = arrays["shapes"], arrays["pixels"]
    return cut(pixels, shapes)


def run(images: Path, description: Path, out: Path) -> None:
    """Measure the job that a JSON file describes, see :meth:`mnistzip.bench.runner.BenchRun._run_worker`."""
    task = json.loads(description.read_text())
    (job,) = [job for job in all_jobs(task["model"]) if job.key == task["job"]]
    save = Path(task["save"]) if task["save"] else None

    def progress(done: int) -> None:
        print(done, flush=True)

    measurement = measure(job, read_images(images), task["samples"], progress, save)
    out.write_bytes(measurement.to_bytes(task["stamp"]))


def main(arguments: list[str]) -> int:
    """Run one job; an error becomes one line for the parent process."""
    try:
        run(*map(Path, arguments))
    except Exception as error:  # a codec may raise anything; the parent shows it as a row of the table
        kind = "" if isinstance(error, MnistzipError) else f"{type(error).__name__}: "
        print(ERROR + kind + " ".join(str(error).split()), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
