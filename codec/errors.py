"""The errors of mnistzip. Catch :class:`MnistzipError` to catch them all."""

from __future__ import annotations

from numbers import Integral


class MnistzipError(Exception):
    """Base of every error that mnistzip raises on purpose; never raised itself."""


class FormatError(MnistzipError):
    """The bytes are not a whole, undamaged mnistzip file."""


class UnsupportedError(FormatError):
    """The bytes may be fine, but this version of mnistzip does not know what they ask for."""


class ModelError(MnistzipError):
    """A model is missing, damaged, or could not be proved exact."""


class LimitError(MnistzipError):
    """A size or a budget cannot be met."""


class ImageError(MnistzipError):
    """The image given is not an 8-bit greyscale image that the codec can take."""


class OptionError(MnistzipError, ValueError):
    """An option has a value outside its range."""


def require_within(name: str, value: int, low: int, high: int) -> None:
    """Raise :class:`OptionError` unless an option is a whole number within its range."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}: give a whole number in {low}..{high}")
