"""Fuzz one target by atheris: ``fuzz_worker.py TARGET [options of libFuzzer] [folders]``. :mod:`fuzz_parsers` calls it."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
with atheris.instrument_imports(include=["mnistzip"]):
    from support import fuzz_targets as targets

itself = f"{sys.executable} {Path(__file__).resolve()} {sys.argv[1]}"  # libFuzzer starts it again to merge
atheris.Setup([itself, *sys.argv[2:]], targets.TARGETS[sys.argv[1]])
atheris.Fuzz()
