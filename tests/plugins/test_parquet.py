"""Files of mnistzip in a column of Parquet, with the real pyarrow and the real datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

import mnistzip
import mnistzip.plugins.pillow
from mnistzip.cli.main import run
from mnistzip.io.image_streams import open_stream
from mnistzip.types import Pixels


@pytest.fixture
def table(digits: Pixels, tmp_path: Path) -> Path:
    path = tmp_path / "digits.parquet"
    columns = pyarrow.table({"image": mnistzip.encode_many(digits, lossless=True), "label": np.arange(64)})
    encoding = {"image": "DELTA_LENGTH_BYTE_ARRAY"}
    pyarrow.parquet.write_table(columns, path, use_dictionary=["label"], column_encoding=encoding)
    return path


def decoded(rows: dict[str, Any]) -> dict[str, Any]:
    return {**rows, "image": mnistzip.decode_many(rows["image"])}


def test_rows_are_decoded_when_they_are_looked_at(table: Path, digits: Pixels, tmp_path: Path) -> None:
    packed = datasets.Dataset.from_parquet(str(table), cache_dir=str(tmp_path / "cache"))
    assert isinstance(packed[0]["image"], bytes)
    data = packed.with_transform(decoded)
    assert np.array_equal(data[17]["image"], digits[17])
    assert np.array_equal(np.stack(data[[5, 60, 5]]["image"]), digits[[5, 60, 5]])
    mixed = data.shuffle(seed=1)
    assert np.array_equal(np.stack(mixed[:]["image"]), digits[mixed[:]["label"]])
    packed.set_transform(decoded)
    assert packed[3:5]["label"] == [3, 4]


def test_an_image_column_of_datasets_opens_through_pillow(table: Path, digits: Pixels, tmp_path: Path) -> None:
    packed = datasets.Dataset.from_parquet(str(table), cache_dir=str(tmp_path / "cache"))
    image = packed.cast_column("image", datasets.Image())[9]["image"]
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), digits[9])


def test_rows_may_hold_whole_archives(digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "groups.parquet"
    groups = [mnistzip.encode_archive(part, lossless=True) for part in (digits[:32], digits[32:])]
    pyarrow.parquet.write_table(pyarrow.table({"images": groups}), path)
    second = pyarrow.parquet.read_table(path)["images"][1].as_py()
    assert np.array_equal(mnistzip.Archive(second)[5], digits[37])


def test_such_a_column_goes_into_an_archive_and_out_again(table: Path, digits: Pixels, tmp_path: Path) -> None:
    packed, back = str(tmp_path / "d.cae"), str(tmp_path / "back.parquet")
    assert run(["compress", str(table), "--lossless", "-o", packed]) == 0
    with mnistzip.Archive(packed) as archive:
        assert archive.labels is not None
        assert archive.labels.tolist() == list(range(64))
        assert all(map(np.array_equal, archive, digits))
    assert run(["decompress", packed, "-o", back]) == 0
    assert pyarrow.parquet.read_table(back)["label"].to_pylist() == list(range(64))


def test_names_that_are_no_text_are_one_error(digits: Pixels, tmp_path: Path) -> None:
    ends = pyarrow.py_buffer(np.array([0, 1, 2], np.int32).tobytes())
    names = pyarrow.Array.from_buffers(pyarrow.string(), 2, [None, ends, pyarrow.py_buffer(b"\xff\xfe")])
    cells = pyarrow.array([mnistzip.encode(digit, effort=0) for digit in digits[:2]], pyarrow.binary())
    pyarrow.parquet.write_table(pyarrow.table({"image": cells, "name": names}), tmp_path / "x.parquet")
    with pytest.raises(mnistzip.FormatError, match="is not a Parquet file that can be read"):
        list(open_stream([str(tmp_path / "x.parquet")]).items)
