"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from mnistzip.storage.backends import require_path
from mnistzip.storage.remote import Address, is_address, local_path

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PARTIAL_SUFFIX = ".partial"
RANDOM_BYTES = 6  # in the name of a temporary file
LOCK_SECONDS, LOCK_PAUSE = 2.0, 0.01  # how long to wait for a lock; a program that replaces a file holds it far shorter
SYNC_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EPERM}


class AtomicFile:
    """A file that takes its place only when it is complete; until then, an existing file stays as it is.

    As a context manager it gives the open file, and moves it into place unless the block raises. A device or a pipe is written
    directly, as nothing can be moved over it. A file for an address such as ``s3://...`` is kept in a local temporary file and
    sent when it is complete.

    The file belongs to the process that opened it: in a process that was forked meanwhile, writing has no effect.

    Args:
        path: the destination: a path, or an address that fsspec supports.
        like: a file whose modification time it gets, and whose permissions unless it replaces a file.
        sync: wait until the data is on disk. For thousands of files this wait dominates.
        new: replace nothing. If a file has appeared at ``path`` by the end, :class:`FileExistsError` names the temporary file,
            which then stays. Addresses are not checked.

    Attributes:
        file: the open file.
        new: as the argument; it can be changed until the file takes its place.
        before_replace: called just before the file takes its place. Until then no other program that uses this class replaces
            the old file.
    """

    def __init__(self, path: str | os.PathLike[str], like: str | None = None, sync: bool = True, new: bool = False) -> None:
        self._like = like
        self._sync = sync
        self.new = new
        self.before_replace: Callable[[], None] = lambda: None
        self._process = os.getpid()
        self._partial: str | None = None
        self._remote: Address | None = None
        require_path(path)
        if isinstance(path, str):
            if is_address(path):
                self._remote = Address(path)
                self._remote.require_writable()
            path = local_path(path)
        self._name = os.fspath(path)  # in messages
        self._path = os.path.realpath(path)  # a symbolic link stays, and its target is replaced
        self._finalizer: weakref.finalize[..., AtomicFile] | None = None
        if self._remote is None and os.path.exists(path) and not os.path.isfile(path):
            # A pipe such as /dev/stdout has no real path.
            self.file: IO[bytes] = io.BufferedWriter(_NamedFile(path, "wb", self._name))
            _OPEN.add(self)
            return
        folder = os.path.dirname(self._path) if self._remote is None else _temporary_folder()
        os.makedirs(folder, exist_ok=True)
        self._partial = os.path.join(folder, f"{partial_prefix(path)}{os.urandom(RANDOM_BYTES).hex()}{PARTIAL_SUFFIX}")
        self.file = io.BufferedRandom(_NamedFile(self._partial, "x+b", self._name))
        self._finalizer = weakref.finalize(self, _remove_unfinished, self.file, self._partial, self._name, self._process)
        _OPEN.add(self)

    def __enter__(self) -> IO[bytes]:
        return self.file

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def commit(self) -> None:
        """Write the data to disk and move the file into place.

        Raises:
            OSError: that fails, or another process opened the file.
        """
        try:
            self.require_owner()
            self.file.flush()
            if self._partial is not None and self._sync and self._remote is None:
                _sync(self.file.fileno())
            self.file.close()
            if self._remote is not None and self._partial is not None:
                self.before_replace()
                self._remote.replace(self._partial)
                os.unlink(self._partial)
            elif self._partial is not None:
                self._set_attributes(self._partial)
                with _locked(self._path):
                    self.before_replace()
                    self._move(self._partial)
        except BaseException as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = self._name
            self.abandon()
            raise
        if self._finalizer is not None:
            self._finalizer.detach()

    def require_owner(self) -> None:
        """Raise :class:`OSError` if another process opened the file."""
        if os.getpid() != self._process:
            raise OSError(errno.EPERM, "was opened by another process, and only that one can complete it", self._path)

    def _move(self, partial: str) -> None:
        """Move the temporary file into place, over an old file unless the file must be new."""
        if not self.new:
            os.replace(partial, self._path)
            return
        try:
            os.link(partial, self._path)  # fails if there is a file, even one that has just appeared
        except FileExistsError:
            pass
        except OSError:  # the file system has no such links
            if not os.path.lexists(self._path):
                os.replace(partial, self._path)
                return
        else:
            os.unlink(partial)
            return
        self._partial = None  # keep it, so that no output is lost
        reason = f"another program made this file meanwhile, so the output is left in {partial}"
        raise FileExistsError(errno.EEXIST, reason, self._path)

    def abandon(self) -> None:
        """Discard the output; an existing file stays."""
        if self._finalizer is not None:
            self._finalizer.detach()
        try:
            with suppress(OSError):  # what its buffer holds cannot be written, and need not be
                self.file.close()
        finally:
            if self._partial is not None and os.getpid() == self._process:
                Path(self._partial).unlink(missing_ok=True)

    def _set_attributes(self, partial: str) -> None:
        """Set owner, permissions and times where the file system supports them; failures are ignored."""
        replaced = _status(self._path)
        like = None if self._like is None else _status(self._like)
        if replaced is not None and hasattr(os, "chown"):
            _copy_owner(partial, replaced)
        model = replaced or like
        with suppress(OSError):
            os.chmod(partial, 0o666 & ~_umask() if model is None else stat.S_IMODE(model.st_mode))
        if like is not None:
            with suppress(OSError):
                os.utime(partial, ns=(like.st_atime_ns, like.st_mtime_ns))


