"""Read archives: many images in one file, each readable without the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

import numpy as np

from mnistzip.archive.group import Group
from mnistzip.archive.group_reader import GroupReader
from mnistzip.archive.identity import Identity
from mnistzip.archive.index import Extent, Index, Origin, RecoveredIndex
from mnistzip.archive.lane_cache import LaneKey
from mnistzip.archive.part_models import PartModels
from mnistzip.bitstream import container
from mnistzip.coding.latents import Symbols
from mnistzip.errors import FormatError, LimitError, MnistzipError, located
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.storage.backends import Storage, open_storage
from mnistzip.threads import map_in_order, require_threads
from mnistzip.types import Integers, Pixels
from mnistzip.validation import as_index

Item = TypeVar("Item")
NAME_OVERHEAD = 64  # bytes of memory for each name, in addition to its characters
NAMES_MEMORY, NAMES_EXPANSION = 1 << 27, 64  # limit for all names: these bytes, or this multiple of the archive's size


@dataclass(frozen=True)
class GroupImages:
    """Decoded images of one group, with an error in place of whatever is damaged.

    Attributes:
        first: index in the archive of the first image.
        images: uint8 ``(H, W)`` each, or an error.
        names: one for each image, None if the archive has none or they were not requested, or an error.
        labels: likewise, int64 ``(len(images),)``.
    """

    first: int
    images: list[Pixels | MnistzipError]
    names: list[str] | MnistzipError | None
    labels: Integers | MnistzipError | None


class Archive:
    """An archive of images: ``len()``, ``[i]``, ``[a:b]``, iteration, ``.names``, ``.labels``.

    Only the requested data is read. Several threads may read at once. Close the archive, or use it in a ``with`` statement.

    Args:
        source: a path, an address that fsspec supports (``s3://...``, with the extra ``fsspec``), or the bytes of an archive.
        model: the custom model that the archive was written with. Shipped models, and a model that the archive holds, need no
            argument.
        max_pixels: limit for the pixels of an image; larger ones are refused before memory is allocated.
        recover: if index or footer is lost or damaged, search for groups and count images from the first group found.

    Raises:
        FormatError: the source is not an archive, is cut short or damaged. Damage to images shows when they are read.
        OptionError: the address needs fsspec, which is missing, or an option is outside its range.
        OSError: the file cannot be read.

    Attributes:
        recovered: whether a search for groups replaced index and footer.

    Example:
        >>> import mnistzip, numpy as np
        >>> images = np.zeros((3, 28, 28), np.uint8)
        >>> data = mnistzip.encode_archive(images, labels=[5, 0, 4])
        >>> with mnistzip.Archive(data) as archive:
        ...     len(archive), archive[1].shape, archive.labels.tolist()
        (3, (28, 28), [5, 0, 4])
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview,
        *,
        model: str | Path | Model | None = None,
        max_pixels: int | None = None,
        recover: bool = False,
    ) -> None:
        container.require_limit(max_pixels)
        portable = bytes(source) if isinstance(source, (bytearray, memoryview)) else source
        if isinstance(source, os.PathLike) or (isinstance(source, str) and "://" not in source):
            portable = os.path.abspath(os.fsdecode(source))  # a process that unpickles this archive may run in another folder
        self._arguments = (portable, model, max_pixels, recover)
        custom = None if model is not None and registry.is_shipped(model) else model
        self._storage = open_storage(source)
        try:
            self._index = _open_index(self._storage, recover)
        except BaseException:
            self._storage.close()
            raise
        self.recovered = isinstance(self._index, RecoveredIndex)
        models = PartModels(self._index, custom, has_default_limits=max_pixels is None)
        self._groups = GroupReader(self._storage, self._index, models, max_pixels)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how to open the archive again; another process refuses a file that has replaced it."""
        return _reopen, (*self._arguments, None if isinstance(self._arguments[0], bytes) else self._identity())

    def _identity(self) -> Identity:
        return Identity.of(self._storage, self._index, self._groups.group)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._storage.close()

    def __len__(self) -> int:
        return self._index.count

    @overload
    def __getitem__(self, which: int) -> Pixels: ...
    @overload
    def __getitem__(self, which: slice) -> list[Pixels]: ...
    def __getitem__(self, which: int | slice) -> Pixels | list[Pixels]:
        """An image, uint8 ``(H, W)``, or the list of images of a slice.

        Raises:
            IndexError: no such image.
            FormatError: the image is damaged; others may be sound.
        """
        if isinstance(which, slice):
            return self.read(range(*which.indices(len(self))))
        return self.read([as_index(which, len(self))])[0]

    def __iter__(self) -> Iterator[Pixels]:
        for part in self.parts():
            for index, image in enumerate(part.images, part.first):
                if isinstance(image, MnistzipError):
                    raise located(image, f"image {index}") from image
                yield image

    def read(self, indices: Sequence[int], *, threads: int = 1) -> list[Pixels]:
        """The images of these indices, uint8 ``(H, W)`` each, in this order. Images of one group are decoded together.

        Args:
            threads: groups are shared among so many threads.

        Raises:
            IndexError: no such image.
            FormatError: an image is damaged.
        """
        return [image.copy() for image in self._read(indices, threads, self._groups.lanes)]

    def _read(
        self, indices: Sequence[int], threads: int, lanes_of: Callable[[Extent, list[LaneKey]], dict[LaneKey, list[Item]]]
    ) -> list[Item]:
        """What lanes hold of the images of these indices, in this order."""
        require_threads(threads)
        positions = [as_index(index, len(self)) for index in indices]
        wanted: dict[int, tuple[Extent, dict[LaneKey, None]]] = {}  # group -> its extent, and lanes in order
        lane_of: dict[int, tuple[LaneKey, int]] = {}  # image -> its lane, and its position in the lane
        extent: Extent | None = None
        for image in sorted(set(positions)):
            if extent is None or image >= extent.first + extent.images:
                extent = self._index.extent_of(image)
            part, number, within = self._groups.group(extent).locate(image - extent.first)
            key = extent.number, part, number
            lane_of[image] = key, within
            wanted.setdefault(extent.number, (extent, {}))[1][key] = None
        lanes: dict[LaneKey, list[Item]] = {}
        for of_group in map_in_order(lambda each: lanes_of(each[0], list(each[1])), wanted.values(), threads):
            lanes |= of_group
        found = {image: lanes[key][within] for image, (key, within) in lane_of.items()}
        return [found[image] for image in positions]

    @property
    def latents(self) -> ArchiveLatents:
        """The latents of lossy images. ``archive.latents[i]``, ``[a:b]`` and ``.read(indices)`` decode no pixels."""
        return ArchiveLatents(self)

    def group_of(self, index: int) -> range:
        """The indices of the images in the same group: decoding them together is far cheaper than one by one."""
        extent = self._index.extent_of(as_index(index, len(self)))
        return range(extent.first, extent.first + extent.images)

    @property
    def names(self) -> list[str] | None:
        """The name of every image, a relative path or empty; None if the archive has none.

        Raises:
            LimitError: the names take far more memory than the size of the archive justifies. Use :meth:`names_between`.
        """
        if not self._index.footer.names:
            return None
        names: list[str] = []
        memory, limit = 0, max(NAMES_MEMORY, NAMES_EXPANSION * self._storage.size)
        for extent in self._extents():
            group_names = self._groups.group(extent).read_names(self._storage.read) or []
            memory += NAME_OVERHEAD * len(group_names) + sum(map(len, group_names))
            if memory > limit:
                raise LimitError(f"the names of {len(self)} images would take above {limit} bytes: names_between gives some")
            names += group_names
        return names

    def names_between(self, start: int, stop: int) -> list[str]:
        """The names of the images of a slice; empty if the archive has no names."""
        names: list[str] = []
        index, stop, _ = slice(start, stop).indices(len(self))
        while index < stop and self.has_names:
            extent = self._index.extent_of(index)
            group_names = self._groups.group(extent).read_names(self._storage.read) or []
            names += group_names[index - extent.first : stop - extent.first]
            index = extent.first + extent.images
        return names

    @property
    def labels(self) -> Integers | None:
        """The label of every image, int64 ``(len,)``; None if the archive has none."""
        if not self._index.footer.labels:
            return None
        labels = np.empty(len(self), np.int64)
        for extent in self._extents():
            group_labels = self._groups.group(extent).read_labels(self._storage.read)
            if group_labels is not None:
                labels[extent.first : extent.first + extent.images] = group_labels
        return labels

    @property
    def origin(self) -> Origin:
        """The kind of data that the images came from."""
        return self._index.footer.origin

    @property
    def shape(self) -> tuple[int, int] | None:
        """``(H, W)`` of all images, or None if they differ."""
        footer = self._index.footer
        return (footer.height, footer.width) if footer.width else None

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._storage.size

    @property
    def has_names(self) -> bool:
        """Whether the images have names."""
        return self._index.footer.names

    @property
    def holds_model(self) -> bool:
        """Whether the archive holds the file of its model."""
        return self._index.footer.embedded

    @property
    def has_labels(self) -> bool:
        """Whether the images have labels."""
        return self._index.footer.labels

    def groups(self) -> Iterator[Group | MnistzipError]:
        """Header and table of every group, or an error."""
        for number in range(self._index.groups):
            try:
                yield self._groups.group(self._index.extent(number))
            except MnistzipError as error:
                yield error

    def details(self) -> Iterator[tuple[Group, list[str] | None, Integers | None]]:
        """Header and table, names and labels of every group."""
        for extent in self._extents():
            group = self._groups.group(extent)
            yield group, group.read_names(self._storage.read), group.read_labels(self._storage.read)

    def parts(self, start: int = 0, stop: int | None = None, details: bool = False, threads: int = 1) -> Iterator[GroupImages]:
        """The images of a range, group by group, with an error in place of each damaged image.

        Where the range covers a whole group, the two checks of the group are verified in addition to those of its lanes.

        Args:
            start, stop: as of a slice.
            details: read names and labels, too.
            threads: groups decoded at the same time.

        Raises:
            FormatError: the index is damaged.
        """
        require_threads(threads)
        start, stop, _ = slice(start, stop).indices(len(self))
        spans = self._spans(start, stop)
        return map_in_order(lambda span: self._decode(span[0], span[1], span[2], details), spans, threads)

    def _spans(self, start: int, stop: int) -> Iterator[tuple[Extent, int, int]]:
        """The groups of a range of images, and the range within each."""
        index, number = start, 0 if start == 0 else None  # of the next group
        while index < stop:
            extent = self._index.extent_of(index)
            if number not in (None, extent.number):
                raise FormatError(f"the index is damaged: group {number} has no images")
            number = extent.number + 1
            end = min(stop, extent.first + extent.images)
            yield extent, index - extent.first, end - extent.first
            index = end
        if start == 0 and stop == len(self) and number != self._index.groups:
            raise FormatError(f"the index is damaged: group {number} has no images")

    def _decode(self, extent: Extent, start: int, stop: int, details: bool) -> GroupImages:
        """Images ``start`` to ``stop`` of a group, with their names and labels if requested."""
        first = extent.first + start
        try:
            group = self._groups.group(extent)
        except MnistzipError as error:
            names_error, labels_error = error if self.has_names else None, error if self.has_labels else None
            return GroupImages(first, [error] * (stop - start), names_error, labels_error)
        names: list[str] | MnistzipError | None = None
        labels: Integers | MnistzipError | None = None
        if details:
            try:
                group_names = group.read_names(self._storage.read)
                names = None if group_names is None else group_names[start:stop]
            except MnistzipError as error:
                names = error
            try:
                group_labels = group.read_labels(self._storage.read)
                labels = None if group_labels is None else group_labels[start:stop]
            except MnistzipError as error:
                labels = error
        return GroupImages(first, self._groups.images(extent, start, stop), names, labels)

    def _extents(self) -> Iterator[Extent]:
        return (self._index.extent(number) for number in range(self._index.groups))


class ArchiveLatents:
    """The latents of an archive's images, as :func:`mnistzip.latents` gives them: int8 ``(channels, rows, columns)``.

    Example:
        >>> import mnistzip, numpy as np
        >>> digits = np.zeros((2, 28, 28), np.uint8)
        >>> digits[:, 4:24, 12:16] = 200
        >>> with mnistzip.Archive(mnistzip.encode_archive(digits, model="mnist-fast")) as archive:
        ...     archive.latents[1].shape, len(archive.latents[:2])
        ((4, 7, 7), 2)
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __len__(self) -> int:
        return len(self._archive)

    @overload
    def __getitem__(self, which: int) -> Symbols: ...
    @overload
    def __getitem__(self, which: slice) -> list[Symbols]: ...
    def __getitem__(self, which: int | slice) -> Symbols | list[Symbols]:
        """The latent of an image, or the list of those of a slice.

        Raises:
            IndexError: no such image.
            OptionError: an image is lossless or bounded: it has no latent.
            FormatError: the image is damaged.
        """
        if isinstance(which, slice):
            return self.read(range(*which.indices(len(self))))
        return self.read([as_index(which, len(self))])[0]

    def read(self, indices: Sequence[int], *, threads: int = 1) -> list[Symbols]:
        """The latents of these images, in this order.

        Args:
            threads: groups are shared among so many threads.

        Raises:
            IndexError, OptionError, FormatError: as for ``[i]``.
        """
        return [latent.copy() for latent in self._archive._read(indices, threads, self._archive._groups.latents)]


def _open_index(storage: Storage, recover: bool) -> Index:
    """The index of an archive; if it is damaged and ``recover``, one that a search for groups gives.

    Raises:
        FormatError: it is damaged, and there is nothing to recover.
    """
    try:
        index = Index(storage)
        if recover:
            for number in range(index.groups):
                index.extent(number)  # a damaged entry shows now, before anything is decoded
        return index
    except FormatError as error:
        if not recover or storage.size < len(container.MAGIC):
            raise
        try:
            return RecoveredIndex(storage)
        except MnistzipError:
            raise error from None


def _reopen(
    source: str | bytes,
    model: str | Path | Model | None,
    max_pixels: int | None,
    recover: bool,
    identity: Identity | None,
) -> Archive:
    """Open an archive in another process.

    Raises:
        FormatError: another archive has replaced the file.
    """
    archive = Archive(source, model=model, max_pixels=max_pixels, recover=recover)
    if identity is not None and not identity.matches(archive._identity()):
        archive.close()
        raise FormatError(f"{source!s} was replaced since it was opened: open the archive, or make the data set, again")
    return archive
