"""Random inputs of engines, and the comparison of what two engines make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.bitstream.bounded import nearest
from mnistzip.bitstream.stream_layout import Streams
from mnistzip.engines.interface import Engine
from mnistzip.entropy.rans import FinalStates
from mnistzip.errors import MnistzipError
from mnistzip.models.model import Model
from mnistzip.types import Bools, Integers, Pixels

TILE, SYMBOLS, QUALITIES = 28, 196, 100


def tiles(random: np.random.Generator, count: int) -> tuple[Pixels, Bools]:
    """Grey levels and the pixels inside, both ``(count, 28, 28)``; grey levels outside are 0."""
    x, inside = np.zeros((count, TILE, TILE), np.uint8), np.ones((count, TILE, TILE), bool)
    for k in range(count):
        kind = random.integers(0, 7)
        if kind == 0:
            x[k] = random.integers(0, 256, (TILE, TILE))
        elif kind == 1:
            x[k] = random.choice([0, 255])
        elif kind == 2:
            x[k] = random.integers(0, 256, (TILE, TILE)) * (random.random((TILE, TILE)) < 0.03)
        else:  # a stroke, more or less
            rows, columns = np.mgrid[:TILE, :TILE]
            a, b, c = random.uniform(-2, 2, 3)
            distance = np.abs(a * rows + b * columns + 9 * c) / (abs(a) + abs(b) + 0.1)
            x[k] = np.clip(300 - 90 * distance, 0, 255) // random.integers(1, 4)
        if random.random() < 0.4:
            height, width = random.integers(1, TILE + 1, 2)
            inside[k, height:], inside[k, :, width:] = False, False
        if random.random() < 0.1:
            inside[k] &= random.random((TILE, TILE)) < 0.5
            inside[k, 0, 0] = True
    x[~inside] = 0
    return x, inside


def streams(random: np.random.Generator, count: int) -> Streams:
    """Streams of payloads that hold so many tiles together."""
    counts: list[int] = []
    while (left := count - sum(counts)) > 0:
        counts.append(int(random.integers(1, left + 1)))
    return Streams.from_tile_counts(counts)


def final_states(final: FinalStates) -> tuple[Integers, Bools]:
    return final.x, final.used_up


def damaged(random: np.random.Generator, coded: Sequence[bytes]) -> list[bytes]:
    """Streams with some bytes changed, cut or added."""
    out = []
    for stream in coded:
        content = bytearray(stream)
        for _ in range(random.integers(0, 4)):
            content[random.integers(0, len(content))] = random.integers(0, 256)
        if random.random() < 0.4:
            del content[random.integers(1, len(content) + 1) :]
        if random.random() < 0.2:
            content += random.bytes(int(random.integers(0, 9)))
        if random.random() < 0.2:
            content = bytearray(random.bytes(int(random.integers(1, 60))))
        if random.random() < 0.9 and content and content[0] == 0:
            content[0] = random.integers(1, 256)
        out.append(bytes(content))
    return out


@dataclass
class Comparison:
    """Runs an operation with several engines and requires equal results and equal errors.

    Attributes:
        engines: the first one decides what is right.
        note: what to say if results differ.
    """

    model: Model
    engines: Sequence[Engine]
    note: str

    def __call__(self, what: str, operation: Callable[[Engine], Any]) -> Any:
        results = [self._result(operation, engine) for engine in self.engines]
        for engine, result in zip(self.engines[1:], results[1:], strict=True):
            where = f"{self.note}: {what} with {engine.instructions}"
            if isinstance(results[0], MnistzipError):
                assert type(result) is type(results[0]), where
                assert str(result) == str(results[0]), where
            else:
                assert not isinstance(result, MnistzipError), f"{where}: {result}"
                require_equal(results[0], result, where)
        return results[0]

    @staticmethod
    def _result(operation: Callable[[Engine], Any], engine: Engine) -> Any:
        try:
            return operation(engine)
        except MnistzipError as error:
            return error


def require_equal(expected: Any, result: Any, where: str) -> None:
    """Require equal arrays of equal types, equal bytes, or equal collections of these."""
    if isinstance(expected, np.ndarray):
        assert isinstance(result, np.ndarray), where
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape), where
        assert np.array_equal(result, expected), f"{where}: {_differences(expected, result)}"
    elif isinstance(expected, (list, tuple)):
        assert type(result) is type(expected), where
        assert len(result) == len(expected), where
        for index, (one, other) in enumerate(zip(expected, result, strict=True)):
            require_equal(one, other, f"{where}[{index}]")
    else:
        assert result == expected, where


def _differences(expected: NDArray[Any], result: NDArray[Any]) -> str:
    where = np.argwhere(expected != result)
    return f"{len(where)} differ, the first at {where[0].tolist()}: {expected[tuple(where[0])]} and {result[tuple(where[0])]}"


def compare_latents(compare: Comparison, random: np.random.Generator, count: int) -> None:
    """Latents of random symbols and streams: bits, pixels, bytes and back."""
    model = compare.model
    symbols = model.transforms.symbols
    layout = streams(random, count)
    of_stream = random.integers(0, QUALITIES, len(layout.count))
    quality_index = of_stream[layout.owner]
    few = random.random() < 0.5
    low, high = (max(symbols.low, -1), min(symbols.high, 1)) if few else (symbols.low, symbols.high)
    y = random.integers(low, high + 1, (count, SYMBOLS))
    intervals = compare("latent_symbols", lambda engine: engine.latent_symbols(model, y, quality_index))
    compare("synthesize", lambda engine: engine.synthesize(model, y, quality_index))
    checks, check_bits = random.integers(0, 1 << 32, len(layout.count)), int(random.integers(0, 24))
    for interleaved in (False, True):
        coded = compare(
            "encode_latents",
            lambda engine, turns=interleaved: engine.encode_latents(intervals, layout, checks, check_bits, turns),
        )

        def decode(engine: Engine, coded: list[bytes] = coded, turns: bool = interleaved) -> Any:
            decoded, final = engine.decode_latents(model, coded, of_stream, layout, turns)
            return decoded, final_states(final), final.verify(checks, check_bits)

        decoded, _, passed = compare("decode_latents", decode)
        assert (decoded == y).all()
        assert passed.all()
        broken = damaged(random, coded)
        compare("decode_latents of damage", lambda engine, coded=broken, decode=decode: decode(engine, coded))


def compare_search(compare: Comparison, random: np.random.Generator, count: int, effort: int, hard: bool = False) -> int:
    """The search for latents of random images. Returns the number of symbols that it has moved.

    Args:
        hard: whether also a number of bits is allowed that no search reaches: each engine then tries for seconds.
    """
    model = compare.model
    x, inside = tiles(random, count)
    quality_index = random.integers(0, QUALITIES, count)
    y = compare("first_latents", lambda engine: engine.first_latents(model, x, inside, quality_index))
    refined = compare(f"refine with effort {effort}", lambda engine: engine.refine(model, x, inside, y, quality_index, effort))
    before, after = (
        compare("latent_symbols", lambda engine, y=y: engine.latent_symbols(model, y, quality_index)).bits for y in (y, refined)
    )
    limits = [after + (before - after) * int(random.integers(0, 5)) // 4 + int(random.integers(0, 3000))]
    limits += [np.full(count, -1000), after * 3 // 4] * hard
    for limit in limits:
        compare(
            f"refine_to_budget with effort {effort}",
            lambda engine, limit=limit: engine.refine_to_budget(model, x, inside, quality_index, effort, limit),
        )
    return int((refined != y).sum())


def compare_pixels(compare: Comparison, random: np.random.Generator, count: int) -> None:
    """Lossless streams of random images, and damaged ones."""
    every, inside = tiles(random, count)
    layout = streams(random, count)
    checks = random.integers(0, 1 << 32, len(layout.count))
    for max_error in (0, int(random.choice([1, 2, 3, 4, 8, 15, 16, 20, 31, 42, 63, 64]))):
        _compare_pixels(compare, random, nearest(every, max_error), inside, layout, checks, max_error)


def _compare_pixels(
    compare: Comparison,
    random: np.random.Generator,
    x: Pixels,
    inside: Bools,
    layout: Streams,
    checks: Integers,
    max_error: int,
) -> None:
    model = compare.model
    symbols = compare("pixel_symbols", lambda engine: engine.pixel_symbols(model, x, inside, max_error))
    coded = compare("encode_pixels", lambda engine: engine.encode_pixels(symbols, layout, checks))

    def decode(engine: Engine, coded: list[bytes], preview: bool = False) -> Any:
        decoded, possible, final = engine.decode_pixels(model, coded, inside, layout, max_error, preview)
        return decoded, possible, final_states(final), final.verify(checks)

    decoded, possible, _, passed = compare("decode_pixels", lambda engine: decode(engine, coded))
    assert (decoded == x).all()
    assert passed.all()
    assert possible.all()
    compare("preview", lambda engine: decode(engine, coded, preview=True))
    broken = damaged(random, coded)
    for preview in (False, True):
        compare("decode_pixels of damage", lambda engine, preview=preview: decode(engine, broken, preview))
