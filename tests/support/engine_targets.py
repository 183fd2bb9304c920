"""What fuzzing feeds to both engines: whatever comes in, they give the same pixels, bytes and kinds of errors.

Each target takes the bytes of an input. The native engine computes with each kind of instructions of the processor in turn, as
the input decides. Checks guard most of the code of decoders, so ``stream`` calls what lies behind them, ``archive`` corrects
the checks of half of the inputs, and ``model`` and ``prepared`` change parts of models that are sound.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

import mnistzip
from mnistzip.bitstream.stream_layout import Streams
from mnistzip.engines.interface import Engine
from mnistzip.entropy.states import FinalStates
from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, BITMAP_SIDE_MIN, SHIFT_MAX, SHIFT_MIN, Bitmap
from mnistzip.models.model import Model
from mnistzip.models.registry import read_model, shipped
from support import engine_mutations, fuzz_targets
from support.bitmap_models import random_bitmap_model
from support.both_engines import both, target
from support.engines import EXTENSION, INSTRUCTIONS
from support.fuzz_targets import DIGIT, Arrays, good
from support.grey_models import random_grey_model
from support.library_target import library
from support.paths import VECTORS

PIXELS_MAX = 900  # of an image: numpy decodes it in some 10 milliseconds
IMAGES_MAX = 6
SIDE = 40  # the largest one of an image that is encoded
EDITS_MAX = 6  # of a prepared model
RECORDS, FIELDS = 24, 6  # of a prepared model, that single changes reach
QUALITIES = 100
LOSSY_MODELS = ("mnist", "mnist-fast", "mnist-micro", "glyph", "classic", "grey")
DIGIT_MODEL = "mnist-bitmap"


# ---- Files ----


@target
def single(data: bytes) -> None:
    """A file: together with another, and its preview."""
    both(data, lambda _: mnistzip.decode_each([data, good()], max_pixels=PIXELS_MAX))
    both(data, lambda _: mnistzip.preview(data, max_pixels=PIXELS_MAX))


@target
def bare(data: bytes) -> None:
    """A stream without a header; its first four bytes are what both ends agree on, and the number of the model."""
    if len(data) < 4:
        return
    quality, bits, width, height = data[:4]
    agreed: dict[str, Any] = {
        "quality": quality % QUALITIES + 1,
        "check_bits": bits % 24,
        "shape": (height % 60 + 1, width % 60 + 1),
        "model": LOSSY_MODELS[bits // 24 % len(LOSSY_MODELS)],
    }
    both(data, lambda _: mnistzip.decode_bare(data[4:], max_pixels=PIXELS_MAX, **agreed))


@target
def archive(data: bytes) -> None:
    """An archive, if its first byte is odd with its checks put right."""
    content = fuzz_targets.mended(data[1:]) if data[:1] and data[0] & 1 else data[1:]

    def read(_: Engine) -> Any:
        opened = mnistzip.Archive(content, max_pixels=PIXELS_MAX)
        parts = list(opened.parts(0, IMAGES_MAX))
        return [[part.first, *part.images] for part in parts], opened[0] if len(opened) else None

    both(data, read)


# ---- Models ----


@cache
def _base(number: int) -> Arrays:
    """The arrays of a model file that is changed: of each kind, and one with each kind of layer."""
    contents = (
        lambda: shipped("classic").content,
        (VECTORS / "own" / "own.npz").read_bytes,
        lambda: random_grey_model(5).content,
        lambda: random_bitmap_model(1).content,
    )
    with np.load(io.BytesIO(contents[number]())) as file:
        return dict(file)


@target
def model(data: bytes) -> None:
    """A model file made of changed arrays, and images coded by it."""
    if len(data) < 2:
        return
    content = fuzz_targets.remade(data[2:], _base(data[0] % 4))
    try:
        used = read_model(content, "fuzzed")
    except mnistzip.ModelError:
        return
    options: dict[str, Any] = {"lossless": True} if used.is_bitmap else {"effort": data[1] % 3, "quality": data[1] % 100 + 1}
    wanted = [options]
    if used.has_pixel_model and not used.is_bitmap:
        wanted += [{"lossless": True}, {"max_error": data[1] % 64 + 1}]
    for each in wanted:
        file = both(data, lambda _, each=each: mnistzip.encode(DIGIT, model=used, **each))
        both(data, lambda _, file=file: mnistzip.decode(file, model=used))


def prepared(data: bytes) -> None:
    """A prepared model with changed numbers: it is refused, or computes something."""
    if len(data) < 2:
        return
    kind = list(engine_mutations.USES)[data[0] % 3]
    content, records = _prepared(kind, data[1] % 6)
    words = np.frombuffer(content, np.int32).copy()
    for record, field, value in struct.iter_unpack("<HBB", data[2 : 2 + 4 * EDITS_MAX].ljust(4 * EDITS_MAX, b"\0")):
        if value:
            at = records[record % len(records)] // 4 + field if record < 1 << 15 else record * 4099 + field
            extremes = engine_mutations.EXTREMES
            words[at % len(words)] = extremes[value] if value < len(extremes) else value - 128
    changed = words.tobytes()[: None if len(data) % 5 else -64 * (data[1] % 7 + 1)]
    assert EXTENSION is not None
    try:
        used = EXTENSION.Model(changed, INSTRUCTIONS[zlib.crc32(data) % len(INSTRUCTIONS)])
    except ValueError:
        return
    engine_mutations.USES[kind](np.random.default_rng(zlib.crc32(data)), used)


@cache
def _prepared(kind: str, seed: int) -> tuple[bytes, list[int]]:
    return engine_mutations.records_of(kind, seed)


# ---- Pixels ----


@target
def pixels(data: bytes) -> None:
    """An image to encode: model, way, quality, effort and size from the first bytes, then its grey levels."""
    if len(data) < 6:
        return
    which, way, quality, effort, height, width = data[:6]
    shape = height % SIDE + 1, width % SIDE + 1
    x = np.resize(np.frombuffer(data[6:] or b"\0", np.uint8), shape[0] * shape[1]).reshape(shape)
    if way & 64:
        x = np.full(shape, data[6:7] or b"\0", "S1").view(np.uint8).reshape(shape)
    if way & 32:
        x = np.minimum(np.cumsum(x.view(np.int8) // 8, axis=1, dtype=np.int64) & 255, 255).astype(np.uint8)  # smoother
    lossy: dict[str, Any] = {"quality": quality % QUALITIES + 1, "effort": effort % 4}
    bits = {"bare": True, "check_bits": effort % 24}
    ways: tuple[dict[str, Any], ...] = (
        lossy,
        {"lossless": True},
        {"max_error": quality % 64 + 1},
        lossy | bits,
        {"effort": effort % 3, "max_bytes": quality + 30},
        lossy | bits | {"max_bytes": quality % 64 + 8},
        {"effort": effort % 3, "min_psnr": quality % 40 + 10},
    )
    options = ways[way % 32 % len(ways)] | {"model": (*LOSSY_MODELS, "auto")[which % 7]}
    if "bare" in options and options["model"] == "auto":
        options["model"] = "mnist"
    file = both(data, lambda _: mnistzip.encode(x, **options))
    if "bare" not in options:
        both(data, lambda _: mnistzip.decode(file))


@target
def digit(data: bytes) -> None:
    """The digit of a bitmap, if the third byte says so with a grey level changed: found, coded and decoded."""
    if len(data) < 5:
        return
    side = BITMAP_SIDE_MIN + data[0] % (min(BITMAP_SIDE_MAX, 64) - BITMAP_SIDE_MIN + 1)
    shape = (side, data[1] % side + 1) if data[2] & 1 else (data[1] % side + 1, side)
    shift = SHIFT_MIN + data[3] % (SHIFT_MAX - SHIFT_MIN + 1)
    bits = np.unpackbits(np.frombuffer(data[4:], np.uint8))
    bitmap = Bitmap(np.resize(bits, shape[0] * shape[1]).reshape(shape).astype(bool), shift)
    (x,) = both(data, lambda engine: engine.digits_of([bitmap]))
    if data[2] & 2:
        x = x.copy()
        x.reshape(-1)[data[4] * 3 % x.size] ^= 1 << data[2] % 8
    if data[2] & 12:  # numpy searches for seconds
        return
    both(data, lambda engine: [found and (found.ink, found.shift) for found in engine.find_bitmaps(x[None])])
    file = both(data, lambda _: mnistzip.encode(x, model=DIGIT_MODEL, lossless=True))
    both(data, lambda _: mnistzip.decode(file))


# ---- Streams, whatever their checks say ----


@cache
def _coder(number: int) -> Model:
    makers = (
        lambda: shipped("mnist-fast"),
        lambda: read_model((VECTORS / "own" / "own.npz").read_bytes(), "own"),
        lambda: shipped("grey"),
        lambda: shipped(DIGIT_MODEL),
        lambda: shipped("mnist"),
        lambda: random_grey_model(5),
    )
    return makers[number]()


def _ends(final: FinalStates) -> list[Any]:
    return [final.x, final.used_up, final.verify(np.zeros(len(final.x), np.int64), 0)]


@target
def stream(data: bytes) -> None:
    """A stream for the decoder of a model's kind, and the pixels of what it decodes to."""
    if len(data) < 5:
        return
    which, way, quality, height, width = data[:5]
    used, coded, index = _coder(which % 6), [data[5:]], quality % QUALITIES
    if used.is_bitmap:
        _bitmaps(data, used, coded, way % 4)
    elif used.is_grey:
        _pictures(data, used, coded, way, index, (height % SIDE + 1, width % SIDE + 1))
    else:
        _tiles(data, used, coded, way, index)


