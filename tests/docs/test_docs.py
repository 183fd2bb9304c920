"""What the documents say is what the program does."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path

import click
import pytest

import mnistzip
from mnistzip.bitstream import container
from mnistzip.cli import desktop
from mnistzip.cli.main import COMMANDS, cli, run
from mnistzip.errors import MnistzipError
from mnistzip.idx import idx_header
from support.paths import ROOT

README = (ROOT / "README.md").read_text()
USAGE = (ROOT / "docs" / "usage.md").read_text()
DESKTOP = (ROOT / "docs" / "desktop.md").read_text()
FORMAT = (ROOT / "FORMAT.md").read_text()
PATTERNS = ("*.md", "docs/**/*.md", "pretrained/*.md", "js/*.md")
PAGES = sorted(path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern))


def test_every_command_is_on_the_page_on_usage() -> None:
    for name in COMMANDS:
        page = DESKTOP if name == "thumbnail" else USAGE
        assert f"mnistzip {name}" in page, name


def test_the_page_on_desktops_names_every_file_and_its_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for block in re.findall(r"```sh\n(.*?)```", DESKTOP, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "mnistzip"
            assert run(words[1:]) == 0, line
    with click.Context(cli):
        for kind in desktop.KINDS:
            assert f"| `{kind}` |" in DESKTOP
            for path in desktop.contents(kind, cli):
                assert path in DESKTOP or path.startswith("man/man1/mnistzip-"), path


def test_the_python_examples_of_the_readme_and_of_the_page_on_usage_print_what_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    for page in (README, USAGE):
        (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        exec(example, {})
        assert capsys.readouterr().out.splitlines() == re.findall(r"^print\(.*\)  # (.*)$", example, re.MULTILINE)


def test_the_commands_of_the_page_on_usage_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    for name in ("digit.png", "scans/a.png", "scans/b.png"):
        (tmp_path / name).write_bytes((ROOT / "tests" / "data" / "digit.png").read_bytes())
    digits = (ROOT / "tests" / "data" / "digits-idx3-ubyte.gz").read_bytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(digits)
    elsewhere = {"bench", "train", "integrate", "--add"}  # they have tests of their own
    lines = [line for block in re.findall(r"```sh\n(.*?)```", USAGE, re.DOTALL) for line in block.splitlines()]
    commands = [words[1:] for words in (shlex.split(line, comments=True) for line in lines) if not elsewhere & {*words}]
    assert len(commands) >= 18
    for words in commands:
        assert run(words) == 0, words


def test_the_page_on_usage_names_the_fields_of_json_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = USAGE.split("## JSON output")[1].split("\n## ")[0]
    documented = {name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    data = ROOT / "tests" / "data"
    fields = set()
    for name in ("digit.png", "digits-idx3-ubyte.gz"):
        assert run(["compress", "--json", "-e", "0", str(data / name), "-o", str(tmp_path / f"{name}.cae")]) == 0
        fields |= {*json.loads(capsys.readouterr().out)}
    assert documented == fields


def test_the_worked_example_of_the_format_is_a_file_that_decodes() -> None:
    hexes = re.search(r"```hex\n(.*?)```", FORMAT, re.DOTALL)
    assert hexes is not None
    data = bytes.fromhex(hexes[1])
    assert data == (ROOT / "tests" / "vectors" / "valid" / "mnist-q50.cae").read_bytes()
    header, payload = container.parse(data)
    output = re.search(r"(\d+) bytes: header (\d+), payload (\d+)", FORMAT)
    assert output is not None
    assert [int(number) for number in output.groups()] == [len(data), len(data) - len(payload), len(payload)]
    assert header.quality == 50
    assert mnistzip.decode(data).shape == (28, 28)


def test_the_archive_that_the_format_goes_through_is_one() -> None:
    lines = re.search(r"```archive\n(.*?)```", FORMAT, re.DOTALL)
    assert lines is not None
    data = bytes.fromhex(lines[1])
    assert data == (ROOT / "tests" / "vectors" / "archive" / "tiny.cae").read_bytes()
    assert f"has {len(data)} bytes" in FORMAT
    assert [image.tolist() for image in mnistzip.Archive(data)] == [[[0, 255]], [[128, 7]]]


def test_the_examples_of_the_page_on_archives_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "archives.md").read_text()
    digits = ROOT / "tests" / "data" / "digits-idx3-ubyte.gz"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(digits.read_bytes())
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_header((64,)) + bytes(range(64))))
    (tmp_path / "more").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "more" / name).write_bytes((ROOT / "tests" / "data" / "digit.png").read_bytes())
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "mnistzip"
            assert run(words[1:]) == 0, line
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, {})


def test_the_changelog_knows_this_version() -> None:
    assert f"## {mnistzip.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_citation_names_this_version() -> None:
    assert f"\nversion: {mnistzip.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_error_is_one_of_ours_and_documented() -> None:
    for name in mnistzip.__all__:
        member = getattr(mnistzip, name)
        assert member.__doc__, name
        if isinstance(member, type) and issubclass(member, Exception):
            assert issubclass(member, MnistzipError)


def test_the_first_command_of_the_readme_prints_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, printed = re.findall(r"```(?:sh)?\n(.*?)```", README, re.DOTALL)[:2]
    steps = [step.split() for step in first.split("&&")]
    ours = [step[1:] for step in steps if step[0].endswith("mnistzip")]
    assert [step[0] for step in ours] == ["compress", "decompress", "compare"]
    for step in ours:
        words = [word.replace("tests/data", str(ROOT / "tests" / "data")) for word in step]
        words = [str(tmp_path / word) if word.startswith("digit") else word for word in words]
        assert run(words) == 0
    out = capsys.readouterr().out.replace(f"{ROOT}/", "").replace(f"{tmp_path}/", "")
    of_zlib = re.compile(r"\d+ as PNG|[\d.]+x PNG")  # the size of the PNG depends on the build of zlib
    assert of_zlib.sub("", out) == of_zlib.sub("", printed)


def slugs(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in slugs(file.read_text()), target


def test_every_script_that_a_page_runs_exists() -> None:
    scripts = r"(?:python3?|bash) ((?:benchmarks|tests|tools)/[\w/]+\.(?:py|sh))"
    texts = [ROOT / page for page in PAGES] + [ROOT / "docs" / "measurements.json"]
    result = {name for path in texts if path.name != "CHANGELOG.md" for name in re.findall(scripts, path.read_text())}
    assert len(result) >= 10
    assert [name for name in sorted(result) if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_list_of_the_readme() -> None:
    listed = {target for line in README.splitlines() if line.startswith("|") for target in re.findall(r"\]\(([^)]*)\)", line)}
    elsewhere = ("README.md", "CHANGELOG.md", "docs/notes/")
    assert {page for page in PAGES if not page.startswith(elsewhere)} <= listed
