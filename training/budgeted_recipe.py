"""The recipe for images of one's own: as much training as the time allows and the images bear.

How fast the machine is decides how many steps each epoch gets, see :mod:`mnistzip.training.pace`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from mnistzip.api import encode_many
from mnistzip.training import distributed
from mnistzip.training.pace import Clock, Pacer, Plan, Share, clock_time, share_out
from mnistzip.training.pixel_stages import PixelStage, as_bytes
from mnistzip.training.rd_model import Coder
from mnistzip.training.recipes import BESIDE_IMAGES, REPORT_IMAGES, Recipe
from mnistzip.training.run_folder import PLAN
from mnistzip.training.splits import Split
from mnistzip.training.stages import Stage, costs
from mnistzip.training.torch_codec import Codec, Config
from mnistzip.training.torch_layers import dequantize, quantize
from mnistzip.training.torch_pixel_model import PixelConfig, PixelModel
from mnistzip.training.trainer import Run, Schedule

NAME = "own"
SHARES = {"rounded": 0.6, "searched": 0.08, "integers": 0.1, "pixels": 0.22}  # of the time for training
STAGES = tuple(SHARES)
EPOCHS = {"rounded": 10, "searched": 2, "integers": 3, "pixels": 5}  # so often held-out images are looked at
PATIENCE = 4  # epochs
PASSES = {"rounded": 150, "searched": 6, "integers": 6, "pixels": 25}  # over all images at most: more is learned by heart
BATCH, PIXEL_BATCH = 96, 96
MANY = 50  # passes from which on half of the images are redrawn a little, against learning them by heart
STEPS_LEAST = 40  # that one pass is cut into where images are few
VOTES = 8e6  # pairs of pixels in a step of the pixel model, which memory grows with
TIMED = 3  # steps
PIXEL_STEPS = 300  # with fewer than 240 files of textures were larger than files that need no model
TRAINING_LEAST = 0.5  # of the time, however long choosing levels, measuring and comparing will take
# What follows the training, in the time in which a shipped model codes an image at the default effort: for each image that
# levels are chosen by, and for each that is compared with other formats and models.
LEVELS_COST, BESIDE_COST = 9.0, 26.0
FINISH_PROBES = 16  # images that this time is measured on

# With lmbda from 1.6 to 2,400 and batches of 256, as for digits, a model of Fashion-MNIST took a fifth more bytes at 26.5 dB
# after as long a training: half of it went into pictures of less than 21 dB.
CONFIG = Config(width=48, hidden=32, blocks=2, prior_width=10, prior_hidden=5, symbol_max=31, lmbda_low=30.0, lmbda_high=6000.0)
PIXELS = PixelConfig(ink=32, solid=48, level=64, shade=96, key=8)


def own_recipe(split: Split, seconds: float, run: Run, epochs: int | None = None) -> Recipe:
    """The recipe of a run, which goes on from its plan or makes one; its pacer keeps to the time.

    Args:
        split: the images.
        seconds: that the whole run may take, since ``run.began``.
        run: in whose folder the plan is kept.
        epochs: at most, in each stage.
    """
    settings = distributed.told(_settings(split, seconds, run, epochs) if distributed.leads() else {})
    if not settings["pixels"]:
        run.log(
            f"no pixel model is trained: it is of use after {PIXEL_STEPS} steps, which do not fit into {clock_time(seconds)}"
        )
    whole = recipe(settings["changed"], settings["pixels"], batches(split))
    return whole if epochs is None else at_most(whole, epochs)


def _settings(split: Split, seconds: float, run: Run, epochs: int | None) -> dict[str, Any]:
    """What holds for the whole run; it is decided once and kept in the run's folder, with the steps of each epoch."""
    batch = batches(split)
    run.finish = finish_seconds(split, run.clock)
    training = max(seconds - run.finish, seconds * TRAINING_LEAST)
    path = run.folder / PLAN
    if path.exists():
        plan = Plan.read(path, EPOCHS)
    else:
        with run.device:
            pace = paces(split.to(run.device), run.clock)
        plan = Plan({}, pace, {})
    if not plan.settings:
        plan.settings = settings(len(split.train), training, plan, batch)
    shares = shares_of(len(split.train), batch)
    if not plan.settings["pixels"]:
        del shares["pixels"]
    if training + run.finish > seconds:
        times = [clock_time(value) for value in (seconds, training, run.finish)]
        run.log(f"--time {times[0]} is short: {times[1]} of training, then about {times[2]} for measuring the model")
    if plan.spent:  # by a process that was stopped
        run.pacer = Pacer(plan, path, shares, training, run.clock, epochs=epochs)
    else:
        run.pacer = Pacer(plan, path, shares, training, run.clock, run.began, epochs)
    return plan.settings


