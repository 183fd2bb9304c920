"""What a command is given: files, streams, addresses, and ranges of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import click

from mnistzip.bitstream import container
from mnistzip.errors import ModelError
from mnistzip.io import detect, image_file
from mnistzip.io.read_options import Input, Piped
from mnistzip.limits import DECODED_PIXELS_MAX
from mnistzip.models import registry

Range = tuple[int | None, int | None]


def parse_range(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Range | None:
    """``A:B`` as two numbers, each of which may be left out."""
    if value is None:
        return None
    parts = value.split(":")
    if len(parts) != 2 or not all(not part or (part.isascii() and part.isdecimal()) for part in parts):
        raise click.BadParameter(f"{value!r} is not two numbers such as 0:100")
    return int(parts[0]) if parts[0] else None, int(parts[1]) if parts[1] else None


def parse_shape(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``HxW`` as two numbers."""
    if value is None:
        return None
    sides = value.lower().split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() and int(side) for side in sides):
        raise click.BadParameter(f"{value!r} is not height and width such as 28x28")
    return int(sides[0]), int(sides[1])


# How images are found in files that hold more than images; all are keywords of InputOptions.
INPUT_OPTIONS = {
    "array": click.option("--array", metavar="NAME", help="Array of an .npz file that holds the images."),
    "shape": click.option(
        "--shape",
        callback=parse_shape,
        metavar="HxW",
        help="Height and width of the images of an array, whose rows may be flat.",
    ),
    "image_column": click.option("--image-column", metavar="NAME", help="Column of a Parquet file that holds the images."),
    "label_column": click.option(
        "--label-column",
        metavar="NAME",
        help="Column of a Parquet file that holds the labels; text is numbered in sorted order.",
    ),
    "name_column": click.option("--name-column", metavar="NAME", help="Column of a Parquet file that holds the names."),
    "no_labels": click.option("--no-labels", is_flag=True, help="Leave out the labels that come with images."),
}


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :data:`INPUT_OPTIONS` to a command."""
    for option in reversed(INPUT_OPTIONS.values()):
        command = option(command)
    return command


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
    return [] if model is None or registry.is_shipped(model) else [model]


max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    help="Refuse larger images.  [default: {LOSSY} lossy, {LOSSLESS} lossless, {STORED} without a model]".format(
        **{mode.name: limit for mode, limit in DECODED_PIXELS_MAX.items()}
    ),
)


def at_hand(name: str) -> str | bytes:
    """The name of an input, or what comes through stdin or another pipe, which can be read only once."""
    pipe = name == image_file.STREAM or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name))
    return image_file.read_bytes(name) if pipe else name


def bytes_of(held: str | bytes) -> bytes:
    """The bytes of what :func:`at_hand` gave."""
    return held if isinstance(held, bytes) else image_file.read_bytes(held)


def is_archive(held: str | bytes) -> bool:
    """Whether an input is an archive; what an address such as ``s3://...`` leads to is taken to be one."""
    if isinstance(held, bytes):
        return container.is_archive(held)
    return "://" in held or (os.path.isfile(held) and detect.leads_to_archive(held))


def for_an_archive(inputs: Sequence[Input], output: str | None, append: bool, recursive: bool) -> bool:
    """Whether inputs go into an archive rather than into files of their own."""
    if append or any(detect.holds_many(source) for source in inputs):
        return True
    if output is None or not output.lower().endswith(image_file.SUFFIX) or os.path.isdir(output):
        return False
    return len(inputs) > 1 or recursive or (not isinstance(inputs[0], Piped) and inputs[0].is_dir())
