"""Campaigns of coverage-guided fuzzing with atheris: what ``fuzz_parsers.py`` and ``fuzz_engines.py`` share."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reliability_table import Table

WORKER = Path(__file__).with_name("fuzz_worker.py")
LONGEST = 16384  # bytes of an input
RUNS = 8000  # of one process: code instrumented by atheris takes up to 2 MB more memory at each run
MEMORY_MB = 8192  # of one process
TIMEOUT = 60  # seconds of an input


@dataclass(frozen=True)
class Campaign:
    """Targets, where their inputs lie, and how the processes that fuzz them run.

    Attributes:
        name: of the check in docs/reliability.json.
        module: of the targets, in ``tests/``; its ``TARGETS`` names them.
        corpora: folders with a folder of inputs for each target. The first is the one that :meth:`keep` adds to.
        seeds: more initial inputs of a target.
        environment: variables of the processes.
        timeout: seconds of an input.
    """

    name: str
    module: str
    corpora: tuple[Path, ...]
    seeds: Callable[[str], Iterable[bytes]]
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: int = TIMEOUT

    def fuzz(self, target: str, seconds: int, out: Path) -> tuple[float, int, int]:
        """Processor seconds used, the number of inputs tried, and the number of findings."""
        findings = out / "findings"
        for folder in (out / target, out / "seeds" / target, findings):
            folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(self.seeds(target)):
            (out / "seeds" / target / f"{number:04}").write_bytes(seed)
        tried, start = 0, _spent()
        while (left := seconds + start - _spent()) > 1:  # libFuzzer stops at a finding; the next process has another seed
            options = [
                f"-max_total_time={left:.0f}",
                f"-runs={RUNS}",
                f"-max_len={LONGEST}",
                f"-timeout={self.timeout}",
                f"-report_slow_units={self.timeout}",
                f"-rss_limit_mb={MEMORY_MB}",
                "-print_final_stats=1",
            ]
            folders = [out / target, *(corpus / target for corpus in self.corpora), out / "seeds" / target]
            done = self._atheris(target, [*options, f"-artifact_prefix={findings}/{target}-"], folders)
            tried += sum(map(int, re.findall(r"number_of_executed_units: (\d+)", done.stderr)))
            (out / f"{target}.log").write_text(done.stderr)
            if not re.search(r"Done \d+ runs", done.stderr) and not list(findings.glob(f"{target}-*")):
                raise RuntimeError(f"{target} did not run: {done.stderr[-2000:]}")
        return _spent() - start, tried, len(list(findings.glob(f"{target}-*")))

    def table(self, targets: list[str], seconds: int, out: Path) -> tuple[Table, int]:
        """Fuzz targets, print a table of all runs with this folder, and return it and the number of findings."""
        kept = out / "tally.json"
        for target in targets:
            spent, tried, _ = self.fuzz(target, seconds, out)
            tally = json.loads(kept.read_text()) if kept.exists() else {}  # read now, as another process may have added to it
            seconds_before, tried_before = tally.get(target, (0, 0))
            kept.write_text(json.dumps(tally | {target: (seconds_before + spent, tried_before + tried)}))
        table = Table(self.name, "target", "processor seconds", "executions", "new inputs", "findings")
        failed = 0
        for target, counts in json.loads(kept.read_text()).items():
            findings = len(list((out / "findings").glob(f"{target}-*")))
            table.add(target, *map(round, counts), len(list((out / target).iterdir())), findings)
            failed += findings
        return table, failed

    def run(self, options: argparse.Namespace) -> int:
        """Fuzz, keep inputs, and keep the figures, as the options of a command say. Returns the number of findings."""
        failed = 0
        if options.seconds:
            table, failed = self.table(options.targets, options.seconds, options.out)
            if options.record:
                spent = sum(int(row[1].replace(",", "")) for row in table.rows)
                table.keep(f"{spent / 3600:.1f} processor hours, {failed or 'no'} findings")
        for target in options.targets if options.keep else []:
            self.keep(target, options.out)
        return failed

    def keep(self, target: str, out: Path) -> None:
        """Add inputs to the corpus that reach code which the corpus does not reach."""
        corpus = self.corpora[0] / target
        corpus.mkdir(parents=True, exist_ok=True)
        done = self._atheris(target, ["-merge=1", f"-max_len={LONGEST}"], [corpus, out / target])
        if done.returncode:
            raise RuntimeError(f"merging {target} failed: {done.stderr[-2000:]}")
        for path in corpus.iterdir():
            path.rename(path.with_name(path.name[:12]))

    def inputs(self, target: str, *folders: Path) -> list[bytes]:
        """The seeds of a target and all inputs in folders."""
        paths = (path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()))
        return [*self.seeds(target), *(path.read_bytes() for path in paths)]

    def _atheris(self, target: str, options: list[str], folders: list[Path]) -> subprocess.CompletedProcess[str]:
        there = [str(folder) for folder in folders if folder.is_dir()]
        command = [sys.executable, str(WORKER), self.module, target, *options, *there]
        environment = os.environ | dict(self.environment)
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _spent() -> float:
    """Processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
