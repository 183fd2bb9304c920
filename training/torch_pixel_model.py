"""The torch twin of the pixel model: four small networks, one for each plane of a grey level.

Layers have the two modes of :mod:`mnistzip.training.torch_codec`: floats, and the very integers of the exported network.

Sources: Gu et al. 2016, arXiv 1603.06393 (copying earlier values, here grey levels that an image has shown before, which
matters as digits are resampled from few black and white pixels).
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
from mnistzip.training.torch_codec import LOGIT_SCALE, SCALE, Quantizable, exact_shift, round_ste

KEY_SCALE = math.sqrt(LOGITS_PER_OCTAVE * 2**KEY_SHIFT)  # integer steps of keys per unit: a product of one is an octave
WAVES = 12  # cosines over the shades of a range that the head may move at once


@dataclass(frozen=True)
class PixelConfig:
    """Widths of the hidden layers of each plane's network, and of the keys for copying; the defaults are those shipped."""

    ink: int = 64
    solid: int = 96
    level: int = 128
    shade: int = 192
    key: int = 16

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Affine(Quantizable):
    """A matrix and a bias; what it is given are floats in float mode, or integers in either mode if ``unit`` says their unit.

    Args:
        out: integer steps of each output per float unit.
        peak: largest magnitude of each integer input.
    """

    def __init__(self, inputs: int, out: Tensor, peak: Tensor, unit: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(out), inputs) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(len(out)))
        self.whole = unit is not None
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

    def reach(self) -> Tensor:
        """The largest magnitude of each output's bias, in float units."""
        return self.bias.abs()

    def calibrate(self) -> None:
        weight = self.effective() * self.unit * self.out[:, None]
        self.shift.copy_(exact_shift(weight, self.peak, self.reach() * self.out))

    def integers(self) -> tuple[Tensor, Tensor]:
        """Integer weights (outputs, inputs) and biases (outputs,)."""
        scale = torch.exp2(self.shift) * self.out
        return round_ste(self.effective() * self.unit * scale[:, None]), round_ste(self.bias * scale)

    def forward(self, x: Tensor) -> Tensor:
        """In float units, or, if quantized, in integer steps that are not yet rounded."""
        if self.quantized:
            weight, bias = self.integers()
            return F.linear(x.float(), weight, bias) * torch.exp2(-self.shift)
        weight = self.effective() * self.unit if self.whole else self.effective()
        return F.linear(x, weight.to(x.dtype), self.bias.to(x.dtype))


class Enter(Affine):
    """The first layer, with a bias per row and column."""

    def __init__(self, plane: Plane, width: int) -> None:
        peak = torch.from_numpy(input_peaks(plane))
        super().__init__(len(peak), torch.full((width,), SCALE), peak, 1 / peak)
        self.rows = nn.Parameter(torch.randn(TILE, width) * 0.05)
        self.columns = nn.Parameter(torch.randn(TILE, width) * 0.05)

    def reach(self) -> Tensor:
        return self.bias.abs() + self.rows.abs().amax(0) + self.columns.abs().amax(0)

    def places(self) -> tuple[Tensor, Tensor]:
        """Integer biases of rows and columns, (28, outputs) each."""
        scale = torch.exp2(self.shift) * self.out
        return round_ste(self.rows * scale), round_ste(self.columns * scale)

    def at(self, x: Tensor, pixel: Tensor) -> Tensor:
        row, column = pixel // TILE, pixel % TILE
        if self.quantized:
            rows, columns = self.places()
            return self(x) + (F.embedding(row, rows) + F.embedding(column, columns)) * torch.exp2(-self.shift)
        return self(x) + (F.embedding(row, self.rows) + F.embedding(column, self.columns)).to(x.dtype)


def hidden(inputs: int, outputs: int) -> Affine:
    """A layer from activations to activations."""
    return Affine(inputs, torch.full((outputs,), SCALE), torch.full((inputs,), float(ACTIVATION_MAX)))


class Head(Affine):
    """Natural logits; those of shades are made of smooth waves over a range as well."""

    def __init__(self, inputs: int, outputs: int, smooth: bool = False) -> None:
        super().__init__(inputs, torch.full((outputs,), LOGIT_SCALE), torch.full((inputs,), float(ACTIVATION_MAX)))
        with torch.no_grad():
            self.weight.mul_(0.1)
        place = (torch.arange(SHADES) + 0.5) / SHADES
        self.register_buffer("basis", torch.cos(math.pi * torch.arange(WAVES)[:, None] * place), persistent=False)
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
    """Three hidden layers and a head."""

    def __init__(self, plane: Plane, width: int) -> None:
        super().__init__()
        self.plane = plane
        self.enter = Enter(plane, width)
        self.middle = nn.ModuleList([hidden(width, width), hidden(width, width)])
        shades = plane is Plane.SHADE
        self.head = Head(width, RANGES * SHADES if shades else VALUES[plane], smooth=shades)

    def features(self, x: Tensor, pixel: Tensor) -> Tensor:
        h = self.activate(self.enter.at(x, pixel))
        for layer in self.middle:
            h = self.activate(layer(h))
        return h


