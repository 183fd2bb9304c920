"""A chunk of an array as bytes: one ``.cae`` file for each image, all of one size. Zarr and numcodecs store chunks.

| bytes | meaning |
|---|---|
| 1 | version of this layout: 1 |
| 1 | D, the number of dimensions before height and width |
| 4 each | those D dimensions, little-endian; their product is the number of images, 1 if D is 0 |
| varints | length of each file except the last |
| rest | the files in C order |

The headers of the files hold height and width. docs/plugins.md is the norm for other readers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mnistzip import api
from mnistzip.bitstream import container
from mnistzip.errors import FormatError, ImageError, LimitError, MnistzipError, OptionError, located
from mnistzip.limits import CHUNK_PIXELS_MAX, PIXELS_MAX, SIDE_MAX
from mnistzip.models.registry import DEFAULT
from mnistzip.options import FileOptions
from mnistzip.types import Pixels

VERSION = 1
DIMENSION_BYTES = 4
DIMENSIONS_MAX = 30
NUMBERS = ("quality", "max_error", "effort", "max_bytes", "min_psnr")  # the options with a number as their value
BATCH_PIXELS = 1 << 21  # decoded together


@dataclass(frozen=True, kw_only=True)
class ChunkOptions(FileOptions):
    """The encode options of the images of a chunk: those of :func:`mnistzip.encode` that JSON can hold.

    ``max_bytes`` and ``min_psnr`` hold for each image. ``model`` is the name of a shipped model or the path of a model file,
    which is opened only to encode or decode.

        options = ChunkOptions(quality=50, effort=0)
        chunk = options.pack(digits)                       # digits: uint8, shape (N, 28, 28)
        pixels = Chunk.parse(chunk).unpack(options.model)  # uint8, shape (N, 28, 28)

    Raises:
        OptionError: an option outside its range, or one that JSON cannot hold.
    """

    model: str = DEFAULT  # JSON holds no loaded model

    def __post_init__(self) -> None:
        if not isinstance(self.lossless, bool):
            raise OptionError(f"lossless is {self.lossless!r}: give true or false")
        if not isinstance(self.model, (str, Path)):
            raise OptionError(
                f"model is a {type(self.model).__name__}: give a name or a path, which the metadata of the array can hold"
            )
        self.require_valid()
        numbers: dict[str, Any] = {name: getattr(self, name) for name in NUMBERS}
        if self.min_psnr is not None and not math.isfinite(self.min_psnr):
            raise OptionError(f"min_psnr is {self.min_psnr!r}: use lossless to keep every pixel")
        plain = {name: value.item() for name, value in numbers.items() if isinstance(value, np.generic)}
        for name, value in (plain | {"model": str(self.model)}).items():
            object.__setattr__(self, name, value)

    def to_config(self) -> dict[str, Any]:
        """The options as values of JSON, without budgets that are not set."""
        values = asdict(self)
        return {field.name: values[field.name] for field in fields(ChunkOptions) if values[field.name] is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_config`.

        Raises:
            OptionError: an option that this version does not know, or one outside its range.
        """
        unknown = set(config) - {field.name for field in fields(ChunkOptions)}
        if unknown:
            raise OptionError(f"mnistzip has no option {', '.join(sorted(map(repr, unknown)))}: a newer version may have it")
        return cls(**config)

    def encode_images(self, images: Pixels) -> list[bytes]:
        """A ``.cae`` file of each image; uint8 of shape ``(N, H, W)``.

        Raises:
            LimitError: the images exceed the default decode limit, so that a reader would refuse the chunk.
        """
        files = api.encode_many(images, **self.to_config())
        by_header = {container.parse(file, SIDE_MAX**2)[0]: file for file in files}  # files with one header have one limit
        if not all(api.within_default_limit(file, self.model) for file in by_header.values()):
            height, width = images.shape[1:]
            raise LimitError(f"images of {width}x{height} exceed the default decode limit: choose smaller chunks")
        return files

    def pack(self, array: NDArray[Any]) -> bytes:
        """The chunk of an array: uint8 of shape ``(..., H, W)``. :func:`image_shape` explains axes of length 1 after ``W``.

        Raises:
            ImageError: another type or shape, or too many pixels.
            LimitError: no file meets the budget, or the images exceed the default decode limit.
            ModelError: no such model.
        """
        require_images(array)
        shape = image_shape(array.shape)
        return join(shape[:-2], self.encode_images(array.reshape(-1, *shape[-2:])))


