from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mnistzip
from mnistzip.errors import FormatError, ImageError, LimitError, MnistzipError, ModelError
from mnistzip.idx import idx_header
from mnistzip.io.image_streams import open_stream
from mnistzip.io.labels import read_labels
from mnistzip.io.readers import load
from mnistzip.types import Pixels
from support.paths import DIGITS as IDX


def same(images: list[Pixels], others: Pixels) -> bool:
    return len(images) == len(others) and all((a == b).all() for a, b in zip(images, others, strict=True))


def test_a_folder_gives_its_images_in_order_and_names_them(tmp_path: Path, digits: Pixels) -> None:
    (tmp_path / "b").mkdir()
    Image.fromarray(digits[0]).save(tmp_path / "a.png")
    Image.fromarray(digits[1]).save(tmp_path / "b" / "c.BMP")
    (tmp_path / "b" / "d.cae").write_bytes(mnistzip.encode(digits[2], lossless=True))
    (tmp_path / "notes.txt").write_text("not an image")
    source = load([tmp_path])
    assert source.names == ["a.png", str(Path("b") / "c.BMP"), str(Path("b") / "d.cae")]
    assert same(source.images, digits[:3])


@pytest.mark.parametrize("kind", ["idx", "idx.gz", "npy", "npz"])
def test_arrays_give_the_images_they_hold(kind: str, tmp_path: Path, digits: Pixels) -> None:
    path = tmp_path / f"digits.{kind}"
    content = gzip.decompress(IDX.read_bytes())
    if kind == "npy":
        np.save(path, digits)
    elif kind == "npz":
        np.savez(path, images=digits, labels=np.arange(len(digits)))
    else:
        path.write_bytes(content if kind == "idx" else gzip.compress(content))
    assert same(load([path]).images, digits)
    assert load([path], limit=5).names == ["0", "1", "2", "3", "4"]


def test_one_image_is_a_source_and_so_are_several_files(tmp_path: Path, digits: Pixels) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, digit in zip(paths, digits, strict=False):
        Image.fromarray(digit).save(path)
    np.save(tmp_path / "one.npy", digits[3])
    assert same(load([paths[0]]).images, digits[:1])
    assert same(load([*paths, tmp_path / "one.npy"]).images, digits[:4])


def test_an_image_comes_from_a_pipe(digit_png: Path, digit: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    with digit_png.open("rb") as file, io.TextIOWrapper(file) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        source = load(["-"])
    assert same(source.images, digit[None])


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((2, 28, 28), 300.0), "float64 from 300 to 300"),
        (np.zeros((2, 28, 28, 3), np.uint8), "shape \\(2, 28, 28, 3\\): it holds colours"),
        (np.array([{}], object), "is not an array that can be read"),
    ],
)
def test_arrays_that_hold_no_grey_images_are_refused_by_name(array: NDArray[np.generic], says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, array)
    with pytest.raises(MnistzipError, match=says) as caught:
        load([path])
    assert str(path) in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"no images in .*nothing there is an image file, such as \.png"):
        load([tmp_path])
    with pytest.raises(ImageError, match="no such file or folder"):
        load([tmp_path / "missing.png"])
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(FormatError, match="is not an array that can be read"):
        load([tmp_path / "cut.npz"])
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ModelError, match=r"mnist is no file.*pip install 'mnistzip\[train\]'"):
        load(["mnist"])


class VisionDataset:
    """Stands in for torchvision's base class."""


class MNIST(VisionDataset):
    def __init__(self, root: Path, train: bool, download: bool) -> None:
        assert download
        self.data = np.full((3, 28, 28), 1 if train else 2, np.uint8)


class Colours(VisionDataset):
    def __init__(self, root: Path, train: bool, download: bool) -> None:
        self.data = np.zeros((3, 32, 32, 3), np.uint8)


