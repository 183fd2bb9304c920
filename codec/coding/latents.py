"""Latents of images, whatever kind of model codes them: the one interface of lossy files, archives and the choice of a model.

A model codes tiles of 28x28 (:mod:`mnistzip.coding.tile_latents`) or whole images (:mod:`mnistzip.coding.grey_latents`). For
each kind there is a class of :class:`Images`, images laid out for it, and :class:`Kind`, what needs no originals;
:func:`mnistzip.coding.kinds.kind_of` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mnistzip.engines.interface import Intervals
from mnistzip.errors import FormatError
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models.registry import Model
from mnistzip.types import Integers, Pixels

Shape = tuple[int, int]  # height, width
Symbols = NDArray[np.int8]


class Latent(NamedTuple):
    """The latent of an image.

    Attributes:
        y: symbols: of tiles ``(tiles, 196)``, or of a whole image ``(h, w, 16)``.
        symbols: their intervals in coding order.
    """

    y: Integers
    symbols: Intervals

    @property
    def bits(self) -> int:
        """Ideal code length in units of 1 / :data:`~mnistzip.entropy.cost.BIT` bits."""
        return int(self.symbols.bits.sum())


def arranged(kind: Kind, y: Sequence[Integers], shapes: Sequence[Shape]) -> list[Symbols]:
    """The symbols of images of any shapes ``(H, W)``, int8 ``(channels, rows, columns)`` each."""
    alike: dict[Shape, list[int]] = {}
    for number, (height, width) in enumerate(shapes):
        alike.setdefault((int(height), int(width)), []).append(number)
    out: dict[int, Symbols] = {}
    for shape, numbers in alike.items():
        out |= zip(numbers, kind.arranged(np.stack([y[number] for number in numbers]), shape), strict=True)
    return [out[number] for number in range(len(y))]


class Images(Protocol):
    """Images laid out for models of one kind. ``qualities`` has one quality, 1 to 100, for each image."""

    def select(self, which: Sequence[int]) -> Images:
        """Some of the images."""

    def first(self, model: Model, qualities: Sequence[int]) -> list[Latent]:
        """The latents of the analysis."""

    def refine(
        self,
        model: Model,
        latents: Sequence[Latent],
        qualities: Sequence[int],
        effort: int,
        tick: Callable[[int], None] | None = None,
    ) -> list[Latent]:
        """Latents of less bits + lmbda * squared error; ``tick`` is called with the number of tiles that are done."""

    def fit(self, model: Model, qualities: Sequence[int], effort: int, bits: int, check_bits: int) -> list[Latent]:
        """Latents of least squared error whose streams take about ``bits``, with their checks. They may take more."""

    def errors(self, model: Model, latents: Sequence[Latent], qualities: Sequence[int]) -> list[int]:
        """The squared error of each image, in squared grey levels."""


class Kind(Protocol):
    """What models of one kind do to latents."""

    def images(self, images: Sequence[Pixels]) -> Images:
        """Images laid out for the kind."""

    def reconstruct(
        self, model: Model, y: Sequence[Integers], shapes: Sequence[Shape], qualities: Sequence[int]
    ) -> list[Pixels]:
        """The images that latents decode to."""

    def arranged(self, y: Integers, shape: Shape) -> Symbols:
        """The symbols of n images of one shape by channel, row and column, int8 ``(n, channels, rows, columns)``.

        Args:
            y: those of each image as :class:`Latent` has them, in one array.
        """

    def encode(
        self,
        seeds: Sequence[bytes],
        latents: Sequence[Sequence[Latent]],
        check_bits: int = CHECK_BITS_MIN,
        in_lanes: bool = False,
    ) -> list[bytes]:
        """Payloads.

        Args:
            seeds: of each payload: its checks begin with it.
            latents: of each payload: those of its images.
            check_bits: the fewest bits of a check.
            in_lanes: whether payloads are lanes of archives, which may hold several images.
        """

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
        """For each payload the symbols of its images, or its error.

        Args:
            shapes: of each payload: ``(H, W)`` of its images.
            qualities: of each payload.
            seeds, check_bits, in_lanes: as for :meth:`encode`.
        """
