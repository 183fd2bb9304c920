"""``mnistzip integrate``: install and remove files that register ``.cae`` with desktops, man pages and completion.

A file is ours if its content is what this version writes, or what an earlier version wrote according to :data:`RECORD`.
Other files are never removed, and replaced only with ``-f``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from mnistzip.cli import desktop, outputs
from mnistzip.errors import MnistzipError
from mnistzip.io.image_file import STREAM
from mnistzip.models import user_models

RECORD = "mnistzip/integration.json"  # below the data folder: path below it and SHA-256 of each file that was written
HOME_MAGIC = ".magic"  # read by file(1) in the home folder; all programs share this file
SYSTEM = "/usr/local"
NEED_PATH = {"thumbnailer", "completion"}  # kinds of files through which other programs run the command


@dataclass(frozen=True)
class Target:
    """A file to install.

    Attributes:
        key: its path below the data folder.
        shared: other programs use the same file: one that is not ours is kept even with ``-f``.
    """

    path: Path
    key: str
    content: bytes
    shared: bool = False


@click.command(short_help="Register .cae files with desktops, file and man.")
@click.option("--only", type=click.Choice(list(desktop.KINDS)), multiple=True, metavar="KIND",
              help=f"Only files of this kind, one of {', '.join(desktop.KINDS)}; can be given several times.")  # fmt: skip
@click.option("--system", is_flag=True, help=f"For all users, below {SYSTEM}; the default is this user.")
@click.option("--prefix", type=outputs.LocalPath(file_okay=False, path_type=Path), metavar="DIR",
              help="Below DIR/share, for packages; no cache is updated.")  # fmt: skip
@click.option("--remove", is_flag=True, help="Remove the installed files, but keep files that have changed since.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("-f", "--force", is_flag=True, help="Replace files of the same names that are not from mnistzip.")
@click.option("--quiet", is_flag=True, help="Print problems only.")
@click.pass_context
def integrate(
    ctx: click.Context,
    only: tuple[str, ...],
    system: bool,
    prefix: Path | None,
    remove: bool,
    dry_run: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Install files that make other programs recognize .cae: a MIME type and a thumbnailer for desktops, an entry for
    file(1), man pages, and completion for bash, zsh and fish.

    They go to $XDG_DATA_HOME, by default ~/.local/share, and to ~/.magic.
    """
    if system and prefix is not None:
        raise click.UsageError(f"--system means --prefix {SYSTEM}: give one of them")
    below = Path(SYSTEM) if system else prefix
    data = data_home() if below is None else below / "share"
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    targets = list(_targets(data, only, group, own=below is None))
    record = Record(data)
    if remove:
        changed = _remove(targets, record, dry_run, quiet, all_of_it=not only)
    else:
        changed = _install(targets, record, dry_run, force, quiet)
    if not remove and prefix is None and NEED_PATH & {*(only or desktop.KINDS)} and shutil.which("mnistzip") is None:
        click.echo("mnistzip: mnistzip is not in PATH: thumbnails and completion need it there", err=True)
    mime = data / "mime"
    if prefix is None and not dry_run and any(mime in path.parents for path in changed):
        _update_mime(mime, needed=not remove)


def data_home() -> Path:
    """The data folder of this user.

    Raises:
        MnistzipError: the user has no home folder.
    """
    folder = os.environ.get("XDG_DATA_HOME", "")
    return Path(folder) if os.path.isabs(folder) else _home() / ".local" / "share"


def _home() -> Path:
    home = user_models.user_home()
    if home is None:
        raise MnistzipError("this user has no home folder: give a folder with --prefix")
    return home


def _targets(data: Path, only: Iterable[str], group: click.Group, own: bool) -> Iterator[Target]:
    for kind in tuple(only) or desktop.KINDS:
        for key, content in desktop.contents(kind, group).items():
            yield Target(data / key, key, content)
            if own and key == desktop.MAGIC_FILE:
                yield Target(_home() / HOME_MAGIC, f"~/{HOME_MAGIC}", content, shared=True)


class Record:
    """The files that mnistzip has written below a data folder.

    Attributes:
        path: of the record.
        written: SHA-256 of each file by its key.
        foreign: whether there is a file at ``path`` that is not a record.
    """

    def __init__(self, data: Path) -> None:
        self.path = data / RECORD
        self._data = data
        self.written: dict[str, str] = {}
        self.foreign = False
        if os.path.lexists(self.path):
            try:
                self.written = _parse(self.path.read_bytes())
            except (OSError, ValueError):
                self.foreign = True

    def is_ours(self, path: Path, key: str, content: bytes | None) -> bool:
        """Whether a file has the content that this version writes, or an earlier one wrote."""
        if path.is_symlink() or not path.is_file():
            return False
        existing = path.read_bytes()
        return existing == content or _digest(existing) == self.written.get(key)

    def former(self, keys: set[str]) -> Iterator[tuple[Path, str]]:
        """Path and key of each file that an earlier version wrote, except those with one of the keys."""
        for key in sorted(set(self.written) - keys):
            path = self._data / key
            if ".." not in Path(key).parts and self._data in path.parents and "~" not in key:
                yield path, key

    def save(self) -> None:
        """Write the record, or remove it if it is empty."""
        if self.written:
            _replace(self.path, _unparse(self.written))
        elif not self.foreign:
            self.path.unlink(missing_ok=True)


