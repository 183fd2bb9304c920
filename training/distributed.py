"""Data-parallel training in several processes that ``torchrun`` starts, on one or more machines.

All processes have the same model and the same random numbers, and draw the same batches. Each computes gradients on its shard
of a batch, and gradients are averaged before each step. The first process is the leader: it alone writes files, measures the
model and prints. Without ``torchrun`` the only process is the leader, and the other functions return their arguments.
"""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from mnistzip.errors import ModelError

T = TypeVar("T")


def initialize() -> None:
    """Join the process group if ``torchrun`` started this process."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def shutdown() -> None:
    """Leave the process group."""
    if is_grouped():
        distributed.destroy_process_group()


def is_grouped() -> bool:
    """True if this process belongs to a process group."""
    return distributed.is_available() and distributed.is_initialized()


def is_leader() -> bool:
    """True if this process is the leader, which writes and prints."""
    return not is_grouped() or distributed.get_rank() == 0


def process_count() -> int:
    """The number of processes."""
    return distributed.get_world_size() if is_grouped() else 1


def select_device(name: str) -> torch.device:
    """The device of this process. With several GPUs in a machine, each of its processes gets another one.

    Args:
        name: name of a torch device, or ``auto``: ``cuda`` if available, else ``cpu``.

    Raises:
        ModelError: the device does not exist, or torch does not support it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        result = torch.device(name)
        torch.empty(1, device=result).item()
    except Exception as cause:  # the type of the error depends on the kind of device
        raise ModelError(f"--device {name}: torch cannot use it here: {str(cause).splitlines()[0]}") from cause
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # integers in float32 need all 24 bits
    return result


def shard(batch: Tensor) -> Tensor:
    """The images of a batch for this process, equally many for each process: (N, ...) -> (N / processes, ...)."""
    if not is_grouped():
        return batch
    size = len(batch) // process_count()
    start = distributed.get_rank() * size
    return batch[start : start + size]


def average_gradients(module: nn.Module) -> None:
    """Replace gradients by their mean over all processes."""
    if is_grouped():
        for parameter in module.parameters():
            if parameter.grad is not None:
                mean = parameter.grad.cpu()
                distributed.all_reduce(mean)
                parameter.grad.copy_(mean / process_count())


def broadcast(value: T) -> T:
    """Return the value of the leader in all processes."""
    if not is_grouped():
        return value
    box = [value]
    distributed.broadcast_object_list(box, 0)
    return box[0]


def any_process(flag: bool) -> bool:
    """True if the flag is set in any process."""
    if not is_grouped():
        return flag
    total = torch.tensor(float(flag), device="cpu")
    distributed.all_reduce(total)
    return bool(total > 0)
