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

from mnistzip.errors import ModelError

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


def device(name: str) -> torch.device:
    """What this process trains on: of several graphics processors one for each process of a machine.

    Args:
        name: as torch names devices, or ``auto``: ``cuda`` if there is one, else ``cpu``.

    Raises:
        ModelError: there is no such device, or torch was built without it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        found = torch.device(name)
        torch.empty(1, device=found).item()
    except Exception as cause:  # each kind of device has errors of its own
        raise ModelError(f"--device {name}: torch cannot use it here: {str(cause).splitlines()[0]}") from cause
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # integers in float32 need all its bits
    return found


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
