"""Models of the kind ``grey``: every engine computes the same for images of any size, and damage is refused or harmless."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest

from mnistzip.bitstream.bounded import nearest
from mnistzip.engines.interface import Engine, Intervals
from mnistzip.engines.native_engine import NativeEngine
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.errors import FormatError, ModelError
from mnistzip.models import prepared, stored_models
from mnistzip.models.grey.grey_model import latent_shape
from mnistzip.models.grey.prior import CHANNELS
from mnistzip.models.model import Model, read_model
from mnistzip.nn.exact import Range
from mnistzip.types import Integers
from support import forge
from support.binding_arguments import ArgumentTests
from support.engine_cases import Comparison, compare_latents, compare_search, damaged, final_states, tiles
from support.engines import EXTENSION, INSTRUCTIONS, NATIVE_ENGINES, needs_extension
from support.grey_models import GreyMaker, pictures, plain_grey_file, plain_grey_model, random_grey_model, some_symbols
from support.paths import ROOT
from support.random_models import random_model

ENGINES: list[Engine] = [NUMPY, *NATIVE_ENGINES]
SIZES = ((1, 1), (1, 9), (5, 3), (28, 28), (30, 20), (65, 66), (200, 40))

pytestmark = needs_extension


# ---- Equal results ----


def compare_images(compare: Comparison, random: np.random.Generator, count: int, size: tuple[int, int], quality: int) -> None:
    """Everything that an engine does with images of one size, there and back, and damaged streams."""
    model, where = compare.model, f"{count} images of {size} at {quality}"
    x = pictures(random, count, *size)
    first = compare(f"analyse_images, {where}", lambda engine: engine.analyse_images(model, x, quality))
    for y in (first, some_symbols(random, model, count, *first.shape[1:3], quality)):
        compare(f"synthesize_images, {where}", lambda engine, y=y: engine.synthesize_images(model, y, quality, size))
        symbols = compare(f"image_symbols, {where}", lambda engine, y=y: engine.image_symbols(model, y, quality))
        compare_streams(compare, random, [[(y[k], symbols.select(slice(k, k + 1)))] for k in range(count)], size, quality)
        compare_streams(compare, random, [[(y[k], symbols.select(slice(k, k + 1))) for k in range(count)]], size, quality)


def compare_streams(
    compare: Comparison,
    random: np.random.Generator,
    streams: Sequence[Sequence[tuple[Integers, Intervals]]],
    size: tuple[int, int],
    quality: int,
) -> None:
    """Streams of images of one size, given their latents and intervals."""
    joined = [Intervals(*(np.concatenate([part[k][0] for _, part in each]) for k in range(2))) for each in streams]
    checks, check_bits = random.integers(0, 1 << 32, len(streams)), int(random.integers(0, 24))
    coded = compare("encode_streams", lambda engine: engine.encode_streams(joined, checks, check_bits))

    def decode(engine: Engine, coded: list[bytes]) -> Any:
        latents, final = engine.decode_image_latents(compare.model, coded, quality, [[size] * len(each) for each in streams])
        return latents, final_states(final), final.verify(checks, check_bits)

    latents, _, passed = compare("decode_image_latents", lambda engine: decode(engine, coded))
    assert passed.all()
    for each, decoded in zip(streams, latents, strict=True):
        assert all(np.array_equal(y, latent) for (y, _), latent in zip(each, decoded, strict=True))
    broken = damaged(random, coded)
    compare("decode_image_latents of damage", lambda engine: decode(engine, broken))


@pytest.mark.parametrize("quality", [0, 50, 99])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_engines_agree_on_images_of_any_size(size: tuple[int, int], quality: int) -> None:
    random, model = np.random.default_rng([*size, quality]), plain_grey_model()
    for count in (1, 3) if size[0] < 200 else (1,):
        compare_images(Comparison(model, ENGINES, model.name), random, count, size, quality)


def compare_random(seed: int, rounds: int) -> None:
    random, model = np.random.default_rng([seed, 1]), random_grey_model(seed)
    compare = Comparison(model, ENGINES, f"random_grey_model({seed})")
    for _ in range(rounds):
        size = (
            SIZES[random.integers(0, 6)]
            if random.random() < 0.3
            else (int(random.integers(1, 50)), int(random.integers(1, 50)))
        )
        compare_images(compare, random, int(random.choice([1, 1, 3])), size, int(random.integers(0, 100)))


@pytest.mark.parametrize("seed", range(12))
def test_engines_agree_on_random_models(seed: int) -> None:
    compare_random(seed, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 40))
def test_engines_agree_on_many_random_models(seed: int) -> None:
    compare_random(seed, 4)


def compare_search_of_images(model: Model, seed: int, effort: int, rounds: int) -> int:
    """The search from first latents and from random ones. Returns the number of symbols that it has moved."""
    random, moved = np.random.default_rng([seed, effort]), 0
    compare = Comparison(model, ENGINES, f"{model.name}, effort {effort}")
    for _ in range(rounds):
        height, width, quality = (int(random.integers(1, limit)) for limit in (40, 40, 100))
        x = pictures(random, 1, height, width)
        first = NUMPY.analyse_images(model, x, quality)
        lmbda = None if random.random() < 0.6 else int(random.choice([0, 1, 900, 1 << 22]))
        for y in (first[0], some_symbols(random, model, 1, *first.shape[1:3], quality)[0]):
            refined = compare(
                f"refine_image of {height}x{width} at {quality} with {lmbda}",
                lambda engine, y=y, x=x[0], quality=quality, lmbda=lmbda: engine.refine_image(
                    model, x, y, quality, effort, lmbda
                ),
            )
            moved += int((refined != y).sum())
    return moved


@pytest.mark.parametrize("effort", [*range(4), *(pytest.param(effort, marks=pytest.mark.slow) for effort in range(4, 6))])
def test_engines_agree_at_each_effort(effort: int) -> None:
    moved = compare_search_of_images(plain_grey_model(), effort, effort, 3 if effort < 4 else 1)
    assert (moved > 0) == (effort > 0), "the search has nothing to do"


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 20))])
def test_engines_agree_on_searches_with_random_models(seed: int) -> None:
    compare_search_of_images(random_grey_model(seed), seed, 1 + seed % 3, 2)


@pytest.mark.parametrize("size", [(545, 6), (3, 1100), pytest.param((600, 530), marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [None, 3, 5])
def test_engines_agree_on_images_that_are_computed_in_patches(size: tuple[int, int], seed: int | None) -> None:
    model = plain_grey_model(blocks=2) if seed is None else random_grey_model(seed)
    compare_images(Comparison(model, ENGINES, model.name), np.random.default_rng(0), 1, size, 50)


@pytest.mark.parametrize("seed", range(4))
def test_wide_matrices_give_what_narrow_ones_give(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prepared model may lay out every matrix for numbers of 32 bits, also those that need only 16."""
    assert EXTENSION is not None
    monkeypatch.setattr(prepared.writer, "NARROW", Range(1 << 40, -(1 << 40)))
    model = plain_grey_model(seed) if seed < 2 else random_grey_model(seed)
    engines: list[Engine] = [NUMPY, *(NativeEngine(EXTENSION, name) for name in INSTRUCTIONS)]
    compare, random = Comparison(model, engines, "all wide"), np.random.default_rng(seed)
    compare_images(compare, random, 2, (30, 20), 60)
    compare_pixels(compare, random, 1, (9, 20), 2)


