"""Compare the speed of reading latents from an archive with that of decoding its images.

    python benchmarks/latents_speed.py t10k-images-idx3-ubyte.gz [COUNT]

Prints digits per second of processor time for each model, best of three.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import mnistzip
from mnistzip.idx import read_idx

TRIES = 3


def rate(count: int, work: Callable[[], object]) -> float:
    """Digits per second of processor time."""
    best = 0.0
    for _ in range(TRIES):
        began = time.process_time()
        work()
        best = max(best, count / (time.process_time() - began))
    return best


def main() -> None:
    """Measure each model that codes digits."""
    images = read_idx(sys.argv[1])[: int(sys.argv[2]) if len(sys.argv) > 2 else 5000]
    for model in ("mnist", "mnist-fast"):
        data = mnistzip.encode_archive(images, model=model, effort=0)
        with mnistzip.Archive(data) as archive:
            lossy = [k for k in range(len(archive)) if _is_lossy(archive, k)]
            pixels = rate(len(lossy), lambda archive=archive, lossy=lossy: archive.read(lossy))
            latents = rate(len(lossy), lambda archive=archive, lossy=lossy: archive.latents.read(lossy))
        print(f"{model}: images {pixels:.0f}, latents {latents:.0f} ({latents / pixels:.2f} times)")


def _is_lossy(archive: mnistzip.Archive, number: int) -> bool:
    try:
        archive.latents[number]
    except mnistzip.OptionError:
        return False
    return True


if __name__ == "__main__":
    main()
