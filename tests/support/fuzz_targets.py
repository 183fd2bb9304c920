"""What fuzzing feeds to every parser, and what must hold whatever comes in: only promised errors, and no wrong picture.

Each target takes the bytes of an input. A :class:`~mnistzip.errors.MnistzipError` is an answer, anything else that is raised a
finding. Checks guard most of the code behind them, so an archive's are put right for half of the inputs, and a model file is
made of arrays that were changed, rather than of a zip file that was.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

import mnistzip
from mnistzip import api, pretrained
from mnistzip.archive.group_header import HEADER_BYTES, LABELS, NAMES
from mnistzip.archive.index import END, ENTRY_BYTES, FOOTER_BYTES, START
from mnistzip.bitstream import container
from mnistzip.idx import read_idx
from mnistzip.io import image_file as images
from mnistzip.io.image_streams import open_stream
from mnistzip.models.registry import read_model
from mnistzip.plugins import pillow
from mnistzip.plugins.chunk_format import Chunk
from support.paths import DIGITS

PIXELS_MAX = 4096  # an input is decoded in milliseconds
IMAGES_MAX = 64
ALONE_MAX = 3  # of a part, read by themselves
MUTATIONS_MAX = 4
DIGIT = read_idx(DIGITS)[0]

Arrays = dict[str, NDArray[np.generic]]


@cache
def good() -> bytes:
    """A file that nothing is wrong with: it must decode to the same pixels whatever lies beside it."""
    return mnistzip.encode(DIGIT, effort=0)


@cache
def good_pixels() -> NDArray[np.uint8]:
    return mnistzip.decode(good())


def single(data: bytes) -> None:
    """A file: alone, beside another, and what it says of itself."""
    result, beside = api.decode_each([data, good()], max_pixels=PIXELS_MAX)
    assert np.array_equal(beside, good_pixels()), "a file changed what another one decodes to"
    if isinstance(result, mnistzip.MnistzipError):
        return
    assert (api.decode(data, max_pixels=PIXELS_MAX) == result).all(), "together it decodes to other pixels than alone"
    header, payload = container.parse(data)
    assert header.to_bytes() + payload == data, "a header has two forms"
    output = mnistzip.info(data)
    assert (output.height, output.width) == result.shape == mnistzip.preview(data).shape


def bare(data: bytes) -> None:
    """A stream without a header; its first four bytes are what both ends agree on."""
    if len(data) < 4:
        return
    quality, bits, width, height = data[:4]
    agreed = {"quality": quality % 100 + 1, "check_bits": bits % 24, "shape": (height % 60 + 1, width % 60 + 1)}
    stream = data[4:]
    try:
        image = mnistzip.decode_bare(stream, **agreed)
    except mnistzip.MnistzipError:
        return
    assert image.shape == agreed["shape"]


def archive(data: bytes) -> None:
    """An archive, read in every way; if its first byte is odd, with its checks put right."""
    content = mended(data[1:]) if data[:1] and data[0] & 1 else data[1:]
    for recover in (False, True):
        try:
            opened = mnistzip.Archive(content, max_pixels=PIXELS_MAX, recover=recover)
        except mnistzip.MnistzipError:
            continue
        for read in (
            lambda opened=opened: opened.names,
            lambda opened=opened: opened.labels,
            lambda opened=opened: opened.shape,
        ):
            with suppress(mnistzip.MnistzipError):
                read()
        try:
            parts = list(opened.parts(0, IMAGES_MAX, details=True))
        except mnistzip.MnistzipError:
            continue
        for part in parts:
            for index, image in list(enumerate(part.images, part.first))[:ALONE_MAX]:
                if not isinstance(image, mnistzip.MnistzipError):
                    assert (opened[index] == image).all(), "an image alone is not what it is among all"


def mended(data: bytes) -> bytes:
    """An archive with the checks of footer, index, heads, lanes, labels and names made to match."""
    end = len(data) - FOOTER_BYTES
    if end < 0:
        return data
    out = bytearray(START + data[4:])

    def check(at: int, start: int, stop: int) -> None:
        out[at : at + 4] = zlib.crc32(out[start:stop]).to_bytes(4, "little")

    out[-4:] = END
    groups, index_at = struct.unpack_from("<QQ", out, end + 8)
    check(len(out) - 8, end, len(out) - 8)
    for at in range(
        index_at, min(index_at + ENTRY_BYTES * (groups + 1), end - ENTRY_BYTES + 1, index_at + 64 * ENTRY_BYTES), ENTRY_BYTES
    ):
        check(at + 16, at, at + 16)
        head = int.from_bytes(out[at + 8 : at + 16], "little")
        if head + HEADER_BYTES > min(index_at, end):
            continue
        flags = out[head + 7]
        table, lanes, labels, names = struct.unpack_from("<IIII", out, head + 24)
        lanes_at = head + HEADER_BYTES + table
        check(head + 40, lanes_at, lanes_at + lanes)
        for flag, start, size in ((LABELS, lanes_at + lanes, labels), (NAMES, lanes_at + lanes + labels, names)):
            if flags & flag and 4 <= size <= end - start:
                try:
                    raw = zlib.decompressobj(-15).decompress(bytes(out[start + 4 : start + size]), 1 << 20)
                except zlib.error:
                    continue
                out[start : start + 4] = zlib.crc32(raw).to_bytes(4, "little")
        covered = bytes(out[head : head + HEADER_BYTES - 4]) + bytes(out[head + HEADER_BYTES : lanes_at])
        out[head + HEADER_BYTES - 4 : head + HEADER_BYTES] = zlib.crc32(covered).to_bytes(4, "little")
    return bytes(out)


@cache
def small_model() -> Arrays:
    """The arrays of ``classic``, which is the model that loads the fastest."""
    with np.load(Path(pretrained.__file__).with_name("classic.npz")) as file:
        return dict(file)


def model(data: bytes) -> None:
    """A model file: as it is, or if its first byte is odd, arrays changed as the rest says."""
    content = remade(data[1:]) if data[:1] and data[0] & 1 else data[1:]
    try:
        result = read_model(content, "fuzzed")
    except mnistzip.ModelError:
        return
    file = mnistzip.encode(DIGIT, model=result, effort=0)
    assert mnistzip.decode(file, model=result).shape == DIGIT.shape, "a model that was proved cannot decode what it coded"


def remade(data: bytes, model: Arrays | None = None) -> bytes:
    """A model file, by default :func:`small_model`, whose arrays and description are changed in up to four places."""
    arrays = dict(small_model() if model is None else model)
    names = sorted(arrays)
    meta = bytearray(arrays["meta"].tobytes())
    for start in range(0, min(len(data), MUTATIONS_MAX * 8), 8):
        what, which, at, value = struct.unpack("<BBHi", data[start : start + 8].ljust(8, b"\0"))
        name = names[which % len(names)]
        array = arrays[name]
        if name == "meta" or what % 8 == 0:
            meta[at % len(meta)] = value & 255
        elif what % 8 == 1:
            arrays[name] = array.astype(np.dtype(["i1", "u1", "<i2", ">i2", "<i4", "<u4", "<i8", "<f4"][value % 8]))
        elif what % 8 == 2:
            arrays[name] = array[: at % (len(array) + 1)]
        elif what % 8 == 3:
            arrays[name] = array.reshape(-1) if value % 2 else array[None]
        elif what % 8 == 4 and array.size:
            arrays[name] = array.astype(np.int32)
            arrays[name].reshape(-1)[at % array.size] = value
        elif what % 8 == 5:
            arrays[name] = np.full_like(array, value % 128)
        elif what % 8 == 6:
            del arrays[name]
            names.remove(name)
        else:
            arrays[name] = np.asfortranarray(array) if value % 2 else np.concatenate([array, array])
    if "meta" in arrays:
        arrays["meta"] = np.frombuffer(described(bytes(meta), data), np.uint8)
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def described(meta: bytes, data: bytes) -> bytes:
    """A description in JSON, of which the input moves a value or two."""
    try:
        output = json.loads(meta)
        picks = random.Random(zlib.crc32(data))
        for _ in range(len(data) % 3):
            layers = output[picks.choice(["analysis", "synthesis"])]
            layer = picks.choice(layers)
            if picks.random() < 0.5:
                layers.insert(picks.randrange(len(layers) + 1), dict(picks.choice(layers)))
            else:
                layer[picks.choice(list(layer))] = picks.choice(
                    [0, 1, 3, 7, -1, 1 << 24, None, [], "first", [0, 255], [-256, 255]]
                )
        return json.dumps(output).encode()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return meta


def data_set(data: bytes) -> None:
    """An IDX, ``.npy`` or ``.npz`` file, by its first byte, read as the command line reads it."""
    suffix = ("-ubyte", ".npy", ".npz", "-ubyte.gz")[data[0] % 4 if data else 0]
    path = Path(gettempdir()) / f"fuzzed-{id(data):x}{suffix}"
    path.write_bytes(data[1:])
    try:
        for item in islice(open_stream([str(path)]).items, IMAGES_MAX):
            assert isinstance(item.image, Exception) or item.image.dtype == np.uint8
        if "ubyte" in suffix:
            read_idx(path)
    except mnistzip.MnistzipError:
        pass
    finally:
        path.unlink()


def picture(data: bytes) -> None:
    """A file opened by Pillow: with our plugin, which may say no as Pillow's own readers do, and with ours around theirs."""
    try:
        with Image.open(io.BytesIO(data), formats=[pillow.FORMAT]) as image:
            if image.width * image.height <= PIXELS_MAX:
                image.load()
    except (UnidentifiedImageError, OSError):
        pass


def image_file(data: bytes) -> None:
    """The bytes of an image file, as ``mnistzip compress`` reads them."""
    try:
        pixels = images.parse_image("fuzzed.png", data, convert=bool(len(data) % 2))
    except mnistzip.MnistzipError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2


def chunk(data: bytes) -> None:
    """A chunk of an array, as the plugins of Zarr and numcodecs read it."""
    try:
        result = Chunk.parse(data)
        if np.prod(result.shape) <= PIXELS_MAX:
            assert result.unpack("mnist").shape == result.shape
    except mnistzip.MnistzipError:
        pass


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (single, bare, archive, model, data_set, picture, image_file, chunk)
}
