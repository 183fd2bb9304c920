"""Fuzz both engines with the same bytes: they must give the same pixels, bytes and kinds of errors.

    apt-get install clang; pip install atheris
    python tools/fuzz_engines.py --seconds 900               # of processor time for each target; prints a table at the end
    python tools/fuzz_engines.py --seconds 60 stream pixels
    python tools/fuzz_engines.py --seconds 0 --keep          # add inputs with new coverage to tests/fuzz/engines
    python tools/fuzz_engines.py --replay runs/fuzz-engines/findings/stream-crash-0123abcd

The first run builds the extension with clang into ``--out``: with address and undefined-behaviour sanitizers, and with the
counters of libFuzzer: the code of both engines guides it. New inputs and findings are in ``--out``, findings under names
by target and hash; a later run continues from them. ``tools/engine_coverage.py`` tells which lines of C the inputs reach.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzz_parsers
from engine_build import Build
from fuzz_campaign import WORKER, Campaign
from reliability_table import record_option
from support.paths import TESTS, VECTORS

MODULE = "support.engine_targets"
TARGETS = ("single", "bare", "archive", "model", "prepared", "pixels", "digit", "stream", "library")
CORPUS = TESTS / "fuzz" / "engines"
SANITIZERS = (
    "-O1",
    "-g",
    "-fsanitize=address,undefined,fuzzer-no-link",
    "-fno-sanitize-recover=all",
)
TIMEOUT = 1200  # seconds of an input: sanitizers take time, and numpy does so
EXAMPLES = 12


def seeds(target: str) -> Iterator[bytes]:
    """Initial inputs of a target: golden files, parts of them, and random ones of the sizes that it reads."""
    from support.engine_targets import example, single_changes

    if target == "library":
        yield from (b"\0" + file for file in fuzz_parsers.seeds("single"))
    elif target in ("single", "bare", "archive"):
        yield from fuzz_parsers.seeds(target)
    elif target == "model":
        yield from (bytes([number % 4, 7]) + seed[1:] for number, seed in enumerate(fuzz_parsers.seeds("model")))
    elif target == "prepared":
        yield from single_changes()
    elif target == "stream":
        payloads = [path.read_bytes()[3:] for path in sorted((VECTORS / "bare").glob("*.bare"))]
        for number, (which, way) in enumerate((which, way) for which in range(6) for way in range(4)):
            yield bytes([which, way | number % 4 << 2, 29, 11, 30]) + payloads[number % len(payloads)]
    if target not in ("single", "archive"):
        yield from (example(target, seed) for seed in range(EXAMPLES))


def sanitized(out: Path) -> dict[str, str]:
    """Build the extension, and return the environment of processes that fuzz it."""
    extension = Build(out / "build", SANITIZERS, "clang", linked=()).extension()  # atheris has the runtime
    spec = importlib.util.find_spec("atheris")
    if spec is None or spec.origin is None:
        sys.exit("atheris is not installed: pip install atheris")
    return {
        "LD_PRELOAD": str(Path(spec.origin).parents[1] / "asan_with_fuzzer.so"),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "MNISTZIP_FUZZED_EXTENSION": str(extension.resolve()),
    }


def campaign(environment: dict[str, str]) -> Campaign:
    """The campaign of all targets."""
    return Campaign("fuzzing of engines", MODULE, (CORPUS, fuzz_parsers.CORPUS), seeds, environment, TIMEOUT)


def replay(finding: Path, environment: dict[str, str]) -> int:
    """Run the target that a finding is named after; returns the exit code."""
    command = [sys.executable, str(WORKER), MODULE, finding.name.partition("-")[0], str(finding)]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; by default all")
    parser.add_argument("--seconds", type=int, default=60, help="of a processor, for each target")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz-engines"))
    parser.add_argument("--keep", action="store_true", help="add what was found to the corpus in tests/fuzz/engines")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run a finding again, and show what it does")
    record_option(parser)
    options = parser.parse_args()
    options.targets = options.targets or list(TARGETS)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    try:
        environment = sanitized(options.out)
    except subprocess.CalledProcessError as error:
        sys.exit(f"clang does not build the engine: {error.stderr}")
    if options.replay:
        return replay(options.replay, environment)
    return min(campaign(environment).run(options), 100)


if __name__ == "__main__":
    sys.exit(main())
