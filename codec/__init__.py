"""mnistzip: a learned codec for small greyscale images, exact and light.

Public names are imported on first use, so that a command starts without what it does not need.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnistzip.api import (
        Info as Info,
        decode as decode,
        decode_bare as decode_bare,
        decode_each as decode_each,
        decode_many as decode_many,
        encode as encode,
        encode_many as encode_many,
        info as info,
        latents as latents,
        preview as preview,
    )
    from mnistzip.archive.index import Origin as Origin
    from mnistzip.archive.reader import Archive as Archive
    from mnistzip.archive.writer import ArchiveWriter as ArchiveWriter, encode_archive as encode_archive
    from mnistzip.engines.choice import EngineInfo as EngineInfo, engine as engine
    from mnistzip.errors import (
        FormatError as FormatError,
        ImageError as ImageError,
        LimitError as LimitError,
        MnistzipError as MnistzipError,
        ModelError as ModelError,
        OptionError as OptionError,
        UnsupportedError as UnsupportedError,
    )
    from mnistzip.idx import read_idx as read_idx
    from mnistzip.metrics import bpp as bpp, mse as mse, psnr as psnr

__version__ = "0.1.0"

_PUBLIC = {  # module: its public names
    "api": (
        "Info",
        "decode",
        "decode_bare",
        "decode_each",
        "decode_many",
        "encode",
        "encode_many",
        "info",
        "latents",
        "preview",
    ),
    "archive.index": ("Origin",),
    "archive.reader": ("Archive",),
    "archive.writer": ("ArchiveWriter", "encode_archive"),
    "engines.choice": ("EngineInfo", "engine"),
    "errors": ("FormatError", "ImageError", "LimitError", "MnistzipError", "ModelError", "OptionError", "UnsupportedError"),
    "idx": ("read_idx",),
    "metrics": ("bpp", "mse", "psnr"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}
_MOVED = {"codec": "api", "index": "archive.index"}  # modules that the documentation once named
_MODULES = ("api", "archive", "errors", "idx", "metrics")

__all__ = [*_MODULE_OF]  # noqa: PLE0604 - the names stand once, in the table


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MOVED:
        public = "mnistzip itself" if name == "codec" else "mnistzip.Origin"
        warnings.warn(f"mnistzip.{name} is deprecated: use {public}", DeprecationWarning, stacklevel=2)
        return importlib.import_module(f"{__name__}.{_MOVED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
