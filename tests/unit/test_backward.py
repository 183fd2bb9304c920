from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.entropy.cost import COST
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
from support.models import TILED

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
    quality_index = np.array([0, 1, 1])
    x = random.integers(-20, 20, (3, 4, 4, 4)).astype(np.float32)
    step = random.integers(-20, 20, x.shape).astype(np.float32)
    tapes = trace(layers, x, quality_index)
    assert (tapes[-1].out == forward(layers, x, quality_index)).all()
    g = random.integers(-GRADIENT_MAX, GRADIENT_MAX + 1, tapes[-1].out.shape).astype(np.float32)
    difference = ((forward(layers, x + step, quality_index) - tapes[-1].out) * g).sum(axis=(1, 2, 3))
    predicted = (backward(layers, tapes, g, quality_index) * step).sum(axis=(1, 2, 3))
    scale = np.abs(backward(layers, tapes, g, quality_index) * step).sum(axis=(1, 2, 3))
    assert (np.abs(predicted - difference) < 0.002 * scale).all()


def test_clipped_values_and_all_but_the_largest_have_no_gradient() -> None:
    random = np.random.default_rng(3)
    quality_index = np.zeros(1, np.int64)
    x = random.permutation(64).reshape(1, 4, 4, 4).astype(np.float32)
    pool = (MaxPool(),)
    tapes = trace(pool, x, quality_index)
    assert (backward(pool, tapes, np.ones((1, 2, 2, 4), np.float32), quality_index) != 0).sum() == 16
    clipped = (Gain("gain", np.full((1, 4), 256, np.float32), Range(0, 31)),)
    g = backward(clipped, trace(clipped, x, quality_index), np.ones_like(x), quality_index)
    assert (g == ((x > 0) & (x < 31))).all()


def test_sums_of_gradients_are_exact_whatever_their_order() -> None:
    random = np.random.default_rng(4)
    weight = (random.standard_normal((700, 30)) * 10.0 ** random.uniform(-6, 4, 30)).astype(np.float32)
    matmul = GradientMatmul.from_weights(weight)
    assert np.abs(matmul.weight).sum(axis=0).max() * GRADIENT_MAX <= SUM_MAX
    g = (random.standard_normal((5, 700)) * 10.0 ** random.uniform(-9, 9, (5, 1))).astype(np.float32)
    shuffled = random.permutation(700)
    result = matmul(g)
    assert (result == GradientMatmul(matmul.weight[shuffled], matmul.unit)(g[:, shuffled])).all()
    exact = g.astype(np.float64) @ weight.astype(np.float64)
    largest = np.abs(weight).sum(axis=0).argmax()  # small columns share the unit of the large ones
    scale = np.linalg.norm(g, axis=1) * np.linalg.norm(weight[:, largest])
    assert (np.abs(result - exact)[:, largest] < 0.03 * scale).all()
    assert (matmul(np.zeros((2, 700), np.float32)) == 0).all()


@pytest.mark.parametrize("name", TILED)
def test_gradient_predicts_the_cost_of_moving_a_symbol(name: str, digits: NDArray[np.uint8]) -> None:
    model = registry.shipped(name)
    random = np.random.default_rng(5)
    x, quality_index = digits[:40], np.full(40, 49)
    y = model.transforms.analyse(x, quality_index)
    _, prior_tape = model.prior.frequencies(y, quality_index)
    slope_of_bits = model.prior.back(prior_tape, y)
    x_hat, tapes = model.transforms.trace(y, quality_index)
    assert (x_hat == model.transforms.synthesize(y, quality_index)).all()
    slope_of_error = model.transforms.back(tapes, 2 * (x_hat - x), quality_index)
    predicted, measured = [], []
    for _ in range(20):
        s, images = random.integers(196, size=40), np.arange(40)
        pair = []
        for move in (-1, 1):
            moved = y.copy()
            moved[images, s] = np.clip(y[images, s] + move, *_ends(model))
            _, after = model.prior.intervals(moved, quality_index)
            later = np.arange(196) > s[:, None]
            error = (model.transforms.synthesize(moved, quality_index).astype(np.float64) - x) ** 2
            pair.append([(COST[after] * later).sum(axis=1) / 256, error.sum(axis=(1, 2))])
        measured.append((np.array(pair[1]) - np.array(pair[0])) / 2)  # central differences
        predicted.append(np.array([slope_of_bits[images, s], slope_of_error[images, s]]))
    bits, error = ([np.concatenate([part[kind] for part in parts]) for parts in (predicted, measured)] for kind in (0, 1))
    # A move by one is large, and some change the bits of later symbols by ten and more: the gradient predicts only the sign.
    assert (np.sign(bits[0]) == np.sign(bits[1])).mean() > 0.7
    assert np.corrcoef(*error)[0, 1] > 0.7


def _ends(model: registry.Model) -> tuple[int, int]:
    return model.transforms.symbols.low, model.transforms.symbols.high
