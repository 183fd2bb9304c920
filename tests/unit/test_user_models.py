"""Models of one's own: found by name, and by the fingerprint in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import mnistzip
from mnistzip import pretrained
from mnistzip.cli.main import run
from mnistzip.errors import ModelError
from mnistzip.models import user_models
from mnistzip.types import Pixels
from support import forge

CLASSIC = Path(pretrained.__file__).with_name("classic.npz")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    return tmp_path / "data" / "mnistzip" / "models"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A model file that is none of the package's: it has no number."""
    path = tmp_path / "mine.npz"
    path.write_bytes(forge.own())
    return path


def test_a_file_finds_its_model_where_the_path_leads(
    mine: Path, digit: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = mnistzip.encode(digit, model=mine)
    expected = mnistzip.decode(file, model=mine)
    with pytest.raises(ModelError, match=r"needs the custom model [0-9a-f]{8}: .*models --add.*MNISTZIP_MODEL_PATH"):
        mnistzip.decode(file)
    (tmp_path / "broken.npz").write_bytes(b"nothing of the kind")
    for path in (str(mine), str(tmp_path), os.pathsep.join(["/nowhere", str(tmp_path)])):
        monkeypatch.setenv("MNISTZIP_MODEL_PATH", path)
        assert (mnistzip.decode(file) == expected).all()
        assert mnistzip.encode(digit, model="mine") == file
    archive = mnistzip.encode_archive([digit, digit], model="mine")
    assert (mnistzip.Archive(archive)[1] == expected).all()
    with pytest.raises(ModelError, match="mnist-fast, glyph, grey, mnist-micro, mnist-bitmap, auto, broken, mine or the path"):
        mnistzip.encode(digit, model="yours")


def test_an_added_model_is_found_listed_and_not_overwritten(
    mine: Path, digit: Pixels, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = mnistzip.encode(digit, model=mine)
    assert run(["models", "--add", str(mine)]) == 0
    assert str(home) in capsys.readouterr().out
    mine.unlink()
    assert mnistzip.decode(file).shape == (28, 28)
    assert run(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[-1]["name"] == "mine"
    assert rows[-1]["path"] == str(home / "mine.npz")
    assert rows[-1]["fingerprint"].startswith(file[3:7].hex())
    other = tmp_path / "mine.npz"
    other.write_bytes(forge.own("mnist-fast"))
    assert run(["models", "--add", str(other)]) == 1
    assert "-f replaces it" in capsys.readouterr().err
    assert run(["models", "--add", str(other), "-f"]) == 0
    assert [path.name for path in home.iterdir()] == ["mine.npz"]
    with pytest.raises(ModelError, match="needs the custom model"):
        mnistzip.decode(file)
    (home / "junk.npz").write_bytes(b"junk")
    assert run(["models"]) == 1
    output = capsys.readouterr()
    assert "mine: fingerprint" in output.out
    assert "junk" in output.err


def test_what_is_no_model_is_not_added(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junk = tmp_path / "junk.npz"
    junk.write_bytes(b"junk")
    assert run(["models", "--add", str(junk)]) == 1
    assert run(["models", "--add", str(CLASSIC)]) == 1
    assert "rename the file" in capsys.readouterr().err
    assert not home.exists()
    assert list(user_models.files()) == []


def test_links_that_lead_nowhere_and_folders_are_passed_over(
    mine: Path, digit: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = mnistzip.encode(digit, model=mine, effort=0)
    (tmp_path / "a.npz").symlink_to(tmp_path / "gone.npz")
    (tmp_path / "b.npz").mkdir()
    monkeypatch.setenv("MNISTZIP_MODEL_PATH", str(tmp_path))
    assert mnistzip.decode(file).shape == digit.shape
    for name in ("a", "b"):
        with pytest.raises(ModelError, match=f"no model '{name}'"):
            mnistzip.encode(digit, model=name)


def test_a_model_cannot_take_a_name_with_a_meaning(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("auto", "glyph"):
        path = mine.with_name(f"{name}.npz")
        path.write_bytes(mine.read_bytes())
        assert run(["models", "--add", str(path)]) == 1
        assert "rename the file" in capsys.readouterr().err


@pytest.mark.parametrize(("data", "folder"), [("here", ""), ("", ""), ("", "here")])
def test_models_are_not_put_into_the_current_folder(
    data: str, folder: str, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"XDG_DATA_HOME": data, "LOCALAPPDATA": data, "HOME": folder, "USERPROFILE": folder}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert run(["models", "--add", str(mine)]) == 1
    assert "no home directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_a_model_that_is_there_already_is_not_written_again(mine: Path, home: Path) -> None:
    assert run(["models", "--add", str(mine)]) == 0
    os.utime(home / "mine.npz", ns=(0, 0))
    assert run(["models", "--add", str(mine)]) == 0
    assert (home / "mine.npz").stat().st_mtime_ns == 0
