"""A Zarr v3 codec: chunks of images as small as mnistzip makes them. Zarr finds it by its entry point, name ``mnistzip``.

It turns chunks of uint8, shape ``(..., H, W)``, into bytes (:mod:`mnistzip.plugins.chunk_format`). Of a chunk only those
images are
decoded that are asked for, and only those coded anew that are written: an image that nobody writes to does not change, though
the codec is lossy. That holds where it stands alone, ``compressors=None`` and no filters, within shards too.
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
from mnistzip.plugins.chunk_format import Chunk, Coding, image_shape, join, require_images
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
    Coding,
    ArrayBytesCodec,
    ArrayBytesCodecPartialDecodeMixin,
    ArrayBytesCodecPartialEncodeMixin,
):
    """Codes every image of a chunk. The options are those of :class:`~mnistzip.plugins.chunk_format.Coding`.

    Raises:
        OptionError: an option outside its range, or an array that is not of images of uint8; it is a ValueError.
        FormatError: on reading, a damaged chunk.
        ImageError, LimitError, ModelError: on writing, as :func:`mnistzip.encode`.
    """

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Self:
        """The codec that array metadata describe."""
        config = data.get("configuration") or {}
        if data.get("name") != NAME or not isinstance(config, Mapping):
            raise OptionError(f"not the configuration of a codec named {NAME!r}: {data!r}")
        return cls.from_config(config)

    def to_dict(self) -> dict[str, JSON]:
        """What array metadata keep of it."""
        return {"name": NAME, "configuration": self.to_config()}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError("the size of what mnistzip writes hangs on the images")

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """Nothing is filled in. Within shards this is where Zarr says what the array is; it does not call :meth:`validate`."""
        _require_array(array_spec.shape, array_spec.dtype.to_native_dtype())
        return self

    def validate(self, *, shape: tuple[int, ...], dtype: ZDType[TBaseDType, TBaseScalar], chunk_grid: ChunkGrid) -> None:
        """Refuse arrays that cannot be written, when they are made."""
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
        wanted = np.flatnonzero(_images(_selected(selection, shape), chunk.shape).any((1, 2)))
        _images(pixels, chunk.shape)[wanted] = chunk.decode(self.model, wanted.tolist())
        return np.asarray(pixels[selection])

    async def _encode_partial_single(
        self, byte_setter: ByteSetter, chunk_array: NDBuffer, selection: SelectorTuple, chunk_spec: ArraySpec
    ) -> None:
        selected = await asyncio.to_thread(_selected, selection, chunk_spec.shape)
        old = None if selected.all() else await byte_setter.get(prototype=chunk_spec.prototype)
        before = None if old is None else old.to_bytes()
        after = await asyncio.to_thread(self._write, before, chunk_array.as_numpy_array(), selection, selected, chunk_spec)
        if after is None:
            await byte_setter.delete()
        else:
            await byte_setter.set(chunk_spec.prototype.buffer.from_bytes(after))

    def _write(
        self,
        before: bytes | None,
        value: NDArray[Any],
        selection: SelectorTuple,
        selected: NDArray[np.bool_],
        chunk_spec: ArraySpec,
    ) -> bytes | None:
        """The chunk after ``value`` was put at ``selection``; None for one that is not to be stored, all of it fill value.

        Args:
            before: the chunk as it was, None if it was not there or every pixel is new.
            value: a scalar or the pixels of the selection.
            selection: where they go.
            selected: those pixels, of the chunk's shape.
            chunk_spec: of the chunk.
        """
        fill = chunk_spec.fill_value if chunk_spec.fill_value is not None else 0
        pixels = np.full(chunk_spec.shape, fill, np.uint8)
        require_images(pixels)
        chunk = None if before is None else Chunk.parse(before, chunk_spec.shape)
        shape = image_shape(chunk_spec.shape) if chunk is None else chunk.shape
        images, chosen = _images(pixels, shape), _images(selected, shape)
        touched, whole = np.asarray(chosen.any((1, 2))), np.asarray(chosen.all((1, 2)))
        if chunk is None:
            touched[:] = True
        else:
            blended = np.flatnonzero(touched & ~whole)
            images[blended] = chunk.decode(self.model, blended.tolist())
        _put(pixels, selection, value)
        if not chunk_spec.config.write_empty_chunks and (images[touched] == fill).all():
            rest = np.flatnonzero(~touched).tolist()
            if chunk is None or (chunk.decode(self.model, rest) == fill).all():
                return None
        files = chunk.files if chunk is not None else [b""] * len(images)
        numbers = np.flatnonzero(touched).tolist()
        for number, file in zip(numbers, self.files_of(images[numbers]), strict=True):
            files[number] = file
        return join(shape[:-2], files)


def _require_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype != np.uint8:
        raise OptionError(f"the array holds {dtype}: mnistzip takes uint8, grey levels in 0..255")
    if len(shape) < 2:
        raise OptionError(f"the array has shape {shape}: mnistzip takes images, shape (..., height, width)")


def _images(pixels: NDArray[Scalar], shape: tuple[int, ...]) -> NDArray[Scalar]:
    """A view of shape ``(N, H, W)`` of the pixels of a chunk that is stored with a shape ``(..., H, W)``."""
    return pixels.reshape(-1, *shape[-2:])


def _selected(selection: SelectorTuple, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels of a chunk a selection means, whatever kind of indexing it is."""
    chosen = np.zeros(shape, np.bool_)
    chosen[selection] = True
    return chosen


def _put(pixels: Pixels, selection: SelectorTuple, value: NDArray[Any]) -> None:
    """``pixels[selection] = value``; axes of length 1 that Zarr dropped from the value are put back."""
    target = pixels[selection].shape
    pixels[selection] = value.reshape(target) if value.ndim else value
