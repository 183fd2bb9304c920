"""Safe names for archives: names from untrusted files that cannot lead out of a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from types import TracebackType

from mnistzip.archive.entry_names import NAME_MAX, PART_MAX, fault

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")


def safe_name(name: str) -> str:
    """A name that an archive can hold: relative, with ``/``, without ``..``, drive letters and control characters."""
    if fault(name) is None:
        return name
    text = name.encode("utf-8", "replace").decode()
    text = _DRIVE.sub("", _CONTROL.sub("_", text.replace("\\", "/")))
    parts = [_cut(part) for part in text.split("/") if part not in ("", ".", "..")]
    while parts and len("/".join(parts).encode()) > NAME_MAX:
        del parts[0]
    joined = "/".join(parts)
    return joined if fault(joined) is None else ""


def _cut(part: str) -> str:
    """The end of a part of a path, with its suffix: as many bytes as an archive can hold."""
    return part.encode()[-PART_MAX:].decode(errors="ignore")


class Renamer:
    """Makes the names of a source safe. As a context manager it prints at the end how many were changed."""

    def __init__(self, where: str, say: Callable[[str], None]) -> None:
        self._where, self._say = where, say
        self._made: set[int] = set()  # hashes of the names that were made here
        self._renamed = 0

    def safe(self, name: str) -> str:
        """The safe name; if an earlier name became the same, with ``~`` and a number."""
        safe = safe_name(name)
        if safe == name:
            return name
        self._renamed += 1
        if safe and hash(safe) in self._made:
            stem, suffix = os.path.splitext(safe)
            safe = safe_name(f"{stem}~{self._renamed}{suffix}")
        self._made.add(hash(safe))
        return safe

    def __enter__(self) -> Renamer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._renamed:
            names = "1 name" if self._renamed == 1 else f"{self._renamed} names"
            self._say(f"{self._where}: changed {names} that archives cannot hold: not relative, or with invalid characters")
