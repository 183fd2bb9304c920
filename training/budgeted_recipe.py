"""The recipe ``own`` for the images of a user: as much training as the time allows, up to a limit for few images.

The speed of the machine determines the number of steps of each epoch, see :mod:`mnistzip.training.pace`.

    paces, finish_seconds -> settings (with or without pixel model) -> Plan, Pacer -> recipe
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
from mnistzip.training.recipes import BASELINE_IMAGES, REPORT_IMAGES, Recipe
from mnistzip.training.run_folder import PLAN
from mnistzip.training.splits import Split
from mnistzip.training.stages import Stage, costs
from mnistzip.training.torch_codec import Codec, Config
from mnistzip.training.torch_layers import dequantize, quantize
from mnistzip.training.torch_pixel_model import PixelConfig, PixelModel
from mnistzip.training.trainer import Run, Schedule

NAME = "own"
SHARES = {"rounded": 0.6, "searched": 0.08, "integers": 0.1, "pixels": 0.22}  # share of each stage in the time for training
STAGES = tuple(SHARES)
EPOCHS = {"rounded": 10, "searched": 2, "integers": 3, "pixels": 5}  # of each stage; held-out images are measured after each
PATIENCE = 4  # epochs without improvement after which a stage ends
PASSES = {
    "rounded": 150,
    "searched": 6,
    "integers": 6,
    "pixels": 25,
}  # greatest number of passes over all images; more would overfit
BATCH, PIXEL_BATCH = 96, 96
AUGMENT_PASSES = 50  # with more passes, half of the images are augmented, to reduce overfitting
PASS_STEPS_MIN = 40  # steps of a pass over few images
STEP_PAIRS = 8e6  # pairs of pixels in a step of the pixel model, which determine its memory
TIMED_STEPS = 3  # measured for the pace of a stage
PIXEL_STEPS_MIN = 300  # with fewer than 240, lossless files of textures were larger than files without a model
TRAINING_SHARE_MIN = 0.5  # of the time, however long levels, measurements and comparison take after it
# Time after the training for each image, in units of the time in which a shipped model encodes an image at the default effort:
# to choose the levels, and to compare with other formats and models.
LEVELS_COST, BASELINE_COST = 9.0, 26.0
FINISH_PROBES = 16  # images that measure this unit

# With lmbda from 1.6 to 2,400 and batches of 256, as for digits, a model for Fashion-MNIST needed a fifth more bytes at 26.5 dB
# after the same time: half of the training went into images of less than 21 dB.
CONFIG = Config(width=48, hidden=32, blocks=2, prior_width=10, prior_hidden=5, symbol_max=31, lmbda_low=30.0, lmbda_high=6000.0)
PIXELS = PixelConfig(ink=32, solid=48, level=64, shade=96, key=8)


def plan_recipe(split: Split, seconds: float, run: Run, epochs: int | None = None) -> Recipe:
    """The recipe of a run, by its stored plan or a new one. Gives the run a pacer that keeps to the time.

    Args:
        split: training and held-out images.
        seconds: time for the whole run, since ``run.began``.
        run: its folder holds the plan.
        epochs: greatest number of epochs of each stage.
    """
    settings = distributed.broadcast(_settings(split, seconds, run, epochs) if distributed.is_leader() else {})
    if not settings["pixels"]:
        run.log(
            f"no pixel model is trained: it needs at least {PIXEL_STEPS_MIN} steps, which do not fit into {clock_time(seconds)}"
        )
    full = recipe(settings["changed"], settings["pixels"], batch_sizes(split))
    return full if epochs is None else limit_epochs(full, epochs)


def _settings(split: Split, seconds: float, run: Run, epochs: int | None) -> dict[str, Any]:
    """The settings of the whole run, decided once and stored in the plan. Makes the pacer."""
    batch = batch_sizes(split)
    run.finish = finish_seconds(split, run.clock)
    training = max(seconds - run.finish, seconds * TRAINING_SHARE_MIN)
    path = run.folder / PLAN
    if path.exists():
        plan = Plan.read(path, EPOCHS)
    else:
        with run.device:
            pace = paces(split.to(run.device), run.clock)
        plan = Plan({}, pace, {})
    if not plan.settings:
        plan.settings = settings(len(split.train), training, plan, batch)
    shares = stage_shares(len(split.train), batch)
    if not plan.settings["pixels"]:
        del shares["pixels"]
    if training + run.finish > seconds:
        times = [clock_time(value) for value in (seconds, training, run.finish)]
        run.log(f"--time {times[0]} is short: {times[1]} for the training, then about {times[2]} to measure the model")
    if plan.spent:  # a stopped process has spent time already
        run.pacer = Pacer(plan, path, shares, training, run.clock, epochs=epochs)
    else:
        run.pacer = Pacer(plan, path, shares, training, run.clock, run.began, epochs)
    return plan.settings


def settings(images: int, seconds: float, plan: Plan, batch: dict[str, int]) -> dict[str, Any]:
    """The settings of a plan: ``pixels``, whether a pixel model is trained; ``changed``, the share of augmented images.

    Args:
        images: number of training images.
        seconds: time for training.
        plan: a plan with the pace of each stage, or with the steps of all epochs.
        batch: images in a step of each stage.
    """
    steps: dict[str, float] = {name: sum(counts) for name, counts in plan.steps.items()}
    pixels = True
    if not steps:
        shares = stage_shares(images, batch)

        def divide() -> dict[str, float]:
            weights = {name: share.weight for name, share in shares.items()}
            limits = {name: share.max_steps * plan.pace[name] for name, share in shares.items()}
            return {name: part / plan.pace[name] for name, part in share_out(seconds, weights, limits).items()}

        steps = divide()
        pixels = steps["pixels"] >= min(PIXEL_STEPS_MIN, shares["pixels"].max_steps)
        if not pixels:
            del shares["pixels"]
            steps = divide()
    augment = steps["rounded"] * batch["rounded"] > AUGMENT_PASSES * images
    return {"pixels": pixels, "changed": 0.5 if augment else 0.0}


def stage_shares(images: int, batch: dict[str, int]) -> dict[str, Share]:
    """The share of each stage in the time, for a number of training images."""
    return {name: Share(weight, EPOCHS[name], max(1.0, PASSES[name] * images / batch[name])) for name, weight in SHARES.items()}


def finish_seconds(split: Split, clock: Clock) -> float:
    """Estimated seconds for everything after the training on this machine."""
    probes = split.held_out[:FINISH_PROBES, 0].numpy()
    encode_many(probes[:1], model="glyph")  # loads the model
    began = clock()
    encode_many(probes, model="glyph")
    unit = (clock() - began) / len(probes)
    held_out = len(split.held_out)
    return unit * (LEVELS_COST * min(held_out, REPORT_IMAGES) + BASELINE_COST * min(held_out, BASELINE_IMAGES))


def batch_sizes(split: Split) -> dict[str, int]:
    """Images in a step of each stage: fewer if there are few images, or if the pixel model has many pairs of pixels."""
    pass_limit = len(split.train) // PASS_STEPS_MIN
    ink = (split.train > 0).sum((1, 2, 3)).double()
    pixels = min(PIXEL_BATCH, int(STEP_PAIRS / max(1.0, float(ink.square().mean()))))
    return {name: max(8, min(pixels if name == "pixels" else BATCH, pass_limit)) for name in SHARES}


def recipe(augmented: float, pixels: bool, batch: dict[str, int]) -> Recipe:
    """The recipe with all stages; ``batch`` has the images in a step of each."""

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
            Stage("rounded", schedule("rounded", 8e-3, 0.02, 500, 0.06), augmented=augmented),
            Stage("searched", schedule("searched", 6e-4, 1.5e-3, 100, 0.3), passes=3, augmented=augmented),
            Stage("integers", schedule("integers", 2e-4, 5e-4, 50), passes=1, quantized=True, augmented=augmented),
        ),
        pixels=PIXELS if pixels else None,
        pixel_stages=(PixelStage("pixels", schedule("pixels", 2e-3, 0.02, 200)),) if pixels else (),
    )


def paces(split: Split, clock: Clock) -> dict[str, float]:
    """Seconds per step of each stage on the device of the images, measured with temporary models."""
    batch = batch_sizes(split)
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

    out = {}
    for stage in stages:
        (quantize if stage.quantized else dequantize)(coder)
        out[stage.name] = _seconds(step_of(stage), clock)
    return out | {"pixels": _seconds(pixel_step, clock)}


def _seconds(step: Callable[[], None], clock: Clock) -> float:
    """Seconds per step after a first one, plus a tenth for the optimizer."""
    step()
    began = clock()
    for _ in range(TIMED_STEPS):
        step()
    return max(1e-6, 1.1 * (clock() - began) / TIMED_STEPS)


def limit_epochs(full: Recipe, epochs: int) -> Recipe:
    """The same with no more than so many epochs in any stage."""

    def shorten(schedule: Schedule) -> Schedule:
        return replace(schedule, epochs=min(schedule.epochs, epochs))

    return replace(
        full,
        stages=tuple(replace(stage, schedule=shorten(stage.schedule)) for stage in full.stages),
        pixel_stages=tuple(replace(stage, schedule=shorten(stage.schedule)) for stage in full.pixel_stages),
        autoencoder=full.autoencoder and shorten(full.autoencoder),
    )
