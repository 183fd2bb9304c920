"""Image to file and back: the way through the house.

    image -> tiles -> analysis -> symbols (-> refined) -> intervals -> rANS streams -> payload behind a header

and the same way back. Batches take every step together; a batch gives the very files that its images give one by one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistzip import container, model as models, rans
from mnistzip.container import Header, Method, Mode
from mnistzip.errors import FormatError, ImageError, LimitError, ModelError
from mnistzip.metrics import psnr
from mnistzip.model import Model
from mnistzip.refine import TRIALS, refine
from mnistzip.transform import SYMBOLS, TILE, chunks

DEFAULT_QUALITY = 50
DEFAULT_EFFORT = 3
EFFORT_MAX = len(TRIALS) - 1
TILES_PER_STREAM = 16
STORED_CHECK_BYTES = 2

Pixels = NDArray[np.uint8]
Ints = NDArray[np.int64]


def encode(
    image: ArrayLike,
    *,
    quality: int = DEFAULT_QUALITY,
    lossless: bool = False,
    effort: int = DEFAULT_EFFORT,
    max_bytes: int | None = None,
    min_psnr: float | None = None,
    model: str | Path | Model = models.DEFAULT,
) -> bytes:
    """Code one greyscale image into the bytes of a ``.cae`` file.

    Args:
        image: uint8 array of shape ``(H, W)``.
        quality: 1 (smallest) to 100 (best). Not used when a budget is given.
        lossless: keep every pixel.
        effort: 0 (fastest) to 9 (smallest). Decoding costs the same.
        max_bytes: the best quality whose whole file has at most so many bytes.
        min_psnr: the smallest file that reaches so many dB, lossless if nothing lossy does.
        model: name of a shipped model, path of a model file, or a loaded :class:`~mnistzip.model.Model`.

    Raises:
        ImageError: not a greyscale image of 8 bits, or too large.
        LimitError: no file meets the budget.
        ModelError: no such model.
    """
    return encode_many(
        [np.asarray(image)],
        quality=quality,
        lossless=lossless,
        effort=effort,
        max_bytes=max_bytes,
        min_psnr=min_psnr,
        model=model,
    )[0]


def decode(data: bytes, *, model: str | Path | Model | None = None, max_pixels: int = container.PIXELS_MAX) -> Pixels:
    """Decode the bytes of a ``.cae`` file to a uint8 array of shape ``(H, W)``.

    Args:
        data: the whole file.
        model: the custom model that a file names by its fingerprint; shipped models are found without it.
        max_pixels: larger images are refused before memory is taken.

    Raises:
        FormatError: damaged, cut short, or not a mnistzip file.
        LimitError: more pixels than allowed.
        ModelError: the file needs a model that is not at hand.
    """
    return decode_many([data], model=model, max_pixels=max_pixels)[0]


def encode_many(
    images: Sequence[ArrayLike] | Pixels,
    *,
    quality: int = DEFAULT_QUALITY,
    lossless: bool = False,
    effort: int = DEFAULT_EFFORT,
    max_bytes: int | None = None,
    min_psnr: float | None = None,
    model: str | Path | Model = models.DEFAULT,
) -> list[bytes]:
    """Code many images together: the same files as :func:`encode` gives one by one, faster.

    Args:
        images: uint8 array of shape ``(N, H, W)`` or a sequence of ``(H, W)`` arrays of any sizes.
    """
    if not 1 <= quality <= container.QUALITY_MAX:
        raise ImageError(f"quality {quality} is outside 1..{container.QUALITY_MAX}")
    if not 0 <= effort <= EFFORT_MAX:
        raise ImageError(f"effort {effort} is outside 0..{EFFORT_MAX}")
    pixels = [_as_image(image, index) for index, image in enumerate(images)]
    if lossless:
        files = [_store(image) for image in pixels]
        for index, file in enumerate(files):
            _require_fits(file, max_bytes, index, "lossless")
        return files
    lossy = _Lossy(models.find(model), pixels, effort)
    if min_psnr is not None:
        return lossy.reach(min_psnr, max_bytes)
    if max_bytes is not None:
        return lossy.fit(max_bytes)
    return lossy.files([quality] * len(pixels), range(len(pixels)))


def decode_many(
    files: Sequence[bytes], *, model: str | Path | Model | None = None, max_pixels: int = container.PIXELS_MAX
) -> list[Pixels]:
    """Decode many files together: the same images as :func:`decode` gives one by one, faster."""
    parsed = [container.parse(bytes(data), max_pixels) for data in files]
    images: list[Pixels | None] = [None] * len(parsed)
    lossy: list[int] = []
    for index, (header, payload) in enumerate(parsed):
        if header.mode is Mode.STORED:
            images[index] = _unstore(header, payload)
        else:
            lossy.append(index)
    name = {index: parsed[index][0].model for index in lossy}
    for wanted, members in groupby(sorted(lossy, key=lambda i: repr(name[i])), key=lambda i: repr(name[i])):
        group = list(members)
        found = _model_for(parsed[group[0]][0], model)
        for index, image in zip(group, _decode_lossy(found, [parsed[i] for i in group]), strict=True):
            images[index] = image
    return [image for image in images if image is not None]


@dataclass(frozen=True)
class Info:
    """What a file says of itself, without decoding it."""

    mode: str
    model: str
    quality: int | None
    width: int
    height: int
    tiles: int
    header_bytes: int
    payload_bytes: int


def info(data: bytes) -> Info:
    """Describe a file by its header; the payload is not looked at."""
    header, payload = container.parse(bytes(data), container.SIDE_MAX**2)
    if header.mode is Mode.STORED:
        assert header.method is not None
        name, mode = f"none ({header.method.name.lower()})", "lossless"
    else:
        names = {number: shipped for shipped, number in models.SHIPPED.items()}
        name = header.model.hex() if isinstance(header.model, bytes) else names.get(header.model or 0, f"number {header.model}")
        mode = "lossy"
    tiles = 0 if header.mode is Mode.STORED else _tiles_in(header)
    size = (header.width, header.height)
    return Info(mode, name, header.quality, *size, tiles, len(data) - len(payload), len(payload))


def _as_image(image: ArrayLike, index: int) -> Pixels:
    array = np.asarray(image)
    where = f"image {index}" if index else "the image"
    if array.ndim != 2:
        raise ImageError(f"{where} has shape {array.shape}: give a greyscale image of shape (height, width)")
    if array.dtype != np.uint8:
        raise ImageError(f"{where} holds {array.dtype}: convert it to uint8 in 0..255 first")
    if not array.size or max(array.shape) > container.SIDE_MAX or array.size > container.PIXELS_MAX:
        limits = f"sides of 1..{container.SIDE_MAX} and at most {container.PIXELS_MAX} pixels"
        raise ImageError(f"{where} is {array.shape[1]}x{array.shape[0]}: the format takes {limits}")
    return np.ascontiguousarray(array)


def _require_fits(file: bytes, max_bytes: int | None, index: int, how: str) -> None:
    if max_bytes is not None and len(file) > max_bytes:
        where = f"image {index}" if index else "the image"
        raise LimitError(f"{where} takes {len(file)} bytes ({how}), more than the {max_bytes} allowed")


class _Lossy:
    """Images that were cut into tiles once, to be coded at one or several qualities."""

    def __init__(self, model: Model, images: list[Pixels], effort: int) -> None:
        self.model = model
        self.images = images
        self.effort = effort
        self.tiles = [_to_tiles(image) for image in images]

    def files(self, qualities: Sequence[int], which: Sequence[int]) -> list[bytes]:
        """Files of the images ``which`` at a quality each; stored where that is smaller."""
        if not which:
            return []
        headers = [self._header(self.images[i], q) for i, q in zip(which, qualities, strict=True)]
        counts = [len(self.tiles[i]) for i in which]
        x = np.concatenate([self.tiles[i] for i in which])
        row = np.repeat([self.model.row(q) for q in qualities], counts)
        y, value = self.model.transforms.analyse(x, row)
        y = refine(self.model, x, y, value, row, self.effort)
        streams = _encode_streams(self.model, headers, counts, y, row)
        out = []
        for i, header, payload in zip(which, headers, streams, strict=True):
            file = header.to_bytes() + payload
            raw_is_smaller = len(file) > self.images[i].size + STORED_CHECK_BYTES
            out.append(min(file, _store(self.images[i]), key=len) if raw_is_smaller else file)
        return out

    def fit(self, max_bytes: int) -> list[bytes]:
        """For each image the best quality whose file fits."""
        best: list[bytes | None] = []
        for image in self.images:
            stored = _store(image)
            best.append(stored if len(stored) <= max_bytes else None)
        rest = [i for i, file in enumerate(best) if file is None]
        highest = self._search(lambda index, file: len(file) <= max_bytes, rest)
        for index, file in zip(rest, self.files([max(q, 1) for q in highest], rest), strict=True):
            _require_fits(file, max_bytes, index, "at the lowest quality")
            best[index] = file
        return [file for file in best if file is not None]

    def reach(self, min_psnr: float, max_bytes: int | None) -> list[bytes]:
        """For each image the smallest file that reaches a PSNR."""

        def misses(index: int, file: bytes) -> bool:
            return psnr(self.images[index], decode(file, model=self.model)) < min_psnr

        everyone = list(range(len(self.images)))
        missed = self._search(misses, everyone)  # quality 100 if nothing lossy reaches it
        up = [i for i in everyone if missed[i] < container.QUALITY_MAX]
        lossy = dict(zip(up, self.files([missed[i] + 1 for i in up], up), strict=True))
        out = []
        for i in everyone:
            stored = _store(self.images[i])
            file = min(lossy.get(i, stored), stored, key=len)
            _require_fits(file, max_bytes, i, f"for {min_psnr:g} dB")
            out.append(file)
        return out

    def _search(self, holds: Callable[[int, bytes], bool], which: list[int]) -> list[int]:
        """For each image the highest quality at which ``holds(index, file)``, or 0, taking it to hold below that too."""
        low, high = [0] * len(which), [container.QUALITY_MAX] * len(which)
        while open_ := [k for k in range(len(which)) if low[k] < high[k]]:
            middle = [(low[k] + high[k] + 1) // 2 for k in open_]
            files = self.files(middle, [which[k] for k in open_])
            for k, q, file in zip(open_, middle, files, strict=True):
                if holds(which[k], file):
                    low[k] = q
                else:
                    high[k] = q - 1
        return low

    def _header(self, image: Pixels, quality: int) -> Header:
        height, width = image.shape
        name = self.model.fingerprint if self.model.number is None else self.model.number
        return Header(Mode.LOSSY, width, height, model=name, quality=quality)


def _to_tiles(image: Pixels) -> Pixels:
    """Cut an image into 28x28 tiles, row by row, edge pixels repeated: (H, W) -> (tiles, 28, 28)."""
    height, width = image.shape
    padded = np.pad(image, ((0, -height % TILE), (0, -width % TILE)), mode="edge")
    rows, columns = padded.shape[0] // TILE, padded.shape[1] // TILE
    return padded.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE)


def _from_tiles(tiles: Pixels, width: int, height: int) -> Pixels:
    """The inverse of :func:`_to_tiles`."""
    rows, columns = -(-height // TILE), -(-width // TILE)
    whole = tiles.reshape(rows, columns, TILE, TILE).swapaxes(1, 2).reshape(rows * TILE, columns * TILE)
    return np.ascontiguousarray(whole[:height, :width])


def _tiles_in(header: Header) -> int:
    return -(-header.width // TILE) * -(-header.height // TILE)


def _check(header: bytes, stream: int, y: Ints) -> int:
    """16 bits that stand for a stream's place and symbols: CRC-32 of header, index of the stream, and symbols."""
    return zlib.crc32(y.astype(np.int8).tobytes(), zlib.crc32(header + stream.to_bytes(4, "little"))) & 0xFFFF