def _unparse(written: dict[str, str]) -> bytes:
    return json.dumps(dict(sorted(written.items())), indent=1).encode() + b"\n"


def _parse(content: bytes) -> dict[str, str]:
    """The inverse of :func:`_unparse`, or :class:`ValueError`."""
    written = json.loads(content)
    if not isinstance(written, dict) or not all(isinstance(digest, str) for digest in written.values()):
        raise ValueError("not a record")
    if _unparse(written) != content:
        raise ValueError("the record was changed")
    return written


def _install(targets: list[Target], record: Record, dry_run: bool, force: bool, quiet: bool) -> list[Path]:
    """Write all files, or none if a foreign file is in the way; the paths that changed."""
    foreign = [
        target
        for target in targets
        if os.path.lexists(target.path) and not record.is_ours(target.path, target.key, target.content)
    ]
    blocked = [target.path for target in foreign if not target.shared] + [record.path] * record.foreign
    if blocked and not force and not dry_run:
        files_are = f"{blocked[0]} and {len(blocked) - 1} more are" if len(blocked) > 1 else f"{blocked[0]} is"
        raise MnistzipError(f"{files_are} not from mnistzip: -f replaces, --dry-run lists all files")
    paths = [target.path for target in targets if target not in foreign or not target.shared] + [record.path]
    if not dry_run:
        _require_writable(paths)
    changed = []
    for target in targets:
        if target in foreign and target.shared:
            entry = next(other.path for other in targets if other.content == target.content and not other.shared)
            click.echo(f"mnistzip: {target.path} has other entries and is not changed: add those of {entry}", err=True)
            continue
        if target.path in blocked and not force:
            click.echo(f"in the way: {target.path} is not from mnistzip: -f replaces it")
            continue
        new = not target.path.is_file() or target.path.read_bytes() != target.content
        if new and not dry_run:
            _replace(target.path, target.content)
        if not dry_run:
            record.written[target.key] = _digest(target.content)
        changed += [target.path] * new
        _say(quiet and not dry_run, target.path, ("would write" if dry_run else "wrote") if new else "is installed already")
    if not dry_run:
        record.save()
    return changed


def _replace(path: Path, content: bytes) -> None:
    """Write a file; a link is replaced, not the file that it points to."""
    if path.is_symlink():
        path.unlink()
    outputs.write(str(path), content, STREAM, force=True)


def _require_writable(paths: list[Path]) -> None:
    """Make the folders of files. Raise an error if that fails, or if a file's path is a folder."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            raise MnistzipError(
                f"{path} is a folder, but a file must go there: move it away, or give another folder with --prefix"
            )
        path.parent.mkdir(parents=True, exist_ok=True)


def _remove(targets: list[Target], record: Record, dry_run: bool, quiet: bool, all_of_it: bool) -> list[Path]:
    """Remove the files that are ours; the paths that changed."""
    files: list[tuple[Path, str, bytes | None]] = [
        (target.path, target.key, target.content) for target in targets if not target.shared or target.key in record.written
    ]
    if all_of_it:
        files += [(path, key, None) for path, key in record.former({target.key for target in targets})]
    changed = []
    for path, key, content in files:
        if not os.path.lexists(path):
            record.written.pop(key, None)
            continue
        if not record.is_ours(path, key, content):
            click.echo(f"mnistzip: {path} is kept: its content is not from mnistzip", err=True)
            record.written.pop(key, None)
            continue
        changed.append(path)
        if not dry_run:
            path.unlink()
            record.written.pop(key, None)
        _say(quiet and not dry_run, path, "would remove" if dry_run else "removed")
    if not dry_run:
        record.save()
    return changed


def _say(quiet: bool, path: Path, done: str) -> None:
    if not quiet:
        click.echo(f"{path}: {done}" if done.startswith("is ") else f"{done} {path}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _update_mime(folder: Path, needed: bool) -> None:
    """Update the MIME database below a folder; print a message if that is ``needed`` and not possible."""
    program = shutil.which("update-mime-database")
    if program is None:
        if needed:
            click.echo("mnistzip: update-mime-database is missing: desktops know the MIME type after it has run", err=True)
        return
    process = subprocess.run([program, str(folder)], capture_output=True, text=True, check=False)
    if process.returncode:
        reason = " ".join(process.stderr.split()) or f"exit code {process.returncode}"
        click.echo(f"mnistzip: update-mime-database {folder}: {reason}", err=True)
