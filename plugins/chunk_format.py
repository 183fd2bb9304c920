"""A chunk of an array as bytes: many images of one size, each a file of its own. What Zarr and numcodecs store.

| bytes | meaning |
|---|---|
| 1 | version of this layout: 1 |
| 1 | D, how many dimensions stand before height and width |
| 4 each | those D dimensions, low byte first; their product is the number of images, 1 if there are none |
| varints | length of each file but the last |
| rest | the files, each a whole ``.cae`` file, in C order |

Height and width stand in the files' headers alone. docs/plugins.md is the norm for others who read chunks.
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
from mnistzip.errors import FormatError, ImageError, LimitError, MnistzipError, OptionError
from mnistzip.limits import CHUNK_PIXELS_MAX, PIXELS_MAX, SIDE_MAX
from mnistzip.models.registry import DEFAULT
from mnistzip.options import FileOptions
from mnistzip.types import Pixels

VERSION = 1
DIMENSION_BYTES = 4
DIMENSIONS_MAX = 30
RANGED = ("quality", "effort", "max_bytes", "min_psnr")
TOGETHER = 1 << 21  # pixels that are decoded side by side


@dataclass(frozen=True, kw_only=True)
class Coding(FileOptions):
    """How the images of a chunk are encoded: options that JSON can hold.

    Budgets hold for each image by itself. A model is a name or the path of its file; it is opened to encode or decode.

    Raises:
        OptionError: an option outside its range, or one that JSON cannot hold.
    """

    model: str = DEFAULT  # JSON holds no loaded model

    def __post_init__(self) -> None:
        if not isinstance(self.lossless, bool):
            raise OptionError(f"lossless is {self.lossless!r}: give true or false")
        if not isinstance(self.model, (str, Path)):
            raise OptionError(f"model is a {type(self.model).__name__}: give a name or a path, which the array can keep")
        self.require_valid()
        ranged: dict[str, Any] = {name: getattr(self, name) for name in RANGED}
        if self.min_psnr is not None and not math.isfinite(self.min_psnr):
            raise OptionError(f"min_psnr is {self.min_psnr!r}: for every pixel say lossless")
        plain = {name: value.item() for name, value in ranged.items() if isinstance(value, np.generic)}
        for name, value in (plain | {"model": str(self.model)}).items():
            object.__setattr__(self, name, value)

    def to_config(self) -> dict[str, Any]:
        """The options as JSON takes them; budgets that are not set are left out."""
        own = asdict(self)
        return {field.name: own[field.name] for field in fields(Coding) if own[field.name] is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_config`.

        Raises:
            OptionError: an option that this version does not know, or one outside its range.
        """
        unknown = set(config) - {field.name for field in fields(Coding)}
        if unknown:
            raise OptionError(f"mnistzip has no option {', '.join(sorted(map(repr, unknown)))}: a newer version may have it")
        return cls(**config)

    def files_of(self, images: Pixels) -> list[bytes]:
        """Files of images of shape ``(N, H, W)``; of none that a reader would refuse as too large."""
        files = api.encode_many(images, **self.to_config())
        kinds = {container.parse(file, SIDE_MAX**2)[0]: file for file in files}  # by what decoding takes
        if not all(api.decodes_unasked(file, self.model) for file in kinds.values()):
            height, width = images.shape[1:]
            raise LimitError(f"images of {width}x{height} are larger than is decoded unasked: choose smaller chunks")
        return files

    def pack(self, array: NDArray[Any]) -> bytes:
        """The chunk of an array of uint8, shape ``(..., H, W)``; see :func:`image_shape` for axes of length 1 behind these.

        Raises:
            ImageError: another type or shape, or too many pixels.
            LimitError: no file meets the budget, or the images are too large to be decoded in some seconds each.
            ModelError: no such model.
        """
        require_images(array)
        shape = image_shape(array.shape)
        return join(shape[:-2], self.files_of(array.reshape(-1, *shape[-2:])))


