"""Prepared models that the build stores: they equal what the model files give, and are used only for these."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mnistzip
from mnistzip import pretrained
from mnistzip.engines.native_engine import NATIVE
from mnistzip.idx import read_idx
from mnistzip.models import model_file, prepared, registry, stored_models
from mnistzip.models.grey.grey_file import read_grey
from mnistzip.models.registry import Model
from support.paths import ROOT

NAMES = sorted(registry.SHIPPED)


def from_file(name: str) -> Model:
    """A shipped model without its stored model."""
    return Model(name, registry.SHIPPED[name], pretrained.read(f"{name}.npz"))


def model_file_of(name: str) -> Path:
    """The model file of a shipped model."""
    return pretrained.FOLDER / f"{name}.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stores."""
    made = tmp_path_factory.mktemp("stored")
    prepared.store_shipped(made)
    return made


@pytest.fixture
def classic(folder: Path, tmp_path: Path) -> Path:
    """A copy of one stored model."""
    return Path(shutil.copy(folder / "classic.prepared", tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_model_equals_its_model_file(folder: Path, name: str) -> None:
    plain = from_file(name)
    stored = stored_models.read(folder / f"{name}.prepared", model_file_of(name))
    assert stored == prepared.prepare(plain)
    model = Model(name, plain.number, plain.content, stored)
    if plain.is_bitmap:
        assert model.has_pixel_model
        return
    if plain.is_grey:
        _, lmbda, has_pixel_model = read_grey(plain.content, name)
    else:
        parts = model_file.read_lossy_parts(plain.content, name)
        lmbda, has_pixel_model = parts.lmbda, parts.has_pixel_model
    assert model.lmbda.dtype == lmbda.dtype
    assert (model.lmbda == lmbda).all()
    assert (model.lmbda == plain.lmbda).all()
    assert model.has_pixel_model == plain.has_pixel_model == has_pixel_model


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_models_of_this_installation_are_up_to_date(folder: Path, name: str) -> None:
    path = pretrained.FOLDER / f"{name}.prepared"
    if not path.exists():
        pytest.skip("the build has stored none")
    assert path.read_bytes() == (folder / path.name).read_bytes(), "install the package again: pip install -e ."


def test_every_shipped_model_is_stored(folder: Path) -> None:
    assert sorted(path.stem for path in folder.glob("*.prepared")) == NAMES


def test_a_stored_model_of_another_model_file_is_not_used(classic: Path, tmp_path: Path) -> None:
    file = model_file_of("classic")
    assert stored_models.read(classic, file) is not None
    assert stored_models.read(classic, model_file_of("glyph")) is None
    content, directory = file.read_bytes(), stored_models.zip_directory(file)
    assert directory.startswith(b"PK\x01\x02")
    assert content.endswith(directory)
    for changed in (content + b"\0", content[:-50] + b"?" + content[-49:], content[:10], b""):
        (tmp_path / "other.npz").write_bytes(changed)
        assert stored_models.read(classic, tmp_path / "other.npz") is None, len(changed)
    assert stored_models.read(classic, tmp_path / "missing.npz") is None


def test_a_damaged_stored_model_is_not_used(classic: Path) -> None:
    content, good = model_file_of("classic"), classic.read_bytes()
    header = len(stored_models.header(stored_models.zip_directory(content), b""))
    for at in (0, good.index(b"\n") - 1, good.index(b"\n"), header - 1, header, len(good) // 2, len(good) - 1):
        classic.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert stored_models.read(classic, content) is None, at
    for damaged in (b"", good[:10], good[:header], good[:-1], good + b"\0"):
        classic.write_bytes(damaged)
        assert stored_models.read(classic, content) is None, len(damaged)
    classic.unlink()
    assert stored_models.read(classic, content) is None
    classic.mkdir()
    assert stored_models.read(classic, content) is None


@pytest.mark.parametrize(
    ("owner", "name", "value"), [(mnistzip, "__version__", "0.0.1"), (stored_models, "LAYOUT", 99), (sys, "byteorder", "other")]
)
def test_a_stored_model_for_other_code_or_another_machine_is_not_used(
    classic: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, value: object
) -> None:
    monkeypatch.setattr(owner, name, value)
    assert stored_models.read(classic, model_file_of("classic")) is None


def test_models_with_and_without_stored_models_give_the_same_files(folder: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (28, 28)).astype(np.uint8)
    image[:, 5:] = 0
    digit = read_idx(ROOT / "tests" / "data" / "digits-idx3-ubyte.gz")[0]
    for name in NAMES:
        plain = from_file(name)
        stored = Model(name, plain.number, plain.content, stored_models.read(folder / f"{name}.prepared", model_file_of(name)))
        x, options = (digit, {"lossless": True}) if plain.is_bitmap else (image, {})
        files = [mnistzip.encode(x, model=model, **options) for model in (plain, stored)]
        assert files[0] == files[1]


@pytest.mark.skipif(NATIVE is None, reason="the native engine is not installed")
def test_the_native_engine_needs_no_networks_of_numpy_for_a_stored_model(folder: Path, tmp_path: Path) -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 13:16] = 200
    np.save(tmp_path / "image.npy", image)
    for name in NAMES:
        shutil.copy(model_file_of(name), folder)
    program = f"""
import sys
from pathlib import Path
import numpy as np
from mnistzip import pretrained
pretrained.FOLDER = Path({str(folder)!r})
import mnistzip
image = np.load("image.npy")
for lossless in (False, True):
    mnistzip.decode(mnistzip.encode(image, lossless=lossless))
networks = ("model_file", "prepared", "latent_prior", "pixel", "transforms")
print(*(name for name in networks if "mnistzip.models." + name in sys.modules))
"""
    environment = os.environ | {"MNISTZIP_ENGINE": "native"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert done.stdout.strip() == ""
