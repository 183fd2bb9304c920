"""Write archives image by image in bounded memory, or append to one."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import IO, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistzip.archive.append import copy_archive, file_state, is_appendable, require_unchanged
from mnistzip.archive.entry_names import require_name
from mnistzip.archive.group_codec import EncodedGroup, GroupOptions
from mnistzip.archive.group_queue import GroupQueue, PendingGroup
from mnistzip.archive.index import ENTRY_BYTES, START, Footer, Origin, entry
from mnistzip.coding.model_choice import candidates
from mnistzip.errors import ImageError, OptionError
from mnistzip.limits import DECODED_PIXELS_MAX, SIDE_MAX
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.options import ArchiveKeywords, ArchiveOptions, with_options
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import local_path
from mnistzip.threads import require_threads
from mnistzip.tiling import tiles_in
from mnistzip.types import Mode
from mnistzip.validation import as_image, as_label, require_one_each

GROUP_IMAGES = 1024
GROUP_PIXELS = 1 << 21  # a group ends before the image that exceeds this
GROUP_TILES = 1 << 12  # or this
GROUP_NAMES = 1 << 20  # or after the image whose name reaches these bytes of names


class ArchiveWriter:
    """Write an archive in a ``with`` statement. The file appears, complete, when the block ends without an error.

    Images are coded in groups of 1,024, or fewer if they are large. Each image takes the best of the models that ``model``
    allows. A few groups are in memory at a time. The bytes depend neither on the number of threads nor on how the images are
    passed. Only one thread at a time may use a writer. After an error of the system the writer takes no more images, and an
    existing file stays as it is.

    Args:
        target: path of the file, an address that fsspec supports (``s3://...``, with the extra ``fsspec``), or a file opened
            for writing in binary. A file for an address is kept in a local temporary file until it is complete.
        quality, lossless, max_error, effort, model: as for :func:`mnistzip.encode`.
        append: add the images to the archive at ``target``, if there is one. It is copied, and stays as it is until the end.
        threads: groups coded at the same time.
        origin: the kind of data that the images come from; ``mnistzip decompress`` writes the same kind.
        shape: ``(H, W)`` that an archive without images states.
        embed_model: store the model's file in the archive, so that readers do not need it.
        progress: called with the number of images that were just coded. While a group is searched these are fractions. Calls
            come from one thread at a time, which need not be the caller's.
        like: a file whose modification time the archive gets, and whose permissions unless it replaces a file.
        overwrite: replace a file that is at ``target`` at the end. Otherwise :class:`FileExistsError` names the temporary file
            that holds the archive.

    Raises:
        OptionError: an option outside its range, or a model to embed that is shipped or differs from the one in the archive.
        ModelError: no such model.
        FormatError: the file to append to is not an archive, or has a damaged index.
        OSError: the file cannot be written, or another process changed it while images were appended.

    Attributes:
        count: images added so far.
        raw_bytes: bytes of the pixels of the images coded so far.
        squared_error: sum over these pixels, in squared grey levels.
        size: bytes of the finished archive; 0 before.
        large: images so large that readers have to raise ``max_pixels``.
        poor: images far worse than this quality gives on images that resemble the model's training data.

    Example:
        >>> import io, mnistzip, numpy as np
        >>> out = io.BytesIO()
        >>> with mnistzip.ArchiveWriter(out, quality=30) as writer:
        ...     for label in range(3):
        ...         writer.add(np.zeros((28, 28), np.uint8), name=f"{label}/0.png", label=label)
        >>> mnistzip.Archive(out.getvalue()).names
        ['0/0.png', '1/0.png', '2/0.png']
    """

    @with_options(ArchiveOptions)
    def __init__(
        self,
        target: str | os.PathLike[str] | IO[bytes],
        *,
        append: bool = False,
        threads: int = 1,
        origin: Origin = Origin.NONE,
        shape: tuple[int, int] | None = None,
        like: str | None = None,
        embed_model: bool = False,
        progress: Callable[[float], None] | None = None,
        overwrite: bool = True,
        **options: Unpack[ArchiveKeywords],
    ) -> None:
        coding = ArchiveOptions(**options)
        coding.require_valid()
        require_threads(threads)
        if origin not in set(Origin):
            raise OptionError(f"origin is {origin!r}: give one of mnistzip.Origin")
        lossy = not coding.lossless and coding.max_error is None
        models = candidates(coding.model, coding.quality if lossy else None)
        self._mode = Mode.LOSSY if lossy else Mode.LOSSLESS if coding.lossless else Mode.BOUNDED
        self._tiles_max = min(GROUP_TILES, *(candidate.model.default_tile_limit(self._mode) for candidate in models))
        self._model_file = _embeddable_file(coding.model) if embed_model else None
        self._pending = PendingGroup()
        self._queue = GroupQueue(GroupOptions(models, coding.effort, coding.max_error or 0), threads, progress)
        self._has_names: bool | None = None  # unknown until there is an image
        self._has_labels: bool | None = None
        self._origin = origin
        self._shape = None if shape is None else _shape_of_empty(shape)
        self._shapes_differ = False
        self._entries = bytearray()
        self._images_written = 0
        self._offset = len(START)  # of the next group
        self.count = self.raw_bytes = self.size = self.large = self.poor = 0
        self.squared_error = 0.0
        self._file: AtomicFile | None = None
        self._is_finished = self._is_closed = self._is_abandoned = False
        self._out = self._open(target, append, like, overwrite)
        try:
            self._begin(target, append)
        except BaseException:
            self.abandon()
            raise

    def _open(self, target: str | os.PathLike[str] | IO[bytes], append: bool, like: str | None, overwrite: bool) -> IO[bytes]:
        """Open the output file."""
        if isinstance(target, (str, os.PathLike)):
            self._file = AtomicFile(target, like, new=not overwrite)
            return self._file.file
        if append:
            raise OptionError("only an archive in a file can be appended to: give its path")
        if isinstance(target, io.TextIOBase) or not hasattr(target, "write"):
            raise OptionError(f"an archive is written to {type(target).__name__}: give a path, or a file opened in binary")
        return target

    def _begin(self, target: str | os.PathLike[str] | IO[bytes], append: bool) -> None:
        """Write the start of the archive, or copy the existing archive."""
        if append and self._file is not None and isinstance(target, (str, os.PathLike)):
            path = local_path(target) if isinstance(target, str) else target
            if not is_appendable(path):
                raise OptionError(f"{os.fspath(path)} is a pipe or a device: only an archive in a file can be appended to")
            state = file_state(path)
            self._file.new = state is None
            self._file.before_replace = lambda: require_unchanged(path, state)
            if state is not None:
                self._copy(os.fspath(path))
                return
        self._out.write(START)

    def _copy(self, path: str) -> None:
        """Continue from the groups of an existing archive."""
        copied = copy_archive(path, self._out, self._model_file)
        footer = copied.footer
        self._model_file = copied.model
        self._entries += copied.entries
        self._offset = footer.index_offset
        self._images_written = self.count = footer.count
        if footer.count:
            self._has_names, self._has_labels = footer.names, footer.labels
            self._shapes_differ = not footer.width
            self._origin = footer.origin
        if footer.width:
            self._shape = (footer.height, footer.width)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def add(self, image: ArrayLike, *, name: str | None = None, label: int | None = None) -> None:
        """Add an image.

        Either all images of an archive have a name, or none has. The same holds for labels.

        Args:
            image: uint8 ``(H, W)``.
            name: a relative path with ``/``; may be empty.
            label: a 64-bit integer; an array or tensor without dimensions will do.

        Raises:
            ImageError: not an 8-bit greyscale image, or a name that is not allowed.
            OptionError: a name or label is missing, or the images before have none; or the archive is closed.
        """
        self._require_open()
        pixels = as_image(image, self.count)
        for what, value, others_have in (("name", name, self._has_names), ("label", label, self._has_labels)):
            if others_have is not None and (value is not None) != others_have:
                raise OptionError(f"image {self.count} has {'no' if value is None else 'a'} {what}, unlike those before it")
        number = None if label is None else as_label(label, self.count)
        if name is not None:
            require_name(name)
        self._has_names, self._has_labels = name is not None, label is not None
        tiles = tiles_in(pixels.shape[1], pixels.shape[0])
        # An image above the default limits gets a group of its own, so that readers can decode the images next to it.
        is_alone = pixels.size > DECODED_PIXELS_MAX[self._mode] or tiles > self._tiles_max
        exceeds = self._pending.pixels + pixels.size > GROUP_PIXELS or self._pending.tiles + tiles > self._tiles_max
        if self._pending.images and (is_alone or exceeds):
            self._end_group()
        self._pending.add(pixels, name, number)
        if self.count == 0:
            self._shape = (pixels.shape[0], pixels.shape[1])
        self._shapes_differ = self._shapes_differ or self._shape != pixels.shape
        self.count += 1
        pending = self._pending
        is_full = len(pending.images) >= GROUP_IMAGES or pending.pixels >= GROUP_PIXELS or pending.name_bytes >= GROUP_NAMES
        if is_alone or is_full:
            self._end_group()

    def extend(
        self,
        images: Iterable[ArrayLike],
        *,
        names: Iterable[str] | None = None,
        labels: Iterable[int] | NDArray[np.integer] | None = None,
    ) -> None:
        """Add several images.

        Args:
            images: uint8 ``(N, H, W)``, or ``(H, W)`` arrays of any sizes.
            names: N paths, as for :meth:`add`.
            labels: N integers, or an array or tensor ``(N,)``.

        Raises:
            ImageError, OptionError: as for :meth:`add`, or the number of names or labels differs from that of images.
        """
        for what, values in (("names", names), ("labels", labels)):
            if values is not None:
                require_one_each(what, values, images)
        name_iterator = iter(repeat(None) if names is None else names)
        label_iterator = iter(repeat(None) if labels is None else labels)
        missing = object()
        for image in images:
            name, label = next(name_iterator, missing), next(label_iterator, missing)
            if name is missing or label is missing:
                raise OptionError("there are fewer names or labels than images")
            self.add(image, name=name, label=label)  # type: ignore[arg-type]
        for option, rest in ((names, name_iterator), (labels, label_iterator)):
            if option is not None and next(rest, missing) is not missing:
                raise OptionError("there are more names or labels than images")

    def close(self) -> None:
        """Write the rest of the archive and move the file into place. Closing again has no effect."""
        if self._is_closed:
            return
        if self._is_abandoned:
            self._require_open()
        try:
            self.finish()
            if self._file is not None:
                self._file.commit()
        except BaseException:
            self.abandon()
            raise
        self._is_closed = True

    def finish(self) -> None:
        """Write the images that are left, index and footer. Afterwards nothing can be added."""
        if self.size:
            return
        self._require_open()
        if self._pending.images:
            self._end_group()
        for encoded in self._queue.finish():
            self._write(encoded)
        self._is_finished = True
        height, width = self._shape if self._shape and not self._shapes_differ else (0, 0)
        groups = len(self._entries) // ENTRY_BYTES
        has = bool(self._has_labels), bool(self._has_names), self._model_file is not None
        footer = Footer(self.count, groups, self._offset, self._origin, width, height, *has)
        last_entry = entry(self._images_written, self._offset)
        end = bytes(self._entries) + last_entry + (self._model_file or b"") + footer.to_bytes()
        self._out.write(end)
        self.size = self._offset + len(end)

    def abandon(self) -> None:
        """Discard the archive; an existing file stays as it is."""
        self._is_finished = self._is_abandoned = True
        self._queue.cancel()
        if self._file is not None:
            self._file.abandon()

    def _require_open(self) -> None:
        """Raise unless images can be added."""
        if self._is_finished:
            raise OptionError("the archive is closed, or was given up after an error: nothing can be added")
        if self._file is not None:
            self._file.require_owner()  # a fork has none of the threads that encode

    def _end_group(self) -> None:
        group, self._pending = self._pending, PendingGroup()
        try:
            for encoded in self._queue.submit(group):
                self._write(encoded)
        except BaseException:  # images are lost that were counted as added
            self.abandon()
            raise

    def _write(self, group: EncodedGroup) -> None:
        self._entries += entry(self._images_written, self._offset)
        self._images_written += group.images
        self.raw_bytes += group.raw_bytes
        self.squared_error += group.squared_error
        self.large += group.images if group.above_limits else 0
        self.poor += group.poor
        self._offset += len(group.content)
        self._out.write(group.content)


def _shape_of_empty(shape: tuple[int, int]) -> tuple[int, int] | None:
    """``(H, W)`` that an archive without images can state; None for ``(0, 0)``."""
    try:
        height, width = map(operator.index, shape)
    except (TypeError, ValueError) as cause:
        raise OptionError(f"shape is {shape!r}: give height and width") from cause
    if height == width == 0:
        return None
    if not 1 <= min(height, width) <= max(height, width) <= SIDE_MAX:
        raise ImageError(f"images of {width}x{height}: the format takes sides of 1..{SIDE_MAX}")
    return height, width


def _embeddable_file(model: str | Path | Model) -> bytes:
    """The file of a model that is to be embedded."""
    first, *_ = registry.candidates(model)
    if registry.is_shipped(first):
        raise OptionError(f"the model {first.name} ships with mnistzip: there is no need to embed it")
    return first.content


@with_options(ArchiveOptions)
def encode_archive(
    images: Iterable[ArrayLike],
    *,
    names: Iterable[str] | None = None,
    labels: Iterable[int] | NDArray[np.integer] | None = None,
    threads: int = 1,
    embed_model: bool = False,
    **options: Unpack[ArchiveKeywords],
) -> bytes:
    """Code many images into the bytes of one archive.

    Args:
        images: uint8 ``(N, H, W)``, or ``(H, W)`` arrays of any sizes.
        names: one for each image, a relative path with ``/``; may be empty.
        labels: one for each image, a 64-bit integer.
        quality, lossless, max_error, effort, model: as for :func:`mnistzip.encode`.
        threads: groups coded at the same time; the bytes do not depend on it.
        embed_model: store the model's file in the archive, so that readers do not need it.

    Raises:
        ImageError: an image is not 8-bit greyscale, or a name is not allowed.
        OptionError: an option outside its range, or the number of names or labels differs from that of images.
        ModelError: no such model.

    Example:
        >>> import mnistzip, numpy as np
        >>> data = mnistzip.encode_archive(np.zeros((100, 28, 28), np.uint8))
        >>> len(data) < 500, len(mnistzip.Archive(data))
        (True, 100)
    """
    out = io.BytesIO()
    shape = images.shape[1:] if isinstance(images, np.ndarray) and images.ndim == 3 and min(images.shape[1:]) else None
    with ArchiveWriter(out, threads=threads, shape=shape, embed_model=embed_model, **options) as writer:
        writer.extend(images, names=names, labels=labels)
    return out.getvalue()
