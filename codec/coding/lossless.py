"""Images that a pixel model codes, without loss or within a bound: to files and payloads, and back.

With ``max_error`` N, 1 to 64, images have only the grey levels of :func:`mnistzip.bitstream.bounded.nearest`, and so are
within N of the originals. With 0 they have any grey levels.

The pixel model of a model of tiles codes tiles (:mod:`mnistzip.coding.tile_pixels`), that of a model of the kind ``grey`` codes
whole images (:mod:`mnistzip.coding.image_pixels`), and a model of the kind ``bitmap`` codes the bitmaps of digits
(:mod:`mnistzip.coding.bitmaps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Protocol

from mnistzip.bitstream.bounded import nearest
from mnistzip.bitstream.container import Header
from mnistzip.bitstream.stored import smaller_stored
from mnistzip.errors import FormatError
from mnistzip.models.registry import Model
from mnistzip.types import Mode, Pixels


class Symbols(Protocol):
    """The symbols of an image."""

    @property
    def bits(self) -> int:
        """Ideal code length in units of 1 / :data:`~mnistzip.entropy.cost.BIT` bits."""


def pixel_symbols(model: Model, images: Sequence[Pixels], max_error: int = 0) -> list[Symbols | None]:
    """The symbols of each image; None if the model cannot code it."""
    symbols: list[Symbols | None] = _coding_of(model).pixel_symbols(model, images, max_error)
    return symbols


def lossless_header(model: Model, shape: tuple[int, ...], max_error: int = 0) -> Header:
    """The header of a file that the pixel model coded."""
    height, width = shape
    if max_error:
        return Header(Mode.BOUNDED, width, height, model=model.named, max_error=max_error)
    return Header(Mode.LOSSLESS, width, height, model=model.named)


def encode_files(model: Model, images: Sequence[Pixels], symbols: Sequence[Symbols], max_error: int = 0) -> list[bytes]:
    """The file of each image, given its symbols; stored without loss if that is smaller.

    Args:
        images: uint8 ``(H, W)`` each, with any grey levels.
        symbols: of their nearest grey levels, if there is a ``max_error``.
    """
    headers = [lossless_header(model, image.shape, max_error).to_bytes() for image in images]
    payloads = encode_payloads(model, headers, [nearest(image, max_error) for image in images], symbols)
    coded = [header + payload for header, payload in zip(headers, payloads, strict=True)]
    return smaller_stored(coded, images)


def decode_files(model: Model, parsed: Sequence[tuple[Header, bytes]], max_error: int = 0) -> list[Pixels | FormatError]:
    """For each file of a model, all with one ``max_error``, its image, uint8 ``(H, W)``, or its error."""
    shapes = [(header.height, header.width) for header, _ in parsed]
    seeds, payloads = [header.to_bytes() for header, _ in parsed], [payload for _, payload in parsed]
    results = decode_payloads(model, seeds, payloads, [[shape] for shape in shapes], max_error)
    return [
        FormatError(f"the file is damaged: {result}") if isinstance(result, FormatError) else result[0] for result in results
    ]


def encode_payloads(
    model: Model, checksum_seeds: Sequence[bytes], images: Sequence[Pixels], symbols: Sequence[Symbols], group: int = 1
) -> list[bytes]:
    """Payloads of ``group`` images each, the last of those that remain.

    Args:
        checksum_seeds: of each payload: its checks begin with it.
        images: uint8 ``(H, W)`` each.
        symbols: of each image.
        group: images of a payload.
    """
    payloads: list[bytes] = _coding_of(model).encode_payloads(checksum_seeds, images, symbols, group)
    return payloads


def decode_payloads(
    model: Model,
    checksum_seeds: Sequence[bytes],
    payloads: Sequence[bytes],
    shapes: Sequence[Sequence[tuple[int, int]]],
    max_error: int = 0,
) -> list[list[Pixels] | FormatError]:
    """For each payload its images, uint8 of the shapes ``(H, W)``, or its error."""
    decoded: list[list[Pixels] | FormatError] = _coding_of(model).decode_payloads(
        model, checksum_seeds, payloads, shapes, max_error
    )
    return decoded


def _coding_of(model: Model) -> ModuleType:
    """The functions of these names for a model's kind."""
    if model.is_bitmap:
        from mnistzip.coding import bitmaps

        return bitmaps
    if model.is_grey:
        from mnistzip.coding import image_pixels  # digits do without

        return image_pixels
    from mnistzip.coding import tile_pixels

    return tile_pixels
