"""The model grey in floats: any size, causal, and coarse to fine."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from mnistzip.models.grey.prior import CHANNELS, GROUP, GROUPS
from mnistzip.training.torch_grey import Grey, Prior, cosine_transform, log_likelihood

SIZES = [(1, 1), (1, 40), (7, 5), (28, 28), (30, 20), (65, 66)]


@pytest.fixture(scope="module")
def small() -> Grey:
    torch.manual_seed(1)
    model = Grey(width=8, hidden=8, blocks=1, prior_hidden=8).eval()
    for name, weight in model.named_parameters():  # those that start at zero hide what they see
        if "linear" in name or "within" in name:
            nn.init.normal_(weight, std=0.1)
    return model


def order(height: int, width: int) -> np.ndarray:
    """The number of the step in which each position is coded, by the steps of the prior."""
    out = np.full((height, width), -1)
    own, prior = torch.zeros(1, GROUP, height, width), Prior(4)
    for step, _ in prior._steps(own, prior.linear_corners, prior.linear_sides, 0):
        assert (out[step.rows, step.columns] == -1).all()
        out[step.rows, step.columns] = step.table
    return out


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 7), (16, 17), (33, 5)])
def test_every_position_belongs_to_one_step(size: tuple[int, int]) -> None:
    steps = order(*size)
    assert (steps >= 0).all()
    assert steps[0, 0] == 0


@pytest.mark.parametrize("size", [(7, 7), (5, 18), (17, 17)])
def test_a_distribution_depends_on_earlier_symbols_only(small: Grey, size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    y = torch.randint(-5, 6, (1, CHANNELS, *size)).float()
    level = torch.full((1,), 0.5)
    steps = order(*size)
    coded = np.stack([(channel // GROUP) * 1000 + steps * 10 + channel % GROUP for channel in range(CHANNELS)])
    with torch.no_grad():
        before = torch.stack(small.prior(y, level))
        for channel in range(CHANNELS):
            row, column = np.random.default_rng(channel).integers(0, size)
            changed = y.clone()
            changed[0, channel, row, column] += 3
            moved = (torch.stack(small.prior(changed, level)) != before).any(0)[0].numpy()
            now = coded[channel, row, column]
            elsewhere = np.ones(size, bool)
            elsewhere[row, column] = False
            same_step = (coded // 10 == now // 10) & elsewhere  # of its group: positions of one step do not see each other
            assert not moved[(coded <= now) | same_step].any()


def test_all_groups_and_positions_are_seen_by_later_ones(small: Grey) -> None:
    torch.manual_seed(3)
    y = torch.randint(-5, 6, (1, CHANNELS, 9, 9)).float()
    level = torch.full((1,), 0.5)
    with torch.no_grad():
        before = torch.stack(small.prior(y, level))
        for group in range(GROUPS - 1):
            changed = y.clone()
            changed[0, GROUP * group, 4, 4] += 3
            moved = (torch.stack(small.prior(changed, level)) != before).any(0)[0]
            assert moved[GROUP * (group + 1) :, 4, 4].any()
            assert moved[GROUP * group : GROUP * (group + 1)].sum() > 1


@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_any_size_have_bits_and_errors(small: Grey, size: tuple[int, int]) -> None:
    torch.manual_seed(4)
    x = torch.randint(0, 256, (3, 1, *size)).float() / 255
    level = torch.tensor([0.0, 0.5, 1.0])
    with torch.no_grad():
        bits, error = small(x, level)
        y = torch.floor(small.analyse(x, level) + 0.5)
        x_hat = small.synthesize(y, level, size)
    assert bits.shape == error.shape == (3,)
    assert (bits > 0).all()
    assert (error >= 0).all()
    assert x_hat.shape == x.shape
    assert y.shape == (3, CHANNELS, -(-size[0] // 4), -(-size[1] // 4))


def test_pictures_of_a_batch_do_not_see_each_other(small: Grey) -> None:
    torch.manual_seed(5)
    x, level = torch.rand(4, 1, 20, 24), torch.rand(4)
    with torch.no_grad():
        together = torch.stack(small(x, level))
        alone = torch.cat([torch.stack(small(x[k : k + 1], level[k : k + 1])) for k in range(4)], 1)
    assert torch.allclose(together, alone, rtol=1e-4)


def test_a_step_of_training_lowers_the_cost() -> None:
    torch.manual_seed(6)
    model = Grey(width=8, hidden=8, blocks=1, prior_hidden=8).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    x, level = torch.rand(8, 1, 16, 16), torch.linspace(0, 1, 8)
    costs = []
    for _ in range(12):
        bits, error = model(x, level)
        cost = ((bits + model.lmbda(level) * error) / model.lmbda(level) ** 0.5).mean()
        optimizer.zero_grad()
        cost.backward()
        assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())
        optimizer.step()
        costs.append(float(cost.detach()))
    assert costs[-1] < 0.9 * costs[0]


def test_likelihoods_of_all_integers_add_up_to_one() -> None:
    values = torch.arange(-400.0, 401)
    for mean, scale in ((0.0, -3.0), (0.3, 0.0), (-7.2, 2.0)):
        total = log_likelihood(values, torch.tensor(mean), torch.tensor(scale)).exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-3)
    assert log_likelihood(torch.tensor(100.0), torch.tensor(0.0), torch.tensor(0.0)).isfinite()


def test_the_linear_part_starts_as_an_orthonormal_transform() -> None:
    transform = cosine_transform()
    assert torch.allclose(transform @ transform.T, torch.eye(CHANNELS), atol=1e-5)
    assert torch.allclose(transform[0], torch.full((CHANNELS,), 0.25), atol=1e-6)
