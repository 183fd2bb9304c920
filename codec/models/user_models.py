"""Where models of one's own lie, so that they are found by name, and by the fingerprint that a file names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mnistzip.errors import ModelError

PATH = "MNISTZIP_MODEL_PATH"
SUFFIX = ".npz"


def user_home() -> Path | None:
    """The home folder of the user; None if there is none, as in some containers, or HOME names none."""
    try:
        folder = Path.home()
    except RuntimeError:  # HOME is not set, and the system does not know the user
        return None
    return folder if folder.is_absolute() and os.environ.get("HOME") != "" else None


def home() -> Path | None:
    """The folder that ``mnistzip models --add`` puts models into; None for a user without a home directory."""
    variable, below = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_DATA_HOME", ".local/share")
    data = os.environ.get(variable, "")
    if os.path.isabs(data):  # a path that is not is left out of account, as the XDG specification has it
        return Path(data) / "mnistzip" / "models"
    own = user_home()
    return None if own is None else own / below / "mnistzip" / "models"


def files() -> Iterator[Path]:
    """Model files: those that :data:`PATH` names or that lie in the folders it names, then those in :func:`home`."""
    places = [Path(entry) for entry in os.environ.get(PATH, "").split(os.pathsep) if entry]
    if (own := home()) is not None:
        places.append(own)
    for place in places:
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
        ModelError: there is no home directory; or another file has that name there, and ``force`` is not set.
    """
    from mnistzip.storage.atomic import AtomicFile

    folder = home()
    if folder is None:
        raise ModelError(f"you have no home directory to keep models in: set HOME or XDG_DATA_HOME, or name a folder in {PATH}")
    goal = folder / f"{name}{SUFFIX}"
    if goal.exists() and goal.read_bytes() == content:
        return goal
    if os.path.lexists(goal) and not force:
        raise ModelError(f"{goal} is another model of that name: -f replaces it, which files made with it need")
    if goal.is_symlink():
        goal.unlink()  # the link is replaced, not what it leads to
    with AtomicFile(goal, new=not force) as file:
        file.write(content)
    return goal
