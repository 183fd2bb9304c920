"""What every engine computes: operations on the tiles of a model, or on whole images, with equal results.

An engine has no state. All arithmetic is exact, so how an engine orders its sums does not change a bit of its results.
What a check covers, and how payloads split into streams, is decided above the engines.

Shapes: N tiles; grey levels ``x`` and the pixels ``inside`` the image ``(N, 28, 28)``; symbols ``y`` of latents in coding order
``(N, 196)``; ``quality_index`` ``(N,)``, from 0. Models of the kind ``grey`` take whole images of one size and quality: latents
have the shape ``(N, h, w, 16)``, see :mod:`mnistzip.models.grey.grey_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy.cost import code_length
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.types import Bools, Integers, Pixels

if TYPE_CHECKING:
    from mnistzip.bitstream.stream_layout import Streams
    from mnistzip.entropy.states import FinalStates
    from mnistzip.models.bitmap.resampling import Bitmap
    from mnistzip.models.registry import Model


class PixelSymbols(NamedTuple):
    """The symbols that code tiles without loss, tile by tile, in small integers: a group of an archive holds millions of them.

    Attributes:
        counts: symbols of each tile, shape ``(N,)``.
        turn: plane and step in which each symbol is coded, shape ``(n,)``.
        start: of its interval, shape ``(n,)``.
        freq_less_one: the length of its interval less one, shape ``(n,)``.
    """

    counts: NDArray[np.int32]
    turn: NDArray[np.int16]
    start: NDArray[np.uint16]
    freq_less_one: NDArray[np.uint16]

    @property
    def bits(self) -> int:
        """Ideal code length in units of 1 / :data:`~mnistzip.entropy.cost.BIT` bits."""
        return int(code_length(self.freq_less_one))

    def split(self, tiles: Sequence[int]) -> list[PixelSymbols]:
        """The symbols of images that have these numbers of tiles. They are copies, so each can be freed alone."""
        ends = np.cumsum(tiles)
        counts = np.split(self.counts, ends[:-1])
        cuts = np.cumsum([0, *self.counts])[ends[:-1]]
        columns = [np.split(column, cuts) for column in self[1:]]
        return [PixelSymbols(*(part.copy() for part in parts)) for parts in zip(counts, *columns, strict=True)]

    @staticmethod
    def join(symbols: Sequence[PixelSymbols]) -> PixelSymbols:
        """The symbols of all tiles of several images."""
        return PixelSymbols(*map(np.concatenate, zip(*symbols, strict=True)))


class Intervals(NamedTuple):
    """The intervals of sequences of symbols, shape ``(..., symbols)``: of latents, of pixels or of bitmaps.

    Attributes:
        start: of the interval.
        freq_less_one: the length of the interval less one.
    """

    start: NDArray[np.uint16]
    freq_less_one: NDArray[np.uint16]

    @property
    def bits(self) -> Integers:
        """Ideal code length of each sequence in units of 1 / :data:`~mnistzip.entropy.cost.BIT` bits, shape ``(...)``."""
        return code_length(self.freq_less_one)

    def select(self, which: slice | Integers | Bools) -> Intervals:
        """Those of some of the sequences."""
        return Intervals(self.start[which], self.freq_less_one[which])

    def replace(self, which: Integers, other: Intervals) -> None:
        """Take those of some of the sequences from another."""
        self.start[which], self.freq_less_one[which] = other

    @staticmethod
    def join(symbols: Sequence[Intervals]) -> Intervals:
        """Those of several images."""
        return Intervals(*map(np.concatenate, zip(*symbols, strict=True)))


class Engine(Protocol):
    """The operations."""

    @property
    def name(self) -> str:
        """``"numpy"`` or ``"native"``."""

    @property
    def instructions(self) -> str:
        """What it computes with: the release of numpy, or the vector instructions of the processor."""

    def first_latents(self, model: Model, x: Pixels, inside: Bools, quality_index: Integers) -> Integers:
        """The symbols of the analysis, those beyond the picture replaced by cheap ones, shape ``(N, 196)``."""

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
        """Symbols of less bits + lmbda * squared error, shape ``(N, 196)``.

        Args:
            y: the symbols to start from.
            effort: 0..9, how long to search.
            tick: called with the number of tiles whose search has ended.
        """

    def refine_to_budget(
        self, model: Model, x: Pixels, inside: Bools, quality_index: Integers, effort: int, limit: Integers
    ) -> Integers:
        """Symbols of least squared error within a number of bits, shape ``(N, 196)``. They may exceed it if the search fails.

        Args:
            effort: 0..9, how long to search; 0 returns the first latents.
            limit: code length allowed for each tile in units of 1 / :data:`~mnistzip.entropy.cost.BIT` bits, shape ``(N,)``.
        """

    def latent_symbols(self, model: Model, y: Integers, quality_index: Integers) -> Intervals:
        """The intervals that the prior gives the symbols."""

    def synthesize(self, model: Model, y: Integers, quality_index: Integers) -> Pixels:
        """The tiles that latents decode to, shape ``(N, 28, 28)``."""

    def encode_latents(
        self,
        symbols: Intervals,
        streams: Streams,
        checks: Integers,
        check_bits: int = CHECK_BITS_MIN,
        interleaved: bool = False,
    ) -> list[bytes]:
        """The bytes of each stream, given the symbols of all tiles.

        Args:
            streams: which hold the latents.
            checks: of each stream, shape ``(streams,)``.
            check_bits: the fewest bits of a check.
            interleaved: whether the tiles of a stream take turns, symbol by symbol; otherwise they follow each other.
        """

    def decode_latents(
        self, model: Model, coded: Sequence[bytes], quality_index: Integers, streams: Streams, interleaved: bool = False
    ) -> tuple[Integers, FinalStates]:
        """The symbols of all tiles, shape ``(N, 196)``, and where each stream ended.

        Args:
            coded: the bytes of each stream.
            quality_index: of each stream, shape ``(streams,)``.
            streams, interleaved: as for :meth:`encode_latents`.

        Raises:
            FormatError: a stream is empty, or begins with a state that no encoder writes.
        """

    def pixel_symbols(self, model: Model, x: Pixels, inside: Bools, max_error: int = 0) -> PixelSymbols:
        """The symbols of the pixel model that code tiles exactly; ``x`` is 0 outside the image.

        Args:
            max_error: 0 if ``x`` has any grey levels; otherwise only those of :func:`mnistzip.bitstream.bounded.nearest`.

        Raises:
            ModelError: the model has no pixel model.
        """

    def encode_pixels(self, symbols: PixelSymbols, streams: Streams, checks: Integers) -> list[bytes]:
        """The bytes of each stream, given the symbols of all tiles and the check of each stream, shape ``(streams,)``."""

    def decode_pixels(
        self,
        model: Model,
        coded: Sequence[bytes],
        inside: Bools,
        streams: Streams,
        max_error: int = 0,
        preview: bool = False,
    ) -> tuple[Pixels, Bools, FinalStates]:
        """Tiles, shape ``(N, 28, 28)``; which of them have valid grey levels only, shape ``(N,)``; where each stream ended.

        Args:
            coded: the bytes of each stream.
            max_error: as for :meth:`pixel_symbols`.
            preview: decode all planes but the shades. Grey levels are then those in the middle of their ranges.

        Raises:
            FormatError: as for :meth:`decode_latents`.
            ModelError: the model has no pixel model.
        """

    def analyse_images(self, model: Model, x: Pixels, quality_index: int) -> Integers:
        """The first latents of whole images of one size: (N, H, W) -> (N, h, w, 16), for models of the kind ``grey``.

        Args:
            quality_index: of all images, from 0.
        """

    def refine_image(
        self, model: Model, x: Pixels, y: Integers, quality_index: int, effort: int, lmbda: int | None = None
    ) -> Integers:
        """Symbols of an image ``(H, W)`` of less bits + lmbda * squared error, shape ``(h, w, 16)``.

        Args:
            y: the symbols to start from.
            effort: 0..9, how long to search.
            lmbda: the weight of the squared error; None for that of the quality.
        """

    def image_symbols(self, model: Model, y: Integers, quality_index: int) -> Intervals:
        """The intervals of the symbols of latents ``(N, h, w, 16)`` in coding order, shape ``(N, symbols)``."""

    def synthesize_images(self, model: Model, y: Integers, quality_index: int, shape: tuple[int, int]) -> Pixels:
        """The images of shape ``(H, W)`` that latents decode to: (N, h, w, 16) -> (N, H, W)."""

    def image_pixel_symbols(self, model: Model, x: Pixels, max_error: int = 0) -> Intervals:
        """The intervals of the grey levels of images ``(N, H, W)`` in coding order, shape ``(N, H * W)`` each.

        Args:
            max_error: as for :meth:`pixel_symbols`.

        Raises:
            ModelError: the model has no pixel model.
        """

    def decode_pixel_images(
        self, model: Model, coded: Sequence[bytes], shapes: Sequence[Sequence[tuple[int, int]]], max_error: int = 0
    ) -> tuple[list[list[Pixels]], FinalStates]:
        """The images of each stream that the pixel model coded, ``(H, W)`` each, and where each stream ended.

        Args:
            shapes: for each stream ``(H, W)`` of its images, which follow each other.

        Raises:
            FormatError: as for :meth:`decode_latents`.
            ModelError: the model has no pixel model.
        """

    def bitmap_symbols(self, model: Model, bitmaps: Sequence[Bitmap]) -> list[Intervals]:
        """The intervals of the symbols of each bitmap in coding order, shape ``(symbols,)`` each.

        Raises:
            ValueError: a side or a shift of a bitmap is out of its range.
        """

    def decode_bitmaps(
        self, model: Model, coded: Sequence[bytes], counts: Sequence[int]
    ) -> tuple[list[list[Bitmap]], list[bool], FinalStates]:
        """The bitmaps of each stream, whether all of them have possible sizes, and where each stream ended.

        Args:
            counts: bitmaps of each stream, which follow each other.

        Raises:
            FormatError: as for :meth:`decode_latents`.
        """

    def encode_streams(self, symbols: Sequence[Intervals], checks: Integers, check_bits: int = CHECK_BITS_MIN) -> list[bytes]:
        """The bytes of each stream, given its symbols, shape ``(symbols,)``, and ``checks``, shape ``(streams,)``."""

    def decode_image_latents(
        self, model: Model, coded: Sequence[bytes], quality_index: int, shapes: Sequence[Sequence[tuple[int, int]]]
    ) -> tuple[list[list[Integers]], FinalStates]:
        """The latents of the images of each stream, ``(h, w, 16)`` each, and where each stream ended.

        Args:
            coded: the bytes of each stream, of one quality. Its images follow each other.
            shapes: for each stream ``(H, W)`` of its images.

        Raises:
            FormatError: as for :meth:`decode_latents`.
        """

    def find_bitmaps(self, x: Pixels) -> list[Bitmap | None]:
        """For each digit ``(N, 28, 28)`` a bitmap that it follows from exactly; None if the search finds none."""

    def digits_of(self, bitmaps: Sequence[Bitmap]) -> Pixels:
        """The digits that MNIST would have made of bitmaps, shape ``(N, 28, 28)``.

        Raises:
            ValueError: a side or a shift of a bitmap is out of its range.
        """
