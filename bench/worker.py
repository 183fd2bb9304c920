"""One job in a process of its own: its memory is its own, and a codec that takes the process down takes nothing else.

    python -m mnistzip.bench.worker images.npz job.json out.npz

Prints the number of images done so far, a line each time; on an error the last line is ``error:`` and its message.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnistzip.bench.measure import cut, measure
from mnistzip.bench.registry import jobs_of
from mnistzip.errors import MnistzipError
from mnistzip.types import Pixels

ERROR = "error: "


def write_images(path: Path, images: Sequence[Pixels]) -> None:
    """Keep images for workers."""
    shapes = np.array([image.shape for image in images], np.int64)
    np.savez(path, shapes=shapes, pixels=np.concatenate([image.ravel() for image in images]))


def read_images(path: Path) -> list[Pixels]:
    """What :func:`write_images` kept."""
    with np.load(path, allow_pickle=False) as held:
        shapes, pixels = held["shapes"], held["pixels"]
    return cut(pixels, shapes)


def run(images: Path, described: Path, out: Path) -> None:
    """Measure the job that a JSON file describes."""
    told = json.loads(described.read_text())
    (job,) = [job for job in jobs_of(told["model"]) if job.key == told["job"]]
    save = Path(told["save"]) if told["save"] else None

    def progress(done: int) -> None:
        print(done, flush=True)

    measured = measure(job, read_images(images), told["chosen"], progress, save)
    out.write_bytes(measured.to_bytes(told["stamp"]))


def main(arguments: list[str]) -> int:
    """Run one job; any error becomes one line for the parent."""
    try:
        run(*map(Path, arguments))
    except Exception as error:  # a codec may raise anything: the parent makes it a row of the table
        kind = "" if isinstance(error, MnistzipError) else f"{type(error).__name__}: "
        print(ERROR + kind + " ".join(str(error).split()), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
