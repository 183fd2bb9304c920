"""The interface of a codec in the comparison, and the versions of the libraries that do the work."""

from __future__ import annotations

import platform
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mnistzip.engines.choice import engine
from mnistzip.types import Pixels

Shapes = Sequence[tuple[int, ...]]


class Coder(Protocol):
    """A codec at one setting."""

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        """Encode images, uint8 of shape ``(H, W)``, into one file each; a solid codec makes one file of all."""

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        """Decode files into images of the given ``shapes``; some codecs do not store the shape."""


@runtime_checkable
class Trained(Protocol):
    """A coder that is trained on all images before it encodes the first."""

    def train(self, images: Sequence[Pixels]) -> None:
        """Train; this time is not measured."""


@dataclass(frozen=True)
class SingleImageCoder:
    """A coder of two functions that encode and decode one image."""

    pack: Callable[[Pixels], Any]
    unpack: Callable[[bytes, tuple[int, ...]], Any]

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return [bytes(self.pack(image)) for image in images]

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        return [np.asarray(self.unpack(file, shape)) for file, shape in zip(files, shapes, strict=True)]


@cache
def versions() -> dict[str, str]:
    """Version of each installed library that a codec uses, by name."""
    installed = {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    for package in ("mnistzip", "numpy", "imagecodecs", "zstandard", "zopfli", "pyarrow", "scikit-image", "torchmetrics"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    installed["engine"] = str(engine())  # of mnistzip; it decides the speed of its rows
    installed |= _pillow()
    if "imagecodecs" in installed:
        installed |= _imagecodecs()
    return installed


def library_version(name: str) -> str | None:
    """Version of a library, or of any other installed package; None if it is not installed."""
    if name in versions():
        return versions()[name]
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _pillow() -> dict[str, str]:
    """Version of Pillow and of the libraries within it."""
    from PIL import __version__, features

    parts = {"libwebp": "webp", "libjpeg-turbo": "libjpeg_turbo", "libavif": "avif"}
    found = {name: features.version(feature) for name, feature in parts.items()}
    return {"Pillow": __version__} | {name: str(version) for name, version in found.items() if version}


def _imagecodecs() -> dict[str, str]:
    """Versions of the libraries within imagecodecs."""
    import imagecodecs

    parts = {"openjpeg": "jpeg2k", "charls": "jpegls", "libjxl": "jpegxl", "qoi": "qoi"}
    return {name: str(getattr(imagecodecs, f"{codec}_version")()).split()[-1] for name, codec in parts.items()}
