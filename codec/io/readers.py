"""Many images from one name: a folder, an IDX file, an array, a file, or a data set that torchvision knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mnistzip.errors import ImageError, ModelError
from mnistzip.io.detect import holds_many
from mnistzip.io.folders import image_suffixes, walk
from mnistzip.io.image_file import SUFFIX, any_image, image_of
from mnistzip.io.image_streams import open_stream
from mnistzip.io.read_options import InputOptions, Piped, open_input
from mnistzip.models.user_models import user_home
from mnistzip.types import Pixels

NAMED = 3  # sources that are named; of more only the number is told


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
            ``.npy`` or ``.npz`` arrays of shape ``(H, W)`` or ``(N, H, W)``, Parquet files; ``-``, the same from stdin; or the
            name of a torchvision data set, such as ``mnist``.
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
        raise ImageError(f"no images in {told}: nothing there is an image file, such as .png, or a {SUFFIX} file")
    return Source(told, images, names)


def _read(source: str, convert: bool, train: bool, model: str | None) -> Iterator[tuple[str, Pixels]]:
    """Names and images of one source."""
    held = open_input(source)
    path = Path(source)
    if path.is_dir():
        for file in walk(path, {*image_suffixes(), SUFFIX}):
            yield str(file.relative_to(path)), any_image(str(file), convert, model)[0]
    elif holds_many(held):
        options = InputOptions(convert=convert, model=model)
        for index, item in enumerate(open_stream([held], options=options).items):
            if isinstance(item.image, Exception):
                raise type(item.image)(f"{item.where}: {item.image}") from item.image
            yield item.name or str(index), item.image
    elif isinstance(held, Piped):
        yield source, image_of(source, held.content, convert, model)
    elif path.is_file():
        yield path.name, any_image(source, convert, model)[0]
    elif path.suffix or len(path.parts) > 1:
        raise ImageError(f"{source}: no such file or folder")
    else:
        yield from ((str(index), image) for index, image in enumerate(torchvision_images(source, train)))


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
    home = user_home()
    if home is None:
        raise ModelError(f"you have no home directory to download {name} into: set HOME, or give the path of its files")
    try:
        array = np.asarray(kind(home / ".cache" / "mnistzip", train=train, download=True).data)
    except (OSError, RuntimeError, TypeError, AttributeError) as cause:  # no network, or a data set of another make
        raise ModelError(f"torchvision could not give {name} ({cause}): download it and give the path of its files") from cause
    if array.ndim != 3 or array.dtype != np.uint8:
        raise ImageError(f"{name} has shape {array.shape} of {array.dtype}: it does not hold 8-bit greyscale images")
    return array
