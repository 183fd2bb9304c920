"""A folder of image files, one for each image of an archive, with a table of labels."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from itertools import chain
from pathlib import PurePosixPath
from types import TracebackType

from mnistzip.archive.entry_names import PART_MAX
from mnistzip.errors import ImageError
from mnistzip.io.formats import IMAGE_FORMATS
from mnistzip.io.image_file import IMAGE_SUFFIXES, SUFFIX, write_image
from mnistzip.io.targets import OpenFile, Target
from mnistzip.limits import FOLDER_DEPTH_MAX
from mnistzip.storage.remote import is_address
from mnistzip.types import Pixels

PATH_MAX = os.pathconf("/", "PC_PATH_MAX") if hasattr(os, "pathconf") else 260  # bytes
LABELS_FILE = "labels.csv"  # in the folder of the images
TEMPORARY_NAME = 40  # bytes that the name of an unfinished file takes more than the final name


class FolderWriter:
    """Writes a file for each image into a folder; its name is the image's name or, if it has none, its index.

    If two names are equal, or differ in case only, the second file gets ``~INDEX``, because some file systems would
    overwrite the first. If that name is taken as well, the file is named after its index.

    Args:
        target: uses ``path``, which may be an address that fsspec knows, ``suffix``, ``write_file``, ``renamed``,
            ``labels_path`` and ``open_file``.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._folder = target.path
        self._remote = is_address(target.path)
        self._root = target.path if self._remote else os.path.realpath(target.path)
        self._files: set[int] = set()  # keys of the files that were written
        self._folders: set[int] = set()
        self._labels: _LabelTable | None = None

    def __enter__(self) -> FolderWriter:
        if not self._remote:
            os.makedirs(self._folder, exist_ok=True)
        if self._target.labels_path is not None:
            self._files.add(_key(LABELS_FILE))
            self._labels = _LabelTable(self._target.labels_path, self._target.open_file)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Complete the table of labels; the images are written already."""
        if self._labels is not None:
            self._labels.close(complete=kind is None)

    def add(self, index: int, image: Pixels, name: str, label: int | None) -> None:
        stem, suffix = self._split(name or f"{index:06}")
        numbered = (f"{index:06}-{number}" for number in range(len(self._files) + len(self._folders) + 1))
        stems = chain([stem, f"{stem}~{index}", f"{index:06}"], numbered)
        file = next((candidate + suffix for candidate in stems if self._is_free(candidate + suffix)), None)
        if file is None:
            raise ImageError(f"{self._folder} cannot hold files: its path is too long")
        if file != stem + suffix:
            self._target.renamed(stem + suffix, file)
        self._files.add(_key(file))
        self._folders |= {_key(str(folder)) for folder in PurePosixPath(file).parents}
        path = f"{self._folder.rstrip('/')}/{file}" if self._remote else os.path.join(self._folder, file)
        if not self._remote and os.path.commonpath([self._root, os.path.realpath(path)]) != self._root:
            raise ImageError(f"{path} would lie outside {self._folder}: a link leads out of it")
        if not self._remote and os.path.exists(path) and not os.path.isfile(path):  # writing to a pipe would wait
            raise ImageError(f"{path} is there already, and is no regular file: choose another folder")
        self._target.write_file(path, write_image(image, suffix))
        if self._labels is not None:
            self._labels.add(file, label)

    def _is_free(self, file: str) -> bool:
        """Whether an image can go to a path below the folder: nothing is there, no parent is a file, and it is not too long."""
        path = PurePosixPath(file)
        return (
            len(path.name.encode()) <= PART_MAX
            and len(path.parts) <= FOLDER_DEPTH_MAX
            and len(os.fsencode(self._root)) + len(file.encode()) + TEMPORARY_NAME <= PATH_MAX
            and _key(file) not in self._files
            and _key(file) not in self._folders
            and not any(_key(str(folder)) in self._files for folder in path.parents)
        )

    def _split(self, name: str) -> tuple[str, str]:
        """A name without its suffix, and the suffix of the file: the same, if it names a lossless image format."""
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in {*IMAGE_SUFFIXES, SUFFIX, ".npy"}:
            stem, suffix = name, ""
        image_format = IMAGE_FORMATS.get(suffix.lower())
        if image_format is not None and image_format.pillow is not None and not self._target.suffix:
            return stem, suffix.lower()
        return stem, self._target.suffix or ".png"


class _LabelTable:
    """A CSV file with the columns ``name`` and ``label``; an unknown label is an empty cell."""

    def __init__(self, path: str, open_file: OpenFile) -> None:
        self._atomic = open_file(path)
        self._text = io.TextIOWrapper(self._atomic.file, "utf-8", newline="")
        self._table = csv.writer(self._text, lineterminator="\n")
        self._table.writerow(("name", "label"))

    def add(self, name: str, label: int | None) -> None:
        self._table.writerow((name, "" if label is None else label))

    def close(self, complete: bool) -> None:
        """Put the file in its place, if it is complete."""
        if not complete:
            self._atomic.abandon()
            return
        with self._atomic:
            self._text.detach()  # flushes the text


def _key(name: str) -> int:
    """A hash that is equal for names that some file system treats as one; it takes less memory than the name."""
    return hash(unicodedata.normalize("NFC", name).casefold())
