"""The inputs that fuzzing of both engines found to reach something. ``tools/fuzz_engines.py`` finds more."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

import fuzz_engines as run
from engine_build import Build
from support.engines import EXTENSION, needs_extension
from support.paths import ROOT

SEEDS = 30

pytestmark = needs_extension


@pytest.mark.parametrize("target", run.TARGETS)
def test_engines_agree_on_the_corpus(target: str) -> None:
    from support.c_library import is_visible
    from support.engine_targets import TARGETS

    assert EXTENSION is not None
    if target == "library" and not is_visible(EXTENSION.__file__ or ""):
        pytest.skip("an installed extension shows no functions of the library: a slow test builds one that does")
    inputs = [path.read_bytes() for path in sorted((run.CORPUS / target).iterdir())]
    assert inputs
    for data in [*inputs, *islice(run.seeds(target), 0, None, SEEDS)]:
        TARGETS[target](data)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_the_library_agrees_with_python(tmp_path: Path) -> None:
    extension = Build(tmp_path, ["-O1"]).extension()
    tests = [f"{__file__}::test_engines_agree_on_the_corpus[library]", str(ROOT / "tests" / "engine" / "test_whole_files.py")]
    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
import engine_build
from pathlib import Path
engine_build.install(Path({str(extension)!r}))
import pytest
sys.exit(pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", "--rootdir", {str(ROOT)!r}, *{tests!r}]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "2 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheels for this Python or system")
def test_fuzzing_of_engines_runs(tmp_path: Path) -> None:
    """Without sanitizers, which take minutes to build."""
    worker = [sys.executable, str(ROOT / "tools" / "fuzz_worker.py"), run.MODULE, "stream"]
    options = ["-runs=40", "-seed=1", "-rss_limit_mb=8192", f"-artifact_prefix={tmp_path}/", str(run.CORPUS / "stream")]
    done = subprocess.run([*worker, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"Done \d+ runs", done.stderr)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in run.CORPUS.rglob("*") if path.is_file()) < 1 << 20
    assert {path.name for path in run.CORPUS.iterdir()} == set(run.TARGETS)
    assert run.CORPUS.is_relative_to(ROOT)
