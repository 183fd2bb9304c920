"""The examples in docstrings of public functions and classes run."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["metrics", "idx", "archive.index", "archive.reader", "archive.writer", "engines.choice"])
def test_docstring_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"mnistzip.{module}"))
    assert result.attempted
    assert not result.failed
