"""Analysis and synthesis: a 28x28 image to a 4x7x7 integer latent and back, by exact integers.

The analysis puts out a number per symbol; the quantizer multiplies it by a gain per quality and channel, divides by a power
of two, rounds and clips. The synthesis multiplies symbols by a step per quality and channel before its first layer. So one
pair of networks serves every quality.

Source: Cui et al. 2021, arXiv 2003.02012 (gain units for variable rate).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mnistzip.models.latent_prior import CHANNELS, SIDE, SYMBOLS
from mnistzip.nn.backward import Backward, Tape
from mnistzip.nn.layers import Layer, Range, Rows, Signal, bound, forward, prove_exact, require
from mnistzip.tiling import TILE
from mnistzip.types import Floats, Pixels

CHUNK = 16  # images that pass the networks together: small enough for the processor's cache
PIXELS = Range(0, 255)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Transforms:
    """Both networks, the quantizer between them, and the range of symbols.

    Attributes:
        fine: gain of the quantizer, integers of shape ``(qualities, 4)``.
        fine_shift: bits that gained values are divided by.
        step: what a symbol is multiplied by before the synthesis, integers of shape ``(qualities, 4)``.
        symbols: the alphabet of the latent.
    """

    analysis: tuple[Layer, ...]
    synthesis: tuple[Layer, ...]
    fine: Floats
    fine_shift: int
    step: Floats
    symbols: Range

    def prove(self) -> None:
        """Raise :class:`~mnistzip.errors.ModelError` unless both networks fit and are exact."""
        latent = bound(self.analysis, Signal(PIXELS, TILE, TILE, 1))
        require((latent.height, latent.width, latent.channels) == (SIDE, SIDE, CHANNELS), "analysis")
        require(self.fine.shape[1:] == self.step.shape[1:] == (CHANNELS,), "quantizer")
        prove_exact("step", self.step.max(axis=0)[None], self.symbols.peak, 0)
        image = self._image
        require((image.height, image.width, image.channels) == (TILE, TILE, 1), "synthesis")
        require(PIXELS.low <= image.values.low and image.values.high <= PIXELS.high, "synthesis")

    @cached_property
    def _image(self) -> Signal:
        """What is known of what the synthesis makes."""
        peak = int(np.abs(self.step).max()) * self.symbols.peak
        return bound(self.synthesis, Signal(Range(-peak, peak), SIDE, SIDE, CHANNELS))

    @property
    def work(self) -> int:
        """About how many multiplications it takes to make an image of a latent."""
        return self._image.work

    def analyse(self, x: Pixels, row: Rows) -> Ints:
        """Quantize images.

        Args:
            x: images, shape ``(N, 28, 28)``.
            row: index of each image's quality, shape ``(N,)``.

        Returns:
            Symbols in coding order, shape ``(N, 196)``.
        """
        value = np.empty((len(x), SYMBOLS), np.int64)
        for part in chunks(len(x)):
            out = forward(self.analysis, x[part, :, :, None].astype(np.float32), row[part])
            gain = self.fine[row[part]].astype(np.int64)[:, None, None, :]
            value[part] = (out.astype(np.int64) * gain).reshape(-1, SYMBOLS)
        half = 1 << (self.fine_shift - 1)
        return np.clip((value + half) >> self.fine_shift, self.symbols.low, self.symbols.high)

    def synthesize(self, y: Ints, row: Rows) -> Pixels:
        """Images of latents: ``(N, 196)`` symbols in coding order and ``(N,)`` rows to ``(N, 28, 28)``."""
        x_hat = np.empty((len(y), TILE, TILE), np.uint8)
        for part in chunks(len(y)):
            x_hat[part] = forward(self.synthesis, self._scaled(y[part], row[part]), row[part])[..., 0]
        return x_hat

    def trace(self, y: Ints, row: Rows) -> tuple[Floats, tuple[Tape, ...]]:
        """Grey levels of latents, shape ``(N, 28, 28)``, and what :meth:`back` needs."""
        tapes = self._backward.forward(self._scaled(y, row), row)
        return tapes[-1].out[..., 0], tapes

    def back(self, tapes: tuple[Tape, ...], g: Floats, row: Rows) -> Floats:
        """How a number changes with each symbol, to first order, if it changes with grey levels by ``g``: (N, 196)."""
        g_scaled = self._backward.back(tapes, g[..., None], row)
        return (g_scaled * self.step[row][:, None, None, :]).reshape(-1, SYMBOLS)

    @cached_property
    def _backward(self) -> Backward:
        return Backward(self.synthesis)

    def _scaled(self, y: Ints, row: Rows) -> Floats:
        scaled = y.reshape(-1, SIDE, SIDE, CHANNELS) * self.step[row][:, None, None, :]
        return scaled.astype(np.float32)


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Cut ``count`` images into slices of at most ``size``."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