def test_engines_agree_on_every_symbol() -> None:
    model = plain_grey_model()
    bounds = model.grey.prior.bounds[99]
    y = (np.arange(288)[:, None] + np.arange(CHANNELS) * 17) % 255 - 127
    y = y.clip(-bounds, bounds).reshape(1, 18, 16, CHANNELS)
    assert (np.unique(y[..., 0]) == np.arange(-127, 128)).all()
    compare = Comparison(model, ENGINES, "every symbol")
    symbols = compare("image_symbols", lambda engine: engine.image_symbols(model, y, 99))
    compare_streams(compare, np.random.default_rng(0), [[(y[0], symbols)]], (72, 64), 99)


def test_images_of_several_sizes_share_a_stream() -> None:
    random, model = np.random.default_rng(8), plain_grey_model()
    compare = Comparison(model, ENGINES, model.name)
    shapes = [[(28, 28), (5, 9), (1, 1)], [], [(5, 9)], [(40, 3), (40, 3)]]
    latents = [[some_symbols(random, model, 1, *latent_shape(*shape), 40) for shape in each] for each in shapes]
    parts = [[NUMPY.image_symbols(model, y, 40) for y in each] for each in latents]
    nothing = np.zeros(0, np.uint16)
    joined = [Intervals(*(np.concatenate([nothing, *(part[k][0] for part in each)]) for k in range(2))) for each in parts]
    checks = random.integers(0, 1 << 32, len(shapes))
    coded = compare("encode_streams", lambda engine: engine.encode_streams(joined, checks))

    def decode(engine: Engine) -> Any:
        decoded, final = engine.decode_image_latents(model, coded, 40, shapes)
        return decoded, final_states(final), final.verify(checks)

    decoded, _, passed = compare("decode_image_latents", decode)
    assert passed.all()
    for each, expected in zip(decoded, latents, strict=True):
        assert all(np.array_equal(one, other[0]) for one, other in zip(each, expected, strict=True))
    compare("no streams", lambda engine: engine.decode_image_latents(model, [], 40, [])[0])
    compare("no streams", lambda engine: engine.encode_streams([], np.zeros(0, np.int64)))


