"""Images in folders: which files are read, in which order, and messages about the others."""

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
from mnistzip.io.inputs import ignore, to_stderr

NOT_RASTER = {"EPS", "WMF", "MPEG", "HDF5", "BUFR", "GRIB", "IPTC", "PDF"}  # formats of Pillow that do not hold raster images
SHOWN = 3  # names or suffixes in a message

_NUMBER = re.compile(r"([0-9]+)")


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of all image files that are read from folders. Pillow loads all its readers for this."""
    from PIL import Image

    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN and kind not in NOT_RASTER}
    return frozenset({*known, *IMAGE_SUFFIXES} - {SUFFIX})  # SUFFIX is known if our plugin is registered


def natural(path: PurePath) -> tuple[object, ...]:
    """The sort key for natural order: ``2.png`` before ``10.png``, folder by folder."""
    parts = [[int(piece) if k % 2 else piece.casefold() for k, piece in enumerate(_NUMBER.split(part))] for part in path.parts]
    return (parts, path.parts)


def walk(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Files with one of these suffixes in a folder and below, in natural order.

    A folder that cannot be searched is part of the result: reading it gives the error.
    """
    suffixes = set(suffixes)
    files = [path for path, is_unread in _search(folder) if is_unread or path.suffix.lower() in suffixes]
    yield from sorted(files, key=natural)


def find_images(folder: Path, say: Callable[[str], None] = to_stderr, *, with_cae: bool = False) -> list[Path]:
    """The image files in a folder and below, in natural order, with a message about other files.

    Args:
        folder: where to search. Links to folders are not followed.
        say: called with a line on files of other kinds and on links.
        with_cae: take single images in ``.cae`` files if there are no other images.
    """
    files = [(path, is_unread) for path, is_unread in _search(folder, say)]
    suffixes = image_suffixes()
    images = [path for path, is_unread in files if is_unread or path.suffix.lower() in suffixes]
    if with_cae and not images:
        images = [path for path, _ in files if path.suffix.lower() == SUFFIX and not _is_archive(path)]
    others = {path for path, _ in files}.difference(images)
    if others and images:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in others)
        files_are = "other file" if len(others) == 1 else "other files"
        say(f"{folder}: ignored {len(others)} {files_are} ({_some([kind for kind, _ in kinds.most_common()])})")
    return sorted(images, key=natural)


def image_files(folder: Path, say: Callable[[str], None] = to_stderr) -> list[Path]:
    """The image files in a folder and below, ``.cae`` files too, in natural order.

    Raises:
        ImageError: there are none.
    """
    files = find_images(folder, say, with_cae=True)
    if not files:
        suffixes = sorted({path.suffix.lower() or "no suffix" for path, _ in _search(folder)})
        hint = "; name each file that holds many images" if {*BY_SUFFIX, SUFFIX, ".gz"}.intersection(suffixes) else ""
        raise ImageError(
            f"no images in {folder}: " + (f"it holds files of {_some(suffixes)}{hint}" if suffixes else "it is empty")
        )
    return files


def _search(folder: Path, say: Callable[[str], None] = ignore) -> Iterator[tuple[Path, bool]]:
    """Every file below a folder, and every folder that cannot be read, with True."""
    folders, links = [folder], []
    while folders:
        current = folders.pop()
        try:
            with os.scandir(current) as entries:
                found = [(Path(entry.path), entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries]
        except OSError:
            yield current, True
            continue
        for path, is_folder, is_link in found:
            if is_folder:
                folders.append(path)
            elif is_link and path.is_dir():
                links.append(str(path.relative_to(folder)))
            elif is_link or path.is_file():  # reading a broken link gives the error
                yield path, False
    if links:
        links_are = "link to a folder" if len(links) == 1 else "links to folders"
        say(f"{folder}: ignored {len(links)} {links_are} ({_some(sorted(links))}): name the folders to read them")


def _is_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_archive(file.read(8))
    except OSError:
        return False


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
