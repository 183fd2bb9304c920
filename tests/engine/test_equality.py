"""Every engine computes the same: random models and inputs, with each kind of vector instructions of this processor.

``HYPOTHESIS_PROFILE=long pytest -m "" tests/engine/test_equality.py`` takes ten times as long as the slow tests.
"""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from mnistzip.engines.interface import Engine
from mnistzip.engines.native_engine import NativeEngine
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.engines.reference.rdo import SIGNS
from mnistzip.errors import ModelError
from mnistzip.models import prepared, registry
from mnistzip.models.model import Model, read_model
from mnistzip.nn.exact import Range
from support.engine_cases import Comparison, compare_latents, compare_pixels, compare_search, tiles
from support.engines import EXTENSION, INSTRUCTIONS, NATIVE_ENGINES, needs_extension
from support.models import TILED
from support.random_models import ModelMaker, features, model_file, random_model, wide_gradients

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
ENGINES: list[Engine] = [NUMPY, *NATIVE_ENGINES]

pytestmark = needs_extension

seeds = st.integers(0, 2**32 - 1)


def some(count: int) -> settings:
    return settings(
        max_examples=count * (10 if LONG else 1),
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def compare_all(seed: int, count: int, effort: int, pixels: bool, hard: bool = False) -> None:
    """Compare all operations on a random model."""
    random = np.random.default_rng([seed, 1])
    compare = Comparison(random_model(seed, pixels), ENGINES, f"random_model({seed}, {pixels})")
    compare_latents(compare, random, count)
    compare_search(compare, random, min(count, 2), effort, hard)
    if pixels:
        compare_pixels(compare, random, count)


@some(15)
@given(seed=seeds, count=st.integers(1, 18), effort=st.integers(0, 3), pixels=st.booleans())
def test_engines_agree_on_random_models(seed: int, count: int, effort: int, pixels: bool) -> None:
    compare_all(seed, count, effort, pixels)


@pytest.mark.slow
@some(150)
@given(seed=seeds, count=st.integers(1, 40), effort=st.integers(0, 5), pixels=st.booleans())
def test_engines_agree_on_many_random_models(seed: int, count: int, effort: int, pixels: bool) -> None:
    compare_all(seed, count, effort, pixels)


@pytest.mark.slow
@some(5)
@given(seed=seeds, effort=st.integers(0, 5))
def test_engines_agree_where_no_search_meets_the_limit(seed: int, effort: int) -> None:
    compare_all(seed, 1, effort, pixels=False, hard=True)


@pytest.mark.parametrize("effort", [*range(9), pytest.param(9, marks=pytest.mark.slow)])
def test_engines_agree_at_each_effort(effort: int) -> None:
    random = np.random.default_rng(effort)
    compare = Comparison(random_model(44, pixels=False), ENGINES, f"effort {effort}")
    moved = compare_search(compare, random, 2, effort)
    assert (moved > 0) == (effort > 0), "the search has nothing to do"


def test_engines_agree_at_all_qualities() -> None:
    random, model = np.random.default_rng(3), random_model(8, pixels=False)
    compare = Comparison(model, ENGINES, "all qualities")
    x, inside = tiles(random, 100)
    quality_index = random.permutation(100)
    y = compare("first_latents", lambda engine: engine.first_latents(model, x, inside, quality_index))
    compare("latent_symbols", lambda engine: engine.latent_symbols(model, y, quality_index))
    compare("synthesize", lambda engine: engine.synthesize(model, y, quality_index))
    refined = compare("refine", lambda engine: engine.refine(model, x, inside, y, quality_index, 2))
    assert (refined != y).any(axis=1).sum() > 50


@pytest.mark.parametrize("name", ["mnist", *(pytest.param(name, marks=pytest.mark.slow) for name in TILED if name != "mnist")])
def test_engines_agree_on_shipped_models(name: str) -> None:
    random = np.random.default_rng(4)
    compare = Comparison(registry.shipped(name), ENGINES, name)
    compare_latents(compare, random, 3)
    compare_search(compare, random, 2, 2)
    if compare.model.has_pixel_model:
        compare_pixels(compare, random, 3)


@pytest.mark.parametrize("seed", range(3))
def test_engines_agree_where_gradients_need_wide_matrices(seed: int) -> None:
    model = wide_gradients(seed)
    wide = {"wide gradient of a convolution", "wide gradient of near to symbols", "wide gradient of logits to far"}
    assert wide <= features(model)
    random = np.random.default_rng(seed)
    compare = Comparison(model, ENGINES, model.name)
    compare_latents(compare, random, 2)
    compare_search(compare, random, 2, 5)


@pytest.mark.parametrize("seed", range(4))
def test_wide_matrices_give_what_narrow_ones_give(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prepared model may lay out every matrix for numbers of 32 bits, also those that need only 16."""
    assert EXTENSION is not None
    monkeypatch.setattr(prepared.writer, "NARROW", Range(1 << 40, -(1 << 40)))
    random = np.random.default_rng(seed)
    model = random_model(seed, pixels=seed % 2 == 0)
    engines: list[Engine] = [NUMPY, *(NativeEngine(EXTENSION, name) for name in INSTRUCTIONS)]
    compare = Comparison(model, engines, "all wide")
    compare_latents(compare, random, 2)
    compare_search(compare, random, 1, 2)
    if seed % 2 == 0:
        compare_pixels(compare, random, 2)


@pytest.mark.parametrize("seed", [24, 107, 227])
def test_engines_agree_on_models_whose_symbols_have_enormous_effects(seed: int) -> None:
    model = random_model(seed, pixels=False)
    quality_index = np.array([3, 77])
    x, inside = tiles(np.random.default_rng(0), 2)
    _, tapes = model.transforms.trace(model.transforms.analyse(x, quality_index), quality_index)
    effects = model.transforms.back(tapes, SIGNS[None].repeat(2, 0), quality_index)
    assert np.abs(effects).max() > 2**32, "its square must not fit 64 bits"
    compare = Comparison(model, ENGINES, model.name)
    y = compare("first_latents", lambda engine: engine.first_latents(model, x, inside, quality_index))
    compare("refine", lambda engine: engine.refine(model, x, inside, y, quality_index, 3))


@pytest.mark.parametrize(("place", "quality", "fits"), [(1 << 24, 0, True), (-(1 << 24), 1, False), ((1 << 24) - 1, -1, True)])
def test_engines_accept_the_same_biases(place: int, quality: int, fits: bool) -> None:
    """A sum of 2^24 + 1 is one too many, although float32 rounds it to 2^24."""
    assert EXTENSION is not None
    maker = ModelMaker(np.random.default_rng(1))
    file = dict(np.load(io.BytesIO(maker.file(pixels=False))))
    name = next(key.removesuffix(".weight") for key in file if key.startswith("made.") and key.endswith(".weight"))
    file |= {f"{name}.weight": 0 * file[f"{name}.weight"], f"{name}.shift": 0 * file[f"{name}.shift"]}
    file[f"{name}.place"] = np.full_like(file[f"{name}.place"], place)
    file[f"{name}.quality"] = np.full_like(file[f"{name}.quality"], quality)
    meta = json.loads(file.pop("meta").tobytes())
    if fits:
        assert EXTENSION.Model(prepared.prepare(read_model(model_file(meta, file), "made")))
    else:
        with pytest.raises(ModelError, match="sums could reach 16777217"):
            read_model(model_file(meta, file), "made")


def test_random_models_are_as_various_as_models_can_be() -> None:
    found: dict[str, int] = {}
    for seed in range(40):
        for feature in features(random_model(seed, pixels=seed % 2 == 0)):
            found[feature] = found.get(feature, 0) + 1
    ops = ("conv", "gain", "residual", "space_to_depth", "depth_to_space", "max_pool", "upsample", "lookup")
    expected = {f"{op} in {network}" for op in ops for network in ("analysis", "synthesis")}
    expected |= {f"kernel {kernel}" for kernel in (1, 3, 5, 7)} | {f"shift {shift}" for shift in range(22)}
    expected |= {f"near {a}" for a in range(1, 6)} | {f"far {b}" for b in range(1, 5)} | {"depth 1", "depth 2"}
    expected |= {f"key of {size}" for size in (1, 2, 7, 16, 32)} | {"odd width", "even width", "odd channels"}
    expected |= {f"wide {what}" for what in ("weights", "inputs", "prior", "plane INK", "plane SHADE")}
    expected |= {"sum of 2^24", "a range without 0", "bias of each place", "bias of one place"}
    assert expected <= set(found), expected - set(found)
    assert found["wide prior"] < 30, "too few models have a narrow one"


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_a_model_computes_with_the_instructions_that_it_was_loaded_for(instructions: str) -> None:
    assert EXTENSION is not None
    content = prepared.prepare(random_model(1, pixels=False))
    assert EXTENSION.Model(content, instructions).instructions() == instructions
    assert EXTENSION.Model(content).instructions() == INSTRUCTIONS[0]


def test_calls_from_several_threads_with_one_model_give_equal_results() -> None:
    assert EXTENSION is not None
    model = random_model(2)
    engine = NativeEngine(EXTENSION)  # the first calls, at the same time, load the model
    random = np.random.default_rng(2)
    x, inside = tiles(random, 6)
    quality_index = random.integers(0, 100, 6)

    def work(_: int, engine: Engine = engine) -> list[bytes]:
        y = engine.first_latents(model, x, inside, quality_index)
        y = engine.refine(model, x, inside, y, quality_index, 3)
        symbols = engine.pixel_symbols(model, x, inside)
        return [array.tobytes() for array in (y, engine.synthesize(model, y, quality_index), *symbols)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(24)))
    assert results == [work(0, NUMPY)] * 24


def test_a_model_without_a_pixel_model_says_so() -> None:
    model: Model = random_model(3, pixels=False)
    x, inside = tiles(np.random.default_rng(0), 1)
    for engine in ENGINES:
        with pytest.raises(ModelError, match="which has none"):
            engine.pixel_symbols(model, x, inside)
