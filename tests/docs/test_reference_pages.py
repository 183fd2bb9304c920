"""The files that the reference pages name exist, and the figures that they count are right."""

from __future__ import annotations

import re

import pytest

from support.paths import ROOT, VECTORS

NOTES = ROOT / "docs" / "notes"
PAGES = (
    "CONTRIBUTING.md",
    "FORMAT.md",
    "docs/lossless.md",
    "docs/rate-distortion.md",
    "docs/reliability.md",
    "docs/releasing.md",
)
FOLDERS = "codec|cli|bench|benchmarks|plugins|training|tests|tools|docs"


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(rf"(?:`|(?:python|bash) )((?:{FOLDERS})/[\w./-]*[\w/])", text))
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_counts_of_golden_files_and_of_faults_are_right() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    golden = [path for folder in ("valid", "archive", "bare", "own") for path in (VECTORS / folder).glob("*.[cb]a*e")]
    faults = [path for folder in ("invalid", "invalid-archive") for path in (VECTORS / folder).glob("*.cae")]
    assert f"{len(golden)} golden files" in text
    assert f"{len(faults)} more files have one fault each" in text


def test_every_note_is_in_the_index_under_its_date() -> None:
    index = (NOTES / "README.md").read_text(encoding="utf-8")
    notes = sorted(NOTES.glob("20*.md"))
    assert notes
    for note in notes:
        assert re.search(rf"^\| {note.name[:10]} \| \[[^]]+\]\({re.escape(note.name)}\) \| .", index, re.MULTILINE), note.name


def test_the_functions_that_contributing_names_are_in_their_files() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:\w+\.)?(\w+)` (?:in|of) `([\w./-]+\.py)`", text)
    assert len(named) > 5
    for name, path in named:
        assert re.search(rf"\b(def|class) {name}\b|^{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name
