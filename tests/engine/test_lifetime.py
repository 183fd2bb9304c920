"""No call leaks a buffer, a model or memory, whether it succeeds or fails."""

from __future__ import annotations

import gc
import mmap
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnistzip.engines.native_engine import NativeEngine
from mnistzip.models import prepared
from support.engine_cases import tiles
from support.engines import EXTENSION, needs_extension
from support.random_models import random_model

ROUNDS, N = 50, 3
COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()  # free-threaded Python counts references lazily

pytestmark = [needs_extension, pytest.mark.skipif(not COUNTED, reason="this Python does not count references exactly")]


@pytest.fixture(scope="module")
def content() -> bytes:
    return prepared.prepare(random_model(2))


def calls(model: Any) -> dict[str, tuple[Callable[..., Any], list[Any]]]:
    """Each function with good arguments."""
    assert EXTENSION is not None
    x, inside = tiles(np.random.default_rng(0), N)
    y, quality = np.zeros((N, 196), np.int8), np.full(N, 50, np.uint8)
    start, freq = np.zeros((N, 196), np.uint16), np.full((N, 196), 300, np.uint16)
    counts, checks, finals = np.array([2, 1], np.int32), np.zeros(2, np.uint32), np.empty((2, 2), np.uint32)
    coded = [bytes([1, 2, 3, 4, k]) for k in range(2)]
    room = [np.empty(N * 3136, kind) for kind in (np.int16, np.uint16, np.uint16)]
    pixels = [np.array([1, 0, 2], np.int32), np.zeros(3, np.int16), np.zeros(3, np.uint16), np.full(3, 9, np.uint16)]
    return {
        "first_latents": (model.first_latents, [x, inside, quality, y]),
        "refine": (model.refine, [x, inside, quality, 1, y]),
        "refine_to_budget": (model.refine_to_budget, [x, inside, quality, 1, np.full(N, 1 << 30), y]),
        "latent_symbols": (model.latent_symbols, [y, quality, start, freq]),
        "synthesize": (model.synthesize, [y, quality, np.empty_like(x)]),
        "decode_latents": (model.decode_latents, [coded, quality[:2], counts, False, y, finals]),
        "pixel_symbols": (model.pixel_symbols, [x, inside, 0, np.empty(N, np.int32), *room]),
        "decode_pixels": (
            model.decode_pixels,
            [coded, inside, counts, 0, False, np.empty_like(x), np.empty(N, np.uint8), finals],
        ),
        "encode_latents": (EXTENSION.encode_latents, [start, freq, counts, checks, 16, True]),
        "encode_pixels": (EXTENSION.encode_pixels, [*pixels, counts, checks]),
        "find_bitmaps": (EXTENSION.find_bitmaps, [x, np.empty((N, 3), np.int32), np.empty((N, 1 << 14), np.uint8)]),
        "digits_of": (EXTENSION.digits_of, [np.array([[20, 2, 1]] * N, np.int32), np.ones(N * 40, np.uint8), x.copy()]),
    }


FUNCTIONS = ("first_latents", "refine", "refine_to_budget", "latent_symbols", "synthesize", "decode_latents", "pixel_symbols")
FUNCTIONS += ("decode_pixels", "encode_latents", "encode_pixels", "find_bitmaps", "digits_of")


def references(model: Any, arguments: list[Any]) -> list[int]:
    """How many references there are to a model, to each argument, and to what the arguments hold."""
    held = [item for argument in arguments if isinstance(argument, list) for item in argument]
    owned = [thing for thing in (model, *arguments, *held) if type(thing) in (type(model), np.ndarray, list, bytes)]
    return [sys.getrefcount(thing) for thing in owned if not (isinstance(thing, bytes) and len(thing) < 2)]  # others are shared


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_call_leaves_the_references_as_they_were(function: str, content: bytes) -> None:
    assert EXTENSION is not None
    model = EXTENSION.Model(content)
    call, arguments = calls(model)[function]
    before = references(model, arguments)
    for _ in range(ROUNDS):
        call(*arguments)
    assert references(model, arguments) == before


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_call_that_fails_leaves_the_references_as_they_were(function: str, content: bytes) -> None:
    assert EXTENSION is not None
    model = EXTENSION.Model(content)
    call, good = calls(model)[function]
    for index, value in enumerate(good):
        bad: list[Any] = [None, np.zeros(1, np.int8), b"", [b"\1", None], [b"\1", b"\0"], -1]
        if isinstance(value, np.ndarray):
            fixed = value.copy()
            fixed.flags.writeable = False
            bad += [fixed, np.full_like(value, 127)]
        for other in bad:
            arguments = [*good[:index], other, *good[index + 1 :]]
            before = references(model, arguments)
            for _ in range(3):
                try:
                    call(*arguments)
                except (ValueError, TypeError, BufferError):
                    failed = True
            assert references(model, arguments) == before
    assert failed


