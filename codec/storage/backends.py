"""Where archives lie: bytes at hand, local files, files at addresses. And files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from mnistzip.errors import FormatError, OptionError
from mnistzip.storage.remote import Address, is_address, local_path

PARTIAL_SUFFIX = ".partial"
CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EPERM}


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
    """A file at an address; each read asks for its bytes alone."""

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
        return _whole(piece, offset, count)

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
    if isinstance(source, str):
        if is_address(source):
            return Remote(source)
        source = local_path(source)
    require_path(source)
    with open(source, "rb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return Local(os.dup(file.fileno()))
        return Held(file.readall())  # a pipe is read once, from its beginning


def require_path(path: str | os.PathLike[str]) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` for what no system takes for a path."""
    if "\0" in os.fsdecode(path):
        raise OptionError(f"{os.fsdecode(path)!r} is no path: it has a zero in it")


class AtomicFile:
    """A file that takes its place only when it is whole: what was there before stays there until then.

    As a context manager it gives the open file; it is moved into place unless an error leaves the block. A device or a pipe,
    which nothing can be moved over, is written to as it is. What goes to an address such as ``s3://...`` is kept in a local
    temporary file first and sent when it is whole.

    Args:
        path: where it goes: a path or an address that fsspec knows.
        like: a file whose modification time and, where none is replaced, permissions it gets.
        sync: wait for the disk. Who writes thousands of files would spend most of the time on that.
        new: replace nothing. If a file has appeared at ``path`` at the end, :class:`FileExistsError` names the temporary file,
            which then stays. Files at addresses are not looked for.
    """

    def __init__(self, path: str | os.PathLike[str], like: str | None = None, sync: bool = True, new: bool = False) -> None:
        self._like = like
        self._sync = sync
        self._new = new
        self.last_look: Callable[[], None] = lambda: None  # called just before the file takes its place
        self._partial: str | None = None
        self._remote: Address | None = None
        require_path(path)
        if isinstance(path, str):
            if is_address(path):
                self._remote = Address(path)
                self._remote.require_writable()
            path = local_path(path)
        self._path = os.path.realpath(path)  # a link keeps pointing where it points
        self._finalizer: weakref.finalize[..., AtomicFile] | None = None
        if self._remote is None and os.path.exists(path) and not os.path.isfile(path):
            self.file: IO[bytes] = open(path, "wb")  # noqa: SIM115  # a pipe such as /dev/stdout has no real path
            return
        folder = None
        if self._remote is None:
            folder = os.path.dirname(self._path)
            os.makedirs(folder, exist_ok=True)
        handle, self._partial = tempfile.mkstemp(PARTIAL_SUFFIX, partial_prefix(path), folder)
        self.file = os.fdopen(handle, "w+b")
        self._finalizer = weakref.finalize(self, _drop_forgotten, self.file, self._partial, os.fspath(path), os.getpid())

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
            if self._partial is not None and self._sync and self._remote is None:
                _sync(self.file.fileno())
            self.file.close()
            if self._remote is not None and self._partial is not None:
                self.last_look()
                self._remote.replace(self._partial)
                os.unlink(self._partial)
            elif self._partial is not None:
                self._set_attributes(self._partial)
                self.last_look()
                self._require_new(self._partial)
                os.replace(self._partial, self._path)
        except BaseException:
            self.abandon()
            raise
        if self._finalizer is not None:
            self._finalizer.detach()

    def _require_new(self, partial: str) -> None:
        if self._new and os.path.lexists(self._path):
            self._partial = None  # it stays: nothing that was written is lost
            reason = f"it was made by another program meanwhile, so the output is left in {partial}"
            raise FileExistsError(errno.EEXIST, reason, self._path)

    def abandon(self) -> None:
        """Leave what was there before."""
        if self._finalizer is not None:
            self._finalizer.detach()
        try:
            self.file.close()
        finally:
            if self._partial is not None:
                Path(self._partial).unlink(missing_ok=True)

    def _set_attributes(self, partial: str) -> None:
        """Give owner, permissions and times, as far as the file system has them: the content matters more."""
        replaced = _status(self._path)
        like = None if self._like is None else _status(self._like)
        if replaced is not None and hasattr(os, "chown"):
            _keep_owner(partial, replaced)
        model = replaced or like
        with suppress(OSError):
            os.chmod(partial, 0o666 & ~_umask() if model is None else stat.S_IMODE(model.st_mode))
        if like is not None:
            with suppress(OSError):
                os.utime(partial, ns=(like.st_atime_ns, like.st_mtime_ns))


def partial_prefix(path: str | os.PathLike[str]) -> str:
    """How the name begins under which a file is written at first: it says what it is, if a killed process leaves it."""
    return f".mnistzip-{os.path.basename(os.fspath(path))[:32]}-"


def _drop_forgotten(file: IO[bytes], partial: str, path: str, process: int) -> None:
    """Remove what was written to a file that was neither finished nor given up when Python dropped it."""
    if os.getpid() != process:  # a forked process: the file is its parent's
        return
    warnings.warn(f"{path} was not closed: nothing was written there", ResourceWarning, stacklevel=2)
    try:
        file.close()
    finally:
        Path(partial).unlink(missing_ok=True)


def _sync(number: int) -> None:
    """Wait until a file is on the disk, where its file system knows how to wait."""
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


def _status(path: str) -> os.stat_result | None:
    """The attributes of a regular file, if there is one and it has some."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _keep_owner(path: str, like: os.stat_result) -> None:
    """Give a file owner and group of another; who may not give it away keeps the group, if that is allowed."""
    now = os.stat(path)
    if (now.st_uid, now.st_gid) == (like.st_uid, like.st_gid):
        return
    for user in (like.st_uid, -1):
        with suppress(OSError):
            os.chown(path, user, like.st_gid)
            return


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def copy_range(source: Storage, start: int, end: int, out: Any) -> None:
    """Copy bytes into an open file, a few at a time."""
    step = 1 << 20
    for at in range(start, end, step):
        out.write(source.read(at, min(step, end - at)))