@pytest.mark.parametrize("seed", range(4))
def test_random_streams_decode_to_the_same(seed: int) -> None:
    random, model = np.random.default_rng(seed), plain_grey_model() if seed == 0 else random_grey_model(seed)
    compare = Comparison(model, ENGINES, model.name)
    for _ in range(6):
        shapes = [[(int(random.integers(1, 40)), int(random.integers(1, 40)))] * int(random.integers(0, 3)) for _ in range(3)]
        coded = [bytes([random.integers(1, 256)]) + random.bytes(int(random.integers(0, 200))) for _ in shapes]
        quality = int(random.integers(0, 100))

        def decode(engine: Engine, coded: Any = coded, shapes: Any = shapes, quality: int = quality) -> Any:
            latents, final = engine.decode_image_latents(model, coded, quality, shapes)
            return latents, final_states(final)

        compare("decode_image_latents", decode)


# ---- Pixel models ----


def compare_pixels(
    compare: Comparison, random: np.random.Generator, count: int, size: tuple[int, int], max_error: int = 0
) -> None:
    """Images of one size by the pixel model, there and back, and damaged streams."""
    model, where = compare.model, f"{count} images of {size} within {max_error}"
    x = nearest(pictures(random, count, *size), max_error)
    symbols = compare(f"image_pixel_symbols, {where}", lambda engine: engine.image_pixel_symbols(model, x, max_error))
    checks = random.integers(0, 1 << 32, count)
    coded = NUMPY.encode_streams([symbols.select(k) for k in range(count)], checks)
    coded += [each for each in damaged(random, coded * 2) if each and each[0]]  # those that can begin
    shapes = [[size]] * len(coded)

    def decode(engine: Engine) -> Any:
        images, final = engine.decode_pixel_images(model, coded, shapes, max_error)
        return images, final_states(final)

    images, _ = compare(f"decode_pixel_images, {where}", decode)
    assert np.array_equal(np.stack([image for (image,) in images[:count]]), x)


