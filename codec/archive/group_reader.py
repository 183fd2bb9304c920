"""Read and decode groups of an open archive: single lanes, or ranges of images past damage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mnistzip.archive.group import Group, read_group
from mnistzip.archive.group_codec import decode_lane_latents, decode_lanes, matches_checks
from mnistzip.archive.group_header import LABELS, NAMES, CodedPart
from mnistzip.archive.index import Extent, Index, RecoveredIndex
from mnistzip.archive.lane_cache import LaneCache, LaneKey
from mnistzip.archive.part_models import PartModels
from mnistzip.coding.latents import Symbols
from mnistzip.engines.choice import current
from mnistzip.errors import FormatError, MnistzipError, OptionError
from mnistzip.storage.backends import Storage
from mnistzip.types import Mode, Pixels

Item = TypeVar("Item")
GROUPS_CACHED, IMAGES_CACHED = 1024, 1 << 20  # headers and tables: some 30 bytes for an image


class GroupReader:
    """Reads groups. Several threads may read at once.

    Args:
        storage: the bytes of the archive.
        index: of the archive; one that was recovered is not compared with the groups.
        models: of its parts.
        max_pixels: as for :func:`~mnistzip.archive.group.read_group`.
    """

    def __init__(self, storage: Storage, index: Index, models: PartModels, max_pixels: int | None) -> None:
        self._storage = storage
        self._index = index
        self._models = models
        self._max_pixels = max_pixels
        self._groups: dict[int, Group] = {}
        self._lanes = LaneCache()

    def group(self, extent: Extent) -> Group:
        """Header and table of a group.

        Raises:
            FormatError: it is damaged, or differs from what index and footer say.
            LimitError: it has too many pixels.
        """
        cached = self._groups.get(extent.number)
        if cached is not None:
            return cached
        group = read_group(self._storage.read, extent.offset, extent.size, self._max_pixels)
        if not isinstance(self._index, RecoveredIndex):
            self._require_as_indexed(group, extent)
        cached_images = sum(each.header.images for each in list(self._groups.values()))
        if len(self._groups) >= GROUPS_CACHED or cached_images + group.header.images > IMAGES_CACHED:
            self._groups.clear()
        self._groups[extent.number] = group
        return group

    def _require_as_indexed(self, group: Group, extent: Extent) -> None:
        header, footer = group.header, self._index.footer
        has = bool(header.flags & LABELS), bool(header.flags & NAMES)
        has_size = not footer.width or (header.width, header.height) == (footer.width, footer.height)
        agrees = has == (footer.labels, footer.names) and has_size
        if (header.size, header.images) != (extent.size, extent.images) or not agrees:
            raise FormatError(f"group {extent.number} is damaged: it is not what index and footer say")

    def lanes(self, extent: Extent, keys: Sequence[LaneKey]) -> dict[LaneKey, list[Pixels]]:
        """The images of some lanes of a group.

        Raises:
            FormatError: a lane is damaged.
        """
        out = self._lanes.get_all(keys)
        group = self.group(extent)
        for number, part in enumerate(group.parts):
            missing = [key[2] for key in keys if key[1] == number and key not in out]
            if not missing:
                continue
            contents = self._read_lanes(group, part, missing)
            decoded = decode_lanes(part, self._models.model_of(part), missing, contents)
            for lane, images in zip(missing, decoded, strict=True):
                key = extent.number, number, lane
                out[key] = _intact(images, part, lane, extent)
                self._lanes.add(key, out[key])
        return out

    def latents(self, extent: Extent, keys: Sequence[LaneKey]) -> dict[LaneKey, list[Symbols]]:
        """The latents of the images of some lanes of a group.

        Raises:
            FormatError: a lane is damaged.
            OptionError: a lane is not lossy.
        """
        out: dict[LaneKey, list[Symbols]] = {}
        group = self.group(extent)
        for number, part in enumerate(group.parts):
            lanes = [key[2] for key in keys if key[1] == number]
            for lane in lanes:
                if part.coding.mode is not Mode.LOSSY or part.stored[lane]:
                    where = _list_images(part.images_of(lane) + extent.first)
                    raise OptionError(f"{where} {'is' if where.startswith('image ') else 'are'} not lossy: there is no latent")
            model = self._models.model_of(part) if lanes else None
            if model is None:
                continue
            decoded = decode_lane_latents(part, model, lanes, self._read_lanes(group, part, lanes))
            for lane, latents in zip(lanes, decoded, strict=True):
                out[extent.number, number, lane] = _intact(latents, part, lane, extent)
        return out

    def _read_lanes(self, group: Group, part: CodedPart, lanes: Sequence[int]) -> list[bytes]:
        """The bytes of some lanes of a part, in rising order; lanes next to each other are read together."""
        offsets = part.lane_offsets
        if lanes[-1] - lanes[0] != len(lanes) - 1:
            return [self._read(group, int(offsets[lane]), int(offsets[lane + 1])) for lane in lanes]
        start = int(offsets[lanes[0]])
        content = self._read(group, start, int(offsets[lanes[-1] + 1]))
        return [content[offsets[lane] - start : offsets[lane + 1] - start] for lane in lanes]

    def _read(self, group: Group, start: int, stop: int) -> bytes:
        return self._storage.read(group.lanes_offset + start, stop - start)

    def images(self, extent: Extent, start: int, stop: int) -> list[Pixels | MnistzipError]:
        """Images ``start`` to ``stop`` of a group, and an error in place of each one that cannot be decoded.

        If the range is the whole group, the two checks of the group are verified, too.

        Raises:
            FormatError, LimitError: header or table cannot be read.
        """
        current()  # an engine that cannot be used is no damage of images
        group = self.group(extent)
        is_whole = stop - start == group.header.images
        out: dict[int, Pixels | MnistzipError] = {}
        content = b""  # of all lanes, if the range is the whole group
        for part in group.parts:
            first, last = np.searchsorted(part.images, (start, stop)).tolist()
            lanes = range(first // part.coding.per_lane, -(-last // part.coding.per_lane))
            if not lanes:
                continue
            numbers = [part.images_of(lane).tolist() for lane in lanes]
            try:
                contents = self._read_lanes(group, part, lanes)
                decoded = decode_lanes(part, self._models.model_of(part), lanes, contents)
            except MnistzipError as error:
                out |= dict.fromkeys(chain.from_iterable(numbers), error)
                continue
            content += b"".join(contents) if is_whole else b""
            for images, result in zip(numbers, decoded, strict=True):
                out |= zip(images, [result] * len(images) if isinstance(result, FormatError) else result, strict=True)
        if is_whole:
            sound = [image for k in range(stop) if not isinstance(image := out[k], MnistzipError)]
            if len(sound) == stop and not matches_checks(group.header, content, sound):
                return [FormatError(f"group {extent.number} does not match its check")] * stop
        return [out[k] for k in range(start, stop)]


def _intact(result: list[Item] | FormatError, part: CodedPart, lane: int, extent: Extent) -> list[Item]:
    """What a lane holds; raises its damage."""
    if isinstance(result, FormatError):
        where = _list_images(part.images_of(lane) + extent.first)
        raise FormatError(f"the file is damaged in {where}: {result}") from result
    return result


def _list_images(images: NDArray[np.integer]) -> str:
    """Images of a lane, for an error."""
    first, last = int(images[0]), int(images[-1])
    if len(images) == 1:
        return f"image {first}"
    if last - first == len(images) - 1:
        return f"images {first} to {last}"
    return f"images {', '.join(map(str, images.tolist()))}"
