"""The engine of numpy alone: it runs everywhere, and its results define those of all engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.nn.blas_threads import one_thread
from mnistzip.types import Bools, Integers, Pixels

if TYPE_CHECKING:
    from mnistzip.bitstream.stream_layout import Streams
    from mnistzip.engines.interface import Intervals, PixelSymbols
    from mnistzip.entropy.states import FinalStates
    from mnistzip.models.bitmap.resampling import Bitmap
    from mnistzip.models.registry import Model


class NumpyEngine:
    """An :class:`~mnistzip.engines.interface.Engine`. Operations import what they need, so that commands start fast."""

    name = "numpy"
    instructions = np.__version__

    @one_thread
    def first_latents(self, model: Model, x: Pixels, inside: Bools, quality_index: Integers) -> Integers:
        from mnistzip.engines.reference import latent_cost

        return latent_cost.first_latents(model, x, inside, quality_index)

    @one_thread
    def refine(
        self,
        model: Model,
        x: Pixels,
        inside: Bools,
        y: Integers,
        quality_index: Integers,
        effort: int,
        tick: Callable[[int], None] | None = None,
    ) -> Integers:
        from mnistzip.engines.reference import rdo

        return rdo.refine(model, x, inside, y, quality_index, effort, tick)

    @one_thread
    def refine_to_budget(
        self, model: Model, x: Pixels, inside: Bools, quality_index: Integers, effort: int, limit: Integers
    ) -> Integers:
        from mnistzip.engines.reference import rdo

        return rdo.refine_to_budget(model, x, inside, quality_index, effort, limit)

    @one_thread
    def latent_symbols(self, model: Model, y: Integers, quality_index: Integers) -> Intervals:
        from mnistzip.engines.reference import latent_streams

        return latent_streams.latent_symbols(model.prior, y, quality_index)

    @one_thread
    def synthesize(self, model: Model, y: Integers, quality_index: Integers) -> Pixels:
        return model.transforms.synthesize(y, quality_index)

    def encode_latents(
        self,
        symbols: Intervals,
        streams: Streams,
        checks: Integers,
        check_bits: int = CHECK_BITS_MIN,
        interleaved: bool = False,
    ) -> list[bytes]:
        from mnistzip.engines.reference import latent_streams

        return latent_streams.encode(symbols, streams, checks, check_bits, interleaved)

    @one_thread
    def decode_latents(
        self, model: Model, coded: Sequence[bytes], quality_index: Integers, streams: Streams, interleaved: bool = False
    ) -> tuple[Integers, FinalStates]:
        from mnistzip.engines.reference import latent_streams

        return latent_streams.decode(model.prior, coded, quality_index, streams, interleaved)

    @one_thread
    def pixel_symbols(self, model: Model, x: Pixels, inside: Bools, max_error: int = 0) -> PixelSymbols:
        from mnistzip.engines.reference import pixel_streams

        return pixel_streams.pixel_symbols(model.pixels, x, inside, max_error)

    def encode_pixels(self, symbols: PixelSymbols, streams: Streams, checks: Integers) -> list[bytes]:
        from mnistzip.engines.reference import pixel_streams

        return pixel_streams.encode(symbols, streams, checks)

    @one_thread
    def decode_pixels(
        self,
        model: Model,
        coded: Sequence[bytes],
        inside: Bools,
        streams: Streams,
        max_error: int = 0,
        preview: bool = False,
    ) -> tuple[Pixels, Bools, FinalStates]:
        from mnistzip.engines.reference import pixel_streams

        return pixel_streams.decode(model.pixels, coded, inside, streams, max_error, preview)

    @one_thread
    def analyse_images(self, model: Model, x: Pixels, quality_index: int) -> Integers:
        return model.grey.analyse(x, quality_index)

    @one_thread
    def refine_image(
        self, model: Model, x: Pixels, y: Integers, quality_index: int, effort: int, lmbda: int | None = None
    ) -> Integers:
        from mnistzip.engines.reference import grey_search

        weight = int(model.lmbda[quality_index]) if lmbda is None else lmbda
        return grey_search.refine(model.grey, x, y, quality_index, effort, weight)

    @one_thread
    def image_symbols(self, model: Model, y: Integers, quality_index: int) -> Intervals:
        from mnistzip.engines.reference import grey_streams

        return grey_streams.image_symbols(model.grey.prior, y, quality_index)

    @one_thread
    def synthesize_images(self, model: Model, y: Integers, quality_index: int, shape: tuple[int, int]) -> Pixels:
        return model.grey.synthesize(y, quality_index, *shape)

    @one_thread
    def image_pixel_symbols(self, model: Model, x: Pixels, max_error: int = 0) -> Intervals:
        from mnistzip.engines.reference import grey_streams

        return grey_streams.pixel_symbols(model.grey_pixels, x, max_error)

    @one_thread
    def decode_pixel_images(
        self, model: Model, coded: Sequence[bytes], shapes: Sequence[Sequence[tuple[int, int]]], max_error: int = 0
    ) -> tuple[list[list[Pixels]], FinalStates]:
        from mnistzip.engines.reference import grey_streams

        return grey_streams.decode_pixels(model.grey_pixels, coded, shapes, max_error)

    @one_thread
    def bitmap_symbols(self, model: Model, bitmaps: Sequence[Bitmap]) -> list[Intervals]:
        from mnistzip.engines.reference import bitmap_streams

        return bitmap_streams.bitmap_symbols(model.bitmaps, bitmaps)

    @one_thread
    def decode_bitmaps(
        self, model: Model, coded: Sequence[bytes], counts: Sequence[int]
    ) -> tuple[list[list[Bitmap]], list[bool], FinalStates]:
        from mnistzip.engines.reference import bitmap_streams

        return bitmap_streams.decode(model.bitmaps, coded, counts)

    def encode_streams(self, symbols: Sequence[Intervals], checks: Integers, check_bits: int = CHECK_BITS_MIN) -> list[bytes]:
        from mnistzip.engines.reference import grey_streams

        return grey_streams.encode(symbols, checks, check_bits)

    @one_thread
    def decode_image_latents(
        self, model: Model, coded: Sequence[bytes], quality_index: int, shapes: Sequence[Sequence[tuple[int, int]]]
    ) -> tuple[list[list[Integers]], FinalStates]:
        from mnistzip.engines.reference import grey_streams

        return grey_streams.decode(model.grey.prior, coded, quality_index, shapes)

    def find_bitmaps(self, x: Pixels) -> list[Bitmap | None]:
        from mnistzip.engines.reference import bitmap_search

        return bitmap_search.find_bitmaps(x)

    def digits_of(self, bitmaps: Sequence[Bitmap]) -> Pixels:
        from mnistzip.models.bitmap import resampling

        return resampling.digits_of(bitmaps)


NUMPY = NumpyEngine()
