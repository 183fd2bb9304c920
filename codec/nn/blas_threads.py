"""Limit numpy's OpenBLAS to one thread while images are coded.

The matrices are small. More threads gain nothing on an idle machine. On a busy one each product waits for all of them, and
decoding is 10 to 20 times slower. Results do not depend on the number of threads, as all sums are exact.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ContextDecorator, suppress

NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")  # numpy's own build first

Getter = Callable[[], int]
Setter = Callable[[int], object]


def find_functions() -> tuple[Getter, Setter] | None:
    """The functions that read and set the number of threads of numpy's OpenBLAS; None if numpy uses another library."""
    import ctypes  # numpy has imported it
    import importlib
    from pathlib import Path

    import numpy as np

    core = importlib.import_module("numpy._core._multiarray_umath")
    paths = [str(core.__file__)]  # except on Windows, it gives the symbols of the libraries that it needs
    paths += [str(path) for path in sorted((Path(np.__file__).parents[1] / "numpy.libs").glob("*openblas*"))]
    for path in paths:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in NAMES:
            getter = getattr(library, name.format("get_num_threads"), None)
            setter = getattr(library, name.format("set_num_threads"), None)
            if getter is not None and setter is not None:
                getter.argtypes, getter.restype = [], ctypes.c_int
                setter.argtypes, setter.restype = [ctypes.c_int], None
                return getter, setter
    return None


class OneThread(ContextDecorator):
    """A context manager and decorator within which OpenBLAS uses one thread.

    The number of threads is a setting of the whole process. The first Python thread to enter sets it to 1, and the last to
    leave restores it, unless other code has changed it in the meantime. Without OpenBLAS nothing happens.

    Args:
        find: returns the functions that read and set the number, or None. It is called once, when the first thread enters.
    """

    def __init__(self, find: Callable[[], tuple[Getter, Setter] | None] = find_functions) -> None:
        self._find = find
        self._functions: tuple[Getter, Setter] | None = None
        self._searched = False
        self._previous: int | None = None  # number of threads to restore
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Start without threads inside: they do not exist in a forked process."""
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            if not self._searched:
                self._searched = True
                with suppress(Exception):  # without them, coding uses as many threads as before
                    self._functions = self._find()
            if self._functions is not None:
                getter, setter = self._functions
                threads = getter()
                if threads > 1:
                    self._previous = threads
                    setter(1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside or self._previous is None or self._functions is None:
                return
            getter, setter = self._functions
            if getter() == 1:
                setter(self._previous)
            self._previous = None


one_thread = OneThread()