def require_images(array: NDArray[Any]) -> None:
    """Refuse arrays that are not of images.

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
    """The shape ``(..., H, W)`` that an array is stored with: without the axes of length 1 behind its last longer one.

    Such axes stand for the one channel of grey images. Where fewer than two axes would be left, all of them stay.
    """
    axes = len(shape)
    while axes and shape[axes - 1] == 1:
        axes -= 1
    return tuple(shape[:axes] if axes >= 2 else shape)


def join(leading: tuple[int, ...], files: list[bytes]) -> bytes:
    """The bytes of a chunk: ``leading`` are the dimensions before height and width."""
    sizes = b"".join(int(side).to_bytes(DIMENSION_BYTES, "little") for side in leading)
    return bytes([VERSION, len(leading)]) + sizes + container.join_streams(files)


@dataclass(frozen=True)
class Chunk:
    """A chunk whose images are not decoded yet.

    Attributes:
        shape: ``(..., H, W)``.
        files: of each image, in C order.
    """

    shape: tuple[int, ...]
    files: list[bytes]

    @classmethod
    def parse(cls, data: bytes, shape: tuple[int, ...] | None = None) -> Chunk:
        """Take a chunk apart; no image is decoded and no memory taken for pixels.

        Args:
            data: all bytes of the chunk.
            shape: of the array, where it is known. The chunk must have it, or the one that :func:`image_shape` makes of it;
                chunks of earlier writers keep axes of length 1.

        Raises:
            FormatError: damaged, cut short, not a chunk, or of another shape.
            UnsupportedError: a newer layout or a newer format.
            LimitError: more pixels than a chunk may have.
        """
        try:
            found = cls._parse(data)
        except MnistzipError as cause:
            raise type(cause)(f"the chunk cannot be read: {cause}") from cause
        if shape is not None and found.shape not in (tuple(shape), image_shape(shape)):
            raise FormatError(f"the chunk has shape {found.shape} where the array has {tuple(shape)}: it is damaged")
        return found

    @classmethod
    def _parse(cls, data: bytes) -> Chunk:
        if len(data) < 2:
            raise FormatError(f"it has {len(data)} bytes")
        if data[0] != VERSION or data[1] > DIMENSIONS_MAX:
            raise FormatError(f"it begins with {data[:2].hex(' ')}: not a chunk of mnistzip, or one of a newer version")
        start = 2 + DIMENSION_BYTES * data[1]
        sizes = [data[at : at + DIMENSION_BYTES] for at in range(2, start, DIMENSION_BYTES)]
        leading = tuple(int.from_bytes(size, "little") for size in sizes)
        count = math.prod(leading)
        if len(data) < start or not count:
            raise FormatError(f"it is cut short or damaged: {len(data)} bytes, dimensions {leading}")
        files = container.split_streams(data[start:], count)
        headers = [container.parse(file, PIXELS_MAX)[0] for file in files]
        images = {(header.height, header.width) for header in headers}
        if len(images) > 1:
            raise FormatError(f"its images are of {len(images)} sizes")
        height, width = images.pop()
        if count * height * width > CHUNK_PIXELS_MAX:
            raise LimitError(f"{count} images of {width}x{height} are more than the {CHUNK_PIXELS_MAX} pixels of a chunk")
        return cls((*leading, height, width), files)

    def decode(self, model: str, wanted: Iterable[int] | None = None) -> Pixels:
        """The images ``wanted`` by their numbers in C order, all by default: uint8 of shape ``(count, H, W)``.

        Args:
            model: where to find the model of files that name theirs by fingerprint.
            wanted: numbers of images, of those that are needed.

        Raises:
            FormatError: an image is damaged; the message says which.
            LimitError: an image is larger than :func:`mnistzip.decode` takes unasked.
            ModelError: the model that a file names is not at hand.
        """
        numbers = list(range(len(self.files)) if wanted is None else wanted)
        out = np.empty((len(numbers), *self.shape[-2:]), np.uint8)
        together = max(1, TOGETHER // math.prod(self.shape[-2:]))
        for start in range(0, len(numbers), together):
            some = numbers[start : start + together]
            decoded = api.decode_each([self.files[number] for number in some], model=model)
            for k, (number, found) in enumerate(zip(some, decoded, strict=True), start):
                if isinstance(found, MnistzipError):
                    raise type(found)(f"image {number} of the chunk: {found}") from found
                out[k] = found
        return out

    def unpack(self, model: str) -> Pixels:
        """All images: uint8 of shape :attr:`shape`."""
        return self.decode(model).reshape(self.shape)
