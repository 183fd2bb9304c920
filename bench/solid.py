"""Codecs that put all images into one file; archives are compared with them."""

from __future__ import annotations

import io
import lzma
import math
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mnistzip.bench.protocol import Coder, Shapes
from mnistzip.errors import ImageError
from mnistzip.types import Pixels


@dataclass(frozen=True)
class Sheet:
    """One large image, about square, with all images next to each other."""

    coder: Coder

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            raise ImageError(f"images of {len(shapes)} different sizes do not fit into one sheet")
        height, width = images[0].shape
        rows, columns = _grid(len(images))
        cells = np.zeros((rows * columns, height, width), np.uint8)
        cells[: len(images)] = images
        sheet = cells.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
        return self.coder.encode([sheet])

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        height, width = shapes[0]
        rows, columns = _grid(len(shapes))
        (sheet,) = self.coder.decode(files, [(rows * height, columns * width)])
        cells = sheet.reshape(rows, height, columns, width).swapaxes(1, 2).reshape(-1, height, width)
        return list(cells[: len(shapes)])


def sheet_of(make: Callable[..., Coder]) -> Callable[..., Coder]:
    """A function that makes the coder of a sheet, from one that makes the coder of an image."""
    return lambda **options: Sheet(make(**options))


def _grid(count: int) -> tuple[int, int]:
    """Rows and columns of a sheet."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


class TarXz:
    """A tar of numbered PGM files, compressed by ``xz -9e``."""

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:", format=tarfile.USTAR_FORMAT) as archive:
            for index, image in enumerate(images):
                content = f"P5 {image.shape[1]} {image.shape[0]} 255\n".encode() + image.tobytes()
                entry = tarfile.TarInfo(f"{index}.pgm")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return [lzma.compress(out.getvalue(), preset=9 | lzma.PRESET_EXTREME)]

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        images = []
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(files[0]))) as archive:
            for entry, shape in zip(archive.getmembers(), shapes, strict=True):
                content = cast("io.BufferedReader", archive.extractfile(entry)).read()
                images.append(np.frombuffer(content[content.index(b"\n") + 1 :], np.uint8).reshape(shape))
        return images


@dataclass(frozen=True)
class Parquet:
    """A Parquet file with raw pixels in a binary column."""

    compression: str
    compression_level: int

    def encode(self, images: Sequence[Pixels]) -> list[bytes]:
        import pyarrow as pa
        from pyarrow import parquet

        out = io.BytesIO()
        table = pa.table({"image": pa.array([image.tobytes() for image in images], pa.binary())})
        parquet.write_table(
            table, out, compression=self.compression, compression_level=self.compression_level, use_dictionary=False
        )
        return [out.getvalue()]

    def decode(self, files: Sequence[bytes], shapes: Shapes) -> list[Pixels]:
        from pyarrow import parquet

        column = parquet.read_table(io.BytesIO(files[0]), use_threads=False).column("image").to_pylist()
        return [np.frombuffer(pixels, np.uint8).reshape(shape) for pixels, shape in zip(column, shapes, strict=True)]
