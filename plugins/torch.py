"""A map-style data set of PyTorch over an archive, in the place of ``torchvision.datasets.MNIST``.

    from mnistzip.plugins.torch import ArchiveDataset
    loader = DataLoader(ArchiveDataset("train.cae", transform=ToTensor()), batch_size=64, shuffle=True, num_workers=2)

An image alone costs some ten times what it costs among others, so groups of the archive are decoded whole and kept.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mnistzip.archive.reader import Archive
from mnistzip.errors import FormatError, MnistzipError, OptionError
from mnistzip.models.registry import Model
from mnistzip.types import Pixels
from mnistzip.validation import as_index

try:
    import torch
    from torch.utils.data import Dataset
except ImportError as cause:
    raise ImportError("the data set needs torch 2.4 or later: pip install 'mnistzip[torch]'") from cause

CACHE_BYTES = 1 << 26  # of pixels: 85,000 digits
WORTHWHILE = 16  # a group that the cache has no room for is decoded whole where so small a part of it is asked for at once

Decoded = list[Pixels | MnistzipError]
Transform = Callable[[Any], Any]


class ArchiveDataset(Dataset[Any]):
    """The images of an archive and their labels, as ``torchvision.datasets.MNIST`` gives them.

    An item is ``(image, label)``: a PIL image of mode L, or what ``transform`` makes of it, and an int, or what
    ``target_transform`` makes of that. Of an archive without labels an item is the image alone. It can be pickled, and each
    process of a DataLoader opens the archive for itself; it is not for several threads at once.

    Args:
        archive: path, address that fsspec knows, or the bytes of an archive.
        transform, target_transform: called with each image, each label.
        model: the custom model that an archive names by its fingerprint.
        max_pixels: as for :class:`mnistzip.Archive`.
        cache_bytes: pixels of decoded groups that each process keeps. Until so many are kept a group is decoded whole when the
            first of its images is asked for; from then on only where a batch wants a sixteenth of it or more.

    Raises:
        FormatError: not an archive, or a damaged one. Damage to an image shows when that image is asked for.
        OptionError: ``target_transform`` for an archive without labels, or no room at all.
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
        self._room = cache_bytes
        self._full = not cache_bytes
        self._groups: OrderedDict[int, Decoded] = OrderedDict()  # first image -> images; the last one asked for comes last
        opened = Archive(archive, model=model, max_pixels=max_pixels)
        self._archive: Archive | None = opened
        self._process: int | None = os.getpid()
        self._reopen = opened.__reduce__()
        self._count = len(opened)
        labels = opened.labels
        self.targets = None if labels is None else torch.from_numpy(labels)
        if labels is None and target_transform is not None:
            raise OptionError("target_transform is given, but the archive has no labels: pack it with labels")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The items of a batch, in its order; DataLoader asks for batches this way.

        Raises:
            IndexError: no such image.
            OptionError: an index is no whole number.
            FormatError: one of them is damaged, or another archive has taken the place of this one.
        """
        places = [as_index(index, self._count) for index in indices]
        try:
            images = self._images(places)
        except FormatError:
            self._reopened().close()  # another archive that has taken the place of this one is no damage
            raise
        return [self._item(images[place], place) for place in places]

    def __getstate__(self) -> dict[str, Any]:
        held = sum(map(_size, self._groups.values()))
        return {**self.__dict__, "_archive": None, "_process": None, "_groups": OrderedDict(), "_room": self._room + held}

    def _open(self) -> Archive:
        """The archive, opened by this very process: one that was forked shares no lock or connection with its parent."""
        if self._archive is None or self._process != os.getpid():
            self._archive, self._process = self._reopened(), os.getpid()
        return self._archive

    def _reopened(self) -> Archive:
        """The archive opened once more, or a :class:`~mnistzip.errors.FormatError` if the labels are of another one."""
        function, arguments = self._reopen
        archive: Archive = function(*arguments)
        return archive

    def _item(self, pixels: Pixels, place: int) -> Any:
        image: Any = Image.fromarray(pixels)
        if self.transform is not None:
            image = self.transform(image)
        if self.targets is None:
            return image
        label: Any = int(self.targets[place])
        return image, label if self.target_transform is None else self.target_transform(label)

    def _images(self, places: list[int]) -> dict[int, Pixels]:
        archive = self._open()
        found: dict[int, Pixels] = {}
        single: list[int] = []
        left = sorted(set(places))
        while left:
            group = archive.group_of(left[0])
            wanted = [place for place in left if place in group]
            left = left[len(wanted) :]
            decoded = self._decoded(group, len(wanted))
            if decoded is None:
                single += wanted
                continue
            for place in wanted:
                image = decoded[place - group.start]
                if isinstance(image, MnistzipError):
                    raise type(image)(f"image {place}: {image}") from image
                found[place] = image
        return found | dict(zip(single, archive.read(single), strict=True))

    def _decoded(self, group: range, wanted: int) -> Decoded | None:
        """All images of a group, or None where decoding them all is not worth it."""
        if group.start in self._groups:
            self._groups.move_to_end(group.start)
            return self._groups[group.start]
        if self._full and wanted * WORTHWHILE < len(group):
            return None
        (part,) = self._open().parts(group.start, group.stop)
        self._groups[group.start] = part.images
        self._room -= _size(part.images)
        while self._room < 0 and len(self._groups) > 1:
            self._room += _size(self._groups.popitem(last=False)[1])
            self._full = True
        return part.images


def _size(images: Decoded) -> int:
    return sum(image.size for image in images if not isinstance(image, MnistzipError))
