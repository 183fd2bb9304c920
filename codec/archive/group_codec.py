"""Images to a group and back: plan the coding of each image, gather images of one coding into parts, code the parts' lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mnistzip.archive.group import write_group
from mnistzip.archive.group_header import NO_FINGERPRINT, CodedPart, GroupHeader, PartCoding, checksum_seed
from mnistzip.archive.group_table import EncodedPart, common_size, write_sizes
from mnistzip.archive.lane_codecs import (
    LANE_CODECS,
    Decoded,
    Lane,
    LaneCodec,
    decode_latents,
    lane_codec,
    reconstruct,
)
from mnistzip.bitstream.bounded import nearest
from mnistzip.bitstream.checksums import crc32
from mnistzip.bitstream.container import NAMED_BY_HASH
from mnistzip.coding.latents import Symbols
from mnistzip.coding.lossless_choice import plan_lossless
from mnistzip.coding.model_choice import Candidate, plan_lossy
from mnistzip.coding.plans import Plan, grouped
from mnistzip.entropy.cost import BIT
from mnistzip.errors import FormatError
from mnistzip.metrics import mse
from mnistzip.models.registry import Model, within_limits
from mnistzip.models.typical_quality import is_poor
from mnistzip.types import Integers, Mode, Pixels

PART_BITS = 8 * 20 * BIT  # the approximate cost of one more part in a group

Progress = Callable[[int], None]  # called with the number of tiles whose search is done


@dataclass(frozen=True)
class GroupOptions:
    """How groups are coded.

    Attributes:
        candidates: models that may code an image, each at its quality; each image takes the best, if that pays for the group.
        effort: 0..9, how long to search.
        max_error: how far pixel models may change a pixel; 0 for lossy groups and those without loss.
    """

    candidates: tuple[Candidate, ...]
    effort: int
    max_error: int = 0


@dataclass(frozen=True)
class EncodedGroup:
    """A coded group.

    Attributes:
        content: its bytes.
        images: number of images.
        raw_bytes: bytes of the images' pixels.
        squared_error: sum over all pixels.
        above_limits: whether readers have to raise the limit of pixels to decode it.
        poor: number of images far worse than this quality gives on images that resemble the training data.
    """

    content: bytes
    images: int
    raw_bytes: int
    squared_error: float
    above_limits: bool
    poor: int


def encode_group(
    options: GroupOptions,
    images: list[Pixels],
    labels: Integers | None,
    names: list[str] | None,
    progress: Progress | None = None,
) -> EncodedGroup:
    """Code images into a group.

    Args:
        options: how to code them.
        images: uint8 ``(H, W)`` each.
        labels: int64 ``(images,)``, or None.
        names: one for each image, or None.
        progress: called with numbers of tiles as their search is done.
    """
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    width, height = common_size(shapes)
    parts = []
    decoded = list(images)
    above_limits = False
    squared_error = 0.0
    poor = 0
    for numbers, plans in grouped(_plan(options, images, progress)):
        originals, part_shapes = [images[k] for k in numbers], [shapes[k] for k in numbers]
        codec = LANE_CODECS[plans[0].mode]
        coding = _coding_of(plans[0], codec.images_per_lane(originals, plans[0].model))
        seed = coding.seed(len(numbers), width, height, b"" if width else write_sizes(part_shapes))
        seeds = [checksum_seed(seed, lane) for lane in range(-(-len(numbers) // coding.per_lane))]
        parts.append(EncodedPart(coding, numbers, codec.encode(originals, plans, coding.per_lane, seeds)))
        above_limits = above_limits or not within_limits(coding.mode, plans[0].model, part_shapes)
        if coding.mode is Mode.LOSSY:
            for k, plan, image in zip(numbers, plans, reconstruct(originals, plans), strict=True):
                decoded[k] = image
                error = mse(images[k], image) * image.size
                squared_error += error
                assert plan.model is not None
                poor += is_poor(plan.model, coding.quality, error, image.size)
        for k in numbers if coding.mode is Mode.BOUNDED else ():
            decoded[k] = nearest(images[k], coding.max_error)
            squared_error += mse(images[k], decoded[k]) * images[k].size
    content = write_group(shapes, parts, pixels_crc(decoded), labels, names)
    return EncodedGroup(content, len(images), sum(image.size for image in images), squared_error, above_limits, poor)


def _plan(options: GroupOptions, images: list[Pixels], progress: Progress | None) -> list[Plan]:
    """A plan for each image. A coding is used only if it saves more than a part costs."""
    if options.candidates[0].quality is None:
        return plan_lossless(images, [candidate.model for candidate in options.candidates], PART_BITS, options.max_error)
    plans = plan_lossy(images, options.candidates, options.effort, PART_BITS, progress)
    saved: dict[tuple[Mode, Model | None], int] = {}
    for plan in plans:
        if (other := _cheaper_alternative(plan)) is not None:
            key = other.mode, other.model
            saved[key] = saved.get(key, 0) + max(plan.saving, plan.bits - other.bits)
    worth = {key for key, bits in saved.items() if bits > PART_BITS}
    others = map(_cheaper_alternative, plans)
    return [
        plan if other is None or (other.mode, other.model) not in worth else other
        for plan, other in zip(plans, others, strict=True)
    ]


def _cheaper_alternative(plan: Plan) -> Plan | None:
    """The plan that keeps every pixel, if it costs less than the lossy plan, or takes no more bits."""
    other = plan.alternative
    return other if other is not None and (plan.saving or other.bits <= plan.bits) else None


def _coding_of(plan: Plan, per_lane: int) -> PartCoding:
    """The coding of images with such a plan."""
    if plan.model is None:
        return PartCoding(Mode.STORED, 0, 0, per_lane, NO_FINGERPRINT)
    number = NAMED_BY_HASH if plan.model.number is None else plan.model.number
    return PartCoding(plan.mode, number, plan.quality or plan.max_error, per_lane, plan.model.fingerprint_for(plan.mode))


def pixels_crc(images: Sequence[Pixels]) -> int:
    """CRC-32 of the grey levels of images in order."""
    return crc32(image.tobytes() for image in images)


def decode_lanes(part: CodedPart, model: Model | None, numbers: Sequence[int], contents: Sequence[bytes]) -> list[Decoded]:
    """Decode lanes of a part, each to its images, uint8 ``(H, W)``, or its damage.

    Args:
        part: of a group.
        model: the one that the part names; None if it is stored.
        numbers: the lanes' numbers in the part.
        contents: their bytes.
    """
    by_codec: dict[LaneCodec, list[int]] = {}
    for k, number in enumerate(numbers):
        by_codec.setdefault(lane_codec(part, number), []).append(k)
    out: dict[int, Decoded] = {}
    for codec, positions in by_codec.items():
        lanes = [Lane(contents[k], part.shapes_of(numbers[k]), part.checksum_seed(numbers[k])) for k in positions]
        out |= zip(positions, codec.decode(part.coding, model, lanes), strict=True)
    return [out[k] for k in range(len(numbers))]


def decode_lane_latents(
    part: CodedPart, model: Model, numbers: Sequence[int], contents: Sequence[bytes]
) -> list[list[Symbols] | FormatError]:
    """Decode lanes of a lossy part, each to the symbols of its images, int8 ``(channels, rows, columns)``, or its damage.

    Args:
        part, model, numbers, contents: as for :func:`decode_lanes`; no lane is stored.
    """
    pairs = zip(numbers, contents, strict=True)
    lanes = [Lane(content, part.shapes_of(number), part.checksum_seed(number)) for number, content in pairs]
    return decode_latents(part.coding, model, lanes)


def matches_checks(header: GroupHeader, lanes: bytes, images: Sequence[Pixels]) -> bool:
    """Whether the bytes of all lanes and the pixels of all images of a group match the checks in its header."""
    return crc32([lanes]) == header.lanes_crc and pixels_crc(images) == header.pixels_crc
