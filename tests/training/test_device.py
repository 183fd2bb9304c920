"""Training on devices other than the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from numpy.typing import NDArray

import mnistzip
from mnistzip.cli.main import run
from mnistzip.errors import ModelError
from mnistzip.training import budgeted_recipe, distributed, stages
from mnistzip.training.muon import Muon
from mnistzip.training.rd_model import Coder
from mnistzip.training.torch_codec import Codec, Config
from mnistzip.training.torch_layers import quantize

pytestmark = pytest.mark.torch

CONFIG = Config(width=12, hidden=6, blocks=1, anchors=3, prior_width=2, prior_hidden=2, symbol_max=5)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("passes", [0, 2])
def test_every_tensor_of_a_step_is_made_where_the_images_are(quantized: bool, passes: int) -> None:
    """The device ``meta`` has no values. Like a GPU, it refuses operations with tensors of the CPU."""
    coder = Coder(Codec(CONFIG)).train()
    if quantized:
        quantize(coder)
    coder.to("meta")
    with torch.device("meta"):
        x, level = stages.vary(torch.rand(8, 1, 28, 28), 0.5), torch.rand(8)
        cost = stages.costs(coder, x, level, coder.codec.config.lmbda(level), passes)
        cost.mean().backward()  # type: ignore[no-untyped-call]
        Muon([p for p in coder.parameters() if p.ndim == 4], 0.01).step()
    assert cost.device.type == "meta"
    with pytest.raises(RuntimeError):  # levels on the CPU
        stages.costs(coder, x, torch.rand(8), torch.rand(8), passes)


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("abacus", "cuda:77"):
        with pytest.raises(ModelError, match=rf"--device {name}: torch cannot use it here"):
            distributed.select_device(name)
    np.save(tmp_path / "few.npy", np.zeros((120, 28, 28), np.uint8))
    assert run(["train", str(tmp_path / "few.npy"), "-o", str(tmp_path / "m.npz"), "--device", "abacus"]) == 1
    assert "--device abacus" in capsys.readouterr().err


def test_of_several_graphics_processors_each_process_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "76")
    with pytest.raises(ModelError, match="cuda:76"):
        distributed.select_device("cuda")
    assert distributed.select_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics processor that torch can use")
def test_training_on_a_graphics_processor(digits: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgeted_recipe, "CONFIG", CONFIG)
    monkeypatch.setattr(budgeted_recipe, "PIXELS", budgeted_recipe.PixelConfig(ink=4, solid=4, level=4, shade=8, key=2))
    np.save(tmp_path / "mine.npy", np.concatenate([digits, digits[:, ::-1]]))
    model = tmp_path / "mine.npz"
    assert run(["train", str(tmp_path / "mine.npy"), "-o", str(model), "--time", "2s", "--device", "cuda"]) == 0
    assert json.loads(model.with_suffix(".json").read_text())["device"] == "cuda"
    assert (mnistzip.decode(mnistzip.encode(digits[0], lossless=True, model=model), model=model) == digits[0]).all()
