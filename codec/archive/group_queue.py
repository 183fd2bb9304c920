"""Code groups in order, several at a time if there are threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mnistzip.archive.group_codec import EncodedGroup, GroupOptions, encode_group
from mnistzip.threads import OrderedPool
from mnistzip.tiling import tiles_in
from mnistzip.types import Pixels


@dataclass
class PendingGroup:
    """Images that are gathered for a group.

    Attributes:
        names, labels: one for each image, or None if the images have none.
        pixels, tiles, name_bytes: sums over the images.
    """

    images: list[Pixels] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    labels: list[int | None] = field(default_factory=list)
    pixels: int = 0
    tiles: int = 0
    name_bytes: int = 0

    def add(self, image: Pixels, name: str | None, label: int | None) -> None:
        """Add a copy of an image."""
        self.images.append(image.copy())
        self.names.append(name)
        self.labels.append(label)
        self.pixels += image.size
        self.tiles += tiles_in(image.shape[1], image.shape[0])
        self.name_bytes += 0 if name is None else len(name.encode()) + 1


class GroupQueue(OrderedPool[PendingGroup, EncodedGroup]):
    """Codes groups; results come in the order of the groups, whatever the number of threads.

    Args:
        options: how to code.
        threads: groups coded at the same time.
        progress: called with numbers of images, fractions included; by one thread at a time.
    """

    def __init__(self, options: GroupOptions, threads: int, progress: Callable[[float], None] | None) -> None:
        super().__init__(self._encode, threads)
        self._options = options
        self._progress = progress
        self._progress_lock = threading.Lock()

    def _encode(self, group: PendingGroup) -> EncodedGroup:
        images = len(group.images)
        left = float(images)

        def report(share: float) -> None:
            nonlocal left
            if self._progress is not None and share > 0:
                left -= share
                with self._progress_lock:
                    self._progress(share)

        names = [name for name in group.names if name is not None] or None
        labels = [label for label in group.labels if label is not None]
        label_array = np.array(labels, np.int64) if labels else None
        encoded = encode_group(
            self._options, group.images, label_array, names, lambda tiles: report(images * tiles / group.tiles)
        )
        report(left)
        return encoded
