"""Lossy files, and the search for the quality that meets a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mnistzip.bitstream import container
from mnistzip.bitstream.stored import smaller_stored
from mnistzip.coding.batches import TILES_TOGETHER, batches
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.latents import Latent
from mnistzip.coding.lossy_decoder import decode_images, image_or_raise, lossy_header
from mnistzip.errors import LimitError
from mnistzip.limits import CHECK_BITS_MIN, PIXELS_MAX
from mnistzip.metrics import psnr
from mnistzip.models.registry import Model
from mnistzip.tiling import tiles_of
from mnistzip.types import Mode, Pixels

QUALITIES_AHEAD = 6  # qualities tried beyond the result of a budget's bisection
SPARE_BITS = (0, 1, 2, 4, 8, 16, 32)  # left free by the search for a budget; the next is tried if a stream is too long

Verdict = Callable[[list[int], list[bytes]], list[bool]]  # images and their files -> which meet a budget


def require_fits(file: bytes, max_bytes: int | None, index: int, description: str) -> None:
    """Raise :class:`~mnistzip.errors.LimitError` if a file is larger than its budget."""
    if max_bytes is not None and len(file) > max_bytes:
        raise too_large(len(file), max_bytes, index, description)


def too_large(size: int, max_bytes: int, index: int, description: str) -> LimitError:
    """The error of a file that exceeds its budget."""
    where = f"image {index}" if index else "the image"
    return LimitError(f"{where} takes {size} bytes ({description}), more than the {max_bytes} allowed")


class LossyBatch:
    """Images to be coded at one or several qualities by one model.

    Attributes:
        bare_check_bits: None for files; otherwise results are bare streams with checks of this many bits: no header, and never
            stored.
    """

    def __init__(self, model: Model, images: list[Pixels], effort: int, bare_check_bits: int | None = None) -> None:
        self.model = model
        self.images = images
        self.effort = effort
        self.bare_check_bits = bare_check_bits
        self._kind = kind_of(model)

    def encode(self, qualities: Sequence[int], which: Sequence[int]) -> list[bytes]:
        """Files of the images ``which``, each at its quality; stored if that is smaller."""
        out: list[bytes] = []
        pairs = zip(qualities, which, strict=True)
        for batch in batches(pairs, lambda pair: tiles_of(self.images[pair[1]]), TILES_TOGETHER):
            out += self._encode([quality for quality, _ in batch], [i for _, i in batch])
        return out

    def _encode(self, qualities: Sequence[int], which: Sequence[int]) -> list[bytes]:
        images = self._kind.images([self.images[i] for i in which])
        latents = images.refine(self.model, images.first(self.model, qualities), qualities, self.effort)
        headers = self._headers(qualities, which)
        if self.bare_check_bits is not None:
            return self._payloads(headers, latents, self.bare_check_bits)
        payloads = self._payloads(headers, latents)
        files = [header + payload for header, payload in zip(headers, payloads, strict=True)]
        return smaller_stored(files, [self.images[i] for i in which])

    def _headers(self, qualities: Sequence[int], which: Sequence[int]) -> list[bytes]:
        pairs = zip(which, qualities, strict=True)
        return [lossy_header(self.model, self.images[i].shape, quality).to_bytes() for i, quality in pairs]

    def _payloads(self, headers: Sequence[bytes], latents: Sequence[Latent], check_bits: int = CHECK_BITS_MIN) -> list[bytes]:
        return self._kind.encode(headers, [[latent] for latent in latents], check_bits)

    def encode_to_size(self, max_bytes: int, lossless_files: Sequence[bytes], first: int = 0) -> list[bytes | LimitError]:
        """For each image the file of best quality that fits: the lossless one, if even that does.

        An image whose file at the lowest quality is too large gets an error; ``first`` is the number of the first image.
        """
        stored = {i: file for i, file in enumerate(lossless_files) if len(file) <= max_bytes}
        qualities = range(1, container.QUALITY_MAX + 1)
        rest = [i for i in range(len(self.images)) if i not in stored]

        def fits(_which: list[int], files: list[bytes]) -> list[bool]:
            return [len(file) <= max_bytes for file in files]

        results: dict[int, bytes | LimitError] = {**stored, **self._search_quality(fits, rest, qualities)}
        for i in rest:
            if i not in results:
                results[i] = too_large(len(self.encode([1], [i])[0]), max_bytes, first + i, "at the lowest quality")
        return [results[i] for i in range(len(self.images))]

    def encode_to_psnr(self, min_psnr: float, lossless_files: Sequence[bytes]) -> list[bytes]:
        """For each image the smallest file that reaches a PSNR in dB: the lossless one, if no lossy file is smaller."""

        def reaches(which: list[int], files: list[bytes]) -> list[bool]:
            lossy = {i: file for i, file in zip(which, files, strict=True) if is_lossy(file)}
            decoded = dict(zip(lossy, self.decode(list(lossy.values())), strict=True))
            return [i not in decoded or psnr(self.images[i], decoded[i]) >= min_psnr for i in which]

        qualities = range(container.QUALITY_MAX, 0, -1)
        results = self._search_quality(reaches, list(range(len(self.images))), qualities)
        return [min(lossless, results.get(i, lossless), key=len) for i, lossless in enumerate(lossless_files)]

    def _search_quality(self, holds: Verdict, which: list[int], qualities: Sequence[int]) -> dict[int, bytes]:
        """For each image the file at the last of ``qualities`` that ``holds``; images without one are left out.

        The search is a bisection, since a budget met at one quality is nearly always met at those before it. Size and PSNR of
        an image do not rise quite steadily, so the next few qualities after the last one are tried as well.
        """
        results: dict[int, bytes] = {}
        last, end = dict.fromkeys(which, 0), dict.fromkeys(which, len(qualities))

        def attempt(positions: dict[int, int]) -> None:
            images = list(positions)
            files = self.encode([qualities[positions[i] - 1] for i in images], images)
            for i, file, good in zip(images, files, holds(images, files), strict=True):
                if good:
                    results[i], last[i] = file, positions[i]
                else:
                    end[i] = positions[i] - 1

        while undecided := [i for i in which if last[i] < end[i]]:
            attempt({i: (last[i] + end[i] + 1) // 2 for i in undecided})
        tried = dict(last)
        while ahead := {i: tried[i] + 1 for i in which if tried[i] < min(last[i] + QUALITIES_AHEAD, len(qualities))}:
            attempt(ahead)
            tried |= ahead
        return results

    def encode_bare_to_size(self, max_bytes: int, quality: int, first: int = 0) -> list[bytes]:
        """For each image the bare stream of this quality that fits, with the least error that the search reaches.

        The bits are shared among an image's tiles in proportion to what the latents of the analysis take.

        Raises:
            LimitError: no stream fits.
        """
        results: dict[int, bytes] = {}
        for spare in SPARE_BITS:
            which = [i for i in range(len(self.images)) if i not in results]
            files = self._encode_bare(8 * max_bytes - spare, quality, which)
            results |= {i: file for i, file in zip(which, files, strict=True) if len(file) <= max_bytes}
        for i in range(len(self.images)):
            if i not in results:
                file = self._encode_bare(8 * max_bytes - SPARE_BITS[-1], quality, [i])[0]
                require_fits(file, max_bytes, first + i, f"at quality {quality}, effort {self.effort}")
        return [results[i] for i in range(len(self.images))]

    def _encode_bare(self, bits: int, quality: int, which: Sequence[int]) -> list[bytes]:
        """Bare streams of images, searched for latents that take ``bits`` or less. Streams may be longer."""
        if not which:
            return []
        assert self.bare_check_bits is not None
        qualities = [quality] * len(which)
        images = self._kind.images([self.images[i] for i in which])
        latents = images.fit(self.model, qualities, self.effort, bits, self.bare_check_bits)
        return self._payloads(self._headers(qualities, which), latents, self.bare_check_bits)

    def decode(self, files: Sequence[bytes]) -> list[Pixels]:
        """The images of lossy files of this model."""
        parsed = [container.parse(file, PIXELS_MAX) for file in files]
        return [image_or_raise(result) for result in decode_images(self.model, parsed)]


def is_lossy(file: bytes) -> bool:
    """Whether the header of a file says that it is lossy."""
    return container.parse(file, PIXELS_MAX)[0].mode is Mode.LOSSY