@pytest.mark.parametrize("max_error", [0, 4])
@pytest.mark.parametrize("size", [*SIZES[:5], (9, 1), (2, 2), (7, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_engines_agree_on_pixels_of_images_of_any_size(size: tuple[int, int], max_error: int) -> None:
    model = plain_grey_model()
    compare_pixels(Comparison(model, ENGINES, model.name), np.random.default_rng([*size, max_error]), 2, size, max_error)


def compare_random_pixels(seed: int, largest: int, width: int) -> None:
    random, model = np.random.default_rng([seed, 2]), random_grey_model(seed, width=width)
    compare = Comparison(model, ENGINES, f"random_grey_model({seed}, {width=})")
    for max_error in (0, int(random.choice([1, 4, 64, random.integers(1, 65)]))):
        size = int(random.integers(1, largest)), int(random.integers(1, largest))
        compare_pixels(compare, random, int(random.choice([1, 3])), size, max_error)


@pytest.mark.parametrize("seed", range(12))
def test_engines_agree_on_random_pixel_models(seed: int) -> None:
    compare_random_pixels(seed, 20, 20)


@pytest.mark.slow
@pytest.mark.parametrize("width", [20, 200, 512])
@pytest.mark.parametrize("seed", range(12, 28))
def test_engines_agree_on_many_random_pixel_models(seed: int, width: int) -> None:
    compare_random_pixels(seed, 40, width)


def test_engines_agree_on_steps_of_many_pixels() -> None:
    """A decoder computes the pixels of a large step in parts."""
    model = random_grey_model(3, width=4)
    compare_pixels(Comparison(model, ENGINES, model.name), np.random.default_rng(0), 1, (90, 262), 1)


def test_pixels_of_images_of_several_sizes_share_a_stream() -> None:
    random, model = np.random.default_rng(8), plain_grey_model()
    compare = Comparison(model, ENGINES, model.name)
    shapes = [[(28, 28), (5, 9), (1, 1)], [], [(5, 9)], [(20, 3), (20, 3)]]
    images = [[pictures(random, 1, *shape) for shape in each] for each in shapes]
    parts = [[NUMPY.image_pixel_symbols(model, x).select(0) for x in each] for each in images]
    nothing = np.zeros(0, np.uint16)
    joined = [Intervals(*(np.concatenate([nothing, *(part[k] for part in each)]) for k in range(2))) for each in parts]
    checks = random.integers(0, 1 << 32, len(shapes))
    coded = NUMPY.encode_streams(joined, checks)

    def decode(engine: Engine) -> Any:
        decoded, final = engine.decode_pixel_images(model, coded, shapes)
        return decoded, final_states(final), final.verify(checks)

    decoded, _, passed = compare("decode_pixel_images", decode)
    assert passed.all()
    for each, expected in zip(decoded, images, strict=True):
        assert all(np.array_equal(one, other[0]) for one, other in zip(each, expected, strict=True))
    compare("no streams", lambda engine: engine.decode_pixel_images(model, [], [])[0])


def test_grey_levels_that_the_largest_error_does_not_leave_are_refused() -> None:
    good = arguments()["image_pixel_symbols"]
    for max_error, grey, is_left in (
        (1, 2, False),
        (1, 3, True),
        (4, 255, False),
        (4, 252, True),
        (64, 128, False),
        (64, 255, True),
    ):
        x = np.zeros((N, HEIGHT, WIDTH), np.uint8)
        x[-1, -1, -1] = grey
        if is_left:
            call("image_pixel_symbols", good | {"x": x, "max_error": max_error})
        else:
            with pytest.raises(ValueError, match="out of its range"):
                call("image_pixel_symbols", good | {"x": x, "max_error": max_error})


def test_models_without_a_pixel_model_are_refused() -> None:
    model = random_grey_model(1, pixels=False)
    assert not model.has_pixel_model
    compare = Comparison(model, ENGINES, model.name)
    x = np.zeros((1, 2, 2), np.uint8)
    for error in (
        compare("image_pixel_symbols", lambda engine: engine.image_pixel_symbols(model, x)),
        compare("decode_pixel_images", lambda engine: engine.decode_pixel_images(model, [b"\1"], [[(2, 2)]])),
    ):
        assert isinstance(error, ModelError)
    assert EXTENSION is not None
    loaded, good = EXTENSION.Model(prepared.prepare(model)), arguments()
    for function in ("image_pixel_symbols", "decode_pixel_images"):
        with pytest.raises(ValueError, match="without loss"):
            getattr(loaded, function)(*good[function].values())


# ---- Damage ----


@pytest.mark.parametrize("bad", [b"", b"\0", b"\0\1\2\3\4"])
def test_streams_that_cannot_begin_are_refused_alike(bad: bytes) -> None:
    model = plain_grey_model()
    compare, shapes = Comparison(model, ENGINES, "a bad first state"), [[(9, 9)], [(8, 8)]]
    for coded in ([bad, b"\1\2\3"], [b"\1\2\3", bad]):
        error = compare("decode_image_latents", lambda engine, data=coded: engine.decode_image_latents(model, data, 7, shapes))
        assert isinstance(error, FormatError)
        error = compare("decode_pixel_images", lambda engine, data=coded: engine.decode_pixel_images(model, data, shapes))
        assert isinstance(error, FormatError)


def test_calls_from_several_threads_with_one_model_give_equal_results() -> None:
    assert EXTENSION is not None
    model, engine = plain_grey_model(), NativeEngine(EXTENSION)
    x = pictures(np.random.default_rng(2), 3, 40, 50)

    def work(_: int, engine: Engine = engine) -> list[bytes]:
        y = engine.analyse_images(model, x, 70)
        symbols = engine.image_symbols(model, y, 70)
        arrays = y, engine.synthesize_images(model, y, 70, (40, 50)), *symbols, *engine.image_pixel_symbols(model, x)
        return [array.tobytes() for array in arrays]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(24)))
    assert results == [work(0, NUMPY)] * 24


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 14))])
def test_engines_agree_on_models_of_tiles_with_the_layers_of_grey_ones(seed: int) -> None:
    maker = GreyMaker(np.random.default_rng(seed), largest=[100, 1 << 24][seed % 2])
    content = maker.file(pixels=False)
    model = read_model(content, f"tiles {seed}")
    compare = Comparison(model, ENGINES, model.name)
    random = np.random.default_rng(seed)
    compare_latents(compare, random, 2)
    compare_search(compare, random, 1, 2)


# ---- Prepared models ----


@cache
def content() -> bytes:
    return prepared.prepare(plain_grey_model())


def test_prepared_models_say_what_encoders_need() -> None:
    model = plain_grey_model()
    assert (stored_models.lmbda_of(content()) == model.lmbda).all()
    assert stored_models.has_pixel_model(content())
    assert not stored_models.has_pixel_model(prepared.prepare(random_grey_model(0, pixels=False)))
    tile_model = random_model(4)
    assert (stored_models.lmbda_of(prepared.prepare(tile_model)) == tile_model.lmbda).all()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 3))])
