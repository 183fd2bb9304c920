"""Analysis, quantizer and synthesis for pictures of any size, in exact integers.

::

    x       (N, H, W)       grey levels, 0..255; the edge is repeated to whole squares of 4x4
    |  analysis             layers of the model file
    v       (N, h, w, 16)   integers, h = ceil(H / 4), w = ceil(W / 4)
    |  * fine[quality], >> fine_shift, round half up, clip to the bounds of the quality: the quantizer
    v
    y       (N, h, w, 16)   symbols; the prior codes them
    |  * step[quality], >> step_shift, round half up
    v       (N, h, w, 16)   integers
    |  synthesis            layers of the model file
    v
    x_hat   (N, H, W)       grey levels, 0..255; what exceeds the picture is cut off

No layer has a bias per position, so a picture may have any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnistzip.errors import ModelError
from mnistzip.models.grey.prior import CHANNELS, GreyPrior
from mnistzip.models.transforms import GREY_LEVELS
from mnistzip.nn.backward import LayerTape
from mnistzip.nn.exact import Range, check_exact, require_shape
from mnistzip.nn.layer_base import Layer, Signal, backward, forward, infer, trace
from mnistzip.threads import chunks
from mnistzip.types import Floats, Integers, Pixels

BLOCK = 4  # pixels of a side that become one position
NOMINAL = 7 * BLOCK  # a side that the proof assumes: sums do not depend on it
CURVATURE_SHIFT = 4  # a curvature is in 16ths of a squared grey level
CURVATURE_MAX = 1 << 22
POSITIONS_PER_BATCH = 1 << 12  # run through the networks together


def latent_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the latent of an image."""
    return -(-height // BLOCK), -(-width // BLOCK)


@dataclass(frozen=True, eq=False)
class GreyModel:
    """The networks of a model of the kind ``grey``.

    Attributes:
        fine: gain of the quantizer, integers of shape ``(qualities, 16)``.
        step: the factor of a symbol before the synthesis, of the same shape.
        fine_shift, step_shift: bits that the products are divided by.
        curvature: squared error that a change of a symbol by one causes, about, in 16ths, of the same shape. It guides the
            search.
    """

    analysis: tuple[Layer, ...]
    synthesis: tuple[Layer, ...]
    fine: Integers
    fine_shift: int
    step: Integers
    step_shift: int
    curvature: Integers
    prior: GreyPrior

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless all networks fit and are exact."""
        self.prior.check_exact()
        latent = infer(self.analysis, Signal(GREY_LEVELS, NOMINAL, NOMINAL, 1))
        side = NOMINAL // BLOCK
        require_shape((latent.height, latent.width, latent.channels) == (side, side, CHANNELS), "analysis")
        tables = len(self.prior.bounds), CHANNELS
        require_shape(self.fine.shape == self.step.shape == self.curvature.shape == tables, "quantizer")
        infer(self.analysis, Signal(GREY_LEVELS, BLOCK, BLOCK, 1))  # a bias per position would fit one size only
        infer(self.synthesis, Signal(self._scaled_range, 1, 1, CHANNELS))
        if self.curvature.min() < 1 or self.curvature.max() > CURVATURE_MAX:
            raise ModelError("a curvature is out of range")
        image = self._image_signal
        require_shape((image.height, image.width, image.channels) == (NOMINAL, NOMINAL, 1), "synthesis")
        require_shape(GREY_LEVELS.low <= image.values.low and image.values.high <= GREY_LEVELS.high, "synthesis")

    @cached_property
    def _image_signal(self) -> Signal:
        """The output of the synthesis."""
        side = NOMINAL // BLOCK
        return infer(self.synthesis, Signal(self._scaled_range, side, side, CHANNELS))

    @cached_property
    def _scaled_range(self) -> Range:
        """The range of the input of the synthesis."""
        products = np.abs(self.step) * self.prior.bounds
        check_exact("step", products.max(axis=0)[None].astype(np.float32), 1, 1 << self.step_shift)
        peak = (int(products.max()) >> self.step_shift) + 1
        return Range(-peak, peak)

    @property
    def macs(self) -> int:
        """Multiply-adds to decode a pixel, roughly."""
        return self._image_signal.macs // NOMINAL**2 + self.prior.macs // BLOCK**2

    def analyse(self, x: Pixels, quality: int) -> Integers:
        """Quantize images of one size: (N, H, W) -> symbols (N, h, w, 16); ``quality`` is an index from 0."""
        n, height, width = x.shape
        padded = np.pad(x, ((0, 0), (0, -height % BLOCK), (0, -width % BLOCK)), "edge")
        bounds, half = self.prior.bounds[quality], 1 << self.fine_shift - 1
        y = np.empty((n, *latent_shape(height, width), CHANNELS), np.int64)
        for part in chunks(n, self._images_per_batch(y)):
            out = forward(self.analysis, padded[part, :, :, None].astype(np.float32), np.full(len(x[part]), quality))
            y[part] = (out.astype(np.int64) * self.fine[quality] + half) >> self.fine_shift
        return np.clip(y, -bounds, bounds)

    def synthesize(self, y: Integers, quality: int, height: int, width: int) -> Pixels:
        """Images of ``height`` x ``width`` from symbols: (N, h, w, 16) -> (N, height, width)."""
        x_hat = np.empty((len(y), height, width), np.uint8)
        for part in chunks(len(y), self._images_per_batch(y)):
            qualities = np.full(len(y[part]), quality)
            x_hat[part] = forward(self.synthesis, self._scaled(y[part], quality), qualities)[:, :height, :width, 0]
        return x_hat

    def trace(self, y: Integers, quality: int) -> tuple[Floats, tuple[LayerTape, ...]]:
        """Grey levels of symbols, shape ``(N, 4h, 4w)``, and what :meth:`back` needs."""
        tapes = trace(self.synthesis, self._scaled(y, quality), np.full(len(y), quality))
        return tapes[-1].out[..., 0], tapes

    def back(self, tapes: tuple[LayerTape, ...], g: Floats, quality: int) -> Floats:
        """The gradient of a number by the symbols, ``(N, h, w, 16)``, given that by the grey levels, ``(N, 4h, 4w)``."""
        g_scaled = backward(self.synthesis, tapes, g[..., None], np.full(len(g), quality))
        return g_scaled * (self.step[quality] * np.float32(2.0**-self.step_shift)).astype(np.float32)

    def _scaled(self, y: Integers, quality: int) -> Floats:
        half = 1 << self.step_shift - 1
        scaled: Floats = ((y * self.step[quality] + half) >> self.step_shift).astype(np.float32)
        return scaled

    @staticmethod
    def _images_per_batch(y: Integers) -> int:
        return max(1, POSITIONS_PER_BATCH // (y.shape[1] * y.shape[2]))