@dataclass(frozen=True)
class _Lanes:
    """Which tiles each stream of a batch holds: stream ``s`` has tiles ``first[s] .. first[s] + count[s]`` of the batch."""

    first: Ints
    count: Ints
    streams: list[int]  # streams of each image

    @staticmethod
    def of(counts: Sequence[int]) -> _Lanes:
        first, count, streams, tile = [], [], [], 0
        for tiles in counts:
            starts = range(0, tiles, TILES_PER_STREAM)
            first += [tile + start for start in starts]
            count += [min(TILES_PER_STREAM, tiles - start) for start in starts]
            streams.append(len(starts))
            tile += tiles
        return _Lanes(np.array(first, np.int64), np.array(count, np.int64), streams)

    def checks(self, headers: list[bytes], y: Ints) -> Ints:
        """The check of every stream: (streams,)."""
        places = [(header, k) for header, streams in zip(headers, self.streams, strict=True) for k in range(streams)]
        spans = zip(self.first.tolist(), self.count.tolist(), strict=True)
        values = [_check(h, k, y[a : a + n]) for (h, k), (a, n) in zip(places, spans, strict=True)]
        return np.array(values, np.int64)


def _encode_streams(model: Model, headers: list[Header], counts: list[int], y: Ints, row: Ints) -> list[bytes]:
    """The payload of each image."""
    lanes = _Lanes.of(counts)
    checks = lanes.checks([header.to_bytes() for header in headers], y)
    deepest = int(lanes.count.max())
    streams: list[bytes] = []
    for part in chunks(len(checks)):
        first, count = lanes.first[part], lanes.count[part]
        tile = first[:, None] + np.arange(deepest)
        filled = np.arange(deepest) < count[:, None]
        starts = np.zeros((*tile.shape, SYMBOLS), np.int64)
        freqs = np.full((*tile.shape, SYMBOLS), rans.TOTAL, np.int64)
        members = tile[filled]
        starts[filled], freqs[filled] = model.prior.intervals(y[members], row[members])
        wide = (len(first), deepest * SYMBOLS)
        streams += rans.encode(starts.reshape(wide), freqs.reshape(wide), checks[part])
    ends = np.cumsum(lanes.streams)
    return [container.join_streams(streams[end - n : end]) for end, n in zip(ends, lanes.streams, strict=True)]


