"""Which engine computes: the native one where it is installed, or the one that ``MNISTZIP_ENGINE`` names.

A caller may choose another one for a while.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from mnistzip.engines.native_engine import NATIVE
from mnistzip.errors import OptionError

if TYPE_CHECKING:
    from mnistzip.engines.interface import Engine

VARIABLE = "MNISTZIP_ENGINE"
NAMES = ("numpy", "native")

_chosen: ContextVar[Engine | None] = ContextVar("mnistzip engine", default=None)


def current() -> Engine:
    """The engine that computes in this context.

    Raises:
        OptionError: ``MNISTZIP_ENGINE`` names no engine, or one that this installation lacks.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    name = os.environ.get(VARIABLE)
    return _named(name, f"{VARIABLE} is") if name else NATIVE or _numpy()


@contextmanager
def use(engine: str | Engine) -> Iterator[Engine]:
    """Compute with an engine, ``"numpy"`` or ``"native"``, in this context: in this thread and the archives that it writes.

    Raises:
        OptionError: there is no such engine, or this installation lacks it.

    Example:
        >>> with use("numpy") as engine:
        ...     current() is engine
        True
    """
    token = _chosen.set(_named(engine, "the engine is") if isinstance(engine, str) else engine)
    try:
        yield current()
    finally:
        _chosen.reset(token)


def _numpy() -> Engine:
    from mnistzip.engines.numpy_engine import NUMPY  # slow to import, and the native engine does without

    return NUMPY


def _named(name: str, where: str) -> Engine:
    """The engine of a name; ``where`` begins the error."""
    if name == "numpy":
        return _numpy()
    if name in NAMES and NATIVE is not None:
        return NATIVE
    if name in NAMES:
        raise OptionError(
            f"{where} {name}, but this installation has no native engine: with a C compiler, "
            "'pip install --no-binary mnistzip mnistzip' builds it"
        )
    raise OptionError(f"{where} {name!r}: give {' or '.join(NAMES)}")


class EngineInfo(NamedTuple):
    """An engine, for people.

    Attributes:
        name: ``"numpy"`` or ``"native"``.
        instructions: what it computes with: the release of numpy, or the vector instructions of the processor.
    """

    name: str
    instructions: str

    def __str__(self) -> str:
        return f"{self.name} {self.instructions}"


def engine() -> EngineInfo:
    """The engine that computes here. Every engine gives the same bytes and pixels.

    Raises:
        OptionError: the environment variable ``MNISTZIP_ENGINE`` names no engine, or one that this installation lacks.

    Example:
        >>> import mnistzip
        >>> mnistzip.engine().name in ("numpy", "native")
        True
    """
    used = current()
    return EngineInfo(used.name, used.instructions)
