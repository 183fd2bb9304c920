"""The pixel model of ``grey`` in floats: bits of each grey level of pictures of any size, given the pixels before it.

    levels (N, H, W) -> differences from a prediction, divided by the spread around a pixel (n, 68) -> three layers
    -> weights, means and scales of logistic distributions -> bits (N, H, W)

n is the number of all pixels. :mod:`mnistzip.models.grey.grey_pixels` computes the same in integers.

Sources: Salimans et al. 2017, arXiv 1701.05517 (mixtures of logistic distributions); Weinberger et al. 2000 (LOCO-I: the median
prediction).
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzip.entropy.cost import TOTAL
from mnistzip.limits import ERROR_MAX
from mnistzip.models.grey.grey_pixels import (
    EDGES,
    ERRORS,
    FIRST,
    NEAREST,
    POSITIONS,
    PREDICTION_BITS,
    PREDICTIONS,
    SPREADS,
    UNKNOWN,
    WINDOW,
    level_table,
)
from mnistzip.models.slanted import margins
from mnistzip.training.torch_layers import ACTIVATION_PEAK

UP, SIDE = margins(WINDOW)

WIDTHS = (256, 64, 64)
COMPONENTS = 5
INPUT_PEAK = 16.0  # of differences, in spreads
SCALES = (0.03, 128.0)  # the smallest and largest scale of a distribution, in grey levels
FAR = 1e4  # an edge beyond all grey levels


def amplitudes() -> Tensor:
    """The mean difference of the nearest pixels that each index of a spread stands for, shape (44,)."""
    return torch.exp2((torch.arange(SPREADS) + 0.5) / 4) / len(NEAREST)


def quarter_octaves(number: Tensor) -> Tensor:
    """As that of :mod:`mnistzip.models.grey.grey_pixels`, for int64."""
    exponent = torch.frexp(number.float()).exponent.long() - 1
    return 4 * exponent + (((number << 2) >> exponent) & 3)


def _edges() -> tuple[Tensor, Tensor]:
    """For each largest error: the edges of the interval of each grey level, (65, 256, 2), and the number of levels, (65,)."""
    edges, count = np.zeros((ERROR_MAX + 1, 256, 2), np.float32), np.zeros(ERROR_MAX + 1, np.float32)
    for max_error in range(ERROR_MAX + 1):
        levels, index = level_table(max_error)
        middles = np.concatenate([[-FAR], (levels[1:] + levels[:-1]) / 2, [FAR]])
        edges[max_error] = np.stack([middles[index], middles[index + 1]], axis=1)
        count[max_error] = len(levels)
    return torch.from_numpy(edges), torch.from_numpy(count)


@cache
def nearest_levels() -> Tensor:
    """The grey level that each largest error makes of each grey level, uint8 (65, 256)."""
    tables = [level_table(max_error) for max_error in range(ERROR_MAX + 1)]
    return torch.from_numpy(np.stack([levels[index] for levels, index in tables]).astype(np.uint8))


class GreyPixels(nn.Module):
    """The model. Activations are clipped to ``[0, ACTIVATION_PEAK]``."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS, components: int = COMPONENTS) -> None:
        super().__init__()
        width = widths[0]
        self.enter = nn.Linear(len(WINDOW), width)
        self.middle = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise(widths))
        self.head = nn.Linear(widths[-1], 3 * components)
        for layer in (self.enter, *self.middle):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        with torch.no_grad():
            self.head.weight.mul_(0.1)
        self.linear = nn.Parameter(torch.zeros(len(WINDOW), components))
        self.spread = nn.Parameter(torch.zeros(SPREADS, width))
        self.prediction = nn.Parameter(torch.zeros(PREDICTIONS, width))
        self.error = nn.Parameter(torch.zeros(ERRORS, width))
        self.positions = nn.Parameter(torch.zeros(len(POSITIONS), EDGES, width))
        start = torch.zeros(SPREADS, 3 * components)
        start[:, 2 * components :] = torch.linspace(-2.5, 0.0, components)
        self.head_spread = nn.Parameter(start)
        self.head_error = nn.Parameter(torch.zeros(ERRORS, 3 * components))
        edges, count = _edges()
        buffers = {"amplitude": amplitudes(), "edges": edges, "count": count}
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)
        self.amplitude: Tensor
        self.edges: Tensor
        self.count: Tensor

    def matrices(self) -> list[nn.Parameter]:
        """The weights of hidden layers."""
        return [part for name, part in self.named_parameters() if name.endswith("weight") and not name.startswith("head")]

    def forward(self, x: Tensor, max_error: Tensor) -> Tensor:
        """Bits of each grey level: uint8 (N, H, W), with the levels that largest errors (N,) leave -> (N, H, W)."""
        difference, prediction, positions = self._see(x)
        nearest = [WINDOW.index(offset) for offset in NEAREST]
        spread = quarter_octaves(difference[:, nearest].abs().sum(1) + 1)
        amplitude = self.amplitude[spread][:, None]
        scaled = (difference / amplitude).clamp(-INPUT_PEAK, INPUT_PEAK)
        of_pixel = max_error[:, None, None].expand(x.shape).reshape(-1)
        error = quarter_octaves(of_pixel + 1)
        h = self.enter(scaled) + F.embedding(spread, self.spread) + F.embedding(error, self.error)
        h = h + F.embedding(prediction >> PREDICTION_BITS, self.prediction)
        for table, distance in zip(self.positions, positions, strict=True):
            h = h + F.embedding(distance, table)
        h = F.hardtanh(h, 0.0, ACTIVATION_PEAK)
        for layer in self.middle:
            h = F.hardtanh(layer(h), 0.0, ACTIVATION_PEAK)
        out = self.head(h) + F.embedding(spread, self.head_spread) + F.embedding(error, self.head_error)
        logit, moved, scale = out.chunk(3, 1)
        mean = prediction[:, None] + (moved + scaled @ self.linear) * amplitude
        inverse = 1 / (scale.exp() * amplitude).clamp(*SCALES)
        edge = self.edges[of_pixel, x.reshape(-1).long()]
        low, high = (torch.sigmoid((edge[:, k : k + 1] - mean) * inverse) for k in range(2))
        share = ((high - low) * F.softmax(logit, 1)).sum(1)
        frequency = share * (TOTAL - self.count[of_pixel]) + 1
        return -torch.log2(frequency.clamp(min=1e-3) / TOTAL).view(x.shape)

    def _see(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Of all pixels: differences from the prediction, (n, 68); the prediction; distances from three edges."""
        count, height, width = x.shape
        padded = F.pad(x.long(), (SIDE, SIDE, UP, 0), value=UNKNOWN)

        def shifted(row: int, column: int) -> Tensor:
            return padded[:, UP + row : UP + row + height, SIDE + column : SIDE + column + width]

        around = torch.stack([shifted(*offset) for offset in WINDOW], -1)
        left, above, corner = shifted(0, -1), shifted(-1, 0), shifted(-1, -1)
        low, high = torch.minimum(left, above), torch.maximum(left, above)
        median = torch.where(corner >= high, low, torch.where(corner <= low, high, left + above - corner))
        first = torch.where(above == UNKNOWN, FIRST, above)
        prediction = torch.where(left == UNKNOWN, first, torch.where(above == UNKNOWN, left, median))
        difference = torch.where(around == UNKNOWN, 0, around - prediction[..., None])
        rows = torch.arange(height)[:, None].expand(count, height, width)
        columns = torch.arange(width).expand(count, height, width)
        distances = [part.clamp(max=EDGES - 1).reshape(-1) for part in (rows, columns, width - 1 - columns)]
        return difference.reshape(-1, len(WINDOW)), prediction.reshape(-1), distances
