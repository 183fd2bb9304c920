"""What can happen around the codec: whatever does, outputs are whole or not there, and errors are one line and exit code 1."""

from __future__ import annotations

import ctypes
import gzip
import io
import os
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.types import Pixels
from support import forge
from support.paths import VECTORS

Out = pytest.CaptureFixture[str]
COMMAND = [sys.executable, "-m", "mnistzip"]
ROOTS_RIGHTS, PR_CAPBSET_DROP = (1, 2), 24  # to write and read what nobody may, and how to do without; linux/capability.h
FEW_BYTES = 8192
STORED = ["--lossless", "--model", "classic"]  # which has no pixel model: nothing is quicker

# Says that it is about to finish a file, and waits there. A shell's background jobs ignore SIGINT, this must not.
STOPS_WHILE_WRITING = """
import os, signal, sys
from mnistzip.cli.main import main

def stop(handle):
    sys.stderr.write("writing\\n")
    sys.stderr.flush()
    while True:
        signal.pause()

os.fsync = stop
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def mz(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a user does."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | options
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, timeout=600, **output)  # type: ignore[call-overload]


def refused(done: subprocess.CompletedProcess[bytes], says: str) -> None:
    """The command left with 1 and one line on stderr that says so."""
    output = done.stderr.decode()
    assert (done.returncode, output.count("\n"), output.startswith("mnistzip: ")) == (1, 1, True), output
    assert says in output


def refused_or_same(arguments: list[str], out: Path, expected: bytes, capsys: Out) -> bool:
    """Whether a command gave one line, 1 and no output, or the very output expected."""
    code = run(arguments)
    output = capsys.readouterr().err
    if code == 0:
        content = out.read_bytes()
        out.unlink()
        return content == expected and not output
    return code == 1 and output.startswith("mnistzip: ") and output.count("\n") == 1 and not out.exists()


@pytest.fixture
def inputs(tmp_path: Path, digits: Pixels) -> Path:
    """A folder with noise as an image, of 40,000 bytes however it is coded, an archive of it, and digits."""
    noise = np.random.default_rng(4).integers(0, 256, (200, 200)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    np.save(tmp_path / "noise.npy", noise)
    (tmp_path / "noise.cae").write_bytes(mnistzip.encode(noise, lossless=True, model="classic"))
    (tmp_path / "many.cae").write_bytes(mnistzip.encode_archive([noise] * 3, names=list("abc"), lossless=True, model="classic"))
    (tmp_path / "digits.cae").write_bytes(mnistzip.encode_archive(digits, lossless=True, model="classic"))
    return tmp_path


WRITERS: dict[str, tuple[list[str], str]] = {  # what is run in the folder of inputs, and what it writes
    "an image": (["compress", "noise.png", *STORED], "out.cae"),
    "an archive": (["compress", "noise.npy", *STORED], "out.cae"),
    "decompressed": (["decompress", "noise.cae"], "out.png"),
    "an array": (["decompress", "many.cae"], "out.npy"),
    "IDX": (["decompress", "many.cae", "--to", "idx"], "out-idx"),
    "one of many": (["decompress", "many.cae", "--index", "1"], "out.pgm"),
}
APPENDING = ["compress", "noise.npy", *STORED, "--append", "-o", "digits.cae"]


# Bad files


@pytest.mark.parametrize(
    "name",
    ["mnist-q1", "mnist-q50", "mnist-20x9", "classic-q1", "stored-digit", "lossless-1x1", "lossless-20x9"],
)
def test_a_file_cut_short_or_with_a_flipped_bit_never_gives_a_wrong_image(name: str, tmp_path: Path, capsys: Out) -> None:
    good = (VECTORS / "valid" / f"{name}.cae").read_bytes()
    bad, out = tmp_path / "bad.cae", tmp_path / "bad.pgm"
    arguments = ["decompress", str(bad), "-o", str(out), "--quiet"]
    bad.write_bytes(good)
    assert run(arguments) == 0
    expected = out.read_bytes()
    out.unlink()
    for size in range(len(good)):
        bad.write_bytes(good[:size])
        assert refused_or_same(arguments, out, b"", capsys), f"{size} bytes"
    bits = 8 * len(good)
    for bit in range(0, bits, -(-bits // 100)):  # test_codec.py and test_archive.py take each, without the command line
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        bad.write_bytes(data)
        assert refused_or_same(arguments, out, expected, capsys), f"bit {bit}"


def test_an_archive_cut_short_or_with_a_flipped_bit_never_gives_a_wrong_image(tmp_path: Path, capsys: Out) -> None:
    good = (VECTORS / "archive" / "tiny.cae").read_bytes()
    bad, out = tmp_path / "bad.cae", tmp_path / "bad.npy"
    arguments = ["decompress", str(bad), "-o", str(out), "--quiet"]
    bad.write_bytes(good)
    assert run(arguments) == 0
    expected = out.read_bytes()
    out.unlink()
    for size in range(len(good)):
        bad.write_bytes(good[:size])
        assert refused_or_same(arguments, out, b"", capsys), f"{size} bytes"
    for bit in range(0, 8 * len(good), 3):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        bad.write_bytes(data)
        assert refused_or_same(arguments, out, expected, capsys), f"bit {bit}"


@pytest.mark.parametrize("folder", ["invalid", "invalid-archive"])
def test_every_faulty_vector_is_one_line_and_leaves_nothing(folder: str, tmp_path: Path, capsys: Out) -> None:
    faulty = sorted((VECTORS / folder).glob("*.cae"))
    assert len(faulty) >= 90
    for path in faulty:
        out = tmp_path / ("out.pgm" if folder == "invalid" else "out.npy")
        assert run(["decompress", str(path), "-o", str(out), "--quiet"]) == 1, path.name
        output = capsys.readouterr().err
        assert (output.count("\n"), output.startswith("mnistzip: ")) == (1, True), path.name
        assert list(tmp_path.iterdir()) == [], path.name


def test_a_link_in_the_folder_does_not_lead_an_image_out_of_it(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    packed, out, outside = tmp_path / "x.cae", tmp_path / "out", tmp_path / "outside.png"
    packed.write_bytes(mnistzip.encode_archive(digits[:1], names=["a.png"], effort=0))
    out.mkdir()
    (out / "a.png").symlink_to(outside)
    for force in ([], ["-f"]):
        assert run(["decompress", str(packed), "--to", "folder", "-o", str(out), "--quiet", *force]) == 1
        assert "a link leads out of it" in capsys.readouterr().err
        assert not outside.exists()


@pytest.mark.parametrize("suffix", [".npz", "-idx3-ubyte.gz", ".npy", ".parquet"])
def test_damage_within_an_archive_is_one_line_whatever_is_written(suffix: str, tmp_path: Path, digits: Pixels) -> None:
    content = bytearray(mnistzip.encode_archive(digits[:20], effort=0))
    content[200] ^= 1
    packed, out = tmp_path / "x.cae", tmp_path / f"out{suffix}"
    packed.write_bytes(content)
    refused(mz("decompress", packed, "-o", out, "--quiet"), "is damaged")
    assert not out.exists()


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_a_stream_that_damage_ends_does_not_look_whole(kind: str, tmp_path: Path, digits: Pixels) -> None:
    content = bytearray(mnistzip.encode_archive(list(digits) * 2, lossless=True, model="classic"))
    content[-3000] ^= 1  # in the last lanes
    packed, pipe = tmp_path / "x.cae", tmp_path / ("out.npz" if kind == "npz" else "out-idx3.gz")
    packed.write_bytes(content)
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        refused(mz("decompress", packed, "--to", kind, "-o", pipe, "--quiet"), "is damaged")
        written = reader.communicate()[0]
    assert written
    with pytest.raises((EOFError, zipfile.BadZipFile)):
        gzip.decompress(written) if kind == "idx" else zipfile.ZipFile(io.BytesIO(written))


def test_names_cannot_steer_the_terminal(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    packed = tmp_path / "x.cae"
    names = ["\x9b2J.png", "a\u202egnp.exe", "b\u2028c", "日本.png"]
    packed.write_bytes(mnistzip.encode_archive(digits[:4], names=names, effort=0, model="mnist"))
    assert run(["info", "-v", str(packed)]) == 0
    output = capsys.readouterr().out
    assert [line.split()[2] for line in output.splitlines()[-4:]] == [r"\x9b2J.png", r"a\u202egnp.exe", r"b\u2028c", "日本.png"]
    content = bytearray(packed.read_bytes())
    content[4 + 52 + 20] ^= 1
    packed.write_bytes(content)
    assert run(["test", str(packed)]) == 1
    assert r"(\x9b2J.png, a\u202egnp.exe, b\u2028c, 日本.png)" in capsys.readouterr().err


def test_lost_names_are_told_and_leave_with_1(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    content = bytearray(mnistzip.encode_archive(digits[:4], names=list("abcd"), effort=0))
    packed, out = tmp_path / "x.cae", tmp_path / "out"
    group = next(iter(mnistzip.Archive(bytes(content)).groups()))
    assert not isinstance(group, mnistzip.MnistzipError)
    content[group.offset + group.header.size - 2] ^= 1
    packed.write_bytes(content)
    assert run(["decompress", str(packed), "--to", "folder", "-o", str(out), "--keep-going", "--quiet"]) == 1
    assert "images 0 to 3 lost the names" in capsys.readouterr().err
    assert len(list(out.iterdir())) == 4
    for more, says in (
        (["--index", "1", "-o", str(tmp_path / "one.png")], ""),
        (["--to", "idx", "-o", str(tmp_path / "x-idx")], f"{packed}: IDX cannot hold names"),
    ):
        for going in ([], ["--keep-going"]):  # nobody asked for names
            assert run(["decompress", str(packed), *more, *going, "--quiet", "-f"]) == 0
            output = capsys.readouterr().err
            assert (output.count("\n"), says in output) == (bool(says), True)


def test_a_folder_takes_names_of_any_length_and_depth(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    packed, out = tmp_path / "x.cae", tmp_path / "out"
    long, deep = "/".join(["x" * 250] * 16), "a/" * 1500 + "b"
    tricky = ["000006" + "~" * k for k in range(3)]
    packed.write_bytes(mnistzip.encode_archive(digits[:7], names=[long, deep, "a.png", *tricky, "y" * 255], lossless=True))
    assert run(["decompress", str(packed), "--to", "folder", "-o", str(out), "--quiet"]) == 0
    assert sorted(os.listdir(out)) == [
        "000000.png", "000001.png", "000006-0.png", "000006.png", "000006~.png", "000006~~.png", "a.png"
    ]  # fmt: skip
    assert capsys.readouterr().err.count("\n") == 3


def test_a_name_of_a_model_is_no_file_that_is_read(tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(digits[0]).save("x.png")
    Path("mnist").write_bytes(b"")
    assert run(["compress", "x.png", "-o", "mnist", "-f", "--quiet", "-e", "0"]) == 0
    assert mnistzip.decode(Path("mnist").read_bytes()).shape == (28, 28)


def test_what_a_file_system_does_not_take_for_a_name_is_renamed(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    packed, out = tmp_path / "x.cae", tmp_path / "out"
    names = ["x" * 255, "a.png", "a.png/b.png", "c/d.png", "c", "c.png/e", "C.png", ""]
    packed.write_bytes(mnistzip.encode_archive(digits[:8], names=names, lossless=True))
    assert run(["decompress", str(packed), "--to", "folder", "-o", str(out), "--quiet"]) == 0
    result = {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file()}
    assert list(result) == ["000000.png", "000002.png", "000005.png", "000007.png", "C~6.png", "a.png", "c/d.png", "c.png"]
    assert capsys.readouterr().err.count("or no file can have it") == 4
    for name, k in zip(result, (0, 2, 5, 7, 6, 1, 3, 4), strict=True):
        assert (np.asarray(Image.open(result[name])) == digits[k]).all()


@pytest.mark.slow
def test_a_hostile_archive_of_millions_is_told_of_in_one_line(tmp_path: Path) -> None:
    groups = 60
    group = forge.group(images=65535, per_lane=256, table=b"\3" + bytes(256), lane=bytes(3 * 256))
    packed = tmp_path / "x.cae"
    packed.write_bytes(forge.archive([group] * groups, [65535 * k for k in range(groups + 1)], width=1, height=1))
    script = "import sys; from mnistzip.cli.main import run; code = run(sys.argv[1:]); "
    script += "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))); sys.exit(code)"
    for arguments in (["test", "--quiet", packed], ["decompress", packed, "-o", tmp_path / "x.npy", "--keep-going", "--quiet"]):
        words = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"images 0 to {groups * 65535 - 1} are damaged" in done.stderr
        assert int(done.stdout) < 200_000  # KiB; ru_maxrss would count what this process holds


def test_names_too_long_for_an_npz_are_one_line(tmp_path: Path, capsys: Out) -> None:
    packed, out = tmp_path / "x.cae", tmp_path / "x.npz"
    names = ["/".join(["x" * 255] * 15), *("" for _ in range(19_999))]
    packed.write_bytes(mnistzip.encode_archive(np.zeros((20_000, 1, 1), np.uint8), names=names, lossless=True, model="classic"))
    assert run(["decompress", str(packed), "-o", str(out), "--quiet"]) == 1
    assert "do not fit into .npz: use --to folder" in capsys.readouterr().err
    assert not out.exists()
    os.mkfifo(out)
    with subprocess.Popen(["cat", str(out)], stdout=subprocess.PIPE) as reader:
        refused(mz("decompress", packed, "-o", out, "--quiet"), "do not fit into .npz")
        written = reader.communicate()[0]
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(written))


def test_a_size_that_no_webp_has_is_one_line(tmp_path: Path, capsys: Out) -> None:
    packed = tmp_path / "x.cae"
    packed.write_bytes(mnistzip.encode(np.zeros((1, 20000), np.uint8), lossless=True))
    assert run(["decompress", str(packed), "--to", "webp", "--quiet"]) == 1
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert ".webp cannot hold 20000x1 pixels" in output
    assert [path.name for path in tmp_path.iterdir()] == ["x.cae"]


def test_a_name_that_the_locale_cannot_write_is_one_line(tmp_path: Path, digits: Pixels) -> None:
    packed = tmp_path / "x.cae"
    packed.write_bytes(mnistzip.encode_archive(digits[:1], names=["é中.png"], effort=0))
    ascii_only = os.environ | {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = mz("decompress", packed, "--to", "folder", "-o", tmp_path / "out", "--quiet", env=ascii_only)
    refused(done, "LC_ALL=C.UTF-8")


# Outputs that cannot be


@pytest.mark.parametrize(
    "command",
    [
        "show in.png -o in.png",
        "compare in.png packed.cae -o in.png",
        "compare packed.png in.png -o in.png",
        "compress many.npy --labels labels.npy -o labels.npy",
        "compress in.png --model mine.npz -o mine.npz",
        "compress many.npy --model mine.npz -o mine.npz",
        "decompress packed.cae --model mine --to npy -o mine",
        "decompress many.cae --model mine.npz --to npz -o mine.npz",
        "decompress many.cae --to npy -o many.cae",
    ],
)
def test_nothing_that_is_read_is_overwritten(
    command: str, tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.png", "packed.png"):
        Image.fromarray(digits[0]).save(name)
    np.save("many.npy", digits[:3])
    np.save("labels.npy", np.arange(3))
    for name in ("mine.npz", "mine"):
        Path(name).write_bytes(forge.own())
    Path("packed.cae").write_bytes(mnistzip.encode(digits[0], model="mine.npz", effort=0))
    Path("many.cae").write_bytes(mnistzip.encode_archive(digits[:3], effort=0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run([*command.split(), "-f"]) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_images_and_labels_do_not_go_to_one_file(tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.cae").write_bytes(mnistzip.encode_archive(digits[:3], labels=range(3), effort=0))
    for output in ("both", "-"):
        assert run(["decompress", "x.cae", "--to", "idx", "-o", output, "--labels", output, "-f"]) == 2
    assert os.listdir(tmp_path) == ["x.cae"]
    done = mz("decompress", "x.cae", "--to", "idx", "-o", "images", "--labels", "-")
    assert done.stdout == bytes.fromhex("0000080100000003000102")
    assert sorted(os.listdir(tmp_path)) == ["images", "x.cae"]
    assert run(["decompress", "x.cae", "--to", "idx", "-o", "/dev/null", "--labels", "/dev/null", "--quiet"]) == 0
    assert run(["decompress", "x.cae", "--to", "npz", "-o", "/dev/null", "--quiet"]) == 0


def test_pipes_are_read_and_written_by_whatever_name(tmp_path: Path, digits: Pixels) -> None:
    packed = tmp_path / "x.cae"
    packed.write_bytes(mnistzip.encode_archive(digits[:3], lossless=True))
    done = mz("decompress", packed, "--to", "npy", "-o", "/dev/stdout", "--quiet")
    assert (np.load(io.BytesIO(done.stdout)) == digits[:3]).all()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", str(packed), str(pipe)]):
        assert b"3 images" in mz("info", pipe).stdout
    with subprocess.Popen(["cp", str(packed), str(pipe)]):
        assert b"@" in mz("show", "--ascii", pipe).stdout


@pytest.mark.parametrize(
    ("arguments", "closed", "code", "says"),
    [
        ("decompress x.cae -o -", "stdout", 1, "Bad file descriptor"),
        ("compress x.png -o -", "stdout", 1, "Bad file descriptor"),
        ("decompress many.cae --to npy -o -", "stdout", 1, "Bad file descriptor"),
        ("info x.cae", "stdout", 1, "Bad file descriptor"),
        ("show x.cae", "stdout", 1, "Bad file descriptor"),
        ("test --quiet x.cae", "stdout", 0, ""),
        ("info -", "stdin", 1, "stdin: Bad file descriptor"),
        ("compress - -o y.cae", "stdin", 1, "stdin: Bad file descriptor"),
        ("test x.cae", "stderr", 0, ""),
    ],
)
def test_a_stream_that_is_closed_is_said_in_one_line(
    arguments: str, closed: str, code: int, says: str, tmp_path: Path, digits: Pixels
) -> None:
    Image.fromarray(digits[0]).save(tmp_path / "x.png")
    (tmp_path / "x.cae").write_bytes(mnistzip.encode(digits[0], effort=0))
    (tmp_path / "many.cae").write_bytes(mnistzip.encode_archive(digits[:3], effort=0))
    shut = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}[closed]
    line = f"exec '{sys.executable}' -m mnistzip {arguments} {shut}"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == code
    assert done.stderr.count("\n") == bool(says)
    assert says in done.stderr


@pytest.mark.parametrize("name", ["", ".", "..", "/", "no\nsuch"])
@pytest.mark.parametrize("command", ["compress", "decompress", "info", "test", "show"])
def test_odd_names_are_one_line(command: str, name: str, capsys: Out) -> None:
    assert run([command, name]) == 1
    output = capsys.readouterr().err
    assert output.startswith("mnistzip: ")
    assert output.count("\n") == 1


@pytest.mark.parametrize("kind", ["a/b", "../../x", "gif", "\0"])
def test_a_kind_of_image_that_there_is_not_is_one_line(kind: str, capsys: Out) -> None:
    assert run(["decompress", str(VECTORS / "valid" / "mnist-q50.cae"), "--to", kind]) == 1
    assert "mnistzip does not write" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["the same name", "another way to it", "a link to it", "the same file by another name"])
@pytest.mark.parametrize(
    "arguments", [["compress", "in.png"], ["decompress", "packed.png"], ["compress", "in.npy"]], ids=" ".join
)
def test_an_output_never_takes_the_place_of_its_input(
    arguments: list[str], way: str, tmp_path: Path, digit_png: Path, digit: Pixels, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.chdir(tmp_path)
    digit_png.rename("in.png")
    np.save("in.npy", digit)
    Path("packed.png").write_bytes(mnistzip.encode(digit, effort=0))
    source = Path(arguments[1])
    out = {"the same name": source, "another way to it": tmp_path / "." / source}.get(way, Path("other" + source.suffix))
    if way == "a link to it":
        out.symlink_to(source)
    elif way == "the same file by another name":
        out.hardlink_to(source)
    before = source.read_bytes()
    assert run([*arguments, "-f", "-o", str(out)]) == 1
    output = capsys.readouterr().err
    assert "is an input" in output
    assert output.count("\n") == 1
    assert source.read_bytes() == before


def test_a_folder_in_the_place_of_the_output_stays(inputs: Path, capsys: Out) -> None:
    for arguments, name in WRITERS.values():
        (inputs / name).mkdir(exist_ok=True)
        (inputs / name / name).mkdir(exist_ok=True)  # an output that is a folder goes into it: there is another
        command, source, *options = arguments
        assert run([command, str(inputs / source), *options, "-f", "-o", str(inputs / name / name)]) in (0, 1)
        assert (inputs / name / name).is_dir()
        assert capsys.readouterr().err.count("\n") <= 1


def test_a_link_is_written_through(inputs: Path) -> None:
    (inputs / "elsewhere").mkdir()
    for arguments, name in WRITERS.values():
        real, link = inputs / "elsewhere" / name, inputs / name
        real.write_bytes(b"old")
        link.unlink(missing_ok=True)
        link.symlink_to(real)
        done = mz(*arguments, "-f", "-o", name, cwd=inputs)
        assert done.returncode == 0, done.stderr
        assert link.is_symlink()
        assert real.read_bytes()[:3] != b"old"
    assert not litter(inputs) + litter(inputs / "elsewhere")


def without_power() -> None:
    """Let permissions hold for root, too, from the next program on."""
    if os.geteuid() == 0:
        for right in ROOTS_RIGHTS:
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, right, 0, 0, 0)


@pytest.mark.parametrize("what", WRITERS)
def test_a_folder_that_may_not_be_written_stays_as_it_is(what: str, inputs: Path) -> None:
    arguments, name = WRITERS[what]
    locked = inputs / "locked"
    locked.mkdir()
    (locked / name).write_bytes(b"old")
    locked.chmod(0o500)
    try:
        refused(mz(*arguments, "-f", "-o", locked / name, cwd=inputs, preexec_fn=without_power), "Permission denied")
        refused(mz(*arguments, "-o", locked / f"new-{name}", cwd=inputs, preexec_fn=without_power), "Permission denied")
        assert [(path.name, path.read_bytes()) for path in locked.iterdir()] == [(name, b"old")]
    finally:
        locked.chmod(0o700)


def test_an_input_that_may_not_be_read_is_named(inputs: Path) -> None:
    for arguments, name in WRITERS.values():
        (inputs / arguments[1]).chmod(0)
        refused(mz(*arguments, "-o", name, cwd=inputs, preexec_fn=without_power), f"{arguments[1]}: Permission denied")
        assert not (inputs / name).exists()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of 16 KiB there."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk; the next test needs none")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_leaves_what_was_there(what: str, inputs: Path) -> None:
    arguments, name = WRITERS[what]
    with small_disk(inputs / "disk"):
        (inputs / "disk" / name).write_bytes(b"old")
        refused(mz(*arguments, "-f", "-o", f"disk/{name}", cwd=inputs), "No space left on device")
        refused(mz(*arguments, "-o", f"disk/new-{name}", cwd=inputs), f"disk/new-{name}: No space left on device")
        assert [(path.name, path.read_bytes()) for path in (inputs / "disk").iterdir()] == [(name, b"old")]


def few_bytes() -> None:
    """No file of this process may become larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FEW_BYTES, FEW_BYTES))


