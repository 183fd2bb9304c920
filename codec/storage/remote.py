"""Files at addresses such as ``s3://bucket/digits.cae``, which fsspec reads and writes."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mnistzip.errors import OptionError

LOCAL = ("file://", "local://")
COPY_BYTES = 1 << 20  # sent at a time
_transaction_lock = threading.Lock()  # a file system has one transaction at a time


def is_address(name: object) -> bool:
    """Whether a name is an address; ``a:b`` and ``C:/x`` are paths."""
    return isinstance(name, str) and "://" in name and not name.startswith(LOCAL)


def local_path(name: str) -> str:
    """The path of a ``file://`` address; other names are returned unchanged."""
    if not name.startswith(LOCAL):
        return name
    path = name.split("://", 1)[1]
    if os.name == "nt" and path[:1] == "/" and path[2:3] == ":":  # file:///C:/x
        path = path[1:]
    return path


class Address:
    """A file at an address; it need not exist.

    Raises:
        OptionError: fsspec or a library that it needs is missing, or no file system supports the address.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as cause:
            raise OptionError(f"{url} needs fsspec, which is missing: pip install 'mnistzip[fsspec]'") from cause
        self.url = url

        def resolve() -> Any:
            try:
                return url_to_fs(url)
            except ValueError as cause:
                raise OptionError(f"{url} is no address that fsspec supports: {cause}") from cause

        self.files, self.path = self.ask(resolve)

    def ask(self, question: Callable[[], Any], action: str = "read") -> Any:
        """Call fsspec, and turn the errors of its file systems into :class:`OSError` or :class:`OptionError`."""
        try:
            return question()
        except ImportError as cause:  # the library for this kind of address
            raise OptionError(f"{self.url} cannot be reached: fsspec says: {cause}") from cause
        except FileNotFoundError as cause:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url) from cause
        except (MemoryError, OptionError):
            raise
        except NotImplementedError as cause:
            raise OptionError(f"{self.url} cannot be {action}: its file system does not support that") from cause
        except OSError as cause:
            if cause.filename is not None:
                raise
            raise OSError(cause.errno or errno.EIO, cause.strerror or str(cause), self.url) from cause
        except Exception as cause:
            raise OSError(errno.EIO, f"cannot be {action}: {cause!r}", self.url) from cause

    def exists(self) -> bool:
        """Whether a file or a folder is there."""
        return bool(self.ask(lambda: self.files.exists(self.path)))

    def is_folder(self) -> bool:
        """Whether it is a folder; in a store without folders, whether objects lie below it."""
        return bool(self.ask(lambda: self.files.isdir(self.path)))

    def is_same(self, other: Address) -> bool:
        """Whether both addresses mean the same file."""
        return bool(self.files == other.files) and self.path == other.path

    def state(self) -> str | None:
        """A value that changes with the file; None if the file does not exist."""

        def current() -> str | None:
            self.files.invalidate_cache()
            return str(self.files.ukey(self.path)) if self.files.exists(self.path) else None

        state: str | None = self.ask(current)
        return state

    def require_writable(self) -> None:
        """Raise :class:`~mnistzip.errors.OptionError` for an address that cannot be written."""
        if "::" in self.url:
            raise OptionError(f"{self.url} is a chain of addresses, which can only be read: name one address, without '::'")
        if self.url.endswith("/") or not self.url.split("://", 1)[1]:
            raise OptionError(f"{self.url} names no file")

    def replace(self, source: str) -> None:
        """Upload a local file to the address.

        The upload is a transaction. Where the file system supports transactions, as object stores do, the file appears complete
        or not at all.

        Raises:
            OptionError: the file system is read-only.
            OSError: the upload failed.
        """
        with _transaction_lock:
            try:
                self.ask(lambda: self._send(source), "written")
            except FileNotFoundError:
                if not self._make_folder():
                    raise
                self.ask(lambda: self._send(source), "written")

    def _send(self, source: str) -> None:
        files = _own_instance(self.files, os.getpid())
        with files.transaction, open(source, "rb") as content, files.open(self.path, "wb") as out:
            while piece := content.read(COPY_BYTES):
                out.write(piece)
        self.files.invalidate_cache()

    def _make_folder(self) -> bool:
        """Make the folder of the file, but no bucket; return whether that was possible."""
        folder, _, _ = self.path.rpartition("/")
        top = "/" * self.path.startswith("/") + folder.strip("/").split("/", 1)[0]

        def make() -> bool:
            if not folder or not self.files.exists(top):
                return False
            self.files.makedirs(folder, exist_ok=True)
            return True

        return bool(self.ask(make, "written"))


@lru_cache(8)
def _own_instance(files: Any, _process: int) -> Any:
    """A second instance of a file system, so that its transactions include no writes of other code."""
    return type(files)(*files.storage_args, **files.storage_options, skip_instance_cache=True)
