"""The networks computed through torch: the same bytes and pixels."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import numpy as np
import pytest
import torch

import mnistzip
from mnistzip.cli.main import run
from mnistzip.errors import ModelError
from mnistzip.models import engine as engines, registry
from mnistzip.plugins import gpu
from mnistzip.types import Pixels

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics processor that torch can use")
)
QUALITIES = (1, 50, 100)


@pytest.fixture
def noise() -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (2, 28, 28), dtype=np.uint8)


@pytest.fixture(params=["torch-cpu", CUDA])
def engine(request: pytest.FixtureRequest) -> Iterator[gpu.TorchEngine]:
    """Torch on the processor runs the same code as on a graphics processor."""
    torch.set_num_threads(1)
    yield gpu.engine_on("cpu" if request.param == "torch-cpu" else "cuda")
    engines.DEFAULT.engine = engines.NUMPY


@pytest.mark.parametrize("name", [*registry.SHIPPED, registry.AUTO])
def test_files_and_pixels_are_those_of_numpy(name: str, engine: gpu.TorchEngine, digits: Pixels, noise: Pixels) -> None:
    images = np.concatenate([digits[:6], noise])
    mixed = [*images, np.tile(digits[:8].reshape(2, 4, 28, 28).transpose(0, 2, 1, 3).reshape(56, 112), (3, 1))[:150, :100]]
    files = [mnistzip.encode_many(mixed, quality=quality, effort=0, model=name) for quality in QUALITIES]
    searched = mnistzip.encode_many(images[:2], model=name)
    pixels = [mnistzip.decode_many(some) for some in files]
    engines.DEFAULT.engine = engine
    assert all(isinstance(model.prior, gpu.TorchPrior) for model in registry.candidates(name))
    assert [mnistzip.encode_many(mixed, quality=quality, effort=0, model=name) for quality in QUALITIES] == files
    assert mnistzip.encode_many(images[:2], model=name) == searched
    for some, expected in zip(files, pixels, strict=True):
        for image, same in zip(mnistzip.decode_many(some), expected, strict=True):
            assert (image == same).all()
    engines.DEFAULT.engine = engines.NUMPY
    assert not any(isinstance(model.prior, gpu.TorchPrior) for model in registry.candidates(name))


def test_damage_is_found_there_as_well(engine: gpu.TorchEngine, digits: Pixels) -> None:
    file = bytearray(mnistzip.encode(digits[0], effort=0))
    file[9] ^= 16
    engines.DEFAULT.engine = engine
    with pytest.raises(mnistzip.FormatError):
        mnistzip.decode(bytes(file))


def test_an_engine_is_an_argument_and_leaves_other_models_alone(engine: gpu.TorchEngine, digits: Pixels) -> None:
    there, here = registry.shipped("mnist", engine), registry.shipped("mnist")
    assert isinstance(there.transforms, gpu.TorchTransforms)
    assert isinstance(there.prior, gpu.TorchPrior)
    assert type(here.transforms) is not type(there.transforms)
    assert registry.shipped("mnist", engine) is there  # read once for each engine
    files = mnistzip.encode_many(digits[:4], model=there)
    assert files == mnistzip.encode_many(digits[:4], model=here)
    assert (np.stack(mnistzip.decode_many(files, model=there)) == np.stack(mnistzip.decode_many(files))).all()


def test_a_device_is_used_by_all_threads_until_the_processor_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[type] = []
    monkeypatch.setattr(gpu, "engine_on", lambda _device: gpu.TorchEngine(torch.device("cpu")))
    for device in ("cuda", "cpu"):
        gpu.use(device)
        thread = Thread(target=lambda: kinds.append(type(registry.shipped("mnist-fast").transforms)))
        thread.start()
        thread.join()
    assert kinds[0] is gpu.TorchTransforms
    assert kinds[1] is not gpu.TorchTransforms


def test_a_device_that_is_not_there_is_an_error(tmp_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="--device abacus: torch cannot use it here"):
        gpu.use("abacus")
    assert run(["compress", "no.png", "--device", "cuda:99"]) == 1
    assert "--device cuda:99" in capsys.readouterr().err
    gpu.use("cpu")
