"""Wheels contain the extension where it can be built, and mnistzip can be installed where it cannot."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from support.paths import ROOT

pytestmark = pytest.mark.slow  # each test builds a wheel

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
COMPILER = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cl").split()[0]
MAX_ENGINE = 500_000  # bytes


def no_build() -> str:
    """Why the extension cannot be built here; empty if it can be."""
    if platform.python_implementation() != "CPython":
        return "the extension is for CPython only"
    if shutil.which(COMPILER) is None:
        return f"no C compiler: {COMPILER}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no headers of Python"
    return ""


needs_compiler = pytest.mark.skipif(bool(no_build()), reason=no_build())
needs_cc = pytest.mark.skipif(sys.platform == "win32", reason="Windows compilers are not chosen by CC")


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of Python, with standard output and error output together."""
    env = {name: value for name, value in os.environ.items() if name not in ("MNISTZIP_BUILD", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=env | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def copy_of_source(folder: Path) -> Path:
    """A copy of the files that make the package, without what was built from them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in ("engine", *project["tool"]["setuptools"]["package-dir"].values()):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.prepared"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def call_backend(hook: str, source: Path, out: Path, **environment: str) -> Path:
    """The file that a hook of the build backend (PEP 517) makes of a source tree."""
    out.mkdir()
    code = f"import sys, setuptools.build_meta as backend; backend.{hook}(sys.argv[1])"
    build = run("-c", code, out, cwd=source, environment=environment)
    assert build.returncode == 0, build.stdout
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution. Without the extension in setup(), only MANIFEST.in brings engine/ into it."""
    folder = tmp_path_factory.mktemp("sdist")
    return call_backend("build_sdist", copy_of_source(folder / "source"), folder / "out", MNISTZIP_BUILD="pure")


def pip_wheel(sdist: Path, out: Path, **environment: str) -> tuple[list[Path], str]:
    """The wheels that pip builds from a source distribution, offline, and the output."""
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-v")
    out.mkdir()
    build = run("-m", "pip", "wheel", *options, "-w", out, sdist, cwd=out, environment=environment)
    wheels = [*out.glob("*.whl")]
    assert (build.returncode == 0) == bool(wheels), build.stdout
    return wheels, build.stdout


def extensions(wheel: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(wheel) as archive:
        return [entry for entry in archive.infolist() if entry.filename.endswith((".so", ".pyd"))]


def import_engine(wheel: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Import the extension from an installed wheel, in a Python that sees no other packages."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    code = (
        "import site, sys; site.addsitedir(sys.argv[1]); from mnistzip import _engine; print(_engine.__file__, _engine.abi())"
    )
    return run("-I", "-S", "-c", code, folder, cwd=folder)


@needs_compiler
def test_a_wheel_contains_the_extension_for_all_later_versions_of_python(sdist: Path, tmp_path: Path) -> None:
    (wheel,), output = pip_wheel(sdist, tmp_path / "wheel", MNISTZIP_BUILD="require")
    (extension,) = extensions(wheel)
    if FREE_THREADED:
        version = f"cp{sys.version_info.major}{sys.version_info.minor}"
        assert f"-{version}-{version}t-" in wheel.name
    else:
        assert "-cp311-abi3-" in wheel.name
        assert extension.filename == "mnistzip/_engine." + ("pyd" if sys.platform == "win32" else "abi3.so")
    assert extension.file_size <= MAX_ENGINE
    assert "cannot be built" not in output
    imported = import_engine(wheel, tmp_path / "installed")
    assert imported.returncode == 0, imported.stdout
    assert imported.stdout.startswith(str(tmp_path / "installed" / "mnistzip"))


@needs_cc
@pytest.mark.parametrize("compiler", ["false", "/no/such/compiler"])
def test_without_a_compiler_mnistzip_installs_and_the_output_says_what_is_missing(
    compiler: str, sdist: Path, tmp_path: Path
) -> None:
    (wheel,), output = pip_wheel(sdist, tmp_path / "wheel", CC=compiler)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not extensions(wheel)
    assert "mnistzip._engine cannot be built: " in output
    assert "cannot import name '_engine' from 'mnistzip'" in import_engine(wheel, tmp_path / "installed").stdout


def test_a_pure_wheel_can_be_asked_for(sdist: Path, tmp_path: Path) -> None:
    (wheel,), output = pip_wheel(sdist, tmp_path / "wheel", MNISTZIP_BUILD="pure")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not extensions(wheel)
    assert "cannot be built" not in output
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    package = tmp_path / "installed" / "mnistzip"
    assert {path.name for path in package.glob("js/*")} == {"lib", "mnistzip.js", "mnistzip.wasm"}
    code = "import sys; sys.path.insert(0, sys.argv[1]); from mnistzip.demo import page;"
    code += "print(page.__file__, len(page.write_page([])))"
    written = run("-c", code, package.parent, cwd=tmp_path)
    path, size = written.stdout.split()
    assert Path(path).is_relative_to(package)
    assert int(size) > 200_000


@needs_cc
def test_a_release_never_lacks_the_extension(sdist: Path, tmp_path: Path) -> None:
    wheels, output = pip_wheel(sdist, tmp_path / "wheel", MNISTZIP_BUILD="require", CC="false")
    assert not wheels
    assert "error: mnistzip._engine cannot be built: " in output


def test_an_unknown_way_to_build_is_refused(sdist: Path, tmp_path: Path) -> None:
    wheels, output = pip_wheel(sdist, tmp_path / "wheel", MNISTZIP_BUILD="fast")
    assert not wheels
    assert "error: MNISTZIP_BUILD is 'fast'" in output


@needs_compiler
def test_an_editable_install_finds_the_extension_in_the_source_tree(tmp_path: Path) -> None:
    source = copy_of_source(tmp_path / "source")
    wheel = call_backend("build_editable", source, tmp_path / "wheel", MNISTZIP_BUILD="require")
    imported = import_engine(wheel, tmp_path / "installed")
    assert imported.returncode == 0, imported.stdout
    assert imported.stdout.startswith(str(source / "codec"))


@needs_cc
def test_an_editable_install_works_without_a_compiler(tmp_path: Path) -> None:
    source = copy_of_source(tmp_path / "source")
    wheel = call_backend("build_editable", source, tmp_path / "wheel", CC="false")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "cannot import name '_engine' from 'mnistzip'" in import_engine(wheel, tmp_path / "installed").stdout
