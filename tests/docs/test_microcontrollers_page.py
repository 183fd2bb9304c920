"""The command and the programs of the page on microcontrollers."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from mnistzip.cli.main import run
from support.micro import HOST, SOURCES, WARNINGS
from support.paths import ROOT

PAGE = (ROOT / "docs" / "microcontrollers.md").read_text()


def test_the_command_prints_what_the_page_says_and_the_program_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command, output = re.search(r"```sh\n(mnistzip .*)\n```\n\nIt prints.*:\n\n```\n(.*?)```", PAGE, re.DOTALL).groups()
    assert run(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out == output
    if HOST.missing:
        pytest.skip(f"needs {HOST.missing}")
    (program,) = re.findall(r"```c\n(.*?)```", PAGE, re.DOTALL)
    radio = "mnz_status radio_send(const uint8_t *stream, size_t size);\n"
    Path("digit.c").write_text(program.replace("static uint64_t", f"{radio}static uint64_t", 1))
    folders = [f"-I{path}" for path in (".", ROOT / "engine", ROOT / "engine" / "micro")]
    subprocess.run([HOST.compiler, *WARNINGS, *folders, "-c", "digit.c", *SOURCES], check=True)
    assert {path.name for path in tmp_path.glob("*.o")} == {"digit.o", "micro.o", "rans.o", "tables.o"}


def test_the_command_for_a_cortex_m4_compiles_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```sh\n(arm-none-eabi-gcc .*?)```", PAGE, re.DOTALL)
    words = shlex.split(block.replace("\\\n", " "))
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs {words[0]}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "engine").symlink_to(ROOT / "engine")
    (tmp_path / "digit.c").write_text('#include "mnistzip_micro.h"\n')
    headers = f"-I{ROOT / 'engine' / 'tests' / 'micro'}"  # string.h, which the C library of a board would have
    subprocess.run([*words, headers], check=True)
    assert (tmp_path / "micro.o").exists()
