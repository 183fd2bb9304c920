"""Lossy files: tiles to symbols to streams, and the search for a quality that meets a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream import container
from mnistzip.bitstream.stored import smaller_stored
from mnistzip.coding.latent_cost import BIT, bits_of, first_latents
from mnistzip.coding.rdo import refine, refine_to_budget
from mnistzip.coding.stream_layout import TILES_TOGETHER, Streams, batches, decode_images, header_of, sound
from mnistzip.entropy import rans
from mnistzip.errors import LimitError
from mnistzip.limits import PIXELS_MAX
from mnistzip.metrics import psnr
from mnistzip.models.registry import Model
from mnistzip.tiling import covered, to_tiles
from mnistzip.types import Bools, Mode, Pixels

LOOK_AHEAD = 6  # qualities tried beyond where a budget's bisection ended
TAIL = 1.0  # bits that a stream takes above its check and the ideal code length, before it is rounded up to bytes
SPARE = (0, 1, 2, 4, 8, 16, 32)  # bits that a budget's search leaves free, as far as that is needed

Ints = NDArray[np.int64]


Verdict = Callable[[list[int], list[bytes]], list[bool]]  # images and their files -> which meet a budget


def require_fits(file: bytes, max_bytes: int | None, index: int, how: str) -> None:
    """Raise :class:`~mnistzip.errors.LimitError` if a file is larger than its budget."""
    if max_bytes is not None and len(file) > max_bytes:
        raise too_large(len(file), max_bytes, index, how)


def too_large(size: int, max_bytes: int, index: int, how: str) -> LimitError:
    """The error that a file of so many bytes exceeds its budget."""
    where = f"image {index}" if index else "the image"
    return LimitError(f"{where} takes {size} bytes ({how}), more than the {max_bytes} allowed")


class LossyBatch:
    """Images that were cut into tiles once, to be coded at one or several qualities.

    With ``bare`` bits of check, files are the coder's bytes alone: no header, and never stored.
    """

    def __init__(self, model: Model, images: list[Pixels], effort: int, bare: int | None = None) -> None:
        self.model = model
        self.images = images
        self.effort = effort
        self.bare = bare
        self.tiles = [to_tiles(image) for image in images]
        self.inside = [covered([image.shape]) for image in images]

    def files(self, qualities: Sequence[int], which: Sequence[int]) -> list[bytes]:
        """Files of the images ``which`` at a quality each; stored where that is smaller."""
        out: list[bytes] = []
        for part in batches(range(len(which)), [len(self.tiles[i]) for i in which], TILES_TOGETHER):
            out += self._batch([qualities[k] for k in part], [which[k] for k in part])
        return out

    def _batch(self, qualities: Sequence[int], which: Sequence[int]) -> list[bytes]:
        x, inside, counts, row = self._tiles(qualities, which)
        y = refine(self.model, x, inside, first_latents(self.model, x, inside, row), row, self.effort)
        headers = self._headers(qualities, which)
        check_bits = rans.CHECK_BITS_MIN if self.bare is None else self.bare
        streams = encode_streams(self.model, headers, counts, y, row, check_bits)
        if self.bare is not None:
            return streams
        out = []
        for i, header, payload in zip(which, headers, streams, strict=True):
            out.append(smaller_stored(header + payload, self.images[i]))
        return out

    def _headers(self, qualities: Sequence[int], which: Sequence[int]) -> list[bytes]:
        pairs = zip(which, qualities, strict=True)
        return [header_of(self.model, self.images[i].shape, quality).to_bytes() for i, quality in pairs]

    def fit(self, max_bytes: int, kept: Sequence[bytes]) -> list[bytes | LimitError]:
        """For each image the best quality whose file fits; that of ``kept``, which keeps every pixel, where even that fits.

        Where not even the lowest quality fits, an error that says so.
        """
        stored = {i: file for i, file in enumerate(kept) if len(file) <= max_bytes}
        qualities = range(1, container.QUALITY_MAX + 1)
        rest = [i for i in range(len(self.images)) if i not in stored]

        def fits(_which: list[int], files: list[bytes]) -> list[bool]:
            return [len(file) <= max_bytes for file in files]

        found: dict[int, bytes | LimitError] = {**stored, **self._farthest(fits, rest, qualities)}
        for i in rest:
            if i not in found:
                found[i] = too_large(len(self.files([1], [i])[0]), max_bytes, i, "at the lowest quality")
        return [found[i] for i in range(len(self.images))]

    def squeeze(self, max_bytes: int, quality: int) -> list[bytes]:
        """For each image the bare stream of this very quality that fits with the least error found.

        The bits are shared among an image's tiles as the analysis alone would spend them.
        """
        found: dict[int, bytes] = {}
        for spare in SPARE:
            which = [i for i in range(len(self.images)) if i not in found]
            files = self._squeezed(8 * max_bytes - spare, quality, which)
            found |= {i: file for i, file in zip(which, files, strict=True) if len(file) <= max_bytes}
        for i in range(len(self.images)):
            if i not in found:
                file = self._squeezed(8 * max_bytes - SPARE[-1], quality, [i])[0]
                require_fits(file, max_bytes, i, f"at quality {quality}, effort {self.effort}")
        return [found[i] for i in range(len(self.images))]

    def _squeezed(self, bits: int, quality: int, which: Sequence[int]) -> list[bytes]:
        """Bare streams of images that were searched to take so many bits or less, as far as the search could."""
        if not which:
            return []
        assert self.bare is not None
        x, inside, counts, row = self._tiles([quality] * len(which), which)
        y = first_latents(self.model, x, inside, row)
        streams = np.array([Streams.in_tiles(count) for count in counts])
        ideal = np.maximum(bits - streams * (self.bare + TAIL) - 8 * (streams - 1), 0)
        spent = bits_of(self.model, y, row)
        total = np.add.reduceat(spent, np.cumsum([0, *counts[:-1]]))
        limit = spent * np.repeat(np.floor(ideal * BIT).astype(np.int64), counts) // np.repeat(total, counts)
        y = refine_to_budget(self.model, x, inside, row, self.effort, limit)
        return encode_streams(self.model, self._headers([quality] * len(which), which), counts, y, row, self.bare)

    def _tiles(self, qualities: Sequence[int], which: Sequence[int]) -> tuple[Pixels, Bools, list[int], Ints]:
        """Tiles of some images, what the images cover of them, how many each image has, and the row of each tile's quality."""
        counts = [len(self.tiles[i]) for i in which]
        row = np.repeat([self.model.quality_index(quality) for quality in qualities], counts)
        tiles, inside = (np.concatenate([every[i] for i in which]) for every in (self.tiles, self.inside))
        return tiles, inside, counts, row

    def reach(self, min_psnr: float, kept: Sequence[bytes]) -> list[bytes]:
        """For each image the smallest file that reaches a PSNR; those of ``kept`` keep every pixel."""

        def reaches(which: list[int], files: list[bytes]) -> list[bool]:
            lossy = {i: file for i, file in zip(which, files, strict=True) if is_lossy(file)}
            decoded = dict(zip(lossy, self.decode(list(lossy.values())), strict=True))
            return [i not in decoded or psnr(self.images[i], decoded[i]) >= min_psnr for i in which]

        qualities = range(container.QUALITY_MAX, 0, -1)
        found = self._farthest(reaches, list(range(len(self.images))), qualities)
        return [min(whole, found.get(i, whole), key=len) for i, whole in enumerate(kept)]

    def _farthest(self, holds: Verdict, which: list[int], qualities: Sequence[int]) -> dict[int, bytes]:
        """For each image the file at the last of ``qualities`` that ``holds``; images without one are left out.

        Found by bisection, as what holds at one quality nearly always holds at those before it; the next few after the last
        are tried as well, as an image's size and PSNR do not rise quite steadily.
        """
        found: dict[int, bytes] = {}
        last, end = dict.fromkeys(which, 0), dict.fromkeys(which, len(qualities))

        def attempt(place: dict[int, int]) -> None:
            images = list(place)
            files = self.files([qualities[place[i] - 1] for i in images], images)
            for i, file, good in zip(images, files, holds(images, files), strict=True):
                if good:
                    found[i], last[i] = file, place[i]
                else:
                    end[i] = place[i] - 1

        while undecided := [i for i in which if last[i] < end[i]]:
            attempt({i: (last[i] + end[i] + 1) // 2 for i in undecided})
        tried = dict(last)
        while ahead := {i: tried[i] + 1 for i in which if tried[i] < min(last[i] + LOOK_AHEAD, len(qualities))}:
            attempt(ahead)
            tried |= ahead
        return found

    def decode(self, files: Sequence[bytes]) -> list[Pixels]:
        """What lossy files of this model decode to."""
        return [sound(image) for image in decode_images(self.model, [container.parse(f, PIXELS_MAX) for f in files])]


def is_lossy(file: bytes) -> bool:
    """Whether a file of ours loses anything, as far as its header says."""
    return container.parse(file, PIXELS_MAX)[0].mode is Mode.LOSSY


def encode_streams(
    model: Model, headers: list[bytes], counts: list[int], y: Ints, row: Ints, check_bits: int = rans.CHECK_BITS_MIN
) -> list[bytes]:
    """The payload of each image."""
    streams = Streams.of(counts)
    intervals = model.prior.intervals(y, row)
    return streams.payloads(streams.encode(intervals, streams.checks(headers, y), check_bits))
