"""Many images from one name: a folder, an IDX file, an array, a file, or a data set that torchvision knows."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistzip.archive import Archive
from mnistzip.data.images import IMAGE_SUFFIXES, STREAM, SUFFIX, any_image, is_archive
from mnistzip.errors import FormatError, ImageError, ModelError
from mnistzip.idx import GZIP, UINT8, read_idx

NAMED = 3  # sources that are named; of more only the number is told

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """Images and where they came from.

    Attributes:
        name: for people, without the folders before it.
        images: uint8 arrays of shape ``(H, W)``.
        names: of each image, as far as it has one: its path below the folder, or its index.
    """

    name: str
    images: list[Pixels]
    names: list[str]


def load(
    sources: Sequence[str | Path],
    *,
    convert: bool = False,
    limit: int | None = None,
    train: bool = False,
    model: str | None = None,
) -> Source:
    """Read images from files and folders, or a data set by its name.

    Args:
        sources: image files, ``.cae`` files, archives too, folders of them (searched to the bottom), IDX files (``.gz`` too),
            ``.npy`` or ``.npz`` arrays of shape ``(H, W)`` or ``(N, H, W)``; ``-``, one image from stdin; or the name of a
            torchvision data set, such as ``mnist``.
        convert: take colour, transparency and 16 bits as 8-bit grey instead of refusing them.
        limit: stop after so many images.
        train: of a torchvision data set the training part, not the test part.
        model: of ``.cae`` files that were made with a model of one's own.

    Raises:
        ImageError: nothing there, or an image that cannot be taken.
        FormatError: a damaged IDX file or array.
        ModelError: a data set's name, but torchvision is missing or does not know it.
    """
    pairs = (pair for source in sources for pair in _read(str(source), convert, train, model))
    images: list[Pixels] = []
    names: list[str] = []
    for name, image in islice(pairs, limit):
        names.append(name)
        images.append(image)
    told = ", ".join(Path(source).name or str(source) for source in sources[:NAMED])
    if len(sources) > NAMED:
        told += f" and {len(sources) - NAMED} more"
    if not images:
        kinds = ", ".join(sorted({*IMAGE_SUFFIXES, SUFFIX}))
        raise ImageError(f"no images in {told}: nothing there ends in {kinds}")
    return Source(told, images, names)


def walk(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Files with such suffixes in a folder and below, in order of their paths."""
    wanted = set(suffixes)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() in wanted:
            yield path


def _read(source: str, convert: bool, train: bool, model: str | None) -> Iterator[tuple[str, Pixels]]:
    """Names and images of one source."""
    path = Path(source)
    if source == STREAM:
        yield source, any_image(source, convert, model)[0]
    elif path.is_dir():
        for file in walk(path, {*IMAGE_SUFFIXES, SUFFIX}):
            yield str(file.relative_to(path)), any_image(str(file), convert, model)[0]
    elif path.is_file() and _is_archive(path):
        with Archive(path, model=model) as archive:
            names = archive.names or [""] * len(archive)
            yield from ((name or str(index), image) for index, (name, image) in enumerate(zip(names, archive, strict=True)))
    elif path.is_file() and (stack := _stack(path)) is not None:
        yield from ((str(index), image) for index, image in enumerate(stack))
    elif path.is_file():
        yield path.name, any_image(source, convert, model)[0]
    elif path.suffix or len(path.parts) > 1:
        raise ImageError(f"{source}: no such file or folder")
    else:
        yield from ((str(index), image) for index, image in enumerate(torchvision_images(source, train)))


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return is_archive(file.read(4))


def _stack(path: Path) -> Pixels | None:
    """The images of an IDX file or an array, shape ``(N, H, W)``; None for any other file."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == GZIP or start[:3] == bytes([0, 0, UINT8]):
        array = read_idx(path)
    elif path.suffix.lower() in {".npy", ".npz"}:
        array = _numpy(path)
    else:
        return None
    if array.ndim != 3:
        raise ImageError(f"{path} has shape {array.shape}, not (N, H, W): it does not hold greyscale images")
    return array


def _numpy(path: Path) -> Pixels:
    """The one array of images in a ``.npy`` or ``.npz`` file."""
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            arrays = dict(content) if isinstance(content, np.lib.npyio.NpzFile) else {path.name: content}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as cause:
        raise FormatError(f"{path} is not an array that can be read: {cause}") from cause
    fitting = {key: array for key, array in arrays.items() if array.dtype == np.uint8 and array.ndim in (2, 3)}
    if len(fitting) != 1:
        held = ", ".join(f"{key} {array.dtype}{list(array.shape)}" for key, array in arrays.items())
        raise ImageError(f"{path} holds {held}: exactly one array of uint8 with shape (N, H, W) or (H, W) is taken")
    (array,) = fitting.values()
    return array.reshape(-1, *array.shape[-2:])


def torchvision_images(name: str, train: bool) -> Pixels:
    """The images of a torchvision data set, downloaded into ``~/.cache/mnistzip`` if need be: uint8, ``(N, H, W)``.

    Raises:
        ModelError: torchvision is missing or does not have it.
    """
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as cause:
        raise ModelError(
            f"{name} is no file, and torchvision, which knows data sets by name, cannot be imported ({cause}): "
            "pip install 'mnistzip[train]', or give the path of an IDX file"
        ) from cause
    known = {kind.lower(): kind for kind in dir(datasets)}
    kind = getattr(datasets, known.get(name.lower(), ""), None)
    if not isinstance(kind, type) or not issubclass(kind, datasets.VisionDataset):
        raise ModelError(f"{name} is neither a file nor a data set of torchvision (such as MNIST or KMNIST)")
    try:
        array = np.asarray(kind(Path.home() / ".cache" / "mnistzip", train=train, download=True).data)
    except (OSError, RuntimeError, TypeError, AttributeError) as cause:  # no network, or a data set of another make
        raise ModelError(f"torchvision could not give {name} ({cause}): download it and give the path of its files") from cause
    if array.ndim != 3 or array.dtype != np.uint8:
        raise ImageError(f"{name} has shape {array.shape} of {array.dtype}: it does not hold 8-bit greyscale images")
    return array