class Copy(Quantizable):
    """How much a pixel wants the grey level of each earlier one of its range: query, key and what the level adds to the key."""

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
        """What each grey level adds to a key, in integers: (9 * 32, key)."""
        return round_ste(self.levels * KEY_SCALE).clamp(-KEY_PEAK, KEY_PEAK)

    def forward(self, h: Tensor, value: Tensor, lane: Tensor, step: Tensor, count: int) -> Tensor:
        """The sum of octaves with which earlier pixels of the same tile vote for each shade: (n, 32).

        Args:
            h: features, (n, width), of pixels in coding order, tile by tile.
            value: range * 32 + shade of each.
            lane: the tile of each.
            step: the coding step of each.
            count: how many tiles.
        """
        query, key = self.query(h).float(), self.key(h).float()
        if self.quantized:
            wish = round_ste(query[:, :-1]).clamp(-KEY_PEAK, KEY_PEAK)
            gate = round_ste(query[:, -1:])
            key = round_ste(key).clamp(-KEY_PEAK, KEY_PEAK) + F.embedding(value, self.level_keys())
        else:
            wish, gate, key = query[:, :-1], query[:, -1:], key + F.embedding(value, self.levels)
        number = torch.bincount(lane, minlength=count)
        most = int(number.max())
        slot = torch.arange(len(lane)) - (number.cumsum(0) - number)[lane]

        def padded(values: Tensor, fill: float = 0) -> Tensor:
            return values.new_full((count, most, *values.shape[1:]), fill).index_put((lane, slot), values)

        product = padded(wish) @ padded(key).transpose(1, 2)  # (tiles, asking, asked)
        if self.quantized:
            product = round_ste(product / 2**KEY_SHIFT)
        score = product + padded(gate)
        if self.quantized:
            score = score / LOGITS_PER_OCTAVE
        when, where = padded(step, -1), padded(value // SHADES, -1)
        earlier = (when[:, None] < when[:, :, None]) & (when[:, None] >= 0) & (where[:, None] == where[:, :, None])
        votes = torch.exp2(score.clamp(COPY_LOW, COPY_HIGH)) * earlier
        kind = torch.float32 if self.quantized else torch.bfloat16
        shades = F.one_hot(padded(value % SHADES), SHADES).to(kind)
        total: Tensor = (votes.to(kind) @ shades)[lane, slot].float()
        return total


class PixelModel(Quantizable):
    """Bits of images without loss; ``blank`` are the chances of ink where a pixel sees none, which are counted, not learned."""

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.ink, config.solid, config.level, config.shade)
        self.nets = nn.ModuleList(PlaneNet(plane, width) for plane, width in zip(Plane, widths, strict=True))
        self.copy = Copy(config.shade, config.key)
        self.blank: Tensor
        self.register_buffer("blank", torch.full((TILE_PIXELS,), 1 / 64))
        self.kind = torch.bfloat16
        for name, value in {"step": planes.STEP, "place": planes.PADDED_INDEX}.items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)
        self.step: Tensor
        self.place: Tensor
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
        """Images, uint8 (N, 28, 28), to bits of each plane and of pixels that see no ink: (5, N)."""
        count = len(x)
        padded = F.pad(x, (PAD, PAD, PAD, PAD))
        around = self._sees_ink(padded)
        seen = {plane: getattr(self, f"seen_{plane}")[padded.reshape(-1).long()] for plane in Plane}
        grey = x.reshape(count, TILE_PIXELS)
        told = [self._plane(plane, grey, seen, around) for plane in Plane]
        chance = torch.where(grey > 0, self.blank, 1 - self.blank)
        told.append(-(torch.log2(chance) * ~around).sum(1))
        return torch.stack(told)

    def _sees_ink(self, padded: Tensor) -> Tensor:
        """Which pixels have ink in their wide window: (N, 784)."""
        return F.conv2d((padded > 0).float()[:, None], self.wide)[:, 0].reshape(-1, TILE_PIXELS) > 0.5

    def _plane(self, plane: Plane, grey: Tensor, seen: dict[Plane, Tensor], around: Tensor) -> Tensor:
        chosen = planes.coded_pixels(plane, grey.cpu().numpy(), around.cpu().numpy())
        lane, pixel = (torch.from_numpy(part).to(grey.device) for part in chosen)
        at = lane * STRIDE**2 + self.place[pixel]
        near = {id(view.window): at[:, None] + torch.from_numpy(view.window).to(at.device) for view in VIEWS[plane]}
        parts = [seen[view.plane][near[id(view.window)]] for view in VIEWS[plane]]
        value = grey[lane, pixel].cpu().numpy()
        symbol = torch.from_numpy(planes.symbols(value, plane)).to(grey.device)
        net = self.nets[plane]
        assert isinstance(net, PlaneNet)
        if plane is Plane.SHADE:
            where = torch.from_numpy(planes.ranges(value)).to(grey.device)
            parts.append(F.one_hot(where, RANGES).to(torch.int8))
        kind = torch.float32 if net.quantized else self.kind
        h = net.features(torch.cat(parts, 1).to(kind), pixel)
        logits = net.head.logits(h)
        if plane is Plane.SHADE:
            logits = logits.view(len(h), RANGES, SHADES).gather(1, where.view(-1, 1, 1).expand(-1, 1, SHADES)).squeeze(1)
            logits = logits + torch.log1p(self.copy(h, where * SHADES + symbol, lane, self.step[pixel], len(grey)))
        bits = F.cross_entropy(logits, symbol, reduction="none") / math.log(2)
        return torch.zeros(len(grey)).index_add(0, lane, bits)

    @torch.no_grad()
    def count_blank(self, x: Tensor) -> None:
        """Count in images, uint8 (N, 28, 28), how often pixels that see no ink have some."""
        total, ink = torch.zeros(TILE_PIXELS), torch.zeros(TILE_PIXELS)
        for part in torch.split(x, 1000):
            around = self._sees_ink(F.pad(part, (PAD, PAD, PAD, PAD)))
            total += (~around).sum(0)
            ink += (~around & (part.reshape(-1, TILE_PIXELS) > 0)).sum(0)
        chance = (ink + 0.05) / (total + 1)
        self.blank.copy_(torch.round(chance * 65536).clamp(1, 65535) / 65536)
