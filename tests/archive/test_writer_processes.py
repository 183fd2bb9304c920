"""Processes that share an archive: forks of a writer, and several that append at the same time."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mnistzip
from mnistzip.models import registry
from mnistzip.storage import atomic
from mnistzip.storage.atomic import AtomicFile
from mnistzip.types import Pixels
from support.paths import VECTORS

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
APPENDING = 4  # processes, each of which appends so many times
TIMES = 12

FORKS = """
import os, sys
import mnistzip, numpy as np
noise = np.random.default_rng(1).integers(0, 256, (2100, 28, 28), np.uint8)  # two groups and more
with mnistzip.ArchiveWriter(sys.argv[1], effort=0, model="mnist-fast", threads={threads}) as writer:
    writer.extend(noise)
    if os.fork() == 0:
        {child}
    os.wait()
    writer.extend(noise)
assert len(mnistzip.Archive(sys.argv[1])[:]) == 4200
"""


@needs_fork
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("child", ["sys.exit()", "writer.close()", "writer.extend(noise)", "writer.abandon(); sys.exit()"])
def test_a_fork_of_a_writer_does_not_touch_the_archive(child: str, threads: int, tmp_path: Path) -> None:
    path = tmp_path / "a.cae"
    script = FORKS.format(child=child, threads=threads)
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert ("opened by another process" in done.stderr) == ("exit" not in child)
    assert os.listdir(tmp_path) == ["a.cae"]


def _append(path: Path, digit: Pixels) -> int:
    """How many of some appends raise nothing."""
    done = 0
    for _ in range(TIMES):
        try:
            with mnistzip.ArchiveWriter(path, append=True, effort=0, model="mnist-fast") as writer:
                writer.add(digit)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EEXIST):
                raise
        else:
            done += 1
    return done


def test_of_processes_that_append_at_the_same_time_none_loses_images_of_another(digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "a.cae"
    with multiprocessing.get_context("spawn").Pool(APPENDING) as pool:
        done = pool.starmap(_append, [(path, digits[0])] * APPENDING)
    with mnistzip.Archive(path) as archive:
        assert len(archive) == sum(done) > 0


def test_a_change_between_the_check_and_the_move_is_not_overwritten(tmp_path: Path) -> None:
    """The first of two writers holds a lock on the old file while it checks and moves."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    first, second = AtomicFile(path), AtomicFile(path)
    waited = []

    def commit_second() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(atomic, "LOCK_SECONDS", 0.05)
            patch.setattr(atomic.time, "sleep", waited.append)
            second.commit()

    first.before_replace = commit_second
    first.file.write(b"first")
    second.file.write(b"second")
    first.commit()
    assert path.read_bytes() == b"first"
    assert waited, "the second writer did not wait for the lock"


def test_an_archive_can_be_written_where_the_file_system_has_no_hard_links(
    tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.cae"
    with mnistzip.ArchiveWriter(path, overwrite=False) as writer:
        writer.add(digits[0])
    assert len(mnistzip.Archive(path)) == 1
    with pytest.raises(FileExistsError), mnistzip.ArchiveWriter(path, overwrite=False) as writer:
        writer.add(digits[1])
    assert len(list(tmp_path.glob(".mnistzip-*"))) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_devices_are_not_appended_to() -> None:
    """/dev/full has no end."""
    for device in ("/dev/full", "/dev/null"):
        with pytest.raises(mnistzip.OptionError, match=f"{device} is a pipe or a device"):
            mnistzip.ArchiveWriter(device, append=True)


def test_archives_and_models_go_to_other_processes(digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "a.cae"
    path.write_bytes(mnistzip.encode_archive(digits[:3], model="mnist-fast", quality=30))
    shipped = registry.shipped("mnist-fast")
    assert pickle.loads(pickle.dumps(shipped)) is shipped
    own = registry.find(VECTORS / "own" / "own.npz")
    assert pickle.loads(pickle.dumps(own)).fingerprint == own.fingerprint
    with mnistzip.Archive(path, model=shipped) as archive:
        again = pickle.loads(pickle.dumps(archive))
        assert np.array_equal(again[1], archive[1])
        again.close()
