"""Check on every platform that this machine has or emulates that files and pixels are the same, and print a table.

    python tools/platforms.py [--quick] [--only TEXT]... [--list] [--folder runs/platforms] [--record]

The rows are the instructions of the native engine, the kernels of OpenBLAS, threads and batches, versions of Python and numpy,
free-threaded Python, sub-interpreters, the library in C with several compilers and on other processors that qemu runs, Debian's
Python on these processors, and WebAssembly. What runs is ``tools/sameness.py`` (all golden files, and digests of what each
model codes), ``tools/engine_everywhere.sh`` (cases of the library in C), and the tests of ``js/``.

A row whose programs are missing says how to install them. Exit code 1 if a row fails. ``--quick`` codes with one model of each
kind in place of all, which takes an hour less. ``--only`` selects rows whose name holds a text, and keeps the others of the
recorded table; ``--list`` prints the names.

Pythons are found in PATH and among the versions of pyenv. Where there is none for a version, and for other processors, Debian's
packages are unpacked into ``--folder`` and run from there; nothing is installed in the system.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mnistzip.engines.native_engine import extension
from reliability_table import Table, record_option

ROOT = Path(__file__).parents[1]
SAMENESS = ROOT / "tools" / "sameness.py"
QUICK = ("mnist-fast", "mnist-bitmap")  # models; the kind grey takes numpy minutes
CORES = ("Prescott", "Core2", "Nehalem", "Sandybridge", "Haswell", "Zen", "SkylakeX", "Cooperlake")  # of OpenBLAS
NEED_AVX512 = {"SkylakeX", "Cooperlake"}
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
FREE_THREADED = ("3.14t", "3.13t")
NUMPYS = ("numpy==2.0.*", "numpy==2.1.*", "numpy==2.2.*", "numpy==2.3.*", "numpy")  # the oldest that has wheels, and the newest
NOT_RUN, FAILED = ("not installed", "left out"), "FAILED"  # how results begin that are no success
THREADS = 16  # that code and decode at once
SUITES = {"3.13": "trixie", "3.14": "sid"}  # of Debian, by the version of Python
LIBRARY = {  # names of engine_everywhere.sh: the platform, and how to install what it needs
    "gcc": ("x86-64, gcc", "gcc"),
    "clang": ("x86-64, clang", "clang"),
    "musl": ("x86-64, musl", "musl-tools"),
    "aarch64": ("aarch64 under qemu", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"),
    "arm32": ("32-bit ARM under qemu", "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user"),
    "s390x": ("s390x (big-endian) under qemu", "gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user"),
}
EMULATED = {"aarch64": "arm64", "s390x": "s390x"}  # names of qemu: Debian's name

# Codes in a sub-interpreter, from Python 3.12 on with a lock of its own, and prints how that ended.
IN_SUBINTERPRETER = """
import sys
source = '''
import mnistzip, numpy
image = numpy.zeros((28, 28), numpy.uint8)
image[4:24, 12:16] = 255
assert (mnistzip.decode(mnistzip.encode(image, lossless=True)) == image).all()
assert mnistzip.decode(mnistzip.encode(image, quality=50)).shape == image.shape
'''
if sys.version_info >= (3, 13):
    import _interpreters
    failed = _interpreters.exec(_interpreters.create("isolated"), source)
    print(failed.formatted if failed else "works")
else:
    import _xxsubinterpreters
    try:
        _xxsubinterpreters.run_string(_xxsubinterpreters.create(isolated=True), source)
        print("works")
    except _xxsubinterpreters.RunFailedError as error:
        print(error)
