"""Write cases for ``engine/tests/cases.c``: inputs of each function of ``engine/mnistzip.h``, and what numpy makes of them.

    python tools/engine_cases.py cases.bin [--byteorder big] [--tiles 6] [--model mnist --model own]

The engine of numpy computes all expected outputs, for tiles that the image covers in whole and in part. A model whose name ends
in ``-wide`` has all its matrices in the layout for weights of more than 16 bits.

A file is a row of records of 64 bytes: 16 numbers of 32 bits in the byte order of the machine that reads it. These are the kind
of the case, seven parameters, and the sizes of up to eight arrays, which follow. Arrays are padded to multiples of 64 bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from mnistzip import tiling
from mnistzip.bitstream import container
from mnistzip.bitstream.bounded import nearest
from mnistzip.bitstream.container import Header
from mnistzip.bitstream.stream_layout import Streams
from mnistzip.coding import lossless
from mnistzip.coding.kinds import kind_of
from mnistzip.coding.lossy_decoder import decode_images, lossy_header
from mnistzip.engines import choice
from mnistzip.engines.interface import Intervals
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.entropy import rans
from mnistzip.errors import FormatError, UnsupportedError
from mnistzip.idx import read_idx
from mnistzip.limits import CHECK_BITS_MIN
from mnistzip.models import prepared
from mnistzip.models.bitmap.resampling import BITMAP_SIDE_MAX, BITMAP_SIDE_MIN, SHIFT_MAX, SHIFT_MIN, Bitmap
from mnistzip.models.registry import SHIPPED, Model, read_model, shipped
from mnistzip.nn.exact import Range
from mnistzip.types import Bools, Integers, Mode, Pixels

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.bitmap_models import a_bitmap, random_bitmap_model
from support.bitmaps import drawings
from support.grey_models import pictures, plain_grey_model, random_grey_model, some_symbols

TESTS = Path(__file__).parents[1] / "tests"
OWN = TESTS / "vectors" / "own" / "own.npz"
GREY = {"plain-grey": plain_grey_model, "random-grey": lambda: random_grey_model(5)}
BITMAPS = {"random-bitmap": lambda: random_bitmap_model(1), "other-bitmap": lambda: random_bitmap_model(3, 100)}
NO_VALUES = Range(1 << 40, -(1 << 40))  # makes every matrix wide
MODELS = (*SHIPPED, "own", "glyph-wide", "own-wide", *GREY, "plain-grey-wide", *BITMAPS, "random-bitmap-wide")
(
    END, MODEL, ANALYSE, FIRST_LATENT, REFINE, REFINE_TO_BUDGET, LATENT_SYMBOLS, SYNTHESIZE, ENCODE_LATENTS, DECODE_LATENTS,
    PIXEL_SYMBOLS, ENCODE_PIXELS, DECODE_PIXELS, ENCODE_INTERVALS, ANALYSE_IMAGE, REFINE_IMAGE, IMAGE_SYMBOLS, SYNTHESIZE_IMAGE,
    DECODE_IMAGE_LATENTS, IMAGE_PIXEL_SYMBOLS, DECODE_PIXEL_IMAGES, FIND_BITMAP, DIGIT_OF, BITMAP_SYMBOLS, DECODE_BITMAPS,
    READ_HEADER, ENCODE_FILE, DECODE_FILE, MEASURE_FILE,
) = range(29)  # fmt: skip
OK, ERROR_STREAM, ERROR_NO_FILE, ERROR_UNSUPPORTED, ERROR_DAMAGED, ERROR_KIND, ERROR_IMAGE = (
    0,
    6,
    8,
    9,
    10,
    11,
    12,
)  # of mnz_status
ALIGNMENT, PARAMETERS, ARRAYS = 64, 7, 8
EFFORTS = (0, 1, 2, 3)
BUDGETS = ((0, 0.5), (1, 0.7))  # effort, and the part of the bits of the first latent that is allowed
TILES_OF_BUDGETS = 3  # this search is the slowest
TILES_IF_WIDE = 3
TILES_OF_STREAMS = (1, 3, 16)
CHECK_BITS = (0, 5, 16, 23)
MAX_ERRORS = (0, 4, 40)  # 0: without loss
SIZES = ((1, 1), (28, 28), (5, 9), (30, 20), (41, 3), (3, 70))  # of images of models of the kind grey
SIZES_OF_BITMAPS = ((20, 1), (1, 21), (30, 24), (55, 60), (128, 70))
SIZES_OF_FILES = ((28, 28), (5, 33), (1, 1), (29, 233))  # the last has 18 tiles, and so two streams
FILE, BARE_BITS = -1, (0, 23)
SIZES_OF_HEADERS = ((28, 28), (1, 1), (65535, 127), (128, 16384), (28, 29))


class Writer:
    """Writes records and arrays for a machine of a byte order."""

    def __init__(self, path: Path, byteorder: str) -> None:
        self._file = path.open("wb")
        self._order = ">" if byteorder == "big" else "<"
        self.cases = 0

    def case(self, kind: int, *parameters: int, arrays: tuple[np.ndarray | bytes, ...] = ()) -> None:
        """A record and its arrays."""
        content = [
            array if isinstance(array, bytes) else array.astype(array.dtype.newbyteorder(self._order)).tobytes()
            for array in arrays
        ]
        signed = [(value + 2**31) % 2**32 - 2**31 for value in parameters]
        sizes = [*map(len, content), *[-1] * (ARRAYS - len(content))]
        record = [kind, *signed, *[0] * (PARAMETERS - len(signed)), *sizes]
        for part in (np.array(record, f"{self._order}i4").tobytes(), *content):
            self._file.write(part + bytes(-len(part) % ALIGNMENT))
        self.cases += kind not in (END, MODEL)

    def close(self) -> None:
        """End the file."""
        self.case(END)
        self._file.close()


def find(name: str) -> Model:
    """A shipped model, the one of the golden files that has a layer of each kind, or one of another kind made for tests."""
    name = name.removesuffix("-wide")
    if made := (GREY | BITMAPS).get(name):
        return made()
    return read_model(OWN.read_bytes(), "own") if name == "own" else shipped(name)


def prepare(name: str, byteorder: str) -> bytes:
    """The prepared model of a name in ``MODELS``."""
    if not name.endswith("-wide"):
        return prepared.prepare(find(name), byteorder)
    with patch.object(prepared.writer, "NARROW", NO_VALUES):
        return prepared.prepare(find(name), byteorder)


def tiles(count: int) -> tuple[Pixels, Bools]:
    """Digits, textures and noise; a half of the tiles lies partly outside the image."""
    digits = read_idx(TESTS / "data" / "digits-idx3-ubyte.gz")
    rows, columns = np.mgrid[:28, :28]
    plaid = ((rows * 9 % 256) ^ (columns * 7 % 256)).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    images = [digits[0], digits[1][:20, :17], plaid, noise[:5, :28], 255 - digits[2], plaid[:28, :1], digits[3], noise[:1, :1]]
    images += [digit if k % 2 else digit[4:26, 3:] for k, digit in enumerate(digits[4:])]
    chosen = images[:count]
    x = np.concatenate([tiling.to_tiles(image) for image in chosen])
    return x, tiling.covered([image.shape for image in chosen])


def lossy_cases(out: Writer, model: Model, x: Pixels, inside: Bools, random: np.random.Generator) -> None:
    """Analysis, search, synthesis and code lengths."""
    quality = random.integers(0, 100, len(x))
    quality[:5] = (19, 84, 49, 99, 0)[: len(x)]
    analysed = model.transforms.analyse(x, quality)
    first = NUMPY.first_latents(model, x, inside, quality)
    bits = NUMPY.latent_symbols(model, first, quality).bits
    alphabet = model.transforms.symbols
    noise = random.integers(alphabet.low, alphabet.high + 1, first.shape)
    for y in (first, noise):
        x_hat, symbols = NUMPY.synthesize(model, y, quality), NUMPY.latent_symbols(model, y, quality)
        for k, q in enumerate(quality.tolist()):
            out.case(SYNTHESIZE, q, arrays=(y[k].astype(np.int8), x_hat[k]))
            out.case(LATENT_SYMBOLS, q, arrays=(y[k].astype(np.int8), *(column[k] for column in symbols)))
    for k, q in enumerate(quality.tolist()):
        out.case(ANALYSE, q, arrays=(x[k], analysed[k].astype(np.int8)))
        out.case(FIRST_LATENT, q, arrays=(x[k], inside[k], first[k].astype(np.int8)))
    for effort in EFFORTS:
        refined = NUMPY.refine(model, x, inside, first, quality, effort)
        for k, q in enumerate(quality.tolist()):
            out.case(REFINE, q, effort, arrays=(x[k], inside[k], first[k].astype(np.int8), refined[k].astype(np.int8)))
    x, inside, quality = x[:TILES_OF_BUDGETS], inside[:TILES_OF_BUDGETS], quality[:TILES_OF_BUDGETS]
    for effort, part in BUDGETS:
        limit = (bits[: len(x)] * part).astype(np.int64)
        fitted = NUMPY.refine_to_budget(model, x, inside, quality, effort, limit)
        for k, q in enumerate(quality.tolist()):
            out.case(REFINE_TO_BUDGET, q, effort, arrays=(limit[k : k + 1], x[k], inside[k], fitted[k].astype(np.int8)))


def damaged(stream: bytes, random: np.random.Generator) -> list[bytes]:
    """A stream, whole and damaged."""
    flipped = bytearray(stream)
    flipped[random.integers(len(stream))] ^= 1 << random.integers(8)
    middle = len(stream) // 2
    return [
        stream,
        bytes(flipped),
        stream[:middle],
        stream + b"\1",
        stream[1:],
        b"",
        b"\0" + stream,
        stream[:1],
        random.bytes(9),
    ]


def latent_stream_cases(out: Writer, model: Model, y: Integers, random: np.random.Generator) -> None:
    """Streams of latents. ``y`` holds 16 latents or more."""
    for count in TILES_OF_STREAMS:
        streams, own = Streams.from_tile_counts([count]), y[:count]
        for interleaved in (False, True):
            for bits in CHECK_BITS:
                check = random.integers(0, 1 << 32, 1)
                mixed = random.integers(0, 100, count)
                symbols = NUMPY.latent_symbols(model, own, mixed)
                (stream,) = NUMPY.encode_latents(symbols, streams, check, bits, interleaved)
                expected = *symbols, check.astype(np.uint32), stream
                out.case(ENCODE_LATENTS, count, interleaved, bits, arrays=expected)
                quality = random.integers(0, 100, 1)
                symbols = NUMPY.latent_symbols(model, own, quality.repeat(count))
                (stream,) = NUMPY.encode_latents(symbols, streams, check, bits, interleaved)
                for coded in damaged(stream, random):
                    head = int(quality[0]), count, int(interleaved), bits
                    try:
                        decoded, finals = NUMPY.decode_latents(model, [coded], quality, streams, interleaved)
                    except FormatError:
                        out.case(DECODE_LATENTS, *head, ERROR_STREAM, arrays=(coded,))
                        continue
                    passed = finals.verify(check, bits)
                    final = np.array([finals.x[0], finals.used_up[0], check[0], passed[0]], np.uint32)
                    out.case(DECODE_LATENTS, *head, OK, arrays=(coded, decoded.astype(np.int8), final))


def pixel_cases(out: Writer, model: Model, x: Pixels, inside: Bools, random: np.random.Generator) -> None:
    """The pixel model and its streams."""
    for max_error in MAX_ERRORS:
        _pixel_cases(out, model, nearest(x * inside, max_error), inside, max_error, random)


def _pixel_cases(out: Writer, model: Model, x: Pixels, inside: Bools, max_error: int, random: np.random.Generator) -> None:
    symbols = NUMPY.pixel_symbols(model, x, inside, max_error)
    parts = symbols.split([1] * len(x))
    for k, part in enumerate(parts):
        out.case(PIXEL_SYMBOLS, max_error, arrays=(x[k], inside[k], part.turn, part.start, part.freq_less_one))
    for count in sorted({1, min(3, len(x)), min(16, len(x))}):
        streams, check = Streams.from_tile_counts([count]), random.integers(0, 1 << 32, 1)
        some, mask = symbols.join(parts[:count]), inside[:count]
        (stream,) = NUMPY.encode_pixels(some, streams, check)
        out.case(ENCODE_PIXELS, count, arrays=(*some, check.astype(np.uint32), stream))
        for preview in (False, True):
            for coded in damaged(stream, random):
                try:
                    decoded, possible, finals = NUMPY.decode_pixels(model, [coded], mask, streams, max_error, preview)
                except FormatError:
                    out.case(DECODE_PIXELS, count, preview, ERROR_STREAM, max_error, arrays=(coded, mask))
                    continue
                passed = finals.verify(check)
                final = np.array([finals.x[0], finals.used_up[0], check[0], passed[0]], np.uint32)
                out.case(DECODE_PIXELS, count, preview, OK, max_error, arrays=(coded, mask, decoded, possible, final))


def grey_cases(out: Writer, model: Model, random: np.random.Generator) -> None:
    """Whole images: analysis, search, intervals, synthesis and streams."""
    latents = []
    for k, (height, width) in enumerate(SIZES):
        quality, effort = int(random.integers(0, 100)), 1 + k % 3
        x = pictures(random, 1, height, width)
        first = NUMPY.analyse_images(model, x, quality)
        rows, columns = first.shape[1:3]
        out.case(ANALYSE_IMAGE, quality, height, width, arrays=(x, first.astype(np.int8)))
        for y in (first, some_symbols(random, model, 1, rows, columns, quality)):
            x_hat, symbols = NUMPY.synthesize_images(model, y, quality, (height, width)), NUMPY.image_symbols(model, y, quality)
            out.case(SYNTHESIZE_IMAGE, quality, height, width, arrays=(y.astype(np.int8), x_hat))
            out.case(IMAGE_SYMBOLS, quality, rows, columns, arrays=(y.astype(np.int8), *symbols))
            lmbda = int(model.lmbda[quality])
            refined = NUMPY.refine_image(model, x[0], y[0], quality, effort, lmbda)
            arrays = x, y.astype(np.int8), refined.astype(np.int8)
            out.case(REFINE_IMAGE, quality, height, width, effort, lmbda, arrays=arrays)
        latents.append(some_symbols(random, model, 1, rows, columns, 60))
    for count in (1, 3, len(SIZES)):
        grey_stream_cases(out, model, latents[:count], SIZES[:count], random)


def grey_stream_cases(
    out: Writer, model: Model, latents: list[Integers], sizes: Sequence[tuple[int, int]], random: np.random.Generator
) -> None:
    """A stream of images at the quality index 60, whole and damaged."""
    shapes = np.array([y.shape[1:3] for y in latents], np.int32)
    parts = [NUMPY.image_symbols(model, y, 60) for y in latents]
    symbols = Intervals(*(np.concatenate([part[k][0] for part in parts]) for k in range(2)))
    for bits in CHECK_BITS:
        check = random.integers(0, 1 << 32, 1)
        (stream,) = NUMPY.encode_streams([symbols], check, bits)
        for coded in damaged(stream, random):
            head = 60, len(latents), bits
            try:
                decoded, finals = NUMPY.decode_image_latents(model, [coded], 60, [sizes])
            except FormatError:
                out.case(DECODE_IMAGE_LATENTS, *head, ERROR_STREAM, arrays=(coded, shapes))
                continue
            passed = finals.verify(check, bits)
            final = np.array([finals.x[0], finals.used_up[0], check[0], passed[0]], np.uint32)
            joined = np.concatenate([y.reshape(-1) for y in decoded[0]]).astype(np.int8)
            out.case(DECODE_IMAGE_LATENTS, *head, OK, arrays=(coded, shapes, joined, final))


def grey_pixel_cases(out: Writer, model: Model, random: np.random.Generator) -> None:
    """Whole images by the pixel model: intervals, and a stream of all images, whole and damaged."""
    shapes = np.array(SIZES, np.int32)
    for max_error in MAX_ERRORS:
        images = [nearest(pictures(random, 1, *size), max_error) for size in SIZES]
        parts = [NUMPY.image_pixel_symbols(model, x, max_error).select(0) for x in images]
        for x, symbols, size in zip(images, parts, SIZES, strict=True):
            out.case(IMAGE_PIXEL_SYMBOLS, max_error, *size, arrays=(x, *symbols))
        check = random.integers(0, 1 << 32, 1)
        (stream,) = NUMPY.encode_streams([Intervals.join(parts)], check)
        for coded in damaged(stream, random):
            try:
                decoded, finals = NUMPY.decode_pixel_images(model, [coded], [SIZES], max_error)
            except FormatError:
                out.case(DECODE_PIXEL_IMAGES, max_error, len(SIZES), ERROR_STREAM, arrays=(coded, shapes))
                continue
            final = np.array([finals.x[0], finals.used_up[0], check[0], finals.verify(check)[0]], np.uint32)
            joined = np.concatenate([x.reshape(-1) for x in decoded[0]])
            out.case(DECODE_PIXEL_IMAGES, max_error, len(SIZES), OK, arrays=(coded, shapes, joined, final))


def bitmap_model_cases(out: Writer, model: Model, random: np.random.Generator) -> None:
    """Bitmaps: intervals, and streams of some of them, whole and damaged."""
    bitmaps = [a_bitmap(random, size) for size in SIZES_OF_BITMAPS]
    symbols = NUMPY.bitmap_symbols(model, bitmaps)
    for (ink, shift), of_bitmap in zip(bitmaps, symbols, strict=True):
        out.case(BITMAP_SYMBOLS, *ink.shape, shift, arrays=(ink.astype(np.uint8), *of_bitmap))
    for count in (0, 1, len(bitmaps)):
        check = random.integers(0, 1 << 32, 1)
        nothing = np.zeros(0, np.uint16)
        (stream,) = NUMPY.encode_streams([Intervals.join([Intervals(nothing, nothing), *symbols[:count]])], check)
        for coded in damaged(stream, random):
            try:
                (decoded,), (possible,), finals = NUMPY.decode_bitmaps(model, [coded], [count])
            except FormatError:
                out.case(DECODE_BITMAPS, count, ERROR_STREAM, arrays=(coded,))
                continue
            final = np.array([finals.x[0], finals.used_up[0], check[0], finals.verify(check)[0]], np.uint32)
            sizes = np.array([(*ink.shape, shift) for ink, shift in decoded], np.int32)
            joined = np.concatenate([np.zeros(0, bool), *(ink.ravel() for ink, _ in decoded)]).astype(np.uint8)
            arrays = coded, sizes, joined, NUMPY.digits_of(decoded), final
            out.case(DECODE_BITMAPS, count, OK, possible, arrays=arrays)


def interval_cases(out: Writer, random: np.random.Generator) -> None:
    """Streams of intervals of all lengths, those of 1 and 65536 included."""
    for bits in range(24):
        symbols = int(random.integers(0, 60))
        length = np.minimum(2 ** random.uniform(0, 16.2, symbols), 65536).astype(np.int64)
        start = (random.uniform(0, 1, symbols) * (65537 - length)).astype(np.int64)
        check = random.integers(0, 1 << 32, 1)
        (stream,) = rans.encode(start[None], length[None], check, bits)
        expected = start.astype(np.uint16), (length - 1).astype(np.uint16), check.astype(np.uint32), stream
        out.case(ENCODE_INTERVALS, bits, arrays=expected)


def bitmap_cases(out: Writer, random: np.random.Generator) -> None:
    """Digits, those of drawn bitmaps and changed ones; the bitmaps that are found, and digits of any bitmaps."""
    smallest = Bitmap(random.random((BITMAP_SIDE_MIN, BITMAP_SIDE_MIN)) < 0.5, 0)
    drawn = NUMPY.digits_of([*drawings(random, 12), smallest])
    x = np.concatenate([read_idx(TESTS / "data" / "digits-idx3-ubyte.gz")[:8], drawn])
    x = np.concatenate([x, x ^ (random.random(x.shape) < 2e-3) * (x > 1), tiles(8)[0]]).astype(np.uint8)
    for digit, bitmap in zip(x, NUMPY.find_bitmaps(x), strict=True):
        found = (0, 0, 0) if bitmap is None else (*bitmap.ink.shape, bitmap.shift)
        ink = np.empty(0, np.uint8) if bitmap is None else bitmap.ink.astype(np.uint8)
        out.case(FIND_BITMAP, *found, arrays=(digit, ink))
    for side in range(BITMAP_SIDE_MIN, BITMAP_SIDE_MAX + 1):
        ink = random.random(random.permutation([side, int(random.integers(1, side + 1))])) < random.choice([0.1, 0.5, 1])
        bitmap = Bitmap(ink, int(random.integers(SHIFT_MIN, SHIFT_MAX + 1)))
        out.case(DIGIT_OF, *ink.shape, bitmap.shift, arrays=(ink.astype(np.uint8), NUMPY.digits_of([bitmap])))


def header_cases(out: Writer, random: np.random.Generator) -> None:
    """Headers of all forms; each of them cut short, and with each byte changed."""
    kinds = [(Mode.LOSSY, 1, None), (Mode.LOSSY, 100, None), (Mode.LOSSLESS, None, None)]
    kinds += [(Mode.BOUNDED, None, 1), (Mode.BOUNDED, None, 64)]
    named = [0, 5, 13, b"\1\2\3\xff"]
    headers = [
        Header(mode, *size, model=model, quality=quality, max_error=max_error).to_bytes()
        for mode, quality, max_error in kinds
        for model in named
        for size in SIZES_OF_HEADERS
    ]
    for header in headers:
        for data in (header, header + b"\5"):
            _header_case(out, data)
        _header_case(out, header[: int(random.integers(len(header)))])
        for at in range(len(header)):
            changed = bytearray(header + b"\0")
            changed[at] = random.choice(
                [0, 1, changed[at] ^ 1 << int(random.integers(8)), changed[at] ^ 128, 100, 101, 102, 255]
            )
            _header_case(out, bytes(changed))
    for size in ((1 << 28) - 1, 1 << 28, 65536, 0):
        _header_case(out, container.MAGIC + b"\xd0" + container.varint(size) + b"\5")
    _header_case(out, container.MAGIC + b"\xd0\x85\x80\0\5")


def _header_case(out: Writer, data: bytes) -> None:
    try:
        header, payload = container.parse(data, 1 << 32)
    except FormatError as error:
        status = ERROR_UNSUPPORTED if isinstance(error, UnsupportedError) else ERROR_DAMAGED
        if not container.is_cae(data):
            status = ERROR_NO_FILE
        elif data[1] == container.MAGIC[1] and data[2:3] >= b"\x80" and data[2] >> 4 & 3 == Mode.STORED:
            status = ERROR_UNSUPPORTED  # the library stops here
        out.case(READ_HEADER, status, arrays=(data,))
        return
    if header.mode is Mode.STORED:
        out.case(READ_HEADER, ERROR_UNSUPPORTED, arrays=(data,))
        return
    *numbers, fingerprint = _numbers(header)
    fields = np.array([*numbers, len(data) - len(payload)], np.int32)
    out.case(READ_HEADER, OK, arrays=(data, fields, fingerprint))


def _numbers(header: Header) -> tuple[int, int, int, int, int, int, bytes]:
    """A header as the library has it: mode, width, height, number, quality, largest error, fingerprint."""
    number, name = (15, header.model) if isinstance(header.model, bytes) else (int(header.model or 0), bytes(4))
    return int(header.mode), header.width, header.height, number, header.quality or 0, header.max_error or 0, name


def file_cases(out: Writer, model: Model, random: np.random.Generator) -> None:
    """Whole images of all modes: what they measure, their files and bare streams, and payloads, whole and damaged."""
    digits = read_idx(TESTS / "data" / "digits-idx3-ubyte.gz")
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in digits[:20].reshape(2, 10, 28, 28)])
    with choice.use(NUMPY):
        if model.is_bitmap:
            _bitmap_file_cases(out, model, digits, random)
            return
        for k, (height, width) in enumerate(SIZES_OF_FILES):
            image = np.ascontiguousarray(sheet[:height, 10 : 10 + width] if k else digits[1])
            _lossy_file_cases(out, model, image, int(random.integers(1, 101)), k % 2, random)
            if model.has_pixel_model:
                for max_error in MAX_ERRORS[: 1 + (k > 0)]:
                    _lossless_file_cases(out, model, image, max_error, random)


def _lossy_file_cases(out: Writer, model: Model, image: Pixels, quality: int, effort: int, random: np.random.Generator) -> None:
    header, images = lossy_header(model, image.shape, quality), kind_of(model).images([image])
    latents = images.refine(model, images.first(model, [quality]), [quality], effort)
    *numbers, name = _numbers(header)
    parameters = *numbers, effort
    measured = np.array([latents[0].bits, images.errors(model, latents, [quality])[0]], np.int64)
    out.case(MEASURE_FILE, *parameters, arrays=(name, image, measured))
    for bits in (FILE, *BARE_BITS):
        check_bits = CHECK_BITS_MIN if bits == FILE else bits
        (payload,) = kind_of(model).encode([header.to_bytes()], [[latent] for latent in latents], check_bits)
        file = header.to_bytes() + payload if bits == FILE else payload
        out.case(ENCODE_FILE, *parameters, arrays=(name, image, np.array([bits, OK], np.int32), file))
        for coded in damaged(payload, random)[: 6 if bits == FILE else 2]:
            (result,) = decode_images(model, [(header, coded)], check_bits)
            _decode_case(out, parameters, name, coded, check_bits, result)


def _lossless_file_cases(out: Writer, model: Model, image: Pixels, max_error: int, random: np.random.Generator) -> None:
    header, near = lossless.lossless_header(model, image.shape, max_error), nearest(image, max_error)
    symbols = lossless.pixel_symbols(model, [near], max_error)
    *numbers, name = _numbers(header)
    parameters = *numbers, 0
    if (of_image := symbols[0]) is None:
        arrays = name, image, np.array([FILE, ERROR_IMAGE], np.int32), b""
        out.case(ENCODE_FILE, *parameters, arrays=arrays)
        return
    measured = np.array([of_image.bits, ((near.astype(int) - image) ** 2).sum()], np.int64)
    out.case(MEASURE_FILE, *parameters, arrays=(name, image, measured))
    (payload,) = lossless.encode_payloads(model, [header.to_bytes()], [near], [of_image])
    file = header.to_bytes() + payload
    out.case(ENCODE_FILE, *parameters, arrays=(name, image, np.array([FILE, OK], np.int32), file))
    for coded in damaged(payload, random)[:6]:
        (result,) = lossless.decode_files(model, [(header, coded)], max_error)
        _decode_case(out, parameters, name, coded, CHECK_BITS_MIN, result)


def _decode_case(
    out: Writer, parameters: Sequence[int], name: bytes, payload: bytes, check_bits: int, result: Pixels | FormatError
) -> None:
    is_damaged = isinstance(result, FormatError)
    more = np.array([check_bits, ERROR_DAMAGED if is_damaged else OK], np.int32)
    out.case(DECODE_FILE, *parameters, arrays=(name, payload, more, b"" if isinstance(result, FormatError) else result))


def _bitmap_file_cases(out: Writer, model: Model, digits: Pixels, random: np.random.Generator) -> None:
    for image in (*digits[:3], 255 - digits[0], digits[0][:27]):
        _lossless_file_cases(out, model, np.ascontiguousarray(image), 0, random)
    *numbers, name = _numbers(Header(Mode.BOUNDED, 28, 28, model=model.named, max_error=2))
    out.case(ENCODE_FILE, *numbers, 0, arrays=(name, digits[0], np.array([FILE, ERROR_KIND], np.int32), b""))
    out.case(DECODE_FILE, *numbers, 0, arrays=(name, b"\1\2", np.array([16, ERROR_KIND], np.int32), b""))
    *numbers, name = _numbers(Header(Mode.LOSSLESS, 28, 27, model=model.named))
    out.case(DECODE_FILE, *numbers, 0, arrays=(name, b"\1\2", np.array([16, ERROR_DAMAGED], np.int32), b""))


def write(path: Path, names: list[str], byteorder: str, count: int, report: Callable[[str], None] = lambda _: None) -> int:
    """Write the cases of some models, and return their number."""
    out, random = Writer(path, byteorder), np.random.default_rng(2)
    for name in names:
        model = find(name)
        if model.is_bitmap:
            report(name)
            out.case(MODEL, model.has_pixel_model, arrays=(prepare(name, byteorder),))
            bitmap_model_cases(out, model, random)
            file_cases(out, model, random)
            continue
        if model.is_grey:
            report(name)
            out.case(MODEL, model.has_pixel_model, arrays=(prepare(name, byteorder),))
            grey_cases(out, model, random)
            if model.has_pixel_model:
                grey_pixel_cases(out, model, random)
            file_cases(out, model, random)
            continue
        x, inside = tiles(min(count, TILES_IF_WIDE) if name.endswith("-wide") else count)
        report(name)
        out.case(MODEL, model.has_pixel_model, arrays=(prepare(name, byteorder),))
        lossy_cases(out, model, x, inside, random)
        y = np.resize(NUMPY.first_latents(model, x, inside, np.full(len(x), 60)), (max(TILES_OF_STREAMS), 196))
        latent_stream_cases(out, model, y, random)
        if model.has_pixel_model:
            pixel_cases(out, model, x, inside, random)
        file_cases(out, model, random)
        if name == names[0]:
            header_cases(out, random)
            interval_cases(out, random)  # without a model, so once
            bitmap_cases(out, random)
    out.close()
    return out.cases


def main() -> None:
    parser = argparse.ArgumentParser(description="Write cases for engine/tests/cases.c.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--byteorder", choices=("little", "big"), default=sys.byteorder)
    parser.add_argument("--tiles", type=int, default=6, help="of each model")
    parser.add_argument("--model", action="append", choices=MODELS, help="by default all")
    options = parser.parse_args()
    names = options.model or list(MODELS)
    cases = write(options.path, names, options.byteorder, options.tiles, lambda name: print(name, end=" ", flush=True))
    print(f"| {cases} cases, {options.path.stat().st_size >> 20} MB")


if __name__ == "__main__":
    main()
