"""The recipe ``own`` for a user's images: its length depends on the time budget, the machine and the number of images.

Short trial steps measure the speed of the machine. :mod:`mnistzip.training.pace` decides the steps of each epoch.
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
from mnistzip.training.recipes import COMPARED_IMAGES, REPORT_IMAGES, Recipe
from mnistzip.training.run_folder import PLAN
from mnistzip.training.splits import Split
from mnistzip.training.stages import Stage, costs
from mnistzip.training.torch_codec import Codec, Config
from mnistzip.training.torch_layers import dequantize, quantize
from mnistzip.training.torch_pixel_model import PixelConfig, PixelModel
from mnistzip.training.trainer import Run, Schedule

NAME = "own"
SHARES = {"rounded": 0.6, "searched": 0.08, "integers": 0.1, "pixels": 0.22}  # of the training time
STAGES = tuple(SHARES)
EPOCHS = {"rounded": 10, "searched": 2, "integers": 3, "pixels": 5}  # held-out images are measured after each
PATIENCE = 4  # epochs
MAX_PASSES = {"rounded": 150, "searched": 6, "integers": 6, "pixels": 25}  # over all images: more would overfit
BATCH, PIXEL_BATCH = 96, 96
VARY_PASSES = 50  # with more passes half of the images are varied slightly, against overfitting
MIN_STEPS = 40  # per pass; batches are smaller if there are few images
MAX_PIXEL_PAIRS = 8e6  # in a step of the pixel model; memory is proportional to them
TRIAL_STEPS = 3
MIN_PIXEL_STEPS = 300  # with fewer than 240, files of textures are larger than files without a model
MIN_TRAINING = 0.5  # share of the time, even if choosing levels, measuring and comparing will take longer than the rest
# Time after the training per image, in units of the time in which a shipped model codes an image at the default effort: for
# images that levels are chosen with, and for images of the comparison with other formats and models.
LEVELS_COST, COMPARISON_COST = 9.0, 26.0
FINISH_PROBES = 16  # images for the measurement of this unit

# With lmbda from 1.6 to 2,400 and batches of 256, as for digits, a model of Fashion-MNIST needs 20% more bytes at 26.5 dB
# after equal training time: half of the training goes to qualities below 21 dB.
CONFIG = Config(width=48, hidden=32, blocks=2, prior_width=10, prior_hidden=5, symbol_max=31, lmbda_low=30.0, lmbda_high=6000.0)
PIXELS = PixelConfig(ink=32, solid=48, level=64, shade=96, key=8)


def plan_recipe(split: Split, seconds: float, run: Run, epochs: int | None = None) -> Recipe:
    """The recipe of a run; sets ``run.pacer``. The plan in the run's folder is read, or made if it does not exist.

    Args:
        split: the images.
        seconds: time of the whole run, from ``run.began``.
        run: its folder contains the plan.
        epochs: maximum in each stage.
    """
    settings = distributed.broadcast(_settings(split, seconds, run, epochs) if distributed.is_leader() else {})
    if not settings["pixels"]:
        run.log(f"no pixel model is trained: it needs {MIN_PIXEL_STEPS} steps, which do not fit into {clock_time(seconds)}")
    full = recipe(settings["changed"], settings["pixels"], batches(split))
    return full if epochs is None else limit_epochs(full, epochs)


def _settings(split: Split, seconds: float, run: Run, epochs: int | None) -> dict[str, Any]:
    """The settings of the whole run. They are decided once and stored in the plan, with the steps of each epoch."""
    batch = batches(split)
    run.finish = finish_seconds(split, run.clock)
    training = max(seconds - run.finish, seconds * MIN_TRAINING)
    path = run.folder / PLAN
    if path.exists():
        plan = Plan.read(path, EPOCHS)
    else:
        with run.device:
            pace = step_seconds(split.to(run.device), run.clock)
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
    """The settings of a plan: ``pixels``, whether a pixel model is trained, and ``changed``, the share of varied images.

    Args:
        images: number of training images.
        seconds: for training.
        plan: contains the pace of each stage, or the steps of all epochs.
        batch: images per step of each stage.
    """
    steps: dict[str, float] = {name: sum(counts) for name, counts in plan.steps.items()}
    pixels = True
    if not steps:
        shares = shares_of(images, batch)

        def divide() -> dict[str, float]:
            weights = {name: share.weight for name, share in shares.items()}
            limits = {name: share.max_steps * plan.pace[name] for name, share in shares.items()}
            return {name: part / plan.pace[name] for name, part in share_out(seconds, weights, limits).items()}

        steps = divide()
        pixels = steps["pixels"] >= min(MIN_PIXEL_STEPS, shares["pixels"].max_steps)
        if not pixels:
            del shares["pixels"]
            steps = divide()
    vary = steps["rounded"] * batch["rounded"] > VARY_PASSES * images
    return {"pixels": pixels, "changed": 0.5 if vary else 0.0}


def shares_of(images: int, batch: dict[str, int]) -> dict[str, Share]:
    """The share of the time of each stage, for ``images`` training images."""
    return {
        name: Share(weight, EPOCHS[name], max(1.0, MAX_PASSES[name] * images / batch[name])) for name, weight in SHARES.items()
    }


def finish_seconds(split: Split, clock: Clock) -> float:
    """Estimated seconds after the training on this machine."""
    probes = split.held_out[:FINISH_PROBES, 0].numpy()
    encode_many(probes[:1], model="glyph")  # loads the model
    start = clock()
    encode_many(probes, model="glyph")
    per_image = (clock() - start) / len(probes)
    held_out = len(split.held_out)
    return per_image * (LEVELS_COST * min(held_out, REPORT_IMAGES) + COMPARISON_COST * min(held_out, COMPARED_IMAGES))


def batches(split: Split) -> dict[str, int]:
    """Images per step of each stage. Few images, and for the pixel model much ink, make batches smaller."""
    largest = len(split.train) // MIN_STEPS
    ink = (split.train > 0).sum((1, 2, 3)).double()
    pixels = min(PIXEL_BATCH, int(MAX_PIXEL_PAIRS / max(1.0, float(ink.square().mean()))))
    return {name: max(8, min(pixels if name == "pixels" else BATCH, largest)) for name in SHARES}


def recipe(changed: float, pixels: bool, batch: dict[str, int]) -> Recipe:
    """All stages.

    Args:
        changed: share of the images that are varied.
        pixels: train a pixel model.
        batch: images per step of each stage.
    """

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


def step_seconds(split: Split, clock: Clock) -> dict[str, float]:
    """Measure the seconds per step of each stage on the device of the images, with untrained models."""
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

    seconds = {}
    for stage in stages:
        (quantize if stage.quantized else dequantize)(coder)
        seconds[stage.name] = _time_step(step_of(stage), clock)
    return seconds | {"pixels": _time_step(pixel_step, clock)}


def _time_step(step: Callable[[], None], clock: Clock) -> float:
    """Seconds of one step without the first, and 10% more for the optimizer."""
    step()
    start = clock()
    for _ in range(TRIAL_STEPS):
        step()
    return max(1e-6, 1.1 * (clock() - start) / TRIAL_STEPS)


def limit_epochs(full: Recipe, epochs: int) -> Recipe:
    """The same recipe with at most ``epochs`` epochs in each stage."""

    def cut(schedule: Schedule) -> Schedule:
        return replace(schedule, epochs=min(schedule.epochs, epochs))

    return replace(
        full,
        stages=tuple(replace(stage, schedule=cut(stage.schedule)) for stage in full.stages),
        pixel_stages=tuple(replace(stage, schedule=cut(stage.schedule)) for stage in full.pixel_stages),
        autoencoder=full.autoencoder and cut(full.autoencoder),
    )
