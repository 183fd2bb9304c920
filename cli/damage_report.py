"""What is said of images in archives that cannot be read: a line on stderr for each run of them."""

from __future__ import annotations

import click

from mnistzip.archive.entry_names import shown
from mnistzip.archive.reader import GroupImages
from mnistzip.errors import FormatError, MnistzipError, UnsupportedError

OK, DAMAGED, NOT_READ = "ok", "damaged", "not read"
NAMED_MAX = 16  # images that are named one by one


def wrong_with(part: GroupImages, with_labels: bool) -> list[MnistzipError | None]:
    """What is wrong with each image of a part; with all of them, if labels are asked for and damaged."""
    if with_labels and isinstance(part.labels, MnistzipError):
        return [part.labels] * len(part.images)
    return [image if isinstance(image, MnistzipError) else None for image in part.images]


class Blame:
    """Tells on stderr what is wrong with which images, a line for each run of them that one thing is wrong with.

    Attributes:
        count: how many images.
    """

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._error: MnistzipError | None = None  # of the run that is not told yet
        self._first = self._stop = 0
        self._names: list[str] = []

    def add(self, part: GroupImages, with_labels: bool) -> None:
        """The next part of an archive."""
        for k, error in enumerate(wrong_with(part, with_labels)):
            if error is None:
                continue
            index = part.first + k
            same = error is self._error or str(error) == str(self._error)
            if self._error is None or index != self._stop or not same:
                self.end()
                self._error, self._first, self._names = error, index, []
            self._stop = index + 1
            self.count += 1
            if isinstance(part.names, list) and part.names[k] and len(self._names) < NAMED_MAX:
                self._names.append(shown(part.names[k]))

    def end(self) -> None:
        """Tell what is left."""
        if self._error is None:
            return
        number = self._stop - self._first
        more = f" and {number - len(self._names)} more" if number > len(self._names) == NAMED_MAX else ""
        known = f" ({', '.join(self._names)}{more})" if self._names else ""
        be = "is" if number == 1 else "are"
        click.echo(
            f"mnistzip: {self._name}: {_told(self._first, number)}{known} {be} {kind_of(self._error)}: {self._error}", err=True
        )
        self._error = None


def blame_names(name: str, part: GroupImages) -> bool:
    """Whether images are there whose names are not; if so, a line on stderr."""
    return _blame_lost(name, part, "names", part.names)


def blame_labels(name: str, part: GroupImages) -> bool:
    """Whether images are there whose labels are not; if so, a line on stderr."""
    return _blame_lost(name, part, "labels", part.labels)


def _blame_lost(name: str, part: GroupImages, what: str, content: object) -> bool:
    lost = lost_alone(content, part)
    if lost:
        click.echo(f"mnistzip: {name}: {_told(part.first, len(part.images))} lost the {what}: {content}", err=True)
    return lost


def lost_alone(what: object, part: GroupImages) -> bool:
    """Whether names or labels are damaged where the images are not lost by the same thing."""
    return isinstance(what, MnistzipError) and all(image is not what for image in part.images)


def kind_of(error: Exception) -> str:
    """:data:`DAMAGED`, or :data:`NOT_READ` for what may be whole and cannot be read here."""
    return DAMAGED if isinstance(error, FormatError) and not isinstance(error, UnsupportedError) else NOT_READ


def _told(first: int, count: int) -> str:
    return f"image {first}" if count == 1 else f"images {first} to {first + count - 1}"
