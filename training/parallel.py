"""One training run in several processes, as ``torchrun`` starts them, on one machine or more.

Every process has the same model and draws the same batches and chance; it learns from its share of each batch, and gradients
are averaged before each step. The first process leads: it alone writes files, measures the result and speaks. Without
``torchrun`` there is one process, which leads, and all of this does nothing.
"""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

T = TypeVar("T")


def join() -> None:
    """Meet the other processes, if ``torchrun`` started this one."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def leave() -> None:
    """Part with the other processes."""
    if together():
        distributed.destroy_process_group()


def together() -> bool:
    """Whether there are other processes."""
    return distributed.is_available() and distributed.is_initialized()


def leads() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not together() or distributed.get_rank() == 0


def count() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if together() else 1


def share(batch: Tensor) -> Tensor:
    """What of a batch is for this process: as many images for each."""
    if not together():
        return batch
    each = len(batch) // count()
    start = distributed.get_rank() * each
    return batch[start : start + each]


def average(module: nn.Module) -> None:
    """Make gradients the mean of those of all processes."""
    if together():
        for parameter in module.parameters():
            if parameter.grad is not None:
                mean = parameter.grad.cpu()
                distributed.all_reduce(mean)
                parameter.grad.copy_(mean / count())


def told(value: T) -> T:
    """What the leader has as this value, in every process."""
    if not together():
        return value
    box = [value]
    distributed.broadcast_object_list(box, 0)
    return box[0]


def anyone(flag: bool) -> bool:
    """Whether it is so in any process."""
    if not together():
        return flag
    total = torch.tensor(float(flag), device="cpu")
    distributed.all_reduce(total)
    return bool(total > 0)
