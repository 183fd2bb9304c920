"""Pillow reads and writes ``.cae`` files; imageio does so through Pillow.

::

    import mnistzip.plugins.pillow
    im = Image.open("d.cae")                # reads the header; the pixels are decoded when they are needed
    im.save("e.cae", quality=80, effort=5)  # any option of mnistzip.encode

Pillow does not search for plugins, so each program needs this import once.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile

from mnistzip import api
from mnistzip.bitstream.container import is_cae
from mnistzip.errors import MnistzipError, ModelError, OptionError
from mnistzip.models.registry import Model
from mnistzip.options import FileOptions
from mnistzip.types import Pixels

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

FORMAT = "CAE"
SUFFIX = ".cae"
MIME = "image/x-mnistzip"
HEADER_MAX = 32  # bytes; the longest header has 18
OPTIONS = [field.name for field in fields(FileOptions)]


class CaeImageFile(ImageFile.ImageFile):
    """One image from a ``.cae`` file, mode L.

    ``info`` holds ``model``, ``lossless``, ``quality`` if it is lossy, and ``max_error`` if every pixel is within a bound.

    Opening a file and all methods raise OSError for a file that is damaged, cut short, of a newer format, or too large. The
    cause of the OSError is the error of mnistzip.
    """

    format = FORMAT
    format_description = "mnistzip"
    _coded = False  # True until the pixels are decoded

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header = api.info(self.fp.read(HEADER_MAX))
        except MnistzipError as cause:
            raise OSError(f"cannot read this CAE file as one image: {cause}") from cause
        self._mode = "L"
        self._size = (header.width, header.height)
        self.info["model"] = header.model
        self.info["lossless"] = header.mode == "lossless"
        for name in ("quality", "max_error"):
            if (value := getattr(header, name)) is not None:
                self.info[name] = value
        self._coded = True

    def load(self, model: str | Path | Model | None = None, max_pixels: int | None = None) -> PixelAccess | None:
        """Decode the pixels, once.

        Args:
            model: the model of a file that names it by its fingerprint; shipped models need no argument.
            max_pixels: as for :func:`mnistzip.decode`.
        """
        if self._coded and self.fp is not None:
            self.im = Image.frombytes("L", self.size, self._decode(model, max_pixels).tobytes()).im
            self.readonly = 0
            self._coded = False
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()

    def verify(self) -> None:
        """Decode the pixels to check the file, and drop them. Closes the file, as Pillow requires."""
        try:
            if self._coded and self.fp is not None:
                self._decode(None, None)
        finally:
            super().verify()

    def _decode(self, model: str | Path | Model | None, max_pixels: int | None) -> Pixels:
        assert self.fp is not None
        self.fp.seek(0)
        try:
            pixels = api.decode(self.fp.read(), model=model, max_pixels=max_pixels)
        except ModelError as cause:
            raise OSError(f"{cause} (load(model=PATH) uses it)") from cause
        except MnistzipError as cause:
            raise OSError(f"cannot decode this CAE file: {cause}") from cause
        if pixels.shape != self.size[::-1]:
            raise OSError(f"this CAE file has changed since it was opened: it was {self.size[0]}x{self.size[1]}")
        return pixels


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Write one image; Pillow calls this."""
    if im.mode != "L":
        raise OSError(f"cannot write mode {im.mode} as {FORMAT}")
    options = {name: im.encoderinfo[name] for name in OPTIONS if name in im.encoderinfo}
    try:
        data = api.encode(np.asarray(im), **options)
    except OptionError:
        raise  # it is a ValueError, as the writers of Pillow raise
    except MnistzipError as cause:
        raise OSError(f"cannot write as {FORMAT}: {cause}") from cause
    fp.write(data)


def _save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Refuse ``save_all`` for more than one image; Pillow calls this."""
    if im.encoderinfo.get("append_images") or getattr(im, "n_frames", 1) > 1:
        raise OSError(f"cannot write several images as {FORMAT}: save each in its own file")
    _save(im, fp, filename)


def register() -> None:
    """Register the format with Pillow. Importing this module does so; a second call changes nothing."""
    Image.register_open(FORMAT, CaeImageFile, is_cae)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, SUFFIX)
    Image.register_mime(FORMAT, MIME)


register()