"""


@dataclass(frozen=True)
class Result:
    """What a row says of its result, and whether it is a failure."""

    text: str
    failed: bool = False


@dataclass(frozen=True)
class Row:
    """A row of the table: a platform, what runs on it, and how."""

    platform: str
    runs: str
    run: Callable[[], Result]


class MissingError(Exception):
    """A program that a row needs is not installed; the message says how to install it."""


class UnreachableError(Exception):
    """Packages that a row needs cannot be fetched; the message names them."""


def missing(install: str) -> Result:
    """The result of a row that cannot run here."""
    return Result(f"{NOT_RUN[0]}: `{install}`")


def output_of(command: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command, from the root of the checkout and with one thread of numpy unless the environment says otherwise."""
    variables = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment
    return subprocess.run([*map(str, command)], cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def failure(done: subprocess.CompletedProcess[str]) -> Result:
    """The result of a command that failed: its last words, on one line."""
    words = " ".join((done.stdout + done.stderr).split())
    return Result(f"{FAILED}: {words[-300:]}".replace("|", "/"), failed=True)


class Platforms:
    """The rows, and what they share: a folder for packages, and how much to run."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self._folder, self._quick = folder, quick
        self._models = [word for model in QUICK for word in ("--model", model)] if quick else []
        self._coded = f"golden files, digest of {'2 models' if quick else 'all models'}"

    def rows(self) -> Iterator[Row]:
        """All rows."""
        yield from self._instructions()
        yield from self._openblas()
        yield from self._pythons()
        yield from self._threads()
        yield from self._subinterpreters()
        yield from self._library()
        yield from self._emulated()
        yield Row("WebAssembly, Node", "golden files, faults, fuzz corpus, bytes of Python", self._webassembly)

    def _sameness(self, python: Sequence[str | Path], engine: str, *options: str, **environment: str) -> Result:
        """Run sameness.py; the result is its first words and the engine that it says it used."""
        done = output_of([*python, SAMENESS, *self._models, *options], MNISTZIP_ENGINE=engine, **environment)
        if done.returncode or not done.stdout.startswith("same |"):
            return failure(done)
        where = done.stdout.split(" | ")[1]
        return Result(f"same ({where})")

    # ---- This Python ----

    def _instructions(self) -> Iterator[Row]:
        machine, here, native = platform.machine(), [sys.executable], extension()
        if native is None:
            yield Row(f"{machine}, native engine", self._coded, partial(missing, "pip install -e ."))
        for name in native.instructions() if native else ():
            run = partial(self._sameness, here, "native", "--instructions", name)
            yield Row(f"{machine}, native engine, {name}", self._coded, run)
        yield Row(f"{machine}, numpy", self._coded, partial(self._sameness, here, "numpy"))

    def _openblas(self) -> Iterator[Row]:
        flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        numpy = partial(self._sameness, [sys.executable], "numpy")
        for core in CORES:
            run = partial(numpy, "--core", core, OPENBLAS_CORETYPE=core)
            if core in NEED_AVX512 and "avx512f" not in flags:
                run = partial(Result, f"{NOT_RUN[1]}: the processor has no AVX-512")
            yield Row(f"numpy, OpenBLAS for {core}", self._coded, run)
        for threads in ("2", "4"):
            yield Row(f"numpy, {threads} threads of OpenBLAS", self._coded, partial(numpy, OPENBLAS_NUM_THREADS=threads))
        for batch in ("1", "7"):
            yield Row(f"numpy, batches of {batch}, backwards", self._coded, partial(numpy, "--batch", batch, "--reverse"))

    # ---- Versions of Python and numpy ----

    @cached_property
    def _wheel(self) -> Path:
        """The wheel with the extension, for all versions of Python."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("*.whl"):
            old.unlink()
        done = output_of(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", self._folder, ROOT], MNISTZIP_BUILD="require"
        )
        if done.returncode:
            raise RuntimeError(f"the wheel cannot be built: {done.stderr[-2000:]}")
        (wheel,) = self._folder.glob("*.whl")
        return wheel

    def _pythons(self) -> Iterator[Row]:
        for version in VERSIONS:
            for newest in (False, True):
                what = f"Python {version}, {'newest' if newest else 'oldest'} numpy"
                yield Row(what, f"{self._coded}, both engines", partial(self._with_numpy, version, newest))

    def _with_numpy(self, version: str, newest: bool) -> Result:
        python = find_python(version)
        if python is None:
            return self._debian_python(version) if newest else missing(f"pyenv install {version}")
        with TemporaryDirectory() as folder:
            inside = self._environment(python, Path(folder), NUMPYS[::-1] if newest else NUMPYS)
            return self._both_engines([inside])

    def _environment(self, python: Path, folder: Path, numpys: Sequence[str]) -> Path:
        """The Python of a new virtual environment with mnistzip and the first numpy that has wheels for it."""
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = folder / "bin" / "python"
        pip = [inside, "-m", "pip", "install", "-q", "--only-binary=:all:"]
        for numpy in numpys:
            if not (done := output_of([*pip, numpy, "pillow", "click", "rich"])).returncode:
                break
        else:
            raise RuntimeError(f"no numpy for {python}: {done.stderr[-2000:]}")
        built = self._wheel if not is_free_threaded(python) else ROOT  # there is no stable ABI without the lock
        done = output_of([*pip[:-1], "--no-deps", built], MNISTZIP_BUILD="require")
        if done.returncode:
            raise RuntimeError(f"mnistzip cannot be installed for {python}: {done.stderr[-2000:]}")
        return inside

    def _both_engines(self, python: Sequence[str | Path], *options: str, **environment: str) -> Result:
        results = [self._sameness(python, engine, *options, **environment) for engine in ("native", "numpy")]
        for result in results:
            if result.failed:
                return result
        return Result(f"{results[0].text.removesuffix(')')}, and numpy)")

    def _debian_python(self, version: str) -> Result:
        """Debian's Python for this processor, with the numpy of Debian."""
        command, environment, package = self._debian(platform.machine(), SUITES.get(version, ""), version)
        zipfile.ZipFile(self._wheel).extractall(package)
        return self._both_engines(command, **environment)

    def _threads(self) -> Iterator[Row]:
        for name in FREE_THREADED:
            what = f"Python {name} (free-threaded), {THREADS} threads"
            yield Row(what, f"{self._coded}, both engines, shared models", partial(self._free_threaded, name))
        for engine in ("native", "numpy"):
            run = partial(self._sameness, [sys.executable], engine, "--threads", str(THREADS))
            yield Row(f"Python with a global lock, {THREADS} threads, {engine}", f"{self._coded}, shared models", run)

    def _free_threaded(self, version: str) -> Result:
        python = find_python(version)
        if python is None:
            return missing(f"pyenv install {version}")
        with TemporaryDirectory() as folder:
            inside = self._environment(python, Path(folder), NUMPYS[::-1])
            done = output_of([inside, "-c", "import sys, mnistzip; mnistzip.engine(); print(sys._is_gil_enabled())"])
            if done.stdout.strip() != "False":  # a module that does not know free-threaded Python turns the lock on
                return failure(done)
            return self._both_engines([inside], "--threads", str(THREADS))

    def _subinterpreters(self) -> Iterator[Row]:
        for version in VERSIONS:
            yield Row(
                f"Python {version}, sub-interpreter", "encodes and decodes, or refuses", partial(self._subinterpreter, version)
            )

    def _subinterpreter(self, version: str) -> Result:
        python = find_python(version)
        if python is None:
            return missing(f"pyenv install {version}")
        with TemporaryDirectory() as folder:
            inside = self._environment(python, Path(folder), NUMPYS[::-1])
            done = output_of([inside, "-W", "default", "-c", IN_SUBINTERPRETER])
        said = (done.stdout + done.stderr).strip()
        if done.returncode == 0 and done.stdout.strip() == "works":
            warned = re.search(r"UserWarning: (.*)", done.stderr)
            return Result(f"works; numpy warns: {warned[1]}" if warned else "works")
        refused = re.search(r"module \S+ does not support loading in subinterpreters", said)
        if done.returncode == 0 and "ImportError" in said and refused:
            return Result(f"refuses: ImportError, {refused[0]}")
        return failure(done)

    # ---- The library in C, other processors, WebAssembly ----

    def _library(self) -> Iterator[Row]:
        for name, (what, packages) in LIBRARY.items():
            run = partial(self._engine_cases, name, packages)
            yield Row(f"library in C: {what}", "cases of the engine, changed models", run)

    def _engine_cases(self, name: str, packages: str) -> Result:
        done = output_of(
            ["bash", ROOT / "tools" / "engine_everywhere.sh", name], PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        )
        said = done.stdout.strip().removeprefix(name).strip()
        if said == "not installed":
            return missing(f"apt-get install {packages}")
        found = re.match(r"(\d+) of (\d+) passed", said)
        return Result(said.replace("|", "/")) if found and found[1] == found[2] and done.returncode == 0 else failure(done)

    def _emulated(self) -> Iterator[Row]:
        for machine in EMULATED:
            run = partial(self._emulated_python, machine)
            yield Row(f"{machine} under qemu, Debian's Python and numpy", f"{self._coded}, numpy", run)

    def _emulated_python(self, machine: str) -> Result:
        command, environment, package = self._debian(machine, SUITES["3.13"], "3.13")
        done = output_of(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", package, ROOT],
            MNISTZIP_BUILD="pure",
        )
        return failure(done) if done.returncode else self._sameness(command, "numpy", **environment)

    def _debian(self, machine: str, suite: str, version: str) -> tuple[list[str | Path], dict[str, str], Path]:
        """The command that runs Debian's Python for a processor, its environment, and the folder that it finds packages in.

        Raises:
            MissingError: debootstrap or qemu is not installed, or Debian has no such Python.
        """
        if not suite:
            raise MissingError(f"pyenv install {version}")
        native = machine == platform.machine()
        needed = ["debootstrap", *([] if native else [f"qemu-{machine}"])]
        if not all(map(shutil.which, needed)):
            raise MissingError("apt-get install debootstrap qemu-user")
        arch = EMULATED.get(machine, "amd64")
        root = (self._folder / f"debian-{suite}-{arch}").resolve()
        python = root / "usr" / "bin" / f"python{version}"
        if not python.exists():
            unpack_debian(root, suite, arch)
        (libraries,) = root.glob("usr/lib/*-linux-gnu*")
        blas = [f"{libraries}/{name}" for name in ("blas", "lapack")]  # Debian's scripts would make links to these
        package = root / "mnistzip"
        package.mkdir(exist_ok=True)
        environment = {"PYTHONPATH": f"{package}:{root}/usr/lib/python3/dist-packages"}
        if native:
            (loader,) = libraries.glob("ld-linux-*.so.*")
            folders = ":".join([*blas, str(libraries)])
            return [loader, "--library-path", folders, python], environment | {"PYTHONHOME": f"{root}/usr"}, package
        within = ":".join(f"/{Path(folder).relative_to(root)}" for folder in blas)
        return [f"qemu-{machine}", "-L", root, "-E", f"LD_LIBRARY_PATH={within}", python], environment, package

    def _webassembly(self) -> Result:
        if shutil.which("node") is None:
            return missing("apt-get install nodejs")
        test = "tests/js/test_js.py::test_the_tests_of_node_pass"
        done = output_of([sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "", test])
        if done.returncode or "1 passed" not in done.stdout:
            return failure(done)
        node = output_of(["node", "--version"]).stdout.strip()
        return Result(f"same (Node {node})")


def find_python(version: str) -> Path | None:
    """The Python of a version such as ``3.12`` or ``3.14t``, in PATH or of pyenv."""
    free = version.endswith("t")
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(path for path in versions.glob(f"{version.rstrip('t')}.*") if path.name.endswith("t") == free)
    for path in (shutil.which(f"python{version}"), *(folder / "bin" / f"python{version}" for folder in reversed(kept))):
        if path is not None and Path(path).exists() and output_of([path, "-c", "import ensurepip"]).returncode == 0:
            return Path(path)
    return None


def is_free_threaded(python: Path) -> bool:
    """Whether a Python has no global lock."""
    code = "import sysconfig; print(sysconfig.get_config_var('Py_GIL_DISABLED'))"
    return output_of([python, "-c", code]).stdout.strip() == "1"


def unpack_debian(root: Path, suite: str, arch: str) -> None:
    """Unpack Debian's Python with what mnistzip needs into a folder, for a processor, without running anything of it."""
    packages = "python3,python3-numpy,python3-pil,python3-click,python3-rich"
    command = ["debootstrap", "--foreign", f"--arch={arch}", "--variant=minbase", f"--include={packages}", suite, root]
    done = output_of([*command, *filter(None, [os.environ.get("MIRROR")])])
    if done.returncode:
        shutil.rmtree(root, ignore_errors=True)
        raise UnreachableError(f"Debian's packages of {suite} for {arch}")
    for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)


