"""Lossy images decoded from their streams, and the headers that their checks cover."""

from __future__ import annotations

from collections.abc import Sequence

from mnistzip.bitstream.container import Header
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.latents import Symbols, arranged
from mnistzip.errors import FormatError
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models.registry import Model
from mnistzip.types import Integers, Mode, Pixels


def lossy_header(model: Model, shape: tuple[int, ...], quality: int) -> Header:
    """The header of a lossy file. A bare stream has none, but its checks cover the same bytes."""
    height, width = shape
    return Header(Mode.LOSSY, width, height, model=model.named, quality=quality)


def decode_images(
    model: Model, parsed: Sequence[tuple[Header, bytes]], check_bits: int = CHECK_BITS_MIN
) -> list[Pixels | FormatError]:
    """For each lossy file of a model its image, uint8 ``(H, W)``, or its error."""
    headers = [header for header, _ in parsed]
    latents = _decode(model, parsed, check_bits)
    intact = {k: y for k, y in enumerate(latents) if not isinstance(y, FormatError)}
    shapes, qualities = [(headers[k].height, headers[k].width) for k in intact], [headers[k].quality or 0 for k in intact]
    images = iter(kind_of(model).reconstruct(model, list(intact.values()), shapes, qualities) if intact else [])
    return [y if isinstance(y, FormatError) else next(images) for y in latents]


def decode_latents(model: Model, parsed: Sequence[tuple[Header, bytes]]) -> list[Symbols | FormatError]:
    """For each lossy file of a model its symbols, int8 ``(channels, rows, columns)``, or its error."""
    latents = _decode(model, parsed, CHECK_BITS_MIN)
    pairs = [(y, (header.height, header.width)) for y, (header, _) in zip(latents, parsed, strict=True)]
    intact = [(y, shape) for y, shape in pairs if not isinstance(y, FormatError)]
    symbols = iter(arranged(kind_of(model), [y for y, _ in intact], [shape for _, shape in intact]))
    return [y if isinstance(y, FormatError) else next(symbols) for y in latents]


def _decode(model: Model, parsed: Sequence[tuple[Header, bytes]], check_bits: int) -> list[Integers | FormatError]:
    """For each lossy file of a model its symbols as the coder gives them, or its error."""
    shapes = [[(header.height, header.width)] for header, _ in parsed]
    qualities = [header.quality or 0 for header, _ in parsed]
    seeds, payloads = [header.to_bytes() for header, _ in parsed], [payload for _, payload in parsed]
    latents = kind_of(model).decode(model, seeds, payloads, shapes, qualities, check_bits)
    return [FormatError(f"the file is damaged: {y}") if isinstance(y, FormatError) else y[0] for y in latents]


def image_or_raise(result: Pixels | FormatError) -> Pixels:
    """The image of a result; raises its error."""
    if isinstance(result, FormatError):
        raise result
    return result
