"""The text of constants in C, and how many bytes they take."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ModelError
from mnistzip.nn.exact import Range

LINE = 120
TYPES = {
    "int8_t": (1, Range(-(1 << 7), (1 << 7) - 1)),
    "uint8_t": (1, Range(0, (1 << 8) - 1)),
    "int16_t": (2, Range(-(1 << 15), (1 << 15) - 1)),
    "uint16_t": (2, Range(0, (1 << 16) - 1)),
    "int32_t": (4, Range(-(1 << 31), (1 << 31) - 1)),
    "uint32_t": (4, Range(0, (1 << 32) - 1)),
}


class Source:
    """Collects constants.

    Attributes:
        prefix: of all names.
        size: bytes of all constants, without those that fill up an alignment.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.size = 0
        self._text: list[str] = []

    @property
    def text(self) -> str:
        """All constants so far."""
        return "\n".join(self._text)

    def array(self, kind: str, name: str, values: NDArray[Any]) -> str:
        """Add an array of integers; returns its name, which is ``NULL`` for an empty one."""
        size, limits = TYPES[kind]
        if values.size == 0:
            return "NULL"
        if values.min() < limits.low or values.max() > limits.high:
            raise ModelError(f"{name} has numbers from {values.min():.0f} to {values.max():.0f}: they do not fit {kind}")
        numbers = ", ".join(map(str, np.asarray(values, np.int64).ravel().tolist()))
        return self.entries(kind, name, "\n".join(_wrapped(numbers)), values.size * size)

    def entries(self, kind: str, name: str, body: str, size: int) -> str:
        """Add an array of a type, given its entries as text and its bytes."""
        self._text.append(f"static const {kind} {self.prefix}_{name}[] = {{\n{body}\n}};")
        self.size += size
        return f"{self.prefix}_{name}"

    def add(self, text: str, size: int = 0) -> None:
        """Add text as it is, which makes constants of some bytes."""
        self._text.append(text)
        self.size += size


def _wrapped(numbers: str) -> list[str]:
    """Lines of numbers. Weights are hundreds of thousands of numbers, for which :mod:`textwrap` takes long."""
    lines, start = [], 0
    while start < len(numbers):
        end = len(numbers) if len(numbers) - start <= LINE else numbers.rindex(" ", start, start + LINE) + 1
        lines.append("    " + numbers[start:end].rstrip())
        start = end
    return lines


def comment(text: str) -> str:
    """A comment in C."""
    return "\n".join(["/*", *(f" * {line}".rstrip() for line in textwrap.dedent(text).strip().split("\n")), " */"])
