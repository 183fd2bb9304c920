"""The figures of docs/reliability.md, from what the checks in ``tools/`` and ``benchmarks/`` keep with ``--record``."""

from __future__ import annotations

from typing import Any

from mnistzip.bench.figures import Sources
from mnistzip.bench.report.markdown import markdown_table

PROMISES = {  # each with its section, and the checks that test it
    "The same bytes and pixels on every machine": ("the-same-bytes-and-pixels-everywhere", ["platforms"]),
    "Both engines compute the same": ("two-engines", ["fuzzing of engines", "engine coverage", "engine mutants"]),
    "Every image comes back": ("round-trip", ["round trip"]),
    "Old files decode for ever": ("old-files", []),
    "Damage is noticed": ("damage", ["damage"]),
    "Hostile input is bounded": ("hostile-input", ["bounds, native", "bounds, numpy"]),
    "No input crashes a parser": ("fuzzing-of-parsers", ["fuzzing of parsers"]),
    "A killed process leaves the old or the new file": ("killed-processes", ["kills"]),
    "Threads and faults do no harm": ("threads-and-faults", ["soak"]),
    "Files of yours stay": ("files-of-yours", []),
    "Tests notice changes of the code": ("quality-of-the-tests", ["mutants"]),
}
CHECKS = {  # marker -> check
    "platforms": "platforms",
    "engines": "fuzzing of engines",
    "coverage": "engine coverage",
    "engine-mutants": "engine mutants",
    "round-trip": "round trip",
    "damage": "damage",
    "parsers": "fuzzing of parsers",
    "kills": "kills",
    "soak": "soak",
    "mutants": "mutants",
}
EACH_CHANGE = ["no test fails", "each change", "`nox -s test`"]
SLOW, LARGE = 1.0, 100  # seconds and MB from which the page shows a hostile input
NOT_RUN = "Not run on this version."
OF_FILE = ("input", "read by", "bytes")


def promises(sources: Sources) -> str:
    """All promises with their results."""
    rows = []
    for promise, (section, checks) in PROMISES.items():
        results = [_result(sources, name, labelled=len(checks) > 1) for name in checks] or [EACH_CHANGE]
        rows += [["" if number else f"[{promise}](#{section})", *cells] for number, cells in enumerate(results)]
    return markdown_table(["promise", "result", "measured", "command"], rows)


def check(name: str, sources: Sources) -> str:
    """The result of a check and its table."""
    found = sources.reliability.get(name)
    if found is None:
        return NOT_RUN
    table = markdown_table(found["columns"], found["rows"])
    return f"**Result** ({found['date']}, `{found['command']}`): {found['result']}.\n\n{table}"


def bounds(sources: Sources) -> str:
    """Time and memory of the worst hostile inputs, by both engines."""
    engines = [name for name in ("native", "numpy") if f"bounds, {name}" in sources.reliability]
    if not engines:
        return NOT_RUN
    measured = [{_of_file(row): row for row in _rows(sources, f"bounds, {name}")} for name in engines]
    shown = [of_file for of_file in measured[0] if any(_is_much(rows.get(of_file)) for rows in measured)]
    rows = []
    for what, how, size in sorted(shown, key=lambda of_file: -max(_seconds(rows.get(of_file)) for rows in measured)):
        cells = [_figures(rows.get((what, how, size))) for rows in measured]
        rows.append([what, how, size, *cells])
    return markdown_table([*OF_FILE, *(f"{name}: s, MB more" for name in engines)], rows)


Row = dict[str, str]


def _rows(sources: Sources, name: str) -> list[Row]:
    found: dict[str, Any] = sources.reliability[name]
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def _of_file(row: Row) -> tuple[str, str, str]:
    what, how, size = (row[column] for column in OF_FILE)
    return what, how, size


def _seconds(row: Row | None) -> float:
    return float(row["seconds"]) if row else 0.0


def _is_much(row: Row | None) -> bool:
    return row is not None and (float(row["seconds"]) >= SLOW or float(row["MB more"]) >= LARGE)


def _figures(row: Row | None) -> str:
    return "" if row is None else f"{row['seconds']}, {row['MB more']}"


def _result(sources: Sources, name: str, labelled: bool) -> list[str]:
    found = sources.reliability.get(name)
    if found is None:
        return ["not run", "", ""]
    return [f"{name}: " * labelled + found["result"], found["date"], f"`{found['command'].split(' --')[0]}`"]
