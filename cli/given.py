"""What a command is given: files, streams, addresses, and ranges of images."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from mnistzip import container
from mnistzip import model as models
from mnistzip.data import images, kinds
from mnistzip.errors import ModelError

Range = tuple[int | None, int | None]


def parse_range(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Range | None:
    """``A:B`` as two numbers, each of which may be left out."""
    if value is None:
        return None
    parts = value.split(":")
    if len(parts) != 2 or not all(not part or (part.isascii() and part.isdecimal()) for part in parts):
        raise click.BadParameter(f"{value!r} is not two numbers such as 0:100")
    return int(parts[0]) if parts[0] else None, int(parts[1]) if parts[1] else None


def use_device(ctx: click.Context, _parameter: click.Parameter, value: str) -> None:
    """Have the networks of this command computed on a device other than the processor."""
    if value == "cpu":
        return
    try:
        from mnistzip.plugins import gpu
    except ModuleNotFoundError as cause:
        raise ModelError(f"--device {value} needs {cause.name}: pip install 'mnistzip[train]'") from cause
    gpu.use(value)
    ctx.call_on_close(lambda: gpu.use("cpu"))


def model_file(model: str | None) -> list[str]:
    """The file that a model is read from, if it does not ship."""
    return [] if model is None or models.ships(model) else [model]


max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    help="Refuse larger images.  [default: {LOSSY} lossy, {LOSSLESS} lossless, {STORED} without a model]".format(
        **{mode.name: limit for mode, limit in container.DECODED_MAX.items()}
    ),
)


def at_hand(name: str) -> str | bytes:
    """The name of an input, or what comes through stdin or another pipe, which can be read only once."""
    pipe = name == images.STREAM or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name))
    return images.read_bytes(name) if pipe else name


def bytes_of(held: str | bytes) -> bytes:
    """The bytes of what :func:`at_hand` gave."""
    return held if isinstance(held, bytes) else images.read_bytes(held)


def is_archive(held: str | bytes) -> bool:
    """Whether an input is an archive; what an address such as ``s3://...`` leads to is taken to be one."""
    if isinstance(held, bytes):
        return container.is_archive(held)
    return "://" in held or (os.path.isfile(held) and kinds.leads_to_archive(held))


def for_an_archive(inputs: Sequence[str], output: str | None, append: bool, recursive: bool) -> bool:
    """Whether inputs go into an archive rather than into files of their own."""
    if append or any(kinds.holds_many(name) for name in inputs):
        return True
    if output is None or not output.lower().endswith(images.SUFFIX) or os.path.isdir(output):
        return False
    return len(inputs) > 1 or recursive or os.path.isdir(inputs[0])
