"""Fuzz one target by atheris: ``fuzz_worker.py MODULE TARGET [options of libFuzzer] [folders]``. :mod:`fuzz_campaign` calls it.

The environment variable ``MNISTZIP_FUZZED_EXTENSION`` names an extension that takes the place of the installed one.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import engine_build

if extension := os.environ.get("MNISTZIP_FUZZED_EXTENSION"):
    engine_build.install(Path(extension))
with atheris.instrument_imports(include=["mnistzip"]):
    targets = import_module(sys.argv[1]).TARGETS

itself = f"{sys.executable} {Path(__file__).resolve()} {' '.join(sys.argv[1:3])}"  # libFuzzer starts it again to merge
atheris.Setup([itself, *sys.argv[3:]], targets[sys.argv[2]])
atheris.Fuzz()
