"""Models of the kind ``grey`` that nobody trained: one built like a trained model, and random ones with every kind of layer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.models.grey.coding_order import GRIDS, STEP_TABLES, TAPS
from mnistzip.models.grey.distribution import INVERSE_MAX, SCALES, SEGMENTS
from mnistzip.models.grey.grey_model import CURVATURE_MAX
from mnistzip.models.grey.grey_pixels import (
    COMPONENTS_MAX,
    EDGES,
    ERRORS,
    FACTOR_MAX,
    INPUTS,
    POSITIONS,
    PREDICTIONS,
    SPREADS,
    WINDOW,
)
from mnistzip.models.grey.prior import CHANNELS, GROUP, GROUPS, HEAD, LOGS, SEEN, SYMBOL_MAX
from mnistzip.models.model import Model, read_model
from mnistzip.nn.operations import SCATTER_RATIO
from mnistzip.types import Integers, Pixels
from support.random_models import ACTIVATION_MAX, QUALITIES, SUM_MAX, Ints, ModelMaker, Shape, model_file

Described = dict[str, Any]
PLUS = (1, 3, 4, 5, 7)  # taps of a 3x3 square: trained models see these of the groups before
LINEAR_MAX = SUM_MAX // SYMBOL_MAX  # of the magnitudes of linear weights together


class GreyMaker(ModelMaker):
    """Makes the parts of a model file of the kind ``grey`` from random numbers."""

    # ---- Networks ----

    def conv(self, shape: Shape, outputs: int, low: int, high: int, kernel: int | None = None) -> Described:
        if outputs * SCATTER_RATIO <= shape.channels:  # numpy scatters the outputs, over sides of kernel // 2 at least
            kernel = min(kernel or 3, 3)
        described = super().conv(shape, outputs, low, high, kernel)
        place = f"{described['name']}.place"
        self.arrays[place] = self.arrays[place][:1, :1]  # pictures have any size, so a bias per position cannot fit
        return described

    def depthwise(self, shape: Shape, low: int, high: int, kernel: int | None = None) -> Described:
        """A convolution of each channel by itself."""
        kernel = kernel or self.one_of(3, 5, 7)
        name, taps = self.name(), kernel**2
        weight, bias, quality, shift = self.matrix(
            np.ones((taps, shape.channels), bool), np.full(taps, shape.peak), max(-low, high)
        )
        self.arrays |= {
            f"{name}.weight": weight,
            f"{name}.bias": bias,
            f"{name}.quality": self.shares(quality, (QUALITIES,)),
            f"{name}.shift": shift,
        }
        shape.low, shape.high = low, high
        return {"op": "depthwise", "name": name, "kernel": kernel, "to": [low, high]}

    def parallel(self, shape: Shape, depth: int) -> Described | None:
        """Two chains of layers whose outputs are added."""
        one, other, arrays = Shape(**vars(shape)), Shape(**vars(shape)), dict(self.arrays)
        chains = []
        for branch in (one, other):
            layers = [self.same_size(branch, depth + 1) for _ in range(self.integer(1, 2))]
            chains.append([layer for layer in layers if layer is not None])
        for branch, chain in zip((one, other), chains, strict=True):
            if not chain or branch.channels != shape.channels:
                chain.append(self.conv(branch, shape.channels, *self.output_range()))
        if one.peak + other.peak > SUM_MAX:
            self.arrays = arrays
            return None
        shape.low, shape.high = self.output_range()
        return {"op": "parallel", "layers": chains[0], "others": chains[1], "to": [shape.low, shape.high]}

    def same_size(self, shape: Shape, depth: int = 0) -> Described | None:
        kind = self.one_of("depthwise", "parallel", "other", "other")
        if kind == "depthwise":
            return self.depthwise(shape, *self.output_range())
        if kind == "parallel":
            return self.parallel(shape, depth) if depth < 3 else None
        return super().same_size(shape, depth)

    def grey_analysis(self) -> list[Described]:
        """Layers from a picture to 16 channels for each square of 4x4."""
        shape = Shape(28, 1, 0, 255)
        layers = self.walk(shape)
        if shape.side > 7:
            if shape.channels > 12:
                layers.append(self.conv(shape, 4, *self.output_range(), kernel=1))
            layers.append({"op": "space_to_depth", "size": shape.side // 7})
            shape.channels, shape.side = shape.channels * (shape.side // 7) ** 2, 7
        layers.append(self.conv(shape, CHANNELS, *self.output_range(), kernel=self.one_of(1, 3)))
        return layers

    def grey_synthesis(self, peak: int) -> list[Described]:
        """Layers back."""
        shape = Shape(7, CHANNELS, -peak, peak)
        layers = self.walk(shape)
        if shape.side == 21:
            layers += [self.conv(shape, 1, *self.output_range(), kernel=3), {"op": "space_to_depth", "size": 3}]
            shape.side, shape.channels = 7, 9
        size = 28 // shape.side
        low, high = (-100, 200) if (with_table := self.random.random() < 0.3) else self.one_of((0, 255), (0, 255), (0, 7))
        layers.append(self.conv(shape, size**2, low, high, kernel=self.one_of(1, 3, 3, 5) if shape.channels < 30 else 1))
        if size > 1:
            layers.append({"op": "depth_to_space", "size": size})
        if with_table:
            layers += filter(None, [self.lookup(shape, *self.one_of((0, 255), (3, 250)))])
        return layers

    # ---- Prior ----

    def grey_prior(self, hidden: int, narrow: int) -> None:
        """The arrays of a prior."""
        for group in range(GROUPS):
            self._hidden(group, hidden)
            self._mixed(f"prior.{group}.mix", hidden, narrow, ACTIVATION_MAX)
            self._mixed(f"prior.{group}.head", narrow, 2 * GROUP, self.one_of(2000, 20000, HEAD.high))
            self._symbols(group)
            most = min(self.one_of(400, 2000, 16000), (SUM_MAX - 128) // ACTIVATION_MAX)
            self.arrays[f"prior.{group}.gain"] = self.random.integers(-most // 4, most + 1, (QUALITIES, narrow))
        self._shape("prior")

    def _shape(self, part: str) -> None:
        """The table of cumulative probabilities and the scales."""
        if self.random.random() < 0.3:
            table = np.sort(self.random.integers(0, 65537, SEGMENTS + 1))
            scales = self.random.integers(1, self.one_of(3, 9000, INVERSE_MAX) + 1, SCALES)
        else:
            table, scales = logistic()
        self.arrays |= {f"{part}.cumulative": table, f"{part}.inverse_scale": scales}

    def _hidden(self, group: int, hidden: int) -> None:
        """What a group sees: sums of all tables stay within 2^24, as tables differ in signs and order alone."""
        around, before = TAPS * SEEN, 9 * 2 * GROUP * group
        peak = np.full(around + before, int(LOGS[-1]))
        weight, bias, _, shift = self.matrix(np.ones((around + before, hidden), bool), peak, ACTIVATION_MAX)
        tables = [self.random.permuted(weight[:around], axis=0) for _ in range(2 * len(GRIDS))]
        signs = self.random.choice([-1, 1], (2 * len(GRIDS), 1, hidden))
        self.arrays |= {
            f"prior.{group}.around": np.stack(tables) * signs,
            f"prior.{group}.bias": self.shares(bias, (QUALITIES, STEP_TABLES)),
            f"prior.{group}.shift": shift,
        }
        if group:
            self.arrays[f"prior.{group}.before"] = self._some_taps(weight[around:])

    def _some_taps(self, weight: Ints) -> Ints:
        """Weights of 3x3 taps, of which some are all 0."""
        taps = self.one_of(PLUS, PLUS, range(9), (), (0, 8))
        kept = np.isin(np.arange(9), list(taps))
        return weight * kept.repeat(len(weight) // 9)[:, None]

    def _mixed(self, name: str, inputs: int, outputs: int, target: int) -> None:
        weight, bias, quality, shift = self.matrix(np.ones((inputs, outputs), bool), np.full(inputs, ACTIVATION_MAX), target)
        self.arrays |= {f"{name}.weight": weight, f"{name}.bias": bias, f"{name}.shift": shift}
        self.arrays[f"{name}.quality"] = self.shares(quality, (QUALITIES,))

    def _symbols(self, group: int) -> None:
        """The linear part, and what the channels of a position see of each other."""
        inputs, before = TAPS * GROUP, 9 * GROUP * group
        share = self.random.standard_normal((inputs + before, GROUP)) ** self.one_of(1, 3)
        share *= self.random.random(share.shape) < self.one_of(0.1, 0.5, 1.0)
        most = self.one_of(LINEAR_MAX, 3000, 60000)
        weight = np.trunc(share * (most / np.maximum(np.abs(share).sum(axis=0), 1e-9))).astype(np.int64)
        tables = [self.random.permuted(weight[:inputs], axis=0) for _ in range(2 * len(GRIDS))]
        gain = self.one_of(500, 3000, SUM_MAX)
        channel = np.arange(2 * GROUP) % GROUP
        within = self.random.integers(-(most := self.one_of(300, 3000, SUM_MAX)), most + 1, (2 * GROUP, 2 * GROUP))
        self.arrays |= {
            f"prior.{group}.linear_around": np.stack(tables),
            f"prior.{group}.linear_gain": self.random.integers(-gain // 4, gain + 1, (QUALITIES, GROUP)),
            f"prior.{group}.within": within * (channel[:, None] < channel),
        }
        if group:
            self.arrays[f"prior.{group}.linear_before"] = self._some_taps(weight[inputs:])

    # ---- Pixel model ----

    def grey_pixels(self, width: int) -> None:
        """The arrays of a pixel model, whose layers have as many outputs at most."""
        widths = [self.integer(1, width) for _ in range(3)]
        components = self.one_of(1, 2, 5, COMPONENTS_MAX)
        tables = {"spread": (SPREADS,), "prediction": (PREDICTIONS,), "positions": (len(POSITIONS), EDGES), "error": (ERRORS,)}
        self._dense("enter", len(WINDOW), widths[0], INPUTS.high, ACTIVATION_MAX, tables)
        for k in range(2):
            self._dense(str(k), *widths[k : k + 2], ACTIVATION_MAX, ACTIVATION_MAX, {})
        heads = {"spread": (SPREADS,), "error": (ERRORS,)}
        self._dense("head", widths[2], 3 * components, ACTIVATION_MAX, self.one_of(2000, 20000, HEAD.high), heads)
        self._dense("linear", len(WINDOW), components, INPUTS.high, self.one_of(300, 30000, SUM_MAX), {})
        if self.random.random() < 0.5:
            self.arrays |= _factors()
        else:
            for factor in ("magnify", "amplitude"):
                most = self.one_of(300, 9000, FACTOR_MAX)
                self.arrays[f"pixels.{factor}"] = self.random.integers(0, most + 1, SPREADS)
        self._shape("pixels")

    def _dense(self, layer: str, inputs: int, outputs: int, peak: int, target: int, tables: dict[str, tuple[int, ...]]) -> None:
        """A layer and the tables that are added to its bias: the largest rows of all make up a second bias."""
        mask = np.ones((inputs, outputs), bool)
        weight, bias, others, shift = self.matrix(mask, np.full(inputs, peak), target)
        name = f"pixels.{layer}"
        self.arrays |= {f"{name}.weight": weight, f"{name}.bias": bias, f"{name}.shift": shift}
        for table, shape in tables.items():
            count = shape[0] if len(shape) > 1 else 1
            parts = [np.trunc(others * self.random.random(outputs) * 0.5 / count).astype(np.int64) for _ in range(count)]
            if table == "error":  # the last one: what is left
                parts = [others]
            others = others - np.sum(parts, axis=0)
            rows = np.stack([self.shares(part, shape[-1:]) for part in parts])
            self.arrays[f"{name}.{table}"] = rows.reshape(*shape, outputs)

    # ---- All ----

    def grey_file(self, pixels: bool = True, width: int = 20) -> bytes:
        """A model file.

        Args:
            pixels: whether it has a pixel model.
            width: of a layer of the pixel model at most.
        """
        bounds = self.random.integers(0, self.one_of(2, 9, 40, SYMBOL_MAX + 1), (QUALITIES, CHANNELS))
        if self.random.random() < 0.3:
            bounds[:, self.random.integers(0, GROUPS) * GROUP :][:, :GROUP] = 0  # a group that is not coded
        if self.random.random() < 0.3:
            bounds[:] = SYMBOL_MAX
        step_shift = self.integer(1, 14)
        step = min(self.one_of(1, 40, 1000, SUM_MAX), (SUM_MAX - (1 << step_shift)) // max(int(bounds.max()), 1))
        self.arrays["step"] = self.random.integers(-(step // 3), step + 1, (QUALITIES, CHANNELS))
        self.arrays["fine"] = self.random.integers(-50, self.one_of(200, 5000, SUM_MAX), (QUALITIES, CHANNELS))
        self.arrays["bounds"] = bounds
        self.arrays["curvature"] = self.random.integers(1, self.one_of(2, 3000, CURVATURE_MAX) + 1, (QUALITIES, CHANNELS))
        self.arrays["curvature"] = self.random.integers(1, self.one_of(2, 3000, CURVATURE_MAX), (QUALITIES, CHANNELS))
        self.arrays["lmbda"] = self.random.integers(0, self.one_of(2, 3000, 200000), QUALITIES)
        peak = (int((np.abs(self.arrays["step"]) * bounds).max()) >> step_shift) + 1
        meta = {
            "version": 1,
            "kind": "grey",
            "fine_shift": self.integer(1, 24),
            "step_shift": step_shift,
            "within_shift": self.one_of(1, 8, 8, 12),
            "analysis": self.grey_analysis(),
            "synthesis": self.grey_synthesis(peak),
        }
        self.grey_prior(self.integer(1, 20), self.integer(1, 20))
        if pixels:
            self.grey_pixels(width)
        return model_file(meta, self.arrays)


def logistic(units: int = 1 << 12) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The table and the inverse scales of logistic distributions, as trained models have them.

    Args:
        units: of the table in one scale.
    """
    distance = np.arange(SEGMENTS + 1) * 128 - (1 << 16)
    table = np.rint(65536 / (1 + np.exp(-distance / units))).astype(np.int64)
    return table, np.rint(units * 8192 / (512 * np.geomspace(0.03, 148, SCALES))).astype(np.int64)


