"""Options that several commands share, and what the commands make of their inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from mnistzip.bitstream import container
from mnistzip.io import detect, image_file
from mnistzip.io.formats import FORMATS, help_of_formats
from mnistzip.io.inputs import Input, Piped
from mnistzip.limits import CHECK_BITS_MAX, DECODED_PIXELS_MAX, ERROR_MAX
from mnistzip.models import registry
from mnistzip.options import (
    BARE_CHECK_BITS,
    DEFAULT_EFFORT,
    DEFAULT_QUALITY,
    EFFORT_MAX,
    ArchiveOptions,
    EncodeOptions,
    ModelName,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Range = tuple[int | None, int | None]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def parse_range(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Range | None:
    """``A:B`` as two numbers; each may be missing."""
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


def complete_format(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The values of ``--to`` that begin with a text."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(row.name) for row in FORMATS if row.name.startswith(incomplete.lower())]


# Options of several commands, in the order of their help.
output_format = click.option("--to", "format_name", metavar="FORMAT", shell_complete=complete_format, help=help_of_formats())
model_file = click.option("--model", metavar="NAME|PATH", help="Model of files that were made with a custom model.")
max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    help="Refuse larger images.  [default: {LOSSY} lossy, {LOSSLESS} lossless, {STORED} without a model]".format(
        **{mode.name: limit for mode, limit in DECODED_PIXELS_MAX.items()}
    ),
)
index = click.option("--index", type=click.IntRange(0), metavar="N", help="Only image N of an archive, counted from 0.")
force = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
as_json = click.option("--json", "as_json", is_flag=True, help="Report as JSON, one object on each line.")
quiet = click.option("--quiet", is_flag=True, help="Print no report and no progress.")


def threads(note: str) -> Decorator:
    """The option ``--threads`` with a help text."""
    return click.option("-T", "--threads", type=click.IntRange(1), default=1, show_default=True, help=note)


def quality(note: str) -> Decorator:
    """The option ``--quality`` with a help text."""
    return click.option("-q", "--quality", type=click.IntRange(1, 100), default=DEFAULT_QUALITY, show_default=True, help=note)


def check_bits(note: str) -> Decorator:
    """The option ``--check-bits`` with a help text."""
    return click.option(
        "--check-bits",
        type=click.IntRange(0, CHECK_BITS_MAX),
        default=BARE_CHECK_BITS,
        show_default=True,
        metavar="N",
        help=note,
    )


# How images are coded: an option for each field of :class:`mnistzip.options.EncodeOptions`.
ENCODE_OPTIONS: dict[str, Decorator] = {
    "quality": quality("Higher is better and larger."),
    "lossless": click.option("--lossless", is_flag=True, help="Keep every pixel."),
    "max_error": click.option(
        "--max-error",
        type=click.IntRange(1, ERROR_MAX),
        metavar="N",
        help="Keep every pixel within N grey levels.",
    ),
    "effort": click.option(
        "-e",
        "--effort",
        type=click.IntRange(0, EFFORT_MAX),
        default=DEFAULT_EFFORT,
        show_default=True,
        help="0 is fastest, 9 gives the smallest files; decoding takes the same time.",
    ),
    "max_bytes": click.option(
        "--max-bytes", type=click.IntRange(1), metavar="N", help="Best quality whose whole file has at most N bytes."
    ),
    "min_psnr": click.option(
        "--min-psnr",
        type=click.FloatRange(0),
        metavar="DB",
        help="Smallest file that reaches DB; lossless if no lossy file does.",
    ),
    "model": click.option(
        "--model",
        default=registry.DEFAULT,
        show_default=True,
        metavar="NAME|PATH",
        help="Shipped model or model file; auto: the model and the mode that cost least, for each image.",
    ),
    "bare": click.option(
        "--bare",
        is_flag=True,
        help="Write only entropy-coded bytes, to .bare: the decoder must know model, quality, size and check bits.",
    ),
    "check_bits": check_bits("With --bare: one in 2^N damaged streams goes unnoticed."),
}

# How images are found in files that hold more than images; the names are fields of InputOptions, but for no_labels.
INPUT_OPTIONS: dict[str, Decorator] = {
    "array": click.option("--array", metavar="NAME", help="Array of an .npz file that holds the images."),
    "shape": click.option(
        "--shape",
        callback=parse_shape,
        metavar="HxW",
        help="Height and width of the images of an array, whose rows may be flat images.",
    ),
    "image_column": click.option("--image-column", metavar="NAME", help="Column of a Parquet file that holds the images."),
    "label_column": click.option(
        "--label-column",
        metavar="NAME",
        help="Column of a Parquet file that holds the labels; texts are numbered in sorted order.",
    ),
    "name_column": click.option("--name-column", metavar="NAME", help="Column of a Parquet file that holds the names."),
    "no_labels": click.option("--no-labels", is_flag=True, help="Leave out the labels that come with images."),
}


def with_options(options: dict[str, Decorator]) -> Decorator:
    """A decorator that adds several options to a command."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options.values()):
            command = option(command)
        return command

    return add


@dataclass(frozen=True, kw_only=True)
class DecompressOptions:
    """Options of ``decompress``.

    Attributes:
        format_name: the value of ``--to``, without a dot.
        span: the value of ``--range``.
        many: whether there may be several inputs.
    """

    format_name: str | None
    labels: str | None
    index: int | None
    span: Range | None
    keep_going: bool
    preview: bool
    bare: bool
    force: bool
    quiet: bool
    many: bool
    model: str | None
    max_pixels: int | None
    threads: int


def archive_keywords(encoding: EncodeOptions) -> dict[str, Any]:
    """Those of the options that archives take."""
    return {field.name: getattr(encoding, field.name) for field in fields(ArchiveOptions)}


def files_of_model(model: ModelName | None) -> list[str]:
    """The file that the model is read from; empty for a shipped model."""
    return [] if model is None or registry.is_shipped(model) else [str(model)]


def path_or_bytes(name: str) -> str | bytes:
    """The name of an input; for stdin and other pipes, which can be read only once, their content."""
    pipe = name == image_file.STREAM or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name))
    return image_file.read_bytes(name) if pipe else name


def content_of(source: str | bytes) -> bytes:
    """The content of an input that :func:`path_or_bytes` returned."""
    return source if isinstance(source, bytes) else image_file.read_bytes(source)


def is_archive(source: str | bytes) -> bool:
    """Whether an input is an archive; an address such as ``s3://...`` counts as one."""
    if isinstance(source, bytes):
        return container.is_archive(source)
    return "://" in source or (os.path.isfile(source) and detect.is_archive_file(source))


def goes_into_archive(inputs: Sequence[Input], output: str | None, append: bool, recursive: bool) -> bool:
    """Whether the inputs are compressed into an archive rather than into a file each."""
    if append or any(detect.holds_many(source) for source in inputs):
        return True
    if output is None or not output.lower().endswith(image_file.SUFFIX) or os.path.isdir(output):
        return False
    return len(inputs) > 1 or recursive or (not isinstance(inputs[0], Piped) and inputs[0].is_dir())
