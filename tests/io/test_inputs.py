"""Inputs of all kinds: what has one meaning is taken, what is guessed or left out is said, what would be wrong is refused."""

from __future__ import annotations

import gzip
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.idx import idx_header
from mnistzip.io import folders
from mnistzip.io.image_streams import open_stream
from mnistzip.io.read_options import InputOptions
from mnistzip.plugins.sharding import plan
from mnistzip.types import Pixels

Out = pytest.CaptureFixture[str]


def mz(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def taken(path: Path, **options: Any) -> tuple[list[Pixels], list[str], list[int | None], list[str]]:
    """Images, names, labels of a source, and what was said of it."""
    said: list[str] = []
    items = list(open_stream([path], options=InputOptions(say=said.append, **options)).items)
    for item in items:
        if isinstance(item.image, Exception):
            raise item.image
    return [item.image for item in items], [item.name for item in items], [item.label for item in items], said  # type: ignore[misc]


def same(images: list[Pixels], others: Pixels) -> bool:
    return len(images) == len(others) and all(np.array_equal(a, b) for a, b in zip(images, others, strict=True))


# Arrays


@pytest.mark.parametrize(
    "shape",
    [(64, 784), (64, 28, 28, 1), (64, 1, 28, 28), (64, 784, 1), (64, 1, 784)],
    ids=lambda shape: "x".join(map(str, shape)),
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_images_in_disguise_are_taken_as_images_and_said(
    shape: tuple[int, ...], order: Any, digits: Pixels, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.array(digits.reshape(shape), order=order))
    images, _, _, said = taken(tmp_path / "x.npy")
    assert same(images, digits)
    assert len(said) == 1
    assert "64 images of (28, 28)" in said[0]
    if len(shape) == 2:
        assert "--shape 64x784 reads one image" in said[0]


def test_an_array_of_one_meaning_is_taken_without_a_word(digits: Pixels, tmp_path: Path) -> None:
    square = np.arange(784 * 784, dtype=np.uint32).reshape(784, 784).astype(np.uint8)
    for array, expected in (
        (digits, digits),
        (digits[0], digits[:1]),
        (square, square[None]),
        (digits[:1, :20], digits[:1, :20]),
        (digits[:28, :, :5][:, :4], digits[:28, :4, :5]),
        (np.zeros((30, 50), np.uint8), np.zeros((1, 30, 50), np.uint8)),
    ):
        np.save(tmp_path / "x.npy", array)
        images, _, _, said = taken(tmp_path / "x.npy")
        assert same(images, expected)
        assert said == []


@pytest.mark.parametrize(
    ("shape", "wanted", "images"),
    [
        ((6, 784), (6, 784), (1, 6, 784)),
        ((6, 784), (14, 56), (6, 14, 56)),
        ((6, 1024), (32, 32), (6, 32, 32)),
        ((6, 1024), (6, 1024), (1, 6, 1024)),
        ((784 * 3,), (28, 28), (3, 28, 28)),
        ((28, 28, 64), (28, 64), (28, 28, 64)),
        ((64, 28, 3), (28, 3), (64, 28, 3)),
        ((100, 256), (16, 16), (100, 16, 16)),
    ],
)
def test_the_option_names_the_other_meaning(
    shape: tuple[int, ...], wanted: tuple[int, int], images: tuple[int, ...], tmp_path: Path
) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    np.save(tmp_path / "x.npy", array)
    assert mz("compress", tmp_path / "x.npy", "--lossless", "--shape", f"{wanted[0]}x{wanted[1]}", "--quiet") == 0
    with mnistzip.Archive(tmp_path / "x.cae") as archive:
        assert same(list(archive), array.reshape(images))


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((28, 28, 64), np.uint8), r"moveaxis.*--shape 28x64"),
        (np.zeros((30, 40, 3), np.uint8), r"one colour image.*--shape 40x3"),
        (np.zeros((5, 30, 40, 3), np.uint8), "holds colours"),
        (np.zeros((5, 3, 30, 40), np.uint8), "holds colours"),
        (np.zeros((5, 2, 2, 5, 5), np.uint8), r"shape \(5, 2, 2, 5, 5\)"),
        (np.zeros((6, 1024), np.uint8), r"two meanings: --shape 32x32.*--shape 6x1024"),
        (np.zeros(784, np.uint8), r"--shape HxW.*--labels"),
        (np.full((2, 3, 3), -1), "int64 from -1 to -1"),
        (np.full((2, 3, 3), 256), "int64 from 256 to 256.*scale them"),
        (np.full((2, 3, 3), 256, np.uint16), "uint16 from 256 to 256.*--convert"),
        (np.full((2, 3, 3), 0.3), "not integer grey levels: --convert"),
        (np.full((2, 3, 3), 200.5), "not integer grey levels: --convert"),
        (np.full((2, 3, 3), 300.0), "scale them to 0 to 255"),
        (np.full((2, 3, 3), -0.5), "float64 from -0.5"),
        (np.full((2, 3, 3), np.nan), "not finite"),
        (np.zeros((2, 3, 3), complex), "complex128: give numbers"),
        (np.full((2, 3, 3), "a"), "<U1: give numbers"),
        (np.full((2, 3, 3), None), "Python objects"),
    ],
    ids=lambda value: f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else "",
)
def test_an_array_that_would_be_misread_is_refused_with_a_way(array: NDArray[Any], says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(mnistzip.MnistzipError, match=says):
        taken(tmp_path / "x.npy")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_grey_levels_as_floats_stay_the_same_levels(dtype: str, digits: Pixels, tmp_path: Path) -> None:
    for array in ((digits / 255).astype(dtype), digits.astype(dtype)):
        np.save(tmp_path / "x.npy", array)
        images, _, _, said = taken(tmp_path / "x.npy")
        assert same(images, digits)
        assert len(said) == 1
        assert said[0].endswith("1 as white" if array.max() == 1 else "255 as white")


@pytest.mark.parametrize("dtype", ["i8", ">i4", "u2", "u8", "i2"])
def test_grey_levels_in_wide_integers_stay_the_same_levels(dtype: str, digits: Pixels, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", digits.astype(dtype))
    images, _, _, said = taken(tmp_path / "x.npy")
    assert same(images, digits)
    assert "reading them as grey levels, 0 as black and 255 as white" in said[0]


def test_bool_becomes_black_and_white(digits: Pixels, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", digits > 99)
    images, _, _, said = taken(tmp_path / "x.npy")
    assert same(images, ((digits > 99) * 255).astype(np.uint8))
    assert "reading it as the grey levels 0 and 255" in said[0]


def test_convert_rounds_what_is_no_grey_level(tmp_path: Path) -> None:
    for array, expected in (
        (np.array([[[0.0, 0.3, 1.0]]]), [0, 77, 255]),
        (np.array([[[0.0, 100.6, 255.0]]]), [0, 101, 255]),
        (np.array([[[0, 32768, 65535]]], np.uint16), [0, 128, 255]),
    ):
        np.save(tmp_path / "x.npy", array)
        assert taken(tmp_path / "x.npy", convert=True)[0][0].tolist() == [expected]


def test_flat_idx_is_taken_like_a_flat_array(digits: Pixels, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(idx_header((64, 784)) + digits.tobytes())
    assert same(taken(tmp_path / "x")[0], digits)


# .npz


def savez(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("images", ["images", "image", "imgs", "x", "X", "data", "arr_of_them"])
@pytest.mark.parametrize("labels", ["labels", "label", "y", "targets", "target"])
def test_labels_of_an_npz_are_found_by_their_names(images: str, labels: str, digits: Pixels, tmp_path: Path) -> None:
    path = savez(tmp_path / "x.npz", **{"weights": np.zeros(10, np.float32), images: digits, labels: np.arange(64) + 300})
    result, _, numbers, said = taken(path)
    assert same(result, digits)
    assert numbers == list(range(300, 364))
    assert said == [f"{path}: ignored: weights float32[10]"]


@pytest.mark.parametrize(
    "labels", [np.arange(64)[:, None], np.arange(64.0), np.arange(64) % 2 == 1, np.arange(64, dtype=">i2")], ids=str
)
def test_labels_of_an_npz_may_be_of_any_type_that_is_whole(labels: NDArray[Any], digits: Pixels, tmp_path: Path) -> None:
    _, _, numbers, said = taken(savez(tmp_path / "x.npz", images=digits, labels=labels))
    assert numbers == labels.ravel().astype(int).tolist()
    assert said == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"labels": np.arange(63)}, "labels holds 63 labels for 64 images: give one label for each image"),
        ({"labels": np.arange(64) + 0.5}, "x.npz: labels has a label of 0.5"),
        ({"labels": np.zeros((64, 10))}, "argmax"),
        ({"labels": np.array(["a"] * 64)}, "not one integer for each image"),
        ({"labels": np.array([{}] * 64)}, "labels holds Python objects"),
        ({"names": np.array(["a"] * 63)}, "names holds 63 names for 64 images"),
        ({"names": np.arange(64)}, "not one text for each image"),
    ],
)
def test_labels_and_names_that_do_not_fit_are_refused(more: dict[str, Any], says: str, digits: Pixels, tmp_path: Path) -> None:
    with pytest.raises(mnistzip.MnistzipError, match=says):
        taken(savez(tmp_path / "x.npz", images=digits, **more))


def test_an_npz_without_labels_of_a_usual_name_has_none(digits: Pixels, tmp_path: Path) -> None:
    path = savez(tmp_path / "x.npz", images=digits, ids=np.arange(64))
    assert taken(path)[2] == [None] * 64
    assert taken(path)[3] == [f"{path}: ignored: ids int64[64]"]


def test_arrays_that_are_saved_without_names_are_images_and_labels(digits: Pixels, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", digits, np.arange(64))
    assert taken(tmp_path / "x.npz")[2:] == (list(range(64)), [])


def test_an_archive_comes_back_from_npz_with_names_and_labels(digits: Pixels, tmp_path: Path) -> None:
    names = [f"{k % 10}/ä{k}.png" for k in range(64)]
    (tmp_path / "a.cae").write_bytes(mnistzip.encode_archive(digits, names=names, labels=range(64), lossless=True))
    assert mz("decompress", tmp_path / "a.cae", "-o", tmp_path / "x.npz") == 0
    assert mz("compress", tmp_path / "x.npz", "--lossless", "-o", tmp_path / "b.cae") == 0
    with mnistzip.Archive(tmp_path / "b.cae") as archive:
        assert archive.names == names
        assert archive.labels is not None
        assert archive.labels.tolist() == list(range(64))


@pytest.mark.parametrize("pattern", ["x_{} y_{}", "{}_images {}_labels", "{}/data {}/target", "X{} y{}"])
def test_one_of_several_parts_is_chosen_with_its_labels(pattern: str, digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    if pattern == "X{} y{}":
        pattern = "X-{} y-{}"
    image, label = pattern.split()
    arrays = {
        image.format("train"): digits[:40],
        label.format("train"): np.arange(40),
        image.format("test"): digits[40:],
        label.format("test"): np.arange(24)[:, None] + 100,
    }
    path = savez(tmp_path / "x.npz", **arrays)
    assert mz("compress", path, "-o", tmp_path / "a.cae") == 1
    message = capsys.readouterr().err
    assert f"--array {image.format('train')} or --array {image.format('test')}" in message
    assert all(name in message for name in arrays)
    assert mz("compress", path, "--array", image.format("test"), "--lossless", "-o", tmp_path / "a.cae") == 0
    assert f"ignored: {image.format('train')}" in capsys.readouterr().err
    with mnistzip.Archive(tmp_path / "a.cae") as archive:
        assert same(list(archive), digits[40:])
        assert archive.labels is not None
        assert archive.labels.tolist() == list(range(100, 124))
    assert mz("compress", path, "--array", "nonsense", "-o", tmp_path / "b.cae") == 1
    assert "has no array nonsense" in capsys.readouterr().err


def test_a_zip_of_something_else_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", b"")
    with pytest.raises(mnistzip.ImageError, match="holds no arrays"):
        taken(tmp_path / "x.zip")


@pytest.mark.parametrize("other", ["image_ids", "x", "image_labels_wide", "meta"])
def test_an_array_that_cannot_be_images_is_not_taken_for_them(other: str, digits: Pixels, tmp_path: Path) -> None:
    more = np.zeros((64, 10)) if "wide" in other else np.arange(9)
    for images in ("pictures", "data", "train_images"):
        result, _, labels, said = taken(savez(tmp_path / "x.npz", **{other: more, images: digits}))
        assert same(result, digits)
        assert labels == [None] * 64
        assert f"ignored: {other} " in said[0]


def test_a_picture_is_one_whatever_its_suffix(digit_png: Path, digits: Pixels) -> None:
    for suffix in (".npy", ".npz", ".parquet", ".gz"):
        path = digit_png.rename(digit_png.with_suffix(suffix))
        assert len(taken(path)[0]) == 1
        digit_png = path


# Folders


def test_all_kinds_that_are_taken_singly_are_taken_from_folders(tmp_path: Path, capsys: Out) -> None:
    home = tmp_path / "scans"
    home.mkdir()
    grey = Image.fromarray(np.full((32, 32), 255, np.uint8))
    kinds = [".jfif", ".pbm", ".ppm", ".tga", ".jp2", ".ico", ".pcx", ".png", ".TIF", ".sgi"]
    for kind in kinds:
        image = grey.convert("1") if kind == ".pbm" else grey.convert("RGB") if kind in (".ppm", ".ico") else grey
        image.save(home / f"x{kind}")
    for name in ("a.txt", "b.csv", "c.txt", "d", "e.pdf"):
        (home / name).write_text("no image")
    assert mz("compress", home, "--lossless", "-o", tmp_path / "x.cae") == 0
    assert "scans: ignored 5 other files (.txt, " in capsys.readouterr().err
    with mnistzip.Archive(tmp_path / "x.cae") as archive:
        assert archive.names is not None
        assert sorted(archive.names) == sorted(f"x{kind}" for kind in kinds)
        assert all((image == 255).all() for image in archive)
    assert mz("compress", "-r", home, "-e", 0, "-o", tmp_path / "each") == 1  # they go to one name each
    message = capsys.readouterr().err
    assert "ignored 5 other files (.txt, " in message
    assert "would both go to" in message


def test_natural_order_is_that_of_people() -> None:
    names = ["B/1.png", "a/10.png", "a/2.png", "a/02.png", "a/1.png", "a/b/0.png", "10", "9", "a2b10", "a2b9", "A2b9", "", "x٣"]
    ordered = [str(path) for path in sorted(map(Path, names), key=folders.natural)]
    assert ordered == [
        ".",
        "9",
        "10",
        "a/1.png",
        "a/02.png",
        "a/2.png",
        "a/10.png",
        "a/b/0.png",
        "A2b9",
        "a2b9",
        "a2b10",
        "B/1.png",
        "x٣",
    ]


def test_files_of_a_folder_become_shards_in_natural_order(tmp_path: Path, digits: Pixels) -> None:
    (tmp_path / "in").mkdir()
    for k in (10, 9, 1):
        np.save(tmp_path / "in" / f"{k}.npy", digits[:k])
    _, planned = plan([str(tmp_path / "in")], str(tmp_path / "out"))
    assert [Path(shard.source).name for shard in planned] == ["1.npy", "9.npy", "10.npy"]


def test_images_of_unusual_suffixes_come_out_under_their_names(tmp_path: Path, digits: Pixels) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(digits[0]).save(tmp_path / "in" / "x.tga")
    assert mz("compress", tmp_path / "in", "--lossless", "-o", tmp_path / "x.cae") == 0
    assert mz("decompress", tmp_path / "x.cae", "-o", tmp_path / "back") == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back" / "x.png")), digits[0])


def test_single_images_in_cae_files_are_taken_where_there_are_no_others(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    home = tmp_path / "packed"
    home.mkdir()
    for k in (2, 10):
        (home / f"{k}.cae").write_bytes(mnistzip.encode(digits[k], lossless=True))
    (home / "all.cae").write_bytes(mnistzip.encode_archive(digits))
    assert mz("compress", home, "--lossless", "-o", tmp_path / "x.cae") == 0
    with mnistzip.Archive(tmp_path / "x.cae") as archive:
        assert same(list(archive), digits[[2, 10]])
    assert "ignored 1 other file (.cae)" in capsys.readouterr().err
    Image.fromarray(digits[5]).save(home / "5.png")
    assert mz("compress", home, "--lossless", "-f", "-o", tmp_path / "x.cae") == 0
    with mnistzip.Archive(tmp_path / "x.cae") as archive:
        assert same(list(archive), digits[5:6])
    assert "ignored 3 other files (.cae)" in capsys.readouterr().err


@pytest.fixture
def locked(tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder that may not be searched, not even by root."""
    home = tmp_path / "scans"
    for name, image in (("a/0.png", digits[0]), ("locked/1.png", digits[1]), ("z/2.png", digits[2])):
        (home / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(home / name)
    search = os.scandir

    def refusing(path: Any = ".") -> Any:
        if os.path.basename(os.fspath(path)) == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return search(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return home


def test_a_folder_that_cannot_be_searched_is_named_and_the_rest_is_done(
    locked: Path, tmp_path: Path, digits: Pixels, capsys: Out
) -> None:
    assert mz("compress", locked, "--lossless", "-o", tmp_path / "x.cae") == 1
    assert capsys.readouterr().err == f"mnistzip: {locked / 'locked'}: Permission denied\n"
    with mnistzip.Archive(tmp_path / "x.cae") as archive:
        assert same(list(archive), digits[[0, 2]])
    assert mz("compress", "-r", locked, "--lossless", "-o", tmp_path / "each", "--quiet") == 1
    assert capsys.readouterr().err == f"mnistzip: {locked / 'locked'}: Permission denied\n"
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("each/**/*.cae")) == [
        "each/a/0.cae",
        "each/z/2.cae",
    ]
    (locked / "locked" / "1.cae").write_bytes(b"")
    assert mz("decompress", "-r", tmp_path / "each", locked, "-o", tmp_path / "back", "--quiet") == 1
    assert "locked: Permission denied" in capsys.readouterr().err
    assert mz("compress", locked / "locked", "-o", tmp_path / "y.cae") == 1
    assert "Permission denied" in capsys.readouterr().err


def test_links_are_not_followed_in_circles_and_broken_ones_are_named(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    home = tmp_path / "scans"
    home.mkdir()
    Image.fromarray(digits[0]).save(home / "a.png")
    (home / "again").symlink_to(home)
    (home / "b.png").symlink_to(home / "b.png")
    (home / "c.png").symlink_to(home / "gone.png")
    (home / "d.png").symlink_to(home / "a.png")
    assert mz("compress", home, "--lossless", "-o", tmp_path / "x.cae") == 1
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 3
    assert "ignored 1 link to a folder (again)" in message[0]
    assert "b.png: Too many levels" in message[1]
    assert "c.png: No such file" in message[2]
    assert len(mnistzip.Archive(tmp_path / "x.cae")) == 2


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "scans").mkdir()
    assert mz("compress", tmp_path / "scans", "-o", tmp_path / "x.cae") == 1
    assert "no images in" in capsys.readouterr().err
    (tmp_path / "scans" / "x.txt").touch()
    assert mz("compress", tmp_path / "scans", "-o", tmp_path / "x.cae") == 1
    assert capsys.readouterr().err.endswith("it holds files of .txt\n")
    (tmp_path / "scans" / "x.npy").touch()
    assert mz("compress", tmp_path / "scans", "-o", tmp_path / "x.cae") == 1
    assert "it holds files of .npy, .txt; name each file that holds many images" in capsys.readouterr().err


# Pipes and names that say nothing


def npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, images=array)
    return out.getvalue()


def parquet(array: Pixels) -> bytes:
    import pyarrow
    from pyarrow.parquet import write_table

    out = io.BytesIO()
    write_table(pyarrow.table({"image": mnistzip.encode_many(array, lossless=True)}), out)
    return out.getvalue()


def idx(array: Pixels) -> bytes:
    return idx_header(array.shape) + array.tobytes()


KINDS: dict[str, Callable[[Pixels], bytes]] = {
    "idx": idx,
    "idx.gz": lambda array: gzip.compress(idx(array)),
    "npy": npy,
    "npz": npz,
    "parquet": parquet,
    "cae": lambda array: mnistzip.encode_archive(array, lossless=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_holds_is_found_whatever_its_name(kind: str, digits: Pixels, tmp_path: Path) -> None:
    images = digits[:16]
    content = KINDS[kind](images)
    for name in ("data.bin", "data", "data.png", "data.npz"):
        (tmp_path / name).write_bytes(content)
        assert same(taken(tmp_path / name)[0], images), name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_taken_as_a_file_is_taken_from_stdin(
    kind: str, digits: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    with io.TextIOWrapper(io.BytesIO(KINDS[kind](digits[:8]))) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert mz("compress", "-", "--lossless", "-o", tmp_path / "x.cae") == 0
    assert same(list(mnistzip.Archive(tmp_path / "x.cae")), digits[:8])


def test_pipes_of_the_shell_are_read_once_for_images_and_labels(digits: Pixels, tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(digits[:8])))
    (tmp_path / "l.gz").write_bytes(gzip.compress(idx_header((8,)) + bytes(range(8))))
    mnistzip_command = f"{sys.executable} -m mnistzip"
    command = f"{mnistzip_command} compress <(zcat x.gz) --labels <(zcat l.gz) --lossless -o a.cae && "
    command += f"zcat x.gz | {mnistzip_command} compress - --labels <(cat l.gz) --lossless | cat > b.cae && "
    command += f"cat b.cae | {mnistzip_command} compress - --lossless > c.cae"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("a.cae", "b.cae", "c.cae"):
        with mnistzip.Archive(tmp_path / name) as archive:
            assert same(list(archive), digits[:8])
            assert archive.labels is not None
            assert archive.labels.tolist() == list(range(8))
    done = subprocess.run(
        ["bash", "-c", f"{mnistzip_command} compress <(cat x.gz)"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is a pipe: name the archive with -o NAME.cae" in done.stderr


def test_a_pipe_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setattr("mnistzip.io.image_file.INPUT_FILE_MAX", 1 << 21)
    with open("/dev/zero") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert mz("compress", "-", "-o", tmp_path / "x.cae") == 1
    assert "stdin gives more than 2097152 bytes" in capsys.readouterr().err


def test_a_gzipped_file_of_another_kind_is_refused_with_a_way(digits: Pixels, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress(npy(digits)))
    assert mz("compress", tmp_path / "x.npy.gz", "-o", tmp_path / "x.cae") == 1
    assert "unpack it first (gunzip)" in capsys.readouterr().err


# Several inputs, and those that are added


@pytest.fixture
def mixed(tmp_path: Path, digits: Pixels) -> Path:
    savez(tmp_path / "labelled.npz", images=digits[:4], labels=np.arange(4))
    savez(tmp_path / "bare.npz", images=digits[4:8])
    savez(tmp_path / "named.npz", images=digits[8:9], names=np.array(["a.png"]))
    return tmp_path


def test_labelled_and_unlabelled_inputs_are_told_apart_by_name(mixed: Path, capsys: Out) -> None:
    inputs = (mixed / "labelled.npz", mixed / "bare.npz")
    assert mz("compress", *inputs, "-o", mixed / "x.cae") == 1
    message = capsys.readouterr().err
    assert "bare.npz has no labels, unlike" in message
    assert "labelled.npz: " in message
    assert mz("compress", *inputs, "--no-labels", "--lossless", "-o", mixed / "x.cae") == 0
    assert "labelled.npz: ignored: labels int64[4]" in capsys.readouterr().err
    assert mnistzip.Archive(mixed / "x.cae").labels is None


@pytest.mark.parametrize(
    ("old", "new", "says", "way"),
    [
        ("labelled", "bare", "bare.npz has no labels, unlike", "--labels"),
        ("bare", "labelled", "labelled.npz has labels, unlike", "--no-labels"),
        ("bare", "named", "named.npz has names, unlike", "once more: mnistzip compress"),
    ],
)
def test_what_does_not_go_with_an_archive_is_named_with_a_way(
    old: str, new: str, says: str, way: str, mixed: Path, capsys: Out
) -> None:
    target = mixed / "x.cae"
    assert mz("compress", mixed / f"{old}.npz", "-o", target) == 0
    before = target.read_bytes()
    capsys.readouterr()
    assert mz("compress", mixed / f"{new}.npz", "--append", "-o", target) == 1
    message = capsys.readouterr().err
    assert says in message
    assert way in message
    assert target.read_bytes() == before


def test_the_new_archive_that_a_message_proposes_can_be_made(mixed: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mixed)
    (mixed / "named.npz").rename("two words.npz")
    savez(mixed / "more.npz", images=np.full((1, 28, 28), 7, np.uint8), names=np.array(["b.png"]))
    assert mz("compress", "bare.npz", "-o", "x.cae") == 0
    assert mz("compress", "two words.npz", "more.npz", "--append", "-o", "x.cae") == 1
    message = capsys.readouterr().err
    assert "once more: mnistzip compress x.cae 'two words.npz' more.npz --quality 50 -o NEW.cae" in message
    assert mz(*shlex.split(message.partition("once more: mnistzip ")[2])) == 0
    assert mnistzip.Archive("NEW.cae").names == ["", "", "", "", "a.png", "b.png"]


def test_images_without_names_are_added_to_those_with_names_and_that_is_said(mixed: Path, capsys: Out) -> None:
    assert mz("compress", mixed / "named.npz", "-o", mixed / "x.cae") == 0
    assert mz("compress", mixed / "bare.npz", "--append", "-o", mixed / "x.cae") == 0
    assert "bare.npz has no names, unlike" in capsys.readouterr().err
    assert mnistzip.Archive(mixed / "x.cae").names == ["a.png", "", "", "", ""]
    assert mz("compress", mixed / "labelled.npz", "--no-labels", "--append", "-o", mixed / "x.cae") == 0


def test_options_of_reading_are_refused_where_they_would_do_nothing(digit_png: Path, tmp_path: Path, capsys: Out) -> None:
    for option in (["--array", "x"], ["--shape", "28x28"], ["--image-column", "x"], ["--no-labels"]):
        assert mz("compress", digit_png, *option) == 2
        assert f"{option[0]} is for archives" in capsys.readouterr().err
    for option in (["--array", "x"], ["--shape", "28x28"], ["--label-column", "x"]):
        assert mz("compress", digit_png, *option, digit_png, "-o", tmp_path / "x.cae") == 1
        assert f"{option[0]} needs a" in capsys.readouterr().err
    for shape in ("28", "28x", "0x28", "axb", "28x28x1"):
        assert mz("compress", digit_png, "--shape", shape) == 2
        assert "is not height and width such as 28x28" in capsys.readouterr().err
