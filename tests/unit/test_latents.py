"""Latents of files and archives, without the synthesis."""

from __future__ import annotations

import numpy as np
import pytest

import mnistzip
from mnistzip.coding.kinds import kind_of
from mnistzip.engines.choice import current
from mnistzip.errors import FormatError, OptionError
from mnistzip.models.registry import shipped
from mnistzip.types import Pixels

QUALITY = 40


def image_of(latent: np.ndarray, name: str, shape: tuple[int, int]) -> Pixels:
    """What a latent decodes to."""
    model = shipped(name)
    if model.is_grey:
        y = latent.transpose(1, 2, 0)[None].astype(np.int64)
        return current().synthesize_images(model, y, QUALITY - 1, shape)[0]
    rows, columns = (side // 7 for side in latent.shape[1:])
    tiles = latent.reshape(4, rows, 7, columns, 7).transpose(1, 3, 2, 4, 0).reshape(-1, 196).astype(np.int64)
    return kind_of(model).reconstruct(model, [tiles], [shape], [QUALITY])[0]


@pytest.mark.parametrize("name", ["mnist-fast", "grey"])
@pytest.mark.parametrize("size", [(28, 28), (30, 60), (9, 17)], ids=str)
def test_a_latent_decodes_to_the_image_of_its_file(name: str, size: tuple[int, int], digits: Pixels) -> None:
    sheet = np.block([[digits[0], digits[1], digits[2]], [digits[3], digits[4], digits[5]]])
    files = mnistzip.encode_many([sheet[4 : 4 + size[0], 6 : 6 + size[1]]], model=name, quality=QUALITY, effort=0)
    assert mnistzip.info(files[0]).mode == "lossy"
    for file, latent in zip(files, mnistzip.latents(files), strict=True):
        assert latent.dtype == np.int8
        assert (image_of(latent, name, size) == mnistzip.decode(file)).all()


def test_the_latent_of_a_digit_has_four_channels(digits: Pixels) -> None:
    latent = mnistzip.latents([mnistzip.encode(digits[0])])[0]
    assert latent.shape == (4, 7, 7)
    assert latent.any()


def test_files_without_a_latent_and_damaged_files_are_named(digits: Pixels) -> None:
    lossy, lossless = mnistzip.encode(digits[0]), mnistzip.encode(digits[0], lossless=True)
    with pytest.raises(OptionError, match="file 1: the file is lossless"):
        mnistzip.latents([lossy, lossless])
    with pytest.raises(OptionError, match="file 0: the file is bounded"):
        mnistzip.latents([mnistzip.encode(digits[0], max_error=9, model="mnist")])
    with pytest.raises(FormatError, match="file 2"):
        mnistzip.latents([lossy, lossy, lossy[:-2]])
    assert mnistzip.latents([]) == []


def test_archives_give_the_latents_of_their_files(digits: Pixels) -> None:
    images = [*digits[:9], digits[9][:20, :20], np.hstack(list(digits[10:13]))]
    files = mnistzip.encode_many(images, model="mnist", quality=QUALITY, effort=0)
    with mnistzip.Archive(mnistzip.encode_archive(images, model="mnist", quality=QUALITY, effort=0)) as archive:
        assert len(archive.latents) == len(images)
        for latent, same in zip(archive.latents[:], mnistzip.latents(files), strict=True):
            assert (latent == same).all()
        assert (archive.latents[-1] == archive.latents.read([3, len(images) - 1], threads=2)[1]).all()
        with pytest.raises(IndexError):
            archive.latents[len(images)]


def test_images_of_an_archive_without_a_latent_are_named(digits: Pixels) -> None:
    exact, lossy = mnistzip.encode_archive(digits[:6], lossless=True), bytearray(mnistzip.encode_archive(digits[:3]))
    with mnistzip.Archive(exact) as archive, pytest.raises(OptionError, match=r"images? .* not lossy"):
        archive.latents[2]
    lossy[70] ^= 1
    with mnistzip.Archive(bytes(lossy)) as archive, pytest.raises(FormatError, match="damaged in images"):
        archive.latents[0]