def test_damaged_prepared_models_are_refused_or_load(seed: int) -> None:
    count = 500 if seed == 0 else 2000
    script = ROOT / "tests" / "support" / "engine_mutations.py"
    command = [sys.executable, str(script), str(seed), str(count), "grey"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    refused, loaded = map(int, done.stdout.split())
    assert refused + loaded == count
    assert min(refused, loaded) > count // 10


def numbers(array: Any) -> bytes:
    """Numbers as they lie in a prepared model."""
    return np.ascontiguousarray(np.rint(array)).astype(np.int32).tobytes()


def changed(before: Any, after: Any, good: bytes | None = None) -> bytes:
    """A prepared model with another array, of which there is one."""
    good = good or content()
    old = numbers(before)
    assert good.count(old) == 1
    return good.replace(old, numbers(after))


def test_sums_that_could_exceed_their_limit_by_one_are_refused() -> None:
    assert EXTENSION is not None
    for number, group in enumerate(plain_grey_model().grey.prior.groups):
        bias = np.rint(group.bias / group.unit).astype(np.int64)
        before = 0 if group.before is None else np.abs(np.rint(group.before / group.unit)).sum(axis=0)
        around = np.abs(np.rint(group.around / group.unit)).sum(axis=1).max(axis=0)
        room = (1 << 24) - 224 * (before + around)
        padded = np.pad(bias, ((0, 0), (0, 0), (0, -bias.shape[2] % 16)))
        for sign in (-1, 1):
            for output in range(0, bias.shape[2], 5):
                other = padded.copy()
                other[number * 20, output % 9, output] = sign * room[output]
                assert EXTENSION.Model(changed(padded, other))
                other[number * 20, output % 9, output] += sign
                with pytest.raises(ValueError, match="could overflow"):
                    EXTENSION.Model(changed(padded, other))


def test_tables_out_of_their_range_are_refused() -> None:
    assert EXTENSION is not None
    grey = plain_grey_model().grey
    shape, within = grey.prior.shape, grey.prior.groups[2].within
    falling, high, low = shape.cumulative.copy(), shape.cumulative + 1, shape.cumulative - 1
    falling[500] = falling[501] + 1
    for cumulative in (falling, high, low):
        with pytest.raises(ValueError, match="damaged"):
            EXTENSION.Model(changed(shape.cumulative, cumulative))
    for scale in (0, -1, (1 << 22) + 1):
        with pytest.raises(ValueError, match="damaged"):
            EXTENSION.Model(changed(shape.inverse_scale, np.where(np.arange(64) == 9, scale, shape.inverse_scale)))
    for bound in (-1, 128):
        with pytest.raises(ValueError, match="damaged"):
            EXTENSION.Model(changed(grey.prior.bounds, np.where(np.arange(100)[:, None] == 9, bound, grey.prior.bounds)))
    for row in range(8):
        for column in range(8):
            if row % 4 >= column % 4:
                seen = within.copy()
                seen[row, column] = 1
                with pytest.raises(ValueError, match="damaged"):
                    EXTENSION.Model(changed(within, seen))


LAYERS = ("enter", "0", "1", "head", "linear")
ADDED = {"enter": ("spread", "prediction", "error", "positions"), "head": ("spread", "error")}


@cache
def pixel_array(name: str) -> Any:
    """An array of the pixel model of the plain model."""
    with np.load(io.BytesIO(plain_grey_file())) as arrays:
        return arrays[f"pixels.{name}"].astype(np.int64)


def in_blocks(rows: Any) -> Any:
    """Rows as they lie in a prepared model."""
    return np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % 16)])


@pytest.mark.parametrize("layer", LAYERS)
def test_sums_of_the_pixel_model_that_could_exceed_their_limit_by_one_are_refused(layer: str) -> None:
    """Both engines take the largest bias, and neither takes one more. All tables count."""
    assert EXTENSION is not None
    peak = 1023
    largest = sum(np.abs(pixel_array(f"{layer}.{name}")).max(axis=-2) for name in ADDED.get(layer, ()) if name != "positions")
    if layer == "enter":
        largest += np.abs(pixel_array("enter.positions")).max(axis=1).sum(axis=0)
    bias, shift = pixel_array(f"{layer}.bias"), pixel_array(f"{layer}.shift")
    half = np.where(shift > 0, 1 << (shift - 1), 0)
    room = (1 << 24) - peak * np.abs(pixel_array(f"{layer}.weight")).sum(axis=0) - largest
    for output, sign in ((0, 1), (len(bias) - 1, -1)):
        for beyond in (0, 1):
            other = bias.copy()
            other[output] = sign * (room[output] + beyond) - half[output]
            file = forge.with_arrays(plain_grey_file(), {f"pixels.{layer}.bias": other})
            stored = changed(in_blocks(bias + half), in_blocks(other + half))
            if beyond:
                with pytest.raises(ModelError, match="exact"):
                    read_model(file, "beyond")
                with pytest.raises(ValueError, match="could overflow"):
                    EXTENSION.Model(stored)
            else:
                assert read_model(file, "within").grey_pixels.components == 3
                assert EXTENSION.Model(stored)


