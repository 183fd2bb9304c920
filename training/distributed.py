"""One training run in several processes that ``torchrun`` starts, on one machine or more.

Every process has the same model and draws the same batches and random numbers. It computes the loss of its part of each batch,
and gradients are averaged before each step. The first process is the leader: it alone writes files, measures results and
prints. Without ``torchrun`` the only process is the leader, and these functions do nothing.
"""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from mnistzip.errors import ModelError

T = TypeVar("T")


def initialize() -> None:
    """Connect to the other processes, if ``torchrun`` started this one."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def shutdown() -> None:
    """Disconnect from the other processes."""
    if is_distributed():
        distributed.destroy_process_group()


def is_distributed() -> bool:
    """Whether this process is connected to others."""
    return distributed.is_available() and distributed.is_initialized()


def is_leader() -> bool:
    """Whether this process writes files and prints."""
    return not is_distributed() or distributed.get_rank() == 0


def process_count() -> int:
    """Number of processes."""
    return distributed.get_world_size() if is_distributed() else 1


def select_device(name: str) -> torch.device:
    """The device that this process trains on. Each process of a machine gets its own graphics processor.

    Args:
        name: a device of torch, or ``auto`` for ``cuda`` if it is available, else ``cpu``.

    Raises:
        ModelError: torch has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        selected = torch.device(name)
        torch.empty(1, device=selected).item()
    except Exception as cause:  # each kind of device raises other types
        raise ModelError(f"--device {name}: torch cannot use it here: {str(cause).splitlines()[0]}") from cause
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
        False  # float32 holds integers of up to 24 bits exactly only without TF32
    )
    return selected


def local_batch(batch: Tensor) -> Tensor:
    """The part of a batch for this process; all parts have the same size."""
    if not is_distributed():
        return batch
    size = len(batch) // process_count()
    start = distributed.get_rank() * size
    return batch[start : start + size]


def average_gradients(module: nn.Module) -> None:
    """Replace the gradients by their means over all processes."""
    if is_distributed():
        for parameter in module.parameters():
            if parameter.grad is not None:
                mean = parameter.grad.cpu()
                distributed.all_reduce(mean)
                parameter.grad.copy_(mean / process_count())


def broadcast(value: T) -> T:
    """The value of the leader, in every process."""
    if not is_distributed():
        return value
    values = [value]
    distributed.broadcast_object_list(values, 0)
    return values[0]


def any_process(flag: bool) -> bool:
    """Whether the flag is true in any process."""
    if not is_distributed():
        return flag
    total = torch.tensor(float(flag), device="cpu")
    distributed.all_reduce(total)
    return bool(total > 0)
