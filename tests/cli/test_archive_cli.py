"""Archives as a user of the command line meets them."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.archive import group_codec, writer
from mnistzip.archive.index import START, Footer, entry
from mnistzip.cli.main import run
from mnistzip.coding.model_choice import candidates
from mnistzip.idx import idx_header, read_idx
from mnistzip.io import npy_files
from mnistzip.io.image_streams import open_stream
from mnistzip.types import Pixels
from support import forge
from support.paths import DATA

Out = pytest.CaptureFixture[str]
IDX = DATA / "digits-idx3-ubyte.gz"


def mz(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels-idx1-ubyte"
    path.write_bytes(idx_header((64,)) + bytes(range(64)))
    return path


@pytest.fixture
def packed(tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The 64 digits, losslessly, in groups of 16, with labels."""
    monkeypatch.setattr(writer, "GROUP_IMAGES", 16)
    path = tmp_path / "digits.cae"
    assert mz("compress", IDX, "--labels", labels, "--lossless", "-o", path, "--quiet") == 0
    return path


@pytest.fixture
def folder(tmp_path: Path, digits: Pixels) -> Path:
    """Images of several sizes in folders, and one file that is no image."""
    home = tmp_path / "scans"
    for name, image in {
        "a.png": digits[0],
        "sub/b.png": digits[1][:20],
        "sub/deep/c.bmp": digits[2],
        "ä b.png": digits[3],
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(home / name)
    (home / "notes.txt").write_text("no image")
    return home


def test_idx_comes_back_identical(packed: Path, labels: Path, tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / "back-images-idx3-ubyte"
    assert mz("decompress", packed, "-o", out) == 0
    assert "64 images" in capsys.readouterr().out
    assert out.read_bytes() == gzip.decompress(IDX.read_bytes())
    assert (tmp_path / "back-labels-idx1-ubyte").read_bytes() == labels.read_bytes()
    assert out.stat().st_mtime_ns == packed.stat().st_mtime_ns == IDX.stat().st_mtime_ns
    assert mz("decompress", packed, "-o", f"{out}.gz", "--labels", tmp_path / "l.gz") == 0
    assert gzip.decompress(Path(f"{out}.gz").read_bytes()) == out.read_bytes()
    assert gzip.decompress((tmp_path / "l.gz").read_bytes()) == labels.read_bytes()


def test_outputs_stand_beside_the_input_and_are_not_overwritten(packed: Path, capsys: Out) -> None:
    assert mz("decompress", packed) == 0
    assert (packed.parent / "digits-images-idx3-ubyte").exists()
    assert (packed.parent / "digits-labels-idx1-ubyte").exists()
    assert mz("decompress", packed) == 1
    assert "exists already" in capsys.readouterr().err
    assert mz("decompress", packed, "-f") == 0
    assert mz("compress", IDX, "-o", packed) == 1
    assert "--append adds to it" in capsys.readouterr().err


def test_an_archive_without_images_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "none-images-idx3-ubyte"
    source.write_bytes(idx_header((0, 28, 28)))
    assert mz("compress", source) == 0
    assert mz("decompress", tmp_path / "none-images-idx3-ubyte.cae", "-o", tmp_path / "back-idx") == 0
    assert (tmp_path / "back-idx").read_bytes() == source.read_bytes()
    assert mz("test", tmp_path / "none-images-idx3-ubyte.cae") == 0
    assert mz("info", tmp_path / "none-images-idx3-ubyte.cae") == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_lossy_gives_the_pixels_of_single_files(threads: int, digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "d.cae"
    assert mz("compress", IDX, "-e", 0, "-q", 40, "-T", threads, "-o", path, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    expected = np.stack(mnistzip.decode_many(mnistzip.encode_many(digits, quality=40, effort=0)))
    assert row["psnr_db"] == round(mnistzip.psnr(digits, expected), 3)
    assert (row["images"], row["bytes"], row["raw_bytes"]) == (64, path.stat().st_size, digits.size)
    assert mz("decompress", path, "-o", tmp_path / "back.npy") == 0
    assert (np.load(tmp_path / "back.npy") == expected).all()


def test_a_folder_comes_back_with_names_and_sizes(folder: Path, tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "scans.cae"
    assert mz("compress", folder, "--lossless", "-o", path) == 0
    assert mnistzip.Archive(path).names == ["a.png", "sub/b.png", "sub/deep/c.bmp", "ä b.png"]
    assert mz("decompress", path, "-o", tmp_path / "back") == 0
    for name in ("a.png", "sub/b.png", "sub/deep/c.bmp", "ä b.png"):
        assert (np.asarray(Image.open(tmp_path / "back" / name)) == np.asarray(Image.open(folder / name))).all()
    assert mz("decompress", path, "-o", tmp_path / "pgm", "--to", "pgm") == 0
    assert (tmp_path / "pgm" / "sub" / "deep" / "c.pgm").exists()
    capsys.readouterr()
    assert mz("decompress", path, "-o", tmp_path / "x.npy") == 1
    assert "several sizes" in capsys.readouterr().err
    assert not (tmp_path / "x.npy").exists()


def test_a_folder_still_gives_a_file_each_where_no_archive_is_named(folder: Path, tmp_path: Path) -> None:
    assert mz("compress", "-r", folder, "-o", tmp_path / "packed", "-e", 0) == 0
    assert (tmp_path / "packed" / "sub" / "b.cae").exists()
    assert mz("compress", folder / "a.png", "-o", tmp_path / "one.cae", "-e", 0) == 0
    assert mnistzip.decode((tmp_path / "one.cae").read_bytes()).shape == (28, 28)


def test_images_that_cannot_be_taken_are_named_and_the_rest_is_kept(folder: Path, tmp_path: Path, capsys: Out) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    path = tmp_path / "scans.cae"
    assert mz("compress", "-r", folder, "--lossless", "-o", path) == 1
    assert "broken.png" in capsys.readouterr().err
    assert len(mnistzip.Archive(path)) == 4
    assert mz("compress", folder / "broken.png", folder / "broken.png", "-o", tmp_path / "none.cae") == 1
    assert not (tmp_path / "none.cae").exists()


def test_npy_and_npz_come_back(packed: Path, digits: Pixels, tmp_path: Path) -> None:
    for suffix in (".npy", ".npz"):
        out, again = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
        assert mz("decompress", packed, "-o", out) == 0
        assert mz("compress", out, "--lossless") == 0
        archive = mnistzip.Archive(tmp_path / "x.cae")
        assert (np.stack(list(archive)) == digits).all()
        assert mz("decompress", tmp_path / "x.cae", "-o", again) == 0
        assert again.read_bytes() == out.read_bytes()
        (tmp_path / "x.cae").unlink()
    with np.load(tmp_path / "y.npz") as content:
        assert (content["images"] == digits).all()
        assert content["labels"].tolist() == list(range(64))
    assert zipfile.ZipFile(tmp_path / "y.npz").testzip() is None


def test_arrays_in_other_orders_and_shapes_are_taken(digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    np.save(tmp_path / "f.npy", np.asfortranarray(digits))
    np.save(tmp_path / "one.npy", digits[0])
    for name, expected in (("f.npy", digits), ("one.npy", digits[:1])):
        stream = open_stream([str(tmp_path / name)])
        assert (np.stack([item.image for item in stream.items]) == expected).all()  # type: ignore[arg-type]
    (tmp_path / "cut.npy").write_bytes((tmp_path / "f.npy").read_bytes()[:-1])
    with (tmp_path / "more.npy").open("wb") as file:  # claims more images than there are numbers in the world
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": True, "shape": (1 << 62, 28, 28)})
    np.save(tmp_path / "float.npy", digits / 254)
    (tmp_path / "junk.npz").write_bytes(b"PK\3\4 and more")
    for name, says in (
        ("cut.npy", "truncated"),
        ("more.npy", "truncated"),
        ("float.npy", "float64"),
        ("junk.npz", "not a readable array"),
        ("no.npy", "No such"),
    ):
        assert mz("compress", tmp_path / name, "-o", tmp_path / "x.cae") == 1
        assert says in capsys.readouterr().err
        assert not (tmp_path / "x.cae").exists()


def test_compressed_arrays_in_the_order_of_fortran_are_read_up_to_a_limit(
    digits: Pixels, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "f.npz", np.asfortranarray(digits))
    np.save(tmp_path / "f.npy", np.asfortranarray(digits))
    monkeypatch.setattr(npy_files, "BLOCK_BYTES", 10 * digits[0].size)  # several blocks
    monkeypatch.setattr(npy_files, "WHOLE_MAX", digits.size)
    for name in ("f.npz", "f.npy"):
        assert (np.stack([item.image for item in open_stream([str(tmp_path / name)]).items]) == digits).all()  # type: ignore[arg-type]
    monkeypatch.setattr(npy_files, "WHOLE_MAX", digits.size - 1)
    assert mz("compress", tmp_path / "f.npz", "-o", tmp_path / "x.cae") == 1
    assert "is in Fortran order and takes 50176 bytes, more than 50175: save it in C order" in capsys.readouterr().err
    assert mz("compress", tmp_path / "f.npy", "-o", tmp_path / "x.cae") == 0  # the file itself takes as much


@pytest.mark.parametrize("sides", [(1 << 13, (1 << 13) + 1), (1 << 40, 1), ((1 << 32) - 1, (1 << 32) - 1), (1 << 62, 1 << 62)])
def test_a_few_bytes_that_claim_large_images_are_one_line(sides: tuple[int, int], tmp_path: Path, capsys: Out) -> None:
    with (tmp_path / "claims.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (1, *sides)}
        np.lib.format.write_array_header_1_0(file, header)
    (tmp_path / "claims-idx3").write_bytes(idx_header((1, *(side % (1 << 32) for side in sides))))
    for name in ("claims.npy", "claims-idx3"):
        assert mz("compress", tmp_path / name, "-o", tmp_path / "x.cae") == 1
        output = capsys.readouterr().err
        assert output.count("\n") == 1
        assert "67108864" in output or "must not be 0" in output
        assert not (tmp_path / "x.cae").exists()


def test_no_images_of_too_long_a_side_are_one_line(tmp_path: Path, capsys: Out) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 70000, 5), np.uint8))
    assert mz("compress", tmp_path / "none.npy", "-o", tmp_path / "x.cae") == 1
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "images of 5x70000: the format takes sides of 1..65535" in output
    assert not (tmp_path / "x.cae").exists()


def test_parquet_comes_back(packed: Path, digits: Pixels, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "x.parquet"
    assert mz("decompress", packed, "-o", out) == 0
    rows = parquet.read_table(out).to_pylist()
    assert [row["label"] for row in rows] == list(range(64))
    assert (np.asarray(Image.open(io.BytesIO(rows[5]["image"]))) == digits[5]).all()
    assert mz("compress", out, "--lossless") == 0
    archive = mnistzip.Archive(tmp_path / "x.cae")
    assert (np.stack(list(archive)) == digits).all()
    assert archive.labels is not None
    assert archive.labels.tolist() == list(range(64))


def test_parquet_without_pyarrow_names_the_command(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert mz("decompress", packed, "-o", tmp_path / "x.parquet") == 1
    assert "pip install 'mnistzip[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "x.parquet").exists()


def test_appending_keeps_what_was_there(packed: Path, labels: Path, digits: Pixels, capsys: Out) -> None:
    before = packed.read_bytes()
    assert mz("compress", IDX, "--append", "-o", packed) == 1  # the archive has labels
    assert "no label" in capsys.readouterr().err
    assert packed.read_bytes() == before
    assert mz("compress", IDX, "--labels", labels, "--append", "--lossless", "-o", packed) == 0
    assert (np.stack(list(mnistzip.Archive(packed))) == np.concatenate([digits, digits])).all()
    assert mz("compress", packed, "--append", "-o", packed) == 1
    assert "is an input" in capsys.readouterr().err


def test_one_image_and_a_range(packed: Path, digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    assert mz("decompress", packed, "--index", 17) == 0
    assert (np.asarray(Image.open(tmp_path / "digits-17.png")) == digits[17]).all()
    assert mz("decompress", packed, "--index", 3, "-o", tmp_path / "three.bmp") == 0
    assert (np.asarray(Image.open(tmp_path / "three.bmp")) == digits[3]).all()
    assert mz("decompress", packed, "--range", "10:20", "-o", tmp_path / "ten-idx") == 0
    assert (read_idx(tmp_path / "ten-idx") == digits[10:20]).all()
    assert mz("decompress", packed, "--range", ":3", "-o", f"{tmp_path}/pngs/") == 0
    assert sorted(os.listdir(tmp_path / "pngs")) == ["000000.png", "000001.png", "000002.png", "labels.csv"]
    for wrong in (["--index", 64], ["--range", "a:b"], ["--range", "3"], ["--to", "gif"], ["--labels", "x", "--to", "npy"]):
        assert mz("decompress", packed, "-f", *wrong) in (1, 2)
    capsys.readouterr()


def test_damaged_images_are_named_and_the_others_saved(packed: Path, digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    data = bytearray(packed.read_bytes())
    group = list(mnistzip.Archive(packed).groups())[1]
    assert not isinstance(group, mnistzip.MnistzipError)
    data[group.lanes_offset + 100] ^= 4
    packed.write_bytes(bytes(data))
    assert mz("test", packed) == 1
    assert "images 16 to 23 are damaged" in capsys.readouterr().err
    out = tmp_path / "x-idx"
    assert mz("decompress", packed, "-o", out) == 1
    assert "--keep-going" in capsys.readouterr().err
    assert not out.exists()
    assert mz("decompress", packed, "-o", out, "--keep-going") == 1
    assert "images 16 to 23 are damaged" in capsys.readouterr().err
    assert (read_idx(out) == np.concatenate([digits[:16], digits[24:]])).all()
    saved = [*range(16), *range(24, 64)]
    assert read_idx(tmp_path / "x-idx-labels-idx1-ubyte").tolist() == saved
    assert mz("decompress", packed, "-o", f"{tmp_path}/pngs/", "--keep-going") == 1
    assert sorted(os.listdir(tmp_path / "pngs")) == [*(f"{k:06}.png" for k in saved), "labels.csv"]
    rows = (tmp_path / "pngs" / "labels.csv").read_text().splitlines()
    assert rows == ["name,label", *(f"{k:06}.png,{k}" for k in saved)]
    packed.write_bytes(bytes(data[:-20]))
    capsys.readouterr()
    assert mz("decompress", packed, "-o", tmp_path / "rest.npy", "--keep-going") == 1
    assert "its index is damaged" in capsys.readouterr().err
    assert len(np.load(tmp_path / "rest.npy")) == 56


def test_names_that_fall_together_do_not_overwrite_each_other(digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "d.cae"
    names = ["a.png", "A.png", "a.jpg", "a.png", "b", ""]
    path.write_bytes(mnistzip.encode_archive(digits[:6], names=names, lossless=True))
    assert mz("decompress", path, "-o", tmp_path / "out") == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["000005.png", "A~1.png", "a.png", "a~2.png", "a~3.png", "b.png"]
    assert " is written as A~1.png" in capsys.readouterr().err
    for name, k in (("a.png", 0), ("A~1.png", 1), ("a~2.png", 2), ("a~3.png", 3)):
        assert (np.asarray(Image.open(tmp_path / "out" / name)) == digits[k]).all()


def test_nothing_is_written_outside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out, digits: Pixels
) -> None:
    home = tmp_path / "deep" / "out"
    path = tmp_path / "evil.cae"
    for name in ("../../evil", "/tmp/evil-mnistzip", "C:\\evil", "a/../../../evil", "x" * 10000, "a\0b"):
        with monkeypatch.context() as patch:
            patch.setattr("mnistzip.archive.group.pack_names", lambda _names, name=name: name.encode() + b"\0")
            content = group_codec.encode_group(
                group_codec.GroupOptions(candidates("classic", None), 0), [digits[0]], None, [""]
            ).content
        end = 4 + len(content)
        path.write_bytes(START + content + entry(0, 4) + entry(1, end) + Footer(1, 1, end, names=True).to_bytes())
        assert mz("decompress", path, "-o", home, "--to", "folder") == 1
        assert mz("decompress", path, "-o", home, "--to", "folder", "--keep-going", "-f") == 1  # without its name
        assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == {
            "evil.cae",
            "deep/out/000000.png",
        }
    assert not Path("/tmp/evil-mnistzip").exists()
    assert "damaged or malicious" in capsys.readouterr().err


def test_a_link_in_the_output_folder_leads_nowhere(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    path = tmp_path / "d.cae"
    path.write_bytes(mnistzip.encode_archive(digits[:1], names=["sub/x.png"], lossless=True))
    assert mz("decompress", path, "-o", tmp_path / "out") == 1
    assert "outside" in capsys.readouterr().err
    assert os.listdir(tmp_path / "elsewhere") == []


def test_info_lists_and_show_draws(packed: Path, folder: Path, tmp_path: Path, capsys: Out) -> None:
    assert mz("info", packed) == 0
    assert "archive of 64 images, 28x28, labels" in capsys.readouterr().out
    assert mz("info", packed, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["images"], row["groups"], row["bytes"], row["origin"]) == (64, 4, packed.stat().st_size, "idx")
    assert row["parts"] == [{"mode": "lossless", "model": "mnist-bitmap", "quality": None, "max_error": None, "images": 64}]
    assert mz("compress", folder, "-e", 0, "-o", tmp_path / "s.cae", "--quiet") == 0
    assert mz("info", "-v", tmp_path / "s.cae") == 0
    output = capsys.readouterr().out
    assert "1: 28x20 sub/b.png" in output
    assert "lossy, model mnist, quality 50" in output
    assert mz("show", packed, "--limit", 4) == 0
    assert mz("show", packed, "--index", 5) == 0
    assert mz("show", packed, "--index", 64) == 2
    assert mz("show", "--grid", packed, folder / "a.png", "-o", tmp_path / "sheet.png") == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (9 * 29 - 1, 8 * 29 - 1)
    assert mz("test", packed, tmp_path / "s.cae") == 0


def test_other_commands_say_what_an_archive_is(packed: Path, digit_png: Path, capsys: Out) -> None:
    assert mz("compare", digit_png, packed) == 1
    assert "archive" in capsys.readouterr().err
    assert mz("compress", IDX, "--max-bytes", 30, "-o", packed.with_name("x.cae")) == 2
    assert mz("compress", digit_png, "--labels", IDX) == 2
    assert mz("compress", IDX, IDX) == 2
    assert mz("compress", IDX, "--labels", IDX, "-o", packed.with_name("x.cae")) == 1
    assert mz("decompress", digit_png, "--index", 3) == 2
    capsys.readouterr()


def test_labels_of_another_number_are_refused(tmp_path: Path, capsys: Out) -> None:
    np.save(tmp_path / "few.npy", np.arange(63))
    assert mz("compress", IDX, "--labels", tmp_path / "few.npy", "-o", tmp_path / "x.cae") == 1
    assert "63 labels for 64 images" in capsys.readouterr().err
    assert not (tmp_path / "x.cae").exists()


def test_an_archive_is_repacked(packed: Path, tmp_path: Path, digits: Pixels) -> None:
    assert mz("compress", packed, "-e", 0, "-q", 20, "-o", tmp_path / "small.cae") == 0
    small = mnistzip.Archive(tmp_path / "small.cae")
    assert small.size < packed.stat().st_size / 1.5
    assert small.labels is not None
    assert small.labels.tolist() == list(range(64))


def test_archives_go_through_pipes(packed: Path, tmp_path: Path, digits: Pixels) -> None:
    mnistzip_command = [sys.executable, "-m", "mnistzip"]
    out = subprocess.run([*mnistzip_command, "compress", IDX, "--lossless", "-o", "-"], capture_output=True, check=True)
    assert (np.stack(mnistzip.Archive(out.stdout)[:]) == digits).all()
    back = [*mnistzip_command, "decompress", "-", "--to", "idx", "-o"]
    done = subprocess.run([*back, "-"], input=out.stdout, capture_output=True, check=True)
    assert done.stdout == gzip.decompress(IDX.read_bytes())
    done = subprocess.run([*back, tmp_path / "x"], input=packed.read_bytes(), capture_output=True, check=True)
    assert (read_idx(tmp_path / "x") == digits).all()
    one = subprocess.run([*mnistzip_command, "decompress", "-"], input=packed.read_bytes(), capture_output=True, check=False)
    assert one.returncode == 2
    assert b"name the output" in one.stderr
    for command, says in (("info", b"-: archive of 64 images"), ("test", b"-: ok, 64 images")):
        output = subprocess.run([*mnistzip_command, command, "-"], input=packed.read_bytes(), capture_output=True, check=True)
        assert says in output.stdout


def test_a_damaged_source_leaves_no_archive(tmp_path: Path, capsys: Out) -> None:
    raw = gzip.decompress(IDX.read_bytes())
    for name, content in (("cut-idx3", raw[:-5]), ("long-idx3", raw + b"x"), ("cut.gz", IDX.read_bytes()[:-20])):
        (tmp_path / name).write_bytes(content)
        assert mz("compress", tmp_path / name, "--lossless", "-o", tmp_path / "x.cae") == 1
        assert not (tmp_path / "x.cae").exists()
    assert not list(tmp_path.glob(".mnistzip*"))
    capsys.readouterr()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_append_leaves_the_old_archive(signal_number: int, tmp_path: Path, digits: Pixels) -> None:
    path = tmp_path / "d.cae"
    path.write_bytes(mnistzip.encode_archive(digits[:8], lossless=True))
    before = path.read_bytes()
    np.save(tmp_path / "many.npy", np.tile(digits, (100, 1, 1)))
    program = """
import signal
from mnistzip.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
main()
"""
    command = [sys.executable, "-c", program, "compress", tmp_path / "many.npy", "-e", "5", "--append", "-o", path]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        for _ in range(200):
            if list(tmp_path.glob(".mnistzip*")):
                break
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal_number)
        assert process.wait(30) == (130 if signal_number == signal.SIGINT else -9)
    assert path.read_bytes() == before
    if signal_number == signal.SIGINT:
        assert not list(tmp_path.glob(".mnistzip*"))


PEAK_MEMORY = """
import re, sys
from pathlib import Path
from mnistzip.cli.main import run
assert run(sys.argv[1:]) == 0
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process's memory from /proc")
def test_packing_and_unpacking_many_images_takes_little_memory(tmp_path: Path, digits: Pixels) -> None:
    flat = np.zeros((64, 28, 28), np.uint8)
    flat[:, 14] = digits[:, 14]
    peaks: list[list[int]] = []  # KiB
    for repeats in (48, 240):  # 2.4 and 12 MB of pixels; a group has 1024 images
        source, packed, back = (tmp_path / f"{repeats}{end}" for end in ("-idx3", ".cae", "-back-idx"))
        source.write_bytes(idx_header((64 * repeats, 28, 28)) + flat.tobytes() * repeats)
        peaks.append([])
        for command in (["compress", source, "--lossless", "-o", packed], ["decompress", packed, "-o", back]):
            line = [sys.executable, "-c", PEAK_MEMORY, *map(str, command)]
            done = subprocess.run(line, capture_output=True, text=True, check=True)
            peaks[-1].append(int(done.stdout.splitlines()[-1]))
        assert back.read_bytes() == source.read_bytes()
    for few, many in zip(*peaks, strict=True):
        assert many < few + 6_000, peaks  # the pixels are 9,400 KiB more
        assert many < 200_000, peaks


def test_an_archive_that_is_not_there_is_said_to_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = tmp_path / "gone.cae"
    assert run(["decompress", str(gone), "--index", "17"]) == 1
    assert capsys.readouterr().err == f"mnistzip: {gone}: No such file or directory\n"


def test_an_archive_that_holds_its_model_is_read_without_it(
    digits: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, source, packed = tmp_path / "mine.npz", tmp_path / "in.npy", tmp_path / "in.cae"
    model.write_bytes(forge.own())
    np.save(source, digits[:3])
    assert run(["compress", str(source), "--model", str(model), "--embed-model", "--quiet"]) == 0
    assert run(["info", str(packed)]) == 0
    assert "an embedded model" in capsys.readouterr().out
    expected = mnistzip.Archive(packed, model=model)[:]
    model.unlink()
    back = tmp_path / "back.npy"
    assert run(["decompress", str(packed), "-o", str(back), "--quiet"]) == 0
    assert (np.load(back) == np.stack(expected)).all()
    assert run(["compress", str(source), "--embed-model", "-f"]) == 1
    assert "ships with mnistzip" in capsys.readouterr().err
    Image.fromarray(digits[0]).save(tmp_path / "one.png")
    assert run(["compress", str(tmp_path / "one.png"), "--embed-model"]) == 2
    assert "--embed-model is for archives" in capsys.readouterr().err