class Offline(VisionDataset):
    def __init__(self, root: Path, train: bool, download: bool) -> None:
        raise OSError("no route to host")


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = type(sys)("torchvision")
    kinds = {kind.__name__: kind for kind in (VisionDataset, MNIST, Colours, Offline)}
    stand_in.datasets = type("datasets", (), kinds)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)


@pytest.mark.usefixtures("torchvision")
def test_a_data_set_by_name_gives_its_test_part_unless_training_asks() -> None:
    assert load(["mnist"]).images[0][0, 0] == 2
    assert load(["MNIST"], train=True).images[0][0, 0] == 1


@pytest.mark.usefixtures("torchvision")
def test_data_sets_that_cannot_be_had_say_why() -> None:
    with pytest.raises(ModelError, match="neither a file nor a data set"):
        load(["nonsense"])
    with pytest.raises(ImageError, match="does not hold 8-bit greyscale images"):
        load(["colours"])
    with pytest.raises(ModelError, match=r"no route to host.*give the path"):
        load(["offline"])


def damaged_npz(content: bytes) -> bytes:
    """With a byte of the first array's deflate stream changed."""
    data = bytearray(content)
    data[60] ^= 255
    return bytes(data)


@pytest.mark.parametrize("fault", ["deflate", "header", "negative", "objects", "huge images", "fewer images"])
def test_damaged_arrays_are_called_damaged(fault: str, tmp_path: Path, digits: Pixels) -> None:
    path = tmp_path / ("digits.npz" if fault == "deflate" else "digits-ubyte" if fault == "huge images" else "digits.npy")
    out = io.BytesIO()
    if fault == "deflate":
        np.savez_compressed(out, digits)
        content = damaged_npz(out.getvalue())
    elif fault == "huge images":
        content = bytes([0, 0, 8, 3]) + b"\xff\xff\xff\xff" * 3 + digits.tobytes()
    else:
        np.save(out, digits)
        content = out.getvalue()
        changes = {
            "header": (b"}", b"("),
            "negative": (b"(64,", b"(-4,"),
            "objects": (b"|u1", b"|O8"),
            "fewer images": (b"(64,", b"(65,"),
        }
        content = content.replace(*changes[fault], 1)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="digits"):
        list(open_stream([str(path)]).items)


def test_labels_are_integers_of_64_bits_with_a_sign(tmp_path: Path, digits: Pixels) -> None:
    labels = np.array([1, 2**63 + 5], np.uint64)
    np.save(tmp_path / "labels.npy", labels)
    np.savez(tmp_path / "both.npz", images=digits[:2], labels=labels)
    np.savez(tmp_path / "labels.npz", labels)
    (tmp_path / "labels.npz").rename(tmp_path / "zip.npy")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "labels.npy").read_bytes()[:40])
    with pytest.raises(FormatError, match="label of 9223372036854775813"):
        open_stream([str(tmp_path / "both.npz")])
    for name, says in (("labels", "label of 9223372036854775813"), ("zip", "can be read"), ("cut", "can be read")):
        with pytest.raises(FormatError, match=says):
            read_labels(tmp_path / f"{name}.npy")


def test_labels_of_too_many_bytes_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnistzip.io.labels.LABEL_FILE_MAX", 100)
    np.save(tmp_path / "labels.npy", np.zeros(13, np.int64))
    np.savez(tmp_path / "both.npz", images=np.zeros((13, 1, 1), np.uint8), labels=np.zeros(13, np.int64))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx_header((101,))))
    for name in ("labels.npy", "labels.gz"):
        with pytest.raises(LimitError, match="more than 100 bytes"):
            read_labels(tmp_path / name)
    with pytest.raises(LimitError, match="more than 100 bytes"):
        open_stream([str(tmp_path / "both.npz")])
    np.save(tmp_path / "labels.npy", np.zeros(12, np.int64))
    assert read_labels(tmp_path / "labels.npy").tolist() == [0] * 12
