"""Read archives: many images in one file, any of them without the others."""

from __future__ import annotations

import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mnistzip.api import model_for
from mnistzip.archive.group import Group, read_group
from mnistzip.archive.group_codec import pixels_crc, unpack_lanes
from mnistzip.archive.group_header import LABELS, NAMES, CodedPart
from mnistzip.archive.identity import Identity
from mnistzip.archive.index import Extent, Index, Origin, RecoveredIndex
from mnistzip.bitstream import container
from mnistzip.bitstream.container import NAMED_BY_HASH
from mnistzip.errors import FormatError, LimitError, MnistzipError, ModelError
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.nn.blas_threads import one_thread
from mnistzip.storage.backends import open_storage
from mnistzip.types import Mode, Pixels
from mnistzip.validation import as_index

LANES_KEPT = 8  # decoded last, for whoever asks for images one after the other
KEPT_PIXELS = 1 << 16  # of a lane that is kept
GROUPS_KEPT = 64  # heads and tables
NAME_BYTES = 64  # that a name takes in memory, beside its letters
NAMES_HELD, NAMES_SWELL = 1 << 27, 64  # bytes of all names, or times the bytes of their archive, that are held unasked

Ints = NDArray[np.int64]
Lane = tuple[int, int, int]  # of an archive: group, part of the group, lane of the part


@dataclass(frozen=True)
class Part:
    """Images of one group.

    Attributes:
        first: index of the first of them in the archive.
        images: uint8 ``(H, W)`` each, or what is wrong with it.
        names: of each, None if the archive has none, or what is wrong with them.
        labels: likewise, shape ``(len(images),)``.
    """

    first: int
    images: list[Pixels | MnistzipError]
    names: list[str] | MnistzipError | None
    labels: Ints | MnistzipError | None


