"""Random models that nobody trained: every kind of layer, extreme weights, and sums that just reach their limit."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.models.model import Model, read_model
from mnistzip.models.pixel.planes import Plane, input_peaks
from mnistzip.nn.exact import Range
from mnistzip.nn.layer_base import Layer, Signal
from mnistzip.nn.layers import Conv, Residual

SUM_MAX, ACTIVATION_MAX = 1 << 24, 1023
POSITIONS, SYMBOLS, QUALITIES = 49, 196, 100
OUTPUTS = {Plane.INK: 2, Plane.SOLID: 2, Plane.LEVEL: 8, Plane.SHADE: 288}

Ints = NDArray[np.int64]


@dataclass
class Shape:
    """A signal between two layers."""

    side: int
    channels: int
    low: int
    high: int

    @property
    def peak(self) -> int:
        return max(-self.low, self.high)


@dataclass
class ModelMaker:
    """Makes the parts of a model file from random numbers.

    Attributes:
        random: where all choices come from.
        fullness: the share of 2^24 that the sums of a matrix may reach.
        channels: of a layer at most.
        layers: random layers of each network at most, apart from those that lead to its output.
        largest: the largest weight.
        lonely: whether each input of a matrix reaches one output at most.
    """

    random: np.random.Generator
    fullness: Sequence[float] = (1e-4, 0.02, 0.5, 1.0)
    channels: int = 9
    layers: int = 4
    largest: int = SUM_MAX
    lonely: bool = False
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    _names: int = 0

    def integer(self, low: int, high: int) -> int:
        """Any of ``low..high``."""
        return int(self.random.integers(low, high + 1))

    def one_of(self, *choices: Any) -> Any:
        return choices[self.integer(0, len(choices) - 1)]

    # ---- Matrices ----

    def matrix(self, mask: NDArray[np.bool_], peak: Ints, target: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Weights, two biases, and shifts, whose sums stay within 2^24. Some of the sums reach it.

        Args:
            mask: which weights may be other than 0, shape ``(inputs, outputs)``.
            peak: the largest magnitude of each input, shape ``(inputs,)``.
            target: the size of outputs that makes a good input for what follows.
        """
        inputs, outputs = mask.shape
        budget = np.maximum(self.random.choice(self.fullness, outputs) * SUM_MAX, 4).astype(np.int64)
        # sums of so many bits come down to the target, more or less
        typical = np.log2(np.maximum(budget / max(target, 1) / np.sqrt(max(inputs, 1)), 1))
        shift = np.clip(np.rint(typical + self.random.integers(-2, 3, outputs)), 0, 24).astype(np.int64)
        shift = np.where(self.random.random(outputs) < 0.05, self.random.integers(0, 25, outputs), shift)
        half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
        shift = np.where(half < budget, shift, 0)
        budget = budget - np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
        of_bias = (budget * self.random.random((2, outputs)) * self.random.choice([0, 0.05, 0.4], (2, outputs))).astype(
            np.int64
        )
        bias = of_bias * self.random.choice([-1, 1], (2, outputs))
        share = self.random.standard_normal((inputs, outputs)) ** self.one_of(1, 3)
        share *= mask & (self.random.random((inputs, outputs)) < self.one_of(0.1, 0.5, 1.0))
        weighted = np.maximum(np.abs(share * peak[:, None]).sum(axis=0), 1e-9)
        if self.lonely:
            return self.diagonal(mask, peak, budget), np.zeros(outputs, np.int64), np.zeros(outputs, np.int64), shift
        weight = np.trunc(share * ((budget - of_bias.sum(axis=0)) / weighted))
        weight = weight.clip(-self.largest, self.largest).astype(np.int64)  # of inputs that are always 0, it may be anything
        left = budget - of_bias.sum(axis=0) - np.abs(weight * peak[:, None]).sum(axis=0)
        full = (left >= 0) & (self.random.random(outputs) < 0.5)
        bias[0] += np.where(full, left * np.where(bias[0] < 0, -1, 1), 0)  # the sum of all magnitudes is then the budget
        return weight, bias[0], bias[1], shift

    def diagonal(self, mask: NDArray[np.bool_], peak: Ints, budget: Ints) -> Ints:
        """Weights of which each input and each output has one at most: 32800 or half of that, and so on."""
        weight = np.zeros(mask.shape, np.int64)
        free = list(self.random.permutation(len(mask)))
        for output in range(mask.shape[1]):
            row = next((row for row in free if mask[row, output]), None)
            if row is None:
                continue
            free.remove(row)
            most = 32800
            while most * peak[row] > budget[output]:
                most //= 2
            weight[row, output] = self.one_of(-most, most)
        return weight

    # ---- Networks ----

    def name(self) -> str:
        self._names += 1
        return f"made.{self._names}"

    def conv(self, shape: Shape, outputs: int, low: int, high: int, kernel: int | None = None) -> dict[str, Any]:
        """A convolution; the shape becomes that of its output."""
        kernel = 1 if self.lonely else kernel or self.one_of(1, 1, 3, 3, 5, 7)
        name, inputs = self.name(), kernel**2 * shape.channels
        places = (shape.side, shape.side) if self.random.random() < 0.3 else (1, 1)
        peak = np.full(inputs, shape.peak)
        weight, place, quality, shift = self.matrix(np.ones((inputs, outputs), bool), peak, max(-low, high))
        self.arrays |= {
            f"{name}.weight": weight,
            f"{name}.place": self.shares(place, places),
            f"{name}.quality": self.shares(quality, (QUALITIES,)),
            f"{name}.shift": shift,
        }
        shape.channels, shape.low, shape.high = outputs, low, high
        return {"op": "conv", "name": name, "kernel": kernel, "to": [low, high]}

    def shares(self, largest: Ints, rows: tuple[int, ...]) -> Ints:
        """Rows of numbers, the largest magnitude of each column known."""
        share = self.random.uniform(-1, 1, (*rows, len(largest)))
        share[(0,) * len(rows)] = 1
        return np.trunc(share * largest).astype(np.int64)

    def output_range(self) -> tuple[int, int]:
        return self.one_of((0, 1023), (-255, 255), (-1, 5), (0, 0), (-40000, 40000), (-32768, 32767), (0, 1 << 20), (-500, 1))

    def gain(self, shape: Shape) -> dict[str, Any]:
        name, (low, high) = self.name(), self.output_range()
        most = (SUM_MAX - 128) // max(shape.peak, 1)
        most = most if self.random.random() < 0.1 else min(most, 600)
        factor = self.random.integers(-most // 4, most + 1, (QUALITIES, shape.channels))
        self.arrays[f"{name}.factor"] = np.clip(factor, -SUM_MAX, SUM_MAX)
        shape.low, shape.high = low, high
        return {"op": "gain", "name": name, "to": [low, high]}

    def lookup(self, shape: Shape, low: int, high: int) -> dict[str, Any] | None:
        if shape.high - shape.low > 5000:
            return None
        name, first = self.name(), shape.low - self.integer(0, 3)
        entries = shape.high - first + 1 + self.integer(0, 3)
        table = self.random.integers(low, high + 1, entries)
        if self.random.random() < 0.6:
            table.sort()
        self.arrays[f"{name}.table"] = table
        shape.low, shape.high = int(table.min()), int(table.max())
        return {"op": "lookup", "name": name, "low": first}

    def residual(self, shape: Shape, depth: int) -> dict[str, Any] | None:
        inner, before, arrays = Shape(**vars(shape)), Shape(**vars(shape)), dict(self.arrays)
        layers = [self.same_size(inner, depth + 1) for _ in range(self.integer(1, 2))]
        layers = [layer for layer in layers if layer is not None]
        if inner.channels != before.channels or not layers or self.random.random() < 0.3:
            room = SUM_MAX - before.peak
            low, high = self.output_range()
            layers.append(self.conv(inner, before.channels, max(low, -room), min(high, room)))
        if inner.peak + before.peak > SUM_MAX:
            self.arrays = arrays
            return None
        shape.low, shape.high = self.output_range()
        return {"op": "residual", "layers": layers, "to": [shape.low, shape.high]}

    def same_size(self, shape: Shape, depth: int = 0) -> dict[str, Any] | None:
        """A layer that keeps height and width, or None where the one that was drawn does not fit."""
        kind = self.one_of("conv", "conv", "gain", "lookup", "residual")
        if kind == "gain":
            return self.gain(shape)
        if kind == "lookup":
            return self.lookup(shape, *self.one_of((5, 9), (-300, 300), (0, 70000), (-9, -2)))
        if kind == "residual":
            return self.residual(shape, depth) if depth < 3 else None
        most = min(self.channels, 6000 // shape.side**2)
        return self.conv(shape, self.integer(1, max(most, 1)), *self.output_range())

    def resize(self, shape: Shape) -> dict[str, Any] | None:
        """A layer that changes height and width. Sides stay 7, 14, 21 or 28."""
        side, channels = shape.side, shape.channels
        ways: list[tuple[str, int]] = []
        if side in (14, 28):
            ways += [("max_pool", 2), ("space_to_depth", 2)]
        ways += [("space_to_depth", side // 7)] * (side > 14)
        ways += [("upsample", 2)] * (side in (7, 14) and side**2 * channels < 3000)
        ways += [("depth_to_space", size) for size in (2, 3, 4) if side * size <= 28 and channels % size**2 == 0]
        if not ways:
            return None
        kind, size = ways[self.integer(0, len(ways) - 1)]
        if kind == "space_to_depth" and channels * size**2 > 200:
            return None
        grow = kind in ("upsample", "depth_to_space")
        shape.side = side * size if grow else side // size
        if kind in ("max_pool", "upsample"):
            return {"op": kind}
        shape.channels = channels // size**2 if grow else channels * size**2
        return {"op": kind, "size": size}

    def walk(self, shape: Shape) -> list[dict[str, Any]]:
        """Some random layers."""
        kinds = [self.same_size if self.random.random() < 0.65 else self.resize for _ in range(self.integer(0, self.layers))]
        return [layer for kind in kinds if (layer := kind(shape)) is not None]

    def analysis(self) -> list[dict[str, Any]]:
        shape = Shape(28, 1, 0, 255)
        layers = self.walk(shape)
        if shape.side > 7:
            if shape.channels > 12:
                layers.append(self.conv(shape, 4, *self.output_range(), kernel=1))
            layers.append({"op": "space_to_depth", "size": shape.side // 7})
            shape.channels, shape.side = shape.channels * (shape.side // 7) ** 2, 7
        layers.append(self.conv(shape, 4, *self.output_range(), kernel=self.one_of(1, 3)))
        return layers

    def synthesis(self, peak: int) -> list[dict[str, Any]]:
        shape = Shape(7, 4, -peak, peak)
        layers = self.walk(shape)
        if shape.side == 21:
            layers += [self.conv(shape, 1, *self.output_range(), kernel=3), {"op": "space_to_depth", "size": 3}]
            shape.side, shape.channels = 7, 9
        size = 28 // shape.side
        if size > 1 and self.random.random() < 0.5 and shape.channels * 28**2 < 10000:
            layers += [{"op": "upsample"}] * (size // 2)
            shape.side, size = 28, 1
        with_table = self.random.random() < 0.3
        low, high = (-100, 200) if with_table else self.one_of((0, 255), (0, 255), (0, 7))
        layers.append(self.conv(shape, size**2, low, high, kernel=self.one_of(1, 3, 3, 5) if shape.channels < 30 else 1))
        if size > 1:
            layers.append({"op": "depth_to_space", "size": size})
        if with_table:
            layers += filter(None, [self.lookup(shape, *self.one_of((0, 255), (3, 250)))])
        return layers

    # ---- Prior ----

    def prior(self, a: int, b: int, low: int, high: int) -> None:
        """The arrays of a prior of ``a`` numbers for each position and ``b`` for each symbol."""
        values, symbol, peak = high - low + 1, np.arange(SYMBOLS), max(-low, high)
        near, far = np.repeat(np.arange(POSITIONS), a), np.repeat(symbol, b)
        inputs = np.full(SYMBOLS, peak)
        near_weight, _, near_bias, near_shift = self.matrix(symbol[:, None] // 4 < near, inputs, ACTIVATION_MAX)
        seen = np.concatenate([near[:, None] <= far // 4, symbol[:, None] < far])
        peaks = np.concatenate([np.full(len(near), ACTIVATION_MAX), inputs])
        of_far, _, far_bias, far_shift = self.matrix(seen, peaks, ACTIVATION_MAX)
        target = self.one_of(60, 600, 32767)  # logits: alphabets of about even probabilities, and of very uneven ones
        heads = [self.matrix(np.ones((b, values), bool), np.full(b, ACTIVATION_MAX), target) for _ in symbol]
        arrays = {
            "near_weight": near_weight,
            "far_weight": of_far[: len(near)],
            "skip_weight": of_far[len(near) :],
            "head_weight": np.stack([head[0] for head in heads]),
            "near_bias": self.shares(near_bias, (QUALITIES,)),
            "far_bias": self.shares(far_bias, (QUALITIES,)),
            "head_bias": np.stack([head[1] for head in heads]),
            "near_shift": near_shift,
            "far_shift": far_shift,
            "head_shift": np.stack([head[3] for head in heads]),
        }
        self.arrays |= {f"prior.{name}": array for name, array in arrays.items()}

    # ---- Pixel model ----

    def pixels(self, widths: Sequence[int], key_size: int) -> None:
        """The arrays of a pixel model, given the width of each plane."""
        for plane, width in zip(Plane, widths, strict=True):
            prefix = f"pixels.{plane.name.lower()}"
            peak = input_peaks(plane).astype(np.int64)
            for number in range(3):
                rows_and_columns = self.affine(f"{prefix}.{number}", peak, width, ACTIVATION_MAX)
                if number == 0:
                    self.arrays[f"{prefix}.rows"] = self.shares(rows_and_columns, (28,))
                    self.arrays[f"{prefix}.columns"] = self.shares(np.zeros(width, np.int64), (28,))
                    if self.random.random() < 0.5:
                        self.arrays[f"{prefix}.rows"], self.arrays[f"{prefix}.columns"] = (
                            self.arrays[f"{prefix}.columns"],
                            self.arrays[f"{prefix}.rows"],
                        )
                peak = np.full(width, ACTIVATION_MAX)
            self.affine(f"{prefix}.head", peak, OUTPUTS[plane], self.one_of(60, 600, 32767))
        self.affine("pixels.query", peak, key_size + 1, self.one_of(30, 255, 1000))
        self.affine("pixels.key", peak, key_size, self.one_of(30, 255))
        most = SUM_MAX // (255 * key_size) - 255
        most = most if self.random.random() < 0.2 else min(most, 200)
        self.arrays["pixels.levels"] = self.random.integers(-most, most + 1, (288, key_size))
        self.arrays["pixels.blank"] = self.random.integers(1, self.one_of(3, 30000, 65536), 784)

    def affine(self, name: str, peak: Ints, outputs: int, target: int) -> Ints:
        """A layer of the pixel model. Returns the largest magnitudes of a bias that may be added to it."""
        weight, bias, more, shift = self.matrix(np.ones((len(peak), outputs), bool), peak, target)
        self.arrays |= {f"{name}.weight": weight, f"{name}.bias": bias, f"{name}.shift": shift}
        return more

    # ---- All ----

    def file(self, pixels: bool = True) -> bytes:
        """A model file."""
        low, high = self.one_of((-127, 127), (-1, 1), (0, 0), (0, 1), (-self.integer(0, 40), self.integer(0, 40)), (-31, 31))
        peak = max(-low, high)
        step = self.one_of(1, 40, 1000, SUM_MAX // max(peak, 1))
        self.arrays["step"] = self.random.integers(-(step // 3), step + 1, (QUALITIES, 4))
        self.arrays["fine"] = self.random.integers(-50, self.one_of(200, 5000), (QUALITIES, 4))
        self.arrays["lmbda"] = self.random.integers(0, self.one_of(2, 3000, 200000), QUALITIES)
        meta: dict[str, Any] = {
            "version": 1,
            "symbols": [low, high],
            "fine_shift": self.integer(1, 14),
            "analysis": self.analysis(),
            "synthesis": self.synthesis(int(np.abs(self.arrays["step"]).max()) * peak),
        }
        self.prior(self.integer(1, 5), self.integer(1, 4), low, high)
        if pixels:
            meta["pixels"] = True
            self.pixels([self.integer(1, 40) for _ in Plane], self.one_of(1, 2, 7, 16, 32))
        return model_file(meta, self.arrays)


def model_file(meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """A model file of a description and arrays of integers."""
    whole = {name: array.astype(np.int32) for name, array in arrays.items()}
    out = io.BytesIO()
    np.savez(out, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **whole)  # type: ignore[arg-type]
    return out.getvalue()


def random_model(seed: int, pixels: bool = True, **options: Any) -> Model:
    """A model of random layers and weights, read from its file."""
    random = np.random.default_rng(seed)
    options = {"largest": int(random.choice([100, 3000, SUM_MAX])), **options}
    return read_model(ModelMaker(random, **options).file(pixels), f"random {seed}")


def wide_gradients(seed: int) -> Model:
    """A model whose rounded weights of gradients need more than 16 bits: each of its inputs reaches few outputs."""
    maker = ModelMaker(np.random.default_rng(seed), fullness=(1.0,), lonely=True)
    maker.arrays["step"] = np.full((QUALITIES, 4), 15)
    maker.arrays["fine"] = np.full((QUALITIES, 4), 3)
    maker.arrays["lmbda"] = maker.random.integers(0, 3000, QUALITIES)
    shape = Shape(7, 4, -15, 15)
    first = maker.conv(shape, 4, -500, 500)
    last = maker.conv(shape, 16, 0, 255)
    meta = {
        "version": 1,
        "symbols": [-1, 1],
        "fine_shift": 8,
        "analysis": maker.analysis(),
        "synthesis": [first, last, {"op": "depth_to_space", "size": 4}],
    }
    maker.prior(1, 1, -1, 1)
    return read_model(model_file(meta, maker.arrays), f"wide gradients {seed}")


def features(model: Model) -> set[str]:
    """What is unusual about a model, for tests of the variety of random ones."""
    found: set[str] = set()

    def layer_features(layers: Sequence[Layer], signal: Signal, depth: int, where: str) -> None:
        for layer in layers:
            found.add(f"{layer.kind} in {where}")
            found.add(f"depth {depth}")
            if isinstance(layer, Conv):
                weight = np.rint(layer.weight / layer.unit)
                bias = np.abs(layer.position_bias).max(axis=(0, 1)) + np.abs(layer.quality_bias).max(axis=0)
                sums = np.abs(weight).sum(axis=0) * signal.values.peak + np.rint(bias / layer.unit)
                found.add(f"kernel {layer.kernel}")
                found.add("odd channels" if signal.channels % 2 else "even channels")
                found.add(f"bias of {'one place' if layer.position_bias.shape[0] == 1 else 'each place'}")
                found.update(f"shift {int(-np.log2(unit))}" for unit in layer.unit)
                found.update({"sum of 2^24"} if (sums == SUM_MAX).any() else ())
                found.update({"wide weights"} if np.abs(weight).max() > 32767 else ())
                found.update({"wide inputs"} if signal.values.peak > 32767 else ())
                if where == "synthesis" and np.abs(layer.gradient_matmul.weight).max() > 32767:
                    found.add("wide gradient of a convolution")
            if isinstance(layer, Residual):
                layer_features(layer.layers, signal, depth + 1, where)
            signal = layer.infer(signal)
            if signal.values.low > 0 or signal.values.high < 0:
                found.add("a range without 0")

    transforms, prior = model.transforms, model.prior
    peak = int(np.abs(transforms.step).max()) * transforms.symbols.peak
    layer_features(transforms.analysis, Signal(Range(0, 255), 28, 28, 1), 0, "analysis")
    layer_features(transforms.synthesis, Signal(Range(-peak, peak), 7, 7, 4), 0, "synthesis")
    found.add(f"near {prior.near_weight.shape[1] // POSITIONS}")
    found.add(f"far {prior.head_weight.shape[1]}")
    if np.abs(np.rint(prior.near_weight / prior.near_unit)).max() > 32767:
        found.add("wide prior")
    for name, gradient in zip(
        ("far to near", "near to symbols", "far to symbols", "logits to far"), prior.gradient_matmuls, strict=True
    ):
        found.update({f"wide gradient of {name}"} if np.abs(gradient.weight).max() > 32767 else ())
    if model.has_pixel_model:
        found.add(f"key of {model.pixels.copying.levels.shape[1]}")
        for net in model.pixels.nets:
            found.add(f"{'odd' if net.rows.shape[1] % 2 else 'even'} width")
            first = net.layers[0]
            if np.abs(np.rint(first.weight / first.unit)).max() > 32767:
                found.add(f"wide plane {net.plane.name}")
    return found