def refused_pixel_arrays() -> list[tuple[str, Any]]:
    """Arrays of the pixel model with one fault each."""
    cases = [(name, (place, bad)) for name in ("magnify", "amplitude") for place, bad in ((0, -1), (43, (1 << 24) + 1))]
    cases += [("inverse_scale", (place, bad)) for place, bad in ((0, 0), (63, (1 << 22) + 1), (5, -9))]
    cases += [("cumulative", (place, bad)) for place, bad in ((0, -1), (1024, 65537), (600, 0))]
    return cases


@pytest.mark.parametrize(("name", "fault"), refused_pixel_arrays())
def test_pixel_models_with_a_number_out_of_its_range_are_refused(name: str, fault: tuple[int, int]) -> None:
    assert EXTENSION is not None
    array = pixel_array(name)
    other = array.copy()
    other[fault[0]] = fault[1]
    with pytest.raises(ModelError):
        read_model(forge.with_arrays(plain_grey_file(), {f"pixels.{name}": other}), "broken")
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(changed(array, other))


def test_pixel_models_of_other_shapes_are_refused() -> None:
    assert EXTENSION is not None
    widths = [pixel_array(f"{layer}.weight").shape[1] for layer in LAYERS]
    record = np.array([*widths, *[0] * (16 - len(widths))])
    for field in range(len(widths)):
        for bad in (-1, 0, widths[field] - 1, widths[field] + 16, 513, 1 << 30):
            other = record.copy()
            other[field] = bad
            with pytest.raises(ValueError, match=r"damaged|overflow"):
                EXTENSION.Model(changed(record, other))
    for layer, names in ADDED.items():
        for name in (*names, "bias"):
            rows = pixel_array(f"{layer}.{name}")
            for axis in range(rows.ndim):
                with pytest.raises(ModelError):
                    read_model(
                        forge.with_arrays(
                            plain_grey_file(), {f"pixels.{layer}.{name}": rows.take(range(1, rows.shape[axis]), axis)}
                        ),
                        "of another shape",
                    )
            if name != "bias":
                padded = in_blocks(rows)
                other = padded.copy()
                other[..., -1, -1] = 1  # padding
                with pytest.raises(ValueError, match="damaged"):
                    EXTENSION.Model(changed(padded, other))


def test_each_kind_of_model_has_its_own_functions() -> None:
    assert EXTENSION is not None
    loaded, of_tiles = EXTENSION.Model(content()), EXTENSION.Model(prepared.prepare(random_model(4)))
    x, inside = tiles(np.random.default_rng(0), 1)
    y, quality = np.zeros((1, 196), np.int8), np.full(1, 50, np.uint8)
    start, freq = np.empty((2, 1, 196), np.uint16)
    one, finals = np.ones(1, np.int32), np.empty((1, 2), np.uint32)
    with pytest.raises(ValueError, match="another kind"):
        loaded.first_latents(x, inside, quality, y)
    with pytest.raises(ValueError, match="another kind"):
        loaded.refine(x, inside, quality, 1, y)
    with pytest.raises(ValueError, match="another kind"):
        loaded.refine_to_budget(x, inside, quality, 1, np.zeros(1, np.int64), y)
    with pytest.raises(ValueError, match="another kind"):
        loaded.latent_symbols(y, quality, start, freq)
    with pytest.raises(ValueError, match="another kind"):
        loaded.synthesize(y, quality, x)
    with pytest.raises(ValueError, match="another kind"):
        loaded.decode_latents([b"\1\2\3"], quality, one, False, y, finals)
    counts, room = np.empty(1, np.int32), np.empty((3, 3136), np.int16)
    out = counts, room[0], room[1].view(np.uint16), room[2].view(np.uint16)
    for model, error in (
        (loaded, "another kind"),
        (EXTENSION.Model(prepared.prepare(random_grey_model(0, pixels=False))), "without loss"),
    ):
        with pytest.raises(ValueError, match=error):
            model.pixel_symbols(x, inside, 0, *out)
        with pytest.raises(ValueError, match=error):
            model.decode_pixels([b"\1\2\3"], inside, one, 0, False, x, np.empty(1, np.uint8), finals)
    good = arguments()
    for function in (name for name in FUNCTIONS if name != "encode_streams"):
        with pytest.raises(ValueError, match="another kind"):
            getattr(of_tiles, function)(*good[function].values())
    assert of_tiles.grey_symbols(2, 3, 50) == 0


# ---- Arguments ----

N, HEIGHT, WIDTH, ROWS, COLUMNS, QUALITY = 3, 9, 6, 3, 2, 60


@cache
def loaded() -> Any:
    assert EXTENSION is not None
    return EXTENSION.Model(content())


