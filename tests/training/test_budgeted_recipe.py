"""Training on a user's images: accepted images, the time budget, interrupts and resumed runs."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from PIL import Image

import mnistzip
from mnistzip.bitstream.stored import store
from mnistzip.cli.main import run
from mnistzip.errors import ImageError
from mnistzip.models.registry import read_model
from mnistzip.tiling import to_tiles
from mnistzip.training import budgeted_recipe, recipes, splits
from mnistzip.training.baselines import advice
from mnistzip.training.plots import Board
from mnistzip.training.run_folder import begin, check
from mnistzip.training.trainer import Run, Schedule, StageTrainer
from mnistzip.types import Pixels

pytestmark = pytest.mark.torch

PAYS = recipes.pays
QUICK = dict.fromkeys(budgeted_recipe.SHARES, 1)


@pytest.fixture
def images(digits: Pixels) -> Pixels:
    """128 images, more than the minimum."""
    return np.concatenate([digits, digits[:, ::-1]])


@pytest.fixture
def source(images: Pixels, tmp_path: Path) -> str:
    np.save(tmp_path / "mine.npy", images)
    return str(tmp_path / "mine.npy")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks that train within a second."""
    sizes = budgeted_recipe.Config(width=12, hidden=6, blocks=1, anchors=3, prior_width=2, prior_hidden=2, symbol_max=5)
    monkeypatch.setattr(budgeted_recipe, "CONFIG", sizes)
    monkeypatch.setattr(budgeted_recipe, "PIXELS", budgeted_recipe.PixelConfig(ink=4, solid=4, level=4, shade=8, key=2))
    monkeypatch.setattr(budgeted_recipe, "EPOCHS", dict.fromkeys(budgeted_recipe.SHARES, 2))
    monkeypatch.setattr(budgeted_recipe, "MIN_PIXEL_STEPS", 0)  # train a pixel model on slow machines as well
    monkeypatch.setattr(recipes, "pays", lambda _sizes: True)  # so that pixel models this small go into the file
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background has none
    torch.set_num_threads(1)
    yield
    signal.signal(signal.SIGINT, before)


def test_steps_take_fewer_images_where_there_are_few_or_pixels_see_many(images: Pixels) -> None:
    def split(count: int, grey: int) -> splits.Split:
        same = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
        same[:, :, :10] = 9
        same[:, :, 10:] = grey
        return splits.Split(same, same)

    assert budgeted_recipe.batches(split(60_000, 0)) == {
        **dict.fromkeys(budgeted_recipe.SHARES, budgeted_recipe.BATCH),
        "pixels": budgeted_recipe.PIXEL_BATCH,
    }
    assert budgeted_recipe.batches(split(800, 0)) == dict.fromkeys(budgeted_recipe.SHARES, 20)
    assert budgeted_recipe.batches(split(60_000, 9))["pixels"] == int(budgeted_recipe.MAX_PIXEL_PAIRS / 784**2)


@pytest.mark.parametrize("fit", ["tile", "crop", "resize"])
def test_images_of_other_sizes_are_fitted_and_that_is_said(fit: str, digits: Pixels) -> None:
    mixed = [np.hstack(list(digits[:2])), digits[2], np.pad(digits[3], 6)[:, :30], digits[4][:20]]
    output: list[str] = []
    out = splits.fitted(mixed, fit, output.append)
    assert out.shape == (8 if fit == "tile" else 4, 28, 28)
    assert "images of 4 sizes" in output[0]
    if fit == "tile":
        assert (out == np.concatenate([to_tiles(image) for image in mixed])).all()
    elif fit == "crop":
        assert (out[0] == mixed[0][:, 14:42]).all()
        assert (out[3, 4:24] == mixed[3]).all()
    assert (out[1] == digits[2]).all() or fit == "tile"
    assert splits.fitted(list(digits), fit, output.append).shape == digits.shape
    assert len(output) == 1


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path, images: Pixels, source: str) -> None:
    output: list[str] = []
    with pytest.raises(ImageError, match="128 images: too few"):
        splits.load(source, min_images=200)
    splits.load(source, log=output.append)
    assert "128 images are few" in output[0]
    np.save(tmp_path / "same.npy", np.repeat(images[:1], 120, 0))
    with pytest.raises(ImageError, match="are the same"):
        splits.load(str(tmp_path / "same.npy"))
    (tmp_path / "mixed").mkdir()
    for k, image in enumerate(images[:120]):
        Image.fromarray(image).save(tmp_path / "mixed" / f"{k}.png")
    Image.fromarray(np.stack(list(images[:3]), axis=2)).save(tmp_path / "mixed" / "7.png")
    with pytest.raises(ImageError, match=r"7\.png has colours: --convert"):
        splits.load(str(tmp_path / "mixed"))


