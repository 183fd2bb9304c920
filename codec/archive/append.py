"""Append to archives: copy an existing archive, and notice if another process changes its file meanwhile."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import IO

from mnistzip.archive.index import Footer, Index, entry
from mnistzip.errors import FormatError, OptionError, located
from mnistzip.storage.backends import copy_range, open_storage
from mnistzip.storage.remote import Address, is_address


@dataclass(frozen=True)
class CopiedArchive:
    """An archive whose start and groups were copied.

    Attributes:
        entries: of the index, one for each group.
        model: the model file that the archive holds or is to hold, or None.
    """

    footer: Footer
    entries: bytes
    model: bytes | None


def copy_archive(path: str, out: IO[bytes], model: bytes | None) -> CopiedArchive:
    """Copy start and groups of an archive into an open file.

    Args:
        path: of the archive, or its address.
        out: receives the bytes.
        model: a model file that is to be embedded, or None.

    Raises:
        FormatError: the file is not an archive, or its index is damaged.
        OptionError: the archive holds another model.
    """
    storage = open_storage(path)
    try:
        index = Index(storage)
        extents = map(index.extent, range(index.groups))
        entries = b"".join(entry(extent.first, extent.offset) for extent in extents)
        existing = index.model()
        if existing is not None and model not in (None, existing):
            raise OptionError(f"{path} holds another model already: it can hold one")
        copy_range(storage, 0, index.footer.index_offset, out)
    except FormatError as cause:
        raise located(cause, f"{path} cannot be appended to") from cause
    finally:
        storage.close()
    return CopiedArchive(index.footer, entries, existing or model)


def is_appendable(path: str | os.PathLike[str]) -> bool:
    """Whether a path can be that of an archive: not of a pipe or a device, which may have no end."""
    return (isinstance(path, str) and is_address(path)) or not os.path.exists(path) or os.path.isfile(path)


def file_state(path: str | os.PathLike[str]) -> object:
    """A value that changes with a file; None if the file does not exist."""
    if isinstance(path, str) and is_address(path):
        return Address(path).state()
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def require_unchanged(path: str | os.PathLike[str], state: object) -> None:
    """Raise :class:`OSError` if the state of a file differs from an earlier one."""
    if file_state(path) != state:
        reason = "was changed while images were added, by another process: nothing was written"
        raise OSError(errno.EBUSY, reason, os.fspath(path))
