"""Labels: whatever file they come in, each image gets its own, or the command says why not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.errors import FormatError, LimitError
from mnistzip.idx import TYPES, idx_header, read_idx
from mnistzip.io.labels import read_label_file, read_labels
from mnistzip.types import Pixels

Out = pytest.CaptureFixture[str]


def mz(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def labels_of(path: Path) -> list[int]:
    with mnistzip.Archive(path) as archive:
        assert archive.labels is not None
        return archive.labels.tolist()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("zipped", [False, True])
def test_labels_of_every_idx_type_are_read(kind: int, zipped: bool, tmp_path: Path) -> None:
    numbers = np.array([3, 0, 100], TYPES[kind])
    content = idx_header((3,), kind) + numbers.tobytes()
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert read_labels(path).tolist() == [3, 0, 100]
    assert read_labels(path).dtype == np.int64


@pytest.mark.parametrize("labels", [[300, 0, 5], [-1, 0, 1], [2**31 - 1, -(2**31), 0], [0, 1, 255]])
def test_labels_survive_decompress_and_compress(labels: list[int], tmp_path: Path, digits: Pixels) -> None:
    (tmp_path / "a.cae").write_bytes(mnistzip.encode_archive(digits[:3], labels=labels, lossless=True))
    assert mz("decompress", tmp_path / "a.cae", "-o", tmp_path / "x-idx3", "--labels", tmp_path / "l-idx1") == 0
    assert mz("compress", tmp_path / "x-idx3", "--labels", tmp_path / "l-idx1", "--lossless", "-o", tmp_path / "b.cae") == 0
    assert labels_of(tmp_path / "b.cae") == labels


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != 8])
def test_images_of_another_idx_type_are_refused_with_its_name(kind: int, tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "images"
    path.write_bytes(idx_header((1, 2, 2), kind) + np.zeros(4, TYPES[kind]).tobytes())
    with pytest.raises(FormatError, match=f"IDX file of {np.dtype(TYPES[kind]).name}: .*uint8"):
        read_idx(path)
    assert mz("compress", path, "-o", tmp_path / "x.cae") == 1
    assert f"IDX file of {np.dtype(TYPES[kind]).name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, 0, 7], np.int16),
        np.array([[1], [0], [7]]),
        np.array([1.0, 0.0, 7.0], np.float32),
        np.array([1, 0, 7], ">u4"),
    ],
    ids=str,
)
def test_whole_numbers_of_any_type_are_labels(array: NDArray[Any], tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", array)
    assert read_labels(tmp_path / "labels.npy").tolist() == [1, 0, 7]
    np.save(tmp_path / "bool.npy", np.array([True, False]))
    assert read_labels(tmp_path / "bool.npy").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array([0.5]), "label of 0.5: labels are whole"),
        (np.array([np.nan]), "label of nan"),
        (np.array([np.inf]), "label of inf"),
        (np.array([1e300]), "label of 1e"),
        (np.array(["a"]), "not one integer"),
        (np.zeros((3, 10)), r"numpy\.argmax"),
        (np.array([{}], object), "can be read"),
        (np.array(3), "not one integer"),
    ],
)
def test_what_is_no_label_is_refused(array: NDArray[Any], says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", array)
    with pytest.raises(FormatError, match=says):
        read_labels(tmp_path / "labels.npy")


@pytest.mark.parametrize(
    "text",
    ["5\n0\n300\n", "label\n5\n0\n300\n", "5.0\r\n0.000\r\n300\r\n", "\ufefflabel\n5\n0\n300"],
)
def test_a_column_of_integers_is_labels_in_order(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text, newline="")
    assert read_labels(tmp_path / "labels.csv").tolist() == [5, 0, 300]


@pytest.fixture
def folder(tmp_path: Path, digits: Pixels) -> Path:
    """Twelve images, each of which can be told by its brightest corner."""
    home = tmp_path / "scans"
    home.mkdir()
    for k in range(12):
        Image.fromarray(np.full((3, 3), 10 * k, np.uint8)).save(home / f"{k}.png")
    return home


def levels_of(path: Path) -> list[int]:
    with mnistzip.Archive(path) as archive:
        return [int(image[0, 0]) // 10 for image in archive]


def test_labels_in_order_go_to_files_as_people_count_them(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.arange(12))
    assert mz("compress", folder, "--lossless", "--labels", tmp_path / "labels.npy", "-o", tmp_path / "x.cae") == 0
    assert levels_of(tmp_path / "x.cae") == labels_of(tmp_path / "x.cae") == list(range(12))


@pytest.mark.parametrize(
    ("title", "row"),
    [
        ("", "{k}.png,{label}"),
        ("name,label\n", "{k}.png,{label}"),
        ("label,filename\n", "{label},{k}.png"),
        (",file_name,width,class\n", "{k},{k}.png,28,{label}"),
        ("id\tlabel\n", "{k}\t{label}"),
        ("", "scans/{k}.png;{label}"),
        ("", "/data/scans/{k}.jpg,{label}"),
        ("", '"C:\\scans\\{k}.png", {label}'),
    ],
)
def test_labels_by_name_go_to_the_images_of_that_name(title: str, row: str, folder: Path, tmp_path: Path, capsys: Out) -> None:
    rows = [row.format(k=k, label=1000 + k) for k in (3, 11, 1, 0, 10, 2, 9, 8, 7, 6, 5, 4)]
    (tmp_path / "labels.csv").write_text(title + "\n".join(rows) + "\n")
    assert mz("compress", folder, "--lossless", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "x.cae") == 0
    assert labels_of(tmp_path / "x.cae") == [1000 + k for k in levels_of(tmp_path / "x.cae")]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([f"{k}.png,{k}" for k in range(11)], "no label for 11.png"),
        ([f"{k}.png,{k}" for k in [*range(12), 3]], "a label for 3.png more than once"),
        ([f"{k}.png,{k}" for k in range(11)] + ["11.png,cat"], "row 12 has the label 'cat'"),
        ([f"{k}.png,{k}" for k in range(11)] + ["11.png"], "row 12 has 1 columns"),
        ([f"a/{k}.png,{k}" for k in range(12)] + ["b/3.png,4"], "several labels for 3.png (a/3.png and b/3.png)"),
        (["name,width,height"] + [f"{k}.png,2,3" for k in range(12)], "columns name, width, height"),
        ([f"{k}.png,{k},1" for k in range(12)], "3 columns without titles"),
        ([f"{k}.png,{1 << 63}" for k in range(12)], "label of 9223372036854775808"),
        ([""], "can be read"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_name(
    rows: list[str], says: str, folder: Path, tmp_path: Path, capsys: Out
) -> None:
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    assert mz("compress", folder, "--labels", tmp_path / "labels.csv", "-o", tmp_path / "x.cae") == 1
    message = capsys.readouterr().err
    assert says in message
    assert message.count("\n") == 1
    assert not (tmp_path / "x.cae").exists()


def test_two_images_do_not_share_a_row_of_a_table(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.fromarray(digits[0]).save(tmp_path / "in" / name / "0.png")
    (tmp_path / "labels.csv").write_text("0.png,7\n")
    assert mz("compress", tmp_path / "in", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "x.cae") == 1
    assert "a/0.png and b/0.png are both 0.png of" in capsys.readouterr().err
    (tmp_path / "labels.csv").write_text("a/0.png,7\nb/0.png,8\n")
    assert mz("compress", tmp_path / "in", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "x.cae") == 0
    assert labels_of(tmp_path / "x.cae") == [7, 8]


def test_labels_for_no_image_are_said(folder: Path, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "labels.csv").write_text("".join(f"{k}.png,{k}\n" for k in range(14)))
    assert mz("compress", folder, "--lossless", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "x.cae") == 0
    assert "2 labels are for no image (12.png, 13.png)" in capsys.readouterr().err


def test_images_without_names_get_no_labels_by_name(tmp_path: Path, digits: Pixels, capsys: Out) -> None:
    np.save(tmp_path / "x.npy", digits)
    (tmp_path / "labels.csv").write_text("0.png,7\n")
    assert mz("compress", tmp_path / "x.npy", "--labels", tmp_path / "labels.csv", "-o", tmp_path / "x.cae") == 1
    assert "x.npy, image 0 has no name: give an integer for each image" in capsys.readouterr().err


def test_an_image_that_cannot_be_taken_does_not_shift_the_labels(folder: Path, tmp_path: Path, capsys: Out) -> None:
    (folder / "4.png").write_bytes(b"broken")
    np.save(tmp_path / "labels.npy", np.arange(12))
    (tmp_path / "labels.csv").write_text("".join(f"{k}.png,{k}\n" for k in range(12)))
    for name in ("labels.npy", "labels.csv"):
        assert mz("compress", folder, "--lossless", "--labels", tmp_path / name, "-f", "-o", tmp_path / "x.cae") == 1
        assert levels_of(tmp_path / "x.cae") == labels_of(tmp_path / "x.cae") == [k for k in range(12) if k != 4]
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("count", [11, 13])
def test_another_number_of_labels_than_images_is_refused(count: int, folder: Path, tmp_path: Path, capsys: Out) -> None:
    np.save(tmp_path / "labels.npy", np.arange(count))
    assert mz("compress", folder, "--labels", tmp_path / "labels.npy", "-o", tmp_path / "x.cae") == 1
    assert f"labels.npy holds {count} labels for 12 images: give one label for each image" in capsys.readouterr().err


def test_a_table_of_too_many_bytes_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnistzip.io.labels.LABEL_FILE_MAX", 10)
    (tmp_path / "labels.csv").write_text("a,1\n" * 3)
    with pytest.raises(LimitError, match="more than 10 bytes"):
        read_label_file(tmp_path / "labels.csv")
