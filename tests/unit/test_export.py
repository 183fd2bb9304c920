"""The parts of an export: packed weights, the memory of networks, and the text of constants."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.errors import ModelError
from mnistzip.export.c_header import c_header
from mnistzip.export.c_source import LINE, Source
from mnistzip.export.memory_plan import Step, plan
from mnistzip.export.weights import WIDTHS, Packed, pack
from mnistzip.models import registry
from mnistzip.models.model import read_model
from mnistzip.models.transforms import GREY_LEVELS
from mnistzip.nn.layer_base import Signal
from mnistzip.nn.layers import Gain, Residual
from support import forge


def unpack(packed: Packed, shapes: list[tuple[int, int]]) -> list[NDArray[np.int64]]:
    """The matrices of packed weights, as micro.c reads them."""
    values, excess = iter(packed.values.tolist()), iter(packed.excess.tolist())
    matrices = []
    for (inputs, outputs), count in zip(shapes, packed.excesses, strict=True):
        matrix, first = np.zeros((inputs, outputs), np.int64), 0
        while first < outputs:
            width = next(width for width in WIDTHS if first + width <= outputs)
            matrix[:, first : first + width] = np.reshape([next(values) for _ in range(width * inputs)], (inputs, width))
            first += width
        if packed.is_narrow:
            for _ in range(count):
                i, o, high = next(excess)
                matrix[i, o] += 256 * high
        matrices.append(matrix)
    assert next(values, None) is None
    return matrices


@pytest.mark.parametrize("largest", [100, 130, 32767])
def test_packed_weights_are_those_that_were_packed(largest: int) -> None:
    random, shapes = np.random.default_rng(3), [(0, 10), (7, 31), (1, 5), (40, 8)]
    matrices = [random.integers(-128, 128, shape) for shape in shapes]
    matrices[1][2, 30] = -largest
    matrices[3][39, 7] = largest
    packed = pack("weights", matrices, peak=1023)
    assert packed.is_narrow == (largest < 32767)  # 32767 is 128 * 256 - 1, and 128 needs more than 8 bits
    for got, expected in zip(unpack(packed, shapes), matrices, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_weights_stay_in_16_bits_where_8_bits_would_take_more_or_their_sums_could_overflow() -> None:
    random = np.random.default_rng(4)
    assert not pack("large", [random.integers(-30000, 30000, (50, 8))], peak=1023).is_narrow
    small = random.integers(-128, 128, (600, 8))
    assert pack("small", [small], peak=1023).is_narrow
    assert not pack("small", [small], peak=32767).is_narrow


def every_step(steps: tuple[Step, ...]) -> list[Step]:
    return [each for step in steps for each in (step, *every_step(step.inner))]


def test_no_layer_writes_over_what_is_still_needed() -> None:
    planned = plan(registry.shipped("mnist-fast").transforms.analysis, Signal(GREY_LEVELS, 28, 28, 1))
    previous = None
    for step in planned.steps:
        assert step.to.end <= planned.size
        assert step.to.size >= step.output.size
        if isinstance(step.layer, Residual):
            assert previous is not None
            kept = previous.to
            assert all(inner.to.end <= kept.start or inner.to.start >= kept.end for inner in every_step(step.inner))
        elif previous is not None and not isinstance(step.layer, Gain):
            assert step.to.end <= previous.to.start or step.to.start >= previous.to.end
        previous = step
    largest = max(step.output.size for step in every_step(planned.steps))
    assert planned.size <= 3 * largest


def test_arrays_of_constants_have_all_numbers_and_short_lines() -> None:
    source = Source("a")
    numbers = np.random.default_rng(5).integers(-(1 << 31), 1 << 31, 1000)
    assert source.array("int32_t", "b", numbers) == "a_b"
    assert source.size == 4000
    first, *lines, last = source.text.splitlines()
    assert (first, last) == ("static const int32_t a_b[] = {", "};")
    assert [int(number) for number in "".join(lines).split(",")] == numbers.tolist()
    assert max(map(len, lines)) <= LINE + 4
    assert source.array("int8_t", "empty", np.zeros(0, np.int64)) == "NULL"
    with pytest.raises(ModelError, match="a big has numbers from 0 to 300: they do not fit uint8_t"):
        source.array("uint8_t", "a big", np.array([0, 300]))


def test_models_that_cannot_be_exported_are_refused_with_a_reason() -> None:
    with pytest.raises(ModelError, match="grey codes whole images"):
        c_header(registry.shipped("grey"), "codec", range(25, 26))
    with pytest.raises(ModelError, match="mnist-bitmap codes the bitmaps of digits"):
        c_header(registry.shipped("mnist-bitmap"), "codec", range(25, 26))
    with pytest.raises(ModelError, match="heavy: weights of more than 16 bits cannot be exported"):
        pack("heavy", [np.array([[40_000]])], peak=1)
    first, arrays = forge.conv("made.first", np.ones((4, 16), np.int8), to=(0, 40_000))
    last, more = forge.conv("made.last", np.ones((16, 16), np.int8), to=(0, 255))
    loud = read_model(forge.model([first, last, {"op": "depth_to_space", "size": 4}], arrays | more), "loud")
    with pytest.raises(ModelError, match="a layer of the kind conv has values of more than 16 bits"):
        c_header(loud, "codec", range(25, 26))
    first, arrays = forge.conv("made.first", np.ones((4, 16), np.int8), to=(0, 255))
    arrays |= {"step": np.full((100, 4), 2000, np.int16)}
    steep = read_model(forge.model([first, {"op": "depth_to_space", "size": 4}], arrays), "steep")
    with pytest.raises(ModelError, match="steep: symbols times steps of more than 16 bits cannot be exported"):
        c_header(steep, "codec", range(25, 26))
    assert c_header(steep, "codec", range(25, 26), decoder=False).model_bytes > 0


def test_an_export_is_the_same_each_time_and_grows_with_its_qualities() -> None:
    model = read_model(forge.every_op(), "every_op")
    one, same, ten = (c_header(model, "codec", qualities) for qualities in (range(5, 6), range(5, 6), range(5, 15)))
    assert one == same
    per_quality = 4 + 16 + 16 + 4 * (49 + 196) + 4 * 4 * (16 + 16 + 8 + 1)
    assert one.model_bytes < ten.model_bytes <= one.model_bytes + 9 * per_quality + 9 * 4 * 100
