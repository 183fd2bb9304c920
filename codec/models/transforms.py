"""Analysis and synthesis: an image of 28x28 to a latent of 7x7x4 integers and back, in exact integers.

::

    x       (N, 28, 28)    grey levels, 0..255
    |  analysis            layers of the model file
    v       (N, 7, 7, 4)   integers
    |  * fine[quality], >> fine_shift, round half up, clip: the quantizer
    v
    y       (N, 196)       symbols, low..high, in the order row, column, channel; the prior codes them
    |  * step[quality]
    v       (N, 7, 7, 4)   integers
    |  synthesis           layers of the model file
    v
    x_hat   (N, 28, 28)    grey levels, 0..255

The quantizer's gain and the step depend on quality and channel, so one pair of networks serves all qualities.

Source: Cui et al. 2021, arXiv 2003.02012 (gain units for variable rate).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnistzip.models.latent_prior import CHANNELS, SIDE, SYMBOLS
from mnistzip.nn.backward import LayerTape
from mnistzip.nn.exact import Range, check_exact, require_shape
from mnistzip.nn.layer_base import Layer, Signal, backward, forward, infer, trace
from mnistzip.threads import chunks
from mnistzip.tiling import TILE
from mnistzip.types import Floats, Integers, Pixels

IMAGES_PER_BATCH = 16  # run through the networks together: small enough for the processor's cache
GREY_LEVELS = Range(0, 255)


@dataclass(frozen=True, eq=False)
class Transforms:
    """Both networks, the quantizer between them, and the range of symbols.

    Attributes:
        fine: gain of the quantizer, integers of shape ``(qualities, 4)``.
        fine_shift: bits that the products are divided by.
        step: the factor of a symbol before the synthesis, integers of shape ``(qualities, 4)``.
        symbols: the alphabet of the latent.
    """

    analysis: tuple[Layer, ...]
    synthesis: tuple[Layer, ...]
    fine: Floats
    fine_shift: int
    step: Floats
    symbols: Range

    def check_exact(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless both networks fit and are exact."""
        latent = infer(self.analysis, Signal(GREY_LEVELS, TILE, TILE, 1))
        require_shape((latent.height, latent.width, latent.channels) == (SIDE, SIDE, CHANNELS), "analysis")
        require_shape(self.fine.shape[1:] == self.step.shape[1:] == (CHANNELS,), "quantizer")
        check_exact("step", self.step.max(axis=0)[None], self.symbols.peak, 0)
        image = self._image_signal
        require_shape((image.height, image.width, image.channels) == (TILE, TILE, 1), "synthesis")
        require_shape(GREY_LEVELS.low <= image.values.low and image.values.high <= GREY_LEVELS.high, "synthesis")

    @cached_property
    def _image_signal(self) -> Signal:
        """The output of the synthesis."""
        peak = int(np.abs(self.step).max()) * self.symbols.peak
        return infer(self.synthesis, Signal(Range(-peak, peak), SIDE, SIDE, CHANNELS))

    @property
    def macs(self) -> int:
        """Multiply-adds to make an image of a latent, roughly."""
        return self._image_signal.macs

    def analyse(self, x: Pixels, quality_index: Integers) -> Integers:
        """Quantize images.

        Args:
            x: images, shape ``(N, 28, 28)``.
            quality_index: of each image, shape ``(N,)``.

        Returns:
            Symbols in coding order, shape ``(N, 196)``.
        """
        value = np.empty((len(x), SYMBOLS), np.int64)
        for part in chunks(len(x), IMAGES_PER_BATCH):
            out = forward(self.analysis, x[part, :, :, None].astype(np.float32), quality_index[part])
            gain = self.fine[quality_index[part]].astype(np.int64)[:, None, None, :]
            value[part] = (out.astype(np.int64) * gain).reshape(-1, SYMBOLS)
        half = 1 << (self.fine_shift - 1)
        return np.clip((value + half) >> self.fine_shift, self.symbols.low, self.symbols.high)

    def synthesize(self, y: Integers, quality_index: Integers) -> Pixels:
        """Images of latents: ``(N, 196)`` symbols in coding order and ``(N,)`` indices to ``(N, 28, 28)``."""
        x_hat = np.empty((len(y), TILE, TILE), np.uint8)
        for part in chunks(len(y), IMAGES_PER_BATCH):
            scaled = self._scaled(y[part], quality_index[part])
            x_hat[part] = forward(self.synthesis, scaled, quality_index[part])[..., 0]
        return x_hat

    def trace(self, y: Integers, quality_index: Integers) -> tuple[Floats, tuple[LayerTape, ...]]:
        """Grey levels of latents, shape ``(N, 28, 28)``, and what :meth:`back` needs."""
        tapes = trace(self.synthesis, self._scaled(y, quality_index), quality_index)
        return tapes[-1].out[..., 0], tapes

    def back(self, tapes: tuple[LayerTape, ...], g: Floats, quality_index: Integers) -> Floats:
        """The gradient of a number by the symbols, ``(N, 196)``, given that by the grey levels, ``(N, 28, 28)``."""
        g_scaled = backward(self.synthesis, tapes, g[..., None], quality_index)
        return (g_scaled * self.step[quality_index][:, None, None, :]).reshape(-1, SYMBOLS)

    def _scaled(self, y: Integers, quality_index: Integers) -> Floats:
        """The input of the synthesis: (N, 196) -> (N, 7, 7, 4)."""
        scaled = y.reshape(-1, SIDE, SIDE, CHANNELS) * self.step[quality_index][:, None, None, :]
        return scaled.astype(np.float32)