class _NamedFile(io.FileIO):
    """An open file whose errors name the destination, also if the data goes to a temporary file first.

    Nobody else may read a temporary file until it has its permissions.
    """

    def __init__(self, path: str | os.PathLike[str], mode: str, destination: str) -> None:
        self._destination = destination
        with self._named_errors():
            super().__init__(os.fspath(path), mode, opener=_open_private if "x" in mode else None)

    def write(self, data: ReadableBuffer, /) -> int:
        with self._named_errors():
            return super().write(data)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = self._destination
            raise


_OPEN: weakref.WeakSet[AtomicFile] = weakref.WeakSet()


def _disown() -> None:
    """In a forked process, let all open files lead to nothing: it has a copy of what their buffers hold."""
    for each in list(_OPEN):
        with suppress(OSError, ValueError):  # ValueError: it is closed
            number = each.file.fileno()
            with open(os.devnull, "wb", buffering=0) as nothing:
                os.dup2(nothing.fileno(), number)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold a lock on an existing file, so that of two programs that replace it, the second sees what the first did.

    Whoever has locked the file for long, such as ``flock FILE mnistzip ...``, keeps others out already: then go on without.
    """
    try:
        import fcntl

        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (ImportError, OSError):  # Windows; there is no file, or it may not be read
        yield
        return
    try:
        end = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < end:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_PAUSE)
            except OSError:  # the file system has no locks
                break
        yield
    finally:
        os.close(number)


def partial_prefix(path: str | os.PathLike[str]) -> str:
    """The beginning of a temporary file's name, which explains a file that a killed process leaves behind."""
    return f".mnistzip-{os.path.basename(os.fspath(path))[:32]}-"


def _temporary_folder() -> str:
    import tempfile  # it imports much, and local files do without

    return tempfile.gettempdir()


def _open_private(path: str, flags: int) -> int:
    """Open a file that nobody else may read."""
    return os.open(path, flags, 0o600)


def _remove_unfinished(file: IO[bytes], partial: str, path: str, process: int) -> None:
    """Remove the temporary file of an object that was collected before it was committed or abandoned."""
    if os.getpid() != process:  # a forked process does not own the file
        return
    try:
        file.close()
    finally:
        Path(partial).unlink(missing_ok=True)
    warnings.warn(f"{path} was not closed: nothing was written there", ResourceWarning, stacklevel=2)


def _sync(number: int) -> None:
    """Wait until a file is on disk, if its file system supports that."""
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in SYNC_UNSUPPORTED:
            raise


def _status(path: str) -> os.stat_result | None:
    """The attributes of a regular file, or None if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _copy_owner(path: str, like: os.stat_result) -> None:
    """Copy owner and group, or the group alone if the owner may not be changed."""
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
