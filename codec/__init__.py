"""mnistzip: a learned codec for small greyscale images, exact and light.

What is public is imported when it is first asked for: a command starts without what it does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnistzip.archive import Archive
    from mnistzip.codec import Info, decode, decode_bare, decode_many, encode, encode_many, info, preview
    from mnistzip.errors import FormatError, ImageError, LimitError, MnistzipError, ModelError, OptionError, UnsupportedError
    from mnistzip.metrics import bpp, mse, psnr
    from mnistzip.pack import ArchiveWriter, encode_archive

__version__ = "0.1.0"

__all__ = [
    "Archive",
    "ArchiveWriter",
    "FormatError",
    "ImageError",
    "Info",
    "LimitError",
    "MnistzipError",
    "ModelError",
    "OptionError",
    "UnsupportedError",
    "bpp",
    "decode",
    "decode_bare",
    "decode_many",
    "encode",
    "encode_archive",
    "encode_many",
    "info",
    "mse",
    "preview",
    "psnr",
]

_HOMES = {
    "Archive": "archive",
    "Info": "codec",
    "decode": "codec",
    "decode_bare": "codec",
    "decode_many": "codec",
    "encode": "codec",
    "encode_many": "codec",
    "info": "codec",
    "preview": "codec",
    "FormatError": "errors",
    "ImageError": "errors",
    "LimitError": "errors",
    "MnistzipError": "errors",
    "ModelError": "errors",
    "OptionError": "errors",
    "UnsupportedError": "errors",
    "bpp": "metrics",
    "mse": "metrics",
    "psnr": "metrics",
    "ArchiveWriter": "pack",
    "encode_archive": "pack",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES.values():  # a module that holds something public
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
