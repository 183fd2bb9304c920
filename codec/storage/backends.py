"""Byte ranges of archives: in memory, in local files, and in files at addresses."""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import IO, Protocol

from mnistzip.errors import FormatError, OptionError
from mnistzip.storage.remote import Address, is_address, local_path

COPY_BYTES = 1 << 20  # copied at a time


class Storage(Protocol):
    """Random access to bytes; several threads may read at once."""

    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Read exactly ``count`` bytes from an offset.

        Raises:
            FormatError: fewer bytes are there.
            OptionError: the storage is closed.
        """

    def close(self) -> None:
        """Release what is open; later reads fail."""


class MemoryStorage:
    """Bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self._content: bytes | None = content

    def read(self, offset: int, count: int) -> bytes:
        if self._content is None:
            raise OptionError("the archive is closed")
        return _require_all(self._content[offset : offset + count], offset, count)

    def close(self) -> None:
        self._content = None


class _Descriptor:
    """An open file that closes with its last reader: closed earlier, its number could pass to another file."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class LocalStorage:
    """A local file, read by descriptor.

    It is not mapped into memory: if another process truncates a mapped file, the operating system kills the reader.
    """

    def __init__(self, number: int) -> None:
        self._open: _Descriptor | None = _Descriptor(number)
        self.size = os.fstat(number).st_size
        self._seek_lock = threading.Lock()

    def read(self, offset: int, count: int) -> bytes:
        opened = self._open
        if opened is None:
            raise OptionError("the archive is closed")
        pieces: list[bytes] = []
        left = count
        while left and (piece := self._read_some(opened.number, offset + count - left, left)):  # reads may be short
            pieces.append(piece)
            left -= len(piece)
        return _require_all(pieces[0] if len(pieces) == 1 else b"".join(pieces), offset, count)

    def _read_some(self, number: int, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):  # needs no lock, which a forked process could inherit locked
            return os.pread(number, count, offset)
        with self._seek_lock:
            os.lseek(number, offset, os.SEEK_SET)
            return os.read(number, count)

    def close(self) -> None:
        self._open = None


class RemoteStorage:
    """A file at an address; each read requests only its own range."""

    def __init__(self, url: str) -> None:
        self._address = Address(url)
        files, path = self._address.files, self._address.path
        size = self._address.ask(lambda: files.size(path))
        if size is None:
            raise OptionError(f"{url} does not say how large it is: download it first")
        self.size = int(size)
        self._open = True

    def read(self, offset: int, count: int) -> bytes:
        if not self._open:
            raise OptionError("the archive is closed")
        if not count:
            return b""
        files, path = self._address.files, self._address.path
        piece: bytes = self._address.ask(lambda: bytes(files.cat_file(path, start=offset, end=offset + count)))
        if len(piece) > count:
            raise OSError(errno.ENOTSUP, "gives whole files only: download it first", self._address.url)
        return _require_all(piece, offset, count)

    def close(self) -> None:
        self._open = False


def _require_all(piece: bytes, offset: int, count: int) -> bytes:
    if len(piece) < count:
        raise FormatError(f"the file is cut short: it ends within {count} bytes from byte {offset}")
    return piece


def open_storage(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Storage:
    """Open a path, an address that fsspec supports, or bytes.

    Raises:
        OptionError: the source is of another type, or fsspec is missing or does not support the address.
        OSError: no such file.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return MemoryStorage(bytes(source))
    if not isinstance(source, (str, os.PathLike)):
        raise OptionError(f"an archive is given as {type(source).__name__}: give its path or its bytes")
    if isinstance(source, str):
        if is_address(source):
            return RemoteStorage(source)
        source = local_path(source)
    require_path(source)
    with open(source, "rb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return LocalStorage(os.dup(file.fileno()))
        return MemoryStorage(file.readall())  # a pipe is read once, from its beginning


def require_path(path: str | os.PathLike[str]) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` for a path with a zero character, which no system accepts."""
    if "\0" in os.fsdecode(path):
        raise OptionError(f"{os.fsdecode(path)!r} is no path: it contains a zero character")


def copy_range(source: Storage, start: int, end: int, out: IO[bytes]) -> None:
    """Copy bytes ``start`` to ``end`` into an open file, 1 MiB at a time."""
    for offset in range(start, end, COPY_BYTES):
        out.write(source.read(offset, min(COPY_BYTES, end - offset)))
