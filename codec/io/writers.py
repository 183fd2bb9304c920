"""Many images out again, one after the other: IDX, arrays, Parquet, or a file each in a folder."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistzip.archive.entry_names import PART_MAX
from mnistzip.archive.index import Origin
from mnistzip.errors import ImageError, OptionError
from mnistzip.idx import INT32, idx_header
from mnistzip.io.image_file import IMAGE_SUFFIXES, LOSSLESS_KINDS, STREAM, SUFFIX, write_image
from mnistzip.io.parquet import pyarrow_parquet
from mnistzip.limits import ARRAY_NAMES_MAX, FOLDER_DEPTH_MAX
from mnistzip.storage.atomic import AtomicFile
from mnistzip.storage.remote import is_address
from mnistzip.types import Pixels

KINDS = {"idx": Origin.IDX, "folder": Origin.FOLDER, "npy": Origin.NPY, "npz": Origin.NPZ, "parquet": Origin.PARQUET}
PARQUET_ROWS = 1024  # written together
PATH_MAX = os.pathconf("/", "PC_PATH_MAX") if hasattr(os, "pathconf") else 260  # bytes
LABELS_FILE = "labels.csv"  # beside the images in a folder
PARTIAL = 40  # bytes of the name under which a file is written at first

Shape = tuple[int, int]
Place = Callable[[str], AtomicFile]  # makes the file that goes to a path


class Sink(Protocol):
    """Takes images one after the other; what it writes appears when it is closed without an error."""

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        """Take the next image; ``index`` is its place in the archive."""

    def __enter__(self) -> Sink: ...

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None: ...


class _Tap:
    """A file that takes nothing more once it is shut: a stream that damage ends is not to get an end that looks whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.shut = False

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes if self.shut else self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _File:
    """What sinks of one file have in common: it takes its place when all is written; ``place`` makes it."""

    def __init__(self, path: str, place: Place) -> None:
        self._labels: list[int] = []
        self._whole = None if path == STREAM else place(path)
        self._file: Any = _Tap(sys.stdout.buffer if self._whole is None else self._whole.file)

    def finish(self) -> None:
        """Write what comes last."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            with self._whole or nullcontext():
                try:
                    self.finish()
                except BaseException:
                    self._file.shut = True
                    raise
                finally:
                    self._let_go()
                self._file.flush()
            return
        self._file.shut = True
        self._let_go()
        if self._whole is not None:
            self._whole.abandon()

    def _let_go(self) -> None:
        """Close what writes into the file, which is about to go: it would complain of that when it is collected."""


class IdxSink(_File):
    """An IDX file, and another for labels; both gzipped where their names end in ``.gz``."""

    def __init__(self, path: str, labels: str | None, count: int, shape: Shape, place: Place = AtomicFile) -> None:
        super().__init__(path, place)
        self._label_path = labels
        self._place = place
        zipped = path.endswith(".gz")
        self._out: Any = gzip.GzipFile("", "wb", 9, self._file, mtime=0) if zipped else self._file
        self._out.write(idx_header((count, *shape)))

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        self._out.write(image.tobytes())
        if label is not None:
            self._labels.append(label)

    def finish(self) -> None:
        labels = None if self._label_path is None else idx_labels(self._labels)
        if self._out is not self._file:
            self._out.close()
        if self._label_path is not None and labels is not None:
            write_labels(self._label_path, labels, self._place)

    def _let_go(self) -> None:
        if self._out is not self._file:
            with suppress(OSError, ValueError):
                self._out.close()


def idx_labels(labels: list[int]) -> bytes:
    """Labels as IDX: of bytes where they are 0 to 255, else of 32 bits.

    Raises:
        OptionError: a label that takes more than 32 bits.
    """
    numbers = np.array(labels, np.int64)
    if numbers.size == 0 or (numbers.min() >= 0 and numbers.max() <= 255):
        return idx_header(numbers.shape) + numbers.astype(np.uint8).tobytes()
    if numbers.min() >= -(1 << 31) and numbers.max() < 1 << 31:
        return idx_header(numbers.shape, INT32) + numbers.astype(">i4").tobytes()
    raise OptionError("IDX has labels of 32 bits at most: --to npz keeps these")


def write_labels(path: str, content: bytes, place: Place) -> None:
    """Write labels to stdout or to a file, gzipped where its name ends in ``.gz``."""
    if path == STREAM:
        sys.stdout.buffer.write(content)
        return
    with place(path) as file:
        file.write(gzip.compress(content, 9, mtime=0) if path.endswith(".gz") else content)


class NpySink(_File):
    """One array ``(N, H, W)``; where it is ``.npz``, with ``labels`` and ``names``."""

    def __init__(self, path: str, count: int, shape: Shape, several: bool, place: Place = AtomicFile) -> None:
        super().__init__(path, place)
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED) if several else None
        entry = zipfile.ZipInfo("images.npy")
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._out: IO[bytes] = self._file if self._zip is None else self._zip.open(entry, "w", force_zip64=True)
        npy.write_array_header_1_0(self._out, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)})
        self._names: list[str] = []

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        self._out.write(image.tobytes())
        if self._zip is not None:
            self._names.append(name)
            if label is not None:
                self._labels.append(label)

    def finish(self) -> None:
        if self._zip is None:
            return
        self._out.close()
        more: dict[str, NDArray[Any]] = {}
        if self._labels:
            more["labels"] = np.array(self._labels, np.int64)
        if any(self._names):
            longest = max(map(len, self._names))
            if 4 * longest * len(self._names) > ARRAY_NAMES_MAX:  # an array gives each the room of the longest
                raise ImageError(
                    f"{len(self._names)} names of up to {longest} characters are too many for .npz: use --to folder"
                )
            more["names"] = np.array(self._names)
        for key, array in more.items():
            entry = zipfile.ZipInfo(f"{key}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with self._zip.open(entry, "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
        self._zip.close()

    def _let_go(self) -> None:
        if self._zip is not None:
            with suppress(OSError, ValueError):
                self._out.close()
                self._zip.close()


class ParquetSink(_File):
    """A Parquet file with the columns ``image`` (PNG), and ``name`` and ``label`` if there are any."""

    def __init__(self, path: str, named: bool, labelled: bool, place: Place = AtomicFile) -> None:
        parquet = pyarrow_parquet(Path(path))
        import pyarrow

        super().__init__(path, place)
        fields = [("image", pyarrow.binary())]
        fields += [("name", pyarrow.string())] * named + [("label", pyarrow.int64())] * labelled
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

    def _let_go(self) -> None:
        with suppress(OSError, ValueError):
            self._writer.close()


class FolderSink:
    """A file for each image, below a folder, by its name or its index.

    Where two names are the same, or differ in case only, the later gets ``~INDEX``: on some systems they are one file. Where
    that does not help it is named by its index.

    Args:
        folder: a path, or an address that fsspec knows.
        suffix: what all images are written as; empty for their own kinds.
        write: writes a file.
        renamed: called with the name of an image and the other one that it gets.
        labels: where a table of names and labels goes, if there are labels.
        place: makes the file of the table.
    """

    def __init__(
        self,
        folder: str,
        suffix: str,
        write: Callable[[str, bytes], None],
        renamed: Callable[[str, str], None],
        labels: str | None = None,
        place: Place = AtomicFile,
    ) -> None:
        self._folder = folder
        self._remote = is_address(folder)
        self._home = folder if self._remote else os.path.realpath(folder)
        self._suffix = suffix
        self._write = write
        self._renamed = renamed
        self._taken: set[int] = set()  # files and folders that were written
        self._folders: set[int] = set()
        self._labels: _LabelTable | None = None
        self._labels_to = labels, place

    def __enter__(self) -> FolderSink:
        if not self._remote:
            os.makedirs(self._folder, exist_ok=True)
        path, place = self._labels_to
        if path is not None:
            self._taken.add(_key(LABELS_FILE))
            self._labels = _LabelTable(path, place)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """End the table of labels; each image was written when it came."""
        if self._labels is not None:
            self._labels.end(whole=kind is None)

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        stem, suffix = self._parts(name or f"{index:06}")
        last = (f"{index:06}-{number}" for number in range(len(self._taken) + len(self._folders) + 1))
        ways = chain([stem, f"{stem}~{index}", f"{index:06}"], last)
        below = next((way + suffix for way in ways if self._is_free(way + suffix)), None)
        if below is None:
            raise ImageError(f"no file can be written into {self._folder}: its path is too long")
        if below != stem + suffix:
            self._renamed(stem + suffix, below)
        self._taken.add(_key(below))
        self._folders |= {_key(str(folder)) for folder in PurePosixPath(below).parents}
        path = f"{self._folder.rstrip('/')}/{below}" if self._remote else os.path.join(self._folder, below)
        if not self._remote and os.path.commonpath([self._home, os.path.realpath(path)]) != self._home:
            raise ImageError(f"{path} would lie outside {self._folder}: a link leads out of it")
        self._write(path, write_image(image, suffix))
        if self._labels is not None:
            self._labels.add(below, label)

    def _is_free(self, below: str) -> bool:
        """Whether an image can go there: it is no file yet and no folder, none of its folders is a file, it is not too long."""
        path = PurePosixPath(below)
        return (
            len(path.name.encode()) <= PART_MAX
            and len(path.parts) <= FOLDER_DEPTH_MAX
            and len(os.fsencode(self._home)) + len(below.encode()) + PARTIAL <= PATH_MAX
            and _key(below) not in self._taken
            and _key(below) not in self._folders
            and not any(_key(str(folder)) in self._taken for folder in path.parents)
        )

    def _parts(self, name: str) -> tuple[str, str]:
        """A name without its suffix, and the suffix that it gets: its own, if images of that kind keep every pixel."""
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in {*IMAGE_SUFFIXES, SUFFIX, ".npy"}:
            stem, suffix = name, ""
        keeps = suffix.lower() in LOSSLESS_KINDS and not self._suffix
        return stem, suffix.lower() if keeps else self._suffix or ".png"


class _LabelTable:
    """A CSV file with the columns ``name`` and ``label``; a label that is not known is empty."""

    def __init__(self, path: str, place: Place) -> None:
        self._whole = place(path)
        self._text = io.TextIOWrapper(self._whole.file, "utf-8", newline="")
        self._table = csv.writer(self._text, lineterminator="\n")
        self._table.writerow(("name", "label"))

    def add(self, name: str, label: int | None) -> None:
        self._table.writerow((name, "" if label is None else label))

    def end(self, whole: bool) -> None:
        """Put the file into its place, if it is whole."""
        if not whole:
            self._whole.abandon()
            return
        with self._whole:
            self._text.detach()  # which writes what is left


def _key(name: str) -> int:
    """The same for names that some system takes for one, in less memory than the name."""
    return hash(unicodedata.normalize("NFC", name).casefold())
