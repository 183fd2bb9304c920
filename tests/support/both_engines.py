"""What both engines make of an input, which must be the same: pixels, bytes and kinds of errors."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import mnistzip
from mnistzip.engines import choice
from mnistzip.engines.interface import Engine
from mnistzip.engines.numpy_engine import NUMPY
from support.engine_cases import require_equal
from support.engines import NATIVE_ENGINES

reference: Engine = NUMPY  # what the native engine must agree with; a measurement of coverage takes a faster one


class RefusedError(Exception):
    """Both engines raised the same kind of error."""


def _native_for(data: bytes) -> Engine:
    return NATIVE_ENGINES[zlib.crc32(data) % len(NATIVE_ENGINES)]


def _kinds_of_errors(result: Any) -> Any:
    """A result in which errors are the names of their classes."""
    if isinstance(result, (list, tuple)):
        return [_kinds_of_errors(part) for part in result]
    return type(result).__name__ if isinstance(result, mnistzip.MnistzipError) else result


def both(data: bytes, compute: Callable[[Engine], Any]) -> Any:
    """What numpy makes of an input, if the native engine makes the same of it.

    Raises:
        AssertionError: it makes something else.
        RefusedError: both raised errors of one class.
    """
    results = []
    for engine in (reference, native := _native_for(data)):
        with choice.use(engine):
            try:
                results.append(compute(engine))
            except mnistzip.MnistzipError as error:
                results.append(error)
    expected, found = map(_kinds_of_errors, results)
    require_equal(expected, found, f"numpy and {native.instructions}")
    if isinstance(results[0], mnistzip.MnistzipError):
        raise RefusedError(expected)
    return results[0]


def target(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """A target, which ends well where both engines refuse an input."""

    def run(data: bytes) -> None:
        try:
            function(data)
        except RefusedError:
            return

    run.__name__ = function.__name__
    return run
