"""mnistzip: a learned codec for small greyscale images, exact and light."""

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
