"""The other codecs, with one file for each image. Each uses its own library, with settings for small files.

Each function makes a coder for the settings of its entry in :mod:`mnistzip.bench.registry`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mnistzip.bench.protocol import Coder, Shapes, SingleImageCoder
from mnistzip.errors import ImageError
from mnistzip.types import Pixels


def pillow(kind: str, **options: Any) -> SingleImageCoder:
    """A format of Pillow; ``options`` are those of its ``save``."""

    def pack(image: Pixels) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).save(out, kind, **options)
        return out.getvalue()

    def unpack(file: bytes, _shape: tuple[int, ...]) -> Pixels:
        return np.asarray(Image.open(io.BytesIO(file)).convert("L"))

    return SingleImageCoder(pack, unpack)


def raw() -> Coder:
    """The pixels without compression."""
    return SingleImageCoder(lambda image: image.tobytes(), _pixels)


def deflate() -> Coder:
    """A bare deflate stream, zlib level 9."""
    return SingleImageCoder(
        lambda image: zlib.compress(image.tobytes(), 9, -15),
        lambda file, shape: _pixels(zlib.decompress(file, -15), shape),
    )


def _pixels(content: bytes, shape: tuple[int, ...]) -> Pixels:
    return np.frombuffer(content, np.uint8).reshape(shape)


def png() -> Coder:
    """PNG of Pillow with ``optimize=True``; sizes are compared with it."""
    return pillow("PNG", optimize=True)


def png_zopfli() -> Coder:
    """zopflipng: slow, and about as small as deflate can be."""
    from zopfli.png import optimize

    plain = png()
    return SingleImageCoder(
        lambda image: optimize(plain.encode([image])[0]), lambda file, shape: plain.decode([file], [shape])[0]
    )


def webp(**options: Any) -> Coder:
    """WebP; ``options`` are those of Pillow."""
    return pillow("WEBP", **options)


def jpeg(**options: Any) -> Coder:
    """JPEG; ``options`` are those of Pillow. Baseline: a progressive file of a digit is 120 bytes larger."""
    return pillow("JPEG", **options)


def avif(**options: Any) -> Coder:
    """AVIF on one thread; ``options`` are those of Pillow, which holds the number of decoder threads in a global."""
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return pillow("AVIF", **options)


def avif_lossless(**options: Any) -> Coder:
    """Monochrome AVIF; ``options`` are those of imagecodecs."""
    import imagecodecs

    return SingleImageCoder(
        lambda image: imagecodecs.avif_encode(image, numthreads=1, **options),
        lambda file, _: imagecodecs.avif_decode(file, numthreads=1),
    )


def jpeg2000(**options: Any) -> Coder:
    """A bare JPEG 2000 code stream; ``level`` is the target PSNR in dB, or 0 for lossless."""
    import imagecodecs

    return SingleImageCoder(
        lambda image: imagecodecs.jpeg2k_encode(image, codecformat="J2K", **options),
        lambda file, _: imagecodecs.jpeg2k_decode(file),
    )


def jpegls(level: int) -> Coder:
    """JPEG-LS; no pixel differs by more than ``level``."""
    import imagecodecs

    return SingleImageCoder(
        lambda image: imagecodecs.jpegls_encode(image, level=level),
        lambda file, _: imagecodecs.jpegls_decode(file),
    )


def jpegxl(**options: Any) -> Coder:
    """A bare JPEG XL code stream; ``distance`` is the Butteraugli distance, at most 25."""
    import imagecodecs

    return SingleImageCoder(
        lambda image: imagecodecs.jpegxl_encode(image, usecontainer=False, numthreads=1, **options),
        lambda file, _: imagecodecs.jpegxl_decode(file, numthreads=1),
    )


def qoi() -> Coder:
    """QOI, which has colour images only, so each pixel is stored with three equal channels."""
    import imagecodecs

    return SingleImageCoder(
        lambda image: imagecodecs.qoi_encode(np.repeat(image[..., None], 3, axis=2)),
        lambda file, _: imagecodecs.qoi_decode(file)[..., 0],
    )


def _zstd_pair(level: int, dictionary: Any) -> tuple[Any, Any]:
    """Compressor and decompressor for frames without the fields that a reader who knows the image size does not need."""
    import zstandard

    compressor = zstandard.ZstdCompressor(
        level=level, dict_data=dictionary, write_content_size=False, write_checksum=False, write_dict_id=False
    )
    return compressor, zstandard.ZstdDecompressor(dict_data=dictionary)


def zstd(level: int) -> Coder:
    """A zstd frame without optional fields."""
    compressor, decompressor = _zstd_pair(level, None)
    return SingleImageCoder(
        lambda image: compressor.compress(image.tobytes()),
        lambda file, shape: _pixels(decompressor.decompress(file, int(np.prod(shape))), shape),
    )


class ZstdDictionary:
    """zstd with a trained dictionary. Like the model of mnistzip, the dictionary is not counted in the sizes.

    The images in a dictionary would compress too well, so each half of the images is encoded with a dictionary of the other
    half.
    """

    SIZE = 110 << 10  # bytes, the default of zstd
    HALF_IMAGES_MIN = 50

    def __init__(self, level: int) -> None:
        self.level = level
        self._pairs: list[tuple[Any, Any]] = []

    def train(self, images: Sequence[Pixels]) -> None:
        """Train both dictionaries."""
        import zstandard

        content: list[Any] = [image.tobytes() for image in images]
        if len(content) < 2 * self.HALF_IMAGES_MIN:
            raise ImageError(f"a dictionary needs at least {2 * self.HALF_IMAGES_MIN} images to train on, not {len(content)}")
        halves = (content[1::2], content[::2])
        sizes = [min(self.SIZE, sum(map(len, half)) // 10) for half in halves]
        dictionaries = [zstandard.train_dictionary(size, half) for size, half in zip(sizes, halves, strict=True)]
        self._pairs = [_zstd_pair(self.level, dictionary) for dictionary in dictionaries]

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        return [self._pairs[index % 2][0].compress(image.tobytes()) for index, image in enumerate(images)]

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        return [
            _pixels(self._pairs[index % 2][1].decompress(file, int(np.prod(shape))), shape)
            for index, (file, shape) in enumerate(zip(files, shapes, strict=True))
        ]
