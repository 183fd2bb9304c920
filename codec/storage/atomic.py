"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from mnistzip.storage.backends import require_path
from mnistzip.storage.remote import Address, is_address, local_path

PARTIAL_SUFFIX = ".partial"
RANDOM_BYTES = 6  # in the name of a temporary file
SYNC_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EPERM}


class AtomicFile:
    """A file that takes its place only when it is complete; until then, an existing file stays as it is.

    As a context manager it gives the open file, and moves it into place unless the block raises. A device or a pipe is written
    directly, as nothing can be moved over it. A file for an address such as ``s3://...`` is kept in a local temporary file and
    sent when it is complete.

    Args:
        path: the destination: a path, or an address that fsspec supports.
        like: a file whose modification time it gets, and whose permissions unless it replaces a file.
        sync: wait until the data is on disk. For thousands of files this wait dominates.
        new: replace nothing. If a file has appeared at ``path`` by the end, :class:`FileExistsError` names the temporary file,
            which then stays. Addresses are not checked.
    """

    def __init__(self, path: str | os.PathLike[str], like: str | None = None, sync: bool = True, new: bool = False) -> None:
        self._like = like
        self._sync = sync
        self._new = new
        self.before_replace: Callable[[], None] = lambda: None  # called just before the file takes its place
        self._partial: str | None = None
        self._remote: Address | None = None
        require_path(path)
        if isinstance(path, str):
            if is_address(path):
                self._remote = Address(path)
                self._remote.require_writable()
            path = local_path(path)
        self._path = os.path.realpath(path)  # a symbolic link stays, and its target is replaced
        self._finalizer: weakref.finalize[..., AtomicFile] | None = None
        if self._remote is None and os.path.exists(path) and not os.path.isfile(path):
            self.file: IO[bytes] = open(path, "wb")  # noqa: SIM115  # a pipe such as /dev/stdout has no real path
            return
        folder = os.path.dirname(self._path) if self._remote is None else _temporary_folder()
        os.makedirs(folder, exist_ok=True)
        self._partial = os.path.join(folder, f"{partial_prefix(path)}{os.urandom(RANDOM_BYTES).hex()}{PARTIAL_SUFFIX}")
        self.file = open(self._partial, "x+b", opener=_open_private)  # noqa: SIM115
        self._finalizer = weakref.finalize(self, _remove_unfinished, self.file, self._partial, os.fspath(path), os.getpid())

    def __enter__(self) -> IO[bytes]:
        return self.file

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def commit(self) -> None:
        """Write the data to disk and move the file into place."""
        try:
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
                self.before_replace()
                self._require_new(self._partial)
                os.replace(self._partial, self._path)
        except BaseException:
            self.abandon()
            raise
        if self._finalizer is not None:
            self._finalizer.detach()

    def _require_new(self, partial: str) -> None:
        if self._new and os.path.lexists(self._path):
            self._partial = None  # keep it, so that no output is lost
            reason = f"another program made this file meanwhile, so the output is left in {partial}"
            raise FileExistsError(errno.EEXIST, reason, self._path)

    def abandon(self) -> None:
        """Discard the output; an existing file stays."""
        if self._finalizer is not None:
            self._finalizer.detach()
        try:
            self.file.close()
        finally:
            if self._partial is not None:
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


def partial_prefix(path: str | os.PathLike[str]) -> str:
    """The beginning of a temporary file's name, which explains a file that a killed process leaves behind."""
    return f".mnistzip-{os.path.basename(os.fspath(path))[:32]}-"


def _temporary_folder() -> str:
    import tempfile  # it imports much, and local files do without

    return tempfile.gettempdir()


def _open_private(path: str, flags: int) -> int:
    """Open a file that nobody else may read until it has its permissions."""
    return os.open(path, flags, 0o600)


def _remove_unfinished(file: IO[bytes], partial: str, path: str, process: int) -> None:
    """Remove the temporary file of an object that was collected before it was committed or abandoned."""
    if os.getpid() != process:  # a forked process does not own the file
        return
    warnings.warn(f"{path} was not closed: nothing was written there", ResourceWarning, stacklevel=2)
    try:
        file.close()
    finally:
        Path(partial).unlink(missing_ok=True)


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
