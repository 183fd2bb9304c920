"""What all layers have in common, and chains of layers.

Arrays are channels-last, (N, H, W, C). ``quality_index``, shape (N,), is the index of each image's quality in tables with one
row per quality.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from mnistzip.errors import ModelError
from mnistzip.limits import SIGNAL_MAX
from mnistzip.nn.backward import LayerTape
from mnistzip.nn.exact import Range
from mnistzip.types import Floats, Integers

MACS_PER_MOVE = 128  # multiply-adds that take at most about as long as moving a value


@dataclass(frozen=True)
class Signal:
    """What is known of an array between two layers before there is an image.

    Attributes:
        values: the range of its integers.
        macs: multiply-adds for an image up to here, roughly. A layer returns those it adds itself.
    """

    values: Range
    height: int
    width: int
    channels: int
    macs: int = 0

    @property
    def size(self) -> int:
        """Values for an image."""
        return self.height * self.width * self.channels


class LayerSpec(Protocol):
    """A layer's entry in a model file. Each method checks what it returns and raises ``ValueError`` or ``KeyError``."""

    name: str

    def integer(self, key: str, low: int, high: int) -> int:
        """A value of the description."""

    def output_range(self) -> Range:
        """The range under the key ``to``; it includes 0."""

    def inner_layers(self, key: str = "layers") -> tuple[Layer, ...]:
        """The layers under a key, at least one."""

    def array(self, key: str, rank: int) -> Floats:
        """The layer's array of such a key; integers of at most 2^24."""

    def per_quality(self, key: str) -> Floats:
        """The same with one row per quality: (qualities, C)."""

    def shifts(self, key: str) -> Floats:
        """The same of numbers of bits, (C,)."""


class Layer(ABC):
    """A step of a network.

    Attributes:
        kind: the layer's ``op`` in model files.
        keys: the other keys of its description.
    """

    kind: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: LayerSpec) -> Layer:
        """The layer that a model file describes."""

    @abstractmethod
    def infer(self, signal: Signal) -> Signal:
        """The output for such an input; :class:`~mnistzip.errors.ModelError` if the layer does not fit or is not exact."""

    @abstractmethod
    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        """(N, H, W, C) integers and (N,) indices -> (N, H', W', C')."""

    @abstractmethod
    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        """The gradient of the input, given that of the output: (N, H', W', C') -> (N, H, W, C)."""

    def trace(self, x: Floats, quality_index: Integers) -> LayerTape:
        """The forward pass, with what :meth:`backward` needs."""
        return LayerTape(x, self.forward(x, quality_index))


def infer(layers: Sequence[Layer], signal: Signal) -> Signal:
    """Check a chain of layers for such an input, and return its output; its ``macs`` include those of moving values."""
    for layer in layers:
        out = layer.infer(signal)
        if out.size > SIGNAL_MAX:
            raise ModelError(f"a layer puts out more than {SIGNAL_MAX} numbers an image")
        signal = replace(out, macs=signal.macs + out.macs + MACS_PER_MOVE * (signal.size + out.size))
    return signal


def forward(layers: Sequence[Layer], x: Floats, quality_index: Integers) -> Floats:
    """Run a chain of layers."""
    for layer in layers:
        x = layer.forward(x, quality_index)
    return x


def trace(layers: Sequence[Layer], x: Floats, quality_index: Integers) -> tuple[LayerTape, ...]:
    """Run a chain of layers and keep what :func:`backward` needs; the last tape holds the output."""
    tapes: list[LayerTape] = []
    for layer in layers:
        tapes.append(layer.trace(x, quality_index))
        x = tapes[-1].out
    return tuple(tapes)


def backward(layers: Sequence[Layer], tapes: Sequence[LayerTape], g: Floats, quality_index: Integers) -> Floats:
    """The gradient of a chain's input, given that of its output."""
    for layer, tape in zip(reversed(layers), reversed(tapes), strict=True):
        g = layer.backward(tape, g, quality_index)
    return g
