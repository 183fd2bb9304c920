"""What takes long to decode is refused unasked, and taken where it is asked for: everywhere by the same option."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mnistzip
from mnistzip import container
from mnistzip.cli.main import run
from mnistzip.container import Mode
from mnistzip.plugins import pillow
from mnistzip.plugins.chunks import Chunk, Coding

Pixels = NDArray[np.uint8]


@pytest.fixture
def large(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> Pixels:
    """An image above the limits, which are lowered for it."""
    for mode in (Mode.LOSSY, Mode.LOSSLESS):
        monkeypatch.setitem(container.DECODED_MAX, mode, 1000)
    return np.hstack([digits[0], digits[1]])


@pytest.mark.parametrize("lossless", [False, True])
def test_commands_refuse_it_and_take_it_when_asked(
    lossless: bool, large: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    png, packed = tmp_path / "x.png", tmp_path / "x.cae"
    Image.fromarray(large).save(png)
    for more in ([], ["-o", str(packed), "-f"]):  # a file, then an archive of one image
        inputs = [str(tmp_path)] if more else [str(png)]
        assert run(["compress", *inputs, *more, *(["--lossless"] if lossless else []), "-e", "0"]) == 0
        for command in (["decompress", packed, "-o", tmp_path / "back.png"], ["test", packed], ["show", packed]):
            words = [str(word) for word in command] + (["--index", "0"] if more and command[0] == "decompress" else [])
            capsys.readouterr()
            assert run(words) == 1
            assert "max-pixels" in capsys.readouterr().err
            assert run([*words, "--max-pixels", "2000"]) == 0, words
        (tmp_path / "back.png").unlink()
        if not more:
            assert run(["compare", str(png), str(packed)]) == 1
            assert run(["compare", str(png), str(packed), "--max-pixels", "2000"]) == 0


def test_plugins_read_what_they_wrote(large: Pixels, tmp_path: Path) -> None:
    chunk = Coding(lossless=True).pack(large[None])
    assert (Chunk.parse(chunk).unpack("mnist") == large).all()
    path = tmp_path / "x.cae"
    Image.fromarray(large).save(path, lossless=True)
    with Image.open(path) as image, pytest.raises(OSError, match="limit of 1000 pixels"):
        image.load()
    with Image.open(path) as image:
        assert isinstance(image, pillow.CaeImageFile)
        image.load(max_pixels=2000)
        assert (np.asarray(image) == large).all()


def test_budgets_and_auto_are_not_in_its_way(large: Pixels) -> None:
    for how in ({"max_bytes": 60}, {"min_psnr": 20}, {"model": "auto"}, {"model": "auto", "lossless": True}):
        file = mnistzip.encode(large, effort=0, **how)
        assert mnistzip.decode(file, max_pixels=2000).shape == large.shape


def test_groups_are_limited_like_images_of_their_method(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = mnistzip.encode_archive(digits[:4], effort=0)
    monkeypatch.setitem(container.DECODED_MAX, Mode.LOSSY, 2 * 784)
    with pytest.raises(mnistzip.LimitError, match="of a group"):
        mnistzip.Archive(archive)[0]
    assert len(mnistzip.Archive(archive, max_pixels=4 * 784)[:]) == 4
    monkeypatch.setattr("mnistzip.pack.GROUP_PIXELS", 2 * 784)
    grouped = mnistzip.Archive(mnistzip.encode_archive(digits[:5], effort=0))
    assert [grouped.group_of(k) for k in (0, 2, 4)] == [range(2), range(2, 4), range(4, 5)]
    assert len(grouped[:]) == 5
