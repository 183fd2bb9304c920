"""The other codecs, one file an image, each by a library and at the settings its users choose for small files."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mnistzip.bench.protocol import Coder, Each, Shapes
from mnistzip.errors import ImageError
from mnistzip.types import Pixels


def pillow(kind: str, **options: Any) -> Each:
    """A format of Pillow with the options of its ``save``."""

    def pack(image: Pixels) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).save(out, kind, **options)
        return out.getvalue()

    def unpack(file: bytes, _shape: tuple[int, ...]) -> Pixels:
        return np.asarray(Image.open(io.BytesIO(file)).convert("L"))

    return Each(pack, unpack)


def raw() -> Coder:
    """The pixels as they are."""
    return Each(lambda image: image.tobytes(), _pixels)


def deflate() -> Coder:
    """A bare deflate stream of zlib's highest level."""
    return Each(
        lambda image: zlib.compress(image.tobytes(), 9, -15),
        lambda file, shape: _pixels(zlib.decompress(file, -15), shape),
    )


def _pixels(content: bytes, shape: tuple[int, ...]) -> Pixels:
    return np.frombuffer(content, np.uint8).reshape(shape)


def png() -> Coder:
    """Pillow's optimized PNG, the yardstick."""
    return pillow("PNG", optimize=True)


def png_zopfli() -> Coder:
    """zopflipng: slow, and as small as deflate gets."""
    from zopfli.png import optimize

    plain = png()
    return Each(lambda image: optimize(plain.encode([image])[0]), lambda file, shape: plain.decode([file], [shape])[0])


def webp(**options: Any) -> Coder:
    """Options as of Pillow."""
    return pillow("WEBP", **options)


def jpeg(**options: Any) -> Coder:
    """Options as of Pillow; not progressive, which costs tiny images 120 bytes."""
    return pillow("JPEG", **options)


def avif(**options: Any) -> Coder:
    """Options as of Pillow; one thread both ways, the decoder's number being a global of Pillow's."""
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return pillow("AVIF", **options)


def avif_lossless(**options: Any) -> Coder:
    """Grey only, options as of imagecodecs."""
    import imagecodecs

    return Each(
        lambda image: imagecodecs.avif_encode(image, numthreads=1, **options),
        lambda file, _: imagecodecs.avif_decode(file, numthreads=1),
    )


def jpeg2000(**options: Any) -> Coder:
    """A bare code stream; ``level`` is a target in dB, 0 for none."""
    import imagecodecs

    return Each(
        lambda image: imagecodecs.jpeg2k_encode(image, codecformat="J2K", **options),
        lambda file, _: imagecodecs.jpeg2k_decode(file),
    )


def jpegls(level: int) -> Coder:
    """No pixel is off by more than ``level``."""
    import imagecodecs

    return Each(
        lambda image: imagecodecs.jpegls_encode(image, level=level),
        lambda file, _: imagecodecs.jpegls_decode(file),
    )


def jpegxl(**options: Any) -> Coder:
    """A bare code stream; ``distance`` is Butteraugli's, and 25 the most that libjxl takes."""
    import imagecodecs

    return Each(
        lambda image: imagecodecs.jpegxl_encode(image, usecontainer=False, numthreads=1, **options),
        lambda file, _: imagecodecs.jpegxl_decode(file, numthreads=1),
    )


def qoi() -> Coder:
    """QOI knows colour only: grey is given to it three times."""
    import imagecodecs

    return Each(
        lambda image: imagecodecs.qoi_encode(np.repeat(image[..., None], 3, axis=2)),
        lambda file, _: imagecodecs.qoi_decode(file)[..., 0],
    )


def _zstd_pair(level: int, dictionary: Any) -> tuple[Any, Any]:
    """Packer and unpacker without any field that a reader who knows the image's size can do without."""
    import zstandard

    packer = zstandard.ZstdCompressor(
        level=level, dict_data=dictionary, write_content_size=False, write_checksum=False, write_dict_id=False
    )
    return packer, zstandard.ZstdDecompressor(dict_data=dictionary)


def zstd(level: int) -> Coder:
    """A frame without optional fields."""
    packer, unpacker = _zstd_pair(level, None)
    return Each(
        lambda image: packer.compress(image.tobytes()),
        lambda file, shape: _pixels(unpacker.decompress(file, int(np.prod(shape))), shape),
    )


class ZstdDictionary:
    """zstd with a dictionary that both ends know, and that is not counted, as our model is not.

    It must not be trained on what it compresses: each half of the images is coded with a dictionary of the other half.
    """

    SIZE = 110 << 10  # bytes, zstd's own default
    LEAST = 50  # images in a half

    def __init__(self, level: int) -> None:
        self.level = level
        self._pairs: list[tuple[Any, Any]] = []

    def train(self, images: Sequence[Pixels]) -> None:
        """Make both dictionaries."""
        import zstandard

        content: list[Any] = [image.tobytes() for image in images]
        if len(content) < 2 * self.LEAST:
            raise ImageError(f"a dictionary needs at least {2 * self.LEAST} images to be trained on, not {len(content)}")
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
