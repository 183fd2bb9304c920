"""Exact integer arithmetic in float32: arrays of this type that only ever hold integers.

A sum of integers in float32 does not depend on the order of summation, on fused multiply-adds or on the number of threads,
as long as no partial sum can exceed 2^24. Results are therefore equal on every machine, at the speed of its BLAS.
:func:`check_exact` derives that bound from the weights: the sum of their magnitudes times the largest input, plus the bias.

Between layers, values return to a small range by ``floor(sum / 2^shift + 1/2)``, then clipping. Weights and biases are divided
by that power of two when a model is loaded, and 1/2 is added to the bias. Sums are then multiples of 2^-shift (the *unit*), and
as exact as the integers were.

Source: Ballé, Johnston, Minnen 2019, Integer networks for data compression with latent-variable models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ModelError
from mnistzip.types import Floats, Integers

Numbers = NDArray[np.floating[Any]]
Exact = TypeVar("Exact", NDArray[np.float32], NDArray[np.float64])

SUM_MAX = 1 << 24  # float32 holds every integer up to here
ACTIVATION_MAX = 1023


@dataclass(frozen=True)
class Range:
    """The smallest and the largest integer that an array may hold."""

    low: int
    high: int

    @property
    def peak(self) -> int:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))


ACTIVATIONS = Range(0, ACTIVATION_MAX)


def require_shape(fits: bool, name: str) -> None:
    """Raise :class:`~mnistzip.errors.ModelError` unless the weights of a named part fit the layers around it."""
    if not fits:
        raise ModelError(f"{name}: the shape of its weights does not fit the layers around it")


def check_exact(name: str, weight: Floats, peak: Floats | int, bias_peak: Numbers | int, unit: Floats | int = 1) -> None:
    """Raise :class:`~mnistzip.errors.ModelError` if a partial sum of ``input @ weight + bias`` could exceed 2^24 units.

    Args:
        name: the layer's name, for the error.
        weight: multiples of ``unit``, shape ``(inputs, outputs)``.
        peak: largest magnitude of each input, a number or shape ``(inputs,)``.
        bias_peak: largest magnitude of the bias, a number or shape ``(outputs,)``.
        unit: a power of two for each output, a number or shape ``(outputs,)``.
    """
    if np.ndim(peak):
        sums = np.abs(weight).astype(np.float64).T @ np.asarray(peak, np.float64)
    else:
        sums = np.abs(weight).sum(axis=0, dtype=np.float64) * peak
    worst = float(((sums + bias_peak) / unit).max(initial=0.0))
    if not worst <= SUM_MAX:  # true for NaN, too
        raise ModelError(f"{name}: sums could reach {worst:.0f}, beyond {SUM_MAX}, where float32 stops being exact")


def exact_matmul(a: Exact, b: Exact) -> Exact:
    """``a @ b`` for integers whose sums are exact.

    Some kernels of OpenBLAS also compute on memory behind the end of a small array. They discard the result, but if that memory
    holds no valid number, numpy would warn of an invalid value.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        out: Exact = np.matmul(a, b)
    return out


def power_of_two(exponent: Floats) -> Floats:
    """Exact powers of two of integer exponents."""
    return np.ldexp(np.ones(exponent.shape, np.float32), exponent.astype(np.int64))


def integers_of(weight: Floats, unit: Floats) -> Integers:
    """Weights or biases, multiples of a unit, as they are in a model file; biases with the half that rounds."""
    quotient = weight / unit  # exact, as a unit is a power of two
    return np.rint(quotient, out=quotient).astype(np.int64)


def shifts_of(unit: Floats) -> Integers:
    """The bits by which the sums of each output are divided, given its unit."""
    return (-np.log2(unit.astype(np.float64))).round().astype(np.int64)


def rounding_bias(shift: Floats) -> Floats:
    """The bias that makes :func:`requantize` round half up: 1/2, or 0 where a shift of 0 divides nothing."""
    return np.where(shift > 0, np.float32(0.5), np.float32(0))


def requantize(total: Floats, output_range: Range) -> Floats:
    """``floor(total)``, clipped, in place. Weights and biases hold the division and the 1/2 already."""
    np.floor(total, out=total)
    return total.clip(output_range.low, output_range.high, out=total)


@dataclass(frozen=True, eq=False)
class Affine:
    """A matrix and a bias, then requantization.

    Attributes:
        weight: multiples of ``unit``, shape ``(inputs, outputs)``.
        bias: multiples of ``unit`` with the 1/2 of rounding, shape ``(outputs,)``.
        unit: ``2^-shift`` of each output, shape ``(outputs,)``.
    """

    name: str
    weight: Floats
    bias: Floats
    unit: Floats

    @classmethod
    def from_integers(cls, name: str, weight: Floats, bias: Floats, shift: Floats) -> Affine:
        """From the integers of a model file: weights ``(inputs, outputs)``, biases and shifts ``(outputs,)``."""
        unit = power_of_two(-shift)
        require_shape(weight.shape[1:] == bias.shape == unit.shape, name)
        return cls(name, weight * unit, bias * unit + rounding_bias(shift), unit)

    def check_exact(self, peak: Floats | int, extra_bias: Numbers | int = 0) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless shapes fit and all sums are exact.

        Args:
            peak: largest magnitude of each input, a number or shape ``(inputs,)``.
            extra_bias: largest magnitude of what a caller adds to the bias, a number or shape ``(outputs,)``.
        """
        require_shape(np.ndim(peak) == 0 or np.shape(peak) == self.weight.shape[:1], self.name)
        check_exact(self.name, self.weight, peak, np.abs(self.bias).astype(np.float64) + extra_bias, self.unit)

    def __call__(self, x: Floats, output_range: Range) -> Floats:
        """(n, inputs) -> (n, outputs), clipped."""
        total = exact_matmul(x, self.weight)
        total += self.bias
        return requantize(total, output_range)

    def transposed(self, x: Floats, output_range: Range) -> Floats:
        """(n, inputs) -> (outputs, n), clipped."""
        total = exact_matmul(self.weight.T, x.T)
        total += self.bias[:, None]
        return requantize(total, output_range)
