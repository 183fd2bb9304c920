"""mnistzip in the comparison, as any user calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnistzip import codec
from mnistzip.bench.coder import Pixels, Shapes
from mnistzip.container import DEFAULT_SIDE
from mnistzip.model import find
from mnistzip.prior import ideal_bits


class Ours:
    """``encode_many`` and ``decode_many`` with the options given."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return codec.encode_many(images, **self.options)

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        return codec.decode_many(files, model=self.options.get("model"))

    def header_bytes(self, files: Sequence[bytes]) -> int:
        """Bytes of the headers of all files together."""
        return sum(codec.info(file).header_bytes for file in files)

    def ideal_bytes(self, images: Sequence[Pixels]) -> float | None:
        """What the model's own frequencies allow for the symbols coded, all images together.

        Known where the symbols are those of the analysis (effort 0) and every image is one tile; else None.
        """
        if self.options.get("effort") != 0 or any(image.shape != (DEFAULT_SIDE, DEFAULT_SIDE) for image in images):
            return None
        model = find(self.options["model"])
        row = np.full(len(images), model.row(self.options["quality"]))
        _, freqs = model.prior.intervals(model.transforms.analyse(np.stack(images), row), row)
        return ideal_bits(freqs) / 8
