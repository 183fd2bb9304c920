"""A cache of the lanes decoded last, for callers that read images one after the other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from mnistzip.types import Pixels

LANES_MAX = 8
LANE_PIXELS_MAX = 1 << 16  # larger lanes are not cached

LaneKey = tuple[int, int, int]  # group of the archive, part of the group, lane of the part


class LaneCache:
    """Images of the lanes that were added last; several threads may use it."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[LaneKey, list[Pixels]] = OrderedDict()
        self._lock = threading.Lock()

    def get_all(self, keys: Iterable[LaneKey]) -> dict[LaneKey, list[Pixels]]:
        """Those of some lanes that are cached."""
        with self._lock:
            return {key: self._lanes[key] for key in keys if key in self._lanes}

    def add(self, key: LaneKey, images: list[Pixels]) -> None:
        """Cache a lane unless it is large, and drop the oldest ones."""
        if sum(image.size for image in images) > LANE_PIXELS_MAX:
            return
        with self._lock:
            self._lanes[key] = images
            while len(self._lanes) > LANES_MAX:
                self._lanes.popitem(last=False)
