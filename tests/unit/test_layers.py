from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mnistzip.errors import ModelError
from mnistzip.nn.exact import SUM_MAX, Range, check_exact
from mnistzip.nn.layer_base import Signal, forward, infer
from mnistzip.nn.layers import (
    LAYER_KINDS,
    Conv,
    DepthToSpace,
    Gain,
    Lookup,
    MaxPool,
    Residual,
    SpaceToDepth,
    Upsample,
)
from mnistzip.types import Floats

QUALITY_INDEX = np.array([0, 1])
ACTIVATIONS = Range(0, 1023)
PLAIN = Signal(Range(0, 255), 6, 6, 2)


def conv(weight: Floats, shift: int = 3, kernel: int = 3, to: Range = ACTIVATIONS) -> Conv:
    outputs = weight.shape[1]
    position_bias = np.arange(outputs, dtype=np.float32).reshape(1, 1, outputs)
    quality_bias = np.arange(2 * outputs, dtype=np.float32).reshape(2, outputs)
    shifts = np.full(outputs, shift, np.float32)
    return Conv.from_integers("conv", kernel, weight, position_bias, quality_bias, shifts, to)


def reference(x: Floats, weight: Floats, shift: int, kernel: int = 3) -> np.ndarray:
    """The same convolution, one position at a time, in Python's integers."""
    n, h, w, c = x.shape
    out = np.zeros((n, h, w, weight.shape[1]), np.int64)
    wide = weight.astype(int).reshape(kernel, kernel, c, -1)
    middle = kernel // 2
    for image, i, j, o in np.ndindex(out.shape):
        total = o + image * weight.shape[1] + o
        for a in range(kernel):
            for b in range(kernel):
                y, z = i + a - middle, j + b - middle
                if 0 <= y < h and 0 <= z < w:
                    total += int(x[image, y, z].astype(int) @ wide[a, b, :, o])
        out[image, i, j, o] = min(max((total + (1 << (shift - 1))) >> shift, 0), 1023)
    return out


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 1000), shift=st.integers(1, 6), kernel=st.sampled_from([1, 3, 5, 7]), inputs=st.sampled_from([2, 24])
)
def test_convolution_equals_integer_arithmetic(seed: int, shift: int, kernel: int, inputs: int) -> None:
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (2, 4, 5, inputs)).astype(np.float32)
    weight = random.integers(-40, 41, (kernel**2 * inputs, 3)).astype(np.float32)
    assert (conv(weight, shift, kernel).forward(x, QUALITY_INDEX) == reference(x, weight, shift, kernel)).all()


def test_order_of_summation_does_not_matter_within_the_bound() -> None:
    random = np.random.default_rng(3)
    inputs = 4096
    weight = random.integers(-8, 9, inputs).astype(np.float32)
    x = random.integers(0, 500, inputs).astype(np.float32)
    check_exact("layer", weight[:, None], 500, 0)
    sums = {float(np.add.accumulate((weight * x)[random.permutation(inputs)])[-1]) for _ in range(20)}
    assert sums == {float(weight.astype(int) @ x.astype(int))}


def test_weights_that_could_pass_the_exact_range_are_refused() -> None:
    weight = np.full((18, 1), 1000, np.float32)
    fits = SUM_MAX // (18 * 1000) - 1
    conv(weight).infer(Signal(Range(0, fits), 4, 4, 2))
    with pytest.raises(ModelError, match="stops being exact"):
        conv(weight).infer(Signal(Range(0, fits + 2), 4, 4, 2))
    with pytest.raises(ModelError):
        check_exact("nan", np.full((1, 1), np.nan, np.float32), 1, 0)


