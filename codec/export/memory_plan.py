"""Where the outputs of the layers of a network lie in memory: in places that nothing reads any more.

A layer that changes each number by itself works in place, unless its input is still needed. Every other output gets the lowest
place that overlaps neither its input nor an array that is still needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnistzip.errors import ModelError
from mnistzip.export.weights import WIDE
from mnistzip.nn.layer_base import Layer, Signal
from mnistzip.nn.layers import Conv, Gain, Lookup, Residual


@dataclass(frozen=True)
class Place:
    """Some numbers in the memory of a network."""

    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Step:
    """A layer with its input, its output, and the steps inside it."""

    layer: Layer
    input: Signal
    output: Signal
    to: Place
    inner: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A network with its memory.

    Attributes:
        size: numbers that all outputs need.
        patch: most inputs of a convolution at one position.
        outputs: most outputs of a convolution at one position.
    """

    steps: tuple[Step, ...]
    size: int
    patch: int
    outputs: int


def plan(layers: Sequence[Layer], signal: Signal) -> Plan:
    """Plan a network whose input lies at the beginning of its memory."""
    steps = _chain(layers, signal, Place(0, signal.size), [])
    every = list(_with_inner(steps))
    convolutions = [(step, step.layer) for step in every if isinstance(step.layer, Conv)]
    return Plan(
        steps=steps,
        size=max([signal.size, *(step.to.end for step in every)]),
        patch=max((conv.kernel**2 * step.input.channels for step, conv in convolutions), default=0),
        outputs=max((step.output.channels for step, _ in convolutions), default=0),
    )


def _chain(layers: Sequence[Layer], signal: Signal, x: Place, needed: list[Place]) -> tuple[Step, ...]:
    """Steps of a chain. ``needed``: what must stay until its end."""
    steps: list[Step] = []
    for layer in layers:
        output = layer.infer(signal)
        if output.values.low < WIDE.low or output.values.high > WIDE.high:
            raise ModelError(f"a layer of the kind {layer.kind} has values of more than 16 bits, which cannot be exported")
        inner: tuple[Step, ...] = ()
        if isinstance(layer, Residual):
            inner = _chain(layer.layers, signal, x, [*needed, x])
        in_place = isinstance(layer, (Gain, Lookup, Residual)) and x not in needed
        to = x if in_place else _free(output.size, [*needed, x])
        steps.append(Step(layer, signal, output, to, inner))
        signal, x = output, to
    return tuple(steps)


def _free(size: int, taken: list[Place]) -> Place:
    """The lowest place that overlaps none of those."""
    starts = [0, *(place.end for place in taken)]
    free = (s for s in sorted(starts) if all(s + size <= place.start or s >= place.end for place in taken))
    return Place(next(free), size)


def _with_inner(steps: Sequence[Step]) -> list[Step]:
    """All steps, those inside others behind them."""
    return [each for step in steps for each in (step, *_with_inner(step.inner))]
