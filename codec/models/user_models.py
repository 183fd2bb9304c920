"""The folders of the user's models, which are found by name and by the fingerprint in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mnistzip.errors import ModelError

PATH = "MNISTZIP_MODEL_PATH"
SUFFIX = ".npz"


def user_home() -> Path | None:
    """The home folder of the user; None if there is none, as in some containers, or if HOME is empty."""
    try:
        folder = Path.home()
    except RuntimeError:  # HOME is not set, and the system does not know the user
        return None
    return folder if folder.is_absolute() and os.environ.get("HOME") != "" else None


def home() -> Path | None:
    """The folder that ``mnistzip models --add`` puts models into; None for a user without a home directory."""
    variable, below = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_DATA_HOME", ".local/share")
    data = os.environ.get(variable, "")
    if os.path.isabs(data):  # the XDG specification ignores relative paths
        return Path(data) / "mnistzip" / "models"
    user = user_home()
    return None if user is None else user / below / "mnistzip" / "models"


def files() -> Iterator[Path]:
    """Model files: those that :data:`PATH` names, those in folders that it names, then those in :func:`home`."""
    paths = [Path(entry) for entry in os.environ.get(PATH, "").split(os.pathsep) if entry]
    if (folder := home()) is not None:
        paths.append(folder)
    for path in paths:
        try:
            matches = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
            yield from (file for file in matches if file.is_file())  # a link may be broken
        except OSError:  # an unreadable folder counts as empty
            continue


def named(name: str) -> Path | None:
    """The first model file whose name without suffix is ``name``."""
    return next((path for path in files() if path.stem == name), None)


def add(name: str, content: bytes, force: bool) -> Path:
    """Put a model file into :func:`home`.

    Raises:
        ModelError: there is no home directory; or another file has that name there, and ``force`` is not set.
    """
    from mnistzip.storage.atomic import AtomicFile

    folder = home()
    if folder is None:
        raise ModelError(f"there is no home directory for models: set HOME or XDG_DATA_HOME, or name a folder in {PATH}")
    output_path = folder / f"{name}{SUFFIX}"
    if output_path.exists() and output_path.read_bytes() == content:
        return output_path
    if os.path.lexists(output_path) and not force:
        raise ModelError(f"{output_path} is another model of that name, which its files need: -f replaces it")
    if output_path.is_symlink():
        output_path.unlink()  # replace the link, not its target
    with AtomicFile(output_path, new=not force) as file:
        file.write(content)
    return output_path
