"""Where results go: what a user has is kept, what cannot be written is refused, and what is left out is said."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.storage import atomic
from mnistzip.storage.atomic import AtomicFile
from mnistzip.types import Pixels
from support import forge

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
        with AtomicFile(path, str(like)) as file:
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
    with pytest.raises(OSError, match=os.strerror(number)), AtomicFile(path) as file:
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
    atomic._copy_owner(str(path), os.stat_result((*status[:4], status.st_uid + 1, status.st_gid + 1, *status[6:])))
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("was not closed") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("end", ["commit", "abandon"])
def test_a_file_that_was_ended_is_not_warned_of(end: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    whole = AtomicFile(tmp_path / "x")
    getattr(whole, end)()
    del whole
    gc.collect()
    assert not recwarn.list
    assert os.listdir(tmp_path) == (["x"] if end == "commit" else [])


def test_a_file_that_is_not_whole_yet_says_what_it_is(tmp_path: Path) -> None:
    for name in ("digits.cae", "ä" * 120):
        whole = AtomicFile(tmp_path / name)
        (partial,) = partials(tmp_path)
        assert partial.startswith(f".mnistzip-{name[:32]}-")
        assert partial.endswith(".partial")
        whole.commit()
        assert (tmp_path / name).is_file()


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
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "XDG_DATA_HOME" in output
    assert "MNISTZIP_MODEL_PATH" in output


def test_the_package_works_from_a_zip_file(tmp_path: Path) -> None:
    """As Spark's ``--py-files`` hands it out."""
    zipped = tmp_path / "mnistzip.zip"
    folders = {"": PACKAGE} | {
        f"{name}/": Path(__import__(f"mnistzip.{name}", fromlist=["_"]).__file__).parent
        for name in ("bench", "cli", "plugins", "pretrained")
    }
    files = {
        f"mnistzip/{below}{file.relative_to(folder).as_posix()}": file
        for below, folder in folders.items()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, file in files.items():
            archive.write(file, name)
    script = f"""
import sys
sys.path[:] = [{str(zipped)!r}] + [p for p in {[p for p in sys.path if p]!r} if "site-packages" in p or "python3" in p]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import numpy as np, mnistzip
from mnistzip.bench.report import samples, write
assert mnistzip.__file__.startswith({str(zipped)!r}), mnistzip.__file__
image = np.arange(784, dtype=np.uint8).reshape(28, 28)
for options in ({{"lossless": True}}, {{"model": "glyph", "effort": 0}}):
    file = mnistzip.encode(image, **options)
    assert mnistzip.decode(file).shape == (28, 28)
assert mnistzip.Archive(mnistzip.encode_archive([image], lossless=True))[0].tolist() == image.tolist()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr


# Addresses


@pytest.fixture
def memory() -> Iterator[dict[str, bytes]]:
    """What lies in fsspec's memory, emptied before and after."""
    files = pytest.importorskip("fsspec").filesystem("memory")

    class Content(dict[str, bytes]):
        def __missing__(self, name: str) -> bytes:
            return bytes(files.cat_file(name))

    files.store.clear()
    yield Content()
    files.store.clear()


def stored() -> list[str]:
    import fsspec

    return sorted(fsspec.filesystem("memory").store)


@pytest.fixture
def inputs(tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with images, arrays, labels and archives."""
    monkeypatch.chdir(tmp_path)
    for k in range(3):
        Image.fromarray(digits[k]).save(f"{k}.png")
    np.save("many.npy", digits[:3])
    np.save("labels.npy", np.arange(3))
    Path("one.cae").write_bytes(mnistzip.encode(digits[0], lossless=True, model="classic"))
    several = {"labels": range(5, 8), "lossless": True, "model": "classic"}
    Path("set.cae").write_bytes(mnistzip.encode_archive(digits[:3], **several))  # type: ignore[arg-type]
    Path("named.cae").write_bytes(mnistzip.encode_archive(digits[:3], names=["a", "b/c.bmp", "d"], **several))  # type: ignore[arg-type]
    return tmp_path


ADDRESSES: dict[str, list[str]] = {  # a command that writes to an address, and what lies there then
    "compress 0.png -o memory://b/x.cae": ["/b/x.cae"],
    "compress 0.png 1.png -o memory://b/x/": ["/b/x/0.cae", "/b/x/1.cae"],
    "compress many.npy -o memory://b/x.cae": ["/b/x.cae"],
    "compress many.npy -o memory://b/": ["/b/many.cae"],
    "decompress one.cae -o memory://b/x.png": ["/b/x.png"],
    "decompress one.cae -o memory://b/": ["/b/one.png"],
    "decompress set.cae -o memory://b/x.npz": ["/b/x.npz"],
    "decompress set.cae -o memory://b/x-idx3-ubyte.gz": ["/b/x-idx3-ubyte-labels-idx1-ubyte.gz", "/b/x-idx3-ubyte.gz"],
    "decompress set.cae --to idx -o memory://b/x --labels memory://b/y": ["/b/x", "/b/y"],
    "decompress set.cae --index 1 -o memory://b/x.png": ["/b/x.png"],
    "decompress set.cae -o memory://b/x.parquet": ["/b/x.parquet"],
    "decompress named.cae -o memory://b/x/": ["/b/x/a.png", "/b/x/b/c.bmp", "/b/x/d.png", "/b/x/labels.csv"],
    "decompress one.cae named.cae --to npz -o memory://b/x": ["/b/x/named.npz", "/b/x/one.png"],
    "show set.cae -o memory://b/x.png": ["/b/x.png"],
    "compare 0.png one.cae -o memory://b/x.png": ["/b/x.png"],
}


@pytest.mark.parametrize("command", ADDRESSES)
def test_what_goes_to_an_address_arrives_there_and_not_in_a_folder_of_that_name(
    command: str, inputs: Path, memory: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = sorted(os.listdir(inputs))
    failed = command.startswith("decompress one.cae named.cae")  # no single file is .npz
    assert mz(*command.split()) == failed
    assert stored() == ADDRESSES[command][: -1 if failed else None]
    assert sorted(os.listdir(inputs)) == before
    local = tmp_path_factory.mktemp("local")
    assert mz(*command.replace("memory://b", str(local)).split()) == failed
    for name in stored():
        if not name.endswith((".npz", ".parquet")):  # which hold the time
            assert memory[name] == (local / name.removeprefix("/b/")).read_bytes()


@pytest.mark.parametrize("command", [command for command in ADDRESSES if "one.cae named" not in command])
def test_what_lies_at_an_address_is_replaced_only_with_f(
    command: str, inputs: Path, memory: dict[str, bytes], capsys: Out
) -> None:
    assert mz(*command.split()) == 0
    before = {name: memory[name] for name in stored()}
    capsys.readouterr()
    assert mz(*command.split()) == 1
    output = capsys.readouterr().err
    assert "exists already: -f overwrites it" in output
    assert {name: memory[name] for name in stored()} == before
    import fsspec

    for name in before:
        fsspec.filesystem("memory").pipe_file(name, b"old")
    assert mz(*command.split(), "-f") == 0
    assert b"old" not in {memory[name] for name in stored()}


def test_an_archive_at_an_address_is_appended_to(
    inputs: Path, memory: dict[str, bytes], digits: Pixels, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    command = ["compress", "many.npy", "--lossless", "--model", "classic", "--append", "-o", "memory://b/x.cae", "--quiet"]
    for count in (3, 6):
        assert mz(*command) == 0
        with mnistzip.Archive("memory://b/x.cae") as archive:
            assert (np.stack(archive[:]) == np.concatenate([digits[:3]] * (count // 3))).all()
    import fsspec

    writer = mnistzip.ArchiveWriter("memory://b/x.cae", append=True)
    fsspec.filesystem("memory").pipe_file("/b/x.cae", b"of somebody else")
    with pytest.raises(OSError, match="was changed while images were added"):
        writer.close()
    assert memory["/b/x.cae"] == b"of somebody else"
    assert mz(*command) == 1
    assert memory["/b/x.cae"] == b"of somebody else"


def test_an_error_leaves_what_lies_at_an_address(inputs: Path, memory: dict[str, bytes], digits: Pixels) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/b/x.cae", b"old")
    with pytest.raises(mnistzip.ImageError), mnistzip.ArchiveWriter("memory://b/x.cae") as writer:
        writer.extend([digits[0], digits[0] / 255])
    assert memory["/b/x.cae"] == b"old"


@pytest.mark.parametrize("already", [True, False])
def test_a_transfer_that_fails_leaves_what_was_at_the_address(
    already: bool, inputs: Path, memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

    if already:
        MemoryFileSystem().pipe_file("/b/x.cae", b"old")

    def fail(*_: object) -> None:
        raise RuntimeError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFile, "write", fail)
        assert mz("compress", "0.png", "-f", "-o", "memory://b/x.cae", "--quiet") == 1
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "memory://b/x.cae: cannot be written" in output
    assert "the network is gone" in output
    assert stored() == ["/b/x.cae"] * already
    assert not already or memory["/b/x.cae"] == b"old"


def test_an_input_at_an_address_is_never_overwritten(inputs: Path, memory: dict[str, bytes], capsys: Out) -> None:
    import fsspec

    content = Path("set.cae").read_bytes()
    fsspec.filesystem("memory").pipe_file("/b/set", content)
    for output in ("memory://b/set", "memory:///b/set"):
        command = f"decompress memory://b/set --to npy -o {output}"
        assert mz(*command.split(), "-f") == 1
        assert "is an input" in capsys.readouterr().err
        assert memory["/b/set"] == content


def test_the_result_of_an_input_at_an_address_goes_into_the_current_folder(inputs: Path, memory: dict[str, bytes]) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/b/far.cae", Path("set.cae").read_bytes())
    before = set(os.listdir(inputs))
    assert mz("decompress", "memory://b/far.cae") == 0
    assert set(os.listdir(inputs)) - before == {"far.npz"}


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("compress 0.png -o simplecache::memory://b/x.cae", 1, "chain of addresses, which can only be read"),
        ("compress 0.png -o nosuch://b/x.cae", 1, "no address that fsspec supports"),
        ("compress many.npy -o nosuch://b/x.cae", 1, "no address that fsspec supports"),
        pytest.param(
            "compress many.npy --engine ray -o memory://b/x",
            1,
            "folder that all workers see",
            marks=pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray"),
        ),
        ("bench 0.png -o memory://b/x", 2, "give a local path"),
        ("train many.npy -o memory://b/x.npz", 2, "give a local path"),
        ("train many.npy -o x.npz --folder memory://b/x", 2, "give a local path"),
    ],
)
def test_an_address_that_cannot_be_written_is_refused_with_the_reason(
    command: str, code: int, says: str, inputs: Path, memory: dict[str, bytes], capsys: Out
) -> None:
    before = sorted(os.listdir(inputs))
    assert mz(*command.split()) == code
    assert says in " ".join(capsys.readouterr().err.split())
    assert sorted(os.listdir(inputs)) == before
    assert stored() == []


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of a file system with real folders, as those of other machines are."""
    pytest.importorskip("fsspec")
    from fsspec.implementations.local import LocalFileSystem

    class Disk(LocalFileSystem):
        protocol = "disk"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.removeprefix("disk://"))

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "disk", Disk)
    return f"disk://{tmp_path}"


