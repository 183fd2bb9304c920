"""The recipe for images of one's own: as much training as the time allows and the images bear.

How fast the machine is decides how many steps each stage gets. That is found out once and kept in the run's folder, so a run
that goes on takes the very steps of one that was not stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from mnistzip.training import parallel
from mnistzip.training.coder import Coder
from mnistzip.training.data import Split
from mnistzip.training.lossless import PixelStage, as_bytes
from mnistzip.training.model import Codec, Config, dequantize, quantize
from mnistzip.training.pixels import PixelConfig, PixelModel
from mnistzip.training.recipes import Recipe
from mnistzip.training.run import Run, Schedule
from mnistzip.training.stages import Stage, costs

NAME = "own"
SETTLED = 0.16  # of the time goes into choosing levels, measuring and the report
SHARES = {"rounded": 0.6, "searched": 0.08, "integers": 0.1, "pixels": 0.22}  # of the rest
EPOCHS = {"rounded": 10, "searched": 2, "integers": 3, "pixels": 5}  # so often held-out images are looked at
PATIENCE = 4  # epochs
PASSES = {"rounded": 150, "searched": 6, "integers": 6, "pixels": 25}  # over all images at most: more is learned by heart
BATCH, PIXEL_BATCH = 96, 96
MANY = 50  # passes from which on half of the images are redrawn a little, against learning them by heart
STEPS_LEAST = 40  # that one pass is cut into where images are few
VOTES = 8e6  # pairs of pixels in a step of the pixel model, which memory grows with
TIMED = 3  # steps

# With lmbda from 1.6 to 2,400 and batches of 256, as for digits, a model of Fashion-MNIST took a fifth more bytes at 26.5 dB
# after as long a training: half of it went into pictures of less than 21 dB.
CONFIG = Config(width=48, hidden=32, blocks=2, prior_width=10, prior_hidden=5, symbol_max=31, lmbda_low=30.0, lmbda_high=6000.0)
PIXELS = PixelConfig(ink=32, solid=48, level=64, shade=96, key=8)


def own_recipe(split: Split, seconds: float, run: Run) -> Recipe:
    """The recipe that a run began with or, if it begins now, one that takes so many seconds on this machine."""
    steps = parallel.told(_steps(split, seconds, run) if parallel.leads() else {})
    told = ", ".join(f"{name} {EPOCHS[name]} x {count}" for name, count in steps.items())
    run.log(f"steps: {told}")
    return recipe(steps, batches(split), len(split.train))


def _steps(split: Split, seconds: float, run: Run) -> dict[str, int]:
    """Steps of an epoch of each stage, planned once and kept in the run's folder."""
    kept = run.folder / "plan.json"
    if kept.exists():
        steps: dict[str, int] = json.loads(kept.read_text())
        return steps
    with run.device:
        pace = paces(split.to(run.device))
    steps = plan(len(split.train), seconds, pace, batches(split))
    run.folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(steps, indent=1) + "\n")
    return steps


def plan(images: int, seconds: float, pace: dict[str, float], batch: dict[str, int]) -> dict[str, int]:
    """Steps of an epoch of each stage.

    Args:
        pace: seconds of a step of each stage.
        batch: images of a step of each stage.
    """
    room = seconds * (1 - SETTLED)
    steps = {}
    for name, share in SHARES.items():
        most = PASSES[name] * images / batch[name]
        steps[name] = max(1, round(min(most, room * share / pace[name]) / EPOCHS[name]))
    return steps


def batches(split: Split) -> dict[str, int]:
    """Images of a step of each stage: fewer where there are few, so that a pass has some steps, or where pixels see many."""
    few = len(split.train) // STEPS_LEAST
    ink = (split.train > 0).sum((1, 2, 3)).double()
    pixels = min(PIXEL_BATCH, int(VOTES / max(1.0, float(ink.square().mean()))))
    return {name: max(8, min(pixels if name == "pixels" else BATCH, few)) for name in SHARES}


def recipe(steps: dict[str, int], batch: dict[str, int], images: int) -> Recipe:
    """All stages, each with so many steps an epoch of so many of the images."""
    changed = 0.5 if steps["rounded"] * EPOCHS["rounded"] * batch["rounded"] > MANY * images else 0.0

    def schedule(stage: str, rate: float, matrix_rate: float, warm_up: int, end: float = 0.01) -> Schedule:
        whole = steps[stage] * EPOCHS[stage]
        return Schedule(
            EPOCHS[stage],
            batch[stage],
            rate,
            matrix_rate=matrix_rate,
            warm_up=max(1, min(warm_up, whole // 10)),
            end=end,
            steps=steps[stage],
            keep_best=True,
            patience=PATIENCE,
        )

    return Recipe(
        CONFIG,
        (
            Stage("rounded", schedule("rounded", 8e-3, 0.02, 500, 0.06), changed=changed),
            Stage("searched", schedule("searched", 6e-4, 1.5e-3, 100, 0.3), passes=3, changed=changed),
            Stage("integers", schedule("integers", 2e-4, 5e-4, 50), passes=1, quantized=True, changed=changed),
        ),
        pixels=PIXELS,
        pixel_stages=(PixelStage("pixels", schedule("pixels", 2e-3, 0.02, 200)),),
    )


def paces(split: Split) -> dict[str, float]:
    """Seconds of a step of each stage where the images are, tried on models that are thrown away."""
    batch = batches(split)
    stages = recipe(dict.fromkeys(SHARES, 1), batch, len(split.train)).stages
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
        told[stage.name] = _seconds(step_of(stage))
    return told | {"pixels": _seconds(pixel_step)}


def _seconds(step: Callable[[], None]) -> float:
    """Of one step, the first not counted, and some more for what the optimizer does."""
    step()
    began = time.monotonic()
    for _ in range(TIMED):
        step()
    return 1.1 * (time.monotonic() - began) / TIMED


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
