"""Build the extension and the test program of ``engine/`` in a folder of their own, with any flags.

    python tools/engine_build.py FOLDER [--compiler clang] [FLAG...]     # FOLDER/_engine.so; nothing of the checkout changes

The other tools call it. An object is compiled again if its source, a header or the flags are newer.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "engine"
LIBRARY = sorted(ENGINE.glob("*.c"))
EXTENSION = sorted((ENGINE / "python").glob("*.c"))
CASES = sorted((ENGINE / "tests").glob("*.c"))
NAME = "mnistzip._engine"
STANDARD = ("-std=c11", "-ffp-contract=off", "-fPIC")  # the flags that change results, as in setup.py


class Build:
    """Objects of one compiler and one list of flags, in a folder.

    Args:
        linked: flags of linking; None for the same.
    """

    def __init__(self, folder: Path, flags: Sequence[str], compiler: str = "gcc", linked: Sequence[str] | None = None) -> None:
        self.folder, self._flags, self.compiler = folder, [*STANDARD, *flags], compiler
        self._linked = self._flags if linked is None else linked
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "flags"
        wanted = " ".join([compiler, *self._flags])
        if not kept.exists() or kept.read_text() != wanted:
            kept.write_text(wanted)
        newest = [kept, *ENGINE.rglob("*.h")]
        self._changed = max(path.stat().st_mtime for path in newest)

    def object_of(self, source: Path) -> Path:
        """The object of a source."""
        out = self.folder / f"{source.stem}.o"
        if not out.exists() or out.stat().st_mtime < max(self._changed, source.stat().st_mtime):
            self.compile(source, out)
        return out

    def compile(self, source: Path, out: Path) -> None:
        """Compile a source.

        Raises:
            subprocess.CalledProcessError: it does not compile.
        """
        include = [f"-I{ENGINE}", f"-I{sysconfig.get_path('include')}"]
        _run([self.compiler, *self._flags, *include, "-c", str(source), "-o", str(out)])

    def objects(self, sources: Iterable[Path]) -> list[Path]:
        """The objects of some sources."""
        return [self.object_of(source) for source in sources]

    def link(self, objects: Iterable[Path], out: Path, *flags: str) -> Path:
        """A program, or with ``-shared`` an extension."""
        _run([self.compiler, *self._linked, *flags, *map(str, objects), "-o", str(out)])
        return out

    def extension(self) -> Path:
        """The extension."""
        return self.link(self.objects([*LIBRARY, *EXTENSION]), self.folder / "_engine.so", "-shared")

    def cases(self) -> Path:
        """The program that runs the cases of ``tools/engine_cases.py``."""
        return self.link(self.objects([*LIBRARY, *CASES]), self.folder / "cases")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def install(extension: Path) -> ModuleType:
    """Import an extension, and let mnistzip find it in place of its own.

    Raises:
        RuntimeError: mnistzip has been imported, and with it another extension.
    """
    if any(name.partition(".")[0] == "mnistzip" for name in sys.modules):
        raise RuntimeError("mnistzip has been imported before its extension was chosen")
    spec = importlib.util.spec_from_file_location(NAME, extension)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--compiler", default="gcc")
    options, flags = parser.parse_known_args()
    try:
        print(Build(options.folder, flags or ["-O2"], options.compiler).extension())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)}\n{error.stderr}")


if __name__ == "__main__":
    main()