@cache
def random_grey_model(seed: int, pixels: bool = True, width: int = 20, **options: Any) -> Model:
    """A model of random layers and weights, with sums that just reach their limits, read from its file."""
    random = np.random.default_rng(seed)
    options = {"largest": int(random.choice([100, 3000, SUM_MAX])), **options}
    return read_model(GreyMaker(random, **options).grey_file(pixels, width), f"random grey {seed}")


@cache
def plain_grey_model(seed: int = 0, channels: int = 16, hidden: int = 12, narrow: int = 8, blocks: int = 1) -> Model:
    """A model with the layers of a trained one: a transform close to the identity, and random small changes."""
    return read_model(plain_grey_file(seed, channels, hidden, narrow, blocks), f"plain grey {seed}")


@cache
def plain_grey_file(seed: int = 0, channels: int = 16, hidden: int = 12, narrow: int = 8, blocks: int = 1) -> bytes:
    """The file of :func:`plain_grey_model`."""
    random, arrays = np.random.default_rng(seed), {}

    def conv(name: str, kernel: int, weight: Ints, shift: int, to: list[int]) -> Described:
        outputs = weight.shape[1]
        arrays[f"{name}.weight"], arrays[f"{name}.shift"] = weight, np.full(outputs, shift)
        arrays[f"{name}.place"] = random.integers(-9, 10, (1, 1, outputs))
        arrays[f"{name}.quality"] = random.integers(-9, 10, (QUALITIES, outputs))
        return {"op": "conv", "name": name, "kernel": kernel, "to": to}

    def small(inputs: int, outputs: int, most: int) -> Ints:
        return random.integers(-most, most + 1, (inputs, outputs))

    def gain(name: str, outputs: int, low: int, high: int, to: list[int]) -> Described:
        arrays[f"{name}.factor"] = random.integers(low, high + 1, (QUALITIES, outputs))
        return {"op": "gain", "name": name, "to": to}

    def transform(name: str, enter_kernel: int, peak: int) -> Described:
        active, change = [0, ACTIVATION_MAX], [-ACTIVATION_MAX, ACTIVATION_MAX]
        layers = [conv(f"{name}.enter", enter_kernel, small(16 * enter_kernel**2, channels, 40), 5, active)]
        layers.append(gain(f"{name}.first", channels, 180, 330, active))
        for block in range(blocks):
            prefix = f"{name}.{block}"
            arrays[f"{prefix}.around.weight"] = small(25, channels, 60)
            arrays[f"{prefix}.around.bias"] = random.integers(-9, 10, channels)
            arrays[f"{prefix}.around.quality"] = random.integers(-99, 100, (QUALITIES, channels))
            arrays[f"{prefix}.around.shift"] = np.full(channels, 7)
            inner = [
                {"op": "depthwise", "name": f"{prefix}.around", "kernel": 5, "to": active},
                conv(f"{prefix}.up", 1, small(channels, channels, 60), 7, active),
                gain(f"{prefix}.gain", channels, 180, 330, active),
                conv(f"{prefix}.down", 1, small(channels, channels, 60), 7, change),
            ]
            layers.append({"op": "residual", "layers": inner, "to": active})
        layers.append(gain(f"{name}.last", channels, 180, 330, active))
        layers.append(conv(f"{name}.leave", 1, small(channels, 16, 9), 12, [-peak, peak]))
        identity = small(144, 16, 1)
        identity[64:80] += 64 * np.eye(16, dtype=np.int64)
        others = [conv(f"{name}.linear", 3, identity, 6, [-peak, peak])]
        return {"op": "parallel", "layers": layers, "others": others, "to": [-peak, peak]}

    arrays["centre.table"] = np.arange(256) - 128
    arrays["levels.factor"] = np.full((QUALITIES, 16), 256)
    spread = np.linspace(6, 0, QUALITIES)[:, None] + np.linspace(-0.5, 0.5, CHANNELS)  # the step of a symbol, as a logarithm
    steps = np.rint(64 * np.exp2(spread.clip(0, 6))).astype(np.int64)
    arrays["step"], arrays["fine"] = steps, np.rint(65536 * 64 / steps).astype(np.int64)
    arrays["bounds"] = np.clip(np.rint(140 * 64 / steps), 2, SYMBOL_MAX).astype(np.int64)
    arrays["bounds"][:5, 8:] = 0  # channels that low qualities do not code
    arrays["curvature"] = np.maximum(16 * (steps // 64) ** 2, 1)
    arrays["lmbda"] = np.rint(np.geomspace(20, 20000, QUALITIES)).astype(np.int64)
    arrays |= _plain_prior(random, hidden, narrow)
    arrays |= _plain_pixels(random)
    meta = {
        "version": 1,
        "kind": "grey",
        "fine_shift": 16,
        "step_shift": 6,
        "within_shift": 8,
        "analysis": [
            {"op": "space_to_depth", "size": 4},
            {"op": "lookup", "name": "centre", "low": 0},
            transform("analysis", 1, 1 << 17),
        ],
        "synthesis": [
            transform("synthesis", 3, 1 << 15),
            conv("middle", 1, 64 * np.eye(16, dtype=np.int64), 6, [-300, 300]),
            {"op": "lookup", "name": "grey", "low": -300},
            gain("levels", 16, 256, 256, [0, 255]),
            {"op": "depth_to_space", "size": 4},
        ],
    }
    arrays["grey.table"] = np.clip(np.arange(-300, 301) + 128, 0, 255)
    return model_file(meta, arrays)


def _plain_prior(random: np.random.Generator, hidden: int, narrow: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    channel = np.arange(2 * GROUP) % GROUP
    scale = (300 + 4 * np.arange(QUALITIES)) << 7  # high qualities have large symbols
    for group in range(GROUPS):
        name = f"prior.{group}"

        def small(*shape: int, most: int = 50) -> Ints:
            return random.integers(-most, most + 1, shape)

        kept = np.isin(np.arange(9), PLUS)
        arrays |= {
            f"{name}.around": small(8, TAPS * SEEN, hidden),
            f"{name}.bias": small(QUALITIES, STEP_TABLES, hidden, most=3000),
            f"{name}.shift": np.full(hidden, 5),
            f"{name}.mix.weight": small(hidden, narrow),
            f"{name}.mix.bias": small(narrow),
            f"{name}.mix.quality": small(QUALITIES, narrow, most=2000),
            f"{name}.mix.shift": np.full(narrow, 7),
            f"{name}.gain": random.integers(180, 330, (QUALITIES, narrow)),
            f"{name}.head.weight": small(narrow, 2 * GROUP, most=8),
            f"{name}.head.bias": np.zeros(2 * GROUP, np.int64),
            f"{name}.head.quality": np.repeat([[0, 1]], GROUP) * scale[:, None] + small(QUALITIES, 2 * GROUP),
            f"{name}.head.shift": np.full(2 * GROUP, 7),
            f"{name}.within": small(2 * GROUP, 2 * GROUP, most=900) * (channel[:, None] < channel),
            f"{name}.linear_around": small(8, TAPS * GROUP, GROUP, most=900),
            f"{name}.linear_gain": random.integers(10, 60, (QUALITIES, GROUP)),
        }
        if group:
            arrays[f"{name}.before"] = small(9 * 2 * GROUP * group, hidden) * kept.repeat(2 * GROUP * group)[:, None]
            arrays[f"{name}.linear_before"] = small(9 * GROUP * group, GROUP) * kept.repeat(GROUP * group)[:, None]
    table, scales = logistic()
    return arrays | {"prior.cumulative": table, "prior.inverse_scale": scales}


def _plain_pixels(random: np.random.Generator, width: int = 24, components: int = 3) -> dict[str, NDArray[Any]]:
    """A pixel model whose means are close to the prediction, and whose scales follow the spread."""

    def dense(
        name: str, inputs: int, outputs: int, most: int, shift: int, **tables: tuple[int, ...]
    ) -> dict[str, NDArray[Any]]:
        made = {
            "weight": random.integers(-most, most + 1, (inputs, outputs)),
            "bias": random.integers(-9, 10, outputs),
            "shift": np.full(outputs, shift),
        }
        made |= {key: random.integers(-4000, 4001, (*shape, outputs)) for key, shape in tables.items()}
        return {f"pixels.{name}.{key}": array for key, array in made.items()}

    outputs, shapes = 3 * components, {"spread": (SPREADS,), "error": (ERRORS,)}
    positions = (len(POSITIONS), EDGES)
    arrays = dense("enter", len(WINDOW), width, 60, 7, **shapes, prediction=(PREDICTIONS,), positions=positions)
    arrays |= dense("0", width, 17, 60, 7) | dense("1", 17, width, 60, 7)
    arrays |= dense("head", width, outputs, 30, 7, **shapes) | dense("linear", len(WINDOW), components, 30, 6)
    scale = 400 + 90 * np.log2(_spread_sizes())
    arrays["pixels.head.spread"][:, 2 * components :] += np.rint(128 * scale[:, None]).astype(np.int64)
    arrays |= _factors()
    arrays["pixels.cumulative"], arrays["pixels.inverse_scale"] = logistic(5000)
    return arrays


def _spread_sizes() -> NDArray[np.float64]:
    """The mean of the 8 differences of each spread."""
    return np.exp2(np.arange(SPREADS) / 4 - 3)


def _factors() -> dict[str, NDArray[Any]]:
    """Factors of a pixel model that make its inputs and outputs multiples of these differences."""
    factors = {"amplitude": 256 * _spread_sizes(), "magnify": 256 * 128 / _spread_sizes()}
    return {f"pixels.{name}": np.rint(factor).astype(np.int64) for name, factor in factors.items()}


def pictures(random: np.random.Generator, count: int, height: int, width: int) -> Pixels:
    """Grey levels of shape ``(count, height, width)``: smooth areas, strokes and noise."""
    rows, columns = np.mgrid[:height, :width]
    x = np.empty((count, height, width), np.uint8)
    for k in range(count):
        a, b, c = random.uniform(-1, 1, 3)
        wave = 128 + 100 * np.sin(a * rows + b * columns + 9 * c) * random.random()
        stroke = 255.0 * (np.abs(a * (rows - height / 2) + b * (columns - width / 2)) < 1.5)
        noise = random.integers(-40, 41, (height, width)) * (random.random() < 0.5)
        x[k] = np.clip(np.where(random.random() < 0.5, wave, stroke) + noise, 0, 255)
    return x


def some_symbols(
    random: np.random.Generator, model: Model, count: int, rows: int, columns: int, quality_index: int
) -> Integers:
    """Symbols within the bounds of a quality, shape ``(count, rows, columns, 16)``; most of them are small."""
    bounds = model.grey.prior.bounds[quality_index]
    share = random.uniform(-1, 1, (count, rows, columns, CHANNELS)) ** int(random.choice([1, 3, 9]))
    return np.rint(share * bounds).astype(np.int64)
