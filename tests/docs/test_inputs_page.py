"""Each row of the tables of docs/inputs.md is run: the page says which inputs are accepted, noted and refused."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from pyarrow.parquet import write_table

import mnistzip
from mnistzip.cli.main import run
from mnistzip.idx import idx_header
from mnistzip.types import Pixels
from support.paths import ROOT

PAGE = (ROOT / "docs" / "inputs.md").read_text()
ROWS = {row[0]: row[1] for row in re.findall(r"^\| (.*?) \| (accepted|noted|refused) \|", PAGE, re.MULTILINE)}

LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
DIGITS = np.random.default_rng(4).integers(0, 256, (64, 28, 28)).astype(np.uint8)
Make = Callable[[Path], list[str]]


def png(image: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def picture(image: Image.Image, name: str = "x.png", **options: Any) -> Make:
    def make(home: Path) -> list[str]:
        image.save(home / name, **options)
        return [str(home / name)]

    return make


def turned() -> Make:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return picture(Image.fromarray(LEVELS), exif=exif)


def file(content: bytes, *options: str, name: str = "x") -> Make:
    def make(home: Path) -> list[str]:
        (home / name).write_bytes(content)
        return [str(home / name), *options]

    return make


def array(values: NDArray[Any], *options: str) -> Make:
    out = io.BytesIO()
    np.save(out, values)
    return file(out.getvalue(), *options, name="x.npy")


def claimed(shape: tuple[int, ...]) -> Make:
    """An array in Fortran order: the beginning of its file, which says the shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": True, "shape": shape})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as written:
        written.writestr("images.npy", header.getvalue())
    return file(content.getvalue(), name="x.npz")


def arrays(*options: str, **held: Any) -> Make:
    out = io.BytesIO()
    np.savez(out, **held)
    return file(out.getvalue(), *options, name="x.npz")


def columns(*options: str, **held: Any) -> Make:
    out = io.BytesIO()
    write_table(pyarrow.table({"image": [png(image) for image in DIGITS[:3]], **held}), out)
    return file(out.getvalue(), *options, name="x.parquet")


def folder(**files: bytes) -> Make:
    def make(home: Path) -> list[str]:
        (home / "in").mkdir()
        for name, content in files.items():
            (home / "in" / name.replace("_", ".")).write_bytes(content)
        return [str(home / "in")]

    return make


def linked(home: Path) -> list[str]:
    (home / "in").mkdir()
    (home / "in" / "a.png").write_bytes(png(LEVELS))
    (home / "in" / "again").symlink_to(home)
    return [str(home / "in")]


def labelled(content: bytes, count: int = 2) -> Make:
    def make(home: Path) -> list[str]:
        (home / "in").mkdir()
        for k in range(count):
            (home / "in" / f"{k}.png").write_bytes(png(DIGITS[k]))
        (home / "labels").write_bytes(content)
        return [str(home / "in"), "--labels", str(home / "labels")]

    return make


def together(*makes: Make) -> Make:
    def make(home: Path) -> list[str]:
        words = []
        for k, each in enumerate(makes):
            (home / str(k)).mkdir()
            words += each(home / str(k))
        return words

    return make


def appended(old: Make, new: Make) -> Make:
    def make(home: Path) -> list[str]:
        (home / "old").mkdir()
        assert run(["compress", *old(home / "old"), "-o", str(home / "out.cae"), "--quiet"]) == 0
        return [*new(home), "--append"]

    return make


def idx(values: NDArray[Any], kind: int = 8) -> bytes:
    return idx_header(values.shape, kind) + values.tobytes()


GREY = Image.fromarray(LEVELS)
COLOURS = Image.merge("RGB", [GREY, GREY.rotate(90), GREY])
CLEAR = Image.fromarray(np.dstack([LEVELS, LEVELS]))
NAMED = arrays(images=DIGITS[:1], names=np.array(["a.png"]))
UNNAMED = arrays(images=DIGITS[:1])
STRUCTS = [{"bytes": png(image), "path": "a.png"} for image in DIGITS[:3]]

