"""Fuzz one target by atheris: ``python one.py TARGET [options of libFuzzer] [folders]``. :mod:`run` calls it."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
with atheris.instrument_imports(include=["mnistzip"]):
    import targets

itself = f"{sys.executable} {Path(__file__).resolve()} {sys.argv[1]}"  # libFuzzer starts it anew to merge
atheris.Setup([itself, *sys.argv[2:]], targets.TARGETS[sys.argv[1]])
atheris.Fuzz()
