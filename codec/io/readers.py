"""Lists of images from folders, IDX files, arrays, image files, or data sets of torchvision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mnistzip.errors import ImageError, ModelError, located
from mnistzip.io.detect import holds_many
from mnistzip.io.folders import image_suffixes, walk
from mnistzip.io.image_file import SUFFIX, any_image, image_of
from mnistzip.io.image_streams import open_stream
from mnistzip.io.inputs import Piped, open_input
from mnistzip.io.read_options import InputOptions
from mnistzip.models.user_models import user_home
from mnistzip.types import Pixels

NAMED_MAX = 3  # sources in a name; the others are counted


@dataclass(frozen=True)
class Source:
    """Images and their origin.

    Attributes:
        name: of the files and folders, without their parents.
        images: uint8 arrays of shape ``(H, W)``.
        names: of the images: paths below the folder, or indices.
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
    """Read images from files and folders, or from a data set of torchvision.

    Args:
        sources: image files, ``.cae`` files, archives too, folders of them (with subfolders), IDX files (``.gz`` too),
            ``.npy`` or ``.npz`` arrays of shape ``(H, W)`` or ``(N, H, W)``, Parquet files; ``-``, the same from stdin; or the
            name of a torchvision data set, such as ``mnist``.
        convert: convert colour, transparency and 16 bits to 8-bit grey.
        limit: the maximum number of images.
        train: read the training part of a torchvision data set, not the test part.
        model: of ``.cae`` files that were made with a custom model.

    Raises:
        ImageError: no images, or an image that cannot be read.
        FormatError: damaged IDX file or array.
        ModelError: torchvision is missing, or does not have the data set.
    """
    pairs = (pair for source in sources for pair in _read(str(source), convert, train, model))
    images: list[Pixels] = []
    names: list[str] = []
    for image_name, image in islice(pairs, limit):
        names.append(image_name)
        images.append(image)
    name = ", ".join(Path(source).name or str(source) for source in sources[:NAMED_MAX])
    if len(sources) > NAMED_MAX:
        name += f" and {len(sources) - NAMED_MAX} more"
    if not images:
        raise ImageError(f"no images in {name}: give image files, such as .png, or {SUFFIX} files")
    return Source(name, images, names)


def _read(source: str, convert: bool, train: bool, model: str | None) -> Iterator[tuple[str, Pixels]]:
    """Names and images of one source."""
    opened = open_input(source)
    path = Path(source)
    if path.is_dir():
        for file in walk(path, {*image_suffixes(), SUFFIX}):
            yield str(file.relative_to(path)), any_image(str(file), convert, model)[0]
    elif holds_many(opened):
        options = InputOptions(convert=convert, model=model)
        for index, item in enumerate(open_stream([opened], options=options).items):
            if isinstance(item.image, Exception):
                raise located(item.image, item.where) from item.image
            yield item.name or str(index), item.image
    elif isinstance(opened, Piped):
        yield source, image_of(source, opened.content, convert, model)
    elif path.is_file():
        yield path.name, any_image(source, convert, model)[0]
    elif path.suffix or len(path.parts) > 1:
        raise ImageError(f"{source}: no such file or folder")
    else:
        yield from ((str(index), image) for index, image in enumerate(torchvision_images(source, train)))


def torchvision_images(name: str, train: bool) -> Pixels:
    """The images of a torchvision data set, uint8 of shape ``(N, H, W)``. They are downloaded to ``~/.cache/mnistzip`` once.

    Raises:
        ModelError: torchvision is missing, or does not have the data set.
        ImageError: the data set does not hold 8-bit grey images.
    """
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as cause:
        raise ModelError(
            f"{name} is not a file, and torchvision, which has data sets, cannot be imported ({cause}): "
            "pip install 'mnistzip[train]', or give the path of an IDX file"
        ) from cause
    names = {kind.lower(): kind for kind in dir(datasets)}
    kind = getattr(datasets, names.get(name.lower(), ""), None)
    if not isinstance(kind, type) or not issubclass(kind, datasets.VisionDataset):
        raise ModelError(f"{name} is neither a file nor a data set of torchvision (such as MNIST or KMNIST)")
    home = user_home()
    if home is None:
        raise ModelError(f"no home folder to download {name} into: set HOME, or give the path of its files")
    try:
        array = np.asarray(kind(home / ".cache" / "mnistzip", train=train, download=True).data)
    except (OSError, RuntimeError, TypeError, AttributeError) as cause:  # no network, or a data set of another structure
        raise ModelError(f"torchvision cannot load {name} ({cause}): download it and give the path of its files") from cause
    if array.ndim != 3 or array.dtype != np.uint8:
        raise ImageError(f"{name} has shape {array.shape} of {array.dtype}: it does not hold 8-bit greyscale images")
    return array