@pytest.mark.parametrize(
    "layer",
    [
        conv(np.zeros((17, 3), np.float32)),
        Gain("gain", np.zeros((2, 3), np.float32), Range(0, 1)),
        Lookup("table", 0, np.zeros(255, np.float32)),
        SpaceToDepth(4),
        DepthToSpace(2),
        Residual((conv(np.zeros((18, 3), np.float32)),), Range(0, 1)),
    ],
)
def test_layers_that_do_not_fit_together_are_refused(layer: object) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        infer([layer], PLAIN)  # type: ignore[list-item]


@pytest.mark.parametrize("layer", [MaxPool(), SpaceToDepth(2)])
@pytest.mark.parametrize("sides", [(5, 4), (4, 5)])
def test_odd_images_cannot_be_pooled_or_folded(layer: MaxPool | SpaceToDepth, sides: tuple[int, int]) -> None:
    with pytest.raises(ModelError):
        layer.infer(Signal(Range(0, 1), *sides, 1))


def test_space_to_depth_and_back_loses_no_pixel() -> None:
    x = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8, 1)
    folded = SpaceToDepth(4).forward(x, QUALITY_INDEX)
    assert folded.shape == (2, 2, 2, 16)
    assert folded[0, 0, 0].tolist() == x[0, :4, :4, 0].ravel().tolist()
    assert (DepthToSpace(4).forward(folded, QUALITY_INDEX) == x).all()


def test_pooling_and_upsampling_are_what_their_names_say() -> None:
    x = np.arange(32, dtype=np.float32).reshape(2, 4, 4, 1)
    assert MaxPool().forward(x, QUALITY_INDEX)[0, :, :, 0].tolist() == [[5, 7], [13, 15]]
    assert Upsample().forward(x[:, :1, :2], QUALITY_INDEX)[0, :, :, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_each_image_gets_the_gain_of_its_own_quality() -> None:
    gain = Gain("gain", np.array([[256], [128]], np.float32), Range(0, 50))
    x = np.full((2, 1, 1, 1), 61, np.float32)
    assert gain.forward(x, QUALITY_INDEX).ravel().tolist() == [50, 31]  # clipped; 30.5 rounds up


def test_residual_adds_and_clips() -> None:
    layers = (Residual((Lookup("table", 0, np.arange(256, dtype=np.float32) * -2),), Range(-100, 100)),)
    x = np.array([[10], [200]], np.float32).reshape(2, 1, 1, 1)
    assert infer(layers, Signal(Range(0, 255), 1, 1, 1)).values == Range(-100, 100)
    assert forward(layers, x, QUALITY_INDEX).ravel().tolist() == [-10, -100]


def test_a_residual_does_not_change_its_input() -> None:
    x = np.full((1, 1, 1, 4), 10, np.float32)
    inner = (DepthToSpace(2), SpaceToDepth(2))  # of one position: a view of the input
    assert Residual((Residual(inner, Range(0, 99)),), Range(0, 99)).forward(x, QUALITY_INDEX[:1]).tolist() == [[[[30.0] * 4]]]
    assert (x == 10).all()


def test_a_copy_of_a_layer_computes_the_same_and_layers_can_be_keys() -> None:
    layer = conv(np.ones((18, 3), np.float32))
    copy = replace(layer, name="copy")
    x = np.arange(2 * 4 * 4 * 2, dtype=np.float32).reshape(2, 4, 4, 2)
    assert (copy.forward(x, QUALITY_INDEX) == layer.forward(x, QUALITY_INDEX)).all()
    assert {layer: 1, copy: 2}[layer] == 1


def test_the_kinds_of_layers_in_model_files_keep_their_names() -> None:
    assert {kind: layer.keys for kind, layer in LAYER_KINDS.items()} == {
        "space_to_depth": ("size",),
        "depth_to_space": ("size",),
        "max_pool": (),
        "upsample": (),
        "conv": ("name", "kernel", "to"),
        "gain": ("name", "to"),
        "depthwise": ("name", "kernel", "to"),
        "residual": ("layers", "to"),
        "parallel": ("layers", "others", "to"),
        "lookup": ("name", "low"),
    }
