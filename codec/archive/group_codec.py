"""Images of a group to lanes and back, each part by its own coding."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzip.archive.group import write_group
from mnistzip.archive.group_header import CodedPart, Coding, Shape
from mnistzip.archive.group_table import size_table
from mnistzip.bitstream.checksums import CHECK16_BYTES as CHECK_BYTES
from mnistzip.bitstream.container import NAMED_BY_HASH, QUALITY_MAX, Method
from mnistzip.bitstream.stored import inflate, smallest_body, undone
from mnistzip.coding.interleave import decode_lanes, encode_lanes
from mnistzip.coding.latent_cost import BIT
from mnistzip.coding.lossless import decode_payloads, encode_payloads
from mnistzip.coding.model_choice import Candidate, Plan, grouped, plan_lossless, plan_lossy
from mnistzip.errors import FormatError, UnsupportedError
from mnistzip.metrics import mse
from mnistzip.models.registry import Model, within_limits
from mnistzip.models.typical_quality import is_poor
from mnistzip.nn.blas_threads import one_thread
from mnistzip.tiling import from_tiles, tiles_in
from mnistzip.types import Mode, Pixels

LANE_TILES = 4  # tiles that share a lane, where an image has fewer
STORED_IMAGES, STORED_PIXELS = 16, 1 << 16  # images and pixels that share a stored lane at most, but for single images
PART_BITS = 8 * 20 * BIT  # about what one more part costs a group

Ints = NDArray[np.int64]
Tick = Callable[[int], None]


@dataclass(frozen=True)
class Setting:
    """How images are coded: each by whichever candidate suits it, as far as that pays for the group."""

    candidates: tuple[Candidate, ...]
    effort: int


@dataclass(frozen=True)
class Packed:
    """A group's bytes.

    Attributes:
        images: how many.
        raw_bytes, squared_error: sums over them.
        large: whether only who raises the limit of pixels can read it.
        poor: how many are far worse than what the quality gives on pictures that the model knows.
    """

    content: bytes
    images: int
    raw_bytes: int
    squared_error: float
    large: bool
    poor: int


@one_thread
def pack_group(
    setting: Setting, images: list[Pixels], labels: Ints | None, names: list[str] | None, tick: Tick | None = None
) -> Packed:
    """Code images into a group; ``tick`` is told of tiles as their search is done."""
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    width, height = (shapes[0][1], shapes[0][0]) if len(set(shapes)) == 1 else (0, 0)
    parts = []
    decoded = list(images)
    large = False
    error = 0.0
    poor = 0
    for which, plans in grouped(_plans(setting, images, tick)):
        some = [images[k] for k in which]
        coding = _coding(plans[0], some)
        place = coding.place(len(which), width, height, b"" if width else size_table([shapes[k] for k in which]))
        lanes = _encode(coding, plans, some, place)
        parts.append((coding, which, lanes))
        if coding.mode is Mode.LOSSY:
            for k, plan, image in zip(which, plans, _decoded(plans, some), strict=True):
                decoded[k] = image
                squared = mse(images[k], image) * image.size
                error += squared
                assert plan.model is not None
                poor += is_poor(plan.model, coding.quality, squared, image.size)
        large = large or not within_limits(coding.mode, plans[0].model, [shapes[k] for k in which])
    content = write_group(shapes, parts, pixels_crc(decoded), labels, names)
    return Packed(content, len(images), sum(image.size for image in images), error, large, poor)


def _plans(setting: Setting, images: list[Pixels], tick: Tick | None) -> list[Plan]:
    """A plan for each image; one more way of coding has to save what it costs."""
    if setting.candidates[0].quality is None:
        return plan_lossless(images, [candidate.model for candidate in setting.candidates], PART_BITS)
    plans = plan_lossy(images, setting.candidates, setting.effort, PART_BITS, tick)
    saved: dict[tuple[Mode, Model | None], int] = {}
    for plan in plans:
        if plan.alternative is not None and plan.alternative.bits <= plan.bits:
            key = plan.alternative.mode, plan.alternative.model
            saved[key] = saved.get(key, 0) + plan.bits - plan.alternative.bits
    worth = {key for key, bits in saved.items() if bits > PART_BITS}
    return [
        plan.alternative
        if plan.alternative is not None
        and plan.alternative.bits <= plan.bits
        and (plan.alternative.mode, plan.alternative.model) in worth
        else plan
        for plan in plans
    ]


def _coding(plan: Plan, images: Sequence[Pixels]) -> Coding:
    """How images of one plan are coded."""
    per_lane = _per_lane(images, plan.mode)
    if plan.model is None:
        return Coding(Mode.STORED, 0, 0, per_lane, bytes(8))
    number = NAMED_BY_HASH if plan.model.number is None else plan.model.number
    return Coding(plan.mode, number, plan.quality or 0, per_lane, plan.model.fingerprint)


def _per_lane(images: Sequence[Pixels], mode: Mode) -> int:
    """How many images share a lane."""
    if mode is Mode.STORED:
        return max(1, min(STORED_IMAGES, STORED_PIXELS // max(image.size for image in images), len(images)))
    return max(1, min(LANE_TILES // max(tiles_in(*image.shape[::-1]) for image in images), len(images)))


def _encode(coding: Coding, plans: Sequence[Plan], images: list[Pixels], place: bytes) -> list[bytes]:
    """The lanes of images that are coded alike."""
    starts = range(0, len(images), coding.per_lane)
    places = [place + lane.to_bytes(4, "little") for lane in range(len(starts))]
    if coding.mode is Mode.STORED:
        lanes = [images[start : start + coding.per_lane] for start in starts]
        return [_store(lane, where) for lane, where in zip(lanes, places, strict=True)]
    if coding.mode is Mode.LOSSLESS:
        symbols = [plan.symbols for plan in plans if plan.symbols is not None]
        return encode_payloads(places, images, symbols, coding.per_lane)
    model, y = _latents(plans)
    counts = [len(plan.y) for plan in plans if plan.y is not None]
    tiles = [sum(counts[start : start + coding.per_lane]) for start in starts]
    return encode_lanes(model, places, tiles, y, np.full(len(y), model.quality_index(coding.quality), np.int64))


def _latents(plans: Sequence[Plan]) -> tuple[Model, Ints]:
    """The model of lossy plans, and the symbols of all their tiles."""
    model = plans[0].model
    assert model is not None
    return model, np.concatenate([plan.y for plan in plans if plan.y is not None])


def _decoded(plans: Sequence[Plan], images: Sequence[Pixels]) -> list[Pixels]:
    """What lossy plans decode to."""
    model, y = _latents(plans)
    row = np.full(len(y), model.quality_index(plans[0].quality or 0), np.int64)
    counts = [len(plan.y) for plan in plans if plan.y is not None]
    parts = np.split(model.transforms.synthesize(y, row), np.cumsum(counts)[:-1])
    return [from_tiles(part, *image.shape[::-1]) for part, image in zip(parts, images, strict=True)]


def pixels_crc(images: Sequence[Pixels]) -> int:
    """CRC-32 of the grey levels of images, one after the other."""
    crc = 0
    for image in images:
        crc = zlib.crc32(image.tobytes(), crc)
    return crc


def _store(images: Sequence[Pixels], place: bytes) -> bytes:
    """A stored lane of a group of parts: a method, a body, a check."""
    method, body = smallest_body(images)
    return bytes([method]) + body + _check(place, b"".join(image.tobytes() for image in images))


def _check(place: bytes, raw: bytes) -> bytes:
    return (zlib.crc32(raw, zlib.crc32(place)) & 0xFFFF).to_bytes(CHECK_BYTES, "big")


def _unstore(lane: bytes, shapes: list[Shape], place: bytes, by_methods: bool) -> list[Pixels]:
    body, check = lane[:-CHECK_BYTES], lane[-CHECK_BYTES:]
    ends = np.cumsum([height * width for height, width in shapes])
    method = Method.RAW if len(body) == ends[-1] else Method.DEFLATE
    if by_methods:
        if body[0] not in tuple(Method):
            raise UnsupportedError(f"storage method {body[0]} is unsupported: it is reserved for later versions")
        method, body = Method(body[0]), body[1:]
    raw = body if method is Method.RAW else inflate(body, int(ends[-1]))
    if len(raw) != ends[-1]:
        raise FormatError("its content does not match its check")
    parts = np.split(np.frombuffer(raw, np.uint8), ends[:-1])
    images = [undone(method, part.reshape(shape).copy()) for part, shape in zip(parts, shapes, strict=True)]
    if _check(place, b"".join(image.tobytes() for image in images)) != check:
        raise FormatError("its content does not match its check")
    return images


def unpack_lanes(
    part: CodedPart, model: Model | None, numbers: Sequence[int], lanes: Sequence[bytes]
) -> list[list[Pixels] | FormatError]:
    """Of each lane its images, uint8 ``(H, W)`` each, or what is wrong with it.

    Args:
        part: of a group.
        model: that the part names; None if it is stored.
        numbers: which lanes of the part these are.
        lanes: their bytes.
    """
    out: list[list[Pixels] | FormatError] = [FormatError("never looked at")] * len(lanes)
    coded: list[int] = []
    for k, number in enumerate(numbers):
        if not part.stored[number]:
            coded.append(k)
            continue
        try:
            out[k] = _unstore(lanes[k], part.shapes_of(number), part.place_of_lane(number), part.by_methods)
        except FormatError as error:
            out[k] = error
    if not coded or model is None:
        return out
    shapes = {k: part.shapes_of(numbers[k]) for k in coded}
    places = [part.place_of_lane(numbers[k]) for k in coded]
    if part.coding.mode is Mode.LOSSLESS:
        kept = decode_payloads(model.pixel_model(), places, [lanes[k] for k in coded], list(shapes.values()))
        for k, found in zip(coded, kept, strict=True):
            out[k] = found
        return out
    assert 1 <= part.coding.quality <= QUALITY_MAX
    tiles = {k: [tiles_in(width, height) for height, width in shapes[k]] for k in coded}
    row = model.quality_index(part.coding.quality)
    latents = decode_lanes(model, row, places, [lanes[k] for k in coded], [sum(tiles[k]) for k in coded])
    for k, y in zip(coded, latents, strict=True):
        if isinstance(y, FormatError):
            out[k] = y
    sound = [(k, y) for k, y in zip(coded, latents, strict=True) if not isinstance(y, FormatError)]
    if sound:
        whole = np.concatenate([y for _, y in sound])
        x_hat = model.transforms.synthesize(whole, np.full(len(whole), row, np.int64))
        cuts = iter(np.split(x_hat, np.cumsum([count for k, _ in sound for count in tiles[k]])[:-1]))
        for k, _ in sound:
            out[k] = [from_tiles(next(cuts), width, height) for height, width in shapes[k]]
    return out
