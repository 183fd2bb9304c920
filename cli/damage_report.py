"""Messages about damaged images of archives: one line on stderr for each run of images with the same error."""

from __future__ import annotations

import click

from mnistzip.archive.entry_names import shown
from mnistzip.archive.reader import GroupImages
from mnistzip.errors import FormatError, MnistzipError, UnsupportedError

OK, DAMAGED, NOT_READ = "ok", "damaged", "not read"
NAMES_MAX = 16  # names of images in a message


def errors_of(part: GroupImages, with_labels: bool) -> list[MnistzipError | None]:
    """The error of each image of a part; ``with_labels``, damaged labels are an error of every image."""
    if with_labels and isinstance(part.labels, MnistzipError):
        return [part.labels] * len(part.images)
    return [image if isinstance(image, MnistzipError) else None for image in part.images]


class DamageReport:
    """Prints which images of an archive cannot be read, and why: a line for each run of images with the same error.

    Args:
        name: of the archive.

    Attributes:
        count: how many images cannot be read.
    """

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._error: MnistzipError | None = None  # of the current run
        self._first = self._stop = 0
        self._names: list[str] = []

    def add(self, part: GroupImages, with_labels: bool) -> None:
        """Take the next part of the archive."""
        for k, error in enumerate(errors_of(part, with_labels)):
            if error is None:
                continue
            index = part.first + k
            same_error = error is self._error or str(error) == str(self._error)
            if self._error is None or index != self._stop or not same_error:
                self.print_run()
                self._error, self._first, self._names = error, index, []
            self._stop = index + 1
            self.count += 1
            if isinstance(part.names, list) and part.names[k] and len(self._names) < NAMES_MAX:
                self._names.append(shown(part.names[k]))

    def print_run(self) -> None:
        """Print the current run; call it after the last part."""
        if self._error is None:
            return
        number = self._stop - self._first
        more = f" and {number - len(self._names)} more" if number > len(self._names) == NAMES_MAX else ""
        names = f" ({', '.join(self._names)}{more})" if self._names else ""
        be = "is" if number == 1 else "are"
        images = _image_range(self._first, number)
        click.echo(f"mnistzip: {self._name}: {images}{names} {be} {status_of(self._error)}: {self._error}", err=True)
        self._error = None


def report_lost_names(archive: str, part: GroupImages) -> bool:
    """Whether the names of readable images are damaged; if so, print it."""
    return _report_lost(archive, part, "names", part.names)


def report_lost_labels(archive: str, part: GroupImages) -> bool:
    """Whether the labels of readable images are damaged; if so, print it."""
    return _report_lost(archive, part, "labels", part.labels)


def _report_lost(archive: str, part: GroupImages, noun: str, values: object) -> bool:
    lost = is_lost_alone(values, part)
    if lost:
        click.echo(f"mnistzip: {archive}: {_image_range(part.first, len(part.images))} lost the {noun}: {values}", err=True)
    return lost


def is_lost_alone(values: object, part: GroupImages) -> bool:
    """Whether names or labels are damaged, and no image of the part is lost with them."""
    return isinstance(values, MnistzipError) and all(image is not values for image in part.images)


def status_of(error: Exception) -> str:
    """:data:`DAMAGED`, or :data:`NOT_READ` for files that may be intact, which this program or its limits cannot read."""
    return DAMAGED if isinstance(error, FormatError) and not isinstance(error, UnsupportedError) else NOT_READ


def _image_range(first: int, count: int) -> str:
    return f"image {first}" if count == 1 else f"images {first} to {first + count - 1}"
