"""The formats that ``mnistzip decompress`` writes: one row each in :data:`FORMATS`.

The option ``--to``, its help and its completion, the suffixes of outputs, and the choice of a writer use this table. A new
format is a new row, with a class that writes it if it holds many images. The module imports nothing of mnistzip: every call
of the command loads it.
"""

from __future__ import annotations

from typing import NamedTuple


class OutputFormat(NamedTuple):
    """A format of image files, of files that hold many images, or of both.

    Attributes:
        name: the value of ``--to``. For formats of many images also the lower-case name of their
            :class:`~mnistzip.archive.index.Origin`.
        suffixes: of files in this format; new files get the first.
        name_parts: texts in file names that say the format where no suffix does.
        ending: what follows the stem in the name of a new file, instead of a suffix.
        is_image: whether a file can hold one image, shape ``(H, W)``.
        pillow: arguments of ``PIL.Image.save`` for one image; None if Pillow does not write the format.
        writer: ``module:class`` that writes many images, see :class:`~mnistzip.io.targets.Writer`; empty if a file holds one.
        names: whether names of images are kept.
        labels: whether labels are kept.
        needs_labels: whether labels are kept only if every image has one.
        separate_labels: whether labels go to a file of their own that the user can name.
        mixed_sizes: whether images may differ in size.
        gzip: whether a file whose name ends in ``.gz`` is compressed.
        stdout: whether it can go to stdout.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    name_parts: tuple[str, ...] = ()
    ending: str = ""
    is_image: bool = False
    pillow: dict[str, bool] | None = None
    writer: str = ""
    names: bool = False
    labels: bool = False
    needs_labels: bool = False
    separate_labels: bool = False
    mixed_sizes: bool = False
    gzip: bool = False
    stdout: bool = True

    @property
    def new_ending(self) -> str:
        """What follows the stem in the name of a new file."""
        return self.ending or next(iter(self.suffixes), "")


FORMATS = (
    OutputFormat(name="png", suffixes=(".png",), is_image=True, pillow={"optimize": True}),
    OutputFormat(name="pgm", suffixes=(".pgm",), is_image=True, pillow={}),
    OutputFormat(name="bmp", suffixes=(".bmp",), is_image=True, pillow={}),
    OutputFormat(name="tif", suffixes=(".tif", ".tiff"), is_image=True, pillow={}),
    OutputFormat(name="webp", suffixes=(".webp",), is_image=True, pillow={"lossless": True}),
    OutputFormat(name="npy", suffixes=(".npy",), is_image=True, writer="mnistzip.io.writers:NpyWriter"),
    OutputFormat(
        name="idx",
        name_parts=("ubyte", "idx"),
        ending="-images-idx3-ubyte",
        writer="mnistzip.io.writers:IdxWriter",
        labels=True,
        needs_labels=True,
        separate_labels=True,
        gzip=True,
    ),
    OutputFormat(
        name="folder",
        writer="mnistzip.io.folder_writer:FolderWriter",
        names=True,
        labels=True,
        mixed_sizes=True,
        stdout=False,
    ),
    OutputFormat(
        name="npz",
        suffixes=(".npz",),
        writer="mnistzip.io.writers:NpzWriter",
        names=True,
        labels=True,
        needs_labels=True,
        stdout=False,
    ),
    OutputFormat(
        name="parquet",
        suffixes=(".parquet",),
        writer="mnistzip.io.writers:ParquetWriter",
        names=True,
        labels=True,
        needs_labels=True,
        mixed_sizes=True,
        stdout=False,
    ),
)

IMAGE_FORMATS = {suffix: row for row in FORMATS if row.is_image for suffix in row.suffixes}  # of one image, by suffix
SET_FORMATS = {row.name: row for row in FORMATS if row.writer}  # of many images, by name
SET_SUFFIXES = {suffix: row for row in SET_FORMATS.values() for suffix in row.suffixes}
SUFFIXES = {*IMAGE_FORMATS, *SET_SUFFIXES}
FOLDER = SET_FORMATS["folder"]


def listed(names: list[str]) -> str:
    """Names as a list in a sentence: ``png, pgm or npy``."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def help_of_formats() -> str:
    """The help of ``--to``."""
    images = listed([row.name for row in FORMATS if row.is_image])
    sets = listed([row.name for row in FORMATS if not row.is_image])
    return f"Format of the output: {images}; for archives also {sets}.  [default: png; for archives, what the images came from]"
