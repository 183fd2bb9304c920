"""A codec for numcodecs, and so for Zarr v2. numcodecs finds it by its entry point, id ``mnistzip``.

::

    codec = numcodecs.get_codec({"id": "mnistzip", "quality": 50, "effort": 0})
    pixels = codec.decode(codec.encode(digits))  # digits, pixels: uint8, shape (N, 28, 28)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mnistzip.errors import ImageError, OptionError
from mnistzip.plugins.chunk_format import Chunk, ChunkOptions

try:
    from numcodecs.abc import Codec
    from numcodecs.compat import ensure_bytes, ensure_ndarray_like, ndarray_copy
except ImportError as cause:
    raise ImportError("the numcodecs codec needs numcodecs: pip install 'mnistzip[zarr]'") from cause


class MnistzipCodec(Codec):  # type: ignore[misc]  # numcodecs ships no types
    """Encodes every image of a uint8 array of shape ``(..., H, W)`` in C order; the chunk holds its shape.

    Args:
        options: ``quality``, ``lossless``, ``max_error``, ``effort``, ``max_bytes``, ``min_psnr`` and ``model``, as for
            :func:`mnistzip.encode`; ``model`` is a name or a path.

    Raises:
        OptionError: an option outside its range; it is a ValueError.
    """

    codec_id = "mnistzip"

    def __init__(self, **options: Any) -> None:
        self.options = ChunkOptions.from_config(options)

    def encode(self, buf: Any) -> bytes:
        """The chunk of an array.

        Raises:
            ImageError: not uint8, not of shape ``(..., H, W)``, or in Fortran order.
            LimitError, ModelError: as :func:`mnistzip.encode`.
        """
        array = np.asarray(ensure_ndarray_like(buf))
        if array.flags.f_contiguous and not array.flags.c_contiguous:
            raise ImageError("the chunk is in Fortran order, which splits its images: use order 'C'")
        return self.options.pack(array)

    def decode(self, buf: Any, out: Any = None) -> NDArray[np.uint8]:
        """The array of a chunk: uint8 of shape ``(..., H, W)``, written into ``out`` if there is one.

        Raises:
            FormatError: damaged, cut short, or not a chunk.
            LimitError: more pixels than a chunk may have.
            ModelError: the model of the chunk is missing.
            OptionError: ``out`` has another size or is not in C order.
        """
        chunk = Chunk.parse(ensure_bytes(buf))
        if out is None:
            return chunk.unpack(self.options.model)
        target = ensure_ndarray_like(out)
        size = np.prod(chunk.shape, dtype=np.int64)
        if target.nbytes != size or not target.flags.c_contiguous:
            raise OptionError(f"out has {target.nbytes} bytes: give {size}, shape {chunk.shape}, in C order")
        copied: NDArray[np.uint8] = ndarray_copy(chunk.unpack(self.options.model), out)
        return copied

    def get_config(self) -> dict[str, Any]:
        """The id and the options, as values of JSON."""
        return {"id": self.codec_id, **self.options.to_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`get_config`, without the id."""
        return cls(**config)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.to_config().items())
        return f"{type(self).__name__}({options})"
