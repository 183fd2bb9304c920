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
UNDEFINED = ["-fsanitize=undefined", "-fsanitize-trap=undefined"]  # which needs no library of clang

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
@pytest.mark.parametrize(("compiler", "flags"), [("gcc", []), ("clang", UNDEFINED)], ids=["gcc", "undefined behaviour"])
def test_engines_agree_as_built_for_fuzzing(compiler: str, flags: list[str], tmp_path: Path) -> None:
    """The extension shows the functions of the library; undefined behaviour ends the process."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    extension = Build(tmp_path, ["-O1", *flags], compiler, linked=()).extension()
    tests = [f"{__file__}::test_engines_agree_on_the_corpus", str(ROOT / "tests" / "engine" / "test_whole_files.py")]
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
    assert f"{len(run.TARGETS) + 1} passed" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheels for this Python or system")
def test_fuzzing_of_engines_runs(tmp_path: Path) -> None:
    """Without sanitizers, which take minutes to build."""
    worker = [sys.executable, str(ROOT / "tools" / "fuzz_worker.py"), run.MODULE, "stream"]
    options = ["-runs=40", "-seed=1", "-rss_limit_mb=8192", f"-artifact_prefix={tmp_path}/"]
    folders = [str(tmp_path), str(run.CORPUS / "stream")]  # the first gets new inputs
    done = subprocess.run([*worker, *options, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"Done \d+ runs", done.stderr)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in run.CORPUS.rglob("*") if path.is_file()) < 1 << 20
    assert {path.name for path in run.CORPUS.iterdir()} == set(run.TARGETS)
    assert run.CORPUS.is_relative_to(ROOT)
