"""The options of encoding: one list for the Python functions, the command line and the plugins.

There are three classes, and each adds options to the one before it. Archives take :class:`ArchiveOptions`. Files also take the
budgets of :class:`FileOptions`. :func:`mnistzip.encode` takes :class:`EncodeOptions`, since it also writes bare streams.
The dictionaries of keywords give the same names to type checkers. A new option is one field of a class and of its dictionary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np

from mnistzip.bitstream.container import QUALITY_MAX
from mnistzip.errors import OptionError, require_within
from mnistzip.limits import CHECK_BITS_MAX, ERROR_MAX
from mnistzip.models.registry import DEFAULT, Model

DEFAULT_QUALITY = 50
DEFAULT_EFFORT = 3
EFFORT_MAX = 9
BARE_CHECK_BITS = 8

ModelName = str | Path | Model  # a shipped model by name, a model file by path, or a loaded model
Function = TypeVar("Function", bound=Callable[..., object])


class ArchiveKeywords(TypedDict, total=False):
    """The keywords of :class:`ArchiveOptions`."""

    quality: int
    lossless: bool
    max_error: int | None
    effort: int
    model: ModelName


class FileKeywords(ArchiveKeywords, total=False):
    """The keywords of :class:`FileOptions`."""

    max_bytes: int | None
    min_psnr: float | None


class EncodeKeywords(FileKeywords, total=False):
    """The keywords of :class:`EncodeOptions`."""

    bare: bool
    check_bits: int


@dataclass(frozen=True, kw_only=True)
class ArchiveOptions:
    """How images are encoded.

    Attributes:
        quality: 1 (smallest) to 100 (best).
        lossless: keep every pixel.
        max_error: keep every pixel within so many grey levels, 1 to 64.
        effort: 0 (fastest) to 9 (smallest). Decoding time does not depend on it.
        model: name of a shipped model, path of a model file, or a loaded :class:`~mnistzip.models.registry.Model`; ``"auto"``
            chooses a shipped model for each image.
    """

    quality: int = DEFAULT_QUALITY
    lossless: bool = False
    max_error: int | None = None
    effort: int = DEFAULT_EFFORT
    model: ModelName = DEFAULT

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), np.integer):  # whose sums could overflow
                object.__setattr__(self, field.name, int(value))

    def require_valid(self) -> None:
        """Raise :class:`~mnistzip.errors.OptionError` for a value outside its range, or for options that exclude each other."""
        require_within("quality", self.quality, 1, QUALITY_MAX)
        require_within("effort", self.effort, 0, EFFORT_MAX)
        if self.max_error is not None:
            require_within("max_error", self.max_error, 1, ERROR_MAX)
            if self.lossless:
                raise OptionError("lossless keeps every pixel, so it takes no max_error")


@dataclass(frozen=True, kw_only=True)
class FileOptions(ArchiveOptions):
    """How an image is encoded into a file.

    Attributes:
        max_bytes: the best quality whose file has at most this many bytes.
        min_psnr: the smallest file that reaches this PSNR in dB.
    """

    max_bytes: int | None = None
    min_psnr: float | None = None

    def require_valid(self) -> None:
        super().require_valid()
        if self.max_bytes is not None:
            require_within("max_bytes", self.max_bytes, 1, 1 << 40)
        if self.min_psnr is not None and not (isinstance(self.min_psnr, (int, float, np.number)) and self.min_psnr >= 0):
            raise OptionError(f"min_psnr is {self.min_psnr!r}: give a number of dB, 0 or more")
        if self.lossless and self.min_psnr is not None:
            raise OptionError("lossless reaches any PSNR, so it takes no min_psnr")
        if self.max_error is not None and self.min_psnr is not None:
            raise OptionError("max_error and min_psnr exclude each other: give one of them")


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(FileOptions):
    """How an image is encoded into a file or a bare stream.

    Attributes:
        bare: write the entropy-coded bytes alone, without a header.
        check_bits: bits of the check in a bare stream, 0 to 23.
    """

    bare: bool = False
    check_bits: int = BARE_CHECK_BITS

    def require_valid(self) -> None:
        super().require_valid()
        require_within("check_bits", self.check_bits, 0, CHECK_BITS_MAX)
        if self.bare and (self.lossless or self.max_error is not None or self.min_psnr is not None):
            raise OptionError(
                "bare streams are lossy and have a fixed quality: they take neither lossless nor max_error nor min_psnr"
            )


def with_options(options: type[ArchiveOptions]) -> Callable[[Function], Function]:
    """Show the fields of ``options`` in the signature of a function that takes them as ``**options``."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        for field in fields(options):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type)
            )
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return decorate
