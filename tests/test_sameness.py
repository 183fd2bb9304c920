"""The same files and pixels whatever the processor's kernels, the number of threads and the size of the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, sys
from pathlib import Path
import numpy as np
import mnistzip
from mnistzip.idx import read_idx

digits = read_idx(Path(sys.argv[1]))
size = int(sys.argv[2])
digest = hashlib.sha256()
for model in ("mnist", "classic", "mnist-fast"):
    files = []
    for start in range(0, len(digits), size):
        files += mnistzip.encode_many(digits[start : start + size], model=model, effort=1)
    decoded = []
    for start in range(0, len(files), size):
        decoded += mnistzip.decode_many(files[start : start + size])
    for file, image in zip(files, decoded):
        digest.update(file + image.tobytes())
    archive = mnistzip.encode_archive(digits, model=model, effort=1)
    digest.update(archive)
    for image in mnistzip.Archive(archive):
        digest.update(image.tobytes())
print(digest.hexdigest())
"""
DIGITS = Path(__file__).parent / "data" / "digits-idx3-ubyte.gz"


def digest(batch: int, **environment: str) -> str:
    command = [sys.executable, "-c", PROGRAM, str(DIGITS), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def usual() -> str:
    return digest(64)


@pytest.mark.parametrize("core", ["Prescott", "Haswell", "SkylakeX"])
def test_files_do_not_depend_on_the_kernels_of_the_processor(core: str, usual: str) -> None:
    if core == "SkylakeX" and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512, which OpenBLAS's SkylakeX kernels are made of")
    assert digest(64, OPENBLAS_CORETYPE=core, OPENBLAS_NUM_THREADS="1") == usual


def test_files_do_not_depend_on_threads_or_batches(usual: str) -> None:
    assert digest(7, OPENBLAS_NUM_THREADS="2") == usual
    assert digest(1, OPENBLAS_NUM_THREADS="1") == usual
