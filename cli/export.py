"""``mnistzip export``: write the part of a model that a program without an operating system needs."""

from __future__ import annotations

import re
from pathlib import Path

import click

from mnistzip.cli import outputs, params
from mnistzip.io.image_file import STREAM
from mnistzip.models import registry
from mnistzip.options import DEFAULT_QUALITY


def parse_qualities(_ctx: click.Context, _parameter: click.Parameter, value: str) -> range:
    """``25`` or ``20-30`` as a range of qualities."""
    numbers = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", value)
    first, last = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (0, 0)
    if not 1 <= first <= last <= 100:
        raise click.BadParameter(f"{value!r} is neither a quality from 1 to 100 nor a range such as 20-30")
    return range(first, last + 1)


def c_name(stem: str) -> str:
    """The stem of a file as a name in C."""
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    return name if name and not name[0].isdigit() else f"codec_{name}".rstrip("_")


@click.command(short_help="Write a model as C source for a microcontroller.")
@click.argument("model", metavar="NAME|PATH")
@click.option("--c", "as_c", is_flag=True, help="As a C header.")
@click.option("--bare", is_flag=True, help="For bare streams, as compress --bare makes them.")
@click.option("-q", "--quality", "qualities", callback=parse_qualities, default=str(DEFAULT_QUALITY), show_default=True,
              metavar="N|N-M", help="One quality, or all from N to M.")  # fmt: skip
@click.option("--encoder", is_flag=True, help="Only the encoder.")
@click.option("--decoder", is_flag=True, help="Only the decoder.")
@click.option("-o", "--output", metavar="FILE", help="The header; its name gives the names in C.  [default: MODEL.h]")
@params.force
@params.quiet
def export(
    model: str,
    as_c: bool,
    bare: bool,
    qualities: range,
    encoder: bool,
    decoder: bool,
    output: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Write the part of a model that coding images of 28x28 pixels needs as a C header, for engine/micro and a machine
    without an operating system. Bytes and pixels are those of compress --bare -e 0 and of decompress --bare.
    """
    from mnistzip.export.c_header import c_header, in_words

    if not as_c or not bare:
        raise click.UsageError("only C source for bare streams can be written: add --c --bare")
    found = registry.find(model)
    path = output or f"{c_name(found.name)}.h"
    if path != STREAM and outputs.suffix_of(path) != ".h":
        raise click.UsageError(f"{path} is no name of a C header: let it end in .h")
    sources = params.files_of_model(model)
    outputs.require_free(path, sources, force)
    name = c_name(found.name if path == STREAM else Path(outputs.local_name(path)).stem)
    both = encoder == decoder
    header = c_header(found, name, qualities, encoder or both, decoder or both)
    outputs.write(path, header.text.encode(), sources[0] if sources else STREAM, force)
    if quiet:
        return
    parts = "encoder and decoder" if both else "encoder" if encoder else "decoder"
    click.echo(f"{found.name}, {parts}, {in_words(qualities)} -> {path}", err=path == STREAM)
    click.echo(f"  flash: {header.model_bytes:,} bytes of constants", err=path == STREAM)
    click.echo(f"  RAM: {header.workspace_bytes:,} bytes of workspace, besides the stack", err=path == STREAM)
