"""The float pixel model of the kind grey, and the integers that the export makes of it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from mnistzip.bitstream.bounded import nearest
from mnistzip.entropy.cost import BIT, COST
from mnistzip.errors import ModelError
from mnistzip.models.grey import grey_pixels
from mnistzip.models.model import read_model
from mnistzip.training import grey_trainer, torch_grey_pixels
from mnistzip.training.export_grey_pixels import export_pixels, with_pixels
from mnistzip.training.grey_trainer import GreyPixelsTrainer
from mnistzip.training.torch_grey_pixels import GreyPixels
from mnistzip.types import Pixels
from support.grey_models import pictures, plain_grey_model


@pytest.fixture(scope="module")
def trained() -> GreyPixels:
    """A small model after a few steps."""
    torch.manual_seed(1)
    trainer = GreyPixelsTrainer(GreyPixels((16, 8, 8), 3).train(), 1, 1)
    stack = torch.from_numpy(pictures(np.random.default_rng(1), 16, 20, 20))
    before = bits_of(trainer.model, stack.numpy(), 0)
    for _ in range(40):
        trainer._step(stack)
    assert bits_of(trainer.model, stack.numpy(), 0) < 0.95 * before
    return trainer.model.eval()


def bits_of(model: GreyPixels, x: Pixels, max_error: int) -> float:
    with torch.no_grad():
        return float(model(torch.from_numpy(x), torch.full((len(x),), max_error)).sum())


@pytest.mark.parametrize("size", [(4, 6), (5, 7)], ids=str)
def test_enlarged_pictures_have_every_pixel_four_times(size: tuple[int, int]) -> None:
    x = torch.arange(size[0] * size[1], dtype=torch.uint8).view(1, *size)
    y = grey_trainer._doubled(x)
    assert y.shape == x.shape
    rows, columns = np.mgrid[: size[0], : size[1]] // 2
    assert (y[0].numpy() == x[0].numpy()[rows, columns]).all()


def test_spreads_have_the_same_index_in_both() -> None:
    every = np.arange(1, 2100)
    ours = torch_grey_pixels.quarter_octaves(torch.from_numpy(every)).numpy()
    assert (ours == grey_pixels.quarter_octaves(every)).all()
    assert (np.diff(ours) >= 0).all()
    assert grey_pixels.quarter_octaves(np.array(255 * len(grey_pixels.NEAREST) + 1)) < grey_pixels.SPREADS
    assert grey_pixels.quarter_octaves(np.array(65)) == grey_pixels.ERRORS - 1


@pytest.mark.parametrize("max_error", [0, 1, 8, 64])
@pytest.mark.parametrize("size", [(20, 20), (3, 17), (13, 1)], ids=str)
def test_integers_take_as_many_bits_as_the_floats(trained: GreyPixels, size: tuple[int, int], max_error: int) -> None:
    model = read_model(with_pixels(plain_grey_model().content, "small", export_pixels(trained)), "small")
    x = nearest(pictures(np.random.default_rng(2), 4, *size), max_error)
    _, freqs = model.grey_pixels.intervals(x, max_error)
    assert int(COST[freqs].sum()) / BIT == pytest.approx(bits_of(trained, x, max_error), rel=0.03, abs=4)


def test_a_pixel_model_replaces_another(trained: GreyPixels) -> None:
    once = with_pixels(plain_grey_model().content, "small", export_pixels(trained))
    twice = with_pixels(once, "small", export_pixels(trained))
    one, other = read_model(once, "small"), read_model(twice, "small")
    assert one.has_pixel_model
    assert one.fingerprint == other.fingerprint


def test_arrays_that_are_missing_or_unknown_are_refused(trained: GreyPixels) -> None:
    content = plain_grey_model().content
    pixels = export_pixels(trained)
    with pytest.raises(ModelError, match=r"pixels\.head\.weight"):
        read_model(with_pixels(content, "small", {k: v for k, v in pixels.items() if k != "pixels.head.weight"}), "small")
    with pytest.raises(ModelError, match=r"pixels\.other"):
        read_model(with_pixels(content, "small", pixels | {"pixels.other": pixels["pixels.magnify"]}), "small")
