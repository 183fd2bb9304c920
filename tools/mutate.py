"""Change the code at random places and check that the tests notice: mutation testing with the operators of cosmic-ray.

    pip install cosmic-ray
    OPENBLAS_NUM_THREADS=1 python tools/mutate.py --sample 100 --out runs/mutants    # of each module; continues an earlier run

Every mutant is tried in a fork that imports it instead of its module and runs the tests of that module until one fails.
Those that no test notices are printed as diffs, and named in ``--out``. Annotations and texts are not changed. The exit code
is 1 if fewer than 85% were noticed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from reliability_table import Table, record_option

ROOT = Path(__file__).parents[1]
CODEC = ROOT / "codec"
ARCHIVES = ["conformance/test_vectors", "archive/test_archive", "unit/test_limits", "archive/test_archive_machine"]
TESTS = {
    "bitstream.container": ["unit/test_container", "conformance/test_vectors", "unit/test_limits", "unit/test_api"],
    "entropy.rans": ["unit/test_rans", "conformance/test_vectors", "unit/test_api"],
    "nn.layers": [
        "unit/test_layers",
        "conformance/test_vectors",
        "unit/test_limits",
        "unit/test_registry",
        "unit/test_backward",
    ],
    "archive.reader": ARCHIVES,
    "archive.group_reader": [*ARCHIVES, "unit/test_latents"],
}
ENOUGH = 0.85
SKIPPED = {"core/VariableReplacer", "core/VariableInserter"}  # they insert numbers anywhere, mostly where no code runs
PATIENCE = 2  # a mutant hangs if its tests take this many times their usual duration


class Mutant(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that imports a module from other source."""

    def __init__(self, module: str, source: str) -> None:
        self._name, self._source = f"mnistzip.{module}", source

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, f"mutant of {self._name}", "exec"), module.__dict__)


def _path(module: str) -> Path:
    """The source of a module."""
    return CODEC.joinpath(*module.split(".")).with_suffix(".py")


def mutants(module: str) -> Iterator[tuple[str, int, str]]:
    """All mutants of a module: operator, occurrence, source."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    source = _path(module).read_text()
    same = _bare(source)
    for name in sorted(set(operator_names()) - SKIPPED):
        for occurrence in range(1 << 20):
            mutated = mutate_code(source, get_operator(name)(), occurrence)
            if mutated is None:
                break
            try:
                changed = _bare(mutated) != same
            except SyntaxError:
                continue
            if changed:
                yield name, occurrence, mutated


def _bare(source: str) -> str:
    """The code without annotations and texts of errors, which tests do not check."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.JoinedStr):
            node.values = []
    return ast.dump(tree)


def tried(module: str, source: str, limit: float) -> str:
    """Run a module's tests on other source of it: ``noticed``, ``hangs`` or ``survives``."""
    process = os.fork()
    if not process:
        os.setpgid(0, 0)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        import pytest

        sys.meta_path.insert(0, Mutant(module, source))
        files = [str(ROOT / "tests" / f"{name}.py") for name in TESTS[module]]
        code = 1
        try:
            code = pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *files])  # in this process, not in others
        finally:
            os._exit(int(code != 0))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return "noticed" if status else "survives"
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "hangs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", default=list(TESTS), help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, default=100, help="mutants of each module; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/mutants"))
    record_option(parser)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for heavy in ("numpy", "PIL.Image", "pytest"):
        importlib.import_module(heavy)
    table = Table("mutants", "module", "mutants", "tried", "noticed", "hang", "survive", "score")
    worst = 1.0
    for module in options.modules:
        every = sorted(mutants(module))
        chosen = every if not options.sample else random.Random(options.seed).sample(every, min(options.sample, len(every)))
        start = time.monotonic()
        source = _path(module).read_text()
        if (found := tried(module, source, 3600)) != "survives":
            raise SystemExit(f"the tests of {module} fail without any change: {found}")
        limit = PATIENCE * (time.monotonic() - start) + 10
        if tried(module, "raise AssertionError", limit) != "noticed":
            raise SystemExit(f"the tests of {module} do not run on the mutants of it")
        kept = options.out / f"{module}.json"
        known: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
        for name, occurrence, mutated in chosen:
            key = f"{name} {occurrence}"
            if key not in known:
                known[key] = tried(module, mutated, limit)
                kept.write_text(json.dumps(known, indent=1))
            if known[key] == "survives":
                lines = difflib.unified_diff(source.splitlines(), mutated.splitlines(), key, "", n=0, lineterm="")
                print("\n".join(lines), file=sys.stderr, flush=True)
        tally = [sum(known[f"{name} {n}"] == what for name, n, _ in chosen) for what in ("noticed", "hangs", "survives")]
        score = 1 - tally[2] / len(chosen)
        worst = min(worst, score)
        table.add(f"`{module}`", len(every), len(chosen), *tally, f"{score:.0%}")
    if options.record:
        table.keep(f"at least {worst:.0%} of the mutants of each module are noticed")
    return int(worst < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
