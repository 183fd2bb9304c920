"""The model ``grey`` in floats: pictures of any size and any quality, without tiles and without positions.

    x (N, 1, H, W) -> space to depth -> (N, 16, h, w) -> analysis -> * gain(level) -> rounding -> y (N, 16, h, w)
    y -> * step(level) -> synthesis -> (N, 16, h, w) -> depth to space -> x_hat (N, 1, H, W)
    y -> prior -> mean and scale of each symbol -> bits

``h`` and ``w`` are a quarter of the sides, rounded up. ``level``, shape (N,) in 0..1, determines the quality. Each transform is
a linear convolution plus a network: at high quality the network adds little, and the linear part, which starts as a 4x4
discrete cosine transform, has no limit of precision.

The prior codes four groups of four channels, one after the other. Within a group, the positions are coded in steps, coarse to
fine: those on a grid of 16 x 16 first, then the middles of its squares, then the middles between the positions known so far,
and so on for grids of 8, 4 and 2. A position sees the nearest 12 known positions of its group, and the nearest positions of all
groups before. So every position but the first ones has neighbours on all sides, and a picture of any size takes nine steps.

Sources: Ballé et al. 2017, arXiv 1611.01704 (rate and distortion); Cui et al. 2021, arXiv 2003.02012 (gains per level); He et
al. 2021, arXiv 2103.15306, and Minnen and Singh 2020, arXiv 2007.08739 (checkerboards and groups of channels).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.metrics import PEAK as WHITE
from mnistzip.models.grey.coding_order import GRIDS
from mnistzip.models.grey.grey_model import BLOCK
from mnistzip.models.grey.prior import CHANNELS, GROUP, GROUPS, SYMBOL_MAX
from mnistzip.training.torch_layers import ACTIVATION_PEAK, LevelTable

ANCHORS = 9  # rows of tables by level
SCALES = (-3.5, 5.0)  # natural logarithms of the smallest and largest scale of a distribution
EXCESS = 0.02  # of what exceeds black and white passes in training
BITS = 1 / math.log(2)  # per nat


def activate(x: Tensor) -> Tensor:
    """Clip to the range of activations."""
    return F.hardtanh(x, 0.0, ACTIVATION_PEAK)


class Conv(nn.Module):
    """Convolution of the same size, with a bias by level."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        weight = torch.empty(outputs, inputs // groups, kernel, kernel)
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
        self.weight = nn.Parameter(weight * gain)
        self.bias = LevelTable(ANCHORS, outputs)
        self.groups = groups

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight.to(x.dtype), padding=self.weight.shape[-1] // 2, groups=self.groups)
        return y + self.bias(level)[:, :, None, None].to(y.dtype)


