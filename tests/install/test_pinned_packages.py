"""What CI and the release install is what was pinned, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lock
import platforms
from support.paths import ROOT

LOCKED = lock.entries()
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
WORKFLOW = (ROOT / ".github" / "workflows" / "release.yml").read_text()


def version(entry: lock.Entry) -> str:
    found = re.match(r"\S+?==(\S+)", entry.text)
    assert found is not None, entry.text
    return found[1]


def test_each_package_that_ci_installs_has_a_version_and_hashes() -> None:
    assert len(LOCKED) > 100
    for entry in LOCKED:
        assert version(entry)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry.text), entry.name


def test_the_versions_are_those_that_the_test_command_installs() -> None:
    differ = {entry.name for entry in LOCKED if PINS.get(entry.name, version(entry)) != version(entry)}
    assert not differ, "run: nox -s lock"
    assert {name for name in PINS if not lock.LEFT_OUT.match(name)} <= {entry.name for entry in LOCKED}, "run: nox -s lock"


def test_each_extra_and_group_finds_its_packages_with_what_they_need() -> None:
    names = {entry.name for entry in lock.select([])}
    assert {"numpy", "pillow", "click", "rich", "markdown-it-py"} <= names
    assert "pytest" not in names
    assert {"pytest", "zarr", "donfig", "setuptools"} <= {entry.name for entry in lock.select(["test"])}
    project = lock.PROJECT["project"]["optional-dependencies"].keys() - {"train"}
    for name in project | lock.PROJECT["dependency-groups"].keys():
        assert lock.select([name])


def test_no_build_of_torch_is_locked_because_indexes_differ() -> None:
    assert not [entry.name for entry in lock.select(["torch", "ms-ssim"]) if lock.LEFT_OUT.match(entry.name)]
    assert "torch" in PINS


def test_a_package_that_is_not_locked_stops_the_installation() -> None:
    with pytest.raises(SystemExit, match=r"lacks left-pad: python tools/lock\.py --write"):
        lock.select(["left_pad"])


def test_what_comments_of_the_lock_file_name_needs_the_package() -> None:
    entry = lock.Entry.parse(
        "six==1.0 \\\n    --hash=sha256:0\n    # via\n    #   -c constraints.txt\n    #   Python_Dateutil\n"
    )
    assert (entry.name, entry.needed_by) == ("six", {"python-dateutil"})
    assert lock.Entry.parse("mdurl==1 --hash=sha256:0\n    # via markdown-it-py\n").needed_by == {"markdown-it-py"}


def test_the_release_runs_only_actions_that_nobody_can_change() -> None:
    used = re.findall(r"uses: (\S+)(.*)", WORKFLOW)
    assert len(used) > 10
    for action, comment in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_the_release_has_few_permissions_and_starts_with_tags_only() -> None:
    assert re.search(r"^on:\n  push:\n    tags: \[.*\]\n\npermissions: \{\}\n", WORKFLOW, re.MULTILINE)
    _, *jobs = re.split(r"^  (?=[\w-]+:$)", WORKFLOW.partition("\njobs:\n")[2], flags=re.MULTILINE)
    granted = {job.partition(":")[0]: set(re.findall(r"^      ([\w-]+: (?:read|write))", job, re.MULTILINE)) for job in jobs}
    assert set().union(*granted.values()) <= {"contents: read", "contents: write", "id-token: write", "attestations: write"}
    assert [job for job, rights in granted.items() if "contents: write" in rights] == ["github-release"]
    assert {job for job, rights in granted.items() if "id-token: write" in rights} == {"attest", "pypi", "npm-publish"}
    assert all("needs: " in job for job in jobs if not job.startswith("test:"))


def test_names_of_platforms_are_those_of_the_script_of_the_library() -> None:
    script = (ROOT / "tools" / "engine_everywhere.sh").read_text()
    assert set(platforms.LIBRARY) <= set(re.findall(r"^    ([\w]+)\) run \1 ", script, re.MULTILINE))
    rows = [row.platform for row in platforms.Platforms(Path("runs"), quick=True).rows()]
    assert len(rows) == len(set(rows)) > 30
