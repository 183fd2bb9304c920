"""Build the extension ``mnistzip._engine`` from ``engine/``; pyproject.toml says everything else about the package.

The extension is optional: where it cannot be built, mnistzip is installed without it, and the output says why. With it come
the shipped models as it loads them (``pretrained/NAME.prepared``), made by mnistzip itself. Where they cannot be made, mnistzip
starts slower.

MNISTZIP_BUILD=pure leaves the extension out.
MNISTZIP_BUILD=require makes it an error if the extension cannot be built.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import sysconfig
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CCompilerError, ExecError, PlatformError

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))  # free-threaded Python before 3.15 has no stable ABI
CANNOT_BUILD = (CCompilerError, ExecError, PlatformError, OSError)
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"]
FLAGS += ["-Wall", "-Wextra", "-Werror=implicit-function-declaration"]  # such a function may be missing in the stable ABI
FLAGS += ["-g0"]  # Python's own flags may ask for debug symbols, which would multiply the size of the wheel
MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise"]


class BuildFailedError(Exception):
    """The extension cannot be built; the message is the reason."""


class BuildPackages(build_py):
    """Copy the packages. Of js/, which holds an npm package and the script that builds it, only data files belong to ours."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """The modules of a package."""
        return [] if package == "mnistzip.js" else super().find_package_modules(package, package_dir)


class BuildEngine(build_ext):
    """Build the extension with the flags of the compiler in use."""

    def run(self) -> None:
        """Build the extension, or raise BuildFailedError."""
        try:
            super().run()
        except CANNOT_BUILD as error:
            raise BuildFailedError(str(error)) from error
        try:
            store_models(Path(self.get_ext_fullpath("mnistzip.pretrained.models")).parent)
        except Exception as error:  # mnistzip works without them
            print(f"warning: the prepared models cannot be made: {error}", file=sys.stderr)

    def build_extensions(self) -> None:
        """Compile and link, with the flags that this compiler understands."""
        for extension in self.extensions:
            extension.extra_compile_args = MSVC_FLAGS if self.compiler.compiler_type == "msvc" else FLAGS
        super().build_extensions()


def store_models(folder: Path) -> None:
    """Store the prepared models of the package in a folder, by the code next to this file."""
    for name, package in {"mnistzip": "codec", "mnistzip.pretrained": "pretrained"}.items():
        path = Path(__file__).resolve().with_name(package)
        spec = importlib.util.spec_from_file_location(name, path / "__init__.py", submodule_search_locations=[str(path)])
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    from mnistzip.models import prepared

    prepared.store_shipped(folder)


def engine() -> Extension:
    """Describe the extension."""
    return Extension(
        "mnistzip._engine",
        sources=sorted(glob("engine/*.c") + glob("engine/python/*.c")),
        depends=["setup.py", *sorted(glob("engine/**/*.h", recursive=True))],
        include_dirs=["engine"],
        define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", "0x030B0000")],
        py_limited_api=not FREE_THREADED,
    )


def setup_with_engine() -> None:
    """Run the command of the build frontend with the extension, or raise BuildFailedError."""
    if platform.python_implementation() != "CPython":
        raise BuildFailedError("the extension is for CPython only")
    options = {} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}}
    setup(ext_modules=[engine()], cmdclass={"build_ext": BuildEngine, "build_py": BuildPackages}, options=options)


def main() -> None:
    """Run the command of the build frontend, as MNISTZIP_BUILD says."""
    mode = os.environ.get("MNISTZIP_BUILD", "")
    if mode not in ("", "pure", "require"):
        sys.exit(f"error: MNISTZIP_BUILD is {mode!r}: set it to pure or require, or not at all")
    if mode == "pure":
        setup(cmdclass={"build_py": BuildPackages})
        return
    try:
        setup_with_engine()
    except BuildFailedError as error:
        if mode == "require":
            sys.exit(f"error: mnistzip._engine cannot be built: {error}")
        print(f"warning: mnistzip._engine cannot be built: {error}", file=sys.stderr)
        print("warning: mnistzip is installed without it and computes with numpy, which is slower", file=sys.stderr, flush=True)
        # The tag of a wheel depends on whether the package has an extension, and setuptools keeps state of this attempt:
        # a new process runs the command again.
        command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
        subprocess.run(command, env=os.environ | {"MNISTZIP_BUILD": "pure"}, check=True)


main()
