"""Lossy images decoded from their streams, and the headers that their checks cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.bitstream.container import Header
from mnistzip.bitstream.stream_layout import Streams, split_payloads
from mnistzip.coding.batches import TILES_TOGETHER, batches
from mnistzip.engines.choice import current
from mnistzip.errors import FormatError
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models.registry import Model
from mnistzip.tiling import from_tiles, tiles_in
from mnistzip.types import Mode, Pixels


def lossy_header(model: Model, shape: tuple[int, ...], quality: int) -> Header:
    """The header of a lossy file. A bare stream has none, but its checks cover the same bytes."""
    height, width = shape
    return Header(Mode.LOSSY, width, height, model=model.named, quality=quality)


def decode_images(
    model: Model, parsed: Sequence[tuple[Header, bytes]], check_bits: int = CHECK_BITS_MIN
) -> list[Pixels | FormatError]:
    """For each lossy file of a model its image, uint8 ``(H, W)``, or its error."""
    counts = [tiles_in(header.width, header.height) for header, _ in parsed]
    split, damaged = split_payloads([payload for _, payload in parsed], counts)
    out: dict[int, Pixels | FormatError] = dict(damaged)
    for batch in batches(split, counts.__getitem__, TILES_TOGETHER):
        streams = [stream for k in batch for stream in split[k]]
        images = _decode(model, [parsed[k][0] for k in batch], streams, [counts[k] for k in batch], check_bits)
        out |= zip(batch, images, strict=True)
    return [out[k] for k in range(len(parsed))]


def _decode(
    model: Model, headers: Sequence[Header], coded: Sequence[bytes], counts: Sequence[int], check_bits: int
) -> list[Pixels | FormatError]:
    """The images of some files, given the bytes of their streams and the numbers of their tiles."""
    engine = current()
    streams = Streams.from_tile_counts(counts)
    quality_index = np.array([model.quality_index(header.quality or 0) for header in headers], np.int64)
    y, ends = engine.decode_latents(model, coded, np.repeat(quality_index, streams.per_payload), streams)
    passed = ends.verify(streams.checks([header.to_bytes() for header in headers], y), check_bits)
    x_hat = engine.synthesize(model, y, np.repeat(quality_index, counts))
    parts = zip(headers, np.split(x_hat, np.cumsum(counts)[:-1]), streams.payloads_with_all(passed), strict=True)
    damage = FormatError("the file is damaged: its content does not match its check")
    return [from_tiles(tiles, header.width, header.height) if valid else damage for header, tiles, valid in parts]


def image_or_raise(result: Pixels | FormatError) -> Pixels:
    """The image of a result; raises its error."""
    if isinstance(result, FormatError):
        raise result
    return result
