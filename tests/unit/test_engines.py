"""Engines: everything that a file needs is computed by the engine of the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

import mnistzip
from mnistzip.cli.main import run
from mnistzip.coding.lossless import pixel_symbols
from mnistzip.engines import choice
from mnistzip.engines.interface import Engine, PixelSymbols
from mnistzip.engines.numpy_engine import NUMPY, NumpyEngine
from mnistzip.models.registry import Model, shipped
from mnistzip.tiling import tiles_of
from mnistzip.types import Pixels
from support.engines import engine_named


class Elsewhere:
    """An engine that computes with a model of its own, and notes the operations that it was asked for."""

    instructions = "elsewhere"

    def __init__(self, engine: Engine, model: Model) -> None:
        self.name = engine.name
        self._engine, self._model = engine, model
        self.used: set[str] = set()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        compute = getattr(self._engine, operation)
        self.used.add(operation)
        if operation in ("encode_latents", "encode_pixels"):
            return compute
        return lambda _model, *arguments, **options: compute(self._model, *arguments, **options)


@pytest.fixture(params=choice.NAMES)
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """Such an engine in place of each engine. It is the one that the environment names, and there is no other."""
    engine = Elsewhere(engine_named(request.param), shipped("mnist"))
    monkeypatch.setenv(choice.VARIABLE, engine.name)
    native, numpy = (engine if name == engine.name else Unusable(name) for name in ("native", "numpy"))
    monkeypatch.setattr(choice, "NATIVE", native)
    monkeypatch.setattr(choice, "_numpy", lambda: numpy)
    return engine


class Unusable:
    """An engine that computes nothing."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def hollow() -> Model:
    """A model whose networks compute nothing."""
    model = replace(shipped("mnist"), stored=None)
    vars(model)["lossy_parts"] = replace(shipped("mnist").lossy_parts, transforms=None, prior=None)
    vars(model)["pixels"] = object()
    return model


@pytest.fixture(scope="module")
def images(digits: Pixels) -> list[Pixels]:
    return [*digits[:3], digits[3][:20, :17], np.hstack(list(digits[:18]))]


FILES: list[dict[str, Any]] = [
    {"effort": 0},
    {"effort": 2},
    {"lossless": True},
    {"effort": 0, "max_bytes": 200},
    {"effort": 0, "min_psnr": 20},
    {"effort": 0, "bare": True},
    {"effort": 1, "bare": True, "max_bytes": 300},
]


@pytest.mark.parametrize("options", FILES)
def test_files_need_no_network_but_those_of_the_engine(
    options: dict[str, Any], hollow: Model, images: list[Pixels], elsewhere: Elsewhere
) -> None:
    with choice.use(NUMPY):
        expected = mnistzip.encode_many(images, model="mnist", **options)
    assert mnistzip.encode_many(images, model=hollow, **options) == expected
    for image, file in zip(images, expected, strict=True):
        if "bare" in options:
            decoded = mnistzip.decode_bare(file, shape=image.shape, model=hollow)
        else:
            decoded = mnistzip.decode(file, model=hollow)
            assert mnistzip.preview(file, model=hollow).shape == image.shape
        assert decoded.shape == image.shape
    assert elsewhere.used


@pytest.mark.parametrize("lossless", [False, True])
def test_archives_need_no_network_but_those_of_the_engine(
    lossless: bool, hollow: Model, images: list[Pixels], elsewhere: Elsewhere
) -> None:
    archive = mnistzip.encode_archive(images, model=hollow, lossless=lossless, effort=1)
    with mnistzip.Archive(archive, model=hollow) as opened:
        assert [image.shape for image in opened] == [image.shape for image in images]
    kind = "pixels" if lossless else "latents"
    assert {f"encode_{kind}", f"decode_{kind}"} <= elsewhere.used


