"""Write archives, image by image, in bounded memory; append to one."""

from __future__ import annotations

import errno
import io
import operator
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistzip.archive.entry_names import require_name
from mnistzip.archive.group_codec import Packed, Setting, pack_group
from mnistzip.archive.index import START, Footer, Index, Origin, entry
from mnistzip.coding.model_choice import candidates
from mnistzip.errors import FormatError, ImageError, OptionError, require_within
from mnistzip.limits import DECODED_PIXELS_MAX, SIDE_MAX
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.options import ArchiveKeywords, ArchiveOptions, with_options
from mnistzip.storage.backends import AtomicFile, copy_range, open_storage
from mnistzip.storage.remote import Address, is_address, local_path
from mnistzip.tiling import tiles_in
from mnistzip.types import Mode, Pixels
from mnistzip.validation import as_image, as_label, require_one_each

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

GROUP_IMAGES = 1024
GROUP_PIXELS = 1 << 21  # a group ends before the image that exceeds this
GROUP_TILES = 1 << 12  # or this
GROUP_NAMES = 1 << 20  # or these bytes of names

Ints = NDArray[np.int64]


class ArchiveWriter:
    """Write an archive, in a ``with`` statement; the file appears when that ends without an error, and whole.

    Images are coded in groups of 1,024, of fewer if they are large; ``model="auto"`` chooses for each group. What is in memory
    is a few groups. The bytes are the same whatever the number of threads and however the images are handed over. One thread at
    a time may use a writer. After an error of the system it takes nothing more, and what was there before stays.

    Args:
        target: path of the file, an address that fsspec knows (``s3://...``, with the extra ``fsspec``), or a file opened for
            writing in binary. What goes to an address is kept in a local temporary file until it is whole.
        quality, lossless, effort, model: as for :func:`mnistzip.encode`.
        append: go on behind the images of the archive that is there, if there is one. It is copied: until the end the old
            archive stays as it is.
        threads: groups coded side by side.
        origin: what the images come from, for ``mnistzip decompress`` to give back the like.
        shape: ``(H, W)`` that an archive without images says to be of.
        embed_model: put the model's file into the archive, which then can be read without it.
        progress: called with the number of images whose coding was just done, fractions of images while a group is searched; by
            one thread at a time, but not always by the one that adds images.
        like: a file whose modification time the archive gets, and its permissions if it replaces no file.
        overwrite: replace a file that is at ``target`` in the end. Without it, :class:`FileExistsError` names the temporary
            file that holds the archive.

    Raises:
        OptionError: an option outside its range, or a model to embed that ships anyway or is not the one there already.
        ModelError: no such model.
        FormatError: ``append`` to a file that is no archive or has a damaged index.
        OSError: the file cannot be written; or another process changed it since ``append`` began.

    Attributes:
        count: images given so far.
        raw_bytes, squared_error: sums over the images coded so far.
        size: bytes of the finished archive.
        large: images so large that only who raises ``max_pixels`` can read them.
        poor: images that are far worse than what the quality gives on pictures that the model knows.
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
        wanted = ArchiveOptions(**options)
        wanted.require_valid()
        require_within("threads", threads, 1, 1 << 10)
        if origin not in set(Origin):
            raise OptionError(f"origin is {origin!r}: give one of mnistzip.Origin")
        self._setting = Setting(candidates(wanted.model, None if wanted.lossless else wanted.quality), wanted.effort)
        self._mode = Mode.LOSSLESS if wanted.lossless else Mode.LOSSY
        most = (candidate.model.default_tile_limit(self._mode) for candidate in self._setting.candidates)
        self._tiles_max = min(GROUP_TILES, *most)
        self._embedded = _file_of(wanted.model) if embed_model else None
        self._progress = progress
        self._reporting = threading.Lock()
        self._threads = threads
        self._pool = _pool(threads) if threads > 1 else None
        self._waiting: deque[Future[Packed]] = deque()
        self._images: list[Pixels] = []
        self._names: list[str] = []
        self._labels: list[int] = []
        self._pixels = self._tiles = self._name_bytes = 0
        self._named: bool | None = None  # until there is an image
        self._labelled: bool | None = None
        self._origin = origin
        self._shape = None if shape is None else _known_shape(shape)
        self._mixed = False
        self._entries = bytearray()
        self._coded = 0  # images in groups that were written
        self._at = len(START)
        self.count = self.raw_bytes = self.size = self.large = self.poor = 0
        self.squared_error = 0.0
        self._whole: AtomicFile | None = None
        self._old: str | None = None
        self._ended = self._closed = self._given_up = False  # nothing more is taken; there for good; never will be
        self._out = self._open(target, append, like, overwrite)
        try:
            if append and self._whole is not None and isinstance(target, (str, os.PathLike)):
                self._begin_append(target, self._whole)
            if self._old is None:
                self._out.write(START)
            else:
                self._copy(self._old)
        except BaseException:
            self.abandon()
            raise

    def _open(self, target: str | os.PathLike[str] | IO[bytes], append: bool, like: str | None, overwrite: bool) -> IO[bytes]:
        """The file that is written to."""
        if isinstance(target, (str, os.PathLike)):
            self._whole = AtomicFile(target, like, new=not overwrite)
            return self._whole.file
        if append:
            raise OptionError("only an archive in a file can be appended to: give its path")
        if isinstance(target, io.TextIOBase) or not hasattr(target, "write"):
            raise OptionError(f"an archive is written to {type(target).__name__}: give a path, or a file opened in binary")
        return target

    def _begin_append(self, target: str | os.PathLike[str], whole: AtomicFile) -> None:
        """Remember what is there, to be copied, and to be still there at the end."""
        target = local_path(target) if isinstance(target, str) else target
        state = _state(target)
        self._old = None if state is None else os.fspath(target)
        whole.last_look = lambda: _require_same(target, state)

    def _copy(self, old: str) -> None:
        """Take over the groups of an archive."""
        storage = open_storage(old)
        try:
            index = Index(storage)
            footer = index.footer
            for number in range(footer.groups):
                extent = index.extent(number)
                self._entries += entry(extent.first, extent.offset)
            held = index.model()
            if held is not None and self._embedded not in (None, held):
                raise OptionError(f"{old} holds another model already: it can hold one")
            self._embedded = held or self._embedded
            copy_range(storage, 0, footer.index_at, self._out)
        except FormatError as cause:
            raise type(cause)(f"{old} cannot be appended to: {cause}") from cause
        finally:
            storage.close()
        self._at = footer.index_at
        self._coded = self.count = footer.count
        if footer.count:
            self._named, self._labelled = footer.names, footer.labels
            self._mixed = not footer.width
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
        """Add an image, uint8 ``(H, W)``. Either every image of an archive has a name, or none has; likewise a label.

        Args:
            name: a path below a folder, with ``/``; may be empty.
            label: an integer of 64 bits; an array or tensor without dimensions will do.

        Raises:
            ImageError: not a greyscale image of 8 bits, or a name that could lead out of a folder.
            OptionError: a name or label is missing or one too many.
        """
        self._require_open()
        pixels = as_image(image, self.count)
        for what, told, every in (("name", name, self._named), ("label", label, self._labelled)):
            if every is not None and (told is not None) != every:
                raise OptionError(f"image {self.count} has {'a' if told is not None else 'no'} {what}, unlike those before it")
        number = None if label is None else as_label(label, self.count)
        if name is not None:
            require_name(name)
        self._named, self._labelled = name is not None, label is not None
        tiles = tiles_in(pixels.shape[1], pixels.shape[0])
        # What is refused unasked is not to take others with it.
        alone = pixels.size > DECODED_PIXELS_MAX[self._mode] or tiles > self._tiles_max
        if self._images and (alone or self._pixels + pixels.size > GROUP_PIXELS or self._tiles + tiles > self._tiles_max):
            self._end_group()
        if name is not None:
            self._names.append(name)
            self._name_bytes += len(name.encode()) + 1
        if number is not None:
            self._labels.append(number)
        self._images.append(pixels.copy())
        self._pixels += pixels.size
        self._tiles += tiles
        if self.count == 0:
            self._shape = (pixels.shape[0], pixels.shape[1])
        self._mixed = self._mixed or self._shape != pixels.shape
        self.count += 1
        if alone or len(self._images) >= GROUP_IMAGES or self._pixels >= GROUP_PIXELS or self._name_bytes >= GROUP_NAMES:
            self._end_group()

    def extend(
        self,
        images: Iterable[ArrayLike],
        *,
        names: Iterable[str] | None = None,
        labels: Iterable[int] | NDArray[np.integer] | None = None,
    ) -> None:
        """Add several images, with a name and a label for each if given.

        Args:
            images: uint8 array of shape ``(N, H, W)`` or ``(H, W)`` arrays of any sizes.
            names: N paths, as for :meth:`add`.
            labels: N integers, or an array or tensor of shape ``(N,)``.

        Raises:
            ImageError, OptionError: as for :meth:`add`; or there are not as many names or labels as images.
        """
        for what, values in (("names", names), ("labels", labels)):
            if values is not None:
                require_one_each(what, values, images)
        all_names = repeat(None) if names is None else names
        all_labels = repeat(None) if labels is None else labels
        every, more_names, more_labels = iter(images), iter(all_names), iter(all_labels)
        missing = object()
        for image in every:
            name, label = next(more_names, missing), next(more_labels, missing)
            if name is missing or label is missing:
                raise OptionError("there are fewer names or labels than images")
            self.add(image, name=name, label=label)  # type: ignore[arg-type]
        for given, left in ((names, more_names), (labels, more_labels)):
            if given is not None and next(left, missing) is not missing:
                raise OptionError("there are more names or labels than images")

    def close(self) -> None:
        """Write what is left, index and footer, and move the file into place. Closing twice does no harm."""
        if self._closed:
            return
        if self._given_up:
            self._require_open()
        try:
            self.finish()
            if self._whole is not None:
                self._whole.commit()
        except BaseException:
            self.abandon()
            raise
        self._closed = True

    def finish(self) -> None:
        """Write what is left, index and footer; nothing can be added then."""
        if self.size:
            return
        self._require_open()
        if self._images:
            self._end_group()
        while self._waiting:
            self._put(self._waiting.popleft().result())
        self._ended = True
        if self._pool is not None:
            self._pool.shutdown()
        height, width = self._shape if self._shape and not self._mixed else (0, 0)
        groups = len(self._entries) // len(entry(0, 0))
        has = bool(self._labelled), bool(self._named), self._embedded is not None
        footer = Footer(self.count, groups, self._at, self._origin, width, height, *has)
        end = bytes(self._entries) + entry(self._coded, self._at) + (self._embedded or b"") + footer.to_bytes()
        self._out.write(end)
        self.size = self._at + len(end)

    def abandon(self) -> None:
        """Give up; what was there before stays."""
        self._ended = self._given_up = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._whole is not None:
            self._whole.abandon()

    def _require_open(self) -> None:
        """Raise unless images can be added."""
        if self._ended:
            raise OptionError("the archive is closed, or was given up after an error: nothing can be added")

    def _end_group(self) -> None:
        names = self._names if self._named else None
        labels = np.array(self._labels, np.int64) if self._labelled else None
        images = self._images
        self._images, self._names, self._labels = [], [], []
        self._pixels = self._tiles = self._name_bytes = 0
        try:
            if self._pool is None:
                self._put(self._packed(images, labels, names))
                return
            self._waiting.append(self._pool.submit(self._packed, images, labels, names))
            if len(self._waiting) > self._threads:
                self._put(self._waiting.popleft().result())
        except BaseException:  # images are lost that count as added
            self.abandon()
            raise

    def _packed(self, images: list[Pixels], labels: Ints | None, names: list[str] | None) -> Packed:
        """Code a group, and report how far that has come."""
        tiles = sum(tiles_in(image.shape[1], image.shape[0]) for image in images)
        left = float(len(images))

        def report(share: float) -> None:
            nonlocal left
            if self._progress is not None and share > 0:
                left -= share
                with self._reporting:
                    self._progress(share)

        packed = pack_group(self._setting, images, labels, names, lambda done: report(len(images) * done / tiles))
        report(left)
        return packed

    def _put(self, packed: Packed) -> None:
        self._entries += entry(self._coded, self._at)
        self._coded += packed.images
        self.raw_bytes += packed.raw_bytes
        self.squared_error += packed.squared_error
        self.large += packed.images if packed.large else 0
        self.poor += packed.poor
        self._at += len(packed.content)
        self._out.write(packed.content)


def _known_shape(shape: tuple[int, int]) -> tuple[int, int] | None:
    """``(H, W)`` that an archive without images can be said to be of."""
    try:
        height, width = map(operator.index, shape)
    except (TypeError, ValueError) as cause:
        raise OptionError(f"shape is {shape!r}: give height and width") from cause
    if height == width == 0:
        return None
    if not 1 <= min(height, width) <= max(height, width) <= SIDE_MAX:
        raise ImageError(f"images of {width}x{height}: the format takes sides of 1..{SIDE_MAX}")
    return height, width


def _state(path: str | os.PathLike[str]) -> object:
    """What tells whether a file is still the same; None if it is gone."""
    if isinstance(path, str) and is_address(path):
        return Address(path).state()
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _require_same(path: str | os.PathLike[str], state: object) -> None:
    """Raise unless a file is as it was, or as absent."""
    if _state(path) != state:
        told = "was changed while images were added, by somebody else: nothing was written"
        raise OSError(errno.EBUSY, told, os.fspath(path))


def _file_of(model: str | Path | Model) -> bytes:
    """The file of a model that is worth being embedded."""
    first, *_ = registry.candidates(model)
    if registry.is_shipped(first):
        raise OptionError(f"the model {first.name} ships with mnistzip: there is no need to embed it")
    return first.content


def _pool(threads: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # it takes a while to import, and most programs do without

    return ThreadPoolExecutor(threads)


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
        images: uint8 array of shape ``(N, H, W)`` or ``(H, W)`` arrays of any sizes.
        names: of each, a path below a folder, with ``/``; may be empty.
        labels: of each, an integer of 64 bits.
        quality, lossless, effort, model: as for :func:`mnistzip.encode`.
        threads: groups coded side by side; the bytes are the same.
        embed_model: put the model's file into the archive, which then can be read without it.

    Raises:
        ImageError: an image that is not greyscale of 8 bits, or a name that could lead out of a folder.
        OptionError: an option outside its range, or not as many names or labels as images.
        ModelError: no such model.
    """
    out = io.BytesIO()
    shape = images.shape[1:] if isinstance(images, np.ndarray) and images.ndim == 3 and min(images.shape[1:]) else None
    with ArchiveWriter(out, threads=threads, shape=shape, embed_model=embed_model, **options) as writer:
        writer.extend(images, names=names, labels=labels)
    return out.getvalue()