def require_images(array: NDArray[Any]) -> None:
    """Refuse an array that does not hold images.

    Raises:
        ImageError: not uint8, fewer than two dimensions, empty, or too large.
    """
    if array.dtype != np.uint8:
        raise ImageError(f"the chunk holds {array.dtype}: mnistzip takes uint8, grey levels in 0..255")
    if array.ndim < 2 or array.ndim - 2 > DIMENSIONS_MAX:
        raise ImageError(f"the chunk has shape {array.shape}: mnistzip takes images, shape (..., height, width)")
    if not array.size or array.size > CHUNK_PIXELS_MAX:
        raise ImageError(f"the chunk has {array.size} pixels: mnistzip takes 1 to {CHUNK_PIXELS_MAX}, so choose other chunks")


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape ``(..., H, W)`` that an array is stored with: its axes of length 1 at the end are dropped.

    They are the single channel of greyscale images. If fewer than two axes would remain, all axes stay.

        image_shape((64, 28, 28, 1))  # (64, 28, 28)
    """
    axes = len(shape)
    while axes and shape[axes - 1] == 1:
        axes -= 1
    return tuple(shape[:axes] if axes >= 2 else shape)


def join(leading: tuple[int, ...], files: list[bytes]) -> bytes:
    """The bytes of a chunk from the files of its images; ``leading`` holds the dimensions before height and width."""
    sizes = b"".join(int(side).to_bytes(DIMENSION_BYTES, "little") for side in leading)
    return bytes([VERSION, len(leading)]) + sizes + container.join_streams(files)


@dataclass(frozen=True)
class Chunk:
    """A chunk whose images are still encoded.

    Attributes:
        shape: ``(..., H, W)``.
        files: one ``.cae`` file for each image, in C order.
    """

    shape: tuple[int, ...]
    files: list[bytes]

    @classmethod
    def parse(cls, data: bytes, shape: tuple[int, ...] | None = None) -> Chunk:
        """Split a chunk into files. No image is decoded, and no memory is allocated for pixels.

        Args:
            data: all bytes of the chunk.
            shape: shape of the array, if known. The chunk must have this shape or the result of :func:`image_shape` for it;
                earlier writers kept axes of length 1.

        Raises:
            FormatError: damaged, cut short, not a chunk, or of another shape.
            UnsupportedError: a newer layout or a newer format.
            LimitError: more pixels than a chunk may have.
        """
        try:
            chunk = cls._parse(data)
        except MnistzipError as cause:
            raise located(cause, "the chunk cannot be read") from cause
        if shape is not None and chunk.shape not in (tuple(shape), image_shape(shape)):
            raise FormatError(f"the chunk has shape {chunk.shape}, its array {tuple(shape)}: the chunk is damaged")
        return chunk

    @classmethod
    def _parse(cls, data: bytes) -> Chunk:
        if len(data) < 2:
            raise FormatError(f"it has {len(data)} bytes")
        if data[0] != VERSION or data[1] > DIMENSIONS_MAX:
            raise FormatError(f"it begins with {data[:2].hex(' ')}: not a chunk of mnistzip, or one of a newer version")
        start = 2 + DIMENSION_BYTES * data[1]
        sizes = [data[offset : offset + DIMENSION_BYTES] for offset in range(2, start, DIMENSION_BYTES)]
        leading = tuple(int.from_bytes(size, "little") for size in sizes)
        count = math.prod(leading)
        if len(data) < start or not count:
            raise FormatError(f"it is cut short or damaged: {len(data)} bytes, dimensions {leading}")
        files = container.split_streams(data[start:], count)
        headers = [container.parse(file, PIXELS_MAX)[0] for file in files]
        image_sizes = {(header.height, header.width) for header in headers}
        if len(image_sizes) > 1:
            raise FormatError(f"its images have {len(image_sizes)} different sizes")
        height, width = image_sizes.pop()
        if count * height * width > CHUNK_PIXELS_MAX:
            raise LimitError(f"{count} images of {width}x{height} are more than the {CHUNK_PIXELS_MAX} pixels of a chunk")
        return cls((*leading, height, width), files)

    def decode(self, model: str, numbers: Iterable[int] | None = None) -> Pixels:
        """Decode some images: uint8 of shape ``(count, H, W)``.

        Args:
            model: name or path of the model for files that name their model by its fingerprint.
            numbers: indices of the images in C order; by default all.

        Raises:
            FormatError: an image is damaged; the message names it.
            LimitError: an image exceeds the default decode limit.
            ModelError: the model of a file is missing.
        """
        indices = list(range(len(self.files)) if numbers is None else numbers)
        out = np.empty((len(indices), *self.shape[-2:]), np.uint8)
        batch_size = max(1, BATCH_PIXELS // math.prod(self.shape[-2:]))
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            results = api.decode_each([self.files[index] for index in batch], model=model)
            for k, (index, result) in enumerate(zip(batch, results, strict=True), start):
                if isinstance(result, MnistzipError):
                    raise located(result, f"image {index} of the chunk") from result
                out[k] = result
        return out

    def unpack(self, model: str) -> Pixels:
        """Decode all images: uint8 of shape :attr:`shape`. Raises as :meth:`decode`."""
        return self.decode(model).reshape(self.shape)
