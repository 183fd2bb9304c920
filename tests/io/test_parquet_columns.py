"""Columns of Parquet files as pandas, pyarrow and datasets write them: known names only, and what is left out is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow
import pytest
from datasets.table import embed_table_storage
from PIL import Image
from pyarrow.parquet import write_table

import mnistzip
from mnistzip.archive.entry_names import fault
from mnistzip.cli.main import run
from mnistzip.io.image_streams import open_stream
from mnistzip.io.read_options import InputOptions
from mnistzip.io.safe_names import safe_name
from mnistzip.types import Pixels

Out = pytest.CaptureFixture[str]


def mz(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def png(image: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def taken(path: Path, **options: Any) -> tuple[list[str], list[int | None], list[str]]:
    """Names and labels, and what was said, of a file whose images are the first digits."""
    said: list[str] = []
    stream = open_stream([path], options=InputOptions(say=said.append, **options))
    items = list(stream.items)
    assert all(isinstance(item.image, np.ndarray) for item in items)
    assert stream.labelled == (items[0].label is not None)
    return [item.name for item in items], [item.label for item in items], said


@pytest.fixture
def cells(digits: Pixels) -> list[bytes]:
    return [png(digit) for digit in digits[:3]]


def table(path: Path, **columns: Any) -> Path:
    write_table(pyarrow.table(columns), path)
    return path


def test_no_column_is_guessed_to_be_labels_or_names(cells: list[bytes], tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", image=cells, width=[28, 28, 28], split=["train"] * 3)
    assert taken(path) == (["", "", ""], [None] * 3, [f"{path}: left out: width int64, split string"])


def test_the_index_of_pandas_is_no_label(cells: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pandas.DataFrame({"image": cells}, index=[5, 6, 9]).to_parquet(path)
    assert taken(path)[1] == [None] * 3
    assert "__index_level_0__ int64" in taken(path)[2][0]


def test_labels_and_names_come_from_pandas_of_any_type(cells: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    frame = pandas.DataFrame({"image": cells, "filename": ["a.png", "b/c.png", None]})
    for labels in ([1, 0, 1], [1.0, 0.0, 1.0], [True, False, True], pandas.Categorical([1, 0, 1])):
        frame["label"] = labels
        frame.to_parquet(path)
        assert taken(path) == (["a.png", "b/c.png", ""], [1, 0, 1], [])


@pytest.mark.parametrize(
    "kind", [pyarrow.string(), pyarrow.large_string(), pyarrow.dictionary(pyarrow.int8(), pyarrow.string())]
)
def test_names_of_every_type_of_text_are_taken(kind: Any, cells: list[bytes], tmp_path: Path) -> None:
    names = pyarrow.array(["a", "b", "a"], kind)
    assert taken(table(tmp_path / "x.parquet", image=cells, file_name=names))[0] == ["a", "b", "a"]


@pytest.mark.parametrize("kind", [pyarrow.binary(), pyarrow.large_binary()])
def test_images_of_every_type_of_bytes_are_taken(kind: Any, cells: list[bytes], tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", scan=pyarrow.array(cells, kind), label=[1, 2, 3])
    assert taken(path) == (
        [""] * 3,
        [1, 2, 3],
        [f"{path}: the column scan is taken as the images, being the only one of bytes"],
    )


def test_columns_can_be_named(cells: list[bytes], tmp_path: Path, capsys: Out) -> None:
    path = table(tmp_path / "x.parquet", image=[b""] * 3, scan=cells, width=[7, 8, 9], title=["x", "y", "z"])
    options = ["--image-column", "scan", "--label-column", "width", "--name-column", "title"]
    assert mz("compress", path, "--lossless", *options) == 0
    assert "left out: image binary" in capsys.readouterr().err
    with mnistzip.Archive(tmp_path / "x.cae") as archive:
        assert archive.labels is not None
        assert (archive.labels.tolist(), archive.names) == ([7, 8, 9], ["x", "y", "z"])
    for option, column, says in (
        ("--image-column", "width", "width is none that holds encoded images"),
        ("--image-column", "none", "none is none that holds encoded images"),
        ("--label-column", "scan", "holds binary, not numbers or text"),
        ("--label-column", "none", "is not among image, scan, width, title"),
        ("--name-column", "width", "holds int64, not text"),
    ):
        assert mz("compress", path, option, column, "-o", tmp_path / "y.cae") == 1
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["string", "categorical"])
def test_labels_that_are_text_are_numbered_only_on_demand_and_aloud(
    kind: str, cells: list[bytes], tmp_path: Path, capsys: Out
) -> None:
    path = tmp_path / "x.parquet"
    texts = ["dog", "cat", "dog"]
    pandas.DataFrame({"image": cells, "label": pandas.Categorical(texts) if kind == "categorical" else texts}).to_parquet(path)
    assert mz("compress", path, "--lossless", "-o", tmp_path / "a.cae") == 0
    message = capsys.readouterr().err
    assert "left out: label " in message
    assert "--label-column label numbers the texts of label in sorted order" in message
    assert mnistzip.Archive(tmp_path / "a.cae").labels is None
    assert mz("compress", path, "--lossless", "--label-column", "label", "-o", tmp_path / "b.cae") == 0
    assert "label is numbered in sorted order: 0 cat, 1 dog" in capsys.readouterr().err
    labels = mnistzip.Archive(tmp_path / "b.cae").labels
    assert labels is not None
    assert labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([1, None, 3], "row 1 has no label: fill it in, or leave all labels out by --no-labels"),
        ([1.0, 2.5, 3.0], "row 1 has a label of 2.5"),
        (pyarrow.array([1, 1 << 63, 3], pyarrow.uint64()), "row 1 has a label of 9223372036854775808"),
    ],
)
def test_a_label_that_is_none_is_refused_with_its_row(labels: Any, says: str, cells: list[bytes], tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", image=cells, label=labels)
    with pytest.raises(mnistzip.FormatError, match=says):
        taken(path)
    assert taken(path, labels=False)[1] == [None] * 3


def test_data_sets_of_hugging_face_keep_labels_and_names(digits: Pixels, tmp_path: Path) -> None:
    files = []
    for k in range(3):
        files.append(str(tmp_path / f"{k}.png"))
        Image.fromarray(digits[k]).save(files[-1])
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    data = datasets.Dataset.from_dict({"image": files, "label": [1, 0, 1]}, features=features)
    data.to_parquet(str(tmp_path / "paths.parquet"))
    embedded = data.with_format("arrow").map(embed_table_storage, batched=True, keep_in_memory=True).with_format(None)
    embedded.to_parquet(str(tmp_path / "embedded.parquet"))
    names, labels, said = taken(tmp_path / "embedded.parquet")
    assert [Path(name).name for name in names] == ["0.png", "1.png", "2.png"]
    assert (labels, said[1:]) == ([1, 0, 1], [])
    with pytest.raises(mnistzip.FormatError, match=r"row 0 holds the path of an image.*embed_table_storage"):
        taken(tmp_path / "paths.parquet")


def test_names_that_lead_out_of_a_folder_are_made_safe_and_counted_once(
    cells: list[bytes], tmp_path: Path, capsys: Out
) -> None:
    paths = ["/data/train/0.png", "..\\data/train/0.png", "sub/2.png"]
    structs = [{"bytes": cell, "path": path} for cell, path in zip(cells, paths, strict=True)]
    path = table(tmp_path / "x.parquet", image=structs)
    assert mz("compress", path, "--lossless") == 0
    assert capsys.readouterr().err.count("2 names were made safe") == 1
    assert mnistzip.Archive(tmp_path / "x.cae").names == ["data/train/0.png", "data/train/0~2.png", "sub/2.png"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.png", "a/b.png"),
        ("", ""),
        ("/a/b.png", "a/b.png"),
        ("//a//b.png", "a/b.png"),
        ("../../a.png", "a.png"),
        ("a/../b.png", "a/b.png"),
        ("C:\\x\\a.png", "x/a.png"),
        ("c:a.png", "a.png"),
        ("C:D:a.png", ""),
        ("\\\\server\\share\\a.png", "server/share/a.png"),
        ("a\0b\n.png", "a_b_.png"),
        ("..", ""),
        ("/", ""),
        ("\ud800.png", "?.png"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
    ],
)
def test_a_safe_name_is_one_that_an_archive_holds(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert fault(safe_name(name)) is None


def test_the_longest_path_keeps_its_end() -> None:
    safe = safe_name("/" + "/".join(["part" * 10] * 200) + "/a.png")
    assert safe.endswith("part/a.png")
    assert fault(safe) is None


def test_several_columns_of_images_are_an_error_that_lists_them(cells: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(mnistzip.ImageError, match="scan binary, mask binary: name it by --image-column"):
        taken(table(tmp_path / "x.parquet", scan=cells, mask=cells))
    with pytest.raises(mnistzip.ImageError, match=r"pixels list<.*one must hold encoded images as bytes"):
        taken(table(tmp_path / "x.parquet", pixels=[[1, 2]] * 3))


def test_texts_are_not_numbered_in_two_ways_in_one_archive(cells: list[bytes], tmp_path: Path, capsys: Out) -> None:
    a = table(tmp_path / "a.parquet", image=cells, label=["cat", "dog", "cat"])
    b = table(tmp_path / "b.parquet", image=cells, label=["dog", "dog", "dog"])
    c = table(tmp_path / "c.parquet", image=cells, label=[0, 1, 0])
    option = ("--label-column", "label")
    for other in (b, c):
        assert mz("compress", a, other, *option, "-o", tmp_path / "x.cae") == 1
        assert "do not have the same texts as labels" in capsys.readouterr().err
    assert mz("compress", a, a, *option, "-o", tmp_path / "x.cae") == 0
    assert mz("compress", b, *option, "--append", "-o", tmp_path / "x.cae") == 1
    assert "number them yourself" in capsys.readouterr().err
    assert mz("compress", a, b, *option, "--no-labels", "-o", tmp_path / "y.cae") == 0
    assert "is numbered in sorted order" not in capsys.readouterr().err
