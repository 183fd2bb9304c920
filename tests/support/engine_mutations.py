"""Load damaged prepared models and compute with those that load: no process may die of it.

``python engine_mutations.py SEED COUNT`` makes so many of them, and with ``grey`` or ``bitmap`` behind it of these kinds. It
prints how many were refused, and how many were loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mnistzip import _engine
from mnistzip.models import prepared
from mnistzip.models.model import Model
from support.bitmap_models import a_bitmap, random_bitmap_model
from support.engine_cases import tiles
from support.grey_models import random_grey_model
from support.random_models import random_model

EXTREMES = (0, 1, -1, 2, 3, 7, 8, 15, 16, 17, 100, 127, 128, 196, 200, 201, 255, 256, 512, 513, 1 << 15, (1 << 16) - 1, 1 << 16)
EXTREMES += (1 << 17, (1 << 17) + 1, 1 << 24, (1 << 24) + 1, 1 << 30, 2**31 - 1, -(2**31), -(2**31) + 1, -2, -127, -128)


def made(kind: str, seed: int) -> Model:
    """A random model of a kind."""
    if kind == "bitmap":
        return random_bitmap_model(seed)
    return (random_grey_model if kind == "grey" else random_model)(seed, pixels=seed % 2 == 0)


def records_of(kind: str, seed: int) -> tuple[bytes, list[int]]:
    """A prepared model, and where its records begin."""
    offsets: list[int] = []
    record = prepared.Writer.record

    def noting(self: prepared.Writer, *fields: int) -> int:
        offsets.append(sum(map(len, self._parts)))
        return record(self, *fields)

    prepared.Writer.record = noting  # type: ignore[method-assign]
    try:
        return prepared.prepare(made(kind, seed)), offsets
    finally:
        prepared.Writer.record = record  # type: ignore[method-assign]


def mutated(random: np.random.Generator, content: bytes, records: list[int]) -> bytes:
    """A prepared model that is damaged in one of several ways, most of which keep the size that it states right."""
    words = np.frombuffer(content, np.int32).copy()
    kind = random.integers(0, 6)
    if kind <= 1:  # fields of records
        for _ in range(random.integers(1, 3)):
            words[records[random.integers(0, len(records))] // 4 + random.integers(0, 16)] = random.choice(EXTREMES)
    elif kind == 2:  # numbers anywhere
        for _ in range(random.integers(1, 20)):
            words[random.integers(0, len(words))] = random.choice(EXTREMES)
    elif kind == 3:  # bits anywhere
        for _ in range(random.integers(1, 9)):
            words[random.integers(16, len(words))] ^= np.int32(1 << random.integers(0, 31))
    elif kind == 4:  # blocks of 64 bytes left out, doubled or moved
        blocks = words.reshape(-1, 16)
        start, stop = np.sort(random.integers(1, len(blocks), 2))
        parts = {
            0: [blocks[:start], blocks[stop:]],
            1: [blocks[:stop], blocks[start:]],
            2: [blocks[:start], blocks[stop:], blocks[start:stop]],
        }
        words = np.concatenate(parts[int(random.integers(0, 3))]).reshape(-1)
    else:  # cut, or with something behind it
        size = int(random.integers(0, len(content) + 1))
        if random.random() < 0.5:
            return content[:size]
        words = np.concatenate([words[: size // 64 * 16], random.integers(-9, 9, 16, np.int32)])
    if len(words) > 2 and random.random() < 0.9:
        words[2] = 4 * len(words)
    return words.tobytes()


def use(random: np.random.Generator, model: _engine.Model) -> None:
    """Call every method of a model that was loaded."""
    x, inside = tiles(random, 2)
    quality_index = random.integers(0, 100, 2).astype(np.uint8)
    y = np.zeros((2, 196), np.int8)
    start, freq = np.empty((2, 2, 196), np.uint16)
    finals, counts = np.empty((1, 2), np.uint32), np.full(1, 2, np.int32)
    stream = [bytes([random.integers(1, 256)]) + random.bytes(60)]
    model.first_latents(x, inside, quality_index, y)
    model.refine(x, inside, quality_index, 1, y)
    model.latent_symbols(y, quality_index, start, freq)
    limit = np.array(random.choice([1 << 30, 2**63 - 1], 2))
    if random.random() < 0.03:  # the search takes long
        limit[0] = -(2**63)
    model.refine_to_budget(x, inside, quality_index, 1, limit, y)
    model.synthesize(y, quality_index, np.empty_like(x))
    for interleaved in (False, True):
        model.decode_latents(stream, quality_index[:1], counts, interleaved, y, finals)
    try:
        symbols = np.empty(2, np.int32), np.empty(6272, np.int16), np.empty(6272, np.uint16), np.empty(6272, np.uint16)
        model.pixel_symbols(x, inside, 0, *symbols)
        for preview in (False, True):
            model.decode_pixels(stream, inside, counts, 8 * preview, preview, np.empty_like(x), np.empty(2, np.uint8), finals)
    except ValueError as error:
        if "without loss" not in str(error):
            raise


def use_grey(random: np.random.Generator, model: _engine.Model) -> None:
    """Call every method of a model of the kind ``grey`` that was loaded."""
    quality, height, width = (int(random.integers(*limits)) for limits in ((0, 100), (1, 40), (1, 40)))
    rows, columns = -(-height // 4), -(-width // 4)
    x, y = random.integers(0, 256, (height, width)).astype(np.uint8), np.empty((rows, columns, 16), np.int8)
    model.analyse_images(x, 1, height, width, quality, y)
    start, freq = np.empty((2, model.grey_symbols(rows, columns, quality)), np.uint16)
    model.image_symbols(y, 1, rows, columns, quality, start, freq)
    model.synthesize_images(y, 1, height, width, quality, x)
    stream = [bytes([random.integers(1, 256)]) + random.bytes(60)]
    shape, finals = np.array([[rows, columns]], np.int32), np.empty((1, 2), np.uint32)
    one = np.ones(1, np.int32)
    model.decode_image_latents(stream, quality, one, shape, y, finals)
    try:
        model.image_pixel_symbols(x, 1, height, width, 0, *np.empty((2, height * width), np.uint16))
        model.decode_pixel_images(stream, int(random.integers(0, 65)), one, np.array([x.shape], np.int32), x, finals)
    except ValueError as error:
        if "without loss" not in str(error):
            raise


def use_bitmaps(random: np.random.Generator, model: _engine.Model) -> None:
    """Call every method of a model of the kind ``bitmap`` that was loaded."""
    bitmaps = [a_bitmap(random) for _ in range(2)]
    symbols = np.empty((2, 6 + sum(bitmap.ink.size for bitmap in bitmaps)), np.uint16)
    sizes = np.array([(*bitmap.ink.shape, bitmap.shift) for bitmap in bitmaps], np.int32)
    model.bitmap_symbols(sizes, np.concatenate([bitmap.ink.ravel() for bitmap in bitmaps]), *symbols)
    stream = [bytes([random.integers(1, 256)]) + random.bytes(60)]
    ink, possible, finals = np.empty((2, 1 << 14), np.uint8), np.empty(1, np.uint8), np.empty((1, 2), np.uint32)
    model.decode_bitmaps(stream, np.full(1, 2, np.int32), sizes, ink, possible, finals)


USES = {"tiles": use, "grey": use_grey, "bitmap": use_bitmaps}


def main(seed: int, count: int, kind: str = "tiles") -> None:
    """Try damaged models."""
    random = np.random.default_rng(seed)
    instructions = _engine.instructions()
    models = [records_of(kind, k) for k in range(12)]
    refused = loaded = 0
    for k in range(count):
        content, records = models[k % len(models)]
        try:
            model = _engine.Model(mutated(random, content, records), instructions[k % len(instructions)])
        except ValueError:
            refused += 1
            continue
        loaded += 1
        USES[kind](random, model)
    print(refused, loaded)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
