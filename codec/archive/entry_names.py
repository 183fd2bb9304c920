"""Names of images in archives: paths below a folder that cannot lead out of it, whatever the system they are written on."""

from __future__ import annotations

import re
import unicodedata

from mnistzip.errors import FormatError, ImageError

NAME_MAX = 4096  # bytes of UTF-8
PART_MAX = 255  # bytes between two slashes; what file systems take

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"[A-Za-z]:")


def fault(name: str) -> str | None:
    """What is wrong with a name, or None. An empty name stands for none."""
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
    """The name, or an :class:`~mnistzip.errors.ImageError` if an archive cannot hold it."""
    if not isinstance(name, str) or (wrong := fault(name)):
        told = repr(name) if len(repr(name)) < 80 else f"{name!r:.60}..."
        raise ImageError(f"the name {told} {'is not text' if not isinstance(name, str) else wrong}: an archive cannot hold it")
    return name


def shown(name: str) -> str:
    """A name for people: what would steer a terminal, or turn the direction of the text, is escaped."""
    return "".join(
        char if unicodedata.category(char)[0] != "C" and char not in "\u2028\u2029" else char.encode("unicode_escape").decode()
        for char in name
    )


def pack_names(names: list[str]) -> bytes:
    """UTF-8, each name followed by a zero byte."""
    return b"".join(name.encode() + b"\0" for name in names)


def unpack_names(raw: bytes, count: int) -> list[str]:
    """The inverse of :func:`pack_names`.

    Raises:
        FormatError: not so many names, not UTF-8, or a name that could lead out of a folder.
    """
    try:
        names = raw.decode().split("\0")
    except UnicodeDecodeError as cause:
        raise FormatError(f"the names are damaged: {cause}") from cause
    if names.pop() or len(names) != count:
        raise FormatError(f"the names are damaged: they are not {count}")
    for name in names:
        if wrong := fault(name):
            raise FormatError(f"the name {name[:60]!r} {wrong}: the file is damaged or was made to do harm")
    return names