def _decode_lossy(model: Model, parsed: Sequence[tuple[Header, bytes]]) -> list[Pixels]:
    """Images of files under one model."""
    headers = [header for header, _ in parsed]
    counts = [_tiles_in(header) for header in headers]
    lanes = _Lanes.of(counts)
    streams: list[bytes] = []
    for (_, payload), n in zip(parsed, lanes.streams, strict=True):
        streams += container.split_streams(payload, n)
    decoder = rans.Decoder(streams)
    quality_row = np.array([model.row(header.quality or 0) for header in headers], np.int64)
    stream_row = np.repeat(quality_row, lanes.streams)
    y = np.empty((sum(counts), SYMBOLS), np.int64)
    for depth in range(int(lanes.count.max())):
        more = depth < lanes.count
        decoded = model.prior.decode(decoder, stream_row, more)
        y[(lanes.first + depth)[more]] = decoded[more]
    ends = decoder.finish(lanes.checks([header.to_bytes() for header in headers], y))
    if not ends.all():
        raise FormatError("the file is damaged: its content does not match its check")
    x_hat = model.transforms.synthesize(y, np.repeat(quality_row, counts))
    parts = np.split(x_hat, np.cumsum(counts)[:-1])
    return [_from_tiles(tiles, header.width, header.height) for tiles, header in zip(parts, headers, strict=True)]


