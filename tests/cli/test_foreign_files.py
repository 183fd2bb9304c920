"""What a user has in a folder is still there, byte by byte, after training or a benchmark has used or refused it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnistzip.bench.runner import PLOT_FILES
from mnistzip.cli.main import run
from mnistzip.errors import OptionError
from mnistzip.io.output_folders import MARKER, OutputFolder

pytest.importorskip("torch", reason="training needs torch: pip install 'mnistzip[train]'")

import torch

from mnistzip.training import budgeted_recipe, run_folder as folders
from mnistzip.types import Pixels
from support.paths import DIGITS

pytestmark = pytest.mark.torch

SUFFIXES = (".csv", ".pt", ".npz", ".json", ".md", ".png", ".svg", ".html", ".partial", ".pt.partial", ".txt", ".bin", "")
TRAINING = ["--time", "1s", "--epochs", "1", "-T", "1"]
BENCH = ["--codecs", "deflate,webp@q10", "--limit", "3", "--quiet", "--save-files"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that train in a moment."""
    sizes = budgeted_recipe.Config(width=12, hidden=6, blocks=1, anchors=3, prior_width=2, prior_hidden=2, symbol_max=5)
    monkeypatch.setattr(budgeted_recipe, "CONFIG", sizes)
    monkeypatch.setattr(budgeted_recipe, "PIXELS", budgeted_recipe.PixelConfig(ink=4, solid=4, level=4, shade=8, key=2))
    monkeypatch.setattr(budgeted_recipe, "EPOCHS", dict.fromkeys(budgeted_recipe.SHARES, 1))
    torch.set_num_threads(1)


def fill(folder: Path, names: list[str]) -> dict[Path, bytes]:
    """Files of a user's own, by their names below a folder: their paths and content."""
    made = {}
    for name in [*names, *(f"mine{suffix}" for suffix in SUFFIXES)]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made[path] = f"precious: {name}".encode()
        path.write_bytes(made[path])
    return made


def intact(made: dict[Path, bytes]) -> bool:
    return all(path.read_bytes() == content for path, content in made.items())


TRAIN_NAMES = [
    *(name for name in folders.file_names(budgeted_recipe.STAGES) if name != folders.BOARD),
    "rounded.partial",
    MARKER,
]
BENCH_NAMES = [
    *("results.json", "results.csv", "report.html", MARKER, "images.npz"),
    *PLOT_FILES,
    *(f"measurements/{name}" for name in ("deflate.npz", "webp@q10.npz", "png.npz", "webp@q10.partial7", "x.partial")),
    *(f"files/{name}" for name in ("deflate/0.bin", "png/notes.txt", "webp@q10/1.bin", "a.bin")),
    *("plots", "measurements", "files"),  # files where folders would go
]


