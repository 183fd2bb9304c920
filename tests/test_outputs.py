"""Where results go: what a user has is kept, what cannot be written is refused, and what is left out is said."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import forge
import mnistzip
from mnistzip import storage
from mnistzip.cli.main import run
from mnistzip.storage import WholeFile

Pixels = NDArray[np.uint8]
Out = pytest.CaptureFixture[str]
PACKAGE = Path(mnistzip.__file__).parent


def mz(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def partials(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".mnistzip")]


# File systems that lack something


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_modes_times_owners_or_sync_is_written_to(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    path, like = tmp_path / "out", tmp_path / "like"
    path.write_bytes(b"old")
    like.write_bytes(b"")
    real_stat = os.stat

    def of_another(file: Any, **options: Any) -> os.stat_result:
        status = real_stat(file, **options)
        return status if os.fspath(file) != str(path) else os.stat_result((*status[:4], 4321, 4321, *status[6:]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", of_another)
        for name in ("chmod", "utime", "chown", "fsync"):
            patch.setattr(os, name, fail)
        with WholeFile(path, str(like)) as file:
            file.write(b"new")
    assert path.read_bytes() == b"new"
    assert not partials(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_failed_is_not_taken_for_one_that_cannot_sync(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)), WholeFile(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert not partials(tmp_path)


@pytest.mark.parametrize("option", ["-f", "--append"])
def test_the_owner_of_a_file_that_is_replaced_stays_its_owner(
    option: str, tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = tmp_path / "digits.cae", []
    path.write_bytes(mnistzip.encode_archive(digits[:2], lossless=True, model="classic"))
    path.chmod(0o640)
    np.save(tmp_path / "more.npy", digits[2:4])
    owner, group = (1234, 2345) if os.geteuid() == 0 else (os.geteuid() + 1, os.getegid() + 1)
    if os.geteuid() == 0:
        os.chown(path, owner, group)
    else:
        real_stat, real = os.stat, str(path)

        def of_another(file: Any, **options: Any) -> os.stat_result:
            status = real_stat(file, **options)
            return status if os.fspath(file) != real else os.stat_result((*status[:4], owner, group, *status[6:]))

        monkeypatch.setattr(os, "stat", of_another)
        monkeypatch.setattr(os, "chown", lambda _path, user, group: asked.append((user, group)))
    assert mz("compress", tmp_path / "more.npy", "--lossless", "--model", "classic", option, "-o", path, "--quiet") == 0
    status = path.stat()
    assert status.st_mode & 0o777 == 0o640
    assert asked == [(owner, group)] or (status.st_uid, status.st_gid) == (owner, group)


def test_who_may_not_give_a_file_away_keeps_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, given = tmp_path / "x", []
    path.write_bytes(b"")

    def chown(_: str, user: int, group: int) -> None:
        if user != -1:
            raise PermissionError(errno.EPERM, "no")
        given.append((user, group))

    monkeypatch.setattr(os, "chown", chown)
    status = path.stat()
    storage._keep_owner(str(path), os.stat_result((*status[:4], status.st_uid + 1, status.st_gid + 1, *status[6:])))
    assert given == [(-1, status.st_gid + 1)]


# Writers that were forgotten


def test_a_writer_that_is_forgotten_leaves_no_file_and_a_warning(tmp_path: Path, digits: Pixels) -> None:
    writer = mnistzip.ArchiveWriter(tmp_path / "digits.cae")
    writer.add(digits[0])
    assert partials(tmp_path)
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning, match=r"digits\.cae was not closed: nothing was written there"):
        held.clear()
    assert os.listdir(tmp_path) == []


def test_a_writer_that_is_open_when_python_ends_leaves_no_file(tmp_path: Path) -> None:
    script = """
import os, sys, mnistzip
kept = mnistzip.ArchiveWriter(sys.argv[1])
if os.fork() == 0:
    sys.exit(0)  # a child that ends takes nothing from its parent
os.wait()
assert [name for name in os.listdir(os.path.dirname(sys.argv[1])) if name.endswith(".partial")]
"""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", script, str(tmp_path / "x.cae")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("was not closed") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("end", ["commit", "abandon"])
def test_a_file_that_was_ended_is_not_warned_of(end: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    whole = WholeFile(tmp_path / "x")
    getattr(whole, end)()
    del whole
    gc.collect()
    assert not recwarn.list
    assert os.listdir(tmp_path) == (["x"] if end == "commit" else [])


# No home directory, no folder of the package


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, as in a container that runs under any number."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "MNISTZIP_MODEL_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_directory_models_are_listed_found_and_missed(tmp_path: Path, digit: Pixels, capsys: Out) -> None:
    (tmp_path / "mine.npz").write_bytes(forge.own())
    packed = tmp_path / "x.cae"
    packed.write_bytes(mnistzip.encode(digit, model=tmp_path / "mine.npz", effort=0))
    assert mz("models") == 0
    assert mz("compress", packed, "--model", "nosuch") == 1
    assert "no model 'nosuch'" in capsys.readouterr().err
    assert mz("test", packed) == 1
    assert "needs the custom model" in capsys.readouterr().err
    assert mz("test", packed, "--model", tmp_path / "mine.npz") == 0
    assert mz("models", "--add", tmp_path / "mine.npz") == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "XDG_DATA_HOME" in told
    assert "MNISTZIP_MODEL_PATH" in told


def test_the_package_works_from_a_zip_file(tmp_path: Path) -> None:
    """As Spark's ``--py-files`` hands it out."""
    zipped = tmp_path / "mnistzip.zip"
    folders = {"": PACKAGE} | {
        f"{name}/": Path(__import__(f"mnistzip.{name}", fromlist=["_"]).__file__).parent
        for name in ("bench", "cli", "data", "plugins", "pretrained")
    }
    with zipfile.ZipFile(zipped, "w") as archive:
        for below, folder in folders.items():
            for file in folder.iterdir():
                if file.is_file():
                    archive.write(file, f"mnistzip/{below}{file.name}")
    script = f"""
import sys
sys.path[:] = [{str(zipped)!r}] + [p for p in {[p for p in sys.path if p]!r} if "site-packages" in p or "python3" in p]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import numpy as np, mnistzip
from mnistzip.bench import report, samples
assert mnistzip.__file__.startswith({str(zipped)!r}), mnistzip.__file__
image = np.arange(784, dtype=np.uint8).reshape(28, 28)
for options in ({{"lossless": True}}, {{"model": "glyph", "effort": 0}}):
    file = mnistzip.encode(image, **options)
    assert mnistzip.decode(file).shape == (28, 28)
assert mnistzip.Archive(mnistzip.encode_archive([image], lossless=True))[0].tolist() == image.tolist()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
