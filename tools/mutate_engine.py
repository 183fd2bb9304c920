"""Change the library in C at random places and check that its tests notice: mutation testing of the native engine.

    python tools/mutate_engine.py --sample 20 --out runs/engine-mutants [FILE...]     # of each file; continues an earlier run

Operators change tokens: comparisons, arithmetic, shifts, constants by 1, conditions (negated) and statements (left out). Each
mutant is compiled in ``--out``, and nothing in the checkout changes. ``engine/tests`` runs it on cases of
``tools/engine_cases.py``, between protected pages; what survives is built into the extension, for tests in ``tests/engine``.
Mutants that do not compile, or whose object is the same at ``-O2``, do not count. Survivors are printed as diffs. The exit code
is 1 if fewer than 85% were noticed. Seconds are those of a processor.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import engine_cases
from engine_build import CASES, ENGINE, EXTENSION, LIBRARY, ROOT, Build
from reliability_table import Table, record_option

FILES = (
    "rans.c",
    "files.c",
    "headers.c",
    "reader.c",
    "prior.c",
    "tables.c",
    "bitmap_files.c",
    "grey_files.c",
    "kernels_body.h",
)
KINDS_OF_KERNELS = ("kernels_scalar.c", "kernels_avx2.c")  # that are compiled with a changed kernels_body.h
# Of what cases cannot see: all numbers of tables, models that must not load, large files, and kernels that only searches use.
TESTS = ("test_tables.py", "test_damage.py", "test_whole_files.py", "test_equality.py")
ENOUGH = 0.85
PATIENCE = 4  # a mutant hangs if its tests take this many times their usual time
CHANGED_MODELS = 20
OTHERS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",),
    "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("/",), "<<": (">>",), ">>": ("<<",), "&": ("|",), "|": ("&",),
    "^": ("|",), "&&": ("||",), "||": ("&&",), "+=": ("-=",), "-=": ("+=",), "<<=": (">>=",), ">>=": ("<<=",),
    "|=": ("&=",), "&=": ("|=",), "++": ("--",), "--": ("++",),
}  # fmt: skip
UNARY = {"++", "--"}
TOKEN = re.compile(
    r"""(?P<skip>/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|^[ \t]*\#(?:\\\n|[^\n])*)
    |(?P<number>\b(?:0[xX][0-9a-fA-F]+|\d+)(?P<suffix>[uUlL]*)\b(?!\.))|(?P<word>[A-Za-z_]\w*)
    |(?P<operator><<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|->|[-+*/%&|^]=|[-+*/%<>=!&|^])""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
STATEMENT = re.compile(
    r"^[ \t]+((?:\*?[A-Za-z_][\w.\[\]>*-]*(?:\([^\n]*\)| [-+*|&^<>]*= [^\n]*|\+\+|--))|break|continue);", re.MULTILINE
)


@dataclass(frozen=True)
class Mutant:
    """A change of a file: the bytes from ``start`` to ``end`` become ``text``."""

    file: str
    start: int
    end: int
    text: str

    @property
    def key(self) -> str:
        return f"{self.start}-{self.end} {self.text}"

    def applied(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """All mutants of a source."""
    for token in TOKEN.finditer(source):
        start, end = token.span()
        if token["number"]:
            value = int(token["number"].removesuffix(token["suffix"]), 0)
            for other in (value + 1, value - 1)[: 1 + (value > 0)]:
                yield Mutant(file, start, end, f"{other}{token['suffix']}")
        elif token["operator"] in OTHERS:
            spaced = source[start - 1] in " \n" and source[end] in " \n"  # others are signs and pointers
            for text in OTHERS[token["operator"]] if spaced or token["operator"] in UNARY else ():
                yield Mutant(file, start, end, text)
        elif token["word"] in ("if", "while") and source.startswith(" (", end):
            stop = _closing(source, end + 1)
            yield Mutant(file, end + 1, stop + 1, f"(!{source[end + 1 : stop + 1]})")
    for statement in STATEMENT.finditer(source):
        yield Mutant(file, *statement.span(1), "")


def _closing(source: str, opening: int) -> int:
    """Where the bracket closes that opens at a place."""
    depth = 0
    for at in range(opening, len(source)):
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        if not depth:
            return at
    raise ValueError("a bracket does not close")


def write_cases(path: Path) -> None:
    """A few cases of everything but the searches for tiles, which take the longest."""
    out, picks = engine_cases.Writer(path, sys.byteorder), np.random.default_rng(2)

    def begin(name: str) -> engine_cases.Model:
        model = engine_cases.find(name)
        out.case(engine_cases.MODEL, model.has_pixel_model, arrays=(engine_cases.prepare(name, sys.byteorder),))
        return model

    model, (x, inside) = begin("own"), engine_cases.tiles(2)
    first = engine_cases.NUMPY.first_latents(model, x, inside, np.full(len(x), 60))
    engine_cases.latent_stream_cases(out, model, np.resize(first, (max(engine_cases.TILES_OF_STREAMS), 196)), picks)
    engine_cases.file_cases(out, model, picks)
    engine_cases.header_cases(out, picks)
    engine_cases.interval_cases(out, picks)
    model = begin("mnist-fast")
    engine_cases.pixel_cases(out, model, *engine_cases.tiles(3), picks)
    engine_cases.file_cases(out, model, picks)
    engine_cases.latent_stream_cases(out, begin("own-wide"), np.resize(first, (max(engine_cases.TILES_OF_STREAMS), 196)), picks)
    model = begin("random-grey")
    engine_cases.grey_cases(out, model, picks)
    engine_cases.grey_pixel_cases(out, model, picks)
    engine_cases.file_cases(out, model, picks)
    for name in ("random-bitmap", "mnist-bitmap"):
        model = begin(name)
        engine_cases.bitmap_model_cases(out, model, picks)
        engine_cases.file_cases(out, model, picks)
    out.close()


class Trial:
    """Builds mutants and runs the tests on them.

    Args:
        folder: of what it builds.
    """

    def __init__(self, folder: Path) -> None:
        self._fast = Build(folder / "O1", ["-O1"])
        self._optimized = Build(folder / "O2", ["-O2"])
        self._changed = folder / "changed"
        self._changed.mkdir(parents=True, exist_ok=True)
        self._cases = folder / "cases.bin"
        if not self._cases.exists():
            write_cases(self._cases)
        self._objects = {path.name: self._fast.object_of(path) for path in (*LIBRARY, *CASES, *EXTENSION)}
        self._limits: dict[str, float] = {}
        for found in (self._by_cases(self._objects), self._by_tests(self._objects)):
            if found != "survives":
                raise SystemExit("the tests fail without any change")

    def tried(self, mutant: Mutant) -> str:
        """``no program``, ``same``, ``noticed``, ``hangs`` or ``survives``."""
        source = (ENGINE / mutant.file).read_text()
        (self._changed / mutant.file).write_text(mutant.applied(source))
        compiled = KINDS_OF_KERNELS if mutant.file.endswith(".h") else (mutant.file,)
        try:
            objects = self._objects | {name: self._compile(self._fast, name) for name in compiled}
            found = self._by_cases(objects)
            if found == "survives" and all(self._is_same(name) for name in compiled):
                return "same"
        except subprocess.CalledProcessError:
            return "no program"
        finally:
            (self._changed / mutant.file).unlink()
        return self._by_tests(objects) if found == "survives" else found

    def _is_same(self, name: str) -> bool:
        """Whether an optimized object is that of the unchanged source."""
        changed, unchanged = self._compile(self._optimized, name), self._optimized.object_of(ENGINE / name)
        return changed.read_bytes() == unchanged.read_bytes()

    def _compile(self, build: Build, name: str) -> Path:
        """The object of a changed source, or of a source that includes a changed header."""
        source, out = self._changed / name, self._changed / f"{build.folder.name}-{name}.o"
        if not source.exists():
            source.write_text((ENGINE / name).read_text())
        build.compile(source, out)
        return out

    def _by_cases(self, objects: dict[str, Path]) -> str:
        """What the cases say of a program."""
        extension = {path.name for path in EXTENSION}
        program = [path for name, path in objects.items() if name not in extension]
        self._fast.link(program, self._changed / "cases")
        return self._watch("cases", [str(self._changed / "cases"), str(self._cases), str(CHANGED_MODELS), "end"])

    def _by_tests(self, objects: dict[str, Path]) -> str:
        """What the tests in Python say of an extension."""
        tests = {path.name for path in CASES}
        extension = [path for name, path in objects.items() if name not in tests]
        self._fast.link(extension, self._changed / "_engine.so", "-shared")
        files = [str(ROOT / "tests" / "engine" / name) for name in TESTS]
        script = (
            f"import sys; sys.path[:0] = [{str(HERE)!r}]\nfrom pathlib import Path\nimport engine_build\n"
            f"engine_build.install(Path({str(self._changed.resolve() / '_engine.so')!r}))\nimport pytest\n"
            f"sys.exit(pytest.main(['-x', '-q', '-n', '0', '-p', 'no:cacheprovider', '--rootdir', {str(ROOT)!r}, *{files!r}]))"
        )
        return self._watch("tests", [sys.executable, "-c", script])

    def _watch(self, what: str, command: list[str]) -> str:
        """Run tests until the first difference; those of the unchanged library set the limit of time."""
        limit, before = self._limits.get(what), _spent()
        limited = command if limit is None else ["prlimit", f"--cpu={limit:.0f}", *command]
        with subprocess.Popen(limited, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as running:
            assert running.stdout is not None
            for line in running.stdout:
                if what == "cases" and ("differs" in line or "not load" in line):
                    running.kill()
                    break
        if limit is None:
            self._limits[what] = PATIENCE * (_spent() - before) + 3
        elif _spent() - before >= limit - 1:
            return "hangs"
        return "noticed" if running.returncode else "survives"


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(FILES)}; by default all")
    parser.add_argument("--sample", type=int, default=20, help="mutants of each file that count; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/engine-mutants"))
    record_option(parser)
    options = parser.parse_args()
    if unknown := set(options.files) - set(FILES):
        parser.error(f"no file {', '.join(sorted(unknown))}: there are {', '.join(FILES)}")
    trial = Trial(options.out)
    table = Table("engine mutants", "file", "mutants", "tried", "noticed", "hang", "survive", "score")
    total = [0, 0, 0]
    for file in options.files or FILES:
        source = (ENGINE / file).read_text()
        every = list(mutants(file, source))
        kept = options.out / f"{file}.json"
        known: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
        tally = dict.fromkeys(("noticed", "hangs", "survives"), 0)
        for mutant in random.Random(options.seed).sample(every, len(every)):
            if options.sample and sum(tally.values()) == options.sample:
                break
            if mutant.key not in known:
                known[mutant.key] = trial.tried(mutant)
                kept.write_text(json.dumps(known, indent=1))
            if (found := known[mutant.key]) in tally:
                tally[found] += 1
            if found == "survives":
                lines = source.splitlines(), mutant.applied(source).splitlines()
                print("\n".join(difflib.unified_diff(*lines, file, "", n=0, lineterm="")), file=sys.stderr, flush=True)
        counts = [*tally.values()]
        total = [one + other for one, other in zip(total, counts, strict=True)]
        table.add(f"`{file}`", len(every), sum(counts), *counts, f"{_score(counts):.0%}")
    table.add("all", "", sum(total), *total, f"{_score(total):.0%}")
    if options.record:
        table.keep(f"{_score(total):.0%} of {sum(total)} mutants are noticed")
    return int(_score(total) < ENOUGH)


def _score(counts: list[int]) -> float:
    return 1 - counts[2] / max(1, sum(counts))


if __name__ == "__main__":
    sys.exit(main())