def test_results_are_held_by_nobody_else(content: bytes) -> None:
    assert EXTENSION is not None
    cases = calls(EXTENSION.Model(content))
    for function in ("encode_latents", "encode_pixels"):
        call, arguments = cases[function]
        result = call(*arguments)
        assert len(result) == 2
        assert sys.getrefcount(result) == 2
        assert [sys.getrefcount(result[k]) for k in range(2)] == [2, 2]


def test_models_come_and_go(content: bytes) -> None:
    assert EXTENSION is not None
    damaged = bytearray(content)
    damaged[-100_000:-50_000] = bytes([77]) * 50_000
    kind = EXTENSION.Model
    before = sys.getrefcount(kind), sys.getrefcount(content)
    models = [kind(content) for _ in range(5)]
    assert sys.getrefcount(kind) == before[0] + 5
    del models
    for _ in range(ROUNDS):
        kind(content)
        for bad in (content[:-64], bytes(damaged), content[:100], b""):
            with pytest.raises(ValueError, match=r"damaged|overflow"):
                kind(bad)
        with pytest.raises(TypeError):
            kind(None)
    assert (sys.getrefcount(kind), sys.getrefcount(content)) == before


def test_the_memory_of_models_is_freed(content: bytes) -> None:
    """Hundreds of models, loaded or refused, and calls that succeed or fail, do not make the process grow."""
    assert EXTENSION is not None
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        pytest.skip("only Linux tells how much memory a process has")

    def pages() -> int:
        return int(statistics.read_text().split()[1])

    def work(rounds: int) -> None:
        for _ in range(rounds):
            model = EXTENSION.Model(content)
            for call, arguments in calls(model).values():
                call(*arguments)
                with pytest.raises((ValueError, TypeError)):
                    call(*arguments[:-1], arguments[0][:1])
            with pytest.raises(ValueError, match="damaged"):
                EXTENSION.Model(content[:-64])

    work(20)
    before = pages()
    work(200)
    gc.collect()
    assert (pages() - before) * 4096 < 20 * len(content), f"{len(content)} bytes a model"


def test_an_engine_lets_go_of_a_model_that_nobody_uses() -> None:
    assert EXTENSION is not None
    engine, model = NativeEngine(EXTENSION), random_model(3, pixels=False)
    engine.synthesize(model, np.zeros((1, 196), np.int64), np.zeros(1, np.int64))
    assert len(engine._loaded) == 1
    watched = weakref.ref(model)
    del model
    gc.collect()
    assert watched() is None
    assert len(engine._loaded) == 0


def pictures_of(model: Any) -> bytes:
    """What a model makes of some symbols."""
    y = np.random.default_rng(3).integers(-1, 2, (N, 196)).astype(np.int8)
    x_hat = np.empty((N, 28, 28), np.uint8)
    model.synthesize(y, np.full(N, 50, np.uint8), x_hat)
    return x_hat.tobytes()


def test_a_mapped_model_is_used_where_it_is_and_stays_mapped(content: bytes, tmp_path: Path) -> None:
    assert EXTENSION is not None
    expected = pictures_of(EXTENSION.Model(content))
    path = tmp_path / "model.prepared"
    path.write_bytes(bytes(64) + content)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    model = EXTENSION.Model(memoryview(mapped)[64:])
    with pytest.raises(BufferError):
        mapped.close()
    assert pictures_of(model) == expected
    del model
    gc.collect()
    mapped.close()


def test_a_failed_load_releases_the_mapped_model(content: bytes, tmp_path: Path) -> None:
    assert EXTENSION is not None
    path = tmp_path / "model.prepared"
    path.write_bytes(content[:-64])
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with pytest.raises(ValueError, match="damaged"):
        EXTENSION.Model(mapped)
    mapped.close()


def test_a_model_from_memory_that_can_change_is_copied(content: bytes) -> None:
    assert EXTENSION is not None
    changeable = np.zeros(len(content) + 64, np.uint8)
    start = -changeable.ctypes.data % 64
    changeable[start : start + len(content)] = np.frombuffer(content, np.uint8)
    model = EXTENSION.Model(changeable[start : start + len(content)])
    expected = pictures_of(model)
    changeable[:] = 255
    assert pictures_of(model) == expected