CASES: dict[str, Make] = {
    "grey image of 1, 2, 4 or 8 bits": together(picture(GREY), picture(GREY.convert("1")), picture(GREY, "x.png", bits=4)),
    "grey stored as RGB, RGBA, CMYK or palette": together(
        *(picture(GREY.convert(mode)) for mode in ("RGB", "RGBA", "P")),
        picture(Image.merge("CMYK", [Image.new("L", (16, 16))] * 3 + [GREY]), "x.tif"),
    ),
    "image with EXIF rotation": turned(),
    "image with colours": picture(COLOURS),
    "image with transparent pixels": picture(CLEAR),
    "image of 16 bits": picture(Image.fromarray(LEVELS.astype(np.uint16) * 257)),
    "animation, or several pages": picture(GREY, "x.tif", save_all=True, append_images=[GREY]),
    "folder of images": folder(a_png=png(LEVELS), b_png=png(LEVELS)),
    "folder that also holds other files": folder(a_png=png(LEVELS), b_txt=b""),
    "folder with a link to a folder": linked,
    "folder of single `.cae` files and no other images": folder(a_cae=mnistzip.encode(LEVELS)),
    "folder without images": folder(b_txt=b""),
    "IDX of uint8, `(N, H, W)`, plain or gzipped": together(file(idx(DIGITS)), file(gzip.compress(idx(DIGITS)))),
    "IDX of another type": file(idx(DIGITS.astype(">i4"), 12)),
    "gzipped file of something else": file(gzip.compress(b"text")),
    "`.npy` of uint8, `(N, H, W)` or `(H, W)`": together(array(DIGITS), array(LEVELS)),
    "array `(N, H, W, 1)` or `(N, 1, H, W)`": together(array(DIGITS[..., None]), array(DIGITS[:, None])),
    "array `(N, 784)`": array(DIGITS.reshape(64, 784)),
    "array `(N, s*s)`, N at least 8 times as large": array(np.zeros((512, 64), np.uint8)),
    "array `(N, s*s)`, N at most an eighth": array(np.zeros((6, 1024), np.uint8)),
    "array `(H, s*s)` in between": array(np.zeros((192, 256), np.uint8)),
    "flat array with `--shape HxW`": array(DIGITS.reshape(64, 784), "--shape", "28x28"),
    "array `(H, H, N)`": array(np.moveaxis(DIGITS, 0, -1)),
    "array of colours, `(N, H, W, 3)`": array(np.zeros((2, 28, 28, 3), np.uint8)),
    "array of bool": array(DIGITS > 9),
    "array of other integers, 0 to 255": array(DIGITS.astype(np.int64)),
    "array of uint16 beyond 255": array(DIGITS.astype(np.uint16) * 2),
    "array of integers below 0, or beyond 255": array(DIGITS.astype(int) - 1),
    "array of floats that are k/255, or whole 0 to 255": together(array(DIGITS / 255), array(DIGITS.astype(float))),
    "array of other floats, 0 to 1 or 0 to 255": array(DIGITS / 254.0),
    "array of Python objects": array(np.full((2, 28, 28), None)),
    "`.npz` with `images`, `labels`, `names`": arrays(images=DIGITS[:1], labels=np.array([3]), names=np.array(["a.png"])),
    "`.npz` that also holds other arrays": arrays(images=DIGITS, weights=np.zeros(3)),
    "`.npz` with `x_train`, `y_train`, `x_test`, `y_test`": arrays(
        x_train=DIGITS, y_train=np.zeros(64, int), x_test=DIGITS[:3], y_test=np.zeros(3, int)
    ),
    "`.npz` with fewer labels than images": arrays(images=DIGITS, labels=np.arange(63)),
    "`.npz` whose images are in Fortran order and take more than 256 MiB": claimed((350_000, 28, 28)),
    "columns `image` of bytes, `label`, `name`": columns(label=[1, 2, 3], name=["a", "b", "c"]),
    "image as `{bytes, path}` of Hugging Face": columns(image=STRUCTS),
    "other columns": columns(width=[1, 2, 3]),
    "labels that are whole floats, bool or categories of numbers": columns(label=[1.0, 2.0, 3.0]),
    "labels that are text": columns(label=["cat", "dog", "cat"]),
    "a row without a label": columns(label=[1, None, 3]),
    "names that are absolute or lead out of a folder": columns(name=["/a", "../b", "c"]),
    "`{bytes, path}` that holds paths only": columns(image=[{"bytes": None, "path": "a.png"}] * 3),
    "IDX of any type, `.npy` of any type, `(N,)` or `(N, 1)`": labelled(idx(np.array([300, -1], ">i4"), 12)),
    "text, an integer in each row": labelled(b"300\n-1\n"),
    "CSV or TSV of name and label": labelled(b"name\tlabel\n1.png\t4\n0.png\t5\n"),
    "CSV with names that no image has": labelled(b"0.png,4\n1.png,5\n2.png,6\n"),
    "CSV without the name of an image, or with one twice": labelled(b"0.png,4\n2.png,5\n"),
    "labels that are not whole, or text": labelled(b"4\n0.5\n"),
    "fewer or more labels than images": labelled(b"4\n"),
    "`--labels` for an input that also has labels": together(
        arrays(images=DIGITS[:2], labels=np.arange(2)), labelled(b"1\n2\n3\n4\n")
    ),
    "archives, arrays and folders together": together(
        file(mnistzip.encode_archive(DIGITS[:2]), name="a.cae"), array(DIGITS), folder(a_png=png(LEVELS))
    ),
    "some inputs with labels, some without": together(arrays(images=DIGITS, labels=np.arange(64)), array(DIGITS)),
    "`--append` of images with names to an archive without": appended(UNNAMED, NAMED),
    "`--append` of images without names to an archive with names": appended(NAMED, UNNAMED),
}


def test_every_row_is_run_and_every_case_is_a_row() -> None:
    assert len(ROWS) == len(re.findall(r"^\|(?! ?Input|---)", PAGE, re.MULTILINE))
    assert set(CASES) == set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_what_the_page_says_of_an_input_happens(row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = CASES[row](tmp_path)
    capsys.readouterr()
    out = tmp_path / "out.cae"
    before = out.read_bytes() if out.exists() else None
    code = run(["compress", *words, "-e", "0", "-o", str(out), "--quiet"])
    message = capsys.readouterr().err
    if ROWS[row] == "refused":
        assert code == 1
        assert message.startswith("mnistzip: ")
        assert (out.read_bytes() if out.exists() else None) == before
        return
    assert code == 0, message
    assert bool(message) == (ROWS[row] == "noted"), message
    assert out.stat().st_size > 0