@pytest.mark.parametrize("more", [[], ["-f"], ["--resume"], ["--resume", "-f"]], ids=["plain", "force", "resume", "both"])
def test_training_leaves_a_folder_of_other_files_alone(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scans.npz.run"
    made = fill(folder, TRAIN_NAMES)
    command = ["train", str(DIGITS), "-o", str(tmp_path / "scans.npz"), *TRAINING, *more]
    assert run(command) == 1
    assert (
        f"{folder} contains files that mnistzip train did not write: choose another folder with --folder"
        in capsys.readouterr().err
    )
    assert run([*command, "--folder", str(folder)]) == 1
    assert intact(made)
    assert {path for path in folder.rglob("*") if path.is_file()} == set(made)
    assert not (tmp_path / "scans.npz").exists()


def pictures(folder: Path, digits: Pixels) -> dict[Path, bytes]:
    """A folder of 120 pictures: their paths and content."""
    folder.mkdir()
    for number, image in enumerate(np.concatenate([digits, digits[:, ::-1]])[:120]):
        Image.fromarray(image).save(folder / f"{number}.png")
    return {path: path.read_bytes() for path in folder.iterdir()}


def test_a_model_named_like_the_folder_of_its_pictures_leaves_that_folder_alone(tmp_path: Path, digits: Pixels) -> None:
    scans = tmp_path / "scans"
    made = pictures(scans, digits)
    others = fill(scans, [*TRAIN_NAMES, "notes/levels.npz", "index.csv"])
    for path in [path for path in others if path.suffix == ".png"]:  # which would be taken for images
        del others[path]
        path.unlink()
    made |= others
    command = ["train", str(scans), "-o", str(tmp_path / "scans.npz"), *TRAINING]
    assert run(command) == 0
    assert run([*command, "-f"]) == 0
    assert intact(made)
    assert {path for path in scans.rglob("*") if path.is_file()} == set(made)


@pytest.mark.parametrize("where", [".", "sub/run"])
def test_a_run_does_not_put_its_pictures_among_the_images(
    where: str, tmp_path: Path, digits: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pictures(tmp_path / "scans", digits)
    folder = tmp_path / "scans" / where
    assert run(["train", str(tmp_path / "scans"), "-o", str(tmp_path / "m.npz"), "--folder", str(folder), "-f"]) == 1
    assert "lies inside the images" in capsys.readouterr().err
    assert run(["bench", str(tmp_path / "scans"), "-o", str(folder), *BENCH]) == 1
    assert "would be a folder among the images" in capsys.readouterr().err
    assert intact(made)
    assert set((tmp_path / "scans").iterdir()) == set(made)


@pytest.mark.parametrize("suffix", [".json", ".md"])
@pytest.mark.parametrize("force", [[], ["-f"]], ids=["plain", "force"])
def test_a_file_beside_the_model_is_refused_before_training_begins(
    suffix: str, force: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"scans{suffix}"
    path.write_text('{"mine": true}')
    assert run(["train", str(DIGITS), "-o", str(tmp_path / "scans.npz"), *TRAINING, *force]) == 1
    assert f"{path} was not written by mnistzip train" in capsys.readouterr().err
    assert path.read_text() == '{"mine": true}'
    assert list(tmp_path.iterdir()) == [path]


def test_images_that_are_read_are_not_the_model_that_is_written(
    tmp_path: Path, digits: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scans.npz"
    np.savez(path, images=np.concatenate([digits, digits[:, ::-1]]))
    before = path.read_bytes()
    assert run(["train", str(path), "-o", str(path), *TRAINING, "-f"]) == 1
    assert "is an input" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["m.npz", "m.json", "m.md"])
def test_a_run_does_not_take_the_place_of_what_it_makes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", str(DIGITS), "-o", str(tmp_path / "m.npz"), "--folder", str(tmp_path / name), *TRAINING]
    assert run(command) == 1
    assert f"{name} is an output file of the training: choose another folder with --folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_written_is_refused_before_hours_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_bytes(b"precious")
    command = ["train", str(DIGITS), "-o", str(tmp_path / "notes" / "m.npz"), "--folder", str(tmp_path / "run"), *TRAINING]
    assert run(command) == 1
    assert "notes" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_nothing_is_written_or_removed_where_the_images_cannot_be_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "m.npz.run"
    saved = folders.check(folder, str(DIGITS), budgeted_recipe.STAGES, False, False)
    folders.begin(saved, budgeted_recipe.STAGES, False)
    (folder / "rounded.pt").write_bytes(b"hours of training")
    assert run(["train", str(DIGITS), "-o", str(tmp_path / "m.npz"), *TRAINING, "-f"]) == 1  # 64 are too few
    assert (folder / "rounded.pt").read_bytes() == b"hours of training"
    assert run(["train", str(tmp_path / "nothing.npy"), "-o", str(tmp_path / "other.npz"), *TRAINING, "-f"]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"m.npz.run"}


def test_a_data_set_by_name_without_a_home_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    class VisionDataset:
        pass

    kinds = {"VisionDataset": VisionDataset, "MNIST": type("MNIST", (VisionDataset,), {})}
    stand_in = type(sys)("torchvision")
    stand_in.datasets = type("datasets", (), kinds)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    monkeypatch.setattr(Path, "home", nowhere)
    assert run(["train", "mnist", "-o", str(tmp_path / "m.npz")]) == 1
    output = capsys.readouterr().err
    assert "no home folder" in output
    assert "give the path of its files" in output
    assert output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_files_that_a_user_puts_into_a_run_stay_though_it_begins_anew(tmp_path: Path, digits: Pixels) -> None:
    np.save(tmp_path / "mine.npy", np.concatenate([digits, digits[:, ::-1]]))
    command = ["train", str(tmp_path / "mine.npy"), "-o", str(tmp_path / "m.npz"), *TRAINING]
    assert run(command) == 0
    made = fill(tmp_path / "m.npz.run", ["other.csv", "other.pt", "notes/rounded.pt"])
    assert run([*command, "-f"]) == 0
    assert intact(made)


def test_an_old_run_without_a_marker_goes_on_only_if_nothing_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "rounded.pt").write_bytes(b"old")
    with pytest.raises(OptionError, match="did not write"):
        folders.check(tmp_path, str(DIGITS), budgeted_recipe.STAGES, False, True)
    saved = folders.check(tmp_path, str(DIGITS), budgeted_recipe.STAGES, True, False)
    folders.begin(saved, budgeted_recipe.STAGES, True)
    assert (tmp_path / "rounded.pt").read_bytes() == b"old"
    (tmp_path / MARKER).unlink()
    (tmp_path / "mine.csv").write_text("1")
    with pytest.raises(OptionError, match="did not write"):
        folders.check(tmp_path, str(DIGITS), budgeted_recipe.STAGES, True, False)


@pytest.mark.parametrize("name", BENCH_NAMES)
def test_a_benchmark_refuses_to_replace_a_file_of_another_maker(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"precious")
    code = run(["bench", str(DIGITS), "-o", str(tmp_path), *BENCH])
    assert path.read_bytes() == b"precious"
    if code:
        assert "was not written by mnistzip bench: choose another folder" in capsys.readouterr().err
        assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]
    else:
        assert name in ("images.npz", "measurements/webp@q10.partial7", "measurements/x.partial", "files/a.bin")


def test_a_benchmark_in_a_folder_of_other_files_goes_on_and_leaves_them_alone(tmp_path: Path) -> None:
    names = ["images.npz", "plots/mine.png", "measurements/x.partial3", "measurements/mine.npz", "files/a.bin"]
    made = fill(tmp_path, names)
    command = ["bench", str(DIGITS), "-o", str(tmp_path), *BENCH]
    assert run(command) == 0
    made |= fill(tmp_path / "files" / "deflate", ["notes.txt", "2.bin.bak"]) | fill(tmp_path / "plots", ["late.svg"])
    assert run(command) == 0
    assert run([*command, "--fresh"]) == 0
    assert intact(made)
    assert (tmp_path / "report.html").exists()


def test_a_damaged_or_hostile_marker_gives_no_right_to_remove_anything(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    folder = tmp_path / "out"
    folder.mkdir()
    for text in (
        "",
        "[]",
        "null",
        json.dumps({"program": "mnistzip", "command": "train", "files": ["../victim"], "notes": {}}),
        json.dumps({"program": "mnistzip", "command": "train", "files": [str(victim)], "notes": {}}),
        json.dumps({"program": "mnistzip", "command": "train", "files": ["..\\victim"], "notes": {}}),
        json.dumps({"program": "mnistzip", "command": "train", "files": [1], "notes": {}}),
        json.dumps({"program": "other", "command": "train", "files": ["a"], "notes": {}}),
        json.dumps({"program": "mnistzip", "command": "bench", "files": ["a"], "notes": {}}),
    ):
        (folder / MARKER).write_text(text)
        made = OutputFolder(folder, "train")
        assert not made.marked
        with pytest.raises(OptionError, match="was not written by mnistzip train"):
            made.claim(["plan.json"], "go elsewhere")
        assert (folder / MARKER).read_text() == text
    assert victim.read_bytes() == b"precious"


def test_only_files_that_are_listed_are_removed_and_folders_in_their_place_stay(tmp_path: Path) -> None:
    made = OutputFolder(tmp_path / "out", "train")
    made.claim(["a", "b"], "")
    (tmp_path / "out" / "a").write_bytes(b"ours")
    (tmp_path / "out" / "b").mkdir()
    (tmp_path / "out" / "b" / "c").write_bytes(b"precious")
    (tmp_path / "out" / "d").write_bytes(b"precious")
    again = OutputFolder(tmp_path / "out", "train")
    again.remove(["a", "b", "b/c", "d"])
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["b", "c", "d", MARKER]
