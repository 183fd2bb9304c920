"""A model: the networks of a model file, and the limits on what it decodes by default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistzip import pretrained
from mnistzip.bitstream.container import HASH_BYTES, require_pixels
from mnistzip.errors import LimitError, ModelError
from mnistzip.limits import (
    BITMAP_PIXELS_MAX,
    GREY_LANE_STEPS_MAX,
    GREY_PIXELS_MAX,
    GREY_STEPS_MAX,
    MACS_MAX,
    PIXELS_MAX,
    PRIOR_VALUES_MAX,
)
from mnistzip.models import stored_models
from mnistzip.tiling import TILE, tiles_in
from mnistzip.types import Mode

GREY_NUMBERS = frozenset({4})  # of shipped models of the kind grey
BITMAP_NUMBERS = frozenset({6})  # of the kind bitmap

if TYPE_CHECKING:
    from mnistzip.models.bitmap.bitmap_model import BitmapModel
    from mnistzip.models.grey.grey_file import GreyParts
    from mnistzip.models.grey.grey_model import GreyModel
    from mnistzip.models.grey.grey_pixels import GreyPixels
    from mnistzip.models.latent_prior import Prior
    from mnistzip.models.model_file import LossyParts
    from mnistzip.models.pixel.pixel_model import PixelModel
    from mnistzip.models.transforms import Transforms


@dataclass(frozen=True, eq=False)
class Model:
    """A model. Its networks are read, checked and proved exact when they are first used; :func:`read_model` does it at once.

    Attributes:
        name: for people: the shipped name or the file's stem.
        number: of a shipped model in files, or None.
        source: the content of the model file, or the name of a file of the package.
        stored: its prepared model, if the build has stored it (:mod:`mnistzip.models.stored_models`).
    """

    name: str
    number: int | None
    source: bytes | str
    stored: memoryview | None = None

    @cached_property
    def content(self) -> bytes:
        """The model file."""
        return pretrained.read(self.source) if isinstance(self.source, str) else self.source

    @cached_property
    def fingerprint(self) -> bytes:
        """First 8 bytes of a SHA-256 of what the file holds."""
        from mnistzip.models import model_file

        return model_file.fingerprint(self.content, self.name)

    def fingerprint_for(self, mode: Mode) -> bytes:
        """The fingerprint that names the model in parts of archives of a mode.

        Number 4, ``grey``, had no pixel model at first: its lossy parts keep the fingerprint that it had.
        """
        return self._lossy_fingerprint if mode is Mode.LOSSY and self.number in GREY_NUMBERS else self.fingerprint

    @cached_property
    def _lossy_fingerprint(self) -> bytes:
        from mnistzip.models import model_file

        return model_file.fingerprint(self.content, self.name, lossy_only=True)

    def is_named(self, prefix: bytes) -> bool:
        """Whether these are first bytes of a fingerprint of the model."""
        return any(self.fingerprint_for(mode).startswith(prefix) for mode in (Mode.LOSSLESS, Mode.LOSSY))

    @cached_property
    def lossy_parts(self) -> LossyParts:
        """All of the file but the pixel model."""
        from mnistzip.models import model_file  # a stored model does without

        return model_file.read_lossy_parts(self.content, self.name)

    @cached_property
    def is_grey(self) -> bool:
        """Whether it codes whole pictures of any size, not tiles."""
        return self.number in GREY_NUMBERS if self.number is not None else self._kind == "grey"

    @property
    def codes_tiles(self) -> bool:
        """Whether it codes images tile by tile."""
        return not (self.is_grey or self.is_bitmap)

    @cached_property
    def is_bitmap(self) -> bool:
        """Whether it codes nothing but the bitmaps of digits, without loss."""
        return self.number in BITMAP_NUMBERS if self.number is not None else self._kind == "bitmap"

    @cached_property
    def _kind(self) -> str | None:
        from mnistzip.models import model_file

        return model_file.kind(self.content, self.name)

    @cached_property
    def _grey_parts(self) -> GreyParts:
        from mnistzip.models.grey.grey_file import read_grey

        return read_grey(self.content, self.name)

    @property
    def grey(self) -> GreyModel:
        """The networks, if it is of the kind ``grey``."""
        return self._grey_parts.networks

    @property
    def transforms(self) -> Transforms:
        """Analysis, synthesis and the quantizer between them."""
        return self.lossy_parts.transforms

    @property
    def prior(self) -> Prior:
        """The entropy model of the latent."""
        return self.lossy_parts.prior

    @cached_property
    def lmbda(self) -> NDArray[np.int64]:
        """Weight of the squared error that each quality was trained for, shape ``(100,)``; only encoders use it.

        Raises:
            ModelError: the model codes nothing with loss.
        """
        self.require_lossy()
        if self.stored is not None:
            return stored_models.lmbda_of(self.stored)
        return self._grey_parts.lmbda if self.is_grey else self.lossy_parts.lmbda

    @cached_property
    def has_pixel_model(self) -> bool:
        """Whether it can code images without loss."""
        if self.is_bitmap:
            return True
        if self.stored is not None:
            return stored_models.has_pixel_model(self.stored)
        return self._grey_parts.has_pixel_model if self.is_grey else self.lossy_parts.has_pixel_model

    @cached_property
    def pixels(self) -> PixelModel:
        """The pixel model of a model that codes tiles; :class:`~mnistzip.errors.ModelError` if there is none."""
        self.require_pixel_model()
        from mnistzip.models import model_file

        return model_file.read_pixel_model(self.content, self.name)

    @cached_property
    def grey_pixels(self) -> GreyPixels:
        """The pixel model of a model of the kind ``grey``; :class:`~mnistzip.errors.ModelError` if there is none."""
        self.require_pixel_model()
        from mnistzip.models.grey.grey_file import read_grey_pixels

        return read_grey_pixels(self.content, self.name)

    @cached_property
    def bitmaps(self) -> BitmapModel:
        """The model of bitmaps, if it is of the kind ``bitmap``."""
        from mnistzip.models.bitmap.bitmap_file import read_bitmap_model

        return read_bitmap_model(self.content, self.name)

    def require_mode(self, mode: Mode) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` if the model does not code images in a mode."""
        if mode is Mode.LOSSLESS:
            self.require_pixel_model()
        else:
            self.require_lossy()
        if mode is Mode.BOUNDED:
            self.require_pixel_model()

    def require_lossy(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` if the model codes nothing with loss."""
        if self.is_bitmap:
            raise ModelError(f"the model {self.name} codes without loss only (lossless, --lossless)")

    def require_pixel_model(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` if the model has no pixel model."""
        if not self.has_pixel_model:
            raise ModelError(f"the file needs the pixel model of {self.name}, which has none")

    def default_tile_limit(self, mode: Mode) -> int:
        """Tiles that are decoded without ``max_pixels``: some seconds of work. Shipped models have a limit of pixels only."""
        if mode is Mode.STORED or self.number is not None or not (self.has_pixel_model or mode is Mode.LOSSY):
            return PIXELS_MAX
        if self.is_bitmap:
            return MACS_MAX[mode] // (self.bitmaps.macs * BITMAP_PIXELS_MAX)
        if self.is_grey:
            macs = self.grey.macs if mode is Mode.LOSSY else self.grey_pixels.macs
            return MACS_MAX[mode] // (macs * TILE**2)
        if mode is Mode.LOSSY:
            macs = self.transforms.macs + self.prior.macs
            return min(MACS_MAX[mode] // macs, PRIOR_VALUES_MAX // self.prior.values_per_latent)
        return MACS_MAX[mode] // (self.pixels.macs * TILE**2)

    def require_default_limit(self, mode: Mode, shapes: Iterable[Iterable[int]], per_lane: int = 1) -> None:
        """Raise :class:`~mnistzip.errors.LimitError` if images of such ``(H, W)`` exceed the default limit together.

        Args:
            per_lane: images that share a lane of an archive.
        """
        shapes = [(height, width) for height, width in shapes]
        if mode is Mode.LOSSY and self.is_grey:
            largest = max((height * width for height, width in shapes), default=0)
            if largest > GREY_PIXELS_MAX:
                raise LimitError(
                    f"the model {self.name} takes some seconds for {GREY_PIXELS_MAX} pixels, and an image has {largest}. "
                    "max_pixels (--max-pixels) allows more"
                )
        if mode in (Mode.LOSSLESS, Mode.BOUNDED) and self.is_grey:
            steps = [pixel_steps(height, width) for height, width in shapes]
            lanes = [sum(steps[first : first + per_lane]) for first in range(0, len(steps), per_lane)]
            for of, count, limit in (
                ("an image needs", max(steps, default=0), GREY_STEPS_MAX),
                ("images of a lane need", max(lanes, default=0), GREY_LANE_STEPS_MAX),
            ):
                if count > limit:
                    raise LimitError(
                        f"the model {self.name} takes some seconds for {limit} steps (width + 3 * height), and {of} {count}. "
                        "max_pixels (--max-pixels) allows more"
                    )
        if self.number is not None:
            return
        if mode is Mode.LOSSY:
            tiles = sum(tiles_in(width, height) for height, width in shapes)
        else:
            tiles = sum(height * width for height, width in shapes) // TILE**2
        limit = self.default_tile_limit(mode)
        if tiles > limit:
            raise LimitError(
                f"the model {self.name} is too large for {tiles} tiles: {limit} take it some seconds. "
                "max_pixels (--max-pixels) allows more"
            )

    @property
    def named(self) -> int | bytes:
        """The model's name in single files: its number, or the first bytes of its fingerprint."""
        return self.fingerprint[:HASH_BYTES] if self.number is None else self.number

    def quality_index(self, quality: int) -> int:
        """The row of a quality 1..100 in tables per quality."""
        return quality - 1


def pixel_steps(height: int, width: int) -> int:
    """The steps in which the pixel model of a model of the kind ``grey`` codes an image (FORMAT.md, section 13)."""
    return width + 3 * height


def read_model(content: bytes, name: str, number: int | None = None) -> Model:
    """Read, check and prove all of a model file.

    Raises:
        ModelError: it is no model file, or not for this version, or damaged, or its sums are not provably exact.
    """
    model = Model(name, number, content)
    _ = model.fingerprint
    if model.is_bitmap:
        _ = model.bitmaps
        return model
    _ = model.grey if model.is_grey else model.transforms
    if model.has_pixel_model:
        _ = model.grey_pixels if model.is_grey else model.pixels
    return model


def within_limits(mode: Mode, model: Model | None, shapes: Iterable[tuple[int, int]]) -> bool:
    """Whether images of such ``(H, W)`` are decoded without ``max_pixels``; model is None where they are stored."""
    shapes = list(shapes)
    try:
        for height, width in shapes:
            require_pixels(mode, width, height, None)
        if model is not None:
            model.require_default_limit(mode, shapes)
    except LimitError:
        return False
    return True