def test_the_folders_of_an_address_are_made(disk: str, inputs: Path) -> None:
    assert mz("compress", "-r", ".", "-o", f"{disk}/new/deep/", "--quiet", "-e", "0") == 0
    assert sorted(os.listdir(inputs / "new" / "deep")) == ["0.cae", "1.cae", "2.cae"]
    assert mz("compress", "0.png", "-o", f"{disk}/new/deep/", "--quiet", "-e", "0") == 1


def test_what_a_first_name_stands_for_is_not_made(disk: str, tmp_path: Path, capsys: Out) -> None:
    with pytest.raises(FileNotFoundError, match="No such file or directory: 'disk:///no-such-top-mnistzip/new/x'"):
        AtomicFile("disk:///no-such-top-mnistzip/new/x").commit()
    assert not Path("/no-such-top-mnistzip").exists()
    with AtomicFile(f"{disk}/x") as file:  # one that failed is in nobody's way
        file.write(b"x")
    assert (tmp_path / "x").read_bytes() == b"x"


def test_a_file_system_that_only_reads_is_named(memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def read_only(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(MemoryFileSystem, "_open", read_only)
    whole = AtomicFile("memory://x")
    with pytest.raises(mnistzip.OptionError, match="memory://x cannot be written: its file system does not support that"):
        whole.commit()


def test_an_output_at_an_address_without_fsspec_names_the_command(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    for command in (
        "compress 0.png -o s3://b/x.cae",
        "compress many.npy -o s3://b/x.cae",
        "decompress set.cae -o s3://b/x.npz",
    ):
        assert mz(*command.split()) == 1
        output = capsys.readouterr().err
        assert output.count("\n") == 1
        assert "pip install 'mnistzip[fsspec]'" in output
    with pytest.raises(mnistzip.OptionError, match=r"pip install 'mnistzip\[fsspec\]'"):
        mnistzip.ArchiveWriter("s3://b/x.cae")


def test_an_address_of_this_machine_is_a_path(inputs: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)  # nobody needs it for that
    assert mz("compress", "many.npy", "--lossless", "-o", f"file://{inputs}/new/x.cae") == 0
    with mnistzip.Archive(f"file://{inputs}/new/x.cae") as archive:
        assert len(archive) == 3
    assert mz("compress", "many.npy", "-o", f"file://{inputs}/new/x.cae") == 1
    assert mz("decompress", "new/x.cae", "--to", "npy", "-o", f"file://{inputs}/new/x.cae", "-f") == 1
    assert mz("decompress", "set.cae", "-o", f"file://{inputs}/new/") == 0
    with mnistzip.ArchiveWriter(f"file://{inputs}/new/x.cae", append=True) as writer:
        writer.add(digits[0])
    assert len(mnistzip.Archive("new/x.cae")) == 4
    assert sorted(os.listdir("new")) == ["000000.png", "000001.png", "000002.png", "labels.csv", "x.cae"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_with_a_colon_is_no_address(inputs: Path) -> None:
    for name in ("a:b", "C:\\x", "s3:/x"):
        assert mz("decompress", "one.cae", "-o", name) == 0
        assert Path(name).is_file()


# Names that say what an output is

KINDS_REFUSED = {  # a command with an output whose name says something else: the exit code, and what is said
    "decompress set.cae -o d.png": (2, "d.png holds one image, not 3: choose one with --index, or write all with -o FOLDER/"),
    "decompress named.cae -o scan.png": (2, "scan.png holds one image, not 3"),
    "decompress set.cae --range 0:2 -o two.png": (2, "two.png holds one image, not 2"),
    "decompress set.cae --to png -o d.png": (2, "d.png holds one image, not 3"),
    "decompress set.cae -o d.jpg": (1, "mnistzip does not write '.jpg' images"),
    "decompress set.cae -o d.gif": (1, "use a lossless format"),
    "decompress set.cae -o d.cae": (1, "mnistzip does not write '.cae' images"),
    "decompress set.cae --index 1 -o out.jpg": (1, "mnistzip does not write '.jpg' images"),
    "decompress one.cae -o d.jpg": (1, "mnistzip does not write '.jpg' images"),
    "decompress one.cae -o d.cae": (1, "mnistzip does not write '.cae' images"),
    "decompress one.cae -o d.png.gz": (1, "mnistzip does not write '.gz' images"),
    "decompress set.cae -o x.npy.gz": (2, "only IDX can be gzipped: use -o x.npy"),
    "decompress set.cae --index 1 -o x.png.gz": (2, "only IDX can be gzipped: use -o x.png"),
    "decompress set.cae --to npz -o x.gz": (2, "only IDX can be gzipped: use -o x"),
    "decompress set.cae -o x.zip": (2, ".zip is not a known format: choose the format of x.zip with --to"),
    "decompress named.cae -o x.csv": (2, ".csv is not a known format"),
    "decompress set.cae --to idx -o x.npz": (2, "--to idx contradicts the name x.npz"),
    "decompress set.cae --to npy -o x.parquet": (2, "--to npy contradicts the name x.parquet"),
    "decompress set.cae --to npz -o x-idx3-ubyte": (2, "--to npz contradicts the name x-idx3-ubyte"),
    "decompress set.cae --to idx -o d.png": (2, "--to idx contradicts the name d.png"),
    "decompress set.cae --to folder -o d.png": (2, "--to folder contradicts the name d.png"),
    "decompress set.cae --to folder -o x.gz": (2, "--to folder contradicts the name x.gz"),
    "decompress set.cae --to bmp --index 1 -o d.png": (2, "--to bmp contradicts the name d.png"),
    "decompress set.cae --to png -o x.npz": (2, "--to png contradicts the name x.npz"),
    "decompress one.cae --to bmp -o d.png": (2, "--to bmp contradicts the name d.png"),
    "decompress one.cae set.cae -o d.png": (2, "d.png takes one output: name a folder"),
    "compress 0.png -o x.jpg": (1, "compress writes .cae files, not .jpg: use -o x.cae"),
    "compress 0.png -o x.png.gz": (1, "compress writes .cae files, not .gz: use -o x.cae"),
    "compress many.npy -o x.npz": (1, "compress writes .cae files, not .npz: use -o x.cae"),
    "compress 0.png --bare -o x.png": (1, "compress writes .bare files, not .png: use -o x.bare"),
    "compress 0.png 1.png -o x.png": (2, "x.png takes one output: name a folder"),
    "show set.cae -o x.jpg": (1, "mnistzip does not write '.jpg' images"),
    "compare 0.png one.cae -o x.gif": (1, "mnistzip does not write '.gif' images"),
}


@pytest.mark.parametrize("command", KINDS_REFUSED)
def test_an_output_whose_name_says_something_else_is_refused(command: str, inputs: Path, capsys: Out) -> None:
    before = sorted(os.listdir(inputs))
    code, says = KINDS_REFUSED[command]
    assert mz(*command.split(), "-f") == code
    assert says in capsys.readouterr().err
    assert sorted(os.listdir(inputs)) == before


STARTS = {  # a command, what it writes, and how that begins
    "decompress set.cae --range 2:3 -o three.png": {"three.png": b"\x89PNG"},
    "decompress set.cae --range 2: --to bmp -o three": {"three": b""},  # a folder
    "decompress set.cae --range 2: --to tif -o three.tiff": {"three.tiff": b"II"},
    "decompress set.cae --index 2 -o three": {"three": b"\x89PNG"},
    "decompress set.cae --index 2 -o three.npy": {"three.npy": b"\x93NUMPY"},
    "decompress set.cae --index 2 -o three.npz": {"three.npz": b"PK"},
    "decompress set.cae --index 2 --to bmp": {"set-2.bmp": b"BM"},
    "decompress set.cae -o v1.2 --to npy": {"v1.2": b"\x93NUMPY"},
    "decompress set.cae -o my.data --to idx": {"my.data": b"\0\0\x08\3", "my.data-labels-idx1-ubyte": b"\0\0\x08\1"},
    "decompress set.cae -o x.gz --to idx": {"x.gz": b"\x1f\x8b", "x-labels-idx1-ubyte.gz": b"\x1f\x8b"},
    "decompress set.cae": {"set.npz": b"PK"},  # which holds the labels, too
    "decompress one.cae -o x.PGM": {"x.PGM": b"P5"},
    "decompress one.cae -o v1.2": {"v1.2": b"\x89PNG"},
    "decompress one.cae --to tif -o x.tiff": {"x.tiff": b"II"},
    "compress 0.png -o v1.2": {"v1.2": b""},
}


@pytest.mark.parametrize("command", STARTS)
def test_an_output_is_what_its_name_says(command: str, inputs: Path) -> None:
    before = set(os.listdir(inputs))
    assert mz(*command.split()) == 0
    assert set(os.listdir(inputs)) - before == set(STARTS[command])
    for name, start in STARTS[command].items():
        assert Path(name).is_dir() if "bmp -o three" in command else Path(name).read_bytes().startswith(start)


def test_a_folder_may_have_any_name_once_it_is_there(inputs: Path) -> None:
    Path("d.png").mkdir()
    assert mz("decompress", "set.cae", "-o", "d.png") == 0
    assert mz("decompress", "one.cae", "named.cae", "-o", "d.png") == 0
    assert sorted(os.listdir("d.png")) == ["000000.png", "000001.png", "000002.png", "labels.csv", "named", "one.png"]


# Labels and names that an output cannot hold


def test_a_folder_of_images_keeps_their_labels(inputs: Path) -> None:
    assert mz("decompress", "named.cae", "-o", "out") == 0
    assert Path("out/labels.csv").read_text() == "name,label\na.png,5\nb/c.bmp,6\nd.png,7\n"
    assert mz("decompress", "set.cae", "--range", "1:", "--to", "bmp", "-o", "bmp") == 0
    assert Path("bmp/labels.csv").read_text() == "name,label\n000001.bmp,6\n000002.bmp,7\n"


def test_labels_of_somebody_else_are_not_overwritten(inputs: Path, capsys: Out) -> None:
    Path("out").mkdir()
    Path("out/labels.csv").write_text("mine")
    assert mz("decompress", "set.cae", "-o", "out") == 1
    assert "labels.csv exists already: -f overwrites it" in capsys.readouterr().err
    assert os.listdir("out") == ["labels.csv"]
    assert Path("out/labels.csv").read_text() == "mine"
    assert mz("decompress", "set.cae", "-o", "out", "-f") == 0
    assert Path("out/labels.csv").read_text().startswith("name,label\n")


def test_an_image_below_a_folder_named_as_the_labels_gets_another_name(inputs: Path, digits: Pixels, capsys: Out) -> None:
    names = ["labels.csv/a.png", "LABELS.csv/b", "labels.csv", 'with,comma"']
    Path("odd.cae").write_bytes(
        mnistzip.encode_archive(digits[:4], names=names, labels=[4, -3, 2, 1 << 40], lossless=True, model="classic")
    )
    assert mz("decompress", "odd.cae", "-o", "out") == 0
    assert capsys.readouterr().err.count(" is written as ") == 2
    rows = Path("out/labels.csv").read_text().splitlines()
    assert rows == ["name,label", "000000.png,4", "000001.png,-3", "labels.csv.png,2", f'"with,comma"".png",{1 << 40}']
    assert len(list(Path("out").iterdir())) == 5


def test_labels_that_are_damaged_are_said_and_leave_their_images(inputs: Path, digits: Pixels, capsys: Out) -> None:
    content = bytearray(Path("set.cae").read_bytes())
    group = next(iter(mnistzip.Archive(bytes(content)).groups()))
    assert not isinstance(group, mnistzip.MnistzipError)
    content[group.offset + group.header.size - 2] ^= 1
    Path("set.cae").write_bytes(content)
    assert mz("decompress", "set.cae", "-o", "out/") == 1
    assert "labels from image 0 on" in capsys.readouterr().err
    assert mz("decompress", "set.cae", "-o", "out/", "--keep-going", "-f") == 1
    assert "images 0 to 2 lost the labels" in capsys.readouterr().err
    assert Path("out/labels.csv").read_text() == "name,label\n000000.png,\n000001.png,\n000002.png,\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("decompress set.cae -o x.npy", ".npy cannot hold labels: use --to npz to keep them"),
        ("decompress named.cae -o x.npy", ".npy cannot hold names and labels: use --to npz to keep them"),
        ("decompress named.cae -o x-idx", "IDX cannot hold names: use --to npz to keep them"),
        ("decompress named.cae -o x.npz", ""),
        ("decompress named.cae -o x.parquet", ""),
        ("decompress named.cae -o x", ""),
        ("decompress set.cae -o x-idx", ""),
    ],
)
def test_what_an_output_cannot_hold_is_said(command: str, says: str, inputs: Path, capsys: Out) -> None:
    assert mz(*command.split(), "--quiet") == 0
    name = command.split()[1]
    assert capsys.readouterr().err == (f"mnistzip: {name}: {says}\n" if says else "")


def test_one_image_is_reported_with_its_label_and_name(inputs: Path, capsys: Out) -> None:
    assert mz("decompress", "named.cae", "--index", "1", "-o", "x.png") == 0
    assert capsys.readouterr().out.endswith("1 image, label 6, named b/c.bmp\n")


# Several inputs


def test_several_archives_and_files_are_decompressed_as_each_alone(inputs: Path, capsys: Out) -> None:
    assert mz("decompress", "set.cae", "named.cae", "one.cae") == 0
    assert "3 files decompressed" in capsys.readouterr().out
    assert Path("set.npz").is_file()
    assert sorted(os.listdir("named")) == ["a.png", "b", "d.png", "labels.csv"]
    assert Path("one.png").is_file()
    assert mz("decompress", "set.cae", "named.cae", "--to", "npz", "-o", "out") == 0
    assert sorted(os.listdir("out")) == ["named.npz", "set.npz"]


def test_an_archive_that_fails_does_not_stop_the_others(inputs: Path, capsys: Out) -> None:
    Path("bad.cae").write_bytes(Path("set.cae").read_bytes()[:-3])
    assert mz("decompress", "bad.cae", "nosuch.cae", "set.cae", "one.cae", "--index", "2") == 1
    output = capsys.readouterr()
    assert [line.split(": ")[1] for line in output.err.splitlines()] == ["bad.cae", "nosuch.cae", "one.cae"]
    assert "1 file decompressed, 3 failed" in output.out
    assert Path("set-2.png").is_file()


def test_archives_in_folders_are_found_with_r(inputs: Path) -> None:
    Path("in/sub").mkdir(parents=True)
    Path("set.cae").rename("in/sub/set.cae")
    Path("one.cae").rename("in/one.cae")
    assert mz("decompress", "-r", "in", "-o", "out") == 0
    assert sorted(str(path) for path in Path("out").rglob("*.*")) == [
        "out/one.png", "out/sub/set/000000.png", "out/sub/set/000001.png", "out/sub/set/000002.png", "out/sub/set/labels.csv"
    ]  # fmt: skip


def test_two_archives_do_not_go_to_one_place(inputs: Path, capsys: Out) -> None:
    Path("sub").mkdir()
    Path("sub/set.cae").write_bytes(Path("named.cae").read_bytes())
    assert mz("decompress", "set.cae", "sub/set.cae", "-o", "out") == 1
    assert "would both go to" in capsys.readouterr().err
    assert sorted(os.listdir("out/set")) == ["000000.png", "000001.png", "000002.png", "labels.csv"]


def test_an_image_of_an_archive_is_not_lost_to_the_result_of_another_file(inputs: Path, capsys: Out) -> None:
    Path("in/named").mkdir(parents=True)
    Path("named.cae").rename("in/named.cae")
    Path("one.cae").rename("in/named/a.cae")  # both give named/a.png
    assert mz("decompress", "-r", "in", "-o", "out", "-f") == 1
    assert "would both go to out/named/a.png" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["-f"], ["--append"]], ids=["plain", "force", "append"])
