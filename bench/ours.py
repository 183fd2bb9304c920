"""mnistzip in the comparison, as any user calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnistzip import codec
from mnistzip.archive import Archive
from mnistzip.bench.coder import Pixels, Shapes
from mnistzip.container import DEFAULT_SIDE, PIXELS_MAX
from mnistzip.model import DEFAULT, find
from mnistzip.pack import encode_archive
from mnistzip.planes import PIXELS
from mnistzip.prior import ideal_bits


class Ours:
    """``encode_many`` and ``decode_many`` with the options given."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return codec.encode_many(images, **self.options)

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        return codec.decode_many(files, model=self.options.get("model"), max_pixels=PIXELS_MAX)

    def header_bytes(self, files: Sequence[bytes]) -> int:
        """Bytes of the headers of all files together."""
        return sum(codec.info(file).header_bytes for file in files)

    def ideal_bytes(self, images: Sequence[Pixels]) -> float | None:
        """What the model's own frequencies allow for the symbols coded, all images together.

        Known where the symbols are those of the analysis (effort 0) or of all pixels, and every image is one tile; else None.
        """
        lossless = self.options.get("lossless", False)
        if any(image.shape != (DEFAULT_SIDE, DEFAULT_SIDE) for image in images):
            return None
        if not lossless and self.options.get("effort") != 0:
            return None
        model = find(self.options.get("model", DEFAULT))
        if lossless:
            if model.pixels is None:
                return None
            return ideal_bits(model.pixels.intervals(np.stack(images), np.ones((len(images), PIXELS), bool)).freq) / 8
        row = np.full(len(images), model.row(self.options["quality"]))
        _, freqs = model.prior.intervals(model.transforms.analyse(np.stack(images), row), row)
        return ideal_bits(freqs) / 8


class OurArchive:
    """All images in one archive, with the options of ``encode_archive`` given."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return [encode_archive(images, **self.options)]

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        with Archive(files[0], max_pixels=PIXELS_MAX) as archive:
            return list(archive)