@pytest.mark.parametrize("what", WRITERS)
def test_a_file_that_the_system_cuts_off_leaves_what_was_there(what: str, inputs: Path) -> None:
    arguments, name = WRITERS[what]
    (inputs / name).write_bytes(b"old")
    refused(mz(*arguments, "-f", "-o", name, cwd=inputs, preexec_fn=few_bytes), "File too large")
    assert (inputs / name).read_bytes() == b"old"
    refused(mz(*arguments, "-o", f"new-{name}", cwd=inputs, preexec_fn=few_bytes), f"new-{name}: File too large")
    assert not (inputs / f"new-{name}").exists()
    assert not litter(inputs)


def test_an_append_that_the_system_cuts_off_leaves_the_old_archive(inputs: Path) -> None:
    before = (inputs / "digits.cae").read_bytes()
    refused(mz(*APPENDING, cwd=inputs, preexec_fn=few_bytes), "mnistzip: digits.cae: File too large")
    assert (inputs / "digits.cae").read_bytes() == before
    assert not litter(inputs)


TO_STDOUT = [
    ["info", "noise.cae"],
    ["info", "--json", "many.cae"],
    ["show", "digits.cae"],
    ["models"],
    ["--help"],
    ["test", "noise.cae"],
    ["test", "digits.cae"],
    ["compress", "noise.png", *STORED, "-o", "-"],
    ["compress", "noise.npy", *STORED, "-o", "-"],
    ["decompress", "noise.cae", "-o", "-"],
    ["decompress", "many.cae", "--to", "npy", "-o", "-"],
    ["decompress", "many.cae", "--index", "0", "-o", "-"],
]


