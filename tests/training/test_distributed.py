"""Training in several processes: the steps are those of one process, and only the leader writes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, multiprocessing, nn

from mnistzip.training import distributed
from mnistzip.training.pace import Pacer, Plan, Share
from mnistzip.training.recipes import command_of
from mnistzip.training.trainer import Run, Schedule, StageTrainer

pytestmark = pytest.mark.torch

STEPS = 6


class Brightness(nn.Module):
    """Learns the brightness of images; its buffer gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(784))
        self.register_buffer("seen", torch.zeros(1))
        self.seen: Tensor

    def loss(self, x: Tensor) -> Tensor:
        self.seen += x.mean().detach()
        return (x.flatten(1) @ self.weight - x.mean((1, 2, 3))).square().mean()


def work(folder: Path, stop: bool = False) -> tuple[dict[str, Tensor], int]:
    """Train in ``folder``: the state of the module, and the number of epochs."""
    images = torch.randint(0, 256, (40, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    module = Brightness()
    run = Run(folder, 3)
    trainer = StageTrainer("bright", run, module, Schedule(2, 8, 1e-3, warm_up=1, paced=True))
    if distributed.is_leader():  # the others get the number of steps from the leader
        shares = {"bright": Share(1.0, 2, 1e9)}
        run.pacer = Pacer(Plan({"bright": [STEPS, STEPS - 1]}, {}, {}), folder / "plan.json", shares, 100.0, lambda: 0.0)

    def loss(x: Tensor) -> Tensor:
        run.stopping = stop and trainer.epoch == 1
        return module.loss(x)

    trainer.train(images, loss)
    return module.state_dict(), trainer.epoch


def process(rank: int, port: int, folder: Path) -> None:
    """One of two processes. The second one is asked to stop in the second epoch, then both resume."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    distributed.initialize()
    own_folder = folder if rank == 0 else folder / "other"
    _, epochs = work(own_folder, stop=rank == 1)
    assert epochs == 1
    assert distributed.is_leader() == (rank == 0)
    torch.save(work(own_folder), folder / f"{rank}.result")
    distributed.shutdown()
    assert not (folder / "other").exists()


def test_two_processes_learn_what_one_does_and_the_first_writes(tmp_path: Path) -> None:
    alone, _ = work(tmp_path / "alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = tmp_path / "both"
    both.mkdir()
    multiprocessing.spawn(process, (port, both), 2)  # type: ignore[no-untyped-call]
    results = [torch.load(both / f"{rank}.result", weights_only=True) for rank in (0, 1)]
    for state, epochs in results:
        assert epochs == 2
        torch.testing.assert_close(state["weight"], alone["weight"])
        assert (state["weight"] == results[0][0]["weight"]).all()
        assert (state["seen"] == results[0][0]["seen"]).all()


def test_one_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    distributed.initialize()
    assert not distributed.is_grouped()
    assert distributed.is_leader()
    assert distributed.shard(torch.arange(5)).tolist() == [0, 1, 2, 3, 4]
    assert distributed.broadcast("x") == "x"
    assert distributed.any_process(True)


def test_a_card_tells_the_command_that_several_processes_took() -> None:
    report = {
        "data": {"source": "x.npy"},
        "recipe": "own",
        "seed": 1,
        "threads": 2,
        "model": "m",
        "device": "cpu",
        "processes": 1,
    }
    assert command_of(report) == "mnistzip train x.npy --recipe own --seed 1 -T 2 -o m.npz"
    several = command_of(report | {"processes": 3, "device": "cuda"})
    assert several == "torchrun --nproc-per-node 3 -m mnistzip train x.npy --recipe own --seed 1 -T 2 --device cuda -o m.npz"
