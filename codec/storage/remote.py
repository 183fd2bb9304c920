"""Addresses such as ``s3://bucket/digits.cae``: files that fsspec reaches. How they are found, read and replaced."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mnistzip.errors import OptionError

LOCAL = ("file://", "local://")
COPY_BYTES = 1 << 20  # sent together
_one_transaction = threading.Lock()  # a file system has one at a time


def is_address(name: object) -> bool:
    """Whether a name is an address, not a path: ``a:b`` and ``C:/x`` are paths."""
    return isinstance(name, str) and "://" in name and not name.startswith(LOCAL)


def local_path(name: str) -> str:
    """The path that a ``file://`` address means; any other name as it is."""
    if not name.startswith(LOCAL):
        return name
    path = name.split("://", 1)[1]
    if os.name == "nt" and path[:1] == "/" and path[2:3] == ":":  # file:///C:/x
        path = path[1:]
    return path


class Address:
    """A file at an address, whether or not it is there.

    Raises:
        OptionError: fsspec or a library that it needs is missing, or no file system has such addresses.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as cause:
            raise OptionError(f"{url} is reached by fsspec, which is missing: pip install 'mnistzip[fsspec]'") from cause
        self.url = url

        def find() -> Any:
            try:
                return url_to_fs(url)
            except ValueError as cause:
                raise OptionError(f"{url} is no address that fsspec knows: {cause}") from cause

        self.files, self.path = self.ask(find)

    def ask(self, question: Callable[[], Any], action: str = "read") -> Any:
        """What fsspec answers. Each of its file systems has errors of its own; here they become errors of the system."""
        try:
            return question()
        except ImportError as cause:  # the library for this kind of address
            raise OptionError(f"{self.url} is reached by fsspec, which says: {cause}") from cause
        except FileNotFoundError as cause:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url) from cause
        except (MemoryError, OptionError):
            raise
        except NotImplementedError as cause:
            raise OptionError(f"{self.url} cannot be {action}: its file system does not offer that") from cause
        except OSError as cause:
            if cause.filename is not None:
                raise
            raise OSError(cause.errno or errno.EIO, cause.strerror or str(cause), self.url) from cause
        except Exception as cause:
            raise OSError(errno.EIO, f"cannot be {action}: {cause!r}", self.url) from cause

    def exists(self) -> bool:
        """Whether there is something, a file or a folder."""
        return bool(self.ask(lambda: self.files.exists(self.path)))

    def is_folder(self) -> bool:
        """Whether it is a folder; stores without folders have one where an object lies below it."""
        return bool(self.ask(lambda: self.files.isdir(self.path)))

    def is_same(self, other: Address) -> bool:
        """Whether both lead to one file."""
        return bool(self.files == other.files) and self.path == other.path

    def state(self) -> str | None:
        """What tells whether the file is still the same; None if it is gone."""

        def look() -> str | None:
            self.files.invalidate_cache()
            return str(self.files.ukey(self.path)) if self.files.exists(self.path) else None

        state: str | None = self.ask(look)
        return state

    def require_writable(self) -> None:
        """Raise :class:`~mnistzip.errors.OptionError` for an address that is never written to."""
        if "::" in self.url:
            raise OptionError(f"{self.url} is a chain of addresses, which can only be read: name one address, without '::'")
        if self.url.endswith("/") or not self.url.split("://", 1)[1]:
            raise OptionError(f"{self.url} names no file")

    def replace(self, source: str) -> None:
        """Put the content of a local file there.

        It is sent within a transaction: where the file system has them, as object stores do, the file appears whole or not at
        all.

        Raises:
            OptionError: nothing can be written there.
            OSError: that failed.
        """
        with _one_transaction:
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
        """Make the folder of the file, but not what a first name stands for, such as a bucket; whether that was possible."""
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
    """The same file system once more, for transactions that take in nothing that others write through it meanwhile."""
    return type(files)(*files.storage_args, **files.storage_options, skip_instance_cache=True)