class Archive:
    """An archive of images: ``len()``, ``[i]``, ``[a:b]``, iteration, ``.names``, ``.labels``.

    Only what is asked for is read. Several threads may read at once. Close it, or use it in a ``with`` statement.

    Args:
        source: path, address that fsspec knows (``s3://...``, with the extra ``fsspec``), or the bytes of an archive.
        model: the custom model that an archive names by its fingerprint; shipped models, and one that the archive holds, are
            found without it.
        max_pixels: larger images are refused before memory is taken.
        recover: where index or footer is lost or damaged, look for groups and count images from the first one found.

    Raises:
        FormatError: not an archive, cut short or damaged. Damage to images is found when they are read.
        OptionError: the address needs fsspec, which is missing.
        OSError: no such file.
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
        again = bytes(source) if isinstance(source, (bytearray, memoryview)) else source
        if isinstance(source, os.PathLike) or (isinstance(source, str) and "://" not in source):
            again = os.path.abspath(os.fsdecode(source))  # a process that the archive is handed to may run elsewhere
        self._opened = (again, model, max_pixels, recover)
        self._model = None if model is not None and registry.is_shipped(model) else model
        self._max_pixels = max_pixels
        self._models: dict[bytes, Model] = {}
        self._held: list[Model | MnistzipError | None] = []  # the model that the archive holds, once it was looked at
        self._groups: dict[int, Group] = {}
        self._recent: OrderedDict[Lane, list[Pixels]] = OrderedDict()
        self._lock = threading.Lock()
        self._storage = open_storage(source)
        try:
            self._index = Index(self._storage)
            if recover:
                for _ in self._extents():
                    pass  # a damaged entry shows before anything is decoded
        except FormatError as error:
            if not recover or self._storage.size < len(container.MAGIC):
                self._storage.close()
                raise
            try:
                self._index = RecoveredIndex(self._storage)
            except MnistzipError:
                self._storage.close()
                raise error from None
        self.recovered = isinstance(self._index, RecoveredIndex)

    def __reduce__(self) -> tuple[Any, ...]:
        """How another process opens the same archive; it refuses another one that has taken its place."""
        return _reopen, (*self._opened, None if isinstance(self._opened[0], bytes) else self._identity())

    def _identity(self) -> Identity:
        return Identity.of(self._storage, self._index, self._group)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._storage.close()

    def __len__(self) -> int:
        return self._index.count

    @overload
    def __getitem__(self, which: int) -> Pixels: ...
    @overload
    def __getitem__(self, which: slice) -> list[Pixels]: ...
    def __getitem__(self, which: int | slice) -> Pixels | list[Pixels]:
        """An image, uint8 ``(H, W)``, or a list of some.

        Raises:
            IndexError: no such image.
            FormatError: it is damaged; others may be whole.
        """
        if isinstance(which, slice):
            return self.read(range(*which.indices(len(self))))
        return self.read([as_index(which, len(self))])[0]

    def __iter__(self) -> Iterator[Pixels]:
        for part in self.parts():
            for index, image in enumerate(part.images, part.first):
                if isinstance(image, MnistzipError):
                    raise type(image)(f"image {index}: {image}") from image
                yield image

    def read(self, indices: Sequence[int]) -> list[Pixels]:
        """The images of these indices, in this order; those that share a group are decoded together."""
        places = [as_index(index, len(self)) for index in indices]
        wanted: dict[int, tuple[Extent, dict[Lane, None]]] = {}
        lane_of: dict[int, tuple[Lane, int]] = {}  # image -> its lane, and its place within
        extent: Extent | None = None
        for image in sorted(set(places)):
            if extent is None or image >= extent.first + extent.images:
                extent = self._index.find(image)
            part, number, within = self._group(extent).locate(image - extent.first)
            lane = extent.number, part, number
            lane_of[image] = lane, within
            wanted.setdefault(extent.number, (extent, {}))[1][lane] = None
        lanes: dict[Lane, list[Pixels]] = {}
        for extent, some in wanted.values():
            lanes |= self._lanes(extent, list(some))
        found = {image: lanes[lane][within] for image, (lane, within) in lane_of.items()}
        return [found[image].copy() for image in places]

    def group_of(self, index: int) -> range:
        """The indices that share a group with an image: decoded together they cost far less than one by one."""
        extent = self._index.find(as_index(index, len(self)))
        return range(extent.first, extent.first + extent.images)

    @property
    def names(self) -> list[str] | None:
        """The name of every image, a path below a folder or empty, or None if the archive has none.

        Raises:
            LimitError: they take far more memory than the archive has bytes, as no archive of images would:
                :meth:`names_between` gives some of them.
        """
        if not self._index.footer.names:
            return None
        names: list[str] = []
        held, most = 0, max(NAMES_HELD, NAMES_SWELL * self._storage.size)
        for extent in self._extents():
            some = self._group(extent).read_names(self._storage.read) or []
            held += NAME_BYTES * len(some) + sum(map(len, some))
            if held > most:
                raise LimitError(f"the names of {len(self)} images would take above {most} bytes: names_between gives some")
            names += some
        return names

    def names_between(self, start: int, stop: int) -> list[str]:
        """The names of images of a slice; none if the archive has none."""
        names: list[str] = []
        at, stop, _ = slice(start, stop).indices(len(self))
        while at < stop and self.has_names:
            extent = self._index.find(at)
            every = self._group(extent).read_names(self._storage.read) or []
            names += every[at - extent.first : stop - extent.first]
            at = extent.first + extent.images
        return names

    @property
    def labels(self) -> Ints | None:
        """The label of every image, int64 of shape ``(len,)``, or None if the archive has none."""
        if not self._index.footer.labels:
            return None
        labels = np.empty(len(self), np.int64)
        for extent in self._extents():
            part = self._group(extent).read_labels(self._storage.read)
            if part is not None:
                labels[extent.first : extent.first + extent.images] = part
        return labels

    @property
    def origin(self) -> Origin:
        """What the images came from."""
        return self._index.footer.origin

    @property
    def shape(self) -> tuple[int, int] | None:
        """``(H, W)`` of all images, or None where they differ."""
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
        """Whether the model's file is in the archive."""
        return self._index.footer.embedded

    @property
    def has_labels(self) -> bool:
        """Whether the images have labels."""
        return self._index.footer.labels

    def groups(self) -> Iterator[Group | MnistzipError]:
        """Head and table of every group, or what is wrong with it."""
        for number in range(self._index.groups):
            try:
                yield self._group(self._index.extent(number))
            except MnistzipError as error:
                yield error

    def details(self) -> Iterator[tuple[Group, list[str] | None, Ints | None]]:
        """Head and table, names and labels of every group."""
        for extent in self._extents():
            group = self._group(extent)
            yield group, group.read_names(self._storage.read), group.read_labels(self._storage.read)

    def parts(self, start: int = 0, stop: int | None = None, details: bool = False) -> Iterator[Part]:
        """The images of a range, group by group; a damaged one is an error in its place.

        Where all of a group is read its own two checks are held against it, as well as those of its lanes.

        Args:
            start, stop: indices of the first image and behind the last, as of a slice.
            details: names and labels too.

        Raises:
            FormatError: the index is damaged.
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        at, number = start, 0 if start == 0 else None  # of the next group
        while at < stop:
            extent = self._index.find(at)
            if number not in (None, extent.number):
                raise FormatError(f"the index is damaged: group {number} has no images")
            number = extent.number + 1
            end = min(stop, extent.first + extent.images)
            yield self._part(extent, at - extent.first, end - extent.first, details)
            at = end
        if start == 0 and stop == len(self) and number != self._index.groups:
            raise FormatError(f"the index is damaged: group {number} has no images")

    def _part(self, extent: Extent, start: int, stop: int, details: bool) -> Part:
        first = extent.first + start
        try:
            group = self._group(extent)
        except MnistzipError as error:
            return Part(first, [error] * (stop - start), error if self.has_names else None, error if self.has_labels else None)
        names: list[str] | MnistzipError | None = None
        labels: Ints | MnistzipError | None = None
        if details:
            try:
                every = group.read_names(self._storage.read)
                names = None if every is None else every[start:stop]
            except MnistzipError as error:
                names = error
            try:
                numbers = group.read_labels(self._storage.read)
                labels = None if numbers is None else numbers[start:stop]
            except MnistzipError as error:
                labels = error
        return Part(first, self._images(extent, group, start, stop), names, labels)

    @one_thread
    def _images(self, extent: Extent, group: Group, start: int, stop: int) -> list[Pixels | MnistzipError]:
        """Images of a group, or what is wrong with each."""
        out: dict[int, Pixels | MnistzipError] = {}
        whole = stop - start == group.head.images
        content = b""
        for part in group.parts:
            first, last = np.searchsorted(part.images, (start, stop)).tolist()
            lanes = range(first // part.coding.per_lane, -(-last // part.coding.per_lane))
            if not lanes:
                continue
            at, end = int(part.ends[lanes.start]), int(part.ends[lanes.stop])
            numbers = [part.images_of(lane).tolist() for lane in lanes]
            try:
                some = self._storage.read(group.lanes_at + at, end - at)
                content += some if whole else b""
                pieces = [some[part.ends[lane] - at : part.ends[lane + 1] - at] for lane in lanes]
                decoded = unpack_lanes(part, self._model_of(part), lanes, pieces)
            except MnistzipError as error:
                out |= dict.fromkeys(chain.from_iterable(numbers), error)
                continue
            for images, found in zip(numbers, decoded, strict=True):
                out |= zip(images, [found] * len(images) if isinstance(found, FormatError) else found, strict=True)
        if whole:
            sound = [image for k in range(stop) if not isinstance(image := out[k], MnistzipError)]
            if len(sound) == stop and not _matches(group, content, sound):
                return [FormatError(f"group {extent.number} does not match its check")] * stop
        return [out[k] for k in range(start, stop)]

    @one_thread
    def _lanes(self, extent: Extent, wanted: list[Lane]) -> dict[Lane, list[Pixels]]:
        """Decoded lanes of a group; an error if any is damaged."""
        with self._lock:
            out = {lane: self._recent[lane] for lane in wanted if lane in self._recent}
        group = self._group(extent)
        for number, part in enumerate(group.parts):
            missing = [lane[2] for lane in wanted if lane[1] == number and lane not in out]
            if not missing:
                continue
            pieces = self._pieces(group, part, missing)
            for lane, decoded in zip(missing, unpack_lanes(part, self._model_of(part), missing, pieces), strict=True):
                if isinstance(decoded, FormatError):
                    raise FormatError(
                        f"the file is damaged in {_named(part.images_of(lane) + extent.first)}: {decoded}"
                    ) from decoded
                out[extent.number, number, lane] = decoded
                self._keep((extent.number, number, lane), decoded)
        return out

    def _pieces(self, group: Group, part: CodedPart, lanes: list[int]) -> list[bytes]:
        """The bytes of some lanes; one read where they lie side by side."""
        spans = [(int(part.ends[lane]), int(part.ends[lane + 1])) for lane in lanes]
        if lanes[-1] - lanes[0] != len(lanes) - 1:
            return [self._storage.read(group.lanes_at + a, b - a) for a, b in spans]
        content = self._storage.read(group.lanes_at + spans[0][0], spans[-1][1] - spans[0][0])
        return [content[a - spans[0][0] : b - spans[0][0]] for a, b in spans]

    def _keep(self, lane: Lane, images: list[Pixels]) -> None:
        """Remember the images of a lane, those of the last few."""
        if sum(image.size for image in images) > KEPT_PIXELS:
            return
        with self._lock:
            self._recent[lane] = images
            while len(self._recent) > LANES_KEPT:
                self._recent.popitem(last=False)

    def _group(self, extent: Extent) -> Group:
        """Head and table of a group."""
        known = self._groups.get(extent.number)
        if known is not None:
            return known
        group = read_group(self._storage.read, extent.offset, extent.size, self._max_pixels)
        footer = self._index.footer
        has = bool(group.head.flags & LABELS), bool(group.head.flags & NAMES)
        one_size = not footer.width or (group.head.width, group.head.height) == (footer.width, footer.height)
        if not self.recovered:
            agreed = has == (footer.labels, footer.names) and one_size
            if group.head.size != extent.size or group.head.images != extent.images or not agreed:
                raise FormatError(f"group {extent.number} is damaged: it is not what index and footer say")
        if len(self._groups) >= GROUPS_KEPT:
            self._groups.clear()
        self._groups[extent.number] = group
        return group

    def _model_of(self, part: CodedPart) -> Model | None:
        """The model that a part of a group names.

        Raises:
            ModelError: it is not at hand, or has other weights than when the group was written.
            LimitError: it takes longer for the part than is decoded unasked.
        """
        coding = part.coding
        if coding.mode is Mode.STORED:
            return None
        model = self._models.get(coding.fingerprint)
        if model is None:
            model = self._embedded() if coding.model == NAMED_BY_HASH and self._model is None else None
            if model is None or model.fingerprint != coding.fingerprint:
                model = model_for(coding.fingerprint if coding.model == NAMED_BY_HASH else coding.model, self._model)
            if model.fingerprint != coding.fingerprint:
                message = f"{model.name} {coding.fingerprint.hex()}, but here it is {model.fingerprint.hex()}"
                raise ModelError(f"the archive was written with the model {message}")
            self._models[coding.fingerprint] = model
        if self._max_pixels is None:
            model.require_default_limit(coding.mode, part.shapes)
        return model

    def _embedded(self) -> Model | None:
        """The model that the archive holds. It is read once: proving it may take a while, and many groups ask."""
        if not self._held:
            try:
                content = self._index.model()
                self._held.append(None if content is None else registry.read_model(content, "in the archive"))
            except MnistzipError as error:
                self._held.append(error)
        held = self._held[0]
        if isinstance(held, MnistzipError):
            raise held.with_traceback(None)  # raised for each group, it would collect where from
        return held

    def _extents(self) -> Iterator[Extent]:
        return (self._index.extent(number) for number in range(self._index.groups))


def _named(images: NDArray[np.integer]) -> str:
    """Images of a lane, for people."""
    first, last = int(images[0]), int(images[-1])
    if len(images) == 1:
        return f"image {first}"
    if last - first == len(images) - 1:
        return f"images {first} to {last}"
    return f"images {', '.join(map(str, images.tolist()))}"


def _matches(group: Group, content: bytes, images: list[Pixels]) -> bool:
    """Whether a whole group matches its two checks."""
    return zlib.crc32(content) == group.head.lanes_crc and pixels_crc(images) == group.head.pixels_crc


def _reopen(
    source: str | bytes,
    model: str | Path | Model | None,
    max_pixels: int | None,
    recover: bool,
    identity: Identity | None,
) -> Archive:
    """Open an archive in another process.

    Raises:
        FormatError: the file is not the archive that it was there.
    """
    archive = Archive(source, model=model, max_pixels=max_pixels, recover=recover)
    if identity is not None and not identity.matches(archive._identity()):
        archive.close()
        raise FormatError(f"{source!s} was replaced since it was opened: open the archive, or make the data set, again")
    return archive