class Gain(nn.Module):
    """A factor for each channel, by level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = LevelTable(ANCHORS, channels, 1.0)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return activate(x * self.factor(level)[:, :, None, None].to(x.dtype))


class Block(nn.Module):
    """Residual block: each channel looks around by itself, then channels mix at each position."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.around = Conv(width, width, 5, groups=width)
        self.up, self.gain, self.down = Conv(width, hidden, 1), Gain(hidden), Conv(hidden, width, 1, gain=0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = activate(self.around(x, level))
        h = self.gain(activate(self.up(h, level)), level)
        return activate(x + self.down(h, level))


class Transform(nn.Module):
    """A linear convolution plus a network: (N, 16, h, w) -> (N, 16, h, w)."""

    def __init__(self, width: int, hidden: int, blocks: int, kernel: int, linear: Tensor) -> None:
        super().__init__()
        self.linear = nn.Parameter(F.pad(linear[:, :, None, None], (1, 1, 1, 1)))
        self.enter, self.first = Conv(CHANNELS, width, kernel), Gain(width)
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(blocks))
        self.last, self.leave = Gain(width), Conv(width, CHANNELS, 1, gain=0.1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = x.contiguous(memory_format=torch.channels_last)
        h = self.first(activate(self.enter(h, level)), level)
        for block in self.blocks:
            h = block(h, level)
        return self.leave(self.last(h, level), level).float() + F.conv2d(x.float(), self.linear, padding=1)


def cosine_transform() -> Tensor:
    """The orthonormal cosine transform of 4x4 pixels, low frequencies first: (16, 16)."""
    n = torch.arange(float(BLOCK))
    one = torch.cos(math.pi / BLOCK * (n + 0.5) * n[:, None]) * (2 / BLOCK) ** 0.5
    one[0] *= 0.5**0.5
    order = sorted(range(CHANNELS), key=lambda k: (k // BLOCK + k % BLOCK, k))
    return torch.stack([torch.outer(one[k // BLOCK], one[k % BLOCK]).flatten() for k in order])


class Step:
    """The positions that are coded together, and how they see the known ones.

    Attributes:
        table: the step's index in tables of biases; the middles between known positions have two sets of positions.
        rows, columns: of the positions.
    """

    def __init__(self, table: int, rows: slice, columns: slice) -> None:
        self.table, self.rows, self.columns = table, rows, columns

    @property
    def positions(self) -> tuple[slice, slice, slice, slice]:
        """An index of arrays (N, C, h, w)."""
        return slice(None), slice(None), self.rows, self.columns


def signed_log(y: Tensor) -> Tensor:
    """Sign and binary logarithm of symbols: neighbours that differ by a factor differ by as much at all qualities."""
    return torch.sign(y) * torch.log2(1 + y.abs())


class Prior(nn.Module):
    """Mean and logarithm of the scale of a logistic distribution for each symbol.

    A network sees the logarithms of the known symbols. Beside it a linear prediction of the mean sees the symbols themselves,
    so that large ones are predicted as precisely as small ones.
    """

    def __init__(self, hidden: int, narrow: int = 32) -> None:
        super().__init__()
        self.hidden = hidden
        square, cross, plus = torch.ones(4, 4), torch.zeros(5, 5), torch.zeros(3, 3)
        square[[0, 0, 3, 3], [0, 3, 0, 3]] = 0  # 12 of the 16 corners of squares around a middle
        cross.view(-1)[1::2] = 1  # 12 positions at odd distances
        plus[1] = plus[:, 1] = 1
        for name, mask in {"square": square, "cross": cross, "plus": plus}.items():
            self.register_buffer(name, mask, persistent=False)
        self.square: Tensor
        self.cross: Tensor
        self.plus: Tensor
        seen = 2 * GROUP + 1  # logarithms of symbols, their magnitudes, and whether there is a position
        grids = range(GROUPS * len(GRIDS))
        self.from_corners = nn.ParameterList(nn.Parameter(torch.randn(hidden, seen, 4, 4) * 0.06) for _ in grids)
        self.from_sides = nn.ParameterList(nn.Parameter(torch.randn(hidden, seen, 5, 5) * 0.06) for _ in grids)
        groups = range(GROUPS)
        self.from_groups = nn.ParameterList(
            nn.Parameter(torch.randn(hidden, 2 * GROUP * max(group, 1), 3, 3) * 0.06) for group in groups
        )
        self.linear_corners = nn.ParameterList(nn.Parameter(torch.zeros(GROUP, GROUP, 4, 4)) for _ in grids)
        self.linear_sides = nn.ParameterList(nn.Parameter(torch.zeros(GROUP, GROUP, 5, 5)) for _ in grids)
        self.linear_groups = nn.ParameterList(nn.Parameter(torch.zeros(GROUP, GROUP * max(group, 1), 3, 3)) for group in groups)
        self.linear_gain = nn.ModuleList(LevelTable(ANCHORS, GROUP, 1.0) for _ in groups)
        self.bias = nn.ModuleList(LevelTable(ANCHORS, (1 + 2 * len(GRIDS)) * hidden, 0.1) for _ in groups)
        self.mix = nn.ParameterList(nn.Parameter(torch.randn(narrow, hidden) * (2 / hidden) ** 0.5) for _ in groups)
        self.mix_bias = nn.ModuleList(LevelTable(ANCHORS, narrow, 0.1) for _ in groups)
        self.gain = nn.ModuleList(Gain(narrow) for _ in groups)
        self.head = nn.ParameterList(nn.Parameter(torch.randn(2 * GROUP, narrow) * 0.16) for _ in groups)
        self.head_bias = nn.ModuleList(LevelTable(ANCHORS, 2 * GROUP) for _ in groups)
        self.within = nn.ParameterList(nn.Parameter(torch.zeros(2 * GROUP, 2 * GROUP)) for _ in groups)
        channel = torch.arange(2 * GROUP) % GROUP
        self.register_buffer("earlier", (channel < channel[:, None]).float(), persistent=False)
        self.earlier: Tensor

    def forward(self, y: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols (N, 16, h, w) to means and logarithms of scales of the same shape."""
        means, scales = zip(*(self._group(y, level, group) for group in range(GROUPS)), strict=True)
        return torch.cat(means, 1), torch.cat(scales, 1)

    def _group(self, y: Tensor, level: Tensor, group: int) -> tuple[Tensor, Tensor]:
        dtype, own, known = y.dtype, y[:, GROUP * group : GROUP * (group + 1)].float(), y[:, : GROUP * group].float()
        bias = self.bias[group](level).view(len(y), -1, self.hidden).to(dtype)
        hidden = torch.zeros(len(y), self.hidden, *y.shape[2:], dtype=dtype)
        linear = torch.zeros(len(y), GROUP, *y.shape[2:])
        before, linear_before = hidden, linear
        if group:
            logs = signed_log(known).to(dtype)
            before = F.conv2d(torch.cat([logs, logs.abs()], 1), (self.from_groups[group] * self.plus).to(dtype), padding=1)
            linear_before = F.conv2d(known, self.linear_groups[group] * self.plus, padding=1)
        logs = signed_log(own).to(dtype)
        seen = torch.cat([logs, logs.abs(), torch.ones_like(logs[:, :1])], 1)
        from_around = zip(
            self._steps(seen, self.from_corners, self.from_sides, group),
            self._steps(own, self.linear_corners, self.linear_sides, group),
            strict=True,
        )
        for (step, around), (_, linear_around) in from_around:
            start = bias[:, step.table][:, :, None, None] + before[step.positions]
            hidden[step.positions] = start if around is None else start + around
            start = linear_before[step.positions]
            linear[step.positions] = start if linear_around is None else start + linear_around
        narrow = F.conv2d(activate(hidden), self.mix[group][:, :, None, None].to(dtype))
        narrow = activate(narrow + self.mix_bias[group](level)[:, :, None, None].to(dtype))
        narrow = self.gain[group](narrow, level).float()
        out = F.conv2d(narrow, self.head[group][:, :, None, None]) + 8 * self.head_bias[group](level)[:, :, None, None]
        same = torch.cat([own, signed_log(own).abs()], 1)
        out = out + F.conv2d(same, (self.within[group] * self.earlier)[:, :, None, None])
        linear = linear * self.linear_gain[group](level)[:, :, None, None]
        return out[:, :GROUP] + linear, out[:, GROUP:]

    def _steps(
        self, seen: Tensor, corners: nn.ParameterList, sides: nn.ParameterList, group: int
    ) -> Iterator[tuple[Step, Tensor | None]]:
        """All steps that have positions, with what these see of their group; None for the first one, which sees nothing."""
        height, width = seen.shape[2:]
        yield Step(0, slice(0, None, GRIDS[0]), slice(0, None, GRIDS[0])), None
        for number, grid in enumerate(GRIDS):
            half, weights = grid // 2, len(GRIDS) * group + number
            rows, columns = len(range(half, height, grid)), len(range(half, width, grid))
            if rows and columns:
                known = F.pad(seen[:, :, ::grid, ::grid], (1, 2, 1, 2))
                around = F.conv2d(known, (corners[weights] * self.square).to(seen.dtype))
                step = Step(1 + 2 * number, slice(half, None, grid), slice(half, None, grid))
                yield step, around[:, :, :rows, :columns]
            around = F.conv2d(seen[:, :, ::half, ::half], (sides[weights] * self.cross).to(seen.dtype), padding=2)
            if columns:
                yield Step(2 + 2 * number, slice(0, None, grid), slice(half, None, grid)), around[:, :, ::2, 1::2]
            if rows:
                yield Step(2 + 2 * number, slice(half, None, grid), slice(0, None, grid)), around[:, :, 1::2, ::2]


def log_likelihood(y: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """The logarithm of the probability of integers under logistic distributions."""
    inverse = torch.exp(-log_scale.clamp(*SCALES))
    distance = (y - mean).abs()
    upper, lower = (0.5 - distance) * inverse, (-0.5 - distance) * inverse
    likelihood = torch.sigmoid(upper) - torch.sigmoid(lower)
    far = lower - F.softplus(lower) - F.softplus(upper) + torch.log(torch.expm1(inverse.clamp(max=30)).clamp_min(1e-9))
    return torch.where(likelihood > 1e-5, torch.log(likelihood.clamp_min(1e-9)), far)


class Grey(nn.Module):
    """Analysis, quantizer, prior and synthesis.

    Args:
        width, hidden, blocks: of both transforms.
        prior_hidden: of the prior.
        lmbda_low, lmbda_high: the weights of the squared error (pixels in 0..1, summed over a picture) at levels 0 and 1.
    """

    def __init__(
        self,
        width: int = 64,
        hidden: int = 64,
        blocks: int = 3,
        prior_hidden: int = 48,
        lmbda_low: float = 3.0,
        lmbda_high: float = 12000.0,
    ) -> None:
        super().__init__()
        self.lmbda_low, self.lmbda_high = lmbda_low, lmbda_high
        linear = cosine_transform()
        self.analysis = Transform(width, hidden, blocks, 1, linear)
        self.synthesis = Transform(width, hidden, blocks, 3, linear.T)
        self.prior = Prior(prior_hidden)
        self.gain, self.step = LevelTable(ANCHORS, CHANNELS), LevelTable(ANCHORS, CHANNELS)  # logarithms
        with torch.no_grad():
            ramp = torch.linspace(1.0, 4.2, ANCHORS)[:, None]
            self.gain.rows.copy_(ramp.expand(-1, CHANNELS))
            self.step.rows.copy_(-ramp.expand(-1, CHANNELS))

    def lmbda(self, level: Tensor) -> Tensor:
        """The weight of the squared error at levels in 0..1: (N,) -> (N,)."""
        return self.lmbda_low * (self.lmbda_high / self.lmbda_low) ** level

    def analyse(self, x: Tensor, level: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Latents before rounding: (N, 1, H, W) in 0..1 -> (N, 16, h, w). The edge is repeated to whole positions."""
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
        y = self.analysis(F.pixel_unshuffle(x.to(dtype) - 0.5, BLOCK), level)
        return (y * self.gain(level).exp()[:, :, None, None]).clamp(-SYMBOL_MAX, SYMBOL_MAX)

    def synthesize(self, y: Tensor, level: Tensor, shape: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Pictures of symbols: (N, 16, h, w) -> (N, 1, H, W), about 0..1."""
        y = (y * self.step(level).exp()[:, :, None, None]).to(dtype)
        return F.pixel_shuffle(self.synthesis(y, level), BLOCK)[:, :, : shape[0], : shape[1]] + 0.5

    def forward(self, x: Tensor, level: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Bits and squared error of pictures: (N,), (N,); :mod:`mnistzip.training.rd_model` explains the rounding."""
        latent = self.analyse(x, level, dtype)
        through = latent - latent.detach()
        y = torch.floor(latent.detach() + 0.5) + through
        mean, log_scale = self.prior(y.to(dtype), level)
        nats = -log_likelihood(y.detach(), mean, log_scale)
        with torch.no_grad():
            below = torch.floor(latent)
            slope = log_likelihood(below, mean, log_scale) - log_likelihood(below + 1, mean, log_scale)
        bits = BITS * (nats + slope * through).sum((1, 2, 3))
        x_hat = self.synthesize(y, level, (x.shape[2], x.shape[3]), dtype)
        inside = x_hat.clamp(0, 1)
        x_hat = inside + EXCESS * (x_hat - inside) if self.training else torch.round(inside * WHITE) / WHITE
        return bits, (x_hat - x).square().sum((1, 2, 3))
