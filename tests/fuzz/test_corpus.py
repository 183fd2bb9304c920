"""The inputs that fuzzing found to reach something: none of them may break a parser. ``tools/fuzz_parsers.py`` finds more."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

import fuzz_parsers as run
from support.paths import ROOT


@pytest.mark.parametrize(
    "target", [pytest.param(target, marks=pytest.mark.slow) if target == "archive" else target for target in run.TARGETS]
)
def test_no_input_of_the_corpus_breaks_a_parser(target: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow's word on headers that claim much
        assert run.replay(target, run.CORPUS / target) > 10


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheels for this Python or system")
@pytest.mark.parametrize("target", run.TARGETS)
def test_fuzzing_runs(target: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "tools" / "fuzz_worker.py"),
        "support.fuzz_targets",
        target,
        "-runs=40",
        "-seed=1",
        "-rss_limit_mb=8192",  # a process inherits the peak of the one that starts it
        f"-artifact_prefix={tmp_path}/",
    ]
    folders = [str(tmp_path), str(run.CORPUS / target)]  # the first gets new inputs
    done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"Done \d+ runs", done.stderr)
