"""Division of the time of a training run, with a clock that only the test moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from mnistzip.errors import ModelError
from mnistzip.training import budgeted_recipe
from mnistzip.training.pace import Pacer, Plan, Share, clock_time, share_out
from mnistzip.training.trainer import Run, Schedule, StageTrainer

pytestmark = pytest.mark.torch

PACE = {"rounded": 0.1, "searched": 0.3, "integers": 0.4, "pixels": 0.2}
BATCH = dict.fromkeys(budgeted_recipe.SHARES, 96)
MANY = 60_000
TRAINING = 1000.0


class Clock:
    """A clock that moves only if ``now`` is changed."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def train(
    path: Path, slow: Callable[[float], float], plan: Plan | None = None, images: int = MANY, overhead: float = 0.0
) -> tuple[float, Plan, list[float]]:
    """Simulate a run whose steps take ``slow(elapsed share)`` times the pace: its seconds, plan and estimated totals."""
    clock = Clock()
    plan = plan or Plan({}, dict(PACE), {})
    shares = budgeted_recipe.shares_of(images, BATCH)
    pacer = Pacer(plan, path, shares, TRAINING, clock)
    totals = []
    for stage in shares:
        for epoch in range(budgeted_recipe.EPOCHS[stage]):
            start = clock.now
            for _ in range(pacer.steps(stage, epoch)):
                clock.now += PACE[stage] * slow((clock.now - 50.0) / TRAINING)
            clock.now += overhead
            pacer.record_epoch(stage, epoch, clock.now - start - overhead, overhead)
            totals.append(clock.now - 50.0 + pacer.seconds_left(stage, epoch + 1))
    return clock.now - 50.0, plan, totals


@pytest.mark.parametrize(
    "slow",
    [
        lambda _over: 1.0,
        lambda _over: 3.0,
        lambda _over: 0.25,
        lambda over: 4.0 if over < 0.3 else 1.0,  # busy at first
        lambda over: 1.0 if over < 0.5 else 2.0,
        lambda over: 0.5 if over < 0.2 else 1.5,
    ],
    ids=["as tried", "slower", "faster", "busy at first", "busy later", "quiet at first"],
)
@pytest.mark.parametrize("overhead", [0.0, 12.0])
def test_a_run_takes_its_time_however_busy_the_machine_is(
    slow: Callable[[float], float], overhead: float, tmp_path: Path
) -> None:
    seconds, plan, totals = train(tmp_path / "plan.json", slow, overhead=overhead)
    assert 0.9 * TRAINING < seconds < 1.1 * TRAINING
    assert all(min(counts) > 1 for counts in plan.steps.values())
    assert all(0.85 * TRAINING < left < 1.35 * TRAINING for left in totals[8:])  # elapsed and remaining time


def test_few_images_are_not_learned_by_heart_and_end_early(tmp_path: Path) -> None:
    seconds, plan, _ = train(tmp_path / "plan.json", lambda _over: 1.0, images=600)
    assert seconds < TRAINING / 2
    for name, counts in plan.steps.items():
        assert sum(counts) * BATCH[name] <= 1.2 * budgeted_recipe.MAX_PASSES[name] * 600


