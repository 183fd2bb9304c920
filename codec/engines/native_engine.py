"""The engine in C: :mod:`mnistzip._engine`, the extension that is built from ``engine/``.

Its functions take contiguous arrays of small integers, and release the lock of the interpreter. A model is prepared and loaded
when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mnistzip.entropy.states import FinalStates, first_states
from mnistzip.errors import ModelError
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.threads import chunks, go_on
from mnistzip.tiling import TILE
from mnistzip.types import Bools, Integers, Pixels

if TYPE_CHECKING:
    from mnistzip._engine import Model as NativeModel
    from mnistzip.bitstream.stream_layout import Streams
    from mnistzip.engines.interface import Intervals, PixelSymbols
    from mnistzip.models.bitmap.resampling import Bitmap
    from mnistzip.models.registry import Model

ABI = "6"  # of the extension that this version needs
SYMBOLS = 196
PIXEL_SYMBOLS_MAX = 4 * TILE**2  # of a tile
GREY_CHANNELS, GREY_BLOCK = 16, 4  # of a position, and pixels of its sides, of models of the kind ``grey``
# Tiles searched in one call, by effort. An interrupt and a report of progress wait for them.
TILES_OF_SEARCH = (256, 64, 64, 32, 16, 8, 4, 2, 1, 1)
DIGITS_OF_SEARCH = 64  # whose bitmaps are searched in one call
BITMAPS_OF_CALL = 256  # that are coded in one call, unless a stream has more
EXTENT_SYMBOLS = 3  # of the size and shift of a bitmap


def extension() -> ModuleType | None:
    """The extension, or None if it is not installed or of another version."""
    try:
        from mnistzip import _engine
    except ImportError:
        return None
    return _engine if _engine.abi() == ABI else None


class NativeEngine:
    """An :class:`~mnistzip.engines.interface.Engine`.

    Args:
        module: the extension.
        instructions: one of those that the processor has; None for the best.
    """

    name = "native"

    def __init__(self, module: ModuleType, instructions: str | None = None) -> None:
        self._module = module
        self.instructions: str = instructions or module.instructions()[0]
        self._loaded: WeakKeyDictionary[Model, NativeModel] = WeakKeyDictionary()

    def first_latents(self, model: Model, x: Pixels, inside: Bools, quality_index: Integers) -> Integers:
        y = np.empty((len(x), SYMBOLS), np.int8)
        self._load(model).first_latents(_octets(x), _octets(inside), _octets(quality_index), y)
        return y.astype(np.int64)

    def refine(
        self,
        model: Model,
        x: Pixels,
        inside: Bools,
        y: Integers,
        quality_index: Integers,
        effort: int,
        tick: Callable[[int], None] | None = None,
    ) -> Integers:
        loaded, refined = self._load(model), y.astype(np.int8)
        for part in chunks(len(x), TILES_OF_SEARCH[effort]):
            go_on()
            loaded.refine(_octets(x[part]), _octets(inside[part]), _octets(quality_index[part]), effort, refined[part])
            if tick is not None and effort:
                tick(len(x[part]))
        return refined.astype(np.int64)

    def refine_to_budget(
        self, model: Model, x: Pixels, inside: Bools, quality_index: Integers, effort: int, limit: Integers
    ) -> Integers:
        loaded, y = self._load(model), np.empty((len(x), SYMBOLS), np.int8)
        limit = np.ascontiguousarray(limit, np.int64)
        for part in chunks(len(x), TILES_OF_SEARCH[effort]):
            go_on()
            tiles = _octets(x[part]), _octets(inside[part]), _octets(quality_index[part])
            loaded.refine_to_budget(*tiles, effort, limit[part], y[part])
        return y.astype(np.int64)

    def latent_symbols(self, model: Model, y: Integers, quality_index: Integers) -> Intervals:
        from mnistzip.engines.interface import Intervals

        start, freq_less_one = np.empty((2, len(y), SYMBOLS), np.uint16)
        self._load(model).latent_symbols(y.astype(np.int8), _octets(quality_index), start, freq_less_one)
        return Intervals(start, freq_less_one)

    def synthesize(self, model: Model, y: Integers, quality_index: Integers) -> Pixels:
        x_hat = np.empty((len(y), TILE, TILE), np.uint8)
        self._load(model).synthesize(y.astype(np.int8), _octets(quality_index), x_hat)
        return x_hat

    def encode_latents(
        self,
        symbols: Intervals,
        streams: Streams,
        checks: Integers,
        check_bits: int = CHECK_BITS_MIN,
        interleaved: bool = False,
    ) -> list[bytes]:
        start, freq_less_one = map(np.ascontiguousarray, symbols)
        of_streams = streams.count.astype(np.int32), checks.astype(np.uint32)
        coded: list[bytes] = self._module.encode_latents(start, freq_less_one, *of_streams, check_bits, interleaved)
        return coded

    def decode_latents(
        self, model: Model, coded: Sequence[bytes], quality_index: Integers, streams: Streams, interleaved: bool = False
    ) -> tuple[Integers, FinalStates]:
        finals = _finals(coded)
        y = np.empty((int(streams.count.sum()), SYMBOLS), np.int8)
        counts = streams.count.astype(np.int32)
        self._load(model).decode_latents(coded, _octets(quality_index), counts, interleaved, y, finals)
        return y.astype(np.int64), _final_states(finals)

    def pixel_symbols(self, model: Model, x: Pixels, inside: Bools, max_error: int = 0) -> PixelSymbols:
        from mnistzip.engines.interface import PixelSymbols

        model.require_pixel_model()
        counts, room = np.empty(len(x), np.int32), len(x) * PIXEL_SYMBOLS_MAX
        turn, start, freq_less_one = np.empty(room, np.int16), np.empty(room, np.uint16), np.empty(room, np.uint16)
        used = self._load(model).pixel_symbols(_octets(x), _octets(inside), max_error, counts, turn, start, freq_less_one)
        return PixelSymbols(counts, turn[:used].copy(), start[:used].copy(), freq_less_one[:used].copy())

    def encode_pixels(self, symbols: PixelSymbols, streams: Streams, checks: Integers) -> list[bytes]:
        counts, *columns = map(np.ascontiguousarray, symbols)
        coded: list[bytes] = self._module.encode_pixels(
            counts, *columns, streams.count.astype(np.int32), checks.astype(np.uint32)
        )
        return coded

    def decode_pixels(
        self,
        model: Model,
        coded: Sequence[bytes],
        inside: Bools,
        streams: Streams,
        max_error: int = 0,
        preview: bool = False,
    ) -> tuple[Pixels, Bools, FinalStates]:
        model.require_pixel_model()
        finals, tiles = _finals(coded), int(streams.count.sum())
        x, possible = np.empty((tiles, TILE, TILE), np.uint8), np.empty(tiles, np.uint8)
        counts = streams.count.astype(np.int32)
        self._load(model).decode_pixels(coded, _octets(inside), counts, max_error, preview, x, possible, finals)
        return x, possible.astype(bool), _final_states(finals)

    def analyse_images(self, model: Model, x: Pixels, quality_index: int) -> Integers:
        n, height, width = x.shape
        y = np.empty((n, *_latent_shape(height, width), GREY_CHANNELS), np.int8)
        self._load(model).analyse_images(_octets(x), n, height, width, quality_index, y)
        return y.astype(np.int64)

    def refine_image(
        self, model: Model, x: Pixels, y: Integers, quality_index: int, effort: int, lmbda: int | None = None
    ) -> Integers:
        refined, weight = _symbols(y).copy(), int(model.lmbda[quality_index]) if lmbda is None else lmbda
        height, width = x.shape
        self._load(model).refine_image(_octets(x), height, width, quality_index, effort, weight, refined)
        return refined.astype(np.int64)

    def image_symbols(self, model: Model, y: Integers, quality_index: int) -> Intervals:
        from mnistzip.engines.interface import Intervals

        loaded = self._load(model)
        n, rows, columns, _ = y.shape
        start, freq_less_one = np.empty((2, n, loaded.grey_symbols(rows, columns, quality_index)), np.uint16)
        loaded.image_symbols(_symbols(y), n, rows, columns, quality_index, start, freq_less_one)
        return Intervals(start, freq_less_one)

    def synthesize_images(self, model: Model, y: Integers, quality_index: int, shape: tuple[int, int]) -> Pixels:
        x_hat = np.empty((len(y), *shape), np.uint8)
        self._load(model).synthesize_images(_symbols(y), len(y), *shape, quality_index, x_hat)
        return x_hat

    def image_pixel_symbols(self, model: Model, x: Pixels, max_error: int = 0) -> Intervals:
        from mnistzip.engines.interface import Intervals

        model.require_pixel_model()
        n, height, width = x.shape
        start, freq_less_one = np.empty((2, n, height * width), np.uint16)
        self._load(model).image_pixel_symbols(_octets(x), n, height, width, max_error, start, freq_less_one)
        return Intervals(start, freq_less_one)

    def decode_pixel_images(
        self, model: Model, coded: Sequence[bytes], shapes: Sequence[Sequence[tuple[int, int]]], max_error: int = 0
    ) -> tuple[list[list[Pixels]], FinalStates]:
        model.require_pixel_model()
        finals = _finals(coded)
        sizes = [shape for of_stream in shapes for shape in of_stream]
        counts, whole = _counts(shapes), np.array(sizes, np.int32).reshape(-1, 2)
        ends = np.cumsum([height * width for height, width in sizes], dtype=np.int64)
        x = np.empty(int(ends[-1]) if sizes else 0, np.uint8)
        self._load(model).decode_pixel_images(coded, max_error, counts, whole, x, finals)
        images = iter([part.reshape(shape) for part, shape in zip(np.split(x, ends[:-1]), sizes, strict=False)])
        return [[next(images) for _ in of_stream] for of_stream in shapes], _final_states(finals)

    def encode_streams(self, symbols: Sequence[Intervals], checks: Integers, check_bits: int = CHECK_BITS_MIN) -> list[bytes]:
        nothing = np.empty(0, np.uint16)
        start = np.concatenate([nothing, *(each.start for each in symbols)])
        freq_less_one = np.concatenate([nothing, *(each.freq_less_one for each in symbols)])
        counts = np.array([each.start.size for each in symbols], np.int64)
        coded: list[bytes] = self._module.encode_streams(start, freq_less_one, counts, checks.astype(np.uint32), check_bits)
        return coded

    def decode_image_latents(
        self, model: Model, coded: Sequence[bytes], quality_index: int, shapes: Sequence[Sequence[tuple[int, int]]]
    ) -> tuple[list[list[Integers]], FinalStates]:
        finals = _finals(coded)
        counts = _counts(shapes)
        of_latents = [_latent_shape(*shape) for of_stream in shapes for shape in of_stream]
        ends = np.cumsum([rows * columns for rows, columns in of_latents], dtype=np.int64)
        y = np.empty((int(ends[-1]) if of_latents else 0, GREY_CHANNELS), np.int8)
        whole = np.array(of_latents, np.int32).reshape(-1, 2)
        self._load(model).decode_image_latents(coded, quality_index, counts, whole, y, finals)
        parts = zip(np.split(y.astype(np.int64), ends[:-1]), of_latents, strict=False)
        latents = iter([part.reshape(*shape, GREY_CHANNELS) for part, shape in parts])
        return [[next(latents) for _ in of_stream] for of_stream in shapes], _final_states(finals)

    def find_bitmaps(self, x: Pixels) -> list[Bitmap | None]:
        from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, Bitmap

        sizes = np.empty((len(x), 3), np.int32)
        found: list[Bitmap | None] = []
        for part in chunks(len(x), DIGITS_OF_SEARCH):
            go_on()
            ink = np.empty((len(x[part]), BITMAP_SIDE_MAX**2), np.uint8)
            self._module.find_bitmaps(_octets(x[part]), sizes[part], ink)
            for (height, width, shift), pixels in zip(sizes[part].tolist(), ink, strict=True):
                whole = pixels[: height * width].reshape(height, width).astype(bool)
                found.append(Bitmap(whole, shift) if height else None)
        return found

    def digits_of(self, bitmaps: Sequence[Bitmap]) -> Pixels:
        x = np.empty((len(bitmaps), TILE, TILE), np.uint8)
        self._module.digits_of(*_bitmaps(bitmaps), x)
        return x

    def bitmap_symbols(self, model: Model, bitmaps: Sequence[Bitmap]) -> list[Intervals]:
        from mnistzip.engines.interface import Intervals

        loaded = self._load(model)
        symbols: list[Intervals] = []
        for part in chunks(len(bitmaps), BITMAPS_OF_CALL):
            go_on()
            counts = [EXTENT_SYMBOLS + bitmap.ink.size for bitmap in bitmaps[part]]
            start, freq_less_one = np.empty((2, sum(counts)), np.uint16)
            loaded.bitmap_symbols(*_bitmaps(bitmaps[part]), start, freq_less_one)
            cuts = np.cumsum(counts)[:-1]
            of_each = zip(np.split(start, cuts), np.split(freq_less_one, cuts), strict=True)
            symbols += [Intervals(*(column.copy() for column in each)) for each in of_each]
        return symbols

    def decode_bitmaps(
        self, model: Model, coded: Sequence[bytes], counts: Sequence[int]
    ) -> tuple[list[list[Bitmap]], list[bool], FinalStates]:
        finals, possible, bitmaps = _finals(coded), np.empty(len(coded), np.uint8), []
        loaded = self._load(model)
        for part in _parts(counts, BITMAPS_OF_CALL):
            go_on()
            of_part = counts[part]
            bitmaps += _decode_some(loaded, coded[part], of_part, possible[part], finals[part])
        return bitmaps, possible.astype(bool).tolist(), _final_states(finals)

    def _load(self, model: Model) -> NativeModel:
        loaded = self._loaded.get(model)
        if loaded is None:
            loaded = self._loaded[model] = self._load_stored(model) or self._load_prepared(model)
        return loaded

    def _load_stored(self, model: Model) -> NativeModel | None:
        """The model as the build stored it; None if it did not, or if the extension is of another build."""
        if model.stored is None:
            return None
        try:
            return self._module.Model(model.stored, self.instructions)
        except ValueError:
            return None

    def _load_prepared(self, model: Model) -> NativeModel:
        from mnistzip.models import prepared  # stored models do without

        try:
            return self._module.Model(prepared.prepare(model), self.instructions)
        except ValueError as cause:
            raise ModelError(f"model {model.name}: the native engine cannot load it: {cause}") from cause


def _bitmaps(bitmaps: Sequence[Bitmap]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Height, width and shift of each bitmap, and the ink of all of them."""
    sizes = np.array([(*bitmap.ink.shape, bitmap.shift) for bitmap in bitmaps], np.int32)
    ink = np.concatenate([np.empty(0, np.uint8), *(bitmap.ink.ravel() for bitmap in bitmaps)], dtype=np.uint8)
    return sizes, ink


