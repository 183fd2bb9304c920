"""Count the lines of ``engine/`` that the inputs of ``tools/fuzz_engines.py`` reach: with gcc and gcov.

    python tools/engine_coverage.py [--missing] [FOLDER...]     # corpora besides those in tests/fuzz; prints a table

The native engine alone runs the inputs, and the library counts, without the code that Python calls it by. ``kernels_body.h``
is compiled for each kind of instructions: a line of it counts once, as reached if any kind reached it. Kernels of instructions
that this processor lacks are left out. ``--missing`` lists the lines that no input reaches. The exit code is 1 if fewer than
90% are reached.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import engine_build
import fuzz_engines
import fuzz_parsers
from reliability_table import Table, record_option

ENOUGH = 0.9
FLAGS = ("-O1", "-g", "--coverage")

Lines = dict[str, dict[int, bool]]  # file -> line -> whether it was reached


def replay(folders: list[Path]) -> None:
    """Run all inputs with the extension of this process, which writes its counters when it ends."""
    from support import both_engines, engine_targets

    both_engines.reference = both_engines.NATIVE_ENGINES[0]
    running = fuzz_engines.campaign({})
    for name, target in engine_targets.TARGETS.items():
        corpora = [folder / name for folder in (fuzz_engines.CORPUS, fuzz_parsers.CORPUS, *folders)]
        for data in running.inputs(name, *corpora):
            target(data)
    print(" ".join(engine_targets.INSTRUCTIONS))


def lines_of(folder: Path, instructions: list[str]) -> Lines:
    """The lines of code in the objects of a folder."""
    out: Lines = defaultdict(dict)
    for notes in sorted(folder.glob("*.gcno")):
        if notes.stem.startswith("kernels_") and notes.stem.removeprefix("kernels_") not in instructions:
            continue
        command = ["gcov", "--json-format", "--stdout", str(notes.resolve())]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        for file in json.loads(done.stdout)["files"]:
            path = Path(file["file"])
            if path.parent != engine_build.ENGINE:  # the extension's own source is in engine/python
                continue
            of_file = out[path.name]
            for line in file["lines"]:
                of_file[line["line_number"]] = of_file.get(line["line_number"], False) or line["count"] > 0
    return out


def ranges(numbers: list[int]) -> str:
    """Numbers as text, in which neighbours are joined."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="with a folder of inputs for each target")
    parser.add_argument("--out", type=Path, default=Path("runs/engine-coverage"))
    parser.add_argument("--missing", action="store_true", help="list the lines that no input reaches")
    record_option(parser)
    options = parser.parse_args()
    extension = engine_build.Build(options.out.resolve(), FLAGS).extension()
    for counters in options.out.glob("*.gcda"):
        counters.unlink()
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\nfrom pathlib import Path\nimport engine_build\n"
        f"engine_build.install(Path({str(extension)!r}))\nimport engine_coverage\n"
        f"engine_coverage.replay([Path(each) for each in {[*map(str, options.folders)]!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    lines = lines_of(options.out, done.stdout.split())
    table = Table("engine coverage", "file", "lines", "reached")
    for file, of_file in sorted(lines.items()):
        table.add(f"`{file}`", len(of_file), f"{sum(of_file.values()) / len(of_file):.0%}")
        if options.missing and not all(of_file.values()):
            print(f"  not reached: {ranges(sorted(line for line, reached in of_file.items() if not reached))}", file=sys.stderr)
    every = [reached for of_file in lines.values() for reached in of_file.values()]
    table.add("all", len(every), f"{sum(every) / len(every):.1%}")
    if options.record:
        table.keep(f"{sum(every):,} of {len(every):,} lines ({sum(every) / len(every):.1%})")
    return int(sum(every) < ENOUGH * len(every))


if __name__ == "__main__":
    sys.exit(main())