def settings(images: int, seconds: float, plan: Plan, batch: dict[str, int]) -> dict[str, Any]:
    """What a plan says beside steps: ``pixels``, whether a pixel model is trained, and ``changed``, a share of the images.

    Args:
        images: to train on.
        seconds: for training.
        plan: with the pace of each stage, or with the steps of all epochs.
        batch: images of a step of each stage.
    """
    steps: dict[str, float] = {name: sum(counts) for name, counts in plan.steps.items()}
    pixels = True
    if not steps:
        shares = shares_of(images, batch)

        def divide() -> dict[str, float]:
            weights = {name: share.weight for name, share in shares.items()}
            most = {name: share.most * plan.pace[name] for name, share in shares.items()}
            return {name: part / plan.pace[name] for name, part in share_out(seconds, weights, most).items()}

        steps = divide()
        pixels = steps["pixels"] >= min(PIXEL_STEPS, shares["pixels"].most)
        if not pixels:
            del shares["pixels"]
            steps = divide()
    many = steps["rounded"] * batch["rounded"] > MANY * images
    return {"pixels": pixels, "changed": 0.5 if many else 0.0}


def shares_of(images: int, batch: dict[str, int]) -> dict[str, Share]:
    """What each stage gets of the time, for so many images to train on."""
    return {name: Share(weight, EPOCHS[name], max(1.0, PASSES[name] * images / batch[name])) for name, weight in SHARES.items()}


def finish_seconds(split: Split, clock: Clock) -> float:
    """About how long everything after training will take on this machine."""
    probes = split.held_out[:FINISH_PROBES, 0].numpy()
    encode_many(probes[:1], model="glyph")  # loads the model
    began = clock()
    encode_many(probes, model="glyph")
    each = (clock() - began) / len(probes)
    held_out = len(split.held_out)
    return each * (LEVELS_COST * min(held_out, REPORT_IMAGES) + BESIDE_COST * min(held_out, BESIDE_IMAGES))


def batches(split: Split) -> dict[str, int]:
    """Images of a step of each stage: fewer where there are few, so that a pass has some steps, or where pixels see many."""
    few = len(split.train) // STEPS_LEAST
    ink = (split.train > 0).sum((1, 2, 3)).double()
    pixels = min(PIXEL_BATCH, int(VOTES / max(1.0, float(ink.square().mean()))))
    return {name: max(8, min(pixels if name == "pixels" else BATCH, few)) for name in SHARES}


def recipe(changed: float, pixels: bool, batch: dict[str, int]) -> Recipe:
    """All stages, each with steps of so many of the images."""

    def schedule(stage: str, rate: float, matrix_rate: float, warm_up: int, end: float = 0.01) -> Schedule:
        return Schedule(
            EPOCHS[stage],
            batch[stage],
            rate,
            matrix_rate=matrix_rate,
            warm_up=warm_up,
            end=end,
            keep_best=True,
            patience=PATIENCE,
            paced=True,
        )

    return Recipe(
        CONFIG,
        (
            Stage("rounded", schedule("rounded", 8e-3, 0.02, 500, 0.06), changed=changed),
            Stage("searched", schedule("searched", 6e-4, 1.5e-3, 100, 0.3), passes=3, changed=changed),
            Stage("integers", schedule("integers", 2e-4, 5e-4, 50), passes=1, quantized=True, changed=changed),
        ),
        pixels=PIXELS if pixels else None,
        pixel_stages=(PixelStage("pixels", schedule("pixels", 2e-3, 0.02, 200)),) if pixels else (),
    )


def paces(split: Split, clock: Clock) -> dict[str, float]:
    """Seconds of a step of each stage where the images are, tried on models that are thrown away."""
    batch = batches(split)
    stages = recipe(0.0, True, batch).stages
    device = split.train.device
    coder, pixels = Coder(Codec(CONFIG)).to(device).train(), PixelModel(PIXELS).to(device).train()
    pixels.count_blank(split.train[:, 0])

    def step_of(stage: Stage) -> Callable[[], None]:
        x = split.train[: batch[stage.name]].float() / 255
        level = torch.rand(len(x))

        def step() -> None:
            costs(coder, x, level, coder.codec.config.lmbda(level), stage.passes).mean().backward()  # type: ignore[no-untyped-call]

        return step

    def pixel_step() -> None:
        x = split.train[: batch["pixels"]].float() / 255
        pixels.bits(as_bytes(x)).sum().backward()  # type: ignore[no-untyped-call]

    told = {}
    for stage in stages:
        (quantize if stage.quantized else dequantize)(coder)
        told[stage.name] = _seconds(step_of(stage), clock)
    return told | {"pixels": _seconds(pixel_step, clock)}


def _seconds(step: Callable[[], None], clock: Clock) -> float:
    """Of one step, the first not counted, and some more for what the optimizer does."""
    step()
    began = clock()
    for _ in range(TIMED):
        step()
    return max(1e-6, 1.1 * (clock() - began) / TIMED)


def at_most(whole: Recipe, epochs: int) -> Recipe:
    """The same with no more than so many epochs in any stage."""

    def cut(schedule: Schedule) -> Schedule:
        return replace(schedule, epochs=min(schedule.epochs, epochs))

    return replace(
        whole,
        stages=tuple(replace(stage, schedule=cut(stage.schedule)) for stage in whole.stages),
        pixel_stages=tuple(replace(stage, schedule=cut(stage.schedule)) for stage in whole.pixel_stages),
        autoencoder=whole.autoencoder and cut(whole.autoencoder),
    )