def test_held_out_images_are_drawn_where_images_may_be_sorted(source: str, images: Pixels) -> None:
    last, drawn = splits.load(source), splits.load(source, draw=5)
    assert (last.held_out[:, 0].numpy() == images[-12:]).all()
    assert not torch.equal(last.held_out, drawn.held_out)
    assert torch.equal(drawn.held_out, splits.load(source, draw=5).held_out)
    whole = torch.cat([drawn.train, drawn.held_out])[:, 0].numpy()
    assert sorted(image.tobytes() for image in whole) == sorted(image.tobytes() for image in images)


def report_sentence(text: str) -> str:
    """The line with the advice."""
    (line,) = [line for line in text.splitlines() if line.startswith("Use ")]
    return line


def test_the_command_leads_from_images_to_files(
    source: str, images: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.npz"
    assert run(["train", source, "-o", str(out), "--time", "1s", "--epochs", "1", "-T", "1"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"\| WebP, quality \d+ \|", output)
    card = out.with_suffix(".md").read_text()
    assert "| this model, `--lossless` |" in card
    assert "| `glyph`, `--lossless` |" in card
    assert report_sentence(output) == report_sentence(card)
    assert "`mnistzip train mine.npy --recipe own --time 1s --epochs 1 --seed 1 -T 1 -o mine.npz`" in card
    assert "12 drawn at random held out" in card
    with Image.open(tmp_path / "mine.npz.run" / "curves.png") as curves:
        assert len(curves.convert("RGB").getcolors(1 << 20) or []) > 50  # not blank
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["beside"]["images"] == 12
    assert all(stage["epochs"] == 1 for stage in report["stages"])
    file = mnistzip.encode(images[0], model=out, lossless=True)
    assert (mnistzip.decode(file, model=out) == images[0]).all()
    assert mnistzip.decode(mnistzip.encode(images[0], model=out), model=out).shape == (28, 28)


def test_a_run_goes_on_only_where_it_is_asked_to(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "mine.npz", tmp_path / "mine.npz.run"
    command = ["train", source, "-o", str(out), "--time", "1s", "--epochs", "1", "-T", "1"]
    assert run([*command, "--resume"]) == 1
    assert "contains no run to resume" in capsys.readouterr().err
    assert run([*command, "--time", "soon"]) == 2
    assert "is not a time such as 20m" in capsys.readouterr().err
    assert run([*command, "-o", str(tmp_path / "mine.md")]) == 2
    assert "does not end in .npz" in capsys.readouterr().err
    begin(check(folder, source, budgeted_recipe.STAGES, False, False), budgeted_recipe.STAGES, False)
    assert run(command) == 1
    assert "has begun: --resume continues it, -f starts again" in capsys.readouterr().err
    assert run([*command, "-f"]) == 0
    assert f"curves and logs of the training are in {folder}; its checkpoints are removed" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} >= {"plan.json", "rounded.csv", "curves.png"}
    assert not list(folder.glob("*.pt*"))
    assert list(json.loads((folder / "plan.json").read_text())["steps"]) == list(budgeted_recipe.STAGES)
    assert run([*command, "--resume"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert run([*command, "--resume", "-f"]) == 1
    assert "is finished: use -f without --resume to train again" in capsys.readouterr().err
    out.rename(tmp_path / "moved.npz")
    for path in (out.with_suffix(".json"), out.with_suffix(".md")):
        path.unlink()
    assert run(command) == 1
    assert "contains a run that is finished, -f starts again" in capsys.readouterr().err


@pytest.mark.parametrize("why", ["no time for it", "it loses"])
def test_a_pixel_model_that_is_of_no_use_is_left_out_and_that_is_said(
    why: str, source: str, images: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if why == "it loses":
        monkeypatch.setattr(recipes, "pays", PAYS)  # networks this small lose
    else:
        monkeypatch.setattr(budgeted_recipe, "MIN_PIXEL_STEPS", 10**9)
        monkeypatch.setattr(budgeted_recipe, "MAX_PASSES", dict.fromkeys(budgeted_recipe.SHARES, 10**9))
    out = tmp_path / "mine.npz"
    assert run(["train", source, "-o", str(out), "--time", "1s", "--epochs", "1", "-T", "1"]) == 0
    output = capsys.readouterr().out
    expected = (
        "no pixel model is trained" if why == "no time for it" else "the pixel model is left out: lossless files of held-out"
    )
    assert expected in output
    assert ("pixels epoch" in output) == (why == "it loses")
    report = json.loads(out.with_suffix(".json").read_text())
    assert "lossless" not in report
    model = read_model(out.read_bytes(), "mine")
    assert not model.has_pixel_model
    file = mnistzip.encode(images[0], model=out, lossless=True)
    assert file == store(images[0])
    assert (mnistzip.decode(file) == images[0]).all()


def rows(**others: tuple[float, float, float]) -> dict[str, Any]:
    """Argument of :func:`advice`: bytes, dB and lossless bytes of this model and of others."""
    named = {name: {"bytes": size, "psnr_db": db, "lossless_bytes": lossless} for name, (size, db, lossless) in others.items()}
    return {**named.pop("this"), "webp_psnr_db": 27.0, "shipped": named}


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        (
            rows(this=(50.0, 27.1, 200.0), mnist=(60.0, 27.2, 250.0), glyph=(55.0, 27.0, 220.0)),
            "Use this model: its files are the smallest, 50.0 bytes at 27.0 dB and 200.0 bytes without loss.",
        ),
        (
            rows(this=(50.0, 27.1, 200.0), mnist=(60.0, 27.2, 250.0), glyph=(45.0, 27.0, 190.0)),
            "Use the shipped model `glyph`: its files are the smallest, 45.0 bytes at 27.0 dB and 190.0 bytes without loss.",
        ),
        (
            rows(this=(50.0, 27.1, 200.0), mnist=(40.0, 20.0, 150.0), glyph=(45.0, 26.0, 190.0)),
            "Use this model for lossy files (50.0 bytes at 27.0 dB), "
            "and the shipped model `mnist` for `--lossless` (150.0 bytes).",
        ),
        (
            rows(this=(50.0, 24.0, 200.0), mnist=(40.0, 20.0, 350.0), glyph=(45.0, 23.0, 390.0)),
            "Use this model: its files are the smallest, "
            "50.0 bytes at 24.0 dB (the others reach less) and 200.0 bytes without loss.",
        ),
    ],
    ids=["this one", "one that ships", "one of each", "none is as good as WebP"],
)
def test_nobody_is_advised_to_use_a_model_worse_than_one_that_ships(results: dict[str, Any], sentence: str) -> None:
    assert advice(results) == sentence


def test_a_time_too_short_for_measuring_is_said(source: str, tmp_path: Path) -> None:
    output: list[str] = []
    now = iter(range(0, 10**6, 5))  # each call of the clock advances it by five seconds
    run_ = Run(tmp_path, 1, output.append, clock=lambda: float(next(now)))
    budgeted_recipe.plan_recipe(splits.load(source), 60.0, run_)
    assert any(line.startswith("--time 1:00 is short: 0:30 of training, then about ") for line in output)
    assert run_.pacer is not None


def test_tensorboard_is_told_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "tensorboard" / "rounded")

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            calls.append((name, value, epoch))

        def flush(self) -> None:
            calls.append(("flush", 0, 0))

    stand_in = type(sys)("torch.utils.tensorboard")
    stand_in.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    Board(tmp_path, "rounded").add({"loss": 2.5}, 3)
    assert calls == [("loss", 2.5, 3), ("flush", 0, 0)]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    Board(tmp_path, "rounded").add({"loss": 2.5}, 4)
    assert len(calls) == 2


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["rounded", "pixels"])
def test_an_interrupt_makes_a_model_and_resuming_ends_as_if_there_had_been_none(
    stage: str, source: str, images: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(name: str) -> tuple[Path, list[str]]:
        folder = tmp_path / f"{name}.npz.run"
        folder.mkdir()
        (folder / "plan.json").write_text(json.dumps(QUICK))  # the same steps in both runs
        out = tmp_path / f"{name}.npz"
        return out, ["train", source, "-o", str(out), "-T", "1", "--resume", "-f"]

    def report_of(out: Path) -> dict[str, object]:
        report: dict[str, object] = json.loads(out.with_suffix(".json").read_text())
        return report

    straight, command = begin("straight")
    assert run(command) == 0
    out, command = begin("stopped")
    echo = click.echo

    def interrupt(message: str = "", **options: bool) -> None:
        echo(message, **options)
        if message.startswith(f"{stage} epoch 1"):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(click, "echo", interrupt)
        assert run(command) == 0
    assert report_of(out)["stopped"] is True
    assert (tmp_path / "stopped.npz.run" / f"{stage}.pt").exists()
    assert ("lossless" in report_of(out)) == (stage == "pixels")
    assert "stopped before its end" in out.with_suffix(".md").read_text()
    assert mnistzip.decode(mnistzip.encode(images[0], model=out), model=out).shape == (28, 28)
    assert run(command) == 0
    assert report_of(out)["stopped"] is False
    assert report_of(out)["sha256"] == report_of(straight)["sha256"]


def test_a_stage_ends_where_held_out_images_do_no_better(images: Pixels, tmp_path: Path) -> None:
    messages: list[str] = []
    costs = iter([5.0, 3.0, 4.0, 3.5, 3.2, 2.0])
    weight = torch.nn.Linear(1, 1)
    schedule = Schedule(6, 8, 1e-3, warm_up=1, steps=1, keep_best=True, patience=3)

    def trainer() -> StageTrainer:
        return StageTrainer("some", Run(tmp_path, 1, messages.append), weight, schedule)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return weight(x.mean().view(1, 1)).square().mean()

    first = trainer()
    training_images = torch.from_numpy(images).unsqueeze(1)
    first.train(training_images, loss, lambda: {"held_out": next(costs)})
    assert first.epoch == 5
    assert first.best is not None
    assert (weight.weight == first.best[1]["weight"]).all()
    assert "no improvement on held-out images for 3 epochs" in messages[-1]
    again = trainer()
    again.train(training_images, loss, lambda: {"held_out": next(costs)})
    assert again.epoch == 5
