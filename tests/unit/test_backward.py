from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.coding.latent_cost import COST
from mnistzip.models import registry
from mnistzip.nn.backward import GRADIENT_MAX, GradientMatmul
from mnistzip.nn.exact import SUM_MAX, Range
from mnistzip.nn.layer_base import Layer, backward, forward, trace
from mnistzip.nn.layers import (
    Conv,
    DepthToSpace,
    Gain,
    Lookup,
    MaxPool,
    Residual,
    SpaceToDepth,
    Upsample,
)

WIDE = Range(-(1 << 20), 1 << 20)


def conv(random: np.random.Generator, inputs: int, outputs: int, kernel: int, to: Range = WIDE) -> Conv:
    weight = random.integers(-9, 10, (kernel * kernel * inputs, outputs)).astype(np.float32)
    position_bias, quality_bias = np.zeros((1, 1, outputs), np.float32), np.zeros((2, outputs), np.float32)
    return Conv.from_integers("conv", kernel, weight, position_bias, quality_bias, np.zeros(outputs, np.float32), to)


def chains() -> dict[str, tuple[Layer, ...]]:
    random = np.random.default_rng(1)
    gains = np.array([[512, 256, 768, 256], [256, 1024, 256, 512]], np.float32)
    return {
        "convolutions": (conv(random, 4, 6, 3), conv(random, 6, 4, 1)),
        "residual and gain": (Residual((conv(random, 4, 4, 3), Gain("gain", gains, WIDE)), WIDE),),
        "rearranging": (DepthToSpace(2), Upsample(), SpaceToDepth(4), conv(random, 16, 3, 1)),
        "table": (Lookup("table", -64, 3 * np.arange(-64, 64, dtype=np.float32)), conv(random, 4, 2, 3)),
    }


@pytest.mark.parametrize("name", chains())
def test_gradient_of_linear_layers_is_the_difference_they_make(name: str) -> None:
    random = np.random.default_rng(2)
    layers = chains()[name]
    row = np.array([0, 1, 1])
    x = random.integers(-20, 20, (3, 4, 4, 4)).astype(np.float32)
    step = random.integers(-20, 20, x.shape).astype(np.float32)
    tapes = trace(layers, x, row)
    assert (tapes[-1].out == forward(layers, x, row)).all()
    g = random.integers(-GRADIENT_MAX, GRADIENT_MAX + 1, tapes[-1].out.shape).astype(np.float32)
    made = ((forward(layers, x + step, row) - tapes[-1].out) * g).sum(axis=(1, 2, 3))
    told = (backward(layers, tapes, g, row) * step).sum(axis=(1, 2, 3))
    scale = np.abs(backward(layers, tapes, g, row) * step).sum(axis=(1, 2, 3))
    assert (np.abs(told - made) < 0.002 * scale).all()


def test_clipped_values_and_all_but_the_largest_have_no_gradient() -> None:
    random = np.random.default_rng(3)
    row = np.zeros(1, np.int64)
    x = random.permutation(64).reshape(1, 4, 4, 4).astype(np.float32)
    pool = (MaxPool(),)
    tapes = trace(pool, x, row)
    assert (backward(pool, tapes, np.ones((1, 2, 2, 4), np.float32), row) != 0).sum() == 16
    clipped = (Gain("gain", np.full((1, 4), 256, np.float32), Range(0, 31)),)
    g = backward(clipped, trace(clipped, x, row), np.ones_like(x), row)
    assert (g == ((x > 0) & (x < 31))).all()


def test_sums_of_gradients_are_exact_whatever_their_order() -> None:
    random = np.random.default_rng(4)
    weight = (random.standard_normal((700, 30)) * 10.0 ** random.uniform(-6, 4, 30)).astype(np.float32)
    product = GradientMatmul.from_weights(weight)
    assert np.abs(product.weight).sum(axis=0).max() * GRADIENT_MAX <= SUM_MAX
    g = (random.standard_normal((5, 700)) * 10.0 ** random.uniform(-9, 9, (5, 1))).astype(np.float32)
    shuffled = random.permutation(700)
    there = product(g)
    assert (there == GradientMatmul(product.weight[shuffled], product.unit)(g[:, shuffled])).all()
    exact = g.astype(np.float64) @ weight.astype(np.float64)
    largest = np.abs(weight).sum(axis=0).argmax()  # small columns share the unit of the large ones
    scale = np.linalg.norm(g, axis=1) * np.linalg.norm(weight[:, largest])
    assert (np.abs(there - exact)[:, largest] < 0.03 * scale).all()
    assert (product(np.zeros((2, 700), np.float32)) == 0).all()


@pytest.mark.parametrize("name", registry.SHIPPED)
def test_gradient_foretells_what_moving_a_symbol_costs(name: str, digits: NDArray[np.uint8]) -> None:
    model = registry.shipped(name)
    random = np.random.default_rng(5)
    x, row = digits[:40], np.full(40, 49)
    y = model.transforms.analyse(x, row)
    _, prior_tape = model.prior.frequencies(y, row)
    slope_of_bits = model.prior.back(prior_tape, y)
    x_hat, tapes = model.transforms.trace(y, row)
    assert (x_hat == model.transforms.synthesize(y, row)).all()
    slope_of_error = model.transforms.back(tapes, 2 * (x_hat - x), row)
    told, made = [], []
    for _ in range(20):
        s, everyone = random.integers(196, size=40), np.arange(40)
        pair = []
        for move in (-1, 1):
            moved = y.copy()
            moved[everyone, s] = np.clip(y[everyone, s] + move, *_ends(model))
            _, after = model.prior.intervals(moved, row)
            later = np.arange(196) > s[:, None]
            error = (model.transforms.synthesize(moved, row).astype(np.float64) - x) ** 2
            pair.append([(COST[after] * later).sum(axis=1) / 256, error.sum(axis=(1, 2))])
        made.append((np.array(pair[1]) - np.array(pair[0])) / 2)  # central differences
        told.append(np.array([slope_of_bits[everyone, s], slope_of_error[everyone, s]]))
    bits, error = ([np.concatenate([part[kind] for part in parts]) for parts in (told, made)] for kind in (0, 1))
    # A move by one is large, and a few change later symbols' bits by ten and more: the gradient tells if they rise or fall.
    assert (np.sign(bits[0]) == np.sign(bits[1])).mean() > 0.7
    assert np.corrcoef(*error)[0, 1] > 0.7


def _ends(model: registry.Model) -> tuple[int, int]:
    return model.transforms.symbols.low, model.transforms.symbols.high