def _parts(counts: Sequence[int], most: int) -> Iterator[slice]:
    """Streams in parts that have at most so many bitmaps together, or one stream."""
    first = together = 0
    for k, count in enumerate(counts):
        if together and together + count > most:
            yield slice(first, k)
            first, together = k, 0
        together += count
    if first < len(counts):
        yield slice(first, len(counts))


def _decode_some(
    loaded: NativeModel, coded: Sequence[bytes], counts: Sequence[int], possible: NDArray[np.uint8], finals: NDArray[np.uint32]
) -> list[list[Bitmap]]:
    """The bitmaps of some streams."""
    from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, Bitmap

    sizes = np.empty((sum(counts), 3), np.int32)
    ink = np.empty(len(sizes) * BITMAP_SIDE_MAX**2, np.uint8)  # of which a part is used
    loaded.decode_bitmaps(coded, np.array(counts, np.int32), sizes, ink, possible, finals)
    starts = np.cumsum([0, *(height * width for height, width, _ in sizes.tolist())]).tolist()
    each = [
        Bitmap(ink[start : start + height * width].reshape(height, width).astype(bool), shift)
        for start, (height, width, shift) in zip(starts, sizes.tolist(), strict=False)
    ]
    bitmaps = iter(each)
    return [[next(bitmaps) for _ in range(count)] for count in counts]


