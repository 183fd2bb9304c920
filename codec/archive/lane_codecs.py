"""Lane codecs: a few images of a part to the bytes of a lane, and back. FORMAT.md, section 9, specifies them.

:data:`LANE_CODECS` has one codec for each mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mnistzip.archive.group_header import CodedPart, ImageShape, PartCoding
from mnistzip.bitstream.bounded import nearest
from mnistzip.bitstream.checksums import CHECK16_BYTES, check16
from mnistzip.bitstream.container import Method
from mnistzip.bitstream.stored import inflate, smallest_body, undone
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.latents import Symbols, arranged
from mnistzip.coding.lossless import decode_payloads, encode_payloads
from mnistzip.coding.plans import Plan
from mnistzip.errors import FormatError, UnsupportedError
from mnistzip.models.registry import Model
from mnistzip.tiling import tiles_in
from mnistzip.types import Integers, Mode, Pixels

TILES_PER_LANE = 4  # an image of more tiles has a separate lane
BITMAPS_PER_LANE = 8
STORED_IMAGES_PER_LANE, STORED_PIXELS_PER_LANE = 16, 1 << 16  # an image of more pixels has a separate lane

Decoded = list[Pixels] | FormatError  # the images of a lane, uint8 (H, W) each, or the error of a damaged lane


@dataclass(frozen=True)
class Lane:
    """A coded lane.

    Attributes:
        content: its bytes.
        shapes: ``(H, W)`` of its images.
        checksum_seed: the first bytes that its check covers, which bind the lane to its position and its coding.
    """

    content: bytes
    shapes: list[ImageShape]
    checksum_seed: bytes


class LaneCodec(Protocol):
    """Codes and decodes the lanes of one mode."""

    def images_per_lane(self, images: Sequence[Pixels], model: Model | None) -> int:
        """How many of these images, coded by this model, share a lane."""

    def encode(self, images: Sequence[Pixels], plans: Sequence[Plan], per_lane: int, seeds: Sequence[bytes]) -> list[bytes]:
        """Code images into lanes.

        Args:
            images: uint8 ``(H, W)`` each.
            plans: of each image, all with the same mode, model and quality.
            per_lane: images in each lane; the last lane has the rest.
            seeds: of each lane, the first bytes that its check covers.
        """

    def decode(self, coding: PartCoding, model: Model | None, lanes: Sequence[Lane]) -> list[Decoded]:
        """Decode lanes, each to its images or its damage; ``model`` is the one that the coding names."""


def lane_codec(part: CodedPart, lane: int) -> LaneCodec:
    """The codec that decodes a lane of a part."""
    if not part.stored[lane]:
        return LANE_CODECS[part.coding.mode]
    return LANE_CODECS[Mode.STORED] if part.in_parts else UNMARKED_STORED


def reconstruct(images: Sequence[Pixels], plans: Sequence[Plan]) -> list[Pixels]:
    """The images that the lanes of lossy plans decode to."""
    model = plans[0].model
    assert model is not None
    y = [plan.latent.y for plan in plans if plan.latent is not None]
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    return kind_of(model).reconstruct(model, y, shapes, [plan.quality or 0 for plan in plans])


class _LatentLanes:
    """Lossy lanes: the latents of several images."""

    def images_per_lane(self, images: Sequence[Pixels], model: Model | None) -> int:
        return _tiled_images_per_lane(images)

    def encode(self, images: Sequence[Pixels], plans: Sequence[Plan], per_lane: int, seeds: Sequence[bytes]) -> list[bytes]:
        model = plans[0].model
        assert model is not None
        latents = [plan.latent for plan in plans if plan.latent is not None]
        lanes = [latents[start : start + per_lane] for start in range(0, len(images), per_lane)]
        return kind_of(model).encode(seeds, lanes, in_lanes=True)

    def decode(self, coding: PartCoding, model: Model | None, lanes: Sequence[Lane]) -> list[Decoded]:
        assert model is not None
        kind, latents = kind_of(model), _latents(coding, model, lanes)
        intact = [(y, lane.shapes) for y, lane in zip(latents, lanes, strict=True) if not isinstance(y, FormatError)]
        every = [(symbols, shape) for y, of_lane in intact for symbols, shape in zip(y, of_lane, strict=True)]
        symbols, of_images = [y for y, _ in every], [shape for _, shape in every]
        images = iter(kind.reconstruct(model, symbols, of_images, [coding.quality] * len(every)) if every else [])
        return [
            y if isinstance(y, FormatError) else [next(images) for _ in lane.shapes]
            for y, lane in zip(latents, lanes, strict=True)
        ]


def _latents(coding: PartCoding, model: Model, lanes: Sequence[Lane]) -> list[list[Integers] | FormatError]:
    """The symbols of the images of each lossy lane as the coder gives them, or its damage."""
    seeds, contents = [lane.checksum_seed for lane in lanes], [lane.content for lane in lanes]
    shapes, qualities = [lane.shapes for lane in lanes], [coding.quality] * len(lanes)
    return kind_of(model).decode(model, seeds, contents, shapes, qualities, in_lanes=True)


def decode_latents(coding: PartCoding, model: Model, lanes: Sequence[Lane]) -> list[list[Symbols] | FormatError]:
    """The symbols of the images of each lossy lane, int8 ``(channels, rows, columns)`` each, or its damage."""
    latents = _latents(coding, model, lanes)
    pairs = [(y, lane.shapes) for y, lane in zip(latents, lanes, strict=True) if not isinstance(y, FormatError)]
    every, shapes = [each for y, _ in pairs for each in y], [shape for _, of_lane in pairs for shape in of_lane]
    symbols = iter(arranged(kind_of(model), every, shapes))
    return [y if isinstance(y, FormatError) else [next(symbols) for _ in y] for y in latents]


class _PixelModelLanes:
    """Lossless and bounded lanes: the symbols of the pixel model."""

    def images_per_lane(self, images: Sequence[Pixels], model: Model | None) -> int:
        assert model is not None
        return min(BITMAPS_PER_LANE, len(images)) if model.is_bitmap else _tiled_images_per_lane(images)

    def encode(self, images: Sequence[Pixels], plans: Sequence[Plan], per_lane: int, seeds: Sequence[bytes]) -> list[bytes]:
        model, levels = plans[0].model, [nearest(image, plans[0].max_error) for image in images]
        assert model is not None
        return encode_payloads(model, seeds, levels, [plan.symbols for plan in plans if plan.symbols is not None], per_lane)

    def decode(self, coding: PartCoding, model: Model | None, lanes: Sequence[Lane]) -> list[Decoded]:
        assert model is not None
        seeds, contents = [lane.checksum_seed for lane in lanes], [lane.content for lane in lanes]
        return decode_payloads(model, seeds, contents, [lane.shapes for lane in lanes], coding.max_error)


class _StoredLanes:
    """Lanes without a model: a storage method, a body, and a check of two bytes."""

    def images_per_lane(self, images: Sequence[Pixels], model: Model | None) -> int:
        fitting = STORED_PIXELS_PER_LANE // max(image.size for image in images)
        return max(1, min(STORED_IMAGES_PER_LANE, fitting, len(images)))

    def encode(self, images: Sequence[Pixels], plans: Sequence[Plan], per_lane: int, seeds: Sequence[bytes]) -> list[bytes]:
        starts = range(0, len(images), per_lane)
        return [self._encode(images[start : start + per_lane], seed) for start, seed in zip(starts, seeds, strict=True)]

    def _encode(self, images: Sequence[Pixels], seed: bytes) -> bytes:
        method, body = smallest_body(images)
        return bytes([method]) + body + check16(seed, *(image.tobytes() for image in images))

    def decode(self, coding: PartCoding, model: Model | None, lanes: Sequence[Lane]) -> list[Decoded]:
        out: list[Decoded] = []
        for lane in lanes:
            try:
                out.append(self._decode(lane))
            except FormatError as error:
                out.append(error)
        return out

    def _decode(self, lane: Lane) -> list[Pixels]:
        ends = np.cumsum([height * width for height, width in lane.shapes])
        method, body = self._split(lane.content[:-CHECK16_BYTES], int(ends[-1]))
        raw = body if method is Method.RAW else inflate(body, int(ends[-1]))
        if len(raw) != ends[-1]:
            raise FormatError("its content does not match its check")
        parts = np.split(np.frombuffer(raw, np.uint8), ends[:-1])
        images = [undone(method, part.reshape(shape).copy()) for part, shape in zip(parts, lane.shapes, strict=True)]
        if check16(lane.checksum_seed, *(image.tobytes() for image in images)) != lane.content[-CHECK16_BYTES:]:
            raise FormatError("its content does not match its check")
        return images

    def _split(self, content: bytes, pixels: int) -> tuple[Method, bytes]:
        """Storage method and body of a lane of ``pixels`` pixels."""
        if content[0] not in tuple(Method):
            raise UnsupportedError(f"storage method {content[0]} is unsupported: it is reserved for later versions")
        return Method(content[0]), content[1:]


class _UnmarkedStoredLanes(_StoredLanes):
    """Stored lanes of groups with one coding: their length tells whether the body is deflated. Decoding only."""

    def _split(self, content: bytes, pixels: int) -> tuple[Method, bytes]:
        return Method.RAW if len(content) == pixels else Method.DEFLATE, content


LANE_CODECS: dict[Mode, LaneCodec] = {
    Mode.LOSSY: _LatentLanes(),
    Mode.LOSSLESS: _PixelModelLanes(),
    Mode.STORED: _StoredLanes(),
    Mode.BOUNDED: _PixelModelLanes(),
}
UNMARKED_STORED: LaneCodec = _UnmarkedStoredLanes()


def _tiled_images_per_lane(images: Sequence[Pixels]) -> int:
    return max(1, min(TILES_PER_LANE // max(tiles_in(*image.shape[::-1]) for image in images), len(images)))
