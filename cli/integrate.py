"""``mnistzip integrate``: install what makes desktops know ``.cae``, with man pages and completion, and remove it again.

A file is ours if its content is what this version writes, or what an earlier one wrote here, as the :data:`RECORD` beside
them says. Other files are never removed, and only replaced with ``-f``.
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
HOME_MAGIC = ".magic"  # what file(1) reads in the home folder; there is only one such file for all programs
SYSTEM = "/usr/local"
NEED_PATH = {"thumbnailer", "completion"}  # kinds of files through which other programs run the command


@dataclass(frozen=True)
class Target:
    """A file to install.

    Attributes:
        key: its path below the data folder.
        shared: other programs use a file of this name, too: one that is not ours is left alone even with ``-f``.
    """

    path: Path
    key: str
    content: bytes
    shared: bool = False


@click.command(short_help="Make desktops, file and man know .cae files.")
@click.option("--only", type=click.Choice(list(desktop.KINDS)), multiple=True, metavar="KIND",
              help=f"Only files of this kind, one of {', '.join(desktop.KINDS)}; can be given several times.")  # fmt: skip
@click.option("--system", is_flag=True, help=f"For all users, below {SYSTEM}; otherwise for yourself.")
@click.option("--prefix", type=outputs.LocalPath(file_okay=False, path_type=Path), metavar="DIR",
              help="Below DIR/share, for packages; no cache is updated.")  # fmt: skip
@click.option("--remove", is_flag=True, help="Remove what was installed; files that were changed since are left.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-f", "--force", is_flag=True, help="Replace files of the same names that are not from mnistzip.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
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
    """Install the files through which other programs know .cae: a MIME type and a thumbnailer for desktops, an entry for
    file(1), man pages, and completion for bash, zsh and fish.

    They go to $XDG_DATA_HOME, by default ~/.local/share, and to ~/.magic.
    """
    if system and prefix is not None:
        raise click.UsageError(f"--system is --prefix {SYSTEM}: give one of the two")
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
        click.echo("mnistzip: no command mnistzip is in PATH: thumbnails and completion need it there", err=True)
    mime = data / "mime"
    if prefix is None and not dry_run and any(mime in path.parents for path in changed):
        _update_mime(mime, needed=not remove)


def data_home() -> Path:
    """The folder for data of this user.

    Raises:
        MnistzipError: the user has no home folder.
    """
    named = os.environ.get("XDG_DATA_HOME", "")
    return Path(named) if os.path.isabs(named) else _home() / ".local" / "share"


def _home() -> Path:
    home = user_models.user_home()
    if home is None:
        raise MnistzipError("this user has no home folder: name a folder with --prefix")
    return home


def _targets(data: Path, only: Iterable[str], group: click.Group, own: bool) -> Iterator[Target]:
    for kind in tuple(only) or desktop.KINDS:
        for key, content in desktop.contents(kind, group).items():
            yield Target(data / key, key, content)
            if own and key == desktop.MAGIC_FILE:
                yield Target(_home() / HOME_MAGIC, f"~/{HOME_MAGIC}", content, shared=True)


class Record:
    """What mnistzip has written below a data folder: SHA-256 of each file by its key.

    Attributes:
        path: the file that holds it.
        foreign: whether that file is there and is no record.
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
        """Whether a file has the content that we write now, or wrote before."""
        if path.is_symlink() or not path.is_file():
            return False
        there = path.read_bytes()
        return there == content or _digest(there) == self.written.get(key)

    def former(self, keys: set[str]) -> Iterator[tuple[Path, str]]:
        """Files that an earlier version wrote and that have none of the keys."""
        for key in sorted(set(self.written) - keys):
            path = self._data / key
            if ".." not in Path(key).parts and self._data in path.parents and "~" not in key:
                yield path, key

    def save(self) -> None:
        """Write the record, or remove it if nothing is left of us."""
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
        raise ValueError("this is no record")
    if _unparse(written) != content:
        raise ValueError("this record was changed")
    return written


def _install(targets: list[Target], record: Record, dry_run: bool, force: bool, quiet: bool) -> list[Path]:
    """Write all files or, if one is in the way, none; the paths that changed."""
    foreign = [
        target
        for target in targets
        if os.path.lexists(target.path) and not record.is_ours(target.path, target.key, target.content)
    ]
    blocked = [target.path for target in foreign if not target.shared] + [record.path] * record.foreign
    if blocked and not force and not dry_run:
        more = f", and {len(blocked) - 1} more," if len(blocked) > 1 else ""
        are = "are" if len(blocked) > 1 else "is"
        raise MnistzipError(f"{blocked[0]}{more} {are} not from mnistzip: -f replaces, --dry-run lists all files")
    goals = [target.path for target in targets if target not in foreign or not target.shared] + [record.path]
    if not dry_run:
        _require_writable(goals)
    changed = []
    for target in targets:
        if target in foreign and target.shared:
            entry = next(other.path for other in targets if other.content == target.content and not other.shared)
            click.echo(f"mnistzip: {target.path} has entries of yours and is left as it is: add those of {entry}", err=True)
            continue
        if target.path in blocked and not force:
            click.echo(f"in the way: {target.path} is not from mnistzip: -f replaces")
            continue
        new = not target.path.is_file() or target.path.read_bytes() != target.content
        if new and not dry_run:
            _replace(target.path, target.content)
        if not dry_run:
            record.written[target.key] = _digest(target.content)
        changed += [target.path] * new
        _say(quiet and not dry_run, target.path, ("would write" if dry_run else "wrote") if new else "is there already")
    if not dry_run:
        record.save()
    return changed


def _replace(path: Path, content: bytes) -> None:
    """Write a file; a link is replaced itself, not what it leads to."""
    if path.is_symlink():
        path.unlink()
    outputs.write(str(path), content, STREAM, force=True)


def _require_writable(paths: list[Path]) -> None:
    """Make the folders of files; an error if one cannot be made, or if a folder is where a file goes."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            raise MnistzipError(f"{path} is a folder where a file would go: move it away, or name another place with --prefix")
        path.parent.mkdir(parents=True, exist_ok=True)


def _remove(targets: list[Target], record: Record, dry_run: bool, quiet: bool, all_of_it: bool) -> list[Path]:
    """Remove the files that are ours; the paths that changed."""
    places: list[tuple[Path, str, bytes | None]] = [
        (target.path, target.key, target.content) for target in targets if not target.shared or target.key in record.written
    ]
    if all_of_it:
        places += [(path, key, None) for path, key in record.former({target.key for target in targets})]
    changed = []
    for path, key, content in places:
        if not os.path.lexists(path):
            record.written.pop(key, None)
            continue
        if not record.is_ours(path, key, content):
            click.echo(f"mnistzip: {path} is left: its content is not from mnistzip", err=True)
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
    """Make desktops read the MIME types below a folder anew; say so if that is ``needed`` and cannot be done."""
    program = shutil.which("update-mime-database")
    if program is None:
        if needed:
            click.echo("mnistzip: update-mime-database is missing: desktops see the MIME type once it has run", err=True)
        return
    done = subprocess.run([program, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        click.echo(f"mnistzip: update-mime-database {folder}: {reason}", err=True)