@pytest.mark.parametrize("arguments", TO_STDOUT, ids=" ".join)
def test_a_full_stdout_is_said_in_one_line(arguments: list[str], inputs: Path) -> None:
    with open("/dev/full", "wb") as full:
        refused(mz(*arguments, cwd=inputs, stdout=full), "No space left on device")


@pytest.mark.parametrize("arguments", TO_STDOUT, ids=" ".join)
def test_a_closed_stdout_ends_the_command_without_a_word(arguments: list[str], inputs: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = mz(*arguments, cwd=inputs, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_too_little_memory_is_said_in_one_line(inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    def starved(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mnistzip.api.decode", starved)
    assert run(["decompress", str(inputs / "noise.cae"), "-o", str(inputs / "out.png")]) == 1
    assert capsys.readouterr().err == "mnistzip: not enough memory\n"
    assert not (inputs / "out.png").exists()


# Signals


def litter(folder: Path) -> list[Path]:
    """Temporary files that were left behind."""
    return [path for path in folder.iterdir() if path.name.startswith(".mnistzip")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("what", [*WRITERS, "appended"])
def test_a_command_stopped_while_it_writes_leaves_what_was_there(what: str, number: signal.Signals, inputs: Path) -> None:
    arguments, name = WRITERS.get(what, (APPENDING, "digits.cae"))
    if what != "appended":
        (inputs / name).write_bytes(b"old")
        arguments = [*arguments, "-f", "-o", name]
    before = (inputs / name).read_bytes()
    command = [sys.executable, "-c", STOPS_WHILE_WRITING, *arguments]
    with subprocess.Popen(command, cwd=inputs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"writing\n"
        assert len(litter(inputs)) == 1  # the event came while the temporary file was there
        process.send_signal(number)
        _, output = process.communicate(timeout=600)
    assert (inputs / name).read_bytes() == before
    if number == signal.SIGINT:
        assert (process.returncode, output.strip()) == (130, b"mnistzip: interrupted")
        assert not litter(inputs)
    else:
        assert process.returncode == -signal.SIGKILL
        assert len(litter(inputs)) == 1
        assert mz(*arguments, cwd=inputs).returncode == 0  # what was left behind is in nobody's way
        assert (inputs / name).read_bytes() != before


# Many at once


def start_side_by_side(commands: list[list[str]], folder: Path) -> list[subprocess.Popen[bytes]]:
    return [subprocess.Popen([*COMMAND, *one], cwd=folder, stderr=subprocess.PIPE) for one in commands]


def test_eight_commands_may_write_into_one_folder(tmp_path: Path, digits: Pixels) -> None:
    for k in range(8):
        Image.fromarray(digits[k]).save(tmp_path / f"{k}.png")
    running = start_side_by_side([["compress", f"{k}.png", "-o", "out/", "--quiet"] for k in range(8)], tmp_path)
    for process in running:
        assert process.communicate(timeout=600)[1] == b""
        assert process.returncode == 0
    for k in range(8):
        assert (tmp_path / "out" / f"{k}.cae").read_bytes() == mnistzip.encode(digits[k])
    assert not litter(tmp_path / "out")


def test_eight_commands_that_write_one_file_leave_the_whole_of_one(tmp_path: Path, digits: Pixels) -> None:
    out = tmp_path / "out.cae"
    allowed = {mnistzip.encode(np.hstack([digit] * 8), lossless=True, model="classic") for digit in digits[:8]}
    for k in range(8):
        Image.fromarray(np.hstack([digits[k]] * 8)).save(tmp_path / f"{k}.png")
    out.write_bytes(min(allowed))
    options = ["--lossless", "--model", "classic", "-f", "-o", out.name, "--quiet"]
    running = start_side_by_side([["compress", f"{k}.png", *options] for k in range(8)], tmp_path)
    seen = set()
    while any(process.poll() is None for process in running):
        seen.add(out.read_bytes())  # whoever reads in between sees a whole file, too
    for process in running:
        assert process.communicate(timeout=600)[1] == b""
        assert process.returncode == 0
    assert seen | {out.read_bytes()} <= allowed
    assert not litter(tmp_path)


def test_eight_commands_that_append_to_one_archive_leave_it_whole(inputs: Path, digits: Pixels) -> None:
    np.save(inputs / "more.npy", digits[:8])
    more = ["compress", "more.npy", "--lossless", "--model", "classic", "--append", "-o", "digits.cae", "--quiet"]
    done = 0
    for process in start_side_by_side([more] * 8, inputs):
        output = process.communicate(timeout=600)[1]
        assert (process.returncode == 0) == (output == b"")
        assert b"was changed while images were added" in output or not output
        done += process.returncode == 0
    images = np.stack(mnistzip.Archive(inputs / "digits.cae")[:])
    assert done >= 1
    assert (images == np.concatenate([digits, *[digits[:8]] * ((len(images) - 64) // 8)])).all()
    assert not litter(inputs)


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 10,000 images, all of one file."""
    folder = tmp_path_factory.mktemp("many")
    first = folder / "0000.png"
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(first)
    for k in range(1, 10_000):
        (folder / f"{k:04}.png").hardlink_to(first)
    return folder


@pytest.mark.slow
def test_ten_thousand_files_on_one_command_line_go_into_an_archive(ten_thousand: Path, tmp_path: Path) -> None:
    names = [f"{k:04}.png" for k in range(10_000)]
    done = mz("compress", *names, "--lossless", "--quiet", "-o", tmp_path / "all.cae", cwd=ten_thousand)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with mnistzip.Archive(tmp_path / "all.cae") as archive:
        assert archive.names == names
        assert (archive[9999] == np.eye(4) * 255).all()


def test_ten_thousand_files_on_one_command_line_give_a_file_each(
    ten_thousand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the disk's time is none of ours
    monkeypatch.chdir(ten_thousand)
    names = [f"{k:04}.png" for k in range(10_000)]
    names[5000] = "missing.png"
    options = ["--lossless", "--model", "classic", "--quiet", "-o", str(tmp_path)]
    assert run(["compress", *names, *options]) == 1
    assert capsys.readouterr().err == "mnistzip: missing.png: No such file or directory\n"
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == [name.replace("png", "cae") for name in names if name != "missing.png"]
    assert len({path.read_bytes() for path in files}) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_with_the_name_of_an_image_in_the_output_folder_is_refused(tmp_path: Path, digits: Pixels) -> None:
    (tmp_path / "x.cae").write_bytes(mnistzip.encode_archive(digits[:2], names=["a.png", "b.png"], effort=0))
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "b.png")
    done = mz("decompress", tmp_path / "x.cae", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert b"b.png is there already, and is no regular file" in done.stderr
