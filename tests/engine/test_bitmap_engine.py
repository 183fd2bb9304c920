"""Models of the kind ``bitmap``: every engine computes the same for bitmaps of any size, and damage is refused or harmless."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from mnistzip.engines.interface import Engine, Intervals
from mnistzip.engines.native_engine import BITMAPS_OF_CALL, NativeEngine
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.errors import FormatError, ModelError
from mnistzip.models import prepared, stored_models
from mnistzip.models.bitmap.bitmap_model import SIZES
from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, BITMAP_SIDE_MIN, Bitmap
from mnistzip.models.model import read_model
from mnistzip.nn.exact import Range
from support import forge
from support.binding_arguments import ArgumentTests
from support.bitmap_models import a_bitmap, bitmap_file, random_bitmap_model
from support.engine_cases import Comparison, damaged, final_states
from support.engines import EXTENSION, INSTRUCTIONS, NATIVE_ENGINES, needs_extension
from support.grey_models import random_grey_model
from support.paths import ROOT
from support.random_models import random_model

ENGINES: list[Engine] = [NUMPY, *NATIVE_ENGINES]
SEED = 1  # of the model whose arrays are changed: no layer of it is all 0
NARROW = 100  # its largest weight

pytestmark = needs_extension


# ---- Equal results ----


def joined(symbols: Sequence[Intervals]) -> Intervals:
    """The symbols of the bitmaps of a stream."""
    nothing = np.zeros(0, np.uint16)
    return Intervals(*(np.concatenate([nothing, *(each[k] for each in symbols)]) for k in range(2)))


def compare_bitmaps(compare: Comparison, random: np.random.Generator, streams: Sequence[Sequence[Bitmap]]) -> None:
    """Bitmaps of streams, there and back, and damaged streams."""
    model = compare.model
    symbols = [compare("bitmap_symbols", lambda engine, each=each: engine.bitmap_symbols(model, each)) for each in streams]
    checks = random.integers(0, 1 << 32, len(streams))
    coded = compare("encode_streams", lambda engine: engine.encode_streams([joined(each) for each in symbols], checks))
    counts = [len(each) for each in streams]

    def decode(engine: Engine, coded: Sequence[bytes]) -> Any:
        decoded, possible, final = engine.decode_bitmaps(model, coded, counts)
        return [[tuple(bitmap) for bitmap in each] for each in decoded], possible, final_states(final), final.verify(checks)

    decoded, possible, _, passed = compare("decode_bitmaps", lambda engine: decode(engine, coded))
    assert passed.all()
    assert all(possible)
    for each, bitmaps in zip(decoded, streams, strict=True):
        for (ink, shift), bitmap in zip(each, bitmaps, strict=True):
            assert np.array_equal(ink, bitmap.ink)
            assert shift == bitmap.shift
    broken = damaged(random, coded)
    compare("decode_bitmaps of damage", lambda engine: decode(engine, broken))


SHAPES = (
    (20, 1),
    (1, 20),
    (20, 20),
    (20, 8),
    (9, 20),
    (21, 20),
    (54, 63),
    (64, 65),
    (118, 119),
    (128, 1),
    (1, 128),
    (128, 128),
)


@pytest.mark.parametrize("size", SHAPES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_engines_agree_on_bitmaps_of_any_size(size: tuple[int, int]) -> None:
    random, model = np.random.default_rng(size), random_bitmap_model(SEED)
    compare_bitmaps(Comparison(model, ENGINES, model.name), random, [[a_bitmap(random, size)] for _ in range(2)])


def compare_random(seed: int, width: int) -> None:
    random, model = np.random.default_rng([seed, 1]), random_bitmap_model(seed, width)
    compare = Comparison(model, ENGINES, f"random_bitmap_model({seed}, {width})")
    compare_bitmaps(compare, random, [[a_bitmap(random) for _ in range(count)] for count in (1, 0, 2)])


@pytest.mark.parametrize("seed", range(16))
def test_engines_agree_on_random_models(seed: int) -> None:
    compare_random(seed, [5, 40, 120][seed % 3])


@pytest.mark.slow
@pytest.mark.parametrize("width", [17, 100, 512])
@pytest.mark.parametrize("seed", range(16, 40))
def test_engines_agree_on_many_random_models(seed: int, width: int) -> None:
    compare_random(seed, width)


@pytest.mark.parametrize("weight", [1, -1])
@pytest.mark.parametrize("odd", range(2))
def test_engines_agree_on_bitmaps_of_most_runs(weight: int, odd: int) -> None:
    """Every second pixel is ink, so all sums of the first layer have as many parts as any."""
    width, window = 16, 200
    arrays = {
        "enter.weight": np.full((window, width), weight * (((1 << 24) - (1 << 13)) // window)),
        "enter.bias": np.zeros(width),
        "enter.shift": np.full(width, 14),
        "enter.edges": np.zeros((4, 64, width)),
        "enter.sizes": np.zeros((2, SIZES, width)),
        "0.weight": np.ones((width, width)),
        "0.bias": np.zeros(width),
        "0.shift": np.full(width, 4),
        "1.weight": np.ones((width, 1)),
        "1.bias": np.zeros(1),
        "1.shift": np.full(1, 4),
        "head.weight": np.ones((1, 1)),
        "head.bias": np.full(1, -500),
        "head.shift": np.zeros(1),
    }
    content = forge.with_arrays(bitmap_file(SEED), {name: array.astype(np.int32) for name, array in arrays.items()})
    model = read_model(content, "of one weight")
    lines = np.arange(60) % 2 == odd
    stripes, other = np.tile(lines, (50, 1)), np.tile(lines, (50, 1)).T
    bitmaps = [Bitmap(ink.copy(), 0) for ink in (stripes, other, ~stripes, np.ones_like(stripes))]
    compare_bitmaps(Comparison(model, ENGINES, model.name), np.random.default_rng(0), [bitmaps])


@pytest.mark.parametrize("seed", range(8))
def test_random_streams_decode_to_the_same(seed: int) -> None:
    random, model = np.random.default_rng(seed), random_bitmap_model(seed)
    compare, seen = Comparison(model, ENGINES, model.name), set()
    for _ in range(4):
        counts = [int(random.integers(0, 4)) for _ in range(4)]
        coded = [bytes([random.integers(1, 256)]) + random.bytes(int(random.integers(0, 200))) for _ in counts]

        def decode(engine: Engine, coded: Any = coded, counts: Any = counts) -> Any:
            decoded, possible, final = engine.decode_bitmaps(model, coded, counts)
            return [[tuple(bitmap) for bitmap in each] for each in decoded], possible, final_states(final)

        _, possible, _ = compare("decode_bitmaps", decode)
        seen |= set(possible)
    assert seen == {False, True}


@cache
def of_even_sizes() -> Any:
    """A model that codes each difference of the sides at about the same cost."""
    even = np.arange(257) * 256
    return read_model(
        forge.with_arrays(bitmap_file(3), {"differences": np.tile(even, (9, 1)).astype(np.int32)}), "of even sizes"
    )


@pytest.mark.parametrize("side", [BITMAP_SIDE_MIN, 31, 32, 60])
def test_every_impossible_size_is_reported_and_decodes_to_another(side: int) -> None:
    """The shorter side of such a size is below 1, or it is wide although its sides are equal."""
    model = of_even_sizes()
    compare = Comparison(model, ENGINES, model.name)
    start_of = model.bitmaps.sides[side - BITMAP_SIDE_MIN]
    freq_less_one = np.array([model.bitmaps.sides[side - BITMAP_SIDE_MIN + 1] - start_of - 1, 255], np.uint16)
    streams = [Intervals(np.array([start_of, 256 * value], np.uint16), freq_less_one) for value in range(256)]
    coded = NUMPY.encode_streams(streams, np.arange(256))

    def decode(engine: Engine) -> Any:
        decoded, possible, final = engine.decode_bitmaps(model, coded, [1] * 256)
        return [tuple(bitmap) for (bitmap,) in decoded], possible, final_states(final)

    bitmaps, possible, _ = compare("decode_bitmaps", decode)
    assert possible == [difference // 2 < side and difference != 1 for difference in range(256)]
    assert [max(ink.shape) for ink, _ in bitmaps] == [side] * 256
    assert [min(ink.shape) for ink, _ in bitmaps] == [max(side - difference // 2, 1) for difference in range(256)]


def test_many_bitmaps_are_coded_as_if_alone() -> None:
    random, model = np.random.default_rng(5), random_bitmap_model(1, 3)
    assert EXTENSION is not None
    engine = NativeEngine(EXTENSION)
    bitmaps = [a_bitmap(random, (20, int(random.integers(1, 9)))) for _ in range(BITMAPS_OF_CALL + 30)]
    symbols = engine.bitmap_symbols(model, bitmaps)
    alone = [engine.bitmap_symbols(model, [bitmap])[0] for bitmap in bitmaps]
    assert all(
        np.array_equal(one, other) for each in zip(symbols, alone, strict=True) for one, other in zip(*each, strict=True)
    )
    assert all(column.base is None for each in symbols for column in each)  # each can be freed alone
    for counts in ([len(bitmaps)], [1] * len(bitmaps), [BITMAPS_OF_CALL, 1, 0, 29], [0, 3, BITMAPS_OF_CALL + 20, 7, 0]):
        cuts = np.cumsum([0, *counts])
        parts = [joined(symbols[first:end]) for first, end in pairwise(cuts)]
        coded = engine.encode_streams(parts, np.zeros(len(counts), np.int64))
        decoded, possible, final = engine.decode_bitmaps(model, coded, counts)
        assert all(possible)
        assert final.verify(np.zeros(len(counts), np.int64)).all()
        assert [len(each) for each in decoded] == counts
        together = [bitmap for each in decoded for bitmap in each]
        assert all(np.array_equal(one.ink, other.ink) for one, other in zip(together, bitmaps, strict=True))
        assert all(bitmap.ink.base is None for bitmap in together)


def test_no_bitmaps_and_no_streams_give_nothing() -> None:
    model = random_bitmap_model(SEED)
    compare = Comparison(model, ENGINES, model.name)
    assert compare("no bitmaps", lambda engine: engine.bitmap_symbols(model, [])) == []
    assert compare("no streams", lambda engine: engine.decode_bitmaps(model, [], [])[:2]) == ([], [])


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.instructions)
@pytest.mark.parametrize(("shape", "shift"), [((19, 19), 0), ((129, 5), 0), ((0, 30), 0), ((30, 30), 8), ((30, 30), -9)])
def test_bitmaps_that_give_no_digit_are_refused(engine: Engine, shape: tuple[int, int], shift: int) -> None:
    with pytest.raises(ValueError, match=r"gives no digit|out of its range"):
        engine.bitmap_symbols(random_bitmap_model(SEED), [Bitmap(np.zeros(shape, bool), shift)])


@pytest.mark.parametrize("bad", [b"", b"\0", b"\0\1\2\3\4"])
def test_streams_that_cannot_begin_are_refused_alike(bad: bytes) -> None:
    model = random_bitmap_model(SEED)
    compare = Comparison(model, ENGINES, "a bad first state")
    for coded in ([bad, b"\1\2\3"], [b"\1\2\3", bad]):
        error = compare("decode_bitmaps", lambda engine, coded=coded: engine.decode_bitmaps(model, coded, [1, 1]))
        assert isinstance(error, FormatError)


def test_calls_from_several_threads_with_one_model_give_equal_results() -> None:
    assert EXTENSION is not None
    model, engine, random = random_bitmap_model(2), NativeEngine(EXTENSION), np.random.default_rng(2)
    bitmaps = [a_bitmap(random, (30, 20)) for _ in range(8)]

    def work(_: int, engine: Engine = engine) -> list[bytes]:
        symbols = engine.bitmap_symbols(model, bitmaps)
        coded = engine.encode_streams(symbols, np.zeros(len(symbols), np.int64))
        decoded, _, _ = engine.decode_bitmaps(model, coded, [1] * len(coded))
        return [*coded, *(bitmap.ink.tobytes() for (bitmap,) in decoded)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(24)))
    assert results == [work(0, NUMPY)] * 24


# ---- Prepared models ----


@cache
def content() -> bytes:
    return prepared.prepare(random_bitmap_model(SEED, largest=NARROW))


@cache
def array(name: str) -> Any:
    """An array of the model file."""
    with np.load(io.BytesIO(file())) as arrays:
        return arrays[name].astype(np.int64)


def file() -> bytes:
    return bitmap_file(SEED, largest=NARROW)


def in_blocks(rows: Any) -> Any:
    """Rows as they lie in a prepared model."""
    return np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % 16)])


def numbers(values: Any) -> bytes:
    return np.ascontiguousarray(values).astype(np.int32).tobytes()


def changed(before: Any, after: Any) -> bytes:
    """The prepared model with another array, of which there is one."""
    good, old = content(), numbers(before)
    assert good.count(old) == 1
    return good.replace(old, numbers(after))


@pytest.mark.parametrize("wide", [False, True])
def test_matrices_of_either_layout_give_equal_results(wide: bool) -> None:
    assert EXTENSION is not None
    random, model = np.random.default_rng(9), random_bitmap_model(SEED, largest=NARROW)
    with patch.object(prepared.writer, "NARROW", Range(1 << 40, -(1 << 40)) if wide else Range(-(1 << 40), 1 << 40)):
        engines = [NativeEngine(EXTENSION, name) for name in INSTRUCTIONS]
        compare = Comparison(model, [NUMPY, *engines], f"{wide=}")
        compare_bitmaps(compare, random, [[a_bitmap(random, (50, 37)) for _ in range(2)]])


def test_what_a_stored_model_says_of_itself() -> None:
    assert stored_models.has_pixel_model(content())
    kind = int(np.frombuffer(content(), np.int32, 16)[stored_models.KIND_FIELD])
    assert kind == stored_models.BITMAP_KIND


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 3))])
def test_damaged_prepared_models_are_refused_or_load(seed: int) -> None:
    count = 500 if seed == 0 else 3000
    script = ROOT / "tests" / "support" / "engine_mutations.py"
    command = [sys.executable, str(script), str(seed), str(count), "bitmap"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    refused, loaded = map(int, done.stdout.split())
    assert refused + loaded == count
    assert min(refused, loaded) > count // 10


@pytest.mark.parametrize("layer", ["enter", "0", "1", "head"])
def test_sums_that_could_exceed_their_limit_by_one_are_refused(layer: str) -> None:
    """Both engines take the largest bias, and neither takes one more. All tables count."""
    assert EXTENSION is not None
    peak, largest = (1, tables_of_enter()) if layer == "enter" else (1023, 0)
    bias, shift = array(f"{layer}.bias"), array(f"{layer}.shift")
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    room = (1 << 24) - peak * np.abs(array(f"{layer}.weight")).sum(axis=0) - largest
    output = int(np.abs(array(f"{layer}.weight")).sum(axis=0).argmax())  # float32 holds its largest bias
    for sign in (1, -1):
        for beyond in (0, 1):
            other = bias.copy()
            other[output] = sign * (room[output] + beyond) - half[output]
            model_file = forge.with_arrays(file(), {f"{layer}.bias": other})
            stored = changed(in_blocks(bias + half), in_blocks(other + half))
            if beyond:
                with pytest.raises(ModelError, match="exact"):
                    read_model(model_file, "beyond")
                with pytest.raises(ValueError, match="could overflow"):
                    EXTENSION.Model(stored)
            else:
                assert read_model(model_file, "within").bitmaps.macs
                assert EXTENSION.Model(stored)


def tables_of_enter() -> Any:
    """The largest that the tables of the first layer add to the bias of each output."""
    return sum(np.abs(array(f"enter.{name}")).max(axis=1).sum(axis=0) for name in ("edges", "sizes"))


@pytest.mark.parametrize("place", [0, 18, 19, 189, 190, 199])
def test_each_weight_of_the_first_layer_counts(place: int) -> None:
    assert EXTENSION is not None
    weight, bias, shift = (array(f"enter.{name}") for name in ("weight", "bias", "shift"))
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    room = (1 << 24) - np.abs(weight).sum(axis=0) - np.abs(bias + half) - tables_of_enter()
    for sign in (1, -1):
        for beyond in (0, 1):
            other = weight.copy()
            other[place, 3] = sign * (abs(weight[place, 3]) + room[3] + beyond)
            stored = changed(in_blocks(weight), in_blocks(other))
            if beyond:
                with pytest.raises(ValueError, match="could overflow"):
                    EXTENSION.Model(stored)
            else:
                assert EXTENSION.Model(stored)


def test_weights_beyond_all_limits_are_refused() -> None:
    assert EXTENSION is not None
    weight = array("enter.weight")
    for bad in (2**31 - 1, -(2**31), (1 << 24) + 1):
        stored = np.full_like(weight, bad)
        with pytest.raises(ValueError, match="could overflow"):
            EXTENSION.Model(changed(in_blocks(weight), in_blocks(stored)))


def test_numbers_of_padding_are_refused() -> None:
    assert EXTENSION is not None
    for name, rows in (("weight", array("enter.weight")), *((f"edges {k}", array("enter.edges")[k]) for k in range(4))):
        padded = in_blocks(rows)
        assert padded.shape != rows.shape, name
        other = padded.copy()
        other[-1, -1] = 1
        with pytest.raises(ValueError, match="damaged"):
            EXTENSION.Model(changed(padded, other))


def faulty_frequencies() -> list[tuple[str, int, int]]:
    """Tables of frequencies, and a number of them that must not have a value."""
    cases = [("sides", place, value) for place, value in ((0, 1), (0, -1), (109, 65535), (109, 65537))]
    cases += [("shifts", place, value) for place, value in ((0, 1), (16, 65535), (16, 65537), (8, -1), (8, 70000))]
    return cases + [
        ("differences", place, value) for place, value in ((257, 1), (9 * 257 - 1, 65535), (300, -9), (300, 1 << 30))
    ]


@pytest.mark.parametrize(("name", "place", "value"), faulty_frequencies())
def test_frequencies_that_do_not_rise_from_0_to_all_are_refused(name: str, place: int, value: int) -> None:
    assert EXTENSION is not None
    table = array(name)
    other = table.copy()
    other.reshape(-1)[place] = value
    with pytest.raises(ModelError):
        read_model(forge.with_arrays(file(), {name: other}), "broken")
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(changed(table, other))


@pytest.mark.parametrize("name", ["sides", "shifts"])
def test_symbols_without_a_frequency_are_refused(name: str) -> None:
    assert EXTENSION is not None
    table = array(name)
    for place in range(1, len(table)):
        other = table.copy()
        other[place] = other[place - 1]
        with pytest.raises(ValueError, match="damaged"):
            EXTENSION.Model(changed(table, other))


def test_layers_of_other_sizes_are_refused() -> None:
    assert EXTENSION is not None
    widths = [array(f"{layer}.weight").shape[1] for layer in ("enter", "0", "1")]
    record = np.array([*widths, *[0] * (16 - len(widths))])
    for field in range(len(widths)):
        for bad in (-1, 0, widths[field] - 16, widths[field] + 16, 513, 1 << 30):
            other = record.copy()
            other[field] = bad
            with pytest.raises(ValueError, match=r"damaged|overflow"):
                EXTENSION.Model(changed(record, other))
    for name in ("sides", "differences", "shifts", "enter.weight", "enter.edges", "enter.sizes", "0.weight", "1.weight"):
        values = array(name)
        for axis in range(values.ndim):
            with pytest.raises(ModelError):
                read_model(
                    forge.with_arrays(file(), {name: values.take(range(1, values.shape[axis]), axis)}), "of another shape"
                )


def test_each_kind_of_model_has_its_own_functions() -> None:
    assert EXTENSION is not None
    bitmaps = EXTENSION.Model(content())
    x, inside = np.zeros((1, 28, 28), np.uint8), np.ones((1, 28, 28), np.uint8)
    y, quality, one = np.zeros((1, 196), np.int8), np.full(1, 50, np.uint8), np.ones(1, np.int32)
    start, freq = np.empty((2, 196), np.uint16)
    finals, latent = np.empty((1, 2), np.uint32), np.zeros((7, 7, 16), np.int8)
    stream, shape, room = [b"\1\2\3"], np.full((1, 2), 7, np.int32), np.empty((3, 3136), np.int16)
    of_pixels = np.empty(1, np.int32), room[0], room[1].view(np.uint16), room[2].view(np.uint16)
    calls: dict[str, tuple[Any, ...]] = {
        "first_latents": (x, inside, quality, y),
        "refine": (x, inside, quality, 1, y),
        "refine_to_budget": (x, inside, quality, 1, np.zeros(1, np.int64), y),
        "latent_symbols": (y, quality, start, freq),
        "synthesize": (y, quality, x),
        "decode_latents": (stream, quality, one, False, y, finals),
        "pixel_symbols": (x, inside, 0, *of_pixels),
        "decode_pixels": (stream, inside, one, 0, False, x, np.empty(1, np.uint8), finals),
        "analyse_images": (x, 1, 28, 28, 50, latent),
        "synthesize_images": (latent, 1, 28, 28, 50, x),
        "refine_image": (x, 28, 28, 50, 1, 9, latent),
        "image_symbols": (latent, 1, 7, 7, 50, *np.empty((2, 784), np.uint16)),
        "decode_image_latents": (stream, 50, one, shape, latent, finals),
        "image_pixel_symbols": (x, 1, 28, 28, 0, *np.empty((2, 784), np.uint16)),
        "decode_pixel_images": (stream, 0, one, 4 * shape, x, finals),
    }
    for function, values in calls.items():
        with pytest.raises(ValueError, match="another kind"):
            getattr(bitmaps, function)(*values)
    assert bitmaps.grey_symbols(7, 7, 50) == 0
    for model in (random_model(4), random_grey_model(0)):
        other = EXTENSION.Model(prepared.prepare(model))
        for function, good in arguments().items():
            with pytest.raises(ValueError, match="another kind"):
                getattr(other, function)(*good.values())


# ---- Arguments ----


@cache
def loaded() -> Any:
    assert EXTENSION is not None
    return EXTENSION.Model(content())


def arguments() -> dict[str, dict[str, Any]]:
    """Good arguments of each function."""
    sizes = np.array([[20, 9, 0], [1, 30, 7], [20, 20, -8]], np.int32)
    pixels = int((sizes[:, 0] * sizes[:, 1]).sum())
    return {
        "bitmap_symbols": {
            "bitmaps": sizes,
            "ink": np.ones(pixels, np.uint8),
            "start": np.zeros(pixels + 9, np.uint16),
            "freq": np.zeros(pixels + 9, np.uint16),
        },
        "decode_bitmaps": {
            "coded": [b"\1\2\3\4\5", b"\x80\2\3"],
            "counts": np.array([2, 1], np.int32),
            "bitmaps": np.zeros((3, 3), np.int32),
            "ink": np.zeros((3, BITMAP_SIDE_MAX**2), np.uint8),
            "possible": np.zeros(2, np.uint8),
            "finals": np.zeros((2, 2), np.uint32),
        },
    }


INPUTS = {"bitmap_symbols": {"bitmaps", "ink"}, "decode_bitmaps": {"counts"}}


def call(function: str, values: dict[str, Any]) -> Any:
    return getattr(loaded(), function)(*values.values())


@pytest.mark.parametrize("function", INPUTS)
class TestArguments(ArgumentTests):
    arguments = staticmethod(arguments)
    owner = staticmethod(lambda _: loaded())
    outputs = staticmethod(lambda function: set(arguments()[function]) - INPUTS[function])


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize("bad", [-(2**31), -9, -1, 0, 8, 19, 129, 1 << 16, 2**31 - 1])
def test_sizes_that_no_bitmap_has_are_refused(column: int, bad: int) -> None:
    good = arguments()["bitmap_symbols"]
    sizes = good["bitmaps"].copy()
    sizes[-1, column] = bad
    is_shift = column == 2
    if is_shift and -8 <= bad < 8:
        call("bitmap_symbols", good | {"bitmaps": sizes})
        return
    height, width, _ = np.clip(sizes[-1].astype(np.int64), 0, 200).tolist()
    pixels = int((sizes[:-1, 0] * sizes[:-1, 1]).sum()) + height * width
    room = {
        "ink": np.zeros(pixels, np.uint8),
        "start": np.zeros(pixels + 9, np.uint16),
        "freq": np.zeros(pixels + 9, np.uint16),
    }
    if not is_shift and 0 < bad < 20:  # the other side is long enough
        call("bitmap_symbols", good | {"bitmaps": sizes} | room)
        return
    with pytest.raises(ValueError, match="out of its range"):
        call("bitmap_symbols", good | {"bitmaps": sizes} | room)


@pytest.mark.parametrize("counts", [[2], [1, 1], [2, 2], [-1, 4], [4, -1], [2**31 - 1, 1], [-(2**31), 3], [1, 1, 1], []])
def test_other_numbers_of_bitmaps_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        call("decode_bitmaps", arguments()["decode_bitmaps"] | {"counts": np.array(counts, np.int32)})


@pytest.mark.parametrize("coded", [None, 5, "text", [None, b"\1"], [b"\1", 5], [bytearray(b"\1"), b"\1"]])
def test_streams_are_bytes(coded: Any) -> None:
    with pytest.raises(TypeError):
        call("decode_bitmaps", arguments()["decode_bitmaps"] | {"coded": coded})


@pytest.mark.parametrize("coded", [[], [b"\1"], [b"\1"] * 3, [b"\1", b""], [b"\1", b"\0\1"]])
def test_other_numbers_of_streams_and_empty_ones_are_refused(coded: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        call("decode_bitmaps", arguments()["decode_bitmaps"] | {"coded": coded})