def test_an_engine_serves_its_context_alone() -> None:
    seen = []
    with choice.use("numpy") as engine:
        assert choice.current() is engine
    with pytest.raises(KeyError), choice.use("numpy"):
        raise KeyError
    assert choice._chosen.get() is None
    with choice.use("numpy"):
        thread = Thread(target=lambda: seen.append(choice._chosen.get()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_threads_of_an_archive_use_the_engine_of_its_caller(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = mnistzip.encode_archive(digits, effort=0, threads=1)
    with choice.use("numpy"):
        monkeypatch.setenv(choice.VARIABLE, "none")  # of an engine that other threads would look for
        assert mnistzip.encode_archive(digits, effort=0, threads=2) == archive


@pytest.mark.parametrize(("name", "error"), [("fast", "numpy or native"), ("native", "pip install --no-binary mnistzip")])
def test_an_engine_that_cannot_be_used_says_so(
    name: str, error: str, digit_png: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = mnistzip.encode_archive([np.zeros((28, 28), np.uint8)])
    monkeypatch.setattr(choice, "NATIVE", None)
    with pytest.raises(mnistzip.OptionError, match=error), choice.use(name):
        pass
    monkeypatch.setenv(choice.VARIABLE, name)
    for call in (mnistzip.engine, lambda: mnistzip.encode(np.eye(28, dtype=np.uint8))):
        with pytest.raises(mnistzip.OptionError, match=error):
            call()
    with mnistzip.Archive(archive) as opened, pytest.raises(mnistzip.OptionError, match=error):  # not damage of every image
        list(opened.parts())
    assert run(["--version"]) == 1
    assert error in capsys.readouterr().err


def test_engines_of_threads_that_run_at_the_same_time_are_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "NATIVE", Unusable("native"))
    together = Barrier(3, timeout=60)
    seen: dict[str, list[str]] = {}

    def choose(name: str) -> None:
        names = seen.setdefault(name, [])
        together.wait()
        with choice.use(name):
            together.wait()  # all have chosen
            names.append(choice.current().name)
            other = choice.NAMES[1 - choice.NAMES.index(name)]
            with choice.use(other):
                together.wait()
                names.append(choice.current().name)
            together.wait()  # all have left the inner choice
            names.append(choice.current().name)

    threads = [Thread(target=choose, args=[name]) for name in choice.NAMES]
    for thread in threads:
        thread.start()
    before = choice._chosen.get()
    for _ in range(4):
        together.wait()
        assert choice._chosen.get() is before
    for thread in threads:
        thread.join()
    assert seen == {"numpy": ["numpy", "native", "numpy"], "native": ["native", "numpy", "native"]}


def test_a_choice_ends_where_it_began_whatever_happens_inside() -> None:
    outer = choice.current()
    with choice.use(NUMPY):
        with pytest.raises(mnistzip.OptionError), choice.use("fast"):
            pass
        assert choice.current() is NUMPY
        with pytest.raises(ZeroDivisionError), choice.use("numpy"):
            raise ZeroDivisionError
        assert choice.current() is NUMPY
    assert choice.current() is outer


def test_the_variable_names_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "numpy")
    assert isinstance(choice.current(), NumpyEngine)
    assert str(mnistzip.engine()) == f"numpy {np.__version__}"
    monkeypatch.setenv(choice.VARIABLE, "")
    default = choice.current()
    monkeypatch.delenv(choice.VARIABLE)
    assert choice.current() is default


def test_symbols_of_images_part_and_join(images: list[Pixels]) -> None:
    model = shipped("mnist")
    alone = [pixel_symbols(model, [image])[0] for image in images]
    together = pixel_symbols(model, images)
    for one, other in zip(alone, together, strict=True):
        for column, same in zip(one, other, strict=True):
            assert column.dtype == same.dtype
            assert (column == same).all()
    joined = PixelSymbols.join(together)
    assert joined.bits == sum(symbols.bits for symbols in together)
    for symbols, again in zip(together, joined.split([tiles_of(image) for image in images]), strict=True):
        assert all((a == b).all() for a, b in zip(symbols, again, strict=True))
