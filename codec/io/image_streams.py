"""Streams of any number of images: from folders, IDX, arrays, Parquet and archives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from mnistzip.archive.index import Origin
from mnistzip.archive.reader import Archive
from mnistzip.errors import ImageError, MnistzipError, OptionError
from mnistzip.idx import idx_blocks, idx_shape
from mnistzip.io.array_files import array_stream, stack
from mnistzip.io.detect import Kind, kind_of
from mnistzip.io.folders import image_files
from mnistzip.io.image_file import SUFFIX, any_image, parse_image, read_image
from mnistzip.io.inputs import Input, Piped, open_input
from mnistzip.io.labels import read_label_file, with_labels
from mnistzip.io.parquet import parquet_stream
from mnistzip.io.read_options import DEFAULTS, InputOptions, Item, Stream


def open_stream(
    sources: Sequence[str | Path | Piped], *, labels: str | Path | Piped | None = None, options: InputOptions = DEFAULTS
) -> Stream:
    """Images of all sources, one after the other.

    Args:
        sources: image files, folders (searched to the bottom), IDX files (``.gz`` too), ``.npy`` and ``.npz`` arrays, Parquet
            files, archives; they may be pipes, ``-`` is stdin.
        labels: IDX, ``.npy`` or text file with an integer for each image, or a CSV or TSV file of names and labels.
        options: how the sources are read.

    Raises:
        ImageError: a source holds no images.
        FormatError: a source is damaged.
        OptionError: the numbers of labels and images differ, some sources have labels and others none, or a library is missing.
    """
    several = len(sources) > 1
    streams = [open_source(source, options, several=several) for source in sources]
    _require_used(options, streams)
    if labels is None:
        require_labels_alike(sources, streams)
    named, labelled = any(stream.named for stream in streams), all(stream.labelled for stream in streams)
    counts = [stream.count for stream in streams]
    known = [count for count in counts if count is not None]
    count = sum(known) if len(known) == len(counts) else None
    origins = {stream.origin for stream in streams}
    shapes = {stream.shape for stream in streams}
    origin = origins.pop() if len(origins) == 1 else Origin.NONE
    shape = shapes.pop() if len(shapes) == 1 else None
    items: Iterator[Item] = chain.from_iterable(stream.items for stream in streams)
    if labels is not None:
        for source, stream in zip(sources, streams, strict=True):
            if stream.labelled:
                options.say(f"{source}: ignored: its labels, because {labels} gives labels")
        items = with_labels(items, read_label_file(labels), labels, count, options.say)
    classes = streams[0].classes if streams and labels is None else None
    return Stream(origin, count, named, labelled or labels is not None, items, shape, classes)


def _require_used(options: InputOptions, streams: Sequence[Stream]) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` if an option applies to none of the inputs."""
    arrays = {Origin.NPY, Origin.NPZ, Origin.IDX}
    for option, value, kind, origins in (
        ("--array", options.array, "an .npz file", {Origin.NPZ}),
        ("--shape", options.shape, "an array or an IDX file", arrays),
        ("--image-column", options.image_column, "a Parquet file", {Origin.PARQUET}),
        ("--label-column", options.label_column, "a Parquet file", {Origin.PARQUET}),
        ("--name-column", options.name_column, "a Parquet file", {Origin.PARQUET}),
    ):
        if value is not None and origins.isdisjoint(stream.origin for stream in streams):
            raise OptionError(f"{option} needs {kind}, and no input is one")


