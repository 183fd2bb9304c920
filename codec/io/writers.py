"""Files of many images: IDX, arrays and Parquet."""

from __future__ import annotations

import gzip
import os
import sys
import zipfile
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip.errors import ImageError, OptionError
from mnistzip.idx import INT32, idx_header
from mnistzip.io.image_file import STREAM, write_image
from mnistzip.io.parquet import pyarrow_parquet
from mnistzip.io.targets import OpenFile, Target
from mnistzip.limits import ARRAY_NAMES_MAX
from mnistzip.types import Pixels

PARQUET_ROWS = 1024  # in a row group


class _StoppableFile:
    """A file that ignores writes once it is ``stopped``, so that a truncated stream never gets a valid trailer."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.stopped = False

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes if self.stopped else self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _FileWriter:
    """The base of writers of one file, which appears when it is complete."""

    def __init__(self, target: Target) -> None:
        self._labels: list[int] = []
        self._atomic = None if target.path == STREAM else target.open_file(target.path)
        self._file: Any = _StoppableFile(sys.stdout.buffer if self._atomic is None else self._atomic.file)

    def finish(self) -> None:
        """Write the end of the file."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            with self._atomic or nullcontext():
                try:
                    self.finish()
                except BaseException:
                    self._file.stopped = True
                    raise
                finally:
                    self._close_encoder()
                self._file.flush()
            return
        self._file.stopped = True
        self._close_encoder()
        if self._atomic is not None:
            self._atomic.abandon()

    def _close_encoder(self) -> None:
        """Close the object that encodes into the file: left open, it would raise when it is collected after the file."""


class IdxWriter(_FileWriter):
    """An IDX file of images, and one of labels; each is gzipped if its name ends in ``.gz``."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._target = target
        zipped = target.path.endswith(".gz")
        self._out: Any = gzip.GzipFile("", "wb", 9, self._file, mtime=0) if zipped else self._file
        self._out.write(idx_header((target.count, *target.shape)))

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        self._out.write(image.tobytes())
        if label is not None:
            self._labels.append(label)

    def finish(self) -> None:
        path = self._target.labels_path
        labels = None if path is None else idx_labels(self._labels)  # an error comes before the images are complete
        if self._out is not self._file:
            self._out.close()
        if path is not None and labels is not None:
            _write_labels(path, labels, self._target.open_file)

    def _close_encoder(self) -> None:
        if self._out is not self._file:
            with suppress(OSError, ValueError):
                self._out.close()


def idx_labels(labels: list[int]) -> bytes:
    """An IDX file of labels: bytes if all are 0 to 255, else 32-bit integers.

    Raises:
        OptionError: a label does not fit into 32 bits with a sign.
    """
    numbers = np.array(labels, np.int64)
    if numbers.size == 0 or (numbers.min() >= 0 and numbers.max() <= 255):
        return idx_header(numbers.shape) + numbers.astype(np.uint8).tobytes()
    if numbers.min() >= -(1 << 31) and numbers.max() < 1 << 31:
        return idx_header(numbers.shape, INT32) + numbers.astype(">i4").tobytes()
    raise OptionError("IDX holds labels of at most 32 bits: --to npz keeps larger ones")


def _write_labels(path: str, content: bytes, open_file: OpenFile) -> None:
    """Write labels to stdout or to a file, gzipped if its name ends in ``.gz``."""
    if path == STREAM:
        sys.stdout.buffer.write(content)
        return
    with open_file(path) as file:
        file.write(gzip.compress(content, 9, mtime=0) if path.endswith(".gz") else content)


def _write_array_header(file: IO[bytes], target: Target) -> None:
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (target.count, *target.shape)})


class NpyWriter(_FileWriter):
    """A ``.npy`` file: one uint8 array of shape ``(N, H, W)``."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        _write_array_header(self._file, target)

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        self._file.write(image.tobytes())


class _Forward:
    """A file that is written from its beginning to its end, also if it says that it can be positioned, as /dev/null does."""

    def __init__(self, file: Any) -> None:
        self.write, self.flush = file.write, file.flush


class NpzWriter(_FileWriter):
    """An ``.npz`` file of the arrays ``images``, uint8 ``(N, H, W)``, and ``labels`` and ``names`` if there are any."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        is_device = os.path.exists(target.path) and not os.path.isfile(target.path)
        file: Any = _Forward(self._file) if is_device else self._file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._images = self._open_member("images")
        _write_array_header(self._images, target)
        self._names: list[str] = []

    def _open_member(self, name: str) -> IO[bytes]:
        entry = zipfile.ZipInfo(f"{name}.npy")
        entry.compress_type = zipfile.ZIP_DEFLATED
        return self._zip.open(entry, "w", force_zip64=True)

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        self._images.write(image.tobytes())
        self._names.append(name)
        if label is not None:
            self._labels.append(label)

    def finish(self) -> None:
        self._images.close()
        arrays: dict[str, NDArray[Any]] = {}
        if self._labels:
            arrays["labels"] = np.array(self._labels, np.int64)
        if any(self._names):
            longest = max(map(len, self._names))
            if 4 * longest * len(self._names) > ARRAY_NAMES_MAX:  # each name takes as much as the longest
                raise ImageError(
                    f"{len(self._names)} names of up to {longest} characters do not fit into .npz: use --to folder"
                )
            arrays["names"] = np.array(self._names)
        for name, array in arrays.items():
            with self._open_member(name) as member:
                npy.write_array(member, array, allow_pickle=False)
        self._zip.close()

    def _close_encoder(self) -> None:
        with suppress(OSError, ValueError):
            self._images.close()
            self._zip.close()


class ParquetWriter(_FileWriter):
    """A Parquet file with the columns ``image`` (PNG), and ``name`` and ``label`` if there are any."""

    def __init__(self, target: Target) -> None:
        parquet = pyarrow_parquet(Path(target.path))
        import pyarrow

        super().__init__(target)
        fields = [("image", pyarrow.binary())]
        fields += [("name", pyarrow.string())] * target.named + [("label", pyarrow.int64())] * target.labelled
        self._schema = pyarrow.schema(fields)
        self._writer = parquet.ParquetWriter(self._file, self._schema)
        self._rows: list[dict[str, object]] = []

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        self._rows.append({"image": write_image(image, ".png"), "name": name, "label": label})
        if len(self._rows) >= PARQUET_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _close_encoder(self) -> None:
        with suppress(OSError, ValueError):
            self._writer.close()
