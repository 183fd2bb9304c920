"""The exceptions of mnistzip. All derive from :class:`MnistzipError`."""

from __future__ import annotations

from numbers import Integral
from typing import TypeVar


class MnistzipError(Exception):
    """Base class of the exceptions that mnistzip raises on purpose; it is never raised itself."""


class FormatError(MnistzipError):
    """The bytes are not a complete, undamaged mnistzip file."""


class UnsupportedError(FormatError):
    """The bytes use a feature that this version of mnistzip does not support; the file may be sound."""


class ModelError(MnistzipError):
    """A model is missing, damaged, or not provably exact."""


class LimitError(MnistzipError):
    """The input exceeds a limit, or a budget cannot be met."""


class ImageError(MnistzipError):
    """The input is not an 8-bit greyscale image of a supported size."""


class OptionError(MnistzipError, ValueError):
    """An option has a value outside its range."""


AnyError = TypeVar("AnyError", bound=Exception)


def located(error: AnyError, where: str) -> AnyError:
    """An error of the same class whose message begins with a location.

    Use it as ``raise located(error, "image 3") from error``.
    """
    return type(error)(f"{where}: {error}")


def require_within(name: str, value: int, low: int, high: int) -> None:
    """Raise :class:`OptionError` unless an option is a whole number in ``low..high``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}: give a whole number in {low}..{high}")