def test_an_archive_does_not_replace_a_file_of_the_folder_that_it_is_of(more: list[str], inputs: Path, capsys: Out) -> None:
    Path("in").mkdir()
    for name in ("a", "b"):
        Path(f"in/{name}.cae").write_bytes(Path("one.cae").read_bytes())
    assert mz("compress", "in", "-o", "in/a.cae", *more) == 1
    assert "in/a.cae is an input" in capsys.readouterr().err
    assert Path("in/a.cae").read_bytes() == Path("one.cae").read_bytes()


@pytest.mark.parametrize(
    "command",
    ["compress 0.png", "compress many.npy", "compress many.npy --append", "show set.cae", "decompress set.cae --to npz"],
)
def test_a_link_that_leads_nowhere_is_followed_only_with_f(command: str, inputs: Path, capsys: Out) -> None:
    Path("out.cae" if command.startswith("compress") else "out.npz").symlink_to("elsewhere")
    if command.startswith("show"):
        Path("out.npz").rename("out.png")
    name = next(iter(Path().glob("out.*"))).name
    assert mz(*command.split(), "-o", name) == 1
    assert f"{name} is a broken link: -f creates the file that it points to" in capsys.readouterr().err
    assert not Path("elsewhere").exists()
    assert mz(*command.split(), "-o", name, "-f") == 0
    assert Path("elsewhere").is_file()
    assert Path(name).is_symlink()


