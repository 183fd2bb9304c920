"""The public functions: images to files and back.

    image -> tiles -> analysis -> latent (-> search) -> intervals -> rANS streams -> payload after a header

Decoding goes the other way. A batch takes each step for all its images together. The files are those that the images give one
by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistzip.bitstream import container
from mnistzip.bitstream.container import Header
from mnistzip.bitstream.stored import unstore
from mnistzip.coding.lossy_decoder import decode_images, decode_latents, image_or_raise, lossy_header
from mnistzip.errors import FormatError, MnistzipError, ModelError, OptionError, located, require_within
from mnistzip.limits import CHECK_BITS_MAX, SIDE_MAX
from mnistzip.models import registry
from mnistzip.models.model import GREY_NUMBERS
from mnistzip.models.registry import Model
from mnistzip.options import BARE_CHECK_BITS, DEFAULT_QUALITY, EncodeKeywords, EncodeOptions, with_options
from mnistzip.threads import map_parts, require_threads
from mnistzip.tiling import tiles_in
from mnistzip.types import Mode, Pixels
from mnistzip.validation import as_image

IMAGES_PER_PART = 512  # of a thread at a time


@with_options(EncodeOptions)
def encode(image: ArrayLike, **options: Unpack[EncodeKeywords]) -> bytes:
    """Encode one greyscale image into the bytes of a ``.cae`` file.

    Args:
        image: uint8 array of shape ``(H, W)``, or a greyscale image of Pillow.
        quality: 1 (smallest) to 100 (best). Not used when a budget is given.
        lossless: keep every pixel. Not with ``min_psnr``; ``quality`` is not used.
        max_error: keep every pixel within so many grey levels, 1 to 64. Most files are smaller than lossless ones. Not with
            ``lossless`` or ``min_psnr``; ``quality`` is not used.
        effort: 0 (fastest) to 9 (smallest). Decoding time does not depend on it.
        max_bytes: the best quality whose file has at most this many bytes. Bare streams have a fixed quality: for them, the
            best latent that fits.
        min_psnr: the smallest file that reaches this PSNR in dB, lossless if no lossy file does.
        model: name of a shipped model, path of a model file, or a loaded :class:`~mnistzip.models.registry.Model`; ``"auto"``
            chooses a shipped model for each image, or lossless coding if that is better (:mod:`mnistzip.coding.model_choice`).
            Bare streams use ``mnist`` unless another model is named.
        bare: write the entropy-coded bytes alone, without a header. Both ends of the link must agree on model, quality, size
            and ``check_bits``. :func:`decode_bare` reads them. Always lossy.
        check_bits: bits of the check in a bare stream, 0 to 23. One in ``2^check_bits`` random damages goes unnoticed.

    Raises:
        ImageError: not a greyscale image of 8 bits, or too large.
        LimitError: no file meets the budget.
        OptionError: an option outside its range, or options that exclude each other.
        ModelError: no such model.

    Example:
        >>> import numpy, mnistzip
        >>> data = mnistzip.encode(numpy.zeros((28, 28), numpy.uint8))
        >>> mnistzip.decode(data).shape
        (28, 28)
    """
    return encode_many([image], **options)[0]


def decode(data: bytes, *, model: str | Path | Model | None = None, max_pixels: int | None = None) -> Pixels:
    """Decode the bytes of a ``.cae`` file to a uint8 array of shape ``(H, W)``.

    Args:
        data: the whole file.
        model: the user model that the file names by its fingerprint. Shipped models need no argument.
        max_pixels: larger images are refused before memory is allocated. The default is 2^23 pixels for lossy files, 2^18 for
            files of the pixel model, lossless or bounded, and 2^26 for stored files.

    Raises:
        FormatError: damaged, truncated, or not a mnistzip file.
        LimitError: more pixels than allowed.
        ModelError: the file needs a model that was not found.
    """
    return decode_many([data], model=model, max_pixels=max_pixels)[0]


def latents(
    files: Iterable[bytes], *, model: str | Path | Model | None = None, max_pixels: int | None = None
) -> list[NDArray[np.int8]]:
    """The latents of lossy files: what the encoder has kept of each image, without decoding a pixel.

    A latent has the shape ``(4, 7, 7)`` for an image of 28x28 that a model of tiles coded, and ``(4, 7 * R, 7 * C)`` for R x C
    tiles. Models of the kind ``grey`` have latents ``(16, ceil(H / 4), ceil(W / 4))``. The symbols are those of the file's
    quality: compare latents of one model and one quality.

    Args:
        files: of any models and qualities.
        model, max_pixels: as for :func:`decode`.

    Returns:
        int8 ``(channels, rows, columns)`` for each file.

    Raises:
        OptionError: a file has no latent, as it is lossless or bounded. :func:`encode` writes lossless files of many digits,
            and of some images with any model; :func:`info` tells them apart.
        FormatError, LimitError, ModelError: as for :func:`decode`. The message names the file.

    Example:
        >>> import mnistzip, numpy as np
        >>> digit = np.zeros((28, 28), np.uint8)
        >>> digit[4:24, 12:16] = 200
        >>> [latent.shape for latent in mnistzip.latents([mnistzip.encode(digit, model="mnist-fast", quality=30)])]
        [(4, 7, 7)]
    """
    container.require_limit(max_pixels)
    out: dict[int, NDArray[np.int8]] = {}
    coded: dict[Model, dict[int, tuple[Header, bytes]]] = {}
    for index, data in enumerate(files):
        try:
            header, payload = container.parse(_as_bytes(data), max_pixels)
            if header.mode is not Mode.LOSSY:
                kind = "bounded" if header.mode is Mode.BOUNDED else "lossless"
                raise OptionError(f"the file is {kind}: only lossy files have a latent")
            coded.setdefault(_model_of(header, model, max_pixels), {})[index] = header, payload
        except MnistzipError as error:
            raise located(error, f"file {index}") from error
    for decoder, parsed in coded.items():
        for index, latent in zip(parsed, decode_latents(decoder, list(parsed.values())), strict=True):
            if isinstance(latent, FormatError):
                raise located(latent, f"file {index}") from latent
            out[index] = latent
    return [out[index] for index in range(len(out))]


def preview(data: bytes, *, model: str | Path | Model | None = None, max_pixels: int | None = None) -> Pixels:
    """Decode a lossless file of tiles in half the time, without the low bits of grey levels; decode any other file in full.

    Returns uint8 of shape ``(H, W)``. Most grey levels differ from the exact ones by up to 16. The check is not verified, so
    damage can go unnoticed.

    Raises:
        FormatError, LimitError, ModelError: as for :func:`decode`.
    """
    container.require_limit(max_pixels)
    header, payload = container.parse(_as_bytes(data), max_pixels)
    if header.mode is not Mode.LOSSLESS or not (used := _model_of(header, model, max_pixels)).codes_tiles:
        return decode(data, model=model, max_pixels=max_pixels)
    from mnistzip.coding.tile_pixels import preview_file

    return preview_file(used, header, payload)


def decode_bare(
    stream: bytes,
    *,
    quality: int = DEFAULT_QUALITY,
    shape: tuple[int, int] = (container.DEFAULT_SIDE, container.DEFAULT_SIDE),
    model: str | Path | Model = registry.DEFAULT,
    check_bits: int = BARE_CHECK_BITS,
    max_pixels: int | None = None,
) -> Pixels:
    """Decode a bare stream of :func:`encode` to uint8 of shape ``(H, W)``.

    Args:
        shape: ``(H, W)`` of the image.
        quality, model, check_bits: those of the encoder.
        max_pixels: as for :func:`decode`.

    Raises:
        FormatError: damaged, truncated, or made with other options.
        LimitError: more pixels than allowed.
        OptionError: an option outside its range.
    """
    require_within("quality", quality, 1, container.QUALITY_MAX)
    require_within("check_bits", check_bits, 0, CHECK_BITS_MAX)
    container.require_limit(max_pixels)
    try:
        height, width = shape
    except (TypeError, ValueError) as cause:
        raise OptionError(f"shape is {shape!r}: give height and width") from cause
    for side in (height, width):
        require_within("side", side, 1, SIDE_MAX)
    height, width = int(height), int(width)  # products of numpy's integers could overflow
    container.require_pixels(Mode.LOSSY, width, height, max_pixels)
    used = registry.find_bare(model)
    header = lossy_header(used, (height, width), quality)
    return image_or_raise(decode_images(used, [(header, _as_bytes(stream))], check_bits)[0])


@with_options(EncodeOptions)
def encode_many(images: Sequence[ArrayLike] | Pixels, *, threads: int = 1, **options: Unpack[EncodeKeywords]) -> list[bytes]:
    """Encode many images together. The files are those of :func:`encode`, and it is faster.

    Args:
        images: uint8 array of shape ``(N, H, W)`` or a sequence of ``(H, W)`` arrays of any sizes.
        threads: images are shared among so many threads.
    """
    require_threads(threads)
    wanted = EncodeOptions(**options)
    wanted.require_valid()
    pixels = [as_image(image, index) for index, image in enumerate(images)]
    return map_parts(lambda part: _encode(pixels[part], wanted, part.start), len(pixels), threads, IMAGES_PER_PART)


def _encode(images: list[Pixels], options: EncodeOptions, first: int) -> list[bytes]:
    """Files or bare streams of images; ``first`` is the number of the first one, for errors."""
    if options.bare:
        return _bare_streams(images, options, first)
    from mnistzip.coding import image_files, model_choice  # decoding starts sooner without them

    models = registry.candidates(options.model)
    if options.lossless or options.max_error is not None:
        return image_files.encode_lossless(images, models, options.max_bytes, first, options.max_error or 0)
    if options.min_psnr is not None:
        return image_files.encode_to_psnr(images, models, options.effort, options.min_psnr, options.max_bytes, first)
    if options.max_bytes is not None:
        return image_files.encode_to_size(images, models, options.effort, options.max_bytes, first)
    return image_files.encode_at_quality(images, model_choice.candidates(options.model, options.quality), options.effort)


def _bare_streams(images: list[Pixels], options: EncodeOptions, first: int) -> list[bytes]:
    """Streams without a header, for a model that both ends know."""
    from mnistzip.coding.lossy import LossyBatch

    lossy = LossyBatch(registry.find_bare(options.model), images, options.effort, options.check_bits)
    if options.max_bytes is not None:
        return lossy.encode_bare_to_size(options.max_bytes, options.quality, first)
    return lossy.encode([options.quality] * len(images), range(len(images)))


def decode_many(
    files: Iterable[bytes], *, model: str | Path | Model | None = None, max_pixels: int | None = None, threads: int = 1
) -> list[Pixels]:
    """Decode many files together. The images are those of :func:`decode`, and it is faster.

    Args:
        threads: files are shared among so many threads.
    """
    images: list[Pixels] = []
    results = decode_each(files, model=model, max_pixels=max_pixels, threads=threads)
    for index, result in enumerate(results):
        if isinstance(result, MnistzipError):
            raise result if len(results) == 1 else located(result, f"file {index}") from result
        images.append(result)
    return images


def decode_each(
    files: Iterable[bytes], *, model: str | Path | Model | None = None, max_pixels: int | None = None, threads: int = 1
) -> list[Pixels | MnistzipError]:
    """For each of many files its image, or the error that :func:`decode` would raise.

    Args:
        threads: files are shared among so many threads.
    """
    container.require_limit(max_pixels)
    require_threads(threads)
    contents = list(files)
    return map_parts(lambda part: _decode(contents[part], model, max_pixels), len(contents), threads, IMAGES_PER_PART)


def _decode(files: Iterable[bytes], model: str | Path | Model | None, max_pixels: int | None) -> list[Pixels | MnistzipError]:
    """For each file its image or its error."""
    out: dict[int, Pixels | MnistzipError] = {}
    coded: dict[tuple[Model, Mode, int], dict[int, tuple[Header, bytes]]] = {}
    for index, data in enumerate(files):
        try:
            header, payload = container.parse(_as_bytes(data), max_pixels)
            if header.model is None:
                out[index] = unstore(header, payload)
            else:
                decoder = _model_of(header, model, max_pixels)
                coded.setdefault((decoder, header.mode, header.max_error or 0), {})[index] = header, payload
        except MnistzipError as error:
            out[index] = error
    for (decoder, mode, max_error), parsed in coded.items():
        out |= zip(parsed, _decode_by(decoder, mode, max_error, list(parsed.values())), strict=True)
    return [out[index] for index in range(len(out))]


def _model_of(header: Header, candidate: str | Path | Model | None, max_pixels: int | None) -> Model:
    """The model that decodes a file. Without ``max_pixels``, a model that would take more than some seconds is refused."""
    assert header.model is not None
    model = model_for(header.model, candidate)
    model.require_mode(header.mode)
    if max_pixels is None:
        model.require_default_limit(header.mode, [(header.height, header.width)])
    return model


def _decode_by(
    model: Model, mode: Mode, max_error: int, parsed: list[tuple[Header, bytes]]
) -> Sequence[Pixels | MnistzipError]:
    if mode is Mode.LOSSY:
        return decode_images(model, parsed)
    from mnistzip.coding.lossless import decode_files

    return decode_files(model, parsed, max_error)


def within_default_limit(data: bytes, model: str | Path | Model | None = None) -> bool:
    """Whether :func:`decode` takes a whole file without ``max_pixels``."""
    header, _ = container.parse(_as_bytes(data), SIDE_MAX**2)
    used = None if header.model is None else model_for(header.model, model)
    return registry.within_limits(header.mode, used, [(header.height, header.width)])


@dataclass(frozen=True)
class Info:
    """The header of a file, in words.

    Attributes:
        mode: ``"lossy"``, ``"lossless"`` or ``"bounded"``.
        model: name of the model, or the first bytes of its fingerprint in hex; ``"none (METHOD)"`` if stored.
        quality: 1 to 100 if lossy, else None.
        width, height: in pixels.
        tiles: number of 28x28 tiles; 0 if stored, or if the model codes the image whole.
        header_bytes, payload_bytes: they add up to the size of the file.
        max_error: 1 to 64 if bounded: no pixel differs from the original by more grey levels. Else None.
    """

    mode: str
    model: str
    quality: int | None
    width: int
    height: int
    tiles: int
    header_bytes: int
    payload_bytes: int
    max_error: int | None = None


def info(data: bytes) -> Info:
    """Describe a file by its header. The payload is not decoded.

    Raises:
        FormatError: not a mnistzip file, or a damaged header.
    """
    content = _as_bytes(data)
    header, payload = container.parse(content, SIDE_MAX**2)
    if header.mode is Mode.STORED:
        assert header.method is not None
        name, mode = f"none ({header.method.name.lower()})", "lossless"
    else:
        names = {shipped: name for name, shipped in registry.SHIPPED.items()}
        number = header.model
        name = number.hex() if isinstance(number, bytes) else names.get(number or 0, f"number {number}")
        mode = header.mode.name.lower()
    in_tiles = header.mode is not Mode.STORED and header.model not in GREY_NUMBERS
    tiles = tiles_in(header.width, header.height) if in_tiles else 0
    size = (header.width, header.height)
    return Info(mode, name, header.quality, *size, tiles, len(content) - len(payload), len(payload), header.max_error)


def _as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise OptionError(f"a file is given as {type(data).__name__}: give its bytes")
    return bytes(data)


def model_for(name: int | bytes, candidate: str | Path | Model | None) -> Model:
    """The model that a file names by its number, its fingerprint, or the first bytes of its fingerprint.

    Args:
        candidate: the caller's model. It must be the one that the file names, unless it ships.
    """
    if isinstance(name, int):
        return candidate if isinstance(candidate, Model) and candidate.number == name else registry.by_number(name)
    if candidate is None or registry.is_shipped(candidate):
        return registry.by_fingerprint(name)
    model = registry.find(candidate)
    if not model.fingerprint.startswith(name):
        raise ModelError(f"the file needs the custom model {name.hex()}, but {model.name} is {model.fingerprint.hex()}")
    return model
