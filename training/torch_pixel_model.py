"""Torch twin of the pixel model: a small network for each of the four planes of a grey level, and the copy attention.

All layers have the two modes of :mod:`mnistzip.training.torch_layers`: floats, and the integers of the exported network.
n is the number of coded pixels of a plane in all N images.

    x (N, 28, 28) uint8 -> windows of earlier pixels (n, inputs) -> three hidden layers (n, width) -> head -> logits (n, values)

The copy attention adds votes of earlier pixels of the same image, (n, 32), to the logits of the plane of shades.

Source: Gu et al. 2016, arXiv 1603.06393 (copying earlier values, here grey levels of earlier pixels).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE
from mnistzip.models.pixel import planes
from mnistzip.models.pixel.copy_attention import COPY_HIGH, COPY_LOW, KEY_PEAK, KEY_SHIFT
from mnistzip.models.pixel.planes import PAD, RANGES, SHADES, STRIDE, TILE_PIXELS, VALUES, VIEWS, Plane, input_peaks
from mnistzip.nn.exact import ACTIVATION_MAX
from mnistzip.tiling import TILE
from mnistzip.training.torch_codec import LOGIT_SCALE
from mnistzip.training.torch_layers import SCALE, Quantizable, exact_shift, round_ste

KEY_SCALE = math.sqrt(LOGITS_PER_OCTAVE * 2**KEY_SHIFT)  # integer steps of keys per float unit; a product of 1 is one octave
WAVES = 12  # cosines over the shades of a range, with which the head changes all shades together


@dataclass(frozen=True)
class PixelConfig:
    """Widths of the hidden layers of each plane, and of the keys. The defaults are those of the shipped ``mnist``."""

    ink: int = 64
    solid: int = 96
    level: int = 128
    shade: int = 192
    key: int = 16

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Affine(Quantizable):
    """A matrix and a bias. Inputs are floats in float mode; with ``unit`` they are integers in both modes.

    Args:
        out: integer steps of each output per float unit, shape ``(outputs,)``.
        peak: largest magnitude of each integer input, shape ``(inputs,)``.
        unit: float units per integer step of each input, shape ``(inputs,)``.
    """

    def __init__(self, inputs: int, out: Tensor, peak: Tensor, unit: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(out), inputs) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(len(out)))
        self.integer_inputs = unit is not None
        self.out: Tensor
        self.peak: Tensor
        self.unit: Tensor
        self.shift: Tensor
        self.register_buffer("out", out, persistent=False)
        self.register_buffer("peak", peak, persistent=False)
        self.register_buffer("unit", torch.full((inputs,), 1 / SCALE) if unit is None else unit, persistent=False)
        self.register_buffer("shift", torch.zeros(len(out)), persistent=False)

    def effective(self) -> Tensor:
        """The weights, in float units."""
        return self.weight

    def bias_peak(self) -> Tensor:
        """The largest magnitude of each output's bias, in float units."""
        return self.bias.abs()

    def calibrate(self) -> None:
        weight = self.effective() * self.unit * self.out[:, None]
        self.shift.copy_(exact_shift(weight, self.peak, self.bias_peak() * self.out))

    def integers(self) -> tuple[Tensor, Tensor]:
        """Integer weights (outputs, inputs) and biases (outputs,)."""
        scale = torch.exp2(self.shift) * self.out
        return round_ste(self.effective() * self.unit * scale[:, None]), round_ste(self.bias * scale)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs), in float units or, if quantized, in integer steps before rounding."""
        if self.quantized:
            weight, bias = self.integers()
            return F.linear(x.float(), weight, bias) * torch.exp2(-self.shift)
        weight = self.effective() * self.unit if self.integer_inputs else self.effective()
        return F.linear(x, weight.to(x.dtype), self.bias.to(x.dtype))


class Enter(Affine):
    """The first layer, with a bias per row and column."""

    def __init__(self, plane: Plane, width: int) -> None:
        peak = torch.from_numpy(input_peaks(plane))
        super().__init__(len(peak), torch.full((width,), SCALE), peak, 1 / peak)
        self.rows = nn.Parameter(torch.randn(TILE, width) * 0.05)
        self.columns = nn.Parameter(torch.randn(TILE, width) * 0.05)

    def bias_peak(self) -> Tensor:
        return self.bias.abs() + self.rows.abs().amax(0) + self.columns.abs().amax(0)

    def position_integers(self) -> tuple[Tensor, Tensor]:
        """Integer biases of rows and columns, (28, outputs) each."""
        scale = torch.exp2(self.shift) * self.out
        return round_ste(self.rows * scale), round_ste(self.columns * scale)

    def at_pixels(self, x: Tensor, pixel: Tensor) -> Tensor:
        """The layer's output, with the biases of the pixels' positions."""
        row, column = pixel // TILE, pixel % TILE
        if self.quantized:
            rows, columns = self.position_integers()
            return self(x) + (F.embedding(row, rows) + F.embedding(column, columns)) * torch.exp2(-self.shift)
        return self(x) + (F.embedding(row, self.rows) + F.embedding(column, self.columns)).to(x.dtype)


def hidden(inputs: int, outputs: int) -> Affine:
    """A layer from activations to activations."""
    return Affine(inputs, torch.full((outputs,), SCALE), torch.full((inputs,), float(ACTIVATION_MAX)))


class Head(Affine):
    """Natural logits. With ``smooth``, for shades, cosines over a range are added to the weights."""

    def __init__(self, inputs: int, outputs: int, smooth: bool = False) -> None:
        super().__init__(inputs, torch.full((outputs,), LOGIT_SCALE), torch.full((inputs,), float(ACTIVATION_MAX)))
        with torch.no_grad():
            self.weight.mul_(0.1)
        shade = (torch.arange(SHADES) + 0.5) / SHADES
        self.register_buffer("basis", torch.cos(math.pi * torch.arange(WAVES)[:, None] * shade), persistent=False)
        self.basis: Tensor
        self.waves = nn.Parameter(torch.zeros(RANGES, WAVES, inputs)) if smooth else None

    def effective(self) -> Tensor:
        if self.waves is None:
            return self.weight
        return self.weight + torch.einsum("rwi,ws->rsi", self.waves, self.basis).flatten(0, 1)

    def logits(self, h: Tensor) -> Tensor:
        y = self(h).float()
        return round_ste(y) / LOGIT_SCALE if self.quantized else y


class PlaneNet(Quantizable):
    """The network of a plane: three hidden layers and a head."""

    def __init__(self, plane: Plane, width: int) -> None:
        super().__init__()
        self.plane = plane
        self.enter = Enter(plane, width)
        self.middle = nn.ModuleList([hidden(width, width), hidden(width, width)])
        shades = plane is Plane.SHADE
        self.head = Head(width, RANGES * SHADES if shades else VALUES[plane], smooth=shades)

    def features(self, x: Tensor, pixel: Tensor) -> Tensor:
        h = self.activate(self.enter.at_pixels(x, pixel))
        for layer in self.middle:
            h = self.activate(layer(h))
        return h


class Copy(Quantizable):
    """Copy attention: query, key, and an offset of the key per grey level."""

    def __init__(self, width: int, key: int) -> None:
        super().__init__()
        peak = torch.full((width,), float(ACTIVATION_MAX))
        gate = torch.cat([torch.full((key,), KEY_SCALE), torch.tensor([float(LOGITS_PER_OCTAVE)])])
        self.query = Affine(width, gate, peak)
        self.key = Affine(width, gate[:-1], peak)
        self.levels = nn.Parameter(torch.randn(RANGES * SHADES, key) * 0.05)
        with torch.no_grad():
            self.query.weight.mul_(0.3)
            self.key.weight.mul_(0.3)
            self.query.bias[-1] = -3.0

    def level_keys(self) -> Tensor:
        """Integer offsets of keys per grey level: (9 * 32, key)."""
        return round_ste(self.levels * KEY_SCALE).clamp(-KEY_PEAK, KEY_PEAK)

    def forward(self, h: Tensor, value: Tensor, tile: Tensor, step: Tensor, count: int) -> Tensor:
        """The votes of earlier pixels of the same tile for each shade: (n, 32).

        Args:
            h: features, (n, width), of pixels in coding order, tile by tile.
            value: range * 32 + shade of each, (n,).
            tile: the tile of each, (n,).
            step: the coding step of each, (n,).
            count: the number of tiles.
        """
        query, key = self.query(h).float(), self.key(h).float()
        if self.quantized:
            query_key = round_ste(query[:, :-1]).clamp(-KEY_PEAK, KEY_PEAK)
            gate = round_ste(query[:, -1:])
            key = round_ste(key).clamp(-KEY_PEAK, KEY_PEAK) + F.embedding(value, self.level_keys())
        else:
            query_key, gate, key = query[:, :-1], query[:, -1:], key + F.embedding(value, self.levels)
        number = torch.bincount(tile, minlength=count)
        most = int(number.max())
        slot = torch.arange(len(tile)) - (number.cumsum(0) - number)[tile]

        def padded(values: Tensor, fill: float = 0) -> Tensor:
            return values.new_full((count, most, *values.shape[1:]), fill).index_put((tile, slot), values)

        product = padded(query_key) @ padded(key).transpose(1, 2)  # (tiles, queries, keys)
        if self.quantized:
            product = round_ste(product / 2**KEY_SHIFT)
        score = product + padded(gate)
        if self.quantized:
            score = score / LOGITS_PER_OCTAVE
        steps, ranges = padded(step, -1), padded(value // SHADES, -1)
        earlier = (steps[:, None] < steps[:, :, None]) & (steps[:, None] >= 0) & (ranges[:, None] == ranges[:, :, None])
        votes = torch.exp2(score.clamp(COPY_LOW, COPY_HIGH)) * earlier
        dtype = torch.float32 if self.quantized else torch.bfloat16
        shades = F.one_hot(padded(value % SHADES), SHADES).to(dtype)
        total: Tensor = (votes.to(dtype) @ shades)[tile, slot].float()
        return total


class PixelModel(Quantizable):
    """Bits of lossless images. ``blank``, the probability of ink without ink in the window, is counted instead of trained."""

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.ink, config.solid, config.level, config.shade)
        self.nets = nn.ModuleList(PlaneNet(plane, width) for plane, width in zip(Plane, widths, strict=True))
        self.copy = Copy(config.shade, config.key)
        self.blank: Tensor
        self.register_buffer("blank", torch.full((TILE_PIXELS,), 1 / 64))
        self.dtype = torch.bfloat16  # of hidden layers in float mode
        for name, value in {"step": planes.STEP, "padded_index": planes.PADDED_INDEX}.items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)
        self.step: Tensor
        self.padded_index: Tensor
        kernel = torch.zeros(STRIDE * STRIDE)
        kernel[torch.from_numpy(planes.WIDE) + PAD * STRIDE + PAD] = 1
        self.register_buffer("wide", kernel.view(1, 1, STRIDE, STRIDE)[:, :, : 2 * PAD + 1, : 2 * PAD + 1], persistent=False)
        self.wide: Tensor
        for plane, table in planes.SEEN_AS.items():
            self.register_buffer(f"seen_{plane}", torch.from_numpy(table), persistent=False)

    def matrices(self) -> set[nn.Parameter]:
        """The weights of hidden layers."""
        layers = [part for part in self.modules() if isinstance(part, Affine)]
        outer = [part for part in self.modules() if isinstance(part, Head)] + [self.copy.query, self.copy.key]
        return {layer.weight for layer in layers if layer not in outer}

    def bits(self, x: Tensor) -> Tensor:
        """Bits of images, uint8 (N, 28, 28), in each plane and of pixels without ink in their window: (5, N)."""
        count = len(x)
        padded = F.pad(x, (PAD, PAD, PAD, PAD))
        around = self._sees_ink(padded)
        seen = {plane: getattr(self, f"seen_{plane}")[padded.reshape(-1).long()] for plane in Plane}
        grey = x.reshape(count, TILE_PIXELS)
        bits = [self._plane(plane, grey, seen, around) for plane in Plane]
        probability = torch.where(grey > 0, self.blank, 1 - self.blank)
        bits.append(-(torch.log2(probability) * ~around).sum(1))
        return torch.stack(bits)

    def _sees_ink(self, padded: Tensor) -> Tensor:
        """Pixels that have ink in their wide window: (N, 784)."""
        return F.conv2d((padded > 0).float()[:, None], self.wide)[:, 0].reshape(-1, TILE_PIXELS) > 0.5

    def _plane(self, plane: Plane, grey: Tensor, seen: dict[Plane, Tensor], around: Tensor) -> Tensor:
        """Bits of one plane: (N,)."""
        coded = planes.coded_pixels(plane, grey.cpu().numpy(), around.cpu().numpy())
        tile, pixel = (torch.from_numpy(part).to(grey.device) for part in coded)
        index = tile * STRIDE**2 + self.padded_index[pixel]
        near = {id(view.window): index[:, None] + torch.from_numpy(view.window).to(index.device) for view in VIEWS[plane]}
        parts = [seen[view.plane][near[id(view.window)]] for view in VIEWS[plane]]
        value = grey[tile, pixel].cpu().numpy()
        symbol = torch.from_numpy(planes.symbols(value, plane)).to(grey.device)
        net = self.nets[plane]
        assert isinstance(net, PlaneNet)
        if plane is Plane.SHADE:
            ranges = torch.from_numpy(planes.ranges(value)).to(grey.device)
            parts.append(F.one_hot(ranges, RANGES).to(torch.int8))
        dtype = torch.float32 if net.quantized else self.dtype
        h = net.features(torch.cat(parts, 1).to(dtype), pixel)
        logits = net.head.logits(h)
        if plane is Plane.SHADE:
            logits = logits.view(len(h), RANGES, SHADES).gather(1, ranges.view(-1, 1, 1).expand(-1, 1, SHADES)).squeeze(1)
            logits = logits + torch.log1p(self.copy(h, ranges * SHADES + symbol, tile, self.step[pixel], len(grey)))
        bits = F.cross_entropy(logits, symbol, reduction="none") / math.log(2)
        return torch.zeros(len(grey)).index_add(0, tile, bits)

    @torch.no_grad()
    def count_blank(self, x: Tensor) -> None:
        """Set ``blank`` to the frequency of ink in pixels without ink in their window, from images, uint8 (N, 28, 28)."""
        total, ink = torch.zeros(TILE_PIXELS), torch.zeros(TILE_PIXELS)
        for part in torch.split(x, 1000):
            around = self._sees_ink(F.pad(part, (PAD, PAD, PAD, PAD)))
            total += (~around).sum(0)
            ink += (~around & (part.reshape(-1, TILE_PIXELS) > 0)).sum(0)
        probability = (ink + 0.05) / (total + 1)
        self.blank.copy_(torch.round(probability * 65536).clamp(1, 65535) / 65536)
