"""Latents of whole images: the kind ``grey``, whose networks take pictures of any size.

A payload is one stream, whose images follow each other. FORMAT.md, section 12, specifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mnistzip.bitstream.checksums import crc32
from mnistzip.coding.latents import Latent, Shape, Symbols
from mnistzip.engines.choice import current
from mnistzip.engines.interface import Intervals
from mnistzip.entropy.cost import BIT
from mnistzip.errors import FormatError
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models.registry import Model
from mnistzip.threads import go_on
from mnistzip.tiling import tiles_of
from mnistzip.types import Integers, Pixels

PIXELS_TOGETHER = 1 << 20  # coded together
TAIL = 1.0  # bits that a stream takes above its check and the ideal code length, before rounding up to bytes
WEIGHTS, WEIGHTS_PER_OCTAVE = 31, 4  # smaller weights of the error that a budget may need


class WholeImages:
    """Images as they are: :class:`~mnistzip.coding.latents.Images`."""

    def __init__(self, images: Sequence[Pixels]) -> None:
        self._images = images

    def select(self, which: Sequence[int]) -> WholeImages:
        return WholeImages([self._images[k] for k in which])

    def first(self, model: Model, qualities: Sequence[int]) -> list[Latent]:
        out: dict[int, Latent] = {}
        for which, quality_index, stack in self._alike(model, qualities):
            out |= zip(
                which, _latents(model, current().analyse_images(model, stack, quality_index), quality_index), strict=True
            )
        return [out[k] for k in range(len(self._images))]

    def refine(
        self,
        model: Model,
        latents: Sequence[Latent],
        qualities: Sequence[int],
        effort: int,
        tick: Callable[[int], None] | None = None,
    ) -> list[Latent]:
        if not effort:
            return list(latents)
        out = []
        for image, latent, quality in zip(self._images, latents, qualities, strict=True):
            go_on()
            out.append(_refined(model, image, latent.y, quality, effort))
            if tick is not None:
                tick(tiles_of(image))
        return out

    def fit(self, model: Model, qualities: Sequence[int], effort: int, bits: int, check_bits: int) -> list[Latent]:
        """A smaller weight of the error gives fewer bits: the largest that fits is found by bisection."""
        latents = self.first(model, qualities)
        if not effort:
            return latents
        limit = round(max(bits - check_bits - TAIL, 0) * BIT)
        triples = zip(self._images, latents, qualities, strict=True)
        return [_fitted(model, image, latent, quality, effort, limit) for image, latent, quality in triples]

    def errors(self, model: Model, latents: Sequence[Latent], qualities: Sequence[int]) -> list[int]:
        x_hat = WHOLE_IMAGES.reconstruct(
            model, [latent.y for latent in latents], [_shape_of(image) for image in self._images], qualities
        )
        pairs = zip(self._images, x_hat, strict=True)
        return [int(np.square(decoded.astype(np.int64) - image).sum()) for image, decoded in pairs]

    def _alike(self, model: Model, qualities: Sequence[int]) -> Iterator[tuple[list[int], int, Pixels]]:
        """Images of one shape and quality: their numbers, the index of their quality, and an array of all."""
        for which, quality_index, _ in _alike(model, [_shape_of(image) for image in self._images], qualities):
            yield which, quality_index, np.stack([self._images[k] for k in which])


class _WholeImages:
    """:class:`~mnistzip.coding.latents.Kind`."""

    def images(self, images: Sequence[Pixels]) -> WholeImages:
        return WholeImages(images)

    def reconstruct(
        self, model: Model, y: Sequence[Integers], shapes: Sequence[Shape], qualities: Sequence[int]
    ) -> list[Pixels]:
        out: dict[int, Pixels] = {}
        for which, quality_index, shape in _alike(model, shapes, qualities):
            stack = np.stack([y[k] for k in which])
            out |= zip(which, current().synthesize_images(model, stack, quality_index, shape), strict=True)
        return [out[k] for k in range(len(y))]

    def arranged(self, y: Integers, shape: Shape) -> Symbols:
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2), np.int8)

    def encode(
        self,
        seeds: Sequence[bytes],
        latents: Sequence[Sequence[Latent]],
        check_bits: int = CHECK_BITS_MIN,
        in_lanes: bool = False,
    ) -> list[bytes]:
        checks = [_check(seed, [latent.y for latent in each]) for seed, each in zip(seeds, latents, strict=True)]
        streams = [Intervals.join([latent.symbols for latent in each]) for each in latents]
        return current().encode_streams(streams, np.array(checks, np.int64), check_bits)

    def decode(
        self,
        model: Model,
        seeds: Sequence[bytes],
        payloads: Sequence[bytes],
        shapes: Sequence[Sequence[Shape]],
        qualities: Sequence[int],
        check_bits: int = CHECK_BITS_MIN,
        in_lanes: bool = False,
    ) -> list[list[Integers] | FormatError]:
        out: dict[int, list[Integers] | FormatError] = {}
        alike: dict[int, list[int]] = {}
        for k, payload in enumerate(payloads):
            if payload and payload[0]:
                alike.setdefault(model.quality_index(qualities[k]), []).append(k)
            else:
                out[k] = FormatError("a coded stream is empty or begins with an impossible state")
        for quality_index, which in alike.items():
            coded, of_streams = [payloads[k] for k in which], [shapes[k] for k in which]
            latents, ends = current().decode_image_latents(model, coded, quality_index, of_streams)
            checks = np.array([_check(seeds[k], y) for k, y in zip(which, latents, strict=True)], np.int64)
            for k, y, intact in zip(which, latents, ends.verify(checks, check_bits).tolist(), strict=True):
                out[k] = y if intact else FormatError("its content does not match its check")
        return [out[k] for k in range(len(payloads))]


WHOLE_IMAGES = _WholeImages()


def _refined(model: Model, image: Pixels, y: Integers, quality: int, effort: int, lmbda: int | None = None) -> Latent:
    """A latent of less cost."""
    quality_index = model.quality_index(quality)
    y = current().refine_image(model, image, y, quality_index, effort, lmbda)
    return _latents(model, y[None], quality_index)[0]


def _fitted(model: Model, image: Pixels, latent: Latent, quality: int, effort: int, limit: int) -> Latent:
    """The latent of the largest weight of the error that takes ``limit`` bits at most, or the smallest that was found."""
    lmbda = int(model.lmbda[model.quality_index(quality)])
    best = _refined(model, image, latent.y, quality, effort)
    if best.bits <= limit:
        return best
    low, high = 1, WEIGHTS
    while low <= high:
        middle = (low + high) // 2
        tried = _refined(model, image, latent.y, quality, effort, max(1, round(lmbda * 2 ** (-middle / WEIGHTS_PER_OCTAVE))))
        if tried.bits <= limit:
            best, high = tried, middle - 1
        else:
            best, low = min(best, tried, key=lambda each: each.bits), middle + 1
    return best


def _latents(model: Model, y: Integers, quality_index: int) -> list[Latent]:
    """The latents of images of one shape, given their symbols ``(N, h, w, 16)``."""
    symbols = current().image_symbols(model, y, quality_index)
    parts = zip(y, symbols.start, symbols.freq_less_one, strict=True)
    return [Latent(latent, Intervals(start, freq_less_one)) for latent, start, freq_less_one in parts]


def _alike(model: Model, shapes: Sequence[Shape], qualities: Sequence[int]) -> Iterator[tuple[list[int], int, Shape]]:
    """Items of one shape and quality, not too many together: their numbers, the index of their quality, and their shape."""
    groups: dict[tuple[Shape, int], list[int]] = {}
    for k, (shape, quality) in enumerate(zip(shapes, qualities, strict=True)):
        groups.setdefault((shape, model.quality_index(quality)), []).append(k)
    for (shape, quality_index), every in groups.items():
        together = max(1, PIXELS_TOGETHER // (shape[0] * shape[1]))
        for start in range(0, len(every), together):
            yield every[start : start + together], quality_index, shape


def _shape_of(image: Pixels) -> Shape:
    return image.shape[0], image.shape[1]


def _check(seed: bytes, y: Sequence[Integers]) -> int:
    """CRC-32 of the seed, four zeros, and the symbols of all images, row by row."""
    return crc32((seed, bytes(4), *(each.astype(np.int8).tobytes() for each in y)))