def _model_for(header: Header, given: str | Path | Model | None) -> Model:
    """The model that a file names."""
    if isinstance(header.model, int):
        return models.by_number(header.model)
    assert header.model is not None
    wanted = header.model.hex()
    if given is None:
        raise ModelError(f"the file needs the custom model {wanted}: pass its file as the model")
    found = models.find(given)
    if found.fingerprint != header.model:
        raise ModelError(f"the file needs the custom model {wanted}, but {found.name} is {found.fingerprint.hex()}")
    return found


def _store(image: Pixels) -> bytes:
    """A file that keeps every pixel: the smaller of raw and deflated rows."""
    height, width = image.shape
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    deflated = packer.compress(image.tobytes()) + packer.flush()
    small = len(deflated) < image.size
    header = Header(Mode.STORED, width, height, method=Method.DEFLATE if small else Method.RAW).to_bytes()
    return header + (deflated if small else image.tobytes()) + _stored_check(header, image)


def _stored_check(header: bytes, image: Pixels) -> bytes:
    return (zlib.crc32(image.tobytes(), zlib.crc32(header)) & 0xFFFF).to_bytes(STORED_CHECK_BYTES, "big")


def _unstore(header: Header, payload: bytes) -> Pixels:
    body, check = payload[:-STORED_CHECK_BYTES], payload[-STORED_CHECK_BYTES:]
    pixels = header.width * header.height
    if header.method is Method.DEFLATE:
        unpacker = zlib.decompressobj(-15)
        try:
            body = unpacker.decompress(body, pixels + 1)
        except zlib.error as cause:
            raise FormatError(f"the file is damaged: {cause}") from cause
        if not unpacker.eof or unpacker.unused_data:
            raise FormatError("the file is damaged: its deflated pixels do not end where the file does")
    if len(body) != pixels:
        raise FormatError(f"the file holds {len(body)} pixels, not the {pixels} of a {header.width}x{header.height} image")
    image = np.frombuffer(body, np.uint8).reshape(header.height, header.width).copy()
    if _stored_check(header.to_bytes(), image) != check:
        raise FormatError("the file is damaged: its content does not match its check")
    return image
