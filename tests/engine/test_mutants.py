"""Mutants of C: each operator changes what it is for, and nothing else."""

from __future__ import annotations

import pytest

from mutate_engine import ENGINE, FILES, mutants


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return a < b;", {"return a <= b;", "return a >= b;"}),
        ("return x >> k;", {"return x << k;"}),
        ("    *at = -x & y;", {"    *at = -x | y;", "    ;"}),
        ("int k = 0x0fu;", {"int k = 16u;", "int k = 14u;"}),
        ("    if (f(a) == b) c++;", {"    if (f(a) != b) c++;", "    if (!(f(a) == b)) c++;", "    if (f(a) == b) c--;"}),
        ("    out[k] = f(x);", {"    ;"}),
        ("    break;", {"    ;"}),
        ("uint8_t *at = out; /* < 1 */", set()),
        ('#define A 1 + 2\nstatic const char *const text = "1 + 2";', set()),
    ],
)
def test_operators_change_tokens(source: str, expected: set[str]) -> None:
    assert {mutant.applied(source) for mutant in mutants("a.c", source)} == expected


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_mutants_that_differ(file: str) -> None:
    source = (ENGINE / file).read_text()
    every = list(mutants(file, source))
    assert len(every) > 50
    assert len({mutant.key for mutant in every}) == len(every)
    assert all(source[mutant.start : mutant.end] != mutant.text for mutant in every)
