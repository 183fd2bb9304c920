"""Images of a group to lanes and back, by the group's method.

A new method is a :class:`~mnistzip.container.Mode` and one more branch in the two functions here.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzip.auto import Candidate, balanced
from mnistzip.container import NAMED_BY_HASH, QUALITY_MAX, Mode
from mnistzip.errors import FormatError
from mnistzip.groups import Group, Head, Shape, place_of, sizes_of, write_group
from mnistzip.lanes import decode_lanes, encode_lanes
from mnistzip.lossless import decode_payloads, encode_payloads
from mnistzip.metrics import mse
from mnistzip.model import Model, within_limits
from mnistzip.refine import refine
from mnistzip.stored import CHECK_BYTES, deflate, inflate, worth_deflating
from mnistzip.tiles import from_tiles, tiles_in, to_tiles

LANE_TILES = 4  # tiles that share a lane, where an image has fewer
STORED_IMAGES, STORED_PIXELS = 16, 1 << 16  # images and pixels that share a stored lane at most, but for single images

Pixels = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """How images are coded: a group by whichever candidate makes the most of it."""

    candidates: tuple[Candidate, ...]
    effort: int


@dataclass(frozen=True)
class Packed:
    """A group's bytes.

    Attributes:
        images: how many.
        raw_bytes, squared_error: sums over them.
        large: whether only who raises the limit of pixels can read it.
    """

    content: bytes
    images: int
    raw_bytes: int
    squared_error: float
    large: bool


def pack_group(setting: Setting, images: list[Pixels], labels: Ints | None, names: list[str] | None) -> Packed:
    """Code images into a group."""
    rank = balanced(setting.candidates[0])
    packed = [_pack_by(candidate, setting.effort, images, labels, names) for candidate in setting.candidates]
    return min(packed, key=lambda packed: rank(len(packed.content), packed.squared_error))


def _pack_by(candidate: Candidate, effort: int, images: list[Pixels], labels: Ints | None, names: list[str] | None) -> Packed:
    """Code images by one model; where every pixel is kept and the pixel model does not help, without it if that is smaller."""
    if candidate.quality is not None:
        return _pack(candidate, Mode.LOSSY, effort, images, labels, names)[0]
    if candidate.model.pixels is None:
        return _pack(candidate, Mode.STORED, effort, images, labels, names)[0]
    packed, helped = _pack(candidate, Mode.LOSSLESS, effort, images, labels, names)
    if helped:
        return packed
    stored, _ = _pack(candidate, Mode.STORED, effort, images, labels, names)
    return min(packed, stored, key=lambda packed: len(packed.content))


def _pack(
    candidate: Candidate, method: Mode, effort: int, images: list[Pixels], labels: Ints | None, names: list[str] | None
) -> tuple[Packed, bool]:
    """Code images into a group by one method; and whether the model was of use for every lane."""
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    width, height, sizes = sizes_of(shapes)
    model, quality = candidate.model, candidate.quality
    per_lane = _per_lane(images, method)
    number, fingerprint = 0, bytes(8)
    if method is not Mode.STORED:
        number, fingerprint = NAMED_BY_HASH if model.number is None else model.number, model.fingerprint
    how = (len(images), method, 0, number, quality or 0, per_lane, width, height, fingerprint)
    head = Head(*how, 0, 0, 0, 0, 0, 0)
    place = place_of(head, sizes)
    starts = range(0, len(images), per_lane)
    places = [place + lane.to_bytes(4, "little") for lane in range(len(starts))]
    parts = [images[start : start + per_lane] for start in starts]
    if head.method is Mode.STORED:
        lanes = [_store(part, where) for part, where in zip(parts, places, strict=True)]
        stored = [True] * len(lanes)
        decoded = images
    else:
        if quality is None:
            coded, x_hat = encode_payloads(model.pixel_model(), places, images, per_lane), images
        else:
            coded, x_hat = _code(model, quality, effort, images, places, per_lane)
        lanes = [_smaller(other, part, where) for other, part, where in zip(coded, parts, places, strict=True)]
        stored = [lane is not other for lane, other in zip(lanes, coded, strict=True)]
        decoded = [images[i] if stored[i // per_lane] else x_hat[i] for i in range(len(images))]
    head = Head(*how, 0, 0, 0, 0, 0, pixels_crc(decoded))
    error = sum(mse(image, other) * image.size for image, other in zip(images, decoded, strict=True) if image is not other)
    raw = sum(image.size for image in images)
    content = write_group(head, sizes, stored, lanes, labels, names)
    large = not within_limits(method, None if method is Mode.STORED else model, shapes)
    return Packed(content, len(images), raw, float(error), large), not any(stored)


def _per_lane(images: Sequence[Pixels], method: Mode) -> int:
    """How many images share a lane."""
    if method is Mode.STORED:
        return max(1, min(STORED_IMAGES, STORED_PIXELS // max(image.size for image in images), len(images)))
    return max(1, min(LANE_TILES // max(tiles_in(*image.shape[::-1]) for image in images), len(images)))


def pixels_crc(images: Sequence[Pixels]) -> int:
    """CRC-32 of the grey levels of images, one after the other."""
    crc = 0
    for image in images:
        crc = zlib.crc32(image.tobytes(), crc)
    return crc


def _code(
    model: Model, quality: int, effort: int, images: list[Pixels], places: list[bytes], per_lane: int
) -> tuple[list[bytes], list[Pixels]]:
    """Lossy lanes, and what they decode to."""
    tiles = [to_tiles(image) for image in images]
    counts = [len(part) for part in tiles]
    x = np.concatenate(tiles)
    row = np.full(len(x), model.row(quality), np.int64)
    y = model.transforms.analyse(x, row)
    y = refine(model, x, y, row, effort)
    per_lane_tiles = [sum(counts[start : start + per_lane]) for start in range(0, len(images), per_lane)]
    lanes = encode_lanes(model, places, per_lane_tiles, y, row)
    parts = np.split(model.transforms.synthesize(y, row), np.cumsum(counts)[:-1])
    return lanes, [from_tiles(part, *image.shape[::-1]) for part, image in zip(parts, images, strict=True)]


def _smaller(coded: bytes, images: Sequence[Pixels], place: bytes) -> bytes:
    """A lane as the model codes it, or the stored one if that is smaller."""
    if not worth_deflating(b"".join(image.tobytes() for image in images), len(coded)):
        return coded
    plain = _store(images, place)
    return plain if len(plain) < len(coded) else coded


def _store(images: Sequence[Pixels], place: bytes) -> bytes:
    raw = b"".join(image.tobytes() for image in images)
    deflated = deflate(raw)
    return (deflated if len(deflated) < len(raw) else raw) + _check(place, raw)


def _check(place: bytes, raw: bytes) -> bytes:
    return (zlib.crc32(raw, zlib.crc32(place)) & 0xFFFF).to_bytes(CHECK_BYTES, "big")


def _unstore(lane: bytes, shapes: list[Shape], place: bytes) -> list[Pixels]:
    body, check = lane[:-CHECK_BYTES], lane[-CHECK_BYTES:]
    ends = np.cumsum([height * width for height, width in shapes])
    raw = body if len(body) == ends[-1] else inflate(body, int(ends[-1]))
    if len(raw) != ends[-1] or _check(place, raw) != check:
        raise FormatError("its content does not match its check")
    parts = np.split(np.frombuffer(raw, np.uint8), ends[:-1])
    return [part.reshape(shape).copy() for part, shape in zip(parts, shapes, strict=True)]


def unpack_lanes(
    group: Group, model: Model | None, numbers: Sequence[int], lanes: Sequence[bytes]
) -> list[list[Pixels] | FormatError]:
    """Of each lane its images, uint8 ``(H, W)`` each, or what is wrong with it.

    Args:
        model: that the group names; None if it is stored.
        numbers: which lanes of the group these are.
        lanes: their bytes.
    """
    out: list[list[Pixels] | FormatError] = [FormatError("never looked at")] * len(lanes)
    coded: list[int] = []
    for k, number in enumerate(numbers):
        if not group.stored[number]:
            coded.append(k)
            continue
        try:
            out[k] = _unstore(lanes[k], group.shapes_of(number), group.place_of_lane(number))
        except FormatError as error:
            out[k] = error
    if not coded or model is None:
        return out
    shapes = {k: group.shapes_of(numbers[k]) for k in coded}
    if group.head.method is Mode.LOSSLESS:
        places = [group.place_of_lane(numbers[k]) for k in coded]
        kept = decode_payloads(model.pixel_model(), places, [lanes[k] for k in coded], list(shapes.values()))
        for k, found in zip(coded, kept, strict=True):
            out[k] = found
        return out
    assert 1 <= group.head.quality <= QUALITY_MAX
    tiles = {k: [tiles_in(width, height) for height, width in shapes[k]] for k in coded}
    row = model.row(group.head.quality)
    places = [group.place_of_lane(numbers[k]) for k in coded]
    latents = decode_lanes(model, row, places, [lanes[k] for k in coded], [sum(tiles[k]) for k in coded])
    for k, y in zip(coded, latents, strict=True):
        if isinstance(y, FormatError):
            out[k] = y
    sound = [(k, y) for k, y in zip(coded, latents, strict=True) if not isinstance(y, FormatError)]
    if sound:
        whole = np.concatenate([y for _, y in sound])
        x_hat = model.transforms.synthesize(whole, np.full(len(whole), row, np.int64))
        parts = iter(np.split(x_hat, np.cumsum([count for k, _ in sound for count in tiles[k]])[:-1]))
        for k, _ in sound:
            out[k] = [from_tiles(next(parts), width, height) for height, width in shapes[k]]
    return out