APPEARING = {  # a command, what appears while it is at work, and what then is in the file that is left
    "compress 0.png": ("0.cae", b"\xca\xe1"),
    "compress many.npy": ("many.cae", b"\xca\xe1\x7f"),
    "decompress set.cae --to npz": ("set.npz", b"PK"),
    "decompress set.cae --to npy": ("set.npy", b"\x93NUMPY"),
    "decompress set.cae --to folder": ("set/labels.csv", b"name,label"),
    "decompress set.cae --to idx -o set-idx3-ubyte --labels l": ("l", b"\0\0\x08\x01"),
    "show set.cae -o sheet.png": ("sheet.png", b"\x89PNG"),
}


@pytest.mark.parametrize("command", APPEARING)
@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_a_file_that_appears_meanwhile_stays_and_the_output_is_not_lost(
    command: str, force: bool, inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    output, begin = Path(APPEARING[command][0]), APPEARING[command][1]
    monkeypatch.setattr(atomic, "_sync", lambda _: output.exists() or output.write_bytes(b"precious"))
    assert mz(*command.split(), *["-f"] * force) == (0 if force else 1)
    left = list(output.parent.glob(".mnistzip-*"))
    if force:
        assert output.read_bytes().startswith(begin)
        assert not left
    else:
        assert output.read_bytes() == b"precious"
        assert len(left) == 1
        assert f"{left[0].name}" in capsys.readouterr().err
        assert left[0].read_bytes().startswith(begin)


def test_a_writer_that_may_not_overwrite_leaves_what_appeared(tmp_path: Path, digits: Pixels) -> None:
    path = tmp_path / "a.cae"
    writer = mnistzip.ArchiveWriter(path, overwrite=False)
    writer.add(digits[0])
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"the output is left in .*\.mnistzip-a\.cae-.*\.partial"):
        writer.close()
    assert path.read_bytes() == b"precious"
    with mnistzip.Archive(next(tmp_path.glob(".mnistzip-*"))) as archive:
        assert len(archive) == 1


