"""A Zarr v3 codec that stores chunks of images as ``.cae`` files. Zarr finds it by its entry point, name ``mnistzip``.

::

    array = zarr.create_array("digits.zarr", shape=(64, 28, 28), dtype="uint8", chunks=(32, 28, 28),
                              serializer=MnistzipCodec(quality=50, effort=0), compressors=None)

It turns chunks of uint8, shape ``(..., H, W)``, into bytes (:mod:`mnistzip.plugins.chunk_format`). Reading a part of a chunk
decodes only the images of that part. Writing a part of a chunk encodes only the images of that part: all others keep their
bytes, so they do not lose quality again. Both need ``compressors=None`` and no filters, and work within shards.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import OptionError
from mnistzip.limits import CHUNK_PIXELS_MAX
from mnistzip.plugins.chunk_format import Chunk, ChunkOptions, image_shape, join, require_images
from mnistzip.types import Pixels

try:
    from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin, ArrayBytesCodecPartialEncodeMixin
except ImportError as cause:
    raise ImportError("the Zarr codec needs zarr 3.1 or later: pip install 'mnistzip[zarr]'") from cause

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter, ByteSetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer
    from zarr.core.chunk_grids import ChunkGrid
    from zarr.core.common import JSON
    from zarr.core.dtype.wrapper import TBaseDType, TBaseScalar, ZDType
    from zarr.core.indexing import SelectorTuple

NAME = "mnistzip"

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class MnistzipCodec(
    ChunkOptions,
    ArrayBytesCodec,
    ArrayBytesCodecPartialDecodeMixin,
    ArrayBytesCodecPartialEncodeMixin,
):
    """Encodes every image of a chunk; a serializer of Zarr.

    Args:
        quality, lossless, max_error, effort, max_bytes, min_psnr, model: as for :func:`mnistzip.encode`; the metadata of the
            array hold them. ``model`` is a name or a path.

    Raises:
        OptionError: an option outside its range, or an array that does not hold uint8 images; it is a ValueError.
        FormatError: a damaged chunk, when it is read.
        ImageError, LimitError, ModelError: when a chunk is written, as :func:`mnistzip.encode`.
    """

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Self:
        """The codec that the metadata of an array describe."""
        config = data.get("configuration") or {}
        if data.get("name") != NAME or not isinstance(config, Mapping):
            raise OptionError(f"not the configuration of a codec named {NAME!r}: {data!r}")
        return cls.from_config(config)

    def to_dict(self) -> dict[str, JSON]:
        """The codec as the metadata of an array hold it."""
        return {"name": NAME, "configuration": self.to_config()}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError("the size of a chunk depends on its images")

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """Refuse arrays without images. Within shards Zarr calls this instead of :meth:`validate`."""
        _require_array(array_spec.shape, array_spec.dtype.to_native_dtype())
        return self

    def validate(self, *, shape: tuple[int, ...], dtype: ZDType[TBaseDType, TBaseScalar], chunk_grid: ChunkGrid) -> None:
        """Refuse an array that cannot be written, when it is created."""
        _require_array(shape, dtype.to_native_dtype())
        chunk = getattr(chunk_grid, "chunk_shape", ())
        if math.prod(chunk) > CHUNK_PIXELS_MAX:
            raise OptionError(f"chunks of shape {chunk} have more than {CHUNK_PIXELS_MAX} pixels: choose smaller ones")

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_array, chunk_spec)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return chunk_spec.prototype.buffer.from_bytes(self.pack(chunk_array.as_numpy_array()))

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        pixels = Chunk.parse(chunk_bytes.to_bytes(), chunk_spec.shape).unpack(self.model).reshape(chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(pixels)

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: SelectorTuple, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        data = await byte_getter.get(prototype=chunk_spec.prototype)
        if data is None:
            return None
        pixels = await asyncio.to_thread(self._read, data.to_bytes(), selection, chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(pixels)

    def _read(self, data: bytes, selection: SelectorTuple, shape: tuple[int, ...]) -> Pixels:
        chunk = Chunk.parse(data, shape)
        pixels = np.zeros(shape, np.uint8)
        numbers = np.flatnonzero(_images(_selection_mask(selection, shape), chunk.shape).any((1, 2)))
        _images(pixels, chunk.shape)[numbers] = chunk.decode(self.model, numbers.tolist())
        return np.asarray(pixels[selection])

    async def _encode_partial_single(
        self, byte_setter: ByteSetter, chunk_array: NDBuffer, selection: SelectorTuple, chunk_spec: ArraySpec
    ) -> None:
        mask = await asyncio.to_thread(_selection_mask, selection, chunk_spec.shape)
        stored = None if mask.all() else await byte_setter.get(prototype=chunk_spec.prototype)
        old = None if stored is None else stored.to_bytes()
        new = await asyncio.to_thread(self._write, old, chunk_array.as_numpy_array(), selection, mask, chunk_spec)
        if new is None:
            await byte_setter.delete()
        else:
            await byte_setter.set(chunk_spec.prototype.buffer.from_bytes(new))

    def _write(
        self,
        old: bytes | None,
        value: NDArray[Any],
        selection: SelectorTuple,
        mask: NDArray[np.bool_],
        chunk_spec: ArraySpec,
    ) -> bytes | None:
        """The chunk with ``value`` written at ``selection``; None if it then holds only the fill value and is not stored.

        Args:
            old: the stored chunk; None if there is none or every pixel is new.
            value: a scalar, or the pixels of the selection.
            selection: where ``value`` goes.
            mask: the selection as a mask of the shape of the chunk.
            chunk_spec: shape and fill value of the chunk.
        """
        fill = chunk_spec.fill_value if chunk_spec.fill_value is not None else 0
        pixels = np.full(chunk_spec.shape, fill, np.uint8)
        require_images(pixels)
        chunk = None if old is None else Chunk.parse(old, chunk_spec.shape)
        shape = image_shape(chunk_spec.shape) if chunk is None else chunk.shape
        images, image_masks = _images(pixels, shape), _images(mask, shape)
        changed, replaced = np.asarray(image_masks.any((1, 2))), np.asarray(image_masks.all((1, 2)))
        if chunk is None:
            changed[:] = True
        else:
            partial = np.flatnonzero(changed & ~replaced)  # images that keep some of their pixels
            images[partial] = chunk.decode(self.model, partial.tolist())
        _assign(pixels, selection, value)
        if not chunk_spec.config.write_empty_chunks and (images[changed] == fill).all():
            unchanged = np.flatnonzero(~changed).tolist()
            if chunk is None or (chunk.decode(self.model, unchanged) == fill).all():
                return None
        files = chunk.files if chunk is not None else [b""] * len(images)
        numbers = np.flatnonzero(changed).tolist()
        for number, file in zip(numbers, self.encode_images(images[numbers]), strict=True):
            files[number] = file
        return join(shape[:-2], files)


def _require_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` unless an array holds images."""
    if dtype != np.uint8:
        raise OptionError(f"the array holds {dtype}: mnistzip takes uint8, grey levels in 0..255")
    if len(shape) < 2:
        raise OptionError(f"the array has shape {shape}: mnistzip takes images, shape (..., height, width)")


def _images(pixels: NDArray[Scalar], shape: tuple[int, ...]) -> NDArray[Scalar]:
    """A view ``(N, H, W)`` of the pixels of a chunk that is stored with a shape ``(..., H, W)``."""
    return pixels.reshape(-1, *shape[-2:])


def _selection_mask(selection: SelectorTuple, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels of a chunk that a selection of any kind covers, as a mask of the shape of the chunk."""
    mask = np.zeros(shape, np.bool_)
    mask[selection] = True
    return mask


def _assign(pixels: Pixels, selection: SelectorTuple, value: NDArray[Any]) -> None:
    """``pixels[selection] = value``, with the axes of length 1 that Zarr dropped from the value."""
    target = pixels[selection].shape
    pixels[selection] = value.reshape(target) if value.ndim else value
