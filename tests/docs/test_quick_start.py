"""The quick start runs in a checkout as it stands, and prints what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from mnistzip.cli.main import run
from support.paths import ROOT

PAGE = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")
OF_ZLIB = re.compile(r"\d+ as PNG|[\d.]+x PNG")  # the size of a PNG depends on the build of zlib


def test_the_commands_and_the_python_code_of_the_quick_start_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("tests/data", "demo/samples"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    compared = 0
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        if language == "sh":
            for words in map(shlex.split, block.splitlines()):
                if words[0] == "mnistzip":
                    assert run(words[1:]) == 0, words
                elif words[0] == "mkdir":
                    (tmp_path / words[-1]).mkdir()
        elif language == "text":
            printed = [line.rstrip() for line in OF_ZLIB.sub("", capsys.readouterr().out).splitlines()]
            assert [line for line in printed if line] == [line for line in OF_ZLIB.sub("", block).splitlines() if line]
            compared += 1
        elif language == "python":
            exec(block, {})
            assert capsys.readouterr().out.splitlines() == re.findall(r"^ *print\(.*\)  # (.*)$", block, re.MULTILINE)
            compared += 1
    assert compared == 5
