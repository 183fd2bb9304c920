"""The same files and pixels whatever the engine, the processor's kernels, the number of threads, and the order of batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnistzip.engines import choice
from support.paths import ROOT

COMMAND = [sys.executable, str(ROOT / "tools" / "sameness.py")]
AVX512 = {"SkylakeX", "Cooperlake", "SapphireRapids"}


def require_same(engine: str, *options: str, **environment: str) -> None:
    environment[choice.VARIABLE] = engine
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.stdout.startswith("same |"), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("core", ["Prescott", "Nehalem", "Haswell", "Zen", "SkylakeX"])
def test_files_do_not_depend_on_the_kernels_of_the_processor(core: str) -> None:
    """The kernels of numpy. tests/engine/test_equality.py compares those of the native engine."""
    if core in AVX512 and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip(f"this processor has no AVX-512, which OpenBLAS's {core} kernels are made of")
    require_same("numpy", "--model", "mnist", OPENBLAS_CORETYPE=core, OPENBLAS_NUM_THREADS="1")


@pytest.mark.parametrize("models", [("mnist",), pytest.param((), marks=pytest.mark.slow)], ids=["mnist", "all"])
def test_files_are_those_that_were_recorded(models: tuple[str, ...], each_engine: str) -> None:
    require_same(each_engine, *(word for model in models for word in ("--model", model)))


@pytest.mark.slow
def test_files_do_not_depend_on_threads_or_on_the_size_and_order_of_batches(each_engine: str) -> None:
    require_same(each_engine, "--batch", "7", "--reverse", "--model", "mnist", OPENBLAS_NUM_THREADS="2")
    require_same(each_engine, "--batch", "5", "--model", "mnist-fast", OPENBLAS_NUM_THREADS="1")
