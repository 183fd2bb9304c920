"""What every codec in the comparison can do, and the versions of the libraries that do it."""

from __future__ import annotations

import platform
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mnistzip.types import Pixels

Shapes = Sequence[tuple[int, ...]]


class Coder(Protocol):
    """A codec at one setting."""

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        """Files of images, uint8 of shape ``(H, W)``: one each, or one of all if the codec is solid."""

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        """Images of files; ``shapes`` are those of the images, for codecs whose bytes do not hold them."""


@runtime_checkable
class Trained(Protocol):
    """A coder that learns from all images before it codes any."""

    def train(self, images: Sequence[Pixels]) -> None:
        """Learn; the time that this takes is not counted."""


@dataclass(frozen=True)
class Each:
    """A coder of single images, image by image."""

    pack: Callable[[Pixels], Any]
    unpack: Callable[[bytes, tuple[int, ...]], Any]

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return [bytes(self.pack(image)) for image in images]

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        return [np.asarray(self.unpack(file, shape)) for file, shape in zip(files, shapes, strict=True)]


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that codecs use, by name, as far as they are installed."""
    found = {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    for package in ("mnistzip", "numpy", "imagecodecs", "zstandard", "zopfli", "pyarrow", "scikit-image", "torchmetrics"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found |= _pillow()
    if "imagecodecs" in found:
        found |= _imagecodecs()
    return found


def _pillow() -> dict[str, str]:
    from PIL import __version__, features

    parts = {"libwebp": "webp", "libjpeg-turbo": "libjpeg_turbo", "libavif": "avif"}
    told = {name: features.version(feature) for name, feature in parts.items()}
    return {"Pillow": __version__} | {name: str(version) for name, version in told.items() if version}


def _imagecodecs() -> dict[str, str]:
    import imagecodecs

    parts = {"openjpeg": "jpeg2k", "charls": "jpegls", "libjxl": "jpegxl", "qoi": "qoi"}
    return {name: str(getattr(imagecodecs, f"{codec}_version")()).split()[-1] for name, codec in parts.items()}
