"""The packages that CI installs, with their hashes: write ``requirements/ci.txt``, or select packages of it for pip.

    nox -s lock                                             # or, with uv: python tools/lock.py --write
    python tools/lock.py --select test nox > some.txt && pip install --require-hashes -r some.txt

``--write`` resolves all extras (but ``train``) and the dependency groups ``dev`` and ``release`` for all systems with the
versions in ``constraints.txt``, and keeps the hashes of all files of each package. ``--select`` takes names of extras, groups
and packages, and prints those packages and what they need; without a name, what mnistzip itself needs.

torch, and what its build for CUDA needs, are not in the file: the builds of one version differ from index to index. CI
installs torch by the version in ``constraints.txt`` alone.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "ci.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEADER = "# Written by: python tools/lock.py --write\n# torch is missing on purpose: its builds differ from index to index.\n"
PYTHON = "3.11.5"  # the oldest for which the pinned versions exist
LEFT_OUT = re.compile(r"torch$|triton$|nvidia-|cuda-")
ENTRY = re.compile(r"^(?=[a-z0-9])", re.MULTILINE | re.IGNORECASE)
NAME = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """A package of the lock file: its name, the lines that state it, and the names of the packages that need it."""

    name: str
    text: str
    needed_by: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Read the lines of one package, whose comments name the packages that need it."""
        via = text.partition("# via")[2].replace("#", " ").split("\n")
        names = [found[0] for line in via if (found := NAME.match(line.strip())) and not line.strip().startswith("-")]
        return cls(normalized(text), text, frozenset(map(normalized, names)))


def normalized(requirement: str) -> str:
    """The name of a package at the start of a requirement, in the spelling of the lock file."""
    found = NAME.match(requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def entries() -> list[Entry]:
    """All packages of the lock file; one that differs between systems occurs more than once."""
    _, *texts = ENTRY.split(LOCK.read_text())
    return [Entry.parse(text) for text in texts]


def requirements(name: str) -> list[str]:
    """The names of the packages that an extra or a dependency group of this project asks for; otherwise the name itself."""
    project = PROJECT["project"]
    listed: list[Any] | None = project["optional-dependencies"].get(name) or PROJECT["dependency-groups"].get(name)
    if listed is None:
        return [normalized(name)]
    found: list[str] = []
    for each in listed:
        if isinstance(each, dict):
            found += requirements(each["include-group"])
        elif normalized(each) == project["name"]:  # such as mnistzip[fsspec,zarr]
            found += [package for extra in re.findall(r"[\w-]+", each.partition("[")[2]) for package in requirements(extra)]
        else:
            found.append(normalized(each))
    return found


def select(names: Iterable[str]) -> list[Entry]:
    """The packages of the lock file that this project needs with some extras and groups, and what these packages need."""
    locked = entries()
    wanted = {normalized(each) for each in PROJECT["project"]["dependencies"]}
    wanted.update(package for name in names for package in requirements(name))
    while more := {each.name for each in locked if each.needed_by & wanted} - wanted:
        wanted |= more
    if missing := {each for each in wanted if not LEFT_OUT.match(each)} - {each.name for each in locked}:
        raise SystemExit(f"{LOCK.name} lacks {', '.join(sorted(missing))}: python tools/lock.py --write")
    return [each for each in locked if each.name in wanted]


def write() -> None:
    """Resolve all packages, and write the lock file."""
    extras = [word for name in PROJECT["project"]["optional-dependencies"] if name != "train" for word in ("--extra", name)]
    command = ["uv", "pip", "compile", "-q", "--universal", "--python-version", PYTHON, "--generate-hashes", "--no-header"]
    command += ["-c", "constraints.txt", *extras, "--group", "dev", "--group", "release", "pyproject.toml"]
    resolved = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    kept = [text for text in ENTRY.split(resolved) if text.strip() and not LEFT_OUT.match(normalized(text))]
    LOCK.parent.mkdir(exist_ok=True)
    LOCK.write_text(HEADER + "".join(kept))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the packages that CI installs with their hashes, or select some.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="resolve all packages again, with uv")
    what.add_argument("--select", nargs="*", metavar="NAME", help="extras, groups and packages to print")
    options = parser.parse_args(arguments)
    if options.write:
        write()
    else:
        print("".join(each.text for each in select(options.select)), end="")


if __name__ == "__main__":
    main()
