"""Names of images in archives: relative paths that lead out of no folder on any operating system."""

from __future__ import annotations

import re
import unicodedata

from mnistzip.errors import FormatError, ImageError

NAME_MAX = 4096  # bytes of UTF-8
PART_MAX = 255  # bytes between two slashes: the limit of common file systems

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"[A-Za-z]:")


def fault(name: str) -> str | None:
    """Why a name is not allowed, or None if it is. An empty name means that an image has none."""
    if not name:
        return None
    try:
        parts = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:
        return "is not text in UTF-8"
    if sum(map(len, parts)) + len(parts) - 1 > NAME_MAX or max(map(len, parts)) > PART_MAX:
        return f"is longer than {NAME_MAX} bytes, or a part of it than {PART_MAX}"
    if _FORBIDDEN.search(name):
        return "has a control character or a backslash"
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute"
    if {b"", b".", b".."} & set(parts):
        return "has an empty part, . or .."
    return None


def require_name(name: str) -> str:
    """Return a name, or raise :class:`~mnistzip.errors.ImageError` if an archive cannot hold it."""
    reason = fault(name) if isinstance(name, str) else "is not text"
    if reason:
        shortened = repr(name) if len(repr(name)) < 80 else f"{name!r:.60}..."
        raise ImageError(f"the name {shortened} {reason}: an archive cannot hold it")
    return name


def shown(name: str) -> str:
    """A name for display: characters that control a terminal or the direction of text are escaped."""
    return "".join(
        char if unicodedata.category(char)[0] != "C" and char not in "\u2028\u2029" else char.encode("unicode_escape").decode()
        for char in name
    )


def pack_names(names: list[str]) -> bytes:
    """Names in UTF-8, each followed by a zero byte."""
    return b"".join(name.encode() + b"\0" for name in names)


def unpack_names(raw: bytes, count: int) -> list[str]:
    """The inverse of :func:`pack_names`.

    Raises:
        FormatError: another number of names than ``count``, invalid UTF-8, or a name that is not allowed.
    """
    try:
        names = raw.decode().split("\0")
    except UnicodeDecodeError as cause:
        raise FormatError(f"the names are damaged: {cause}") from cause
    if names.pop() or len(names) != count:
        raise FormatError(f"the names are damaged: they are not {count}")
    for name in names:
        if reason := fault(name):
            raise FormatError(f"the name {name[:60]!r} {reason}: the file is damaged or malicious")
    return names
