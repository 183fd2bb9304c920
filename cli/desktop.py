"""Files that register ``.cae`` with desktops and other programs, and their paths below a data folder."""

from __future__ import annotations

from collections.abc import Callable

import click

from mnistzip.bitstream.container import KIND_ARCHIVE, KIND_LOSSLESS_DIGIT, MAGIC
from mnistzip.io.image_file import SUFFIX

MIME_TYPE = "image/x-mnistzip"
MAGIC_FILE = "mnistzip/magic"  # below the data folder

MIME_XML = f"""<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="{MIME_TYPE}">
    <comment>mnistzip image</comment>
    <generic-icon name="image-x-generic"/>
    <magic priority="50">
      <match type="string" value="\\x{MAGIC[0]:02x}\\x{MAGIC[1]:02x}" offset="0"/>
    </magic>
    <glob pattern="*{SUFFIX}"/>
  </mime-type>
</mime-info>
"""

THUMBNAILER = f"""[Thumbnailer Entry]
TryExec=mnistzip
Exec=mnistzip thumbnail --size %s %i %o
MimeType={MIME_TYPE};
"""

FILE_MAGIC = f"""# mnistzip: compressed greyscale images
0\tbeshort\t0x{MAGIC.hex()}\tmnistzip
!:mime\t{MIME_TYPE}
!:ext\t{SUFFIX.lstrip(".")}
>2\tubyte\t<{KIND_LOSSLESS_DIGIT}\timage, lossy, 28 x 28, quality %u
>2\tubyte\t{KIND_LOSSLESS_DIGIT}\timage, lossless, 28 x 28
>2\tubyte\t{KIND_ARCHIVE}\tarchive of images
>2\tubyte\t>{KIND_ARCHIVE}\timage
>>2\tubyte&0x30\t0x00\t\\b, lossy
>>2\tubyte&0x30\t0x10\t\\b, lossless
>>2\tubyte&0x30\t0x20\t\\b, lossless
>>2\tubyte&0x30\t0x30\t\\b, every pixel within a bound
"""


def contents(kind: str, group: click.Group) -> dict[str, bytes]:
    """Path below the data folder, such as ``/usr/share``, and content of each file of one of :data:`KINDS`."""
    return KINDS[kind](group)


def _mime(_group: click.Group) -> dict[str, bytes]:
    return {"mime/packages/mnistzip.xml": MIME_XML.encode()}


def _thumbnailer(_group: click.Group) -> dict[str, bytes]:
    return {"thumbnailers/mnistzip.thumbnailer": THUMBNAILER.encode()}


def _magic(_group: click.Group) -> dict[str, bytes]:
    return {MAGIC_FILE: FILE_MAGIC.encode()}


def _man(group: click.Group) -> dict[str, bytes]:
    from mnistzip.cli.manpages import man_pages

    return {f"man/man1/{name}": page for name, page in man_pages(group).items()}


def _completion(group: click.Group) -> dict[str, bytes]:
    from mnistzip.cli.completion import SHELLS, script

    return {path: script(shell, group) for shell, path in SHELLS.items()}


KINDS: dict[str, Callable[[click.Group], dict[str, bytes]]] = {
    "mime": _mime,
    "thumbnailer": _thumbnailer,
    "magic": _magic,
    "man": _man,
    "completion": _completion,
}