@pytest.mark.parametrize(
    "command",
    ["compress 0.png -o ''", "compress 0.png --output=", "decompress set.cae --to idx --labels ''",
     "show set.cae -o ''", "bench 0.png --out ''", "bench 0.png --out=", "train 0.png -o m.npz --folder ''",
     "integrate --prefix ''", "integrate --prefix=", "models --add ''"],
)  # fmt: skip
def test_an_empty_name_as_of_a_variable_that_is_not_set_writes_nothing(command: str, inputs: Path, capsys: Out) -> None:
    before = sorted(inputs.rglob("*"))
    assert mz(*("" if word == "''" else word for word in command.split())) == 2
    assert "is empty: give a value or leave out the option" in capsys.readouterr().err
    assert sorted(inputs.rglob("*")) == before


def test_a_file_whose_name_ends_as_an_empty_option_is_taken_behind_two_dashes(inputs: Path) -> None:
    Path("0.png").rename("--output=")
    assert mz("info", "--", "--output=") == 1  # it is no .cae file
    assert mz("compress", "-o", "x.cae", "--", "--output=") == 0


def test_an_input_is_not_overwritten_by_the_result_of_another(inputs: Path, capsys: Out) -> None:
    Path("one.png").write_bytes(Path("one.cae").read_bytes())  # .cae by another name, which is read, too
    before = Path("one.png").read_bytes()
    assert mz("decompress", "one.cae", "one.png", "-f", "-o", ".") == 1
    assert Path("one.png").read_bytes() == before
    assert "one.png is another input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "hint"),
    [("compress sub", True), ("decompress sub", True), ("test sub", True), ("info sub", False), ("show sub", False)],
)
def test_the_option_r_is_named_only_by_commands_that_have_it(command: str, hint: bool, inputs: Path, capsys: Out) -> None:
    Path("sub").mkdir()
    assert mz(*command.split()) == 1
    output = capsys.readouterr().err
    assert "sub is a folder" in output
    assert ("use -r" in output) == hint


def test_compare_says_how_to_compare_an_image_of_an_archive(inputs: Path, capsys: Out) -> None:
    assert mz("compare", "0.png", "set.cae") == 1
    output = capsys.readouterr().err
    assert "decompress --index" in output
    assert "mnistzip.Archive" not in output