def _bitmaps(data: bytes, used: Model, coded: list[bytes], count: int) -> None:
    def decode(engine: Engine) -> Any:
        (bitmaps,), possible, final = engine.decode_bitmaps(used, coded, [count])
        return [bitmaps, possible, _ends(final), engine.digits_of(bitmaps)]

    bitmaps = both(data, lambda engine: _plain(decode(engine)))[0]
    assert len(bitmaps) == count


def _plain(decoded: list[Any]) -> list[Any]:
    """Bitmaps as pairs of arrays and numbers."""
    return [[[bitmap.ink, bitmap.shift] for bitmap in decoded[0]], *decoded[1:]]


def _pictures(data: bytes, used: Model, coded: list[bytes], way: int, index: int, shape: tuple[int, int]) -> None:
    shapes = [[shape, (1 + way % 7, 5)][: 1 + way // 8 % 2]]
    if way & 1 and used.has_pixel_model:

        def levels(engine: Engine) -> Any:
            images, final = engine.decode_pixel_images(used, coded, shapes, way // 16 * 4)
            return [images, _ends(final)]

        both(data, levels)
        return

    def latents(engine: Engine) -> Any:
        decoded, final = engine.decode_image_latents(used, coded, index, shapes)
        images = [engine.synthesize_images(used, y[None], index, size) for y, size in zip(decoded[0], shapes[0], strict=True)]
        return [decoded, _ends(final), images]

    both(data, latents)


def _tiles(data: bytes, used: Model, coded: list[bytes], way: int, index: int) -> None:
    count = way // 4 % 3 + 1
    layout = Streams.from_tile_counts([count])
    if way & 1 and used.has_pixel_model:
        inside = np.zeros((count, 28, 28), bool)
        inside[:, : data[3] % 28 + 1, : data[4] % 28 + 1] = True

        def levels(engine: Engine) -> Any:
            x, possible, final = engine.decode_pixels(used, coded, inside, layout, way // 16 * 4, bool(way & 2))
            return [x, possible, _ends(final)]

        both(data, levels)
        return

    def latents(engine: Engine) -> Any:
        y, final = engine.decode_latents(used, coded, np.array([index]), layout, bool(way & 2))
        return [y, _ends(final), engine.synthesize(used, y, np.full(count, index))]

    both(data, latents)


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (single, bare, archive, model, prepared, pixels, digit, stream, library)
}


def single_changes() -> Iterator[bytes]:
    """Inputs of :func:`prepared` that change one field of one record each."""
    for kind in range(len(engine_mutations.USES)):
        for record in range(RECORDS):
            for field in range(FIELDS):
                value = 1 + (7 * record + 11 * field) % (len(engine_mutations.EXTREMES) - 1)
                yield bytes([kind, record % 2]) + struct.pack("<HBB", record, field, value)


def example(target: str, seed: int) -> bytes:
    """A random input of a target, to begin with."""
    picks = random.Random(f"{target} {seed}")
    head = bytes(picks.randrange(256) for _ in range(8))
    return head + bytes(picks.choice([0, 0, 255, 128, picks.randrange(256)]) for _ in range(picks.choice([4, 40, 400])))