def arguments() -> dict[str, dict[str, Any]]:
    """Good arguments of each function."""
    x, y = np.zeros((N, HEIGHT, WIDTH), np.uint8), np.zeros((N, ROWS, COLUMNS, CHANNELS), np.int8)
    count = loaded().grey_symbols(ROWS, COLUMNS, QUALITY)
    assert count == ROWS * COLUMNS * CHANNELS
    start, freq = np.zeros((N, count), np.uint16), np.full((N, count), 300, np.uint16)
    size = {"images": N, "height": HEIGHT, "width": WIDTH, "quality": QUALITY}
    return {
        "analyse_images": {"x": x, **size, "y": y},
        "synthesize_images": {"y": y, **size, "out": x},
        "refine_image": {
            "x": x[0],
            "height": HEIGHT,
            "width": WIDTH,
            "quality": QUALITY,
            "effort": 1,
            "lmbda": 9,
            "y": y[0],
        },
        "image_symbols": {
            "y": y,
            "images": N,
            "rows": ROWS,
            "columns": COLUMNS,
            "quality": QUALITY,
            "start": start,
            "freq": freq,
        },
        "encode_streams": {
            "start": start[0],
            "freq": freq[0],
            "counts": np.array([count - 1, 1], np.int64),
            "checks": np.zeros(2, np.uint32),
            "check_bits": 16,
        },
        "decode_image_latents": {
            "coded": [b"\1\2\3\4\5", b"\x80\2\3"],
            "quality": QUALITY,
            "counts": np.array([2, 1], np.int32),
            "shapes": np.array([[ROWS, COLUMNS]] * N, np.int32),
            "y": y,
            "finals": np.empty((2, 2), np.uint32),
        },
        "image_pixel_symbols": {
            "x": x,
            "images": N,
            "height": HEIGHT,
            "width": WIDTH,
            "max_error": 3,
            "start": np.zeros((N, HEIGHT * WIDTH), np.uint16),
            "freq": np.zeros((N, HEIGHT * WIDTH), np.uint16),
        },
        "decode_pixel_images": {
            "coded": [b"\1\2\3\4\5", b"\x80\2\3"],
            "max_error": 3,
            "counts": np.array([2, 1], np.int32),
            "shapes": np.array([[HEIGHT, WIDTH]] * N, np.int32),
            "out": np.zeros((N, HEIGHT, WIDTH), np.uint8),
            "finals": np.empty((2, 2), np.uint32),
        },
    }


ON_IMAGES = ("analyse_images", "synthesize_images", "image_symbols", "decode_image_latents")
ON_PIXELS = ("image_pixel_symbols", "decode_pixel_images")
FUNCTIONS = (*ON_IMAGES, "refine_image", "encode_streams", *ON_PIXELS)
OUTPUTS = {"out", "finals", "start", "freq", "y"}
INPUTS_OF = {"encode_streams": OUTPUTS, "synthesize_images": {"y"}, "image_symbols": {"y"}}


def owner(function: str) -> Any:
    return EXTENSION if function == "encode_streams" else loaded()


def call(function: str, values: dict[str, Any]) -> Any:
    return getattr(owner(function), function)(*values.values())


@pytest.mark.parametrize("function", [*ON_IMAGES, "encode_streams", *ON_PIXELS])
class TestArguments(ArgumentTests):
    arguments = staticmethod(arguments)
    owner = staticmethod(owner)
    outputs = staticmethod(lambda function: OUTPUTS - INPUTS_OF.get(function, set()))