def require_labels_alike(sources: Sequence[object], streams: Sequence[Stream]) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` if some streams have labels and others do not."""
    labelled = [str(source) for source, stream in zip(sources, streams, strict=True) if stream.labelled]
    unlabelled = [str(source) for source, stream in zip(sources, streams, strict=True) if not stream.labelled]
    if labelled and unlabelled:
        raise OptionError(
            f"{unlabelled[0]} has no labels, unlike {labelled[0]}: give the labels of all images with --labels, "
            "leave them out with --no-labels, or make separate archives"
        )
    for source, stream in zip(sources, streams, strict=True):
        if stream.classes != streams[0].classes:
            raise OptionError(
                f"{source} and {sources[0]} have different texts as labels, so their numbers would differ in meaning: "
                "number the labels yourself, or make separate archives"
            )


def open_source(
    source: str | Path | Piped, options: InputOptions = DEFAULTS, *, several: bool = False, first: int = 0
) -> Stream:
    """Images of one source. Kinds of sources and errors are those of :func:`open_stream`.

    Args:
        source: holds the images.
        options: how it is read.
        several: begin the names of images in a folder with the name of the folder.
        first: images to skip; they are read only if the kind of source demands it.
    """
    source = open_input(source)
    if isinstance(source, Path) and source.is_dir():
        return folder_stream(source, image_files(source, options.say)[first:], options, source.name if several else "")
    if isinstance(source, Path) and not source.is_file():
        return _one(source, options)  # reading gives the system's error
    kind = kind_of(source)
    if kind is Kind.PARQUET:
        return parquet_stream(source, options, first)
    if kind in (Kind.NPY, Kind.NPZ):
        return array_stream(source, options, first)
    if kind is Kind.ARCHIVE:
        return _archive(source, options, first)
    if kind is Kind.IDX:
        header = (idx_shape(source), False, np.dtype(np.uint8))
        return stack(Origin.IDX, source, source, header, partial(idx_blocks, source), options, first=first)
    if kind is Kind.GZIP:
        raise ImageError(f"{source} is a gzipped file, but not IDX: unpack it first (gunzip)")
    return _one(source, options)


def _one(source: Input, options: InputOptions) -> Stream:
    name = "" if isinstance(source, Piped) else source.name

    def items() -> Iterator[Item]:
        yield _item(source, name, options)

    return Stream(Origin.FOLDER, 1, bool(name), False, items())


def _item(source: Input, name: str, options: InputOptions) -> Item:
    try:
        if isinstance(source, Piped):
            image = parse_image(str(source), source.content, options.convert)
        else:
            image = read_image(str(source), options.convert)
        return Item(image, name, None, str(source))
    except (MnistzipError, OSError) as error:
        return Item(error, name, None, str(source))


def folder_stream(folder: Path, files: Sequence[Path], options: InputOptions, prefix: str) -> Stream:
    """Images of a folder. Their names are ``prefix``, a folder, and their paths in the folder."""

    def items() -> Iterator[Item]:
        for file in files:
            name = (Path(prefix) / file.relative_to(folder)).as_posix()
            yield _cae_item(file, name, options) if file.suffix.lower() == SUFFIX else _item(file, name, options)

    return Stream(Origin.FOLDER, len(files), True, False, items())


def _cae_item(file: Path, name: str, options: InputOptions) -> Item:
    """A single image in a ``.cae`` file of a folder; an error in the file concerns this image only."""
    try:
        return Item(any_image(str(file), options.convert, options.model)[0], name, None, str(file))
    except OSError as error:
        return Item(error, name, None, str(file))
    except MnistzipError as error:
        return Item(ImageError(str(error)), name, None, str(file))


def _archive(source: Input, options: InputOptions, first: int) -> Stream:
    archive = Archive(source.content if isinstance(source, Piped) else str(source), model=options.model)
    labelled = archive.has_labels and options.labels
    if archive.has_labels and not labelled:
        options.say(f"{source}: ignored: its labels")

    def items() -> Iterator[Item]:
        with archive:
            for part in archive.parts(first, details=True):
                for details in (part.names, part.labels):
                    if isinstance(details, MnistzipError):
                        raise details
                for k, image in enumerate(part.images):
                    name = part.names[k] if isinstance(part.names, list) else ""
                    label = int(part.labels[k]) if isinstance(part.labels, np.ndarray) and labelled else None
                    yield Item(image, name, label, f"{source}, image {part.first + k}")

    return Stream(archive.origin, len(archive), archive.has_names, labelled, items(), archive.shape)
