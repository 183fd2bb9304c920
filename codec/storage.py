"""Where archives lie: bytes at hand, local files, remote files by fsspec. And files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from mnistzip.errors import FormatError, OptionError


class Storage(Protocol):
    """Bytes that can be read from anywhere, by several threads at once."""

    size: int

    def read(self, offset: int, count: int) -> bytes:
        """So many bytes from an offset; a :class:`~mnistzip.errors.FormatError` if they are not all there."""

    def close(self) -> None:
        """Let go of what is open; nothing can be read afterwards."""


class Held:
    """Bytes at hand."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self._content: bytes | None = content

    def read(self, offset: int, count: int) -> bytes:
        if self._content is None:
            raise OptionError("the archive is closed")
        return _whole(self._content[offset : offset + count], offset, count)

    def close(self) -> None:
        self._content = None


class _Descriptor:
    """An open file, closed when the last who reads it lets go: not before, lest its number become that of another file."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class Local:
    """A local file. It is not mapped into memory: a file that another process cuts short would end this one."""

    def __init__(self, number: int) -> None:
        self._open: _Descriptor | None = _Descriptor(number)
        self.size = os.fstat(number).st_size
        self._turn = threading.Lock()

    def read(self, offset: int, count: int) -> bytes:
        opened = self._open
        if opened is None:
            raise OptionError("the archive is closed")
        pieces: list[bytes] = []
        left = count
        while left and (piece := self._some(opened.number, offset + count - left, left)):  # some systems give a part
            pieces.append(piece)
            left -= len(piece)
        return _whole(pieces[0] if len(pieces) == 1 else b"".join(pieces), offset, count)

    def _some(self, number: int, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):  # no lock, which a forked process would inherit locked
            return os.pread(number, count, offset)
        with self._turn:
            os.lseek(number, offset, os.SEEK_SET)
            return os.read(number, count)

    def close(self) -> None:
        self._open = None


class Remote:
    """A file that fsspec reaches, such as ``s3://bucket/digits.cae``; each read asks for its bytes alone."""

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as cause:
            raise OptionError(f"{url} is reached by fsspec, which is missing: pip install 'mnistzip[fsspec]'") from cause
        self._url = url

        def found() -> Any:
            try:
                return url_to_fs(url)
            except ValueError as cause:
                raise OptionError(f"{url} is no address that fsspec knows: {cause}") from cause

        self._files, self._path = self._ask(found)
        size = self._ask(lambda: self._files.size(self._path))
        if size is None:
            raise OptionError(f"{url} does not say how large it is: download it first")
        self.size = int(size)
        self._open = True

    def read(self, offset: int, count: int) -> bytes:
        if not self._open:
            raise OptionError("the archive is closed")
        if not count:
            return b""
        piece = self._ask(lambda: bytes(self._files.cat_file(self._path, start=offset, end=offset + count)))
        if len(piece) > count:
            raise OSError(errno.ENOTSUP, "gives whole files only: download it first", self._url)
        return _whole(piece, offset, count)

    def _ask(self, question: Callable[[], Any]) -> Any:
        """What fsspec answers. Each of its file systems has errors of its own; here they are errors of the system."""
        try:
            return question()
        except ImportError as cause:  # the library for this kind of address
            raise OptionError(f"{self._url} is reached by fsspec, which says: {cause}") from cause
        except FileNotFoundError as cause:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._url) from cause
        except (OSError, MemoryError, OptionError):
            raise
        except Exception as cause:
            raise OSError(errno.EIO, f"cannot be read: {cause!r}", self._url) from cause

    def close(self) -> None:
        self._open = False


def _whole(piece: bytes, offset: int, count: int) -> bytes:
    if len(piece) < count:
        raise FormatError(f"the file is cut short: it ends within {count} bytes from byte {offset}")
    return piece


def open_storage(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Storage:
    """Open a path, an address that fsspec knows, or bytes.

    Raises:
        OptionError: fsspec is needed and missing, or does not know such addresses.
        OSError: no such file.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Held(bytes(source))
    if not isinstance(source, (str, os.PathLike)):
        raise OptionError(f"an archive is given as {type(source).__name__}: give its path or its bytes")
    if isinstance(source, str) and "://" in source:
        return Remote(source)
    require_path(source)
    with open(source, "rb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return Local(os.dup(file.fileno()))
        return Held(file.readall())  # a pipe is read once, from its beginning


def require_path(path: str | os.PathLike[str]) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` for what no system takes for a path."""
    if "\0" in os.fsdecode(path):
        raise OptionError(f"{os.fsdecode(path)!r} is no path: it has a zero in it")


class WholeFile:
    """A file that takes its place only when it is whole: what was there before stays there until then.

    As a context manager it gives the open file; it is moved into place unless an error leaves the block. A device or a pipe,
    which nothing can be moved over, is written to as it is.

    Args:
        path: where it goes.
        like: a file whose modification time and, where none is replaced, permissions it gets.
        sync: wait for the disk. Who writes thousands of files would spend most of the time on that.
    """

    def __init__(self, path: str | os.PathLike[str], like: str | None = None, sync: bool = True) -> None:
        self._like = like
        self._sync = sync
        self.last_look: Callable[[], None] = lambda: None  # called just before the file takes its place
        self._partial: str | None = None
        require_path(path)
        self.path = Path(os.path.realpath(path))  # a link keeps pointing where it points
        if os.path.exists(path) and not os.path.isfile(path):  # that of a pipe, such as /dev/stdout, points to no path
            self.file: IO[bytes] = open(path, "wb")  # noqa: SIM115
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, self._partial = tempfile.mkstemp(prefix=".mnistzip-", suffix=".partial", dir=self.path.parent)
        self.file = os.fdopen(handle, "w+b")

    def __enter__(self) -> IO[bytes]:
        return self.file

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def commit(self) -> None:
        """Write everything to disk and move the file into place."""
        try:
            self.file.flush()
            if self._partial is not None and self._sync:
                os.fsync(self.file.fileno())
            self.file.close()
            if self._partial is not None:
                os.chmod(self._partial, self._mode())
                if self._like is not None:
                    times = os.stat(self._like)
                    os.utime(self._partial, ns=(times.st_atime_ns, times.st_mtime_ns))
                self.last_look()
                os.replace(self._partial, self.path)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Leave what was there before."""
        try:
            self.file.close()
        finally:
            if self._partial is not None:
                Path(self._partial).unlink(missing_ok=True)

    def _mode(self) -> int:
        """Permissions of the file that it replaces, else of what it is like, else what the umask leaves."""
        for known in (self.path, self._like):
            if known is not None and os.path.isfile(known):
                return stat.S_IMODE(os.stat(known).st_mode)
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def copy_range(source: Storage, start: int, end: int, out: Any) -> None:
    """Copy bytes into an open file, a few at a time."""
    step = 1 << 20
    for at in range(start, end, step):
        out.write(source.read(at, min(step, end - at)))
