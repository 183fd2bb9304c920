"""Damaged streams and prepared models, and bad arguments: the engine raises an error or computes, and never crashes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from mnistzip.bitstream.stream_layout import Streams
from mnistzip.engines.interface import Engine
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.entropy.rans import FinalStates
from mnistzip.errors import FormatError
from mnistzip.models import prepared, registry
from mnistzip.models.model import Model
from mnistzip.nn.exact import Range, shifts_of
from mnistzip.nn.layer_base import Signal
from mnistzip.nn.layers import Conv
from support.binding_arguments import BUFFERS_DIFFER
from support.bitmap_models import random_bitmap_model
from support.engine_cases import Comparison, damaged, final_states, tiles
from support.engines import EXTENSION, NATIVE_ENGINES, needs_extension
from support.grey_models import random_grey_model
from support.paths import ROOT
from support.random_models import random_model

ENGINES: list[Engine] = [NUMPY, *NATIVE_ENGINES]

pytestmark = needs_extension


# ---- Streams ----


def decodings(
    model: Model, layout: Streams, random: np.random.Generator
) -> dict[str, Callable[[Engine, Sequence[bytes]], Any]]:
    """Each way to decode streams."""
    quality_index = random.integers(0, 100, len(layout.count))
    _, inside = tiles(random, int(layout.count.sum()))

    def verified(final: FinalStates) -> Any:
        return *final_states(final), final.verify(np.zeros(len(layout.count), np.int64), 0)

    def latents(engine: Engine, coded: Sequence[bytes], interleaved: bool) -> Any:
        y, final = engine.decode_latents(model, coded, quality_index, layout, interleaved)
        return y, verified(final)

    def pixels(engine: Engine, coded: Sequence[bytes], max_error: int, preview: bool) -> Any:
        x, possible, final = engine.decode_pixels(model, coded, inside, layout, max_error, preview)
        return x, possible, verified(final)

    return {
        "latents in turns": lambda engine, coded: latents(engine, coded, True),
        "latents": lambda engine, coded: latents(engine, coded, False),
        "pixels": lambda engine, coded: pixels(engine, coded, 0, False),
        "pixels within 9": lambda engine, coded: pixels(engine, coded, 9, False),
        "preview": lambda engine, coded: pixels(engine, coded, 0, True),
    }


@pytest.mark.parametrize(
    ("seed", "rounds"), [(0, 5), (2, 4), *(pytest.param(seed, 20, marks=pytest.mark.slow) for seed in range(4, 14, 2))]
)
def test_random_streams_decode_to_the_same(seed: int, rounds: int) -> None:
    random, model = np.random.default_rng(seed), random_model(seed)
    compare = Comparison(model, ENGINES, model.name)
    for _ in range(rounds):
        layout = Streams.from_tile_counts(random.integers(1, 7, 3).tolist())
        coded = [bytes([random.integers(1, 256)]) + random.bytes(int(random.integers(0, 90))) for _ in layout.count]
        for what, decode in decodings(model, layout, random).items():
            compare(what, lambda engine, decode=decode, coded=coded: decode(engine, coded))
            broken = damaged(random, coded)
            compare(what, lambda engine, decode=decode, broken=broken: decode(engine, broken))


def test_damaged_streams_of_a_shipped_model_decode_to_the_same() -> None:
    random, model = np.random.default_rng(5), registry.shipped("mnist")
    compare = Comparison(model, ENGINES, model.name)
    layout = Streams.from_tile_counts([2, 1])
    for _ in range(3):
        coded = [bytes([random.integers(1, 256)]) + random.bytes(int(random.integers(0, 60))) for _ in layout.count]
        for what, decode in decodings(model, layout, random).items():
            compare(what, lambda engine, decode=decode, coded=coded: decode(engine, coded))


@pytest.mark.parametrize("bad", [b"", b"\0", b"\0\1\2\3\4"])
def test_streams_that_cannot_begin_are_refused_alike(bad: bytes) -> None:
    model, layout = random_model(0), Streams.from_tile_counts([1, 1])
    compare = Comparison(model, ENGINES, "a bad first state")
    for what, decode in decodings(model, layout, np.random.default_rng(0)).items():
        for coded in ([bad, b"\1\2\3"], [b"\1\2\3", bad]):
            error = compare(what, lambda engine, decode=decode, coded=coded: decode(engine, coded))
            assert isinstance(error, FormatError)


# ---- Prepared models ----


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_damaged_prepared_models_are_refused_or_load(seed: int) -> None:
    count = 600 if seed == 0 else 2000
    script = ROOT / "tests" / "support" / "engine_mutations.py"
    done = subprocess.run([sys.executable, str(script), str(seed), str(count)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    refused, loaded = map(int, done.stdout.split())
    assert refused + loaded == count
    assert min(refused, loaded) > count // 10


MODELS = {"tiles": lambda: random_model(4), "grey": lambda: random_grey_model(1), "bitmap": lambda: random_bitmap_model(1)}


@pytest.mark.parametrize("kind", MODELS)
def test_a_prepared_model_that_is_cut_anywhere_is_refused(kind: str) -> None:
    assert EXTENSION is not None
    content = prepared.prepare(MODELS[kind]())
    for size in [*range(0, 2000, 7), *range(0, len(content), 4001), len(content) - 1, len(content) - 64]:
        cut = bytearray(content[:size])
        with pytest.raises(ValueError, match="damaged"):
            EXTENSION.Model(bytes(cut))
        cut[8:12] = size.to_bytes(4, sys.byteorder)  # the size that it states
        with pytest.raises(ValueError, match="damaged"):
            EXTENSION.Model(bytes(cut))


@pytest.mark.parametrize("kind", MODELS)
def test_a_prepared_model_of_the_other_byte_order_is_refused(kind: str) -> None:
    assert EXTENSION is not None
    other = "big" if sys.byteorder == "little" else "little"
    with pytest.raises(ValueError, match="byte order"):
        EXTENSION.Model(prepared.prepare(MODELS[kind](), other))


def numbers_at(content: bytes, table: np.ndarray[Any, Any]) -> int:
    """Where an array lies in a prepared model."""
    at = content.find(np.ascontiguousarray(table).astype(np.int32).tobytes())
    assert at % 64 == 0
    return at


def replaced(content: bytes, at: int, table: np.ndarray[Any, Any]) -> bytes:
    """A prepared model with another array."""
    numbers = table.astype(np.int32).tobytes()
    return content[:at] + numbers + content[at + len(numbers) :]


def test_sums_that_could_exceed_their_limit_by_one_are_refused() -> None:
    assert EXTENSION is not None
    model = random_model(4, pixels=False)
    content = prepared.prepare(model)
    signal = Signal(Range(0, 255), 28, 28, 1)
    for layer in model.transforms.analysis:
        if isinstance(layer, Conv):
            break
        signal = layer.infer(signal)
    bias, quality, weight = (np.rint(part / layer.unit) for part in (layer.position_bias, layer.quality_bias, layer.weight))
    at = numbers_at(content, bias)
    room = (1 << 24) - np.abs(weight).sum(axis=0) * signal.values.peak - np.abs(quality).max(axis=0)
    for output in range(bias.shape[-1]):
        for sign in (-1, 1):
            changed = bias.copy()
            changed[..., output] = sign * room[output]
            EXTENSION.Model(replaced(content, at, changed))
            changed[..., output] += sign
            with pytest.raises(ValueError, match="could overflow"):
                EXTENSION.Model(replaced(content, at, changed))


def test_weights_of_padding_are_refused() -> None:
    """An output that is there for the sake of vectors alone must not have the largest logit."""
    assert EXTENSION is not None
    model = random_model(7, pixels=False, largest=100)
    content = prepared.prepare(model)
    head, values = model.prior.head_weight[5] / model.prior.head_unit[5], model.prior.values
    writer = prepared.Writer("=")
    writer.matrix(np.rint(head).astype(np.int64)[None], wide=False)
    matrix = writer.sections[0].values.tobytes()
    assert content.count(matrix) == 1
    assert values % 16 > 0
    weights = np.frombuffer(matrix, np.int16).reshape(-1, -(-len(head) // 2), 16, 2).copy()
    at = content.find(matrix)
    assert EXTENSION.Model(content[:at] + weights.tobytes() + content[at + len(matrix) :])
    weights[-1, 0, values % 16, 0] = 1
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(content[:at] + weights.tobytes() + content[at + len(matrix) :])


def test_weights_of_an_input_that_makes_their_number_even_are_refused() -> None:
    assert EXTENSION is not None
    models = (random_model(seed, pixels=False, largest=100) for seed in range(20))
    model = next(model for model in models if model.prior.head_weight.shape[1] % 2)
    content, head = prepared.prepare(model), model.prior.head_weight[5] / model.prior.head_unit[5]
    writer = prepared.Writer("=")
    writer.matrix(np.rint(head).astype(np.int64)[None], wide=False)
    matrix = writer.sections[0].values.tobytes()
    assert content.count(matrix) == 1
    weights, at = np.frombuffer(matrix, np.int16).copy(), content.find(matrix)
    last = (len(head) // 2 * 16 + 1) * 2 - 1  # the second weight of the last pair, for the first output
    assert weights[last] == 0
    weights[last] = 1
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(content[:at] + weights.tobytes() + content[at + len(matrix) :])


@pytest.mark.parametrize("shift", [31, -1])
def test_shifts_beyond_their_range_are_refused(shift: int) -> None:
    assert EXTENSION is not None
    model = random_model(7, pixels=False, largest=100)
    content, shifts = prepared.prepare(model), shifts_of(model.prior.far_unit).astype(np.int32)
    at = content.find(shifts.tobytes())
    assert at >= 0
    before, after = content[:at], content[at + shifts.nbytes :]
    shifts[0] = 30
    EXTENSION.Model(before + shifts.tobytes() + after)
    shifts[0] = shift
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(before + shifts.tobytes() + after)


# ---- Arguments ----

MODEL = random_model(2)  # symbols have an alphabet that is smaller than that of int8
N = 3


@cache
def loaded() -> Any:
    assert EXTENSION is not None
    return EXTENSION.Model(prepared.prepare(MODEL))


def arguments() -> dict[str, dict[str, Any]]:
    """Good arguments of each function."""
    x, inside = tiles(np.random.default_rng(0), N)
    y, quality = np.zeros((N, 196), np.int8), np.full(N, 50, np.uint8)
    counts, checks = np.array([2, 1], np.int32), np.zeros(2, np.uint32)
    start, freq = np.zeros((N, 196), np.uint16), np.full((N, 196), 300, np.uint16)
    of_tile, finals = np.array([4, 0, 3], np.int32), np.empty((2, 2), np.uint32)
    room = N * 3136
    coded = [b"\1\2\3\4\5", b"\x80\2\3"]
    return {
        "first_latents": {"x": x, "inside": inside, "quality": quality, "y": y},
        "refine": {"x": x, "inside": inside, "quality": quality, "effort": 1, "y": y},
        "refine_to_budget": {"x": x, "inside": inside, "quality": quality, "effort": 1, "limit": np.full(N, 1 << 30), "y": y},
        "latent_symbols": {"y": y, "quality": quality, "start": start, "freq": freq},
        "synthesize": {"y": y, "quality": quality, "out": np.empty_like(x)},
        "encode_latents": {
            "start": start,
            "freq": freq,
            "counts": counts,
            "checks": checks,
            "check_bits": 16,
            "interleaved": 1,
        },
        "decode_latents": {
            "coded": coded,
            "qualities": quality[:2],
            "counts": counts,
            "interleaved": 0,
            "y": y,
            "finals": finals,
        },
        "pixel_symbols": {
            "x": x,
            "inside": inside,
            "max_error": 0,
            "counts": np.empty(N, np.int32),
            "turn": np.empty(room, np.int16),
            "start": np.empty(room, np.uint16),
            "freq": np.empty(room, np.uint16),
        },
        "encode_pixels": {
            "of_tile": of_tile,
            "turn": np.array([0, 0, 5, 9, 1, 2, 3], np.int16),
            "start": np.zeros(7, np.uint16),
            "freq": np.full(7, 9, np.uint16),
            "counts": counts,
            "checks": checks,
        },
        "decode_pixels": {
            "coded": coded,
            "inside": inside,
            "counts": counts,
            "max_error": 0,
            "preview": 0,
            "out": np.empty_like(x),
            "possible": np.empty(N, np.uint8),
            "finals": finals,
        },
        "find_bitmaps": {"x": x, "bitmaps": np.empty((N, 3), np.int32), "ink": np.empty((N, 1 << 14), np.uint8)},
        "digits_of": {
            "sizes": np.array([[20, 3, -8], [1, 128, 0], [33, 33, 7]], np.int32),
            "ink": np.ones(20 * 3 + 128 + 33 * 33, np.uint8),
            "out": np.empty_like(x),
        },
    }


OUTPUTS = {"y", "out", "finals", "possible", "turn", "start", "freq", "counts", "bitmaps", "ink"}
OF_MODULE = ("encode_latents", "encode_pixels", "find_bitmaps", "digits_of")
INPUTS_OF = {"encode_latents": OUTPUTS, "encode_pixels": OUTPUTS, "latent_symbols": {"y"}, "synthesize": {"y"}}
INPUTS_OF |= {"decode_latents": {"counts"}, "decode_pixels": {"counts"}, "digits_of": {"ink"}}


def call(function: str, values: dict[str, Any]) -> None:
    owner = EXTENSION if function in OF_MODULE else loaded()
    getattr(owner, function)(*values.values())


@pytest.mark.parametrize("function", arguments())
def test_good_arguments_are_taken(function: str) -> None:
    call(function, arguments()[function])


@pytest.mark.parametrize("function", arguments())
def test_buffers_of_other_sizes_and_kinds_are_refused(function: str) -> None:
    good = arguments()[function]
    for name, value in good.items():
        if not isinstance(value, np.ndarray):
            continue
        flat = value.reshape(-1)
        shorter, longer = flat[:-1].copy(), np.concatenate([flat, flat[:1]])
        odd = np.frombuffer(value.tobytes() + b"\0", np.uint8).copy()
        for bad in (
            shorter,
            longer,
            odd,
            flat[:0].copy(),
            np.zeros(0, np.uint8),
            None,
            "text",
            5,
            [1, 2],
            np.asfortranarray(np.ones((4, 4)))[::2],
        ):
            with pytest.raises(BUFFERS_DIFFER):
                call(function, good | {name: bad})


@pytest.mark.parametrize("function", arguments())
def test_outputs_that_cannot_be_written_are_refused(function: str) -> None:
    good = arguments()[function]
    outputs = (OUTPUTS - INPUTS_OF.get(function, set())) & set(good)
    for name in outputs:
        fixed = good[name].copy()
        fixed.flags.writeable = False
        with pytest.raises(BUFFERS_DIFFER):
            call(function, good | {name: fixed})
    for name in set(good) - outputs:
        if isinstance(good[name], np.ndarray):
            fixed = good[name].copy()
            fixed.flags.writeable = False
            call(function, arguments()[function] | {name: fixed})


@pytest.mark.parametrize("function", arguments())
def test_numbers_that_are_not_aligned_are_refused(function: str) -> None:
    good = arguments()[function]
    for name, value in good.items():
        if isinstance(value, np.ndarray) and value.itemsize > 1:
            content = bytearray(value.nbytes + 16)
            address = np.frombuffer(content, np.uint8).ctypes.data
            start = -address % 8 + 1
            with pytest.raises(ValueError, match="not aligned"):
                call(function, good | {name: memoryview(content)[start : start + value.nbytes]})


def with_item(array: np.ndarray[Any, Any], value: int) -> np.ndarray[Any, Any]:
    """A copy whose last item is another."""
    copy = array.copy()
    copy.reshape(-1)[-1] = value
    return copy


def bad_values() -> list[tuple[str, str, Any]]:
    """Values that arguments cannot have."""
    good = arguments()
    cases: list[tuple[str, str, Any]] = []
    for function in ("first_latents", "refine", "refine_to_budget", "latent_symbols", "synthesize"):
        cases += [(function, "quality", with_item(good[function]["quality"], bad)) for bad in (100, 255)]
    for function in ("first_latents", "refine", "refine_to_budget", "pixel_symbols", "decode_pixels"):
        cases += [(function, "inside", with_item(good[function]["inside"].astype(np.uint8), bad)) for bad in (2, 255)]
    for function in ("first_latents", "refine", "refine_to_budget"):
        cases.append((function, "inside", np.zeros((N, 28, 28), np.uint8)))  # a tile that shows nothing
    for function in ("refine", "refine_to_budget"):
        cases += [(function, "effort", bad) for bad in (-1, 10, 2**31 - 1, -(2**31))]
    low, high = MODEL.transforms.symbols.low, MODEL.transforms.symbols.high
    for function in ("refine", "latent_symbols", "synthesize"):
        cases += [(function, "y", with_item(good[function]["y"], bad)) for bad in (low - 1, high + 1, -128, 127)]
    for function in ("encode_latents", "decode_latents", "encode_pixels", "decode_pixels"):
        for bad in (
            [3, 0],
            [0, 3],
            [17, 1],
            [-1, 4],
            [4, -1],
            [2**31 - 1, 1],
            [-(2**31), 3],
            [1, 1],
            [2, 2],
            [3],
            [1, 1, 1],
            [],
        ):
            cases.append((function, "counts", np.array(bad, np.int32)))
    cases += [("decode_latents", "qualities", np.array([50, 100], np.uint8))]
    cases += [("encode_latents", "check_bits", bad) for bad in (-1, 24, 2**31 - 1)]
    for bad in ([], [b"\1"], [b"\1"] * 3, [b"\1", b""], [b"\1", b"\0\1"]):
        cases += [(function, "coded", bad) for function in ("decode_latents", "decode_pixels")]
    cases.append(("pixel_symbols", "inside", np.zeros((N, 28, 28), np.uint8)))  # grey levels outside the image
    for function in ("pixel_symbols", "decode_pixels"):
        cases += [(function, "max_error", bad) for bad in (-1, 65, 2**31 - 1, -(2**31))]
    cases.append(("pixel_symbols", "max_error", 64))  # the grey levels are not those that it leaves
    for of_tile in ([-1, 5, 3], [7, 0, 1], [4, 0, 2], [3137, 0, 0], [2**31 - 1, 0, 8], [-(2**31), 0, 8]):
        cases.append(("encode_pixels", "of_tile", np.array(of_tile, np.int32)))
    for turn in ([0, 9, 5, 9, 1, 2, 3], [-1, 0, 5, 9, 1, 2, 3], [0, 0, 5, 436, 1, 2, 3], [0, 0, 5, 32767, 1, 2, 3]):
        cases.append(("encode_pixels", "turn", np.array(turn, np.int16)))
    for bad in ([33, 33, 8], [33, 33, -9], [129, 1, 0], [0, 33, 0], [33, -33, 0], [2**31 - 1, 2**31 - 1, 0], [19, 19, 0]):
        sizes = np.array([[20, 3, -8], [1, 128, 0], bad], np.int32)
        cases.append(("digits_of", "sizes", sizes))
    return cases


@pytest.mark.parametrize(("function", "name", "value"), bad_values())
def test_values_that_no_caller_may_give_are_refused(function: str, name: str, value: Any) -> None:
    good = arguments()[function]
    with pytest.raises(ValueError, match=r"\w"):
        call(function, good | {name: value})


@pytest.mark.parametrize("function", ["decode_latents", "decode_pixels"])
@pytest.mark.parametrize("coded", [None, 5, "text", [None, b"\1"], [b"\1", "text"], [b"\1", 5], [bytearray(b"\1"), b"\1"]])
def test_streams_are_bytes(function: str, coded: Any) -> None:
    with pytest.raises(TypeError):
        call(function, arguments()[function] | {"coded": coded})


@pytest.mark.parametrize("function", arguments())
def test_other_numbers_of_arguments_are_refused(function: str) -> None:
    values = list(arguments()[function].values())
    owner = EXTENSION if function in OF_MODULE else loaded()
    for bad in ([], values[:-1], [*values, None]):
        with pytest.raises(TypeError):
            getattr(owner, function)(*bad)


@pytest.mark.parametrize("prepared_model", [b"", b"text", bytes(64), bytes(1 << 12)])
def test_what_is_no_prepared_model_is_refused(prepared_model: bytes) -> None:
    assert EXTENSION is not None
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(prepared_model)


def test_models_of_other_types_and_instructions_are_refused() -> None:
    assert EXTENSION is not None
    content = prepared.prepare(MODEL)
    for bad in (None, 5, "text", [1]):
        with pytest.raises(TypeError):
            EXTENSION.Model(bad)
    with pytest.raises(ValueError, match="out of its range"):
        EXTENSION.Model(content, "mmx")
    for arguments_of_model in ((), (content, None, 1), (content, 5), (content, b"scalar")):
        with pytest.raises(TypeError):
            EXTENSION.Model(*arguments_of_model)
    with pytest.raises(ValueError, match="null"):
        EXTENSION.Model(content, "scalar\0")


def test_a_model_without_a_pixel_model_codes_no_pixels() -> None:
    assert EXTENSION is not None
    model = EXTENSION.Model(prepared.prepare(random_model(3, pixels=False)))
    for function in ("pixel_symbols", "decode_pixels"):
        with pytest.raises(ValueError, match="without loss"):
            getattr(model, function)(*arguments()[function].values())


@pytest.mark.parametrize("seed", range(3))
def test_intervals_that_no_prior_gives_are_coded_without_a_crash(seed: int) -> None:
    """Intervals that end beyond 2^16 are a mistake of the caller: the bytes have no meaning, but stay within their buffer."""
    assert EXTENSION is not None
    random = np.random.default_rng(seed)
    for _ in range(300):
        start = random.choice([0, 1, 65535, 40000], (16, 196)).astype(np.uint16)
        freq = random.choice([0, 1, 65535, 30000], (16, 196)).astype(np.uint16)
        counts, checks = np.array([16], np.int32), np.array([2**32 - 1], np.uint32)
        (coded,) = EXTENSION.encode_latents(start, freq, counts, checks, 23, False)
        assert len(coded) <= 2 * 16 * 196 + 4
