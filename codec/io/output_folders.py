"""Folders of results, which may hold other files as well.

A marker file lists the files that a command wrote. The command overwrites and removes only those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mnistzip.errors import OptionError
from mnistzip.storage.atomic import AtomicFile

MARKER = "mnistzip-files.json"


class OutputFolder:
    """A folder of the files of one command. It writes nothing before :meth:`claim`.

    Attributes:
        path: the folder, which need not exist yet.
        marked: whether the folder has the marker of this command.
        files: paths below the folder, with ``/``, that belong to this command.
        notes: more values in the marker, as JSON.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        self._command = command
        marker = _read_marker(path / MARKER, command)
        self.marked = marker is not None
        self.files: set[str] = set() if marker is None else set(marker["files"])
        self.notes: dict[str, Any] = {} if marker is None else dict(marker["notes"])

    def foreign(self, names: Iterable[str]) -> list[str]:
        """Paths among ``names``, or files in place of their folders, that exist and do not belong to this command."""
        paths = names if self.marked else [*names, MARKER]
        return [name for name in map(self._obstacle, paths) if name is not None and name not in self.files]

    def _obstacle(self, name: str) -> str | None:
        """The path if it exists, or the first of its folders that exists and is not a folder, or None."""
        folders = reversed(PurePosixPath(name).parents[:-1])
        obstacles = (str(each) for each in folders if _exists(self.path / each) and not (self.path / each).is_dir())
        return next(obstacles, name if _exists(self.path / name) else None)

    def claim(self, names: Sequence[str], way_out: str) -> None:
        """List files that the command will write, and make the folder.

        Args:
            names: paths below the folder, with ``/``.
            way_out: advice in the error message if one of them exists already.

        Raises:
            OptionError: one of them exists and does not belong to this command; nothing has changed.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OptionError(f"{self.path} is not a folder: {way_out}")
        foreign = self.foreign(names)
        if foreign:
            raise OptionError(f"{self.path / foreign[0]} was not written by mnistzip {self._command}: {way_out}")
        self.files |= set(names)
        self.save()

    def remove(self, names: Iterable[str]) -> None:
        """Remove those of ``names`` that belong to this command; the marker still lists them."""
        for name in self.files.intersection(names):
            with suppress(IsADirectoryError, PermissionError):  # the user has replaced the file with a folder
                (self.path / name).unlink(missing_ok=True)

    def save(self) -> None:
        """Write the marker."""
        self.path.mkdir(parents=True, exist_ok=True)
        about = f"mnistzip {self._command} wrote the files listed here, and overwrites or removes no others in this folder."
        content = {"program": "mnistzip", "command": self._command, "about": about}
        text = json.dumps(content | {"files": sorted(self.files), "notes": self.notes}, indent=1) + "\n"
        with AtomicFile(self.path / MARKER, sync=False) as file:
            file.write(text.encode())
        self.marked = True


def lies_in(path: Path, folders: Iterable[str | Path]) -> Path | None:
    """The first of ``folders`` that is, or holds, ``path``."""
    real = path.resolve()
    return next((Path(each) for each in folders if Path(each).is_dir() and real.is_relative_to(Path(each).resolve())), None)


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _read_marker(path: Path, command: str) -> dict[str, Any] | None:
    """The marker of this command, or None."""
    try:
        content = json.loads(path.read_text())
        files, notes = content["files"], content["notes"]
        sound = (content["program"], content["command"]) == ("mnistzip", command) and isinstance(notes, dict)
        return content if sound and all(map(_is_below, files)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_below(name: str) -> bool:
    """Whether a path stays below its folder."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return bool(name) and not any(path.anchor or ".." in path.parts for path in paths)
