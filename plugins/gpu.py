"""The networks of lossy files on a graphics processor, through PyTorch: the same bytes and pixels, as all sums are exact.

    from mnistzip.plugins import gpu

    gpu.use("cuda")          # from now on, for every model
    files = mnistzip.encode_many(images, effort=0)

Analysis, synthesis and the prior move; the coder, the search of higher efforts and the pixel model stay where they are. So it
is for batches of many images at effort 0, and for decoding them. Convolutions are written as matrix products of neighbourhoods:
the fast algorithms of cuDNN go through fractions and would not be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzip.entropy.cdf import OCTAVES, TOTAL, Cdf
from mnistzip.errors import ModelError
from mnistzip.models import registry
from mnistzip.models.latent_prior import CHANNELS, LOGITS, PLACES, SIDE, SYMBOLS, NextSymbols, Prior
from mnistzip.models.transforms import Transforms, chunks
from mnistzip.nn import layers as intnet
from mnistzip.nn.layers import ACTIVATIONS, GAIN_SHIFT, Range
from mnistzip.tiling import TILE
from mnistzip.training.distributed import device as find_device
from mnistzip.types import Pixels

TOGETHER = 4096  # images that pass the networks together
SYMBOLS_TOGETHER = 1024  # latents whose frequencies are found together: some 66 kB each

Ints = NDArray[np.int64]


def use(device: str = "cuda") -> None:
    """Run the networks of all models on a device as torch names it; ``cpu`` brings them back to numpy.

    Raises:
        ModelError: there is no such device, or torch was built without it.
    """
    if device == "cpu":
        registry.place(None)
        return
    there = Device.named(device)
    registry.place(lambda transforms, prior: (there.transforms(transforms), there.prior(prior)))


@dataclass(frozen=True)
class Device:
    """Where tensors live, and the weights that are there already."""

    name: torch.device
    _known: dict[int, tuple[NDArray[Any], Tensor]] = field(default_factory=dict)

    @staticmethod
    def named(name: str) -> Device:
        """A device that torch can use here, or :class:`~mnistzip.errors.ModelError`."""
        return Device(find_device(name))

    def tensor(self, array: NDArray[Any]) -> Tensor:
        """A copy of an array there."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.name)

    def weights(self, array: NDArray[Any]) -> Tensor:
        """The same of an array that is part of a model: it is copied once."""
        if id(array) not in self._known:
            self._known[id(array)] = array, self.tensor(array)  # kept, so that no other array gets its id
        return self._known[id(array)][1]

    def transforms(self, known: Transforms) -> Transforms:
        """The same transforms, computed there."""
        return _moved(known, DeviceTransforms, self)

    def prior(self, known: Prior) -> Prior:
        """The same prior, computed there."""
        return _moved(known, DevicePrior, self)

    def forward(self, layers: Sequence[intnet.Layer], x: Tensor, row: Tensor) -> Tensor:
        """As :func:`mnistzip.nn.layers.forward`."""
        for layer in layers:
            x = self._layer(layer, x, row)
        return x

    def _layer(self, layer: intnet.Layer, x: Tensor, row: Tensor) -> Tensor:
        n, h, w, c = x.shape
        if isinstance(layer, intnet.Conv):
            total = patches(x, layer.kernel) @ self.weights(layer.weight)
            total = total.view(n, h, w, -1) + self.weights(layer.place)
            return requantize(total + self.weights(layer.quality)[row][:, None, None], layer.to)
        if isinstance(layer, intnet.Gain):
            factor = self.weights(layer.factor)[row] * 2.0**-GAIN_SHIFT
            return requantize(x * factor[:, None, None] + 0.5, layer.to)
        if isinstance(layer, intnet.Residual):
            return (self.forward(layer.layers, x, row) + x).clamp(layer.to.low, layer.to.high)
        if isinstance(layer, intnet.Lookup):
            return self.weights(layer.table)[x.long() - layer.low]
        if isinstance(layer, intnet.MaxPool):
            return x.view(n, h // 2, 2, w // 2, 2, c).amax((2, 4))
        if isinstance(layer, intnet.Upsample):
            return x.repeat_interleave(2, 1).repeat_interleave(2, 2)
        if isinstance(layer, intnet.SpaceToDepth):
            s = layer.size
            return x.view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 5, 2, 4).reshape(n, h // s, w // s, c * s * s)
        if isinstance(layer, intnet.DepthToSpace):
            s = layer.size
            return x.view(n, h, w, c // (s * s), s, s).permute(0, 1, 4, 2, 5, 3).reshape(n, h * s, w * s, c // (s * s))
        raise ModelError(f"a layer that is not known on {self.name}: {type(layer).__name__}")


def _moved(known: Any, kind: type[Any], device: Device) -> Any:
    """The same weights, which were divided already, in an object that computes elsewhere."""
    moved = object.__new__(kind)
    moved.__dict__.update(known.__dict__, device=device)
    return moved


def requantize(total: Tensor, to: Range) -> Tensor:
    """As :func:`mnistzip.nn.layers.requantize`."""
    return total.floor().clamp(to.low, to.high)


def patches(x: Tensor, kernel: int) -> Tensor:
    """As :func:`mnistzip.nn.layers.patches`."""
    n, h, w, c = x.shape
    pad = kernel // 2
    padded = torch.nn.functional.pad(x, (0, 0, pad, pad, pad, pad))
    seen = [padded[:, i : i + h, j : j + w] for i in range(kernel) for j in range(kernel)]
    return torch.stack(seen, 3).reshape(n * h * w, kernel * kernel * c)


class DeviceTransforms(Transforms):
    """Both networks on a device; what the search asks of them is answered by numpy."""

    device: Device

    def analyse(self, x: Pixels, row: Ints) -> Ints:
        out = np.empty((len(x), SYMBOLS), np.int64)
        for part in chunks(len(x), TOGETHER):
            where = self.device.tensor(row[part])
            latent = self.device.forward(self.analysis, self.device.tensor(x[part])[..., None].float(), where)
            value = latent.long() * self.device.weights(self.fine)[where].long()[:, None, None]
            rounded = (value + (1 << self.fine_shift - 1)) >> self.fine_shift
            out[part] = rounded.clamp(self.symbols.low, self.symbols.high).view(-1, SYMBOLS).cpu().numpy()
        return out

    def synthesize(self, y: Ints, row: Ints) -> Pixels:
        x_hat = np.empty((len(y), TILE, TILE), np.uint8)
        for part in chunks(len(y), TOGETHER):
            where = self.device.tensor(row[part])
            symbols = self.device.tensor(y[part]).view(-1, SIDE, SIDE, CHANNELS).float()
            scaled = symbols * self.device.weights(self.step)[where][:, None, None]
            x_hat[part] = self.device.forward(self.synthesis, scaled, where)[..., 0].to(torch.uint8).cpu().numpy()
        return x_hat


class DevicePrior(Prior):
    """The networks of the prior and the tables of frequencies on a device; the coder takes what it asks for from there."""

    device: Device

    def intervals(self, y: Ints, row: Ints) -> tuple[Ints, Ints]:
        starts, freqs = np.empty((2, len(y), SYMBOLS), np.int64)
        for part in chunks(len(y), SYMBOLS_TOGETHER):
            symbols = self.device.tensor(y[part])
            far = self._far(symbols.float(), self.device.tensor(row[part]))
            logits = self.device.weights(self._heads) @ far.view(len(far), SYMBOLS, -1).permute(1, 2, 0)
            logits = requantize(logits + self.device.weights(self.head_bias)[..., None], LOGITS)
            below = torch.cumsum(self._weights_of(logits), 1)
            below = torch.cat([torch.zeros_like(below[:, :1]), below], 1)
            index = (symbols.T - self.low)[:, None]
            total, room = below[:, -1:], TOTAL - self.values
            start = index + torch.div(below.gather(1, index) * room, total, rounding_mode="floor")
            end = index + 1 + torch.div(below.gather(1, index + 1) * room, total, rounding_mode="floor")
            starts[part] = start[:, 0].T.cpu().numpy()
            freqs[part] = (end - start)[:, 0].T.cpu().numpy()
        return starts, freqs

    def _far(self, x: Tensor, row: Tensor) -> Tensor:
        weights = self.device.weights
        near = requantize(x @ weights(self.near_weight) + weights(self.near_bias)[row], ACTIVATIONS)
        total = near @ weights(self.far_weight) + x @ weights(self.skip_weight)
        return requantize(total + weights(self.far_bias)[row], ACTIVATIONS)

    def _weights_of(self, logits: Tensor) -> Tensor:
        """Of values whose logits lie along dimension -2, in int64."""
        behind = (logits.amax(-2, keepdim=True) - logits).long()
        return self.device.weights(OCTAVES)[behind.clamp(max=len(OCTAVES) - 1)]

    def decode(self, next_symbols: NextSymbols, row: Ints) -> Ints:
        weights = self.device.weights
        n, a, b = len(row), self.near_weight.shape[1] // PLACES, self.head_weight.shape[1]
        where = self.device.tensor(row)
        x = torch.zeros(n, SYMBOLS, device=self.device.name)
        near = torch.zeros(n, PLACES * a, device=self.device.name)
        near_bias, far_bias = weights(self.near_bias)[where], weights(self.far_bias)[where]
        for place in range(PLACES):
            s = place * CHANNELS
            mine, wide = slice(place * a, place * a + a), slice(s * b, (s + CHANNELS) * b)
            near[:, mine] = requantize(x[:, :s] @ weights(self.near_weight)[:s, mine] + near_bias[:, mine], ACTIVATIONS)
            shared = near[:, : mine.stop] @ weights(self.far_weight)[: mine.stop, wide] + far_bias[:, wide]
            shared += x[:, :s] @ weights(self.skip_weight)[:s, wide]
            for c in range(CHANNELS):
                own = slice((s + c) * b, (s + c + 1) * b)
                far = shared[:, c * b : (c + 1) * b] + x[:, s : s + c] @ weights(self.skip_weight)[s : s + c, own]
                logits = weights(self._heads)[s + c] @ requantize(far, ACTIVATIONS).T
                logits = requantize(logits + weights(self.head_bias)[s + c, :, None], LOGITS)
                value = next_symbols(Cdf.of_weights(self._weights_of(logits).cpu().numpy()))
                x[:, s + c] = self.device.tensor(value + self.low).float()
        return x.long().cpu().numpy()
