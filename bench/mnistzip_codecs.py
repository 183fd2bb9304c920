"""mnistzip in the comparison, as any user calls it."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mnistzip import api
from mnistzip.archive.reader import Archive
from mnistzip.archive.writer import encode_archive
from mnistzip.bench.protocol import Shapes
from mnistzip.bitstream.container import DEFAULT_SIDE
from mnistzip.limits import PIXELS_MAX
from mnistzip.models.latent_prior import ideal_bits
from mnistzip.models.pixel.planes import TILE_PIXELS
from mnistzip.models.registry import Model, candidates
from mnistzip.types import Pixels

DEFAULT_MODEL: str = inspect.signature(api.encode_many).parameters["model"].default


def models_of(options: dict[str, Any]) -> list[Model]:
    """The models that may code an image under these options of :func:`mnistzip.encode_many`: several for ``auto``."""
    return candidates(options.get("model", DEFAULT_MODEL))


class Ours:
    """``encode_many`` and ``decode_many`` with the options given."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return api.encode_many(images, **self.options)

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        return api.decode_many(files, model=self.options.get("model"), max_pixels=PIXELS_MAX)

    def header_bytes(self, files: Sequence[bytes]) -> int:
        """Bytes of the headers of all files together."""
        return sum(api.info(file).header_bytes for file in files)

    def ideal_bytes(self, images: Sequence[Pixels], files: Sequence[bytes]) -> float | None:
        """What the frequencies of each file's model allow for the symbols coded, all images together.

        Known where the symbols are those of the analysis (effort 0) or of all pixels, and every image is one tile; else None.
        An image that was stored without a model counts as if the first model had coded it.
        """
        lossless = self.options.get("lossless", False)
        if any(image.shape != (DEFAULT_SIDE, DEFAULT_SIDE) for image in images):
            return None
        if not lossless and self.options.get("effort") != 0:
            return None
        first, *others = models_of(self.options)
        by_name = {model.name: model for model in others}
        groups: dict[tuple[str, int], list[Pixels]] = defaultdict(list)
        for image, file in zip(images, files, strict=True):
            about = api.info(file)
            name = about.model if about.model in by_name else first.name
            quality = 0 if lossless else about.quality or self.options["quality"]
            groups[name, quality].append(image)
        total = 0.0
        for (name, quality), some in groups.items():
            bits = _ideal_bits(by_name.get(name, first), np.stack(some), quality)
            if bits is None:
                return None
            total += bits / 8
        return total


def _ideal_bits(model: Model, images: Pixels, quality: int) -> float | None:
    """Of images of one tile, at a quality or, if that is 0, without loss; None if the model cannot."""
    if not quality:
        if model.pixels is None:
            return None
        return ideal_bits(model.pixels.intervals(images, np.ones((len(images), TILE_PIXELS), bool)).freq)
    row = np.full(len(images), model.quality_index(quality))
    _, freqs = model.prior.intervals(model.transforms.analyse(images, row), row)
    return ideal_bits(freqs)


class OurArchive:
    """All images in one archive, with the options of ``encode_archive`` given.

    Attributes:
        progress: called for each image that is taken into the archive or out of it.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.progress: Callable[[], None] = lambda: None

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return [encode_archive(self._counted(images), **self.options)]

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        with Archive(files[0], model=self.options.get("model"), max_pixels=PIXELS_MAX) as archive:
            return list(self._counted(archive))

    def _counted(self, images: Iterable[Pixels]) -> Iterator[Pixels]:
        for image in images:
            self.progress()
            yield image
