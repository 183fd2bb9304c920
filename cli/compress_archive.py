"""Compress many images into one archive."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mnistzip.archive.reader import Archive
from mnistzip.archive.writer import ArchiveWriter
from mnistzip.cli import outputs, params
from mnistzip.cli.messages import format_error
from mnistzip.cli.progress import Progress
from mnistzip.cli.report import report_archive
from mnistzip.errors import FormatError, ImageError, MnistzipError, OptionError, located
from mnistzip.io import image_file
from mnistzip.io.folders import find_images
from mnistzip.io.image_streams import open_stream
from mnistzip.io.inputs import Input, Piped, ignore
from mnistzip.io.read_options import InputOptions, Item, Stream
from mnistzip.options import EncodeOptions
from mnistzip.storage.backends import open_storage

NAMED_INPUTS = 3  # in a command that a message proposes


@dataclass(frozen=True)
class PackOptions:
    """Options of ``compress`` for archives."""

    labels: str | None
    append: bool
    embed_model: bool
    reading: InputOptions
    force: bool
    threads: int
    as_json: bool
    quiet: bool
    encoding: EncodeOptions


def pack(names: Sequence[str], inputs: Sequence[Input], output: str | None, options: PackOptions) -> int:
    """Compress the images of all inputs into one archive; the exit code.

    Args:
        names: of the inputs, as the user gave them.
        inputs: the same, with the content of pipes.
        output: the value of ``-o``.
        options: of the command.
    """
    path = _output_path(inputs, output)
    old_size = _require_free(path, names, options)
    stream = open_stream(inputs, labels=options.labels, options=options.reading)
    with_names = _with_names(path, names, stream, options)
    failed = 0
    destination = sys.stdout.buffer if path == image_file.STREAM else path
    with (
        Progress(stream.count or 0, "compress", show=not options.quiet) as progress,
        ArchiveWriter(
            destination,
            append=options.append,
            threads=options.threads,
            origin=stream.origin,
            shape=stream.shape,
            embed_model=options.embed_model,
            overwrite=options.force or options.append,
            like=names[0] if len(names) == 1 and os.path.isfile(names[0]) and not options.append else None,
            progress=progress.advance,
            **params.archive_keywords(options.encoding),
        ) as writer,
    ):
        old_count = writer.count
        for item in stream.items:
            error = _add(writer, item, with_names)
            if error is not None:
                failed += 1
                click.echo(format_error(item.where, error), err=True)
                progress.advance()
        if failed and writer.count == old_count:
            raise ImageError("no image could be compressed: nothing was written")
    if not isinstance(destination, str):
        destination.flush()
    if not options.quiet:
        count, size = writer.count - old_count, writer.size - old_size
        report_archive(names, path, writer, count, size, options.encoding, options.as_json)
    return 1 if failed else 0


def _add(writer: ArchiveWriter, item: Item, with_names: bool) -> Exception | None:
    """Add an image to the archive, or return the error that concerns this image only.

    Raises:
        MnistzipError: an error that concerns all images.
    """
    if isinstance(item.image, (ImageError, OSError)):
        return item.image
    if isinstance(item.image, MnistzipError):
        raise item.image
    try:
        writer.add(item.image, name=item.name if with_names else None, label=item.label)
    except ImageError as error:  # an OSError would concern the archive
        return error
    return None


def _with_names(path: str, names: Sequence[str], stream: Stream, options: PackOptions) -> bool:
    """Whether images get names, which may be empty.

    Raises:
        OptionError: the archive that they are added to has labels or names and they have none, or the other way round.
    """
    if not options.append or not os.path.isfile(path):
        return stream.named
    try:
        with Archive(path) as old:
            count, has_names, has_labels = len(old), old.has_names, old.has_labels
    except FormatError as error:
        raise located(error, f"{path} cannot be appended to") from error
    if not count:
        return stream.named
    added = names[0] if len(names) == 1 else f"{names[0]} and the other inputs"
    inputs = shlex.join([path, *names[:NAMED_INPUTS]]) + (" ..." if len(names) > NAMED_INPUTS else "")
    new = f"mnistzip compress {inputs} {_exactness(options.encoding)} -o NEW{image_file.SUFFIX}"
    make_new = f"make a new archive, which codes the images of {path} once more: {new}"
    if has_labels and not stream.labelled:
        raise OptionError(f"{added} has no labels, unlike {path}: give labels with --labels")
    if stream.classes is not None:
        raise OptionError(
            f"{added} has texts as labels, and their numbers may differ from those of {path}: number the labels, or {make_new}"
        )
    if stream.labelled and not has_labels:
        raise OptionError(f"{added} has labels, unlike {path}: leave them out with --no-labels")
    if stream.named and not has_names:
        raise OptionError(f"{added} has names, unlike {path}: {make_new}")
    if has_names and not stream.named:
        options.reading.say(f"{added} has no names, unlike {path}: the new images get empty names")
    return stream.named or has_names


def _exactness(encoding: EncodeOptions) -> str:
    """The options that say how exact an archive is."""
    if encoding.lossless:
        return "--lossless"
    return f"--quality {encoding.quality}" if encoding.max_error is None else f"--max-error {encoding.max_error}"


def _output_path(inputs: Sequence[Input], output: str | None) -> str:
    """The path of the archive: what ``-o`` says, else next to the only input or in a folder."""
    if output is not None and not outputs.names_folder(output):
        return output
    if len(inputs) > 1:
        raise click.UsageError(f"several inputs go into one archive: name it with -o NAME{image_file.SUFFIX}")
    first = inputs[0]
    if isinstance(first, Piped):
        if output is None and first.name == image_file.STREAM:
            return image_file.STREAM
        raise click.UsageError(f"{first} is a pipe: name the archive with -o NAME{image_file.SUFFIX}")
    local = outputs.local_name(str(first))
    name = (local.name if local.is_dir() else Path(local.name.removesuffix(".gz")).stem) + image_file.SUFFIX
    return str(local.parent / name) if output is None else outputs.join(output, name)


def _require_free(path: str, names: Sequence[str], options: PackOptions) -> int:
    """Raise unless an archive may be written to a path; the size of the archive that is added to, else 0."""
    if path == image_file.STREAM:
        if options.append:
            raise click.UsageError("--append needs an archive that is a file: name it with -o")
        return 0
    model_files = params.files_of_model(options.encoding.model)
    files = [*(name for name in names if name != image_file.STREAM), options.labels, *model_files]
    outputs.require_packed_name(path, files)
    if not outputs.is_replaceable(path):
        return 0
    outputs.require_not_read(path, [*files, *_files_in_folders(names)])
    if outputs.is_broken_link(path):
        outputs.require_free(path, [], options.force)
        return 0
    if not options.append:
        if not options.force:
            raise ImageError(f"{path} exists already: -f overwrites it, --append adds to it")
        return 0
    storage = open_storage(path)
    storage.close()
    return storage.size


def _files_in_folders(names: Sequence[str]) -> list[str]:
    """The files to read from the folders among the inputs."""
    folders = [Path(name) for name in names if os.path.isdir(name)]
    return [str(path) for folder in folders for path in find_images(folder, ignore, with_cae=True)]