def test_a_plan_that_is_kept_gives_the_same_steps_again_at_any_pace(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    _, first, _ = train(path, lambda _over: 1.0)
    again = Plan.read(path, budgeted_recipe.EPOCHS)
    assert again.steps == first.steps
    assert again.spent == pytest.approx(TRAINING, rel=0.1)
    _, second, _ = train(path, lambda _over: 5.0, again)
    assert second.steps == first.steps


def test_a_run_that_goes_on_has_the_time_that_is_left_and_the_decision_that_was_made(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "plan.json"
    shares = {"one": Share(1.0, 2, 1e9), "two": Share(1.0, 2, 1e9)}
    first = Pacer(Plan({}, {"one": 1.0, "two": 1.0}, {}), path, shares, 100.0, clock)
    assert first.steps("one", 0) == 25
    clock.now += 50
    first.record_epoch("one", 0, 50.0)
    assert first.steps("one", 1) == 8  # a third of the remaining 50 seconds, two seconds per step
    clock.now += 3  # the run is stopped here
    later = Clock()
    later.now = 7000.0
    second = Pacer(Plan.read(path, {"one": 2, "two": 2}), path, shares, 100.0, later)
    assert second.steps("one", 1) == 8
    assert second.seconds_left("one", 1) == pytest.approx(16 + 50, abs=1)


def test_plans_of_earlier_versions_go_on_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"rounded": 3, "searched": 2, "integers": 1, "pixels": 4}))
    assert Plan.read(path, budgeted_recipe.EPOCHS).steps == {
        name: [n] * budgeted_recipe.EPOCHS[name] for name, n in zip(budgeted_recipe.SHARES, (3, 2, 1, 4), strict=True)
    }
    for text in (
        "{",
        "[]",
        "7",
        '{"steps": {"rounded": [0]}, "pace": {}, "settings": {}}',
        '{"steps": {"x": [1]}, "pace": {}, "settings": {}}',
    ):
        path.write_text(text)
        with pytest.raises(ModelError, match="is damaged"):
            Plan.read(path, budgeted_recipe.EPOCHS)


def test_what_one_stage_cannot_take_goes_to_the_others() -> None:
    assert share_out(100, {"a": 1, "b": 1}, {"a": 1000, "b": 1000}) == {"a": 50, "b": 50}
    assert share_out(100, {"a": 1, "b": 1}, {"a": 10, "b": 1000}) == {"a": 10, "b": 90}
    assert share_out(100, {"a": 3, "b": 1}, {"a": 10, "b": 20}) == {"a": 10, "b": 20}
    assert share_out(100, {"a": 0, "b": 1}, {"a": 10, "b": 200}) == {"a": 0, "b": 100}
    assert share_out(0, {"a": 1, "b": 1}, {"a": 10, "b": 200}) == {"a": 0, "b": 0}


def test_the_pixel_model_gets_a_useful_share_or_none() -> None:
    plan = Plan({}, dict(PACE), {})
    assert budgeted_recipe.settings(MANY, 1000, plan, BATCH) == {"pixels": True, "changed": 0.0}
    assert budgeted_recipe.settings(MANY, 60, plan, BATCH)["pixels"] is False
    few = budgeted_recipe.settings(400, 1000, plan, dict.fromkeys(budgeted_recipe.SHARES, 10))
    assert few == {"pixels": True, "changed": 0.5}
    whole = budgeted_recipe.recipe(0.5, False, BATCH)
    assert whole.pixels is None
    assert whole.stage_names == ("rounded", "searched", "integers")


def test_the_rate_falls_to_its_end_whatever_the_epochs_turn_out_to_be(tmp_path: Path) -> None:
    clock = Clock()
    weight = torch.nn.Linear(1, 1)
    run = Run(tmp_path, 1, clock=clock)
    tempo = iter([1.0] * 30 + [6.0] * 1000)
    run.pacer = Pacer(Plan({}, {"one": 1.0}, {}), tmp_path / "plan.json", {"one": Share(1.0, 4, 1e9)}, 100.0, clock)
    schedule = Schedule(4, 8, 1e-3, warm_up=500, end=0.1, paced=True)
    trainer = StageTrainer("one", run, weight, schedule)
    rates: list[float] = []

    def loss(x: Tensor) -> Tensor:
        rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        clock.now += next(tempo)
        return weight(x.mean().view(1, 1)).square().mean()

    trainer.train(torch.zeros(40, 1, 28, 28, dtype=torch.uint8), loss)
    rates.append(trainer.optimizers[0].param_groups[0]["lr"])
    assert len(trainer.steps) == 4
    assert len(set(trainer.steps)) > 1
    assert max(rates[1:]) == pytest.approx(1e-3, rel=0.1)
    assert rates[-1] < 0.25e-3
    fall = rates[1 + trainer.steps[0] :]
    assert fall == sorted(fall, reverse=True)


def test_times_are_told_as_people_write_them() -> None:
    assert [clock_time(value) for value in (-1, 0, 59.2, 60, 3600 + 62)] == ["0:00", "0:00", "1:00", "1:00", "1:01:02"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
