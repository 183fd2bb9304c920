"""The process and the machine around it: full disks, closed pipes, outputs that cannot be written, several writers at once."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import mnistzip
from mnistzip.cli.main import run
from mnistzip.data import images

Pixels = NDArray[np.uint8]
COMMAND = [sys.executable, "-m", "mnistzip"]


def told(*words: object, limit: int | None = None, stdout: int | None = subprocess.PIPE) -> tuple[int, list[str]]:
    """Exit code and lines on stderr; files of more than ``limit`` bytes cannot be written, as on a disk that fills up."""

    def fill_up() -> None:
        assert limit is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*COMMAND, *map(str, words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=None if limit is None else fill_up,
    )
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """An IDX-like array whose files have some 25 kB."""
    path = tmp_path / "noise.npy"
    np.save(path, np.random.default_rng(3).integers(0, 256, (32, 28, 28)).astype(np.uint8))
    return path


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_part_of_the_new(noise: Path) -> None:
    packed = noise.with_suffix(".cae")
    code, lines = told("compress", noise, "--lossless", limit=9000)
    assert (code, len(lines)) == (1, 1)
    assert "File too large" in lines[0]
    assert list(noise.parent.iterdir()) == [noise]
    assert run(["compress", str(noise), "--lossless", "--quiet"]) == 0
    before = packed.read_bytes()
    for words in (["compress", noise, "--lossless", "-f"], ["compress", noise, "--lossless", "--append", "-o", packed]):
        assert told(*words, limit=9000)[0] == 1
        assert packed.read_bytes() == before
    assert told("decompress", packed, "-o", noise.with_name("back.npy"), limit=9000)[0] == 1
    assert sorted(noise.parent.iterdir()) == [packed, noise]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_stdout_is_one_line(digit_png: Path) -> None:
    with open("/dev/full", "wb") as full:
        code, lines = told("compress", digit_png, "-o", "-", "--quiet", stdout=full.fileno())
    assert code == 1
    assert [line for line in lines if "No space left on device" in line] == lines[:1]


@pytest.mark.parametrize("to", ["png", "npy"])
def test_a_closed_stdout_ends_quietly(to: str, digit_png: Path) -> None:
    assert run(["compress", str(digit_png), "--quiet"]) == 0
    packed = digit_png.with_suffix(".cae")
    reading, writing = os.pipe()
    os.close(reading)
    code, lines = told("decompress", packed, "--to", to, "-o", "-", stdout=writing)
    os.close(writing)
    assert lines == []
    assert code != 0


def test_a_folder_that_cannot_be_written_is_one_line(digit_png: Path) -> None:
    if os.getuid() == 0:
        code, lines = told("compress", digit_png, "-o", "/proc/digit.cae")  # not even root may
    else:
        folder = digit_png.parent / "locked"
        folder.mkdir()
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        code, lines = told("compress", digit_png, "-o", folder / "digit.cae")
    assert (code, len(lines)) == (1, 1)


def test_an_output_that_is_a_folder_a_file_in_the_way_or_the_input_is_refused(digit_png: Path) -> None:
    before = digit_png.read_bytes()
    taken = digit_png.with_suffix(".cae")
    taken.mkdir()
    (digit_png.parent / "file").write_bytes(b"kept")
    for words in (
        ["compress", digit_png],
        ["compress", digit_png, "-o", digit_png.parent / "file" / "x.cae"],
        ["compress", digit_png, "-o", digit_png, "-f"],
    ):
        code, lines = told(*words)
        assert (code, len(lines)) == (1, 1), words
    assert digit_png.read_bytes() == before
    assert (digit_png.parent / "file").read_bytes() == b"kept"
    assert not list(taken.iterdir())


def test_eight_writers_side_by_side_leave_whole_files(noise: Path, digits: Pixels) -> None:
    same, folder = noise.with_name("same.cae"), noise.parent / "files"
    sources = []
    for k in range(8):
        np.save(noise.with_name(f"{k}.npy"), np.roll(digits, k, axis=0))
        sources.append(noise.with_name(f"{k}.npy"))
    commands = [[*COMMAND, "compress", str(source), "--lossless", "-f", "-o", str(same)] for source in sources]
    commands += [[*COMMAND, "compress", str(source), "--lossless", "-o", f"{folder}/{source.stem}.cae"] for source in sources]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait(120) for process in running] == [0] * 16
    written = [np.stack(list(mnistzip.Archive(folder / f"{k}.cae"))) for k in range(8)]
    assert all((some == np.roll(digits, k, axis=0)).all() for k, some in enumerate(written))
    last = np.stack(list(mnistzip.Archive(same)))
    assert any((last == some).all() for some in written)
    assert not [path for path in noise.parent.rglob("*") if "partial" in path.name]


def test_ten_thousand_files_on_one_command_line(digit_png: Path) -> None:
    names = []
    for k in range(10_000):
        name = digit_png.parent / f"{k}.png"
        os.link(digit_png, name)
        names.append(str(name))
    out = digit_png.parent / "out"
    code, lines = told("compress", *names, "--lossless", "--model", "classic", "--quiet", "-o", str(out) + os.sep)
    assert (code, lines) == (0, [])
    assert len(list(out.iterdir())) == 10_000
    assert (out / "9999.cae").read_bytes() == mnistzip.encode(images.read_image(str(digit_png)), lossless=True, model="classic")
