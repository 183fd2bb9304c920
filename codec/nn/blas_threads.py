"""Keep numpy's OpenBLAS to one thread while images are coded.

The matrices here are small. More threads gain nothing on an idle machine, and on a busy one each product waits for all of them,
which makes decoding 10 to 20 times slower. Results are the same either way, as all sums are exact.
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
    """What reads and sets the number of threads of numpy's OpenBLAS; None if numpy uses another library."""
    import ctypes  # numpy has imported it
    import importlib
    from pathlib import Path

    import numpy as np

    core = importlib.import_module("numpy._core._multiarray_umath")
    paths = [str(core.__file__)]  # its symbols include those of the libraries that it needs, but on Windows
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

    The number is one for the whole process. So the first Python thread to enter sets it to 1, and the last to leave sets it
    back, unless somebody else changed it meanwhile. Where there is no OpenBLAS nothing happens.

    Args:
        find: gives the functions that read and set the number, or None. It is called once, when the first thread enters.
    """

    def __init__(self, find: Callable[[], tuple[Getter, Setter] | None] = find_functions) -> None:
        self._find = find
        self._functions: tuple[Getter, Setter] | None = None
        self._looked = False
        self._before: int | None = None  # to be set again
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Begin anew: in a forked process, threads that were inside do not exist."""
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            if not self._looked:
                self._looked = True
                with suppress(Exception):  # coding goes on with as many threads as before
                    self._functions = self._find()
            if self._functions is not None:
                getter, setter = self._functions
                threads = getter()
                if threads > 1:
                    self._before = threads
                    setter(1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside or self._before is None or self._functions is None:
                return
            getter, setter = self._functions
            if getter() == 1:
                setter(self._before)
            self._before = None


one_thread = OneThread()