def bad_values() -> list[tuple[str, str, Any]]:
    """Values that arguments cannot have."""
    cases: list[tuple[str, str, Any]] = []
    for function in (*ON_IMAGES, "refine_image"):
        cases += [(function, "quality", bad) for bad in (-1, 100, 2**31 - 1, -(2**31))]
    for function in ON_PIXELS:
        cases += [(function, "max_error", bad) for bad in (-1, 65, 2**31 - 1, -(2**31))]
    for name in ("height", "width"):
        cases += [("image_pixel_symbols", name, bad) for bad in (-1, 0, 1, 65535, 65536, 2**31 - 1, -(2**31))]
    for function in ("analyse_images", "synthesize_images", "image_symbols", "image_pixel_symbols"):
        cases += [(function, "images", bad) for bad in (-1, 0, 2, 4, 2**31 - 1, -(2**31))]
    cases += [("refine_image", "effort", bad) for bad in (-1, 10, 2**31 - 1, -(2**31))]
    cases += [("refine_image", "lmbda", bad) for bad in (-1, (1 << 22) + 1, 2**31 - 1, -(2**31))]
    for function in ("analyse_images", "synthesize_images", "refine_image"):
        cases += [(function, name, bad) for name in ("height", "width") for bad in (-1, 0, 65537, 2**31 - 1, -(2**31))]
        cases += [(function, "height", HEIGHT + 1), (function, "height", HEIGHT - 1)]
    for name in ("rows", "columns"):
        cases += [("image_symbols", name, bad) for bad in (-1, 0, 1, 16385, 2**31 - 1, -(2**31))]
    beyond = int(plain_grey_model().grey.prior.bounds[QUALITY, -1]) + 1
    for bad in (beyond, -beyond, -128, 127):
        y = np.zeros((N, ROWS, COLUMNS, CHANNELS), np.int8)
        y[-1, -1, -1, -1] = bad
        cases += [("synthesize_images", "y", y), ("image_symbols", "y", y), ("refine_image", "y", y[-1])]
    cases += [("encode_streams", "check_bits", bad) for bad in (-1, 24, 2**31 - 1)]
    size = ROWS * COLUMNS * CHANNELS
    for counts in ([size, 1], [size + 1, -1], [-1, size + 1], [2**62, 2**62], [size, -(2**63)], [size - 1, 0], [size]):
        cases.append(("encode_streams", "counts", np.array(counts, np.int64)))
    for few in ([3, 1], [4, -1], [-1, 4], [2, 0], [2**31 - 1, 1], [3], [1, 1, 1]):
        cases += [(function, "counts", np.array(few, np.int32)) for function in ("decode_image_latents", "decode_pixel_images")]
    for shape in ([0, 2], [3, 0], [-1, 2], [4, 2], [16385, 1], [2**31 - 1, 2**31 - 1]):
        cases.append(("decode_image_latents", "shapes", np.array([[ROWS, COLUMNS], [ROWS, COLUMNS], shape], np.int32)))
    for shape in ([0, 6], [9, 0], [-1, 6], [8, 6], [65536, 1], [65535, 65535], [2**31 - 1, 2**31 - 1]):
        shapes = np.array([[HEIGHT, WIDTH], [HEIGHT, WIDTH], shape], np.int32)
        cases.append(("decode_pixel_images", "shapes", shapes))
    for coded in ([], [b"\1"], [b"\1"] * 3, [b"\1", b""], [b"\1", b"\0\1"]):
        cases += [(function, "coded", coded) for function in ("decode_image_latents", "decode_pixel_images")]
    return cases


@pytest.mark.parametrize(("function", "name", "value"), bad_values())
def test_values_that_no_caller_may_give_are_refused(function: str, name: str, value: Any) -> None:
    good = arguments()[function]
    with pytest.raises(ValueError, match=r"\w"):
        call(function, good | {name: value})


@pytest.mark.parametrize("coded", [None, 5, "text", [None, b"\1"], [b"\1", "text"], [bytearray(b"\1"), b"\1"]])
def test_streams_are_bytes(coded: Any) -> None:
    with pytest.raises(TypeError):
        call("decode_image_latents", arguments()["decode_image_latents"] | {"coded": coded})
    with pytest.raises(TypeError):
        call("decode_pixel_images", arguments()["decode_pixel_images"] | {"coded": coded})


def test_symbols_beyond_the_bounds_are_refused() -> None:
    assert EXTENSION is not None
    model, engine = plain_grey_model(), NativeEngine(EXTENSION)
    for bad in (model.grey.prior.bounds[50, 3] + 1, 128, 256, 1 << 40):
        y = np.zeros((1, 2, 2, CHANNELS), np.int64)
        y[0, 1, 1, 3] = bad
        with pytest.raises(ValueError, match="out of its range"):
            engine.image_symbols(model, y, 50)
        with pytest.raises(ValueError, match="out of its range"):
            engine.synthesize_images(model, y, 50, (8, 8))


def test_a_model_computes_with_the_instructions_that_it_was_loaded_for() -> None:
    assert EXTENSION is not None
    for instructions in INSTRUCTIONS:
        assert EXTENSION.Model(content(), instructions).instructions() == instructions


def test_models_with_a_bias_per_position_are_refused() -> None:
    """Pictures have any size, so no such bias fits them."""
    assert EXTENSION is not None
    good = content()
    words = np.frombuffer(good, np.int32).reshape(-1, 16)
    (record,) = np.flatnonzero((words[:, 0] == 1) & (words[:, 2] == 3) & (words[:, 5] == 16) & (words[:, 6] == 1))[-1:]
    other = words.copy()
    other[record, 6] = 49
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(other.tobytes())


def test_a_model_that_is_no_grey_one_has_no_networks_for_images() -> None:
    model: Model = random_model(3, pixels=False)
    assert not model.is_grey
    for engine in NATIVE_ENGINES:
        with pytest.raises(ValueError, match="another kind"):
            engine.analyse_images(model, np.zeros((1, 4, 4), np.uint8), 0)
