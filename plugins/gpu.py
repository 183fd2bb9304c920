"""The networks of lossy files on a graphics processor, through PyTorch: the same bytes and pixels, as all sums are exact.

For all models from now on, in all threads:

    from mnistzip.plugins import gpu

    gpu.use("cuda")
    files = mnistzip.encode_many(images, effort=0)

Analysis, synthesis and the prior run on the device. The entropy coder, the search of higher efforts and the pixel model stay on
the processor. So this helps to encode batches of many images at effort 0, and to decode them. Convolutions are written as
matrix products of neighbourhoods: the fast algorithms of cuDNN compute with fractions and are not exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.entropy.cdf import OCTAVES, TOTAL, Cdf
from mnistzip.models.engine import DEFAULT, NUMPY
from mnistzip.models.latent_prior import CHANNELS, LOGITS, POSITIONS, SIDE, SYMBOLS, NextSymbols, Prior
from mnistzip.models.transforms import Transforms, chunks
from mnistzip.nn.exact import ACTIVATIONS, Range
from mnistzip.nn.layer_base import forward
from mnistzip.tiling import TILE
from mnistzip.training.distributed import select_device
from mnistzip.types import Floats, Integers, Pixels

if TYPE_CHECKING:
    from mnistzip.models.pixel.pixel_model import PixelModel

IMAGES_PER_BATCH = 4096  # run through the networks together
LATENTS_PER_BATCH = 1024  # whose frequencies are computed together: some 66 kB each


def use(device: str = "cuda") -> None:
    """Compute the networks of all models on a device, named as in torch; ``cpu`` returns to numpy.

    Models that are already loaded and handed over as :class:`~mnistzip.models.model.Model` keep their engine.

    Raises:
        ModelError: there is no such device, or torch was built without it.
    """
    DEFAULT.engine = NUMPY if device == "cpu" else engine_on(device)


def engine_on(device: str) -> TorchEngine:
    """The engine of a device that torch can use here, or :class:`~mnistzip.errors.ModelError`."""
    return _engine(select_device(device))


@cache
def _engine(device: torch.device) -> TorchEngine:
    return TorchEngine(device)


@dataclass(frozen=True, eq=False)
class TorchEngine:
    """A :class:`~mnistzip.models.engine.Engine` on a device of torch, and the layers' operations there."""

    device: torch.device
    _weights: dict[int, tuple[NDArray[Any], Tensor]] = field(default_factory=dict)

    def transforms(self, reference: Transforms) -> Transforms:
        return TorchTransforms(**_fields(reference), engine=self)

    def prior(self, reference: Prior) -> Prior:
        return TorchPrior(**_fields(reference), engine=self)

    def pixel_model(self, reference: PixelModel) -> PixelModel:
        return reference

    def tensor(self, array: NDArray[Any]) -> Tensor:
        """A copy of an array on the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def weights(self, array: NDArray[Any]) -> Tensor:
        """A copy of an array that is part of a model; it is made once."""
        cached = self._weights.get(id(array))
        if cached is None:
            cached = self._weights[id(array)] = array, self.tensor(array)  # keeps the array, so that its id stays unique
        return cached[1]

    def permute(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return x.permute(axes)

    def maximum(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)

    def repeat(self, x: Tensor, axis: int) -> Tensor:
        return x.repeat_interleave(2, axis)

    def convolve(self, x: Tensor, weight: Floats, kernel: int) -> Tensor:
        n, h, w, c = x.shape
        pad = kernel // 2
        padded = torch.nn.functional.pad(x, (0, 0, pad, pad, pad, pad))
        taps = [padded[:, i : i + h, j : j + w] for i in range(kernel) for j in range(kernel)]
        neighbourhoods = torch.stack(taps, 3).reshape(n * h * w, kernel * kernel * c)
        return (neighbourhoods @ self.weights(weight)).view(n, h, w, -1)

    def add_bias(self, total: Tensor, position_bias: Floats, quality_bias: Floats, quality_index: Tensor) -> Tensor:
        return total + self.weights(position_bias) + self.per_quality(quality_bias, quality_index)

    def per_quality(self, table: Floats, quality_index: Tensor) -> Tensor:
        return self.weights(table)[quality_index][:, None, None]

    def lookup(self, table: Floats, low: int, x: Tensor) -> Tensor:
        return self.weights(table)[x.long() - low]

    def requantize(self, total: Tensor, output_range: Range) -> Tensor:
        return total.floor().clamp(output_range.low, output_range.high)

    def clip(self, total: Tensor, output_range: Range) -> Tensor:
        return total.clamp(output_range.low, output_range.high)


def _fields(reference: Transforms | Prior) -> dict[str, Any]:
    """The fields of a dataclass by name."""
    return {each.name: getattr(reference, each.name) for each in fields(reference)}


@dataclass(frozen=True, eq=False)
class TorchTransforms(Transforms):
    """Both networks on a device; numpy traces them for the search."""

    engine: TorchEngine

    def analyse(self, x: Pixels, quality_index: Integers) -> Integers:
        engine = self.engine
        out = np.empty((len(x), SYMBOLS), np.int64)
        for part in chunks(len(x), IMAGES_PER_BATCH):
            index = engine.tensor(quality_index[part])
            latent = forward(self.analysis, engine.tensor(x[part])[..., None].float(), index, engine)
            value = latent.long() * engine.per_quality(self.fine, index).long()
            rounded = (value + (1 << self.fine_shift - 1)) >> self.fine_shift
            out[part] = rounded.clamp(self.symbols.low, self.symbols.high).view(-1, SYMBOLS).cpu().numpy()
        return out

    def synthesize(self, y: Integers, quality_index: Integers) -> Pixels:
        engine = self.engine
        x_hat = np.empty((len(y), TILE, TILE), np.uint8)
        for part in chunks(len(y), IMAGES_PER_BATCH):
            index = engine.tensor(quality_index[part])
            symbols = engine.tensor(y[part]).view(-1, SIDE, SIDE, CHANNELS).float()
            image = forward(self.synthesis, symbols * engine.per_quality(self.step, index), index, engine)
            x_hat[part] = image[..., 0].to(torch.uint8).cpu().numpy()
        return x_hat


@dataclass(frozen=True, eq=False)
class TorchPrior(Prior):
    """The prior and its tables of frequencies on a device; the entropy coder stays on the processor."""

    engine: TorchEngine

    def intervals(self, y: Integers, quality_index: Integers) -> tuple[Integers, Integers]:
        weights = self.engine.weights
        starts, freqs = np.empty((2, len(y), SYMBOLS), np.int64)
        for part in chunks(len(y), LATENTS_PER_BATCH):
            symbols = self.engine.tensor(y[part])
            far = self._far(symbols.float(), self.engine.tensor(quality_index[part]))
            logits = weights(self._heads) @ far.view(len(far), SYMBOLS, -1).permute(1, 2, 0)
            logits = self.engine.requantize(logits + weights(self.head_bias)[..., None], LOGITS)
            below = torch.cumsum(self._frequency_weights(logits), 1)
            below = torch.cat([torch.zeros_like(below[:, :1]), below], 1)
            index = (symbols.T - self.low)[:, None]
            total, room = below[:, -1:], TOTAL - self.values
            start = index + torch.div(below.gather(1, index) * room, total, rounding_mode="floor")
            end = index + 1 + torch.div(below.gather(1, index + 1) * room, total, rounding_mode="floor")
            starts[part] = start[:, 0].T.cpu().numpy()
            freqs[part] = (end - start)[:, 0].T.cpu().numpy()
        return starts, freqs

    def _far(self, x: Tensor, quality_index: Tensor) -> Tensor:
        weights, requantize = self.engine.weights, self.engine.requantize
        near = requantize(x @ weights(self.near_weight) + weights(self.near_bias)[quality_index], ACTIVATIONS)
        total = near @ weights(self.far_weight) + x @ weights(self.skip_weight)
        return requantize(total + weights(self.far_bias)[quality_index], ACTIVATIONS)

    def _frequency_weights(self, logits: Tensor) -> Tensor:
        """The weight of each value, int64; logits of an alphabet are along dimension -2."""
        behind = (logits.amax(-2, keepdim=True) - logits).long()
        return self.engine.weights(OCTAVES)[behind.clamp(max=len(OCTAVES) - 1)]

    def decode(self, next_symbols: NextSymbols, quality_index: Integers) -> Integers:
        engine, weights, requantize = self.engine, self.engine.weights, self.engine.requantize
        n, a, b = len(quality_index), self.near_weight.shape[1] // POSITIONS, self.head_weight.shape[1]
        index = engine.tensor(quality_index)
        x = torch.zeros(n, SYMBOLS, device=engine.device)
        near = torch.zeros(n, POSITIONS * a, device=engine.device)
        near_bias, far_bias = weights(self.near_bias)[index], weights(self.far_bias)[index]
        for position in range(POSITIONS):
            s = position * CHANNELS
            position_near, position_far = slice(position * a, (position + 1) * a), slice(s * b, (s + CHANNELS) * b)
            total = x[:, :s] @ weights(self.near_weight)[:s, position_near] + near_bias[:, position_near]
            near[:, position_near] = requantize(total, ACTIVATIONS)
            shared = near[:, : position_near.stop] @ weights(self.far_weight)[: position_near.stop, position_far]
            shared += far_bias[:, position_far]
            shared += x[:, :s] @ weights(self.skip_weight)[:s, position_far]
            for c in range(CHANNELS):
                symbol_far = slice((s + c) * b, (s + c + 1) * b)
                far = shared[:, c * b : (c + 1) * b] + x[:, s : s + c] @ weights(self.skip_weight)[s : s + c, symbol_far]
                logits = weights(self._heads)[s + c] @ requantize(far, ACTIVATIONS).T
                logits = requantize(logits + weights(self.head_bias)[s + c, :, None], LOGITS)
                value = next_symbols(Cdf.of_weights(self._frequency_weights(logits).cpu().numpy()))
                x[:, s + c] = engine.tensor(value + self.low).float()
        return x.long().cpu().numpy()
