"""The same files and pixels whatever the processor's kernels, the number of threads, and the size and order of batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

COMMAND = [sys.executable, str(ROOT / "tools" / "sameness.py")]
AVX512 = {"SkylakeX", "Cooperlake", "SapphireRapids"}


def require_same(*options: str, **environment: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.stdout.startswith("same |"), done.stdout + done.stderr


@pytest.mark.parametrize("core", ["Prescott", "Nehalem", "Haswell", "Zen", "SkylakeX"])
def test_files_do_not_depend_on_the_kernels_of_the_processor(core: str) -> None:
    if core in AVX512 and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip(f"this processor has no AVX-512, which OpenBLAS's {core} kernels are made of")
    require_same("--model", "mnist", OPENBLAS_CORETYPE=core, OPENBLAS_NUM_THREADS="1")


def test_files_are_those_that_were_recorded() -> None:
    require_same()


def test_files_do_not_depend_on_threads_or_on_the_size_and_order_of_batches() -> None:
    require_same("--batch", "7", "--reverse", "--model", "mnist", OPENBLAS_NUM_THREADS="2")
    require_same("--batch", "5", "--model", "mnist-fast", OPENBLAS_NUM_THREADS="1")
