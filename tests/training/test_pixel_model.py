"""The pixel model: the integer networks equal their torch twins, and lossless files decode to their images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from numpy.typing import NDArray

import mnistzip
from mnistzip import pretrained
from mnistzip.coding.image_files import encode_lossless
from mnistzip.coding.lossless import decode_payloads, encode_payloads, pixel_symbols
from mnistzip.entropy import rans
from mnistzip.errors import FormatError, ModelError
from mnistzip.models.pixel.pixel_model import PixelModel, Symbols
from mnistzip.models.pixel.planes import TILE_PIXELS
from mnistzip.models.registry import Model, read_model, shipped
from mnistzip.training import splits
from mnistzip.training.export import export_pixels, pack
from mnistzip.training.pixel_stages import PixelStage, measure, train_pixel_stage
from mnistzip.training.torch_layers import quantize
from mnistzip.training.torch_pixel_model import PixelConfig, PixelModel as Twin
from mnistzip.training.trainer import Run, Schedule
from mnistzip.types import Pixels
from support.paths import DIGITS

SMALL = PixelConfig(ink=8, solid=8, level=8, shade=12, key=4)

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def twin() -> Twin:
    """A model with untrained weights, none of them zero."""
    torch.manual_seed(3)
    model = Twin(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    quantize(model.eval())
    return model


def contents(model: Model) -> tuple[dict[str, object], dict[str, NDArray[np.generic]]]:
    """The parts of a shipped model's file."""
    path = Path(pretrained.__file__).parent / f"{model.name}.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return json.loads(arrays.pop("meta").tobytes()), arrays


@pytest.fixture(scope="module")
def small(twin: Twin) -> Model:
    """The shipped model with the small pixel model in the place of its own."""
    meta, arrays = contents(shipped("mnist"))
    rest = {name: array for name, array in arrays.items() if not name.startswith("pixels.")}
    return read_model(pack(meta | {"pixels": True}, rest | export_pixels(twin)), "mnist", 0)


def pixels_of(model: Model) -> PixelModel:
    return model.pixels


def everywhere(images: Pixels) -> NDArray[np.bool_]:
    return np.ones((len(images), TILE_PIXELS), bool)


def bits_of(symbols: Symbols) -> NDArray[np.float64]:
    """Ideal bits of each tile."""
    return np.bincount(symbols.tile, weights=16 - np.log2(symbols.freq))


def test_integers_take_the_bits_of_their_torch_twin(small: Model, twin: Twin, digits: Pixels) -> None:
    symbols = pixels_of(small).intervals(digits, everywhere(digits))
    with torch.no_grad():
        bits = twin.bits(torch.from_numpy(digits)).sum(0).numpy()
    assert bits.min() > 100
    off = bits_of(symbols) / bits - 1  # rounding of frequencies to 16 bits
    assert np.abs(off).max() < 2e-3
    assert abs(off.mean()) < 3e-4


@pytest.mark.parametrize("kind", ["small", "shipped"])
def test_a_file_is_the_same_and_comes_back_whatever_is_coded_beside_it(kind: str, small: Model, digits: Pixels) -> None:
    model = small if kind == "small" else shipped("mnist")
    images = [*digits[:12], digits[12][3:20, 5:9], np.hstack(list(digits[:18])), np.zeros((28, 28), np.uint8)]
    assert len(images) > rans.FEW_STREAMS
    headers = [bytes([k]) for k in range(len(images))]
    together = encode_payloads(model, headers, images, pixel_symbols(model, images))
    shapes = [[(image.shape[0], image.shape[1])] for image in images]
    for out in (
        decode_payloads(model, headers, together, shapes),
        [decode_payloads(model, [h], [f], [s])[0] for h, f, s in zip(headers, together, shapes, strict=True)],
    ):
        for image, decoded in zip(images, out, strict=True):
            assert isinstance(decoded, list)
            assert (decoded[0] == image).all()
    for header, image, payload in zip(headers, images, together, strict=True):
        assert encode_payloads(model, [header], [image], pixel_symbols(model, [image])) == [payload]


@pytest.mark.slow
def test_every_damage_is_noticed(small: Model, digits: Pixels) -> None:
    for model in (small, shipped("mnist")):
        good = encode_lossless([digits[3]], [model])[0]
        for offset in range(3, len(good)):
            for bit in range(8):
                bad = bytearray(good)
                bad[offset] ^= 1 << bit
                try:
                    decoded = mnistzip.decode(bytes(bad), model=model)
                except FormatError:
                    continue
                assert (decoded == digits[3]).all()  # a bit of a deflate stream without effect
        for end in range(len(good)):
            with pytest.raises(FormatError):
                mnistzip.decode(good[:end], model=model)
        with pytest.raises(FormatError):
            mnistzip.decode(good + b"\0", model=model)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixels.ink.0.weight": lambda a: a * 100}, "stops being exact"),
        ({"pixels.shade.head.weight": lambda a: a[:, 1:]}, "shape"),
        ({"pixels.solid.1.weight": lambda a: a[1:]}, "shape"),
        ({"pixels.level.rows": lambda a: a[1:]}, "shape"),
        ({"pixels.query.weight": lambda a: a[:, 1:]}, "shape"),
        ({"pixels.levels": lambda a: a[1:]}, "shape"),
        ({"pixels.blank": lambda a: a * 0}, "outside 1"),
        ({"pixels.key.shift": lambda a: a + 40}, "shifts outside"),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
def test_a_pixel_model_that_does_not_fit_is_refused(change: dict, says: str, small: Model, twin: Twin) -> None:  # type: ignore[type-arg]
    meta, arrays = contents(shipped("mnist"))
    arrays |= export_pixels(twin)
    for name, how in change.items():
        arrays[name] = how(arrays[name].astype(np.int32))
    with pytest.raises(ModelError, match=says):
        read_model(pack(meta | {"pixels": True}, arrays), "odd")


def test_training_lowers_the_bits_and_a_stopped_run_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    split = splits.load(str(DIGITS))
    stages = [
        PixelStage("a", Schedule(epochs=2, batch=16, rate=4e-3, matrix_rate=0.02, warm_up=1)),
        PixelStage("b", Schedule(epochs=1, batch=16, rate=1e-4, warm_up=1), quantized=True),
    ]

    def follow(folder: Path, some: list[PixelStage]) -> Twin:
        torch.manual_seed(1)
        model = Twin(SMALL)
        model.count_blank(split.train[:, 0])
        for stage in some:
            train_pixel_stage(model, split, stage, Run(folder, 1))
        return model

    torch.manual_seed(1)
    untrained = measure(Twin(SMALL), split.held_out[:, 0])
    whole = follow(tmp_path / "whole", stages)
    assert measure(whole, split.held_out[:, 0])["bytes"] < untrained["bytes"]
    first = replace(stages[0], schedule=replace(stages[0].schedule, epochs=1, fall_over=2))
    follow(tmp_path / "parts", [first])
    parts = follow(tmp_path / "parts", stages)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