def tried(row: Row) -> Result:
    """The result of a row; what goes wrong around it is a failure as well."""
    try:
        return row.run()
    except MissingError as error:
        return missing(str(error))
    except UnreachableError as error:
        return Result(f"{NOT_RUN[1]}: {error} could not be fetched")
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        return Result(f"{FAILED}: {' '.join(str(error).split())[-300:]}".replace("|", "/"), failed=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Check on every platform of this machine that files and pixels are the same.")
    parser.add_argument("--quick", action="store_true", help="code with two models in place of all")
    parser.add_argument("--only", action="append", metavar="TEXT", help="rows whose platform holds a text")
    parser.add_argument("--list", action="store_true", help="print the platforms, and run nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "platforms", help="for wheels and Debian's packages")
    record_option(parser)
    options = parser.parse_args()
    rows = [row for row in Platforms(options.folder, options.quick).rows() if not options.only or selected(row, options.only)]
    if options.list:
        print("\n".join(row.platform for row in rows))
        return
    table = Table("platforms", "platform", "what ran", "result")
    failed = 0
    for row in rows:
        result = tried(row)
        failed += result.failed
        table.add(row.platform, row.runs, result.text)
    if options.record:
        keep(table.complete() if options.only else table)
    sys.exit(bool(failed) or not rows)


def keep(table: Table) -> None:
    """Keep the table; its result counts the platforms that ran."""
    ran = [result for *_, result in table.rows if not result.startswith(NOT_RUN)]
    failed = sum(result.startswith(FAILED) for result in ran)
    table.keep(f"{len(ran)} of {len(table.rows)} platforms run, {failed or 'none'} with a difference")


def selected(row: Row, texts: Sequence[str]) -> bool:
    """Whether a platform's name holds one of some texts."""
    return any(text.lower() in row.platform.lower() for text in texts)


if __name__ == "__main__":
    main()
