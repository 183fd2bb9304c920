"""From float weights of the model grey to a model file, and ``mnistzip train --kind grey``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from click.testing import CliRunner
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.errors import OptionError
from mnistzip.models.grey.distribution import SCALES
from mnistzip.models.grey.grey_file import read_grey
from mnistzip.models.registry import read_model
from mnistzip.training import grey_recipe, grey_trainer
from mnistzip.training.export_grey import export_grey
from mnistzip.training.grey_trainer import GreyPixelsTrainer, GreyTrainer
from mnistzip.training.picture_trainer import load_weights
from mnistzip.training.torch_grey import SCALES as LOG_SCALES, Grey
from mnistzip.training.torch_grey_pixels import GreyPixels
from mnistzip.types import Pixels
from support.grey_models import pictures

LEVELS = torch.linspace(0, 1, 100)


def small() -> Grey:
    return Grey(width=8, hidden=8, blocks=1, prior_hidden=8)


@pytest.fixture(scope="module")
def trained() -> Grey:
    """A small model after a few steps, with weights where training starts at zero."""
    torch.manual_seed(1)
    trainer = GreyTrainer(small().train(), 1, 1)
    stack = torch.from_numpy(pictures(np.random.default_rng(1), 32, 24, 24))
    for _ in range(8):
        trainer._step(stack)
    for name, weight in trainer.model.named_parameters():
        if "prior.linear_" in name or "within" in name:
            with torch.no_grad():
                weight.add_(0.03 * torch.randn_like(weight))
    return trainer.model.eval()


@pytest.mark.parametrize("index", [0, 50, 99])
@pytest.mark.parametrize("size", [(24, 24), (7, 30)], ids=str)
def test_integers_give_the_distributions_and_pictures_of_the_floats(trained: Grey, index: int, size: tuple[int, int]) -> None:
    ones = np.ones((100, 16), np.int64)
    model = read_grey(export_grey(trained, LEVELS, ones, ones), "small").networks
    x = pictures(np.random.default_rng(2), 6, *size)
    y = model.analyse(x, index)
    tensor, level = torch.from_numpy(x).float()[:, None] / 255, LEVELS[index].expand(len(x))
    with torch.no_grad():
        latent = torch.floor(trained.analyse(tensor, level) + 0.5).numpy().transpose(0, 2, 3, 1)
        symbols = torch.from_numpy(y.transpose(0, 3, 1, 2)).float()
        mean, log_scale = (part.numpy()[0] for part in trained.prior(symbols, level))
        x_hat = trained.synthesize(symbols, level, size).clamp(0, 1).numpy()[:, 0] * 255
    assert (latent == y).mean() > 0.98
    assert np.abs(model.synthesize(y, index, *size) - x_hat).mean() < 1.5
    per_nat = (SCALES - 1) / (LOG_SCALES[1] - LOG_SCALES[0])
    for rows, columns, channel, found in model.prior.distributions(y[:1], index):
        at = channel, rows, columns
        wanted = mean[at].reshape(-1).clip(-127, 127)
        assert np.abs(found.mean / 256 - wanted).max() < 0.03 + 0.02 * np.abs(wanted).max()
        scale = (log_scale[at].reshape(-1).clip(*LOG_SCALES) - LOG_SCALES[0]) * per_nat
        assert np.abs(found.scale - scale).max() < 1.5


def test_finishing_chooses_rising_levels_and_bounds(trained: Grey) -> None:
    random = np.random.default_rng(3)
    stacks = {"24x24": pictures(random, 24, 24, 24), "16x16": pictures(random, 12, 16, 16)}
    content, levels = grey_recipe.finish(trained, stacks, stacks)
    assert (np.diff(levels.numpy()) >= 0).all()
    assert float(levels[-1]) == 1
    model = read_model(content, "small")
    assert model.is_grey
    assert (np.diff(model.grey.prior.bounds.astype(bool).astype(int), axis=0) >= 0).all()
    image = stacks["24x24"][0]
    assert mnistzip.decode(mnistzip.encode(image, model=model, quality=90), model=model).shape == image.shape


def test_pictures_of_rare_sizes_are_cut_to_common_ones() -> None:
    random = np.random.default_rng(4)
    images = [random.integers(0, 256, size).astype(np.uint8) for size in [(17, 30), (18, 29), (5, 9), (400, 300)]]
    images += [np.zeros((20, 20), np.uint8)] * 20
    stacks = grey_recipe.stacks_of(images, 1)
    assert {name: len(stack) for name, stack in stacks.items()} == {"16x24": 2, "5x8": 1, "96x96": 3, "20x20": 20}
    assert all(stack.shape[1:] == tuple(map(int, name.split("x"))) for name, stack in stacks.items())


@pytest.mark.slow
def test_train_makes_a_model_for_pictures_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    images: list[Pixels] = [*pictures(random, 90, 20, 32), *pictures(random, 30, 12, 12)]
    (tmp_path / "in").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "in" / f"{number}.png")
    monkeypatch.setattr(grey_recipe, "Grey", small)
    out = tmp_path / "mine.npz"
    command = ["train", str(tmp_path / "in"), "-o", str(out), "--time", "4s"]
    assert run(command) == 0
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["data"]["train"] == 108
    assert "--kind grey" in out.with_suffix(".md").read_text()
    model = read_model(out.read_bytes(), "mine")
    file = mnistzip.encode(images[0], model=model)
    assert mnistzip.decode(file, model=model).shape == images[0].shape
    assert run([*command, "-f", "--kind", "grey", "--fit", "crop"]) == 2


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_named_and_stays(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    done = CliRunner().invoke(grey_trainer.main, [__file__, "--out", str(path)])
    assert (done.exit_code, done.output) == (1, f"Error: {path} is no checkpoint of this training: name another file\n")
    assert path.read_bytes() == content
    assert np.nextafter(0.0, 1.0) * np.ones(1) > 0, "denormal numbers are zero after the training"


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    GreyPixelsTrainer(GreyPixels(), minutes=1, seed=1).save(tmp_path / "pixels.pt")
    with pytest.raises(OptionError, match=r"pixels.pt is no checkpoint of this training"):
        load_weights(Grey(), tmp_path / "pixels.pt")