def _octets(values: NDArray[Any]) -> NDArray[np.uint8]:
    """A contiguous array of bytes."""
    return np.ascontiguousarray(values, np.uint8)


def _symbols(y: Integers) -> NDArray[np.int8]:
    """A contiguous array of symbols; those that do not fit are refused, as they are beyond the bounds of every model."""
    small = np.ascontiguousarray(y, np.int8)
    if not np.array_equal(small, y):
        raise ValueError("a symbol is out of its range")
    return small


def _latent_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the latent of an image."""
    return -(-height // GREY_BLOCK), -(-width // GREY_BLOCK)


def _counts(shapes: Sequence[Sequence[tuple[int, int]]]) -> NDArray[np.int32]:
    """The number of images of each stream."""
    return np.array([len(of_stream) for of_stream in shapes], np.int32)


def _finals(coded: Sequence[bytes]) -> NDArray[np.uint32]:
    """Room for the final state of each stream, which must begin with a possible state."""
    first_states(coded)
    return np.empty((len(coded), 2), np.uint32)


def _final_states(finals: NDArray[np.uint32]) -> FinalStates:
    return FinalStates(finals[:, 0].astype(np.int64), finals[:, 1] == 0)


_extension = extension()
NATIVE = None if _extension is None else NativeEngine(_extension)
