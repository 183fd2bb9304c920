"""What every function of the extension does with arguments that it does not expect."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

Values = dict[str, Any]
BUFFERS_DIFFER = (TypeError, ValueError, BufferError)


class ArgumentTests:
    """Tests of functions; a subclass names them and says how they are called.

    Attributes:
        arguments: makes good arguments of each function, by name.
        owner: what has the function of a name.
        outputs: the arguments that a function writes to.
    """

    arguments: ClassVar[Callable[[], dict[str, Values]]]
    owner: ClassVar[Callable[[str], Any]]
    outputs: ClassVar[Callable[[str], set[str]]]

    def call(self, function: str, values: Values) -> Any:
        return getattr(type(self).owner(function), function)(*values.values())

    def good(self, function: str) -> Values:
        return type(self).arguments()[function]

    def test_good_ones_are_taken(self, function: str) -> None:
        self.call(function, self.good(function))

    def test_buffers_of_other_sizes_and_kinds_are_refused(self, function: str) -> None:
        good = self.good(function)
        for name, value in good.items():
            if not isinstance(value, np.ndarray):
                continue
            flat = value.reshape(-1)
            odd = np.frombuffer(value.tobytes() + b"\0", np.uint8).copy()
            for bad in (flat[:-1].copy(), np.concatenate([flat, flat[:1]]), odd, flat[:0].copy(), None, "text", 5, [1, 2]):
                with pytest.raises(BUFFERS_DIFFER):
                    self.call(function, good | {name: bad})

    def test_outputs_that_cannot_be_written_are_refused(self, function: str) -> None:
        good = self.good(function)
        for name, value in good.items():
            if not isinstance(value, np.ndarray):
                continue
            fixed = value.copy()
            fixed.flags.writeable = False
            if name in type(self).outputs(function):
                with pytest.raises(BUFFERS_DIFFER):
                    self.call(function, good | {name: fixed})
            else:
                self.call(function, self.good(function) | {name: fixed})

    def test_numbers_that_are_not_aligned_are_refused(self, function: str) -> None:
        good = self.good(function)
        for name, value in good.items():
            if isinstance(value, np.ndarray) and value.itemsize > 1:
                room = bytearray(value.nbytes + 16)
                start = -np.frombuffer(room, np.uint8).ctypes.data % 8 + 1
                with pytest.raises(ValueError, match="not aligned"):
                    self.call(function, good | {name: memoryview(room)[start : start + value.nbytes]})

    def test_a_call_leaves_their_references_as_they_were(self, function: str) -> None:
        good = self.good(function)
        counted = [type(self).owner(function), *(value for value in good.values() if isinstance(value, np.ndarray))]
        before = [sys.getrefcount(each) for each in counted]
        for _ in range(20):
            self.call(function, self.good(function))
            for name in good:
                for bad in (None, b"", -1):
                    with pytest.raises(BUFFERS_DIFFER):
                        self.call(function, good | {name: bad})
        assert [sys.getrefcount(each) for each in counted] == before

    def test_other_numbers_of_them_are_refused(self, function: str) -> None:
        values = list(self.good(function).values())
        for bad in ([], values[:-1], [*values, None]):
            with pytest.raises(TypeError):
                getattr(type(self).owner(function), function)(*bad)
