"""``mnistzip integrate`` touches no file of anybody else, and what it installs is what other programs can read."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli import desktop, help_sections, integrate, manpages
from mnistzip.cli.main import cli, run
from support.paths import VECTORS

MIME = "{http://www.freedesktop.org/standards/shared-mime-info}"
OURS = (
    "mime/packages/mnistzip.xml",
    "thumbnailers/mnistzip.thumbnailer",
    "mnistzip/magic",
    "man/man1/mnistzip.1",
    "man/man1/mnistzip-compress.1",
    "bash-completion/completions/mnistzip",
    "zsh/site-functions/_mnistzip",
    "fish/vendor_completions.d/mnistzip.fish",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user whose desktop has no tools."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(integrate.shutil, "which", {"mnistzip": "/usr/bin/mnistzip"}.get)
    return tmp_path


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_go_where_the_desktop_looks_and_are_removed_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["integrate"]) == 0
    written = files_of(home)
    assert {".magic", *(f".local/share/{name}" for name in OURS)} <= set(written)
    output = capsys.readouterr().out
    assert all(str(home / name) in output for name in written if not name.endswith("integration.json"))
    assert run(["integrate"]) == 0
    assert "wrote" not in capsys.readouterr().out
    assert files_of(home) == written
    assert run(["integrate", "--remove"]) == 0
    assert files_of(home) == {}


def test_the_data_home_of_the_user_is_used_if_it_is_absolute(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert run(["integrate", "--quiet", "--only", "mime"]) == 0
    assert (home / "data" / OURS[0]).is_file()
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")  # the specification says: ignore it
    assert run(["integrate", "--quiet", "--only", "mime"]) == 0
    assert (home / ".local/share" / OURS[0]).is_file()


@pytest.mark.parametrize("key", OURS)
def test_a_file_of_somebody_else_is_kept(key: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = home / ".local/share" / key
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"precious")
    assert run(["integrate"]) == 1
    output = capsys.readouterr().err
    assert str(foreign) in output
    assert "-f replaces" in output
    assert output.count("\n") == 1
    assert files_of(home) == {f".local/share/{key}": b"precious"}, "all or nothing is written"
    assert run(["integrate", "--remove"]) == 0
    assert "is kept" in capsys.readouterr().err
    assert foreign.read_bytes() == b"precious"
    assert run(["integrate", "-f"]) == 0
    assert foreign.read_bytes() != b"precious"


def test_magic_entries_of_the_user_are_never_replaced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".magic").write_bytes(b"0 string MINE mine\n")
    for words in (["integrate"], ["integrate", "-f"]):
        assert run(words) == 0
        output = capsys.readouterr().err
        assert f"add those of {home / '.local/share/mnistzip/magic'}" in output
        assert (home / ".magic").read_bytes() == b"0 string MINE mine\n"
    assert run(["integrate", "--remove"]) == 0
    assert capsys.readouterr().err == ""
    assert set(files_of(home)) == {".magic"}


def test_a_changed_file_is_not_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["integrate", "--quiet"]) == 0
    changed = home / ".local/share" / OURS[1]
    changed.write_bytes(changed.read_bytes() + b"# mine\n")
    assert run(["integrate", "--remove"]) == 0
    assert f"{changed} is kept" in capsys.readouterr().err
    assert set(files_of(home)) == {f".local/share/{OURS[1]}"}


def test_files_of_an_earlier_version_are_replaced_and_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def earlier(_group: click.Group) -> dict[str, bytes]:
        return {OURS[1]: b"earlier", "thumbnailers/of-old.thumbnailer": b"gone"}

    with monkeypatch.context() as before:
        before.setitem(desktop.KINDS, "thumbnailer", earlier)
        assert run(["integrate", "--quiet"]) == 0
    assert run(["integrate", "--quiet"]) == 0
    assert (home / ".local/share" / OURS[1]).read_bytes() == desktop.THUMBNAILER.encode()
    assert run(["integrate", "--remove", "--quiet"]) == 0
    assert files_of(home) == {}


def test_a_record_that_was_tampered_with_removes_nothing_elsewhere(home: Path) -> None:
    (home / "precious").write_bytes(b"x")
    record = home / ".local/share" / integrate.RECORD
    record.parent.mkdir(parents=True)
    digest = integrate._digest(b"x")
    places = ("../../precious", f"{home}/precious", "~/precious")
    record.write_bytes(integrate._unparse(dict.fromkeys(places, digest)))
    assert run(["integrate", "--remove", "--quiet"]) == 0
    assert (home / "precious").read_bytes() == b"x"


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"a": 1}', b"{", b'{"a":"b"}'])
def test_a_record_that_is_not_ours_is_kept(content: bytes, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = home / ".local/share" / integrate.RECORD
    record.parent.mkdir(parents=True)
    record.write_bytes(content)
    assert run(["integrate"]) == 1
    assert f"{record} is not from mnistzip" in capsys.readouterr().err
    assert run(["integrate", "--remove"]) == 0
    assert files_of(home) == {f".local/share/{integrate.RECORD}": content}
    assert run(["integrate", "-f", "--quiet"]) == 0
    assert run(["integrate", "--remove", "--quiet"]) == 0
    assert files_of(home) == {}


def test_a_link_is_not_taken_for_our_file(home: Path) -> None:
    assert run(["integrate", "--quiet"]) == 0
    path = home / ".local/share" / OURS[0]
    elsewhere = home / "elsewhere.xml"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert run(["integrate", "--remove", "--quiet"]) == 0
    assert path.is_symlink()
    assert elsewhere.is_file()


@pytest.mark.parametrize("key", ["man/man1/mnistzip.1", "mnistzip/integration.json"])
def test_a_folder_in_the_way_stops_all_or_nothing(key: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "pre/share" / key / "mine").mkdir(parents=True)
    before = files_of(home)
    assert run(["integrate", "--prefix", str(home / "pre"), "-f"]) == 1
    assert f"{key} is a folder, but a file must go there" in capsys.readouterr().err
    assert files_of(home) == before


def test_an_address_is_no_prefix(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(home)
    assert run(["integrate", "--prefix", "s3://bucket/x"]) == 2
    assert "is an address" in capsys.readouterr().err
    assert not files_of(home)


@pytest.mark.parametrize("words", [["--dry-run"], ["--dry-run", "--remove"], ["-n", "--quiet"]])
def test_a_dry_run_changes_nothing_and_names_each_file(
    words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--remove" in words:
        assert run(["integrate", "--quiet"]) == 0
    before = files_of(home)
    assert run(["integrate", *words]) == 0
    assert files_of(home) == before
    output = capsys.readouterr().out
    assert all(str(home / ".local/share" / name) in output for name in OURS)


def test_a_dry_run_names_what_is_in_the_way(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = home / ".local/share" / OURS[0]
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"precious")
    assert run(["integrate", "--dry-run"]) == 0
    assert f"in the way: {foreign}" in capsys.readouterr().out
    assert files_of(home) == {f".local/share/{OURS[0]}": b"precious"}


def test_packages_get_all_files_below_their_prefix_and_none_elsewhere(home: Path) -> None:
    assert run(["integrate", "--quiet", "--prefix", str(home / "package/usr")]) == 0
    assert {path.split("/")[0] for path in files_of(home)} == {"package"}
    assert all((home / "package/usr/share" / name).is_file() for name in OURS)
    assert run(["integrate", "--prefix", "x", "--system"]) == 2


def test_without_a_home_folder_the_error_names_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "")
    assert run(["integrate"]) == 1
    assert "--prefix" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "warns"), [([], True), (["--only", "man"], False), (["--prefix", "x"], False)])
def test_a_command_that_desktops_will_not_find_is_noticed(
    words: list[str], warns: bool, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(integrate.shutil, "which", {}.get)
    assert run(["integrate", "--quiet", *words]) == 0
    assert ("mnistzip is not in PATH" in capsys.readouterr().err) is warns


def test_desktops_hear_of_the_type_if_their_tool_is_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[list[str]] = []

    def run_tool(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, len(called) - 1, "", "no\nspace")

    tools = {"mnistzip": "/usr/bin/mnistzip", "update-mime-database": "/usr/bin/update-mime-database"}
    monkeypatch.setattr(integrate.shutil, "which", tools.get)
    monkeypatch.setattr(integrate.subprocess, "run", run_tool)
    assert run(["integrate", "--quiet"]) == 0
    assert called == [["/usr/bin/update-mime-database", str(home / ".local/share/mime")]]
    assert run(["integrate", "--quiet", "--prefix", str(home / "package")]) == 0
    assert len(called) == 1
    assert run(["integrate", "--quiet", "--remove"]) == 0
    assert "no space" in capsys.readouterr().err


def test_the_mime_type_is_found_by_name_and_by_content() -> None:
    kind = ET.fromstring(desktop.MIME_XML).find(f"{MIME}mime-type")
    assert kind is not None
    assert kind.get("type") == "image/x-mnistzip"
    glob, match = kind.find(f"{MIME}glob"), kind.find(f"{MIME}magic/{MIME}match")
    assert glob is not None
    assert match is not None
    assert glob.get("pattern") == "*.cae"
    value = (match.get("value") or "").encode().decode("unicode_escape").encode("latin-1")
    assert match.get("offset") == "0"
    for path in [*VECTORS.glob("valid/*.cae"), *VECTORS.glob("archive/*.cae")]:
        assert path.read_bytes().startswith(value), path


def test_the_thumbnailer_of_the_desktop_makes_a_picture(tmp_path: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(desktop.THUMBNAILER)
    entry = parser["Thumbnailer Entry"]
    assert entry["MimeType"] == f"{desktop.MIME_TYPE};"
    goal = tmp_path / "thumbnail.png"
    goal.write_bytes(b"")  # desktops make it before they call
    fields = {"%i": str(VECTORS / "valid" / "mnist-q50.cae"), "%o": str(goal), "%s": "100"}
    program, *words = [fields.get(word, word) for word in entry["Exec"].split()]
    assert program == entry["TryExec"] == "mnistzip"
    done = subprocess.run([sys.executable, "-m", "mnistzip", *words], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with Image.open(goal) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (84, 84))


@pytest.mark.skipif(shutil.which("file") is None, reason="needs file(1)")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("valid/mnist-q75.cae", "mnistzip image, lossy, 28 x 28, quality 75"),
        ("valid/lossless-digit.cae", "mnistzip image, lossless, 28 x 28"),
        ("valid/glyph-q50.cae", "mnistzip image, lossy"),
        ("valid/stored-raw.cae", "mnistzip image, lossless"),
        ("archive/digits.cae", "mnistzip archive of images"),
    ],
)
def test_file_knows_what_a_file_is(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "magic").write_text(desktop.FILE_MAGIC)
    command = ["file", "-b", "-m", str(tmp_path / "magic"), str(VECTORS / name)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{says}\n"
    command.insert(1, "--mime-type")
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "image/x-mnistzip\n"


SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "FILES", "ENVIRONMENT", "SEE ALSO"]


def test_man_pages_have_what_people_look_for() -> None:
    made = manpages.man_pages(cli)
    names = [name for several in help_sections.OVERVIEW.values() for name in several]
    assert set(made) == {"mnistzip.1", *(f"mnistzip-{name}.1" for name in names)}
    for name, page in made.items():
        text = page.decode("ascii")
        titles = re.findall(r"^\.SH (.*)$", text, re.MULTILINE)
        assert [title for title in titles if title != "COMMANDS"] == SECTIONS, name
        assert text.startswith(f'.TH {name.removesuffix(".1").upper()} 1 "" "mnistzip {mnistzip.__version__}"')
        assert not re.search(r"\n\n", text), "roff wants no empty lines"
    for group in ("Common options", "Archives of many images", "Clusters"):
        assert group in help_sections.PAGES["compress"].groups
        assert f".SS {group}\n" in made["mnistzip-compress.1"].decode()
    for option in ("\\-\\-max\\-bytes N", "\\-q, \\-\\-quality N"):
        assert f".TP\n.B {option}\n" in made["mnistzip-compress.1"].decode()


def test_man_pages_show_text_as_it_is() -> None:
    assert manpages.escape(".TH") == "\\&.TH"
    assert manpages.escape("'x' --no \\n ü") == "\\&'x' \\-\\-no \\en \\[u00FC]"


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_has_nothing_to_complain_of(tmp_path: Path) -> None:
    for name, page in manpages.man_pages(cli).items():
        (tmp_path / name).write_bytes(page)
        done = subprocess.run(["groff", "-man", "-ww", "-Tascii", str(tmp_path / name)], capture_output=True, check=True)
        assert done.stderr == b""
        assert len(done.stdout.splitlines()) > 40


def completions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, number: int) -> str:
    monkeypatch.setenv("_MNISTZIP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(number))
    with pytest.raises(SystemExit):
        run([])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "number", "offered"),
    [
        ("mnistzip comp", 1, "plain,compress\nplain,compare\n"),
        ("mnistzip compress di", 2, "file,di\n"),
        ("mnistzip compress -o di", 3, "file,di\n"),
        ("mnistzip compress --append --embed", 3, "plain,--embed-model\n"),
        ("mnistzip compress --engine r", 3, "plain,ray\n"),
        ("mnistzip thumb", 1, ""),
    ],
)
def test_shells_complete_commands_options_and_files(
    line: str, number: int, offered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completions(monkeypatch, capsys, line, number).lstrip("\n") == offered


def test_completion_files_are_those_of_their_shells(home: Path) -> None:
    assert run(["integrate", "--quiet", "--only", "completion"]) == 0
    written = files_of(home / ".local/share")
    assert b"complete -o nosort -F" in written["bash-completion/completions/mnistzip"]
    assert written["zsh/site-functions/_mnistzip"].startswith(b"#compdef mnistzip")
    assert b"complete" in written["fish/vendor_completions.d/mnistzip.fish"]
    assert all(b"_MNISTZIP_COMPLETE" in content for name, content in written.items() if "mnistzip/" not in name)
