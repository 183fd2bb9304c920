"""The example of the library in C: a codec for whole files, without Python."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnistzip
from mnistzip.bitstream import container
from mnistzip.models import prepared, registry
from mnistzip.types import Mode, Pixels

ROOT = Path(__file__).parents[2]
VECTORS = sorted((ROOT / "tests" / "vectors" / "valid").glob("*.cae"))
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def cae(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The example, compiled, and prepared models next to it."""
    folder = tmp_path_factory.mktemp("example")
    sources = [str(path) for path in (ROOT / "engine").glob("*.c")]
    example = str(ROOT / "engine" / "examples" / "cae.c")
    flags = ["-std=c11", "-O2", "-ffp-contract=off", f"-I{ROOT / 'engine'}"]
    subprocess.run([str(COMPILER), *flags, example, *sources, "-o", str(folder / "cae")], check=True)
    for name in registry.SHIPPED:
        (folder / name).write_bytes(prepared.prepare(registry.shipped(name)))

    def run(command: str, model: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(folder / "cae"), command, str(folder / model), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    return run


def coded(path: Path) -> bool:
    """Whether a file is coded by a shipped model."""
    header, _ = container.parse(path.read_bytes(), 1 << 26)
    return header.mode is not Mode.STORED and header.model in registry.SHIPPED.values()


@pytest.mark.parametrize("path", [path for path in VECTORS if coded(path)], ids=lambda path: path.stem)
def test_golden_files_give_their_pixels(path: Path, cae: Run, tmp_path: Path) -> None:
    header, _ = container.parse(path.read_bytes(), 1 << 26)
    name = next(name for name, number in registry.SHIPPED.items() if number == header.model)
    done = cae("decode", name, path, tmp_path / "out.pgm")
    assert done.returncode == 0, done.stderr
    _, pixels = path.with_suffix(".pgm").read_bytes().split(b"255\n", 1)
    assert (tmp_path / "out.pgm").read_bytes() == b"P5 %d %d 255\n" % (header.width, header.height) + pixels


@pytest.mark.parametrize("name", registry.SHIPPED)
@pytest.mark.parametrize("quality", [-7, 0, 1, 50, 100])
@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (40, 61), (150, 140)], ids=str)
def test_files_are_those_of_python(
    name: str, quality: int, shape: tuple[int, int], cae: Run, digits: Pixels, tmp_path: Path
) -> None:
    model = registry.shipped(name)
    if model.is_bitmap:
        pytest.skip("the model codes digits only")
    if quality <= 0 and not model.has_pixel_model:
        pytest.skip("the model has no pixel model")
    sheet = np.block([[digits[row * 6 + column] for column in range(6)] for row in range(6)])
    image = np.ascontiguousarray(sheet[: shape[0], 10 : 10 + shape[1]])
    (tmp_path / "in.pgm").write_bytes(b"P5 %d %d 255\n" % image.shape[::-1] + image.tobytes())
    done = cae("encode", name, tmp_path / "in.pgm", tmp_path / "out.cae", model.number, quality, 1)
    assert done.returncode == 0, done.stderr
    file = (tmp_path / "out.cae").read_bytes()
    lossy, kept = {"quality": quality, "effort": 1}, {"lossless": True} if quality == 0 else {"max_error": -quality}
    options: dict[str, Any] = lossy if quality > 0 else kept
    python = mnistzip.encode(image, model=name, **options)
    if container.parse(python)[0].mode is container.parse(file)[0].mode:  # Python may have stored it
        assert file == python
    decoded = mnistzip.decode(file)
    assert decoded.shape == image.shape
    if quality <= 0:
        assert np.abs(decoded.astype(int) - image).max() <= -quality


@pytest.mark.parametrize("k", range(12))
def test_digits_are_coded_as_the_bitmaps_of_python(k: int, cae: Run, digits: Pixels, tmp_path: Path) -> None:
    name, digit = registry.BITMAPS, digits[k]
    python = mnistzip.encode(digit, model=name, lossless=True)
    (tmp_path / "in.pgm").write_bytes(b"P5 28 28 255\n" + digit.tobytes())
    done = cae("encode", name, tmp_path / "in.pgm", tmp_path / "out.cae", registry.SHIPPED[name], 0)
    if container.parse(python)[0].mode is Mode.STORED:  # no bitmap gives the digit
        assert done.returncode == 1
        assert "cannot code this image" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.cae").read_bytes() == python
    done = cae("decode", name, tmp_path / "out.cae", tmp_path / "back.pgm")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back.pgm").read_bytes() == (tmp_path / "in.pgm").read_bytes()


@pytest.mark.parametrize(
    ("quality", "change", "reason"),
    [
        (50, lambda x: x, "another kind"),
        (-3, lambda x: x, "another kind"),
        (0, lambda x: x[:27], "cannot code this image"),
        (0, lambda x: 255 - x, "cannot code this image"),
        (0, lambda x: 0 * x, "cannot code this image"),
    ],
)
def test_what_no_bitmap_gives_is_not_coded_as_one(
    quality: int, change: Callable[[Pixels], Pixels], reason: str, cae: Run, digits: Pixels, tmp_path: Path
) -> None:
    image = change(digits[0])
    (tmp_path / "in.pgm").write_bytes(b"P5 28 %d 255\n" % len(image) + image.tobytes())
    name = registry.BITMAPS
    done = cae("encode", name, tmp_path / "in.pgm", tmp_path / "out.cae", registry.SHIPPED[name], quality)
    assert done.returncode == 1
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"\xca\xe1\x86\x32", "another kind"),
        (b"\xca\xe1\xb6\x04", "another kind"),
        (b"\xca\xe1\xd6\x1d\x1c", "does not match"),
    ],
    ids=["lossy", "bounded", "29x28"],
)
def test_files_that_no_bitmap_can_be_in_are_refused(
    header: bytes, reason: str, cae: Run, digits: Pixels, tmp_path: Path
) -> None:
    file = mnistzip.encode(digits[0], model=registry.BITMAPS, lossless=True)
    assert container.parse(file)[0].mode is Mode.LOSSLESS
    (tmp_path / "in.cae").write_bytes(header + file[3:])
    done = cae("decode", registry.BITMAPS, tmp_path / "in.cae", tmp_path / "out.pgm")
    assert done.returncode == 1
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("name", "options"),
    [("mnist", {}), ("grey", {}), ("grey", {"max_error": 1}), ("mnist-bitmap", {"lossless": True})],
    ids=str,
)
def test_damage_is_refused(name: str, options: dict[str, Any], cae: Run, digits: Pixels, tmp_path: Path) -> None:
    file = mnistzip.encode(digits[0], model=name, **options)
    assert container.parse(file)[0].mode is not Mode.STORED
    for content, reason in (
        (file[:-1], "cut short"),
        (file + b"\0", "does not match"),
        (b"\xca\xe2" + file[2:], "later version"),
        (b"PNG", "do not begin"),
        (file[:2], "cut short"),
        (mnistzip.encode_archive(digits[:2]), "an archive"),
    ):
        (tmp_path / "in.cae").write_bytes(content)
        done = cae("decode", name, tmp_path / "in.cae", tmp_path / "out.pgm")
        assert done.returncode == 1
        assert reason in done.stderr
        assert not (tmp_path / "out.pgm").exists()
