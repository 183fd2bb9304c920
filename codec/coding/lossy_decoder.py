"""Lossy images decoded from their streams, and the headers that their checks cover."""

from __future__ import annotations

from collections.abc import Sequence

from mnistzip.bitstream.container import Header
from mnistzip.coding.kinds import kind_of
from mnistzip.errors import FormatError
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models.registry import Model
from mnistzip.types import Mode, Pixels


def lossy_header(model: Model, shape: tuple[int, ...], quality: int) -> Header:
    """The header of a lossy file. A bare stream has none, but its checks cover the same bytes."""
    height, width = shape
    return Header(Mode.LOSSY, width, height, model=model.named, quality=quality)


def decode_images(
    model: Model, parsed: Sequence[tuple[Header, bytes]], check_bits: int = CHECK_BITS_MIN
) -> list[Pixels | FormatError]:
    """For each lossy file of a model its image, uint8 ``(H, W)``, or its error."""
    kind = kind_of(model)
    shapes = [(header.height, header.width) for header, _ in parsed]
    qualities = [header.quality or 0 for header, _ in parsed]
    seeds, payloads = [header.to_bytes() for header, _ in parsed], [payload for _, payload in parsed]
    latents = kind.decode(model, seeds, payloads, [[shape] for shape in shapes], qualities, check_bits)
    intact = [(k, latent[0]) for k, latent in enumerate(latents) if not isinstance(latent, FormatError)]
    y = [latent for _, latent in intact]
    images = kind.reconstruct(model, y, [shapes[k] for k, _ in intact], [qualities[k] for k, _ in intact]) if y else []
    out: dict[int, Pixels | FormatError] = {
        k: FormatError(f"the file is damaged: {latent}") for k, latent in enumerate(latents) if isinstance(latent, FormatError)
    }
    out |= zip((k for k, _ in intact), images, strict=True)
    return [out[k] for k in range(len(parsed))]


def image_or_raise(result: Pixels | FormatError) -> Pixels:
    """The image of a result; raises its error."""
    if isinstance(result, FormatError):
        raise result
    return result
