"""mnistzip in the comparison, through its public functions."""

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
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.lossless import pixel_symbols
from mnistzip.entropy.cost import BIT
from mnistzip.limits import PIXELS_MAX
from mnistzip.models import registry
from mnistzip.models.registry import Model, candidates
from mnistzip.types import Pixels

DEFAULT_MODEL: str = inspect.signature(api.encode_many).parameters["model"].default


def models_of(options: dict[str, Any]) -> list[Model]:
    """The models that :func:`mnistzip.encode_many` may use with these options: several for ``auto``."""
    return candidates(options.get("model", DEFAULT_MODEL))


class MnistzipFiles:
    """A file for each image: ``encode_many(images, **options)`` and ``decode_many``."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return api.encode_many(images, **self.options)

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        return api.decode_many(files, model=self.options.get("model"), max_pixels=PIXELS_MAX)

    def header_bytes(self, files: Sequence[bytes]) -> int:
        """Total bytes of the headers of all files."""
        return sum(api.info(file).header_bytes for file in files)

    def ideal_bytes(self, images: Sequence[Pixels], files: Sequence[bytes]) -> float | None:
        """Total ideal code length of the symbols of all files, in bytes: ``-log2`` of their probabilities in the model.

        None unless every image is one tile and is lossless or has effort 0, where the symbols are those of the analysis. An
        image that is stored without a model counts as if the first model had encoded it.
        """
        lossless = self.options.get("lossless", False)
        if any(image.shape != (DEFAULT_SIDE, DEFAULT_SIDE) for image in images):
            return None
        if not lossless and self.options.get("effort") != 0:
            return None
        first, *others = models_of(self.options)
        by_name = {model.name: model for model in others}
        if others:
            by_name[registry.BITMAPS] = registry.shipped(registry.BITMAPS)
        groups: dict[tuple[str, int], list[Pixels]] = defaultdict(list)
        for image, file in zip(images, files, strict=True):
            header = api.info(file)
            name = header.model if header.model in by_name else first.name
            exact = lossless or (header.model is not None and header.quality is None)
            quality = 0 if exact else header.quality or self.options["quality"]
            groups[name, quality].append(image)
        total = 0.0
        for (name, quality), members in groups.items():
            bits = _ideal_bits(by_name.get(name, first), np.stack(members), quality)
            if bits is None:
                return None
            total += bits / 8
        return total


def _ideal_bits(model: Model, images: Pixels, quality: int) -> float | None:
    """Ideal bits of images of one tile at a quality; quality 0 is lossless, None if the model has no pixel model."""
    if not quality:
        if not model.has_pixel_model:
            return None
        return sum(symbols.bits for symbols in pixel_symbols(model, list(images)) if symbols is not None) / BIT
    latents = kind_of(model).images(list(images)).first(model, [quality] * len(images))
    return sum(latent.bits for latent in latents) / BIT


class MnistzipArchive:
    """One archive of all images: ``encode_archive(images, **options)``.

    Attributes:
        progress: called for each image that is added to the archive or read from it.
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
        """The images, with a call of ``progress`` before each."""
        for image in images:
            self.progress()
            yield image
