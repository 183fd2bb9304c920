"""Arrays of a caller between pages that nothing may read or write: no case and no damaged model reaches beyond them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import engine_cases
from engine_build import ENGINE, Build

MODELS = ["own", "mnist-fast", "random-grey", "random-bitmap"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that runs cases, and next to it their file."""
    folder = tmp_path_factory.mktemp("guarded")
    assert engine_cases.write(folder / "cases.bin", MODELS, sys.byteorder, 1) > 1000
    return Build(folder, ["-O1"]).cases()


@pytest.mark.parametrize("place", ["end", "start"])
def test_the_library_stays_within_the_arrays_of_its_caller(program: Path, place: str) -> None:
    command = [str(program), str(program.with_name("cases.bin")), "100", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    passed, _, cases = done.stdout.partition(" passed")[0].rpartition("\n")[2].partition(" of ")
    assert passed == cases


def test_an_access_beyond_an_array_ends_the_program(program: Path) -> None:
    source = (ENGINE / "headers.c").read_text()
    check = "if (size < 3) return MNZ_ERROR_DAMAGED;"
    assert source.count(check) == 1
    changed = program.with_name("headers.c")
    changed.write_text(source.replace(check, ""))
    build = Build(program.parent, ["-O1"])
    build.compile(changed, program.with_name("headers.o"))
    done = subprocess.run(
        [str(build.cases()), str(program.with_name("cases.bin")), "0", "end"], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGSEGV
