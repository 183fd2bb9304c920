"""The engines that tests run with."""

from __future__ import annotations

import os

import pytest

from mnistzip.engines import choice
from mnistzip.engines.interface import Engine
from mnistzip.engines.native_engine import NativeEngine, extension

NO_EXTENSION = "the extension mnistzip._engine is not built"
EXTENSION = extension()
INSTRUCTIONS: tuple[str, ...] = () if EXTENSION is None else tuple(EXTENSION.instructions())
NATIVE_ENGINES = (
    [NativeEngine(EXTENSION, name) for name in INSTRUCTIONS] if EXTENSION is not None else []
)  # each of the processor

needs_extension = pytest.mark.skipif(EXTENSION is None, reason=NO_EXTENSION)


def engine_named(name: str) -> Engine:
    """An engine; the test is skipped if this installation lacks it, unless ``MNISTZIP_ENGINE`` asks for it."""
    if name == "native" and EXTENSION is None and os.environ.get(choice.VARIABLE) != "native":
        pytest.skip(NO_EXTENSION)
    with choice.use(name) as engine:
        return engine
