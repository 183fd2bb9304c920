"""Where models of one's own lie, so that they are found by name, and by the fingerprint that a file names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mnistzip.errors import ModelError

PATH = "MNISTZIP_MODEL_PATH"
SUFFIX = ".npz"


def home() -> Path:
    """The folder that ``mnistzip models --add`` puts models into."""
    if sys.platform == "win32":
        data = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "mnistzip" / "models"


def files() -> Iterator[Path]:
    """Model files: those that :data:`PATH` names or that lie in the folders it names, then those in :func:`home`."""
    named = [Path(entry) for entry in os.environ.get(PATH, "").split(os.pathsep) if entry]
    for place in [*named, home()]:
        try:
            found = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
            yield from (path for path in found if path.is_file())  # a link may lead nowhere
        except OSError:  # a folder that may not be read holds nothing for us
            continue


def named(name: str) -> Path | None:
    """The first model file of such a name, without its suffix."""
    return next((path for path in files() if path.stem == name), None)


def add(name: str, content: bytes, force: bool) -> Path:
    """Put a model file into :func:`home`.

    Raises:
        ModelError: another model has that name there, and ``force`` is not set.
    """
    goal = home() / f"{name}{SUFFIX}"
    if goal.exists() and goal.read_bytes() != content and not force:
        raise ModelError(f"{goal} is another model of that name: -f replaces it, which files made with it need")
    goal.parent.mkdir(parents=True, exist_ok=True)
    partial = goal.with_name(f"{goal.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(goal)
    return goal
