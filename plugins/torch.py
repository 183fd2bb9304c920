"""A map-style PyTorch data set over an archive. It can replace ``torchvision.datasets.MNIST``.

::

    from mnistzip.plugins.torch import ArchiveDataset
    loader = DataLoader(ArchiveDataset("train.cae", transform=ToTensor()), batch_size=64, shuffle=True, num_workers=2)

Decoding an image alone takes about ten times as long as decoding it with its group, so whole groups are decoded and cached.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mnistzip.archive.reader import Archive
from mnistzip.errors import FormatError, MnistzipError, OptionError, located
from mnistzip.models.registry import Model
from mnistzip.types import Pixels
from mnistzip.validation import as_index

try:
    import torch
    from torch.utils.data import Dataset
except ImportError as cause:
    raise ImportError("the data set needs torch 2.4 or later: pip install 'mnistzip[torch]'") from cause

CACHE_BYTES = 1 << 26  # of pixels: 85,000 digits
GROUP_SHARE = 16  # with a full cache, a group is decoded whole if a batch needs at least this part (1/16) of its images

Decoded = list[Pixels | MnistzipError]
Transform = Callable[[Any], Any]


class ArchiveDataset(Dataset[Any]):
    """The images of an archive and their labels, in the form of ``torchvision.datasets.MNIST``.

    An item is ``(image, label)``: a PIL image of mode L or the result of ``transform``, and an int or the result of
    ``target_transform``. If the archive has no labels, an item is the image alone. A data set can be pickled, and each process
    of a DataLoader opens the archive again. Only one thread at a time may use it.

    Args:
        archive: path, address for fsspec, or the bytes of an archive.
        transform, target_transform: called with each image and each label.
        model: the model of an archive that names it by its fingerprint.
        max_pixels: as for :class:`mnistzip.Archive`.
        cache_bytes: size of the decoded pixels that each process caches. Until the cache is full, groups are always decoded
            whole; after that only if a batch needs a sixteenth of a group or more.

    Raises:
        FormatError: not an archive, or a damaged one. A damaged image raises when it is read.
        OptionError: ``target_transform`` for an archive without labels, or a bad ``cache_bytes``.
        OSError: no such file.

    Attributes:
        targets: the labels, int64 of shape ``(len,)``, or None.
    """

    def __init__(
        self,
        archive: str | os.PathLike[str] | bytes,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        *,
        model: str | Path | Model | None = None,
        max_pixels: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if isinstance(cache_bytes, bool) or not isinstance(cache_bytes, int) or cache_bytes < 0:
            raise OptionError(f"cache_bytes is {cache_bytes!r}: give a number of bytes, 0 or more")
        self.transform = transform
        self.target_transform = target_transform
        self._free_bytes = cache_bytes
        self._cache_full = not cache_bytes
        self._groups: OrderedDict[int, Decoded] = OrderedDict()  # index of the first image -> images; least recently used first
        opened = Archive(archive, model=model, max_pixels=max_pixels)
        self._archive: Archive | None = opened
        self._process: int | None = os.getpid()
        self._reduced = opened.__reduce__()
        self._count = len(opened)
        labels = opened.labels
        self.targets = None if labels is None else torch.from_numpy(labels)
        if labels is None and target_transform is not None:
            raise OptionError("target_transform needs labels, but the archive has no labels: pack it with labels")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The items of a batch, in its order; DataLoader calls this.

        Raises:
            IndexError: no such image.
            OptionError: an index is not a whole number.
            FormatError: an image is damaged, or the archive has been replaced by another one.
        """
        positions = [as_index(index, self._count) for index in indices]
        try:
            images = self._images(positions)
        except FormatError:
            self._open_again().close()  # raises its own error if the archive has been replaced, which is not damage
            raise
        return [self._item(images[position], position) for position in positions]

    def __getstate__(self) -> dict[str, Any]:
        cached = sum(map(_size, self._groups.values()))
        return self.__dict__ | {
            "_archive": None,
            "_process": None,
            "_groups": OrderedDict(),
            "_free_bytes": self._free_bytes + cached,
        }

    def _open(self) -> Archive:
        """The archive, opened by this process: after a fork it must not share a lock or connection with the parent."""
        if self._archive is None or self._process != os.getpid():
            self._archive, self._process = self._open_again(), os.getpid()
        return self._archive

    def _open_again(self) -> Archive:
        """Open the archive again; raises :class:`~mnistzip.errors.FormatError` if its labels differ, as another one has."""
        function, arguments = self._reduced
        archive: Archive = function(*arguments)
        return archive

    def _item(self, pixels: Pixels, position: int) -> Any:
        """Image and label after the transforms."""
        image: Any = Image.fromarray(pixels)
        if self.transform is not None:
            image = self.transform(image)
        if self.targets is None:
            return image
        label: Any = int(self.targets[position])
        return image, label if self.target_transform is None else self.target_transform(label)

    def _images(self, positions: list[int]) -> dict[int, Pixels]:
        """The pixels of images by their positions; from whole groups, or one by one where that is faster."""
        archive = self._open()
        images: dict[int, Pixels] = {}
        single: list[int] = []
        remaining = sorted(set(positions))
        while remaining:
            group = archive.group_of(remaining[0])
            in_group = [position for position in remaining if position in group]
            remaining = remaining[len(in_group) :]
            decoded = self._decoded(group, len(in_group))
            if decoded is None:
                single += in_group
                continue
            for position in in_group:
                image = decoded[position - group.start]
                if isinstance(image, MnistzipError):
                    raise located(image, f"image {position}") from image
                images[position] = image
        return images | dict(zip(single, archive.read(single), strict=True))

    def _decoded(self, group: range, count: int) -> Decoded | None:
        """All images of a group; None if a batch needs too few of them (``count``) to decode the whole group."""
        if group.start in self._groups:
            self._groups.move_to_end(group.start)
            return self._groups[group.start]
        if self._cache_full and count * GROUP_SHARE < len(group):
            return None
        (part,) = self._open().parts(group.start, group.stop)
        self._groups[group.start] = part.images
        self._free_bytes -= _size(part.images)
        while self._free_bytes < 0 and len(self._groups) > 1:
            self._free_bytes += _size(self._groups.popitem(last=False)[1])
            self._cache_full = True
        return part.images


def _size(images: Decoded) -> int:
    """Bytes of decoded pixels."""
    return sum(image.size for image in images if not isinstance(image, MnistzipError))
