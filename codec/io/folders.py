"""Images in folders: which files are taken, in which order, and what is said of the others."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path, PurePath

from mnistzip.bitstream.container import is_archive
from mnistzip.errors import ImageError
from mnistzip.io.detect import BY_SUFFIX
from mnistzip.io.image_file import IMAGE_SUFFIXES, SUFFIX
from mnistzip.io.read_options import ignore, to_stderr

NO_RASTER = {"EPS", "WMF", "MPEG", "HDF5", "BUFR", "GRIB", "IPTC", "PDF"}  # formats of Pillow that hold no raster image as such
SHOWN = 3  # names or suffixes in a message

_NUMBER = re.compile(r"([0-9]+)")


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of all kinds of images that are read from a folder; Pillow loads its readers for that."""
    from PIL import Image

    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN and kind not in NO_RASTER}
    return frozenset({*known, *IMAGE_SUFFIXES} - {SUFFIX})  # our own plugin may be registered


def natural(path: PurePath) -> tuple[object, ...]:
    """The key that sorts paths as people count: ``2.png`` before ``10.png``, folder by folder."""
    parts = [[int(piece) if k % 2 else piece.casefold() for k, piece in enumerate(_NUMBER.split(part))] for part in path.parts]
    return (parts, path.parts)


def walk(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Files with such suffixes in a folder and below, in natural order.

    A folder that cannot be searched is given itself: whoever reads it gets the error.
    """
    wanted = set(suffixes)
    found = [path for path, is_unread in _search(folder) if is_unread or path.suffix.lower() in wanted]
    yield from sorted(found, key=natural)


def find_images(folder: Path, say: Callable[[str], None] = to_stderr, *, with_cae: bool = False) -> list[Path]:
    """The image files in a folder and below, in natural order; what is passed over is said.

    Args:
        folder: where to search. Links to folders are not followed.
        say: called with a line on files of other kinds and on links.
        with_cae: take single images in ``.cae`` files where there are no other images.
    """
    files = [(path, is_unread) for path, is_unread in _search(folder, say)]
    suffixes = image_suffixes()
    taken = [path for path, is_unread in files if is_unread or path.suffix.lower() in suffixes]
    if with_cae and not taken:
        taken = [path for path, _ in files if path.suffix.lower() == SUFFIX and not _is_archive(path)]
    left = {path for path, _ in files}.difference(taken)
    if left and taken:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in left)
        files_are = "file of another kind was" if len(left) == 1 else "files of other kinds were"
        say(f"{folder}: {len(left)} {files_are} passed over ({_some([kind for kind, _ in kinds.most_common()])})")
    return sorted(taken, key=natural)


def image_files(folder: Path, say: Callable[[str], None] = to_stderr) -> list[Path]:
    """The same, one at least.

    Raises:
        ImageError: there is none.
    """
    files = find_images(folder, say, with_cae=True)
    if not files:
        held = sorted({path.suffix.lower() or "no suffix" for path, _ in _search(folder)})
        way = "; name files that hold many images themselves" if {*BY_SUFFIX, SUFFIX, ".gz"}.intersection(held) else ""
        raise ImageError(f"no images in {folder}: " + (f"it holds files of {_some(held)}{way}" if held else "it is empty"))
    return files


def _search(folder: Path, say: Callable[[str], None] = ignore) -> Iterator[tuple[Path, bool]]:
    """Every file below a folder, and every folder that cannot be read, which is marked."""
    waiting, links = [folder], []
    while waiting:
        home = waiting.pop()
        try:
            with os.scandir(home) as entries:
                held = [(Path(entry.path), entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries]
        except OSError:
            yield home, True
            continue
        for path, is_folder, is_link in held:
            if is_folder:
                waiting.append(path)
            elif is_link and path.is_dir():
                links.append(str(path.relative_to(folder)))
            elif is_link or path.is_file():  # reading a broken link says what is wrong with it
                yield path, False
    if links:
        links_are = "link to a folder was" if len(links) == 1 else "links to folders were"
        say(f"{folder}: {len(links)} {links_are} not followed ({_some(sorted(links))}): name the folders to take them, too")


def _is_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_archive(file.read(8))
    except OSError:
        return False


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
