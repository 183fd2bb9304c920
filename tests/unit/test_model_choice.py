"""What codes an image by default: the model and the mode that cost least, and never more than another option of ours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import mnistzip
from mnistzip import pretrained
from mnistzip.archive.group import Group
from mnistzip.cli.main import run
from mnistzip.coding.model_choice import candidates
from mnistzip.entropy.cost import BIT, LMBDA_SHIFT
from mnistzip.models import registry
from mnistzip.types import Pixels


def photo(seed: int, shape: tuple[int, int] = (28, 28)) -> Pixels:
    """Light and shade with grain, as no model knows it."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]] / 28
    waves = sum(
        random.normal(0, 40 / k) * np.sin(2 * k * (random.uniform(0, 2) * rows + random.uniform(-2, 2) * columns))
        for k in (1, 2, 3)
    )
    return np.clip(128 + waves + random.normal(0, 6, shape), 0, 255).astype(np.uint8)


def texture(seed: int) -> Pixels:
    """Coarse grain of 29x29 pixels, whose edge pixels make stripes where they are repeated."""
    grain = np.random.default_rng(seed).normal(0, 50, (31, 31))
    smooth = (grain[:-2, :-2] + grain[1:-1, 1:-1] + grain[2:, 2:] + grain[:-2, 2:]) / 2
    return np.clip(128 + smooth, 0, 255).astype(np.uint8)


def letters(text: str, grey: int = 255, paper: int = 0) -> list[Pixels]:
    """Letters of Pillow's own font, which no model has seen."""
    out = []
    for letter in text:
        canvas = Image.new("L", (28, 28), paper)
        ImageDraw.Draw(canvas).text((14, 14), letter, grey, ImageFont.load_default(22), anchor="mm")
        out.append(np.asarray(canvas))
    return out


@pytest.fixture(scope="module")
def pictures(digits: Pixels) -> dict[str, list[Pixels]]:
    """Kinds of small pictures."""
    rows, columns = np.mgrid[:28, :28]
    return {
        "digits": list(digits[:24]),
        "photos": [photo(seed) for seed in range(8)],
        "letters": letters("Kg&RmSQ8", 0, 255),
        "small": [np.ascontiguousarray(digit[4:24:3, 4:24:3]) for digit in digits[:8]],
        "odd": [photo(seed, (33, 45)) for seed in range(4)],
        "plain": [
            (rows * 5 + columns * 3).astype(np.uint8),
            np.full((28, 28), 77, np.uint8),
            ((rows // 4 + columns // 4) % 2 * 255).astype(np.uint8),
            np.where(rows == 9, 255, 0).astype(np.uint8),
        ],
    }


KINDS = ("digits", "photos", "letters", "small", "odd", "plain")


def squared_error(images: Sequence[Pixels], decoded: Sequence[Pixels]) -> float:
    return sum(mnistzip.mse(image, other) * image.size for image, other in zip(images, decoded, strict=True))


def cost(images: Sequence[Pixels], files: Sequence[bytes], quality: int) -> float:
    """Bits + lmbda * squared error, lmbda being that of the quality."""
    lmbda = float(registry.shipped("mnist").lmbda[quality - 1]) / (BIT << LMBDA_SHIFT)
    return 8 * sum(map(len, files)) + lmbda * squared_error(images, mnistzip.decode_many(files))


@pytest.mark.parametrize("effort", [0, 3])
@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("kind", KINDS)
def test_no_other_option_is_much_cheaper_than_the_default(
    kind: str, quality: int, effort: int, pictures: dict[str, list[Pixels]]
) -> None:
    images = pictures[kind]
    chosen = cost(images, mnistzip.encode_many(images, quality=quality, effort=effort), quality)
    others = [mnistzip.encode_many(images, quality=each.quality or 0, effort=effort, model=each.model)
              for each in candidates("auto", quality)]  # fmt: skip
    if quality < 90 or kind != "letters":  # what glyph was made for stays lossy unless a lossless file is no larger
        others.append(mnistzip.encode_many(images, lossless=True))
    room = 1.03 if effort or kind != "digits" else 1.05  # at effort 0, the error of digits is estimated
    assert chosen <= room * min(cost(images, files, quality) for files in others)


@pytest.mark.parametrize("model", ["auto", "mnist", "glyph", "classic"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_lossy_file_is_larger_than_one_that_keeps_every_pixel(
    kind: str, model: str, pictures: dict[str, list[Pixels]]
) -> None:
    lossless = [len(file) for file in mnistzip.encode_many(pictures[kind], lossless=True, model=model)]
    for quality in (50, 100):
        files = mnistzip.encode_many(pictures[kind], quality=quality, effort=1, model=model)
        assert all(len(file) <= most + 1 for file, most in zip(files, lossless, strict=True))  # a byte of rounding


def test_a_digit_keeps_every_pixel_where_that_costs_less(digits: Pixels) -> None:
    exact = mnistzip.encode_many(digits, lossless=True)
    shares = []
    for quality in (5, 40, 60, 90):
        lossy = mnistzip.encode_many(digits, quality=quality, model="mnist")
        chosen = mnistzip.encode_many(digits, quality=quality)
        least = sum(
            min(cost([digit], [file], quality) for file in both) for digit, *both in zip(digits, lossy, exact, strict=True)
        )
        assert cost(list(digits), chosen, quality) <= 1.02 * least
        shares.append(sum(file == other for file, other in zip(chosen, exact, strict=True)) / len(digits))
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] > 0.9


def test_a_picture_that_no_model_knows_keeps_every_pixel_where_that_costs_less(
    pictures: dict[str, list[Pixels]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "CANDIDATES", ("mnist", "glyph"))  # grey knows such pictures
    files = mnistzip.encode_many(pictures["small"])
    assert {mnistzip.info(file).mode for file in files} == {"lossless"}


def test_what_lies_beyond_a_picture_costs_next_to_nothing() -> None:
    images = [texture(seed) for seed in range(8)]
    whole = [np.pad(image, (0, 27), mode="edge") for image in images]  # the same four tiles, of which all is seen
    for effort in (0, 3):
        partial, full = (sum(map(len, mnistzip.encode_many(some, model="glyph", effort=effort))) for some in (images, whole))
        assert partial < 0.8 * full


def test_of_files_that_keep_every_pixel_the_smallest_is_kept(pictures: dict[str, list[Pixels]]) -> None:
    for kind in ("photos", "letters", "small", "plain"):
        chosen = [len(file) for file in mnistzip.encode_many(pictures[kind], lossless=True, model="auto")]
        every = [mnistzip.encode_many(pictures[kind], lossless=True, model=name) for name in registry.CANDIDATES]
        assert all(size <= min(map(len, pair)) + 1 for size, pair in zip(chosen, zip(*every, strict=True), strict=True))


def test_of_files_within_a_budget_the_truer_is_kept(pictures: dict[str, list[Pixels]]) -> None:
    images = [*pictures["digits"][:4], *letters("C1I7")]
    chosen = mnistzip.encode_many(images, max_bytes=24, effort=0, model="auto")
    every = [mnistzip.encode_many(images, max_bytes=24, effort=0, model=name) for name in registry.CANDIDATES]
    for image, file, pair in zip(images, chosen, zip(*every, strict=True), strict=True):
        least = min(squared_error([image], [mnistzip.decode(f)]) for f in pair)
        if mnistzip.info(file).model == registry.BITMAPS:
            assert (mnistzip.decode(file) == image).all()
        else:
            assert squared_error([image], [mnistzip.decode(file)]) == least


def test_a_budget_that_none_meets_names_the_image() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    with pytest.raises(mnistzip.LimitError, match="image 1 takes"):
        mnistzip.encode_many([np.zeros((28, 28), np.uint8), noise], max_bytes=9, effort=0, model="auto")


def test_of_files_that_reach_a_psnr_the_smaller_is_kept(digits: Pixels) -> None:
    images = list(digits[:4])
    chosen = mnistzip.encode_many(images, min_psnr=24, effort=0, model="auto")
    every = [mnistzip.encode_many(images, min_psnr=24, effort=0, model=name) for name in registry.CANDIDATES]
    assert [len(file) for file in chosen] == [min(map(len, pair)) for pair in zip(*every, strict=True)]
    assert all(mnistzip.psnr(image, mnistzip.decode(file)) >= 24 for image, file in zip(images, chosen, strict=True))


def test_batches_do_not_change_what_is_chosen(pictures: dict[str, list[Pixels]]) -> None:
    mixed = [pictures[kind][k] for k in range(3) for kind in KINDS]
    for effort in (0, 2):
        together = mnistzip.encode_many(mixed, effort=effort)
        assert together == [mnistzip.encode(image, effort=effort) for image in mixed]


def mixed_archive(pictures: dict[str, list[Pixels]]) -> list[Pixels]:
    """Pictures of several kinds, one after the other in turn."""
    return [pictures[kind][k] for k in range(4) for kind in ("digits", "photos", "letters", "small")]


@pytest.mark.parametrize("lossless", [False, True])
def test_an_archive_chooses_for_each_picture(lossless: bool, pictures: dict[str, list[Pixels]]) -> None:
    images = mixed_archive(pictures) * 4
    archive = mnistzip.encode_archive(images, lossless=lossless, effort=1)
    opened = mnistzip.Archive(archive)
    (group,) = opened.groups()
    assert isinstance(group, Group)
    assert len(group.parts) > 1
    singles = mnistzip.encode_many(images, lossless=lossless, effort=1)
    assert len(archive) < sum(map(len, singles))
    decoded = list(opened)
    if lossless:
        assert all((a == b).all() for a, b in zip(decoded, images, strict=True))
    else:
        lossy = [
            k for k, file in enumerate(singles) if mnistzip.info(file).mode == "lossy"
        ]  # some digits are lossless in a file
        alone = mnistzip.decode_many([singles[k] for k in lossy])
        some_images = [images[k] for k in lossy]
        assert squared_error(some_images, [decoded[k] for k in lossy]) <= 1.05 * squared_error(some_images, alone)
    for k in (0, 17, 30, 63):
        assert (opened[k] == decoded[k]).all()
    some = opened.read([9, 3, 40, 3])
    assert all((some[n] == decoded[k]).all() for n, k in enumerate([9, 3, 40, 3]))
    pieces = [image for part in opened.parts(5, 23) for image in part.images]
    assert all((piece == decoded[k]).all() for k, piece in enumerate(pieces, 5))  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_one_kind_takes_no_more_than_files(kind: str, pictures: dict[str, list[Pixels]]) -> None:
    images = pictures[kind] * 8
    for lossless in (False, True):
        archive = len(mnistzip.encode_archive(images, lossless=lossless, effort=0))
        assert archive < sum(map(len, mnistzip.encode_many(images, lossless=lossless, effort=0))) + 160


def test_damage_to_one_way_of_coding_spares_the_others(pictures: dict[str, list[Pixels]]) -> None:
    archive = bytearray(mnistzip.encode_archive(mixed_archive(pictures) * 2, effort=0))
    with mnistzip.Archive(bytes(archive)) as whole:
        (group,) = whole.groups()
        assert isinstance(group, Group)
        expected = list(whole)
    part = group.parts[1]
    archive[group.lanes_offset + int(part.lane_offsets[0]) + 2] ^= 8
    with mnistzip.Archive(bytes(archive)) as opened:
        (section,) = opened.parts()
        lost = [k for k, image in enumerate(section.images) if isinstance(image, mnistzip.MnistzipError)]
        assert lost == part.images_of(0).tolist()
        with pytest.raises(mnistzip.FormatError, match=f"damaged in images? {lost[0]}"):
            opened[lost[0]]
        sound = [k for k in range(len(expected)) if k not in lost]
        assert all((opened[k] == expected[k]).all() for k in sound)


def test_every_cut_of_an_archive_of_several_codings_is_noticed(pictures: dict[str, list[Pixels]]) -> None:
    archive = mnistzip.encode_archive(mixed_archive(pictures), effort=0)
    for size in range(len(archive)):
        with pytest.raises(mnistzip.MnistzipError):
            list(mnistzip.Archive(archive[:size]))


@pytest.mark.slow
def test_every_flipped_bit_of_an_archive_of_several_codings_is_noticed_or_harmless(pictures: dict[str, list[Pixels]]) -> None:
    images = mixed_archive(pictures)[:8]
    archive = mnistzip.encode_archive(images, effort=0)
    expected = list(mnistzip.Archive(archive))
    for at in range(8 * len(archive)):
        damaged = bytearray(archive)
        damaged[at // 8] ^= 1 << at % 8
        try:
            result = list(mnistzip.Archive(bytes(damaged)))
        except mnistzip.MnistzipError:
            continue
        assert all((a == b).all() for a, b in zip(result, expected, strict=True))


def test_a_bare_stream_is_coded_by_mnist_unless_another_model_is_named(digits: Pixels) -> None:
    stream = mnistzip.encode(digits[0], bare=True, effort=0)
    assert stream == mnistzip.encode(digits[0], bare=True, effort=0, model="mnist")
    assert (mnistzip.decode_bare(stream) == mnistzip.decode_bare(stream, model="mnist")).all()


def test_no_shipped_model_is_embedded(digits: Pixels) -> None:
    with pytest.raises(mnistzip.OptionError, match="no need to embed"):
        mnistzip.encode_archive(digits[:2], embed_model=True)


def test_the_command_line_chooses_too(digit_png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letter = tmp_path / "letter.png"
    Image.fromarray(letters("R", 0, 255)[0]).save(letter)
    assert run(["compress", str(digit_png), str(letter), "-o", str(tmp_path / "out"), "-v"]) == 0
    said = capsys.readouterr().out
    assert "model mnist" in said
    assert "model grey" in said


def test_higher_qualities_of_the_default_are_better_and_larger(pictures: dict[str, list[Pixels]]) -> None:
    for kind in ("digits", "letters", "photos"):
        sizes = [sum(map(len, mnistzip.encode_many(pictures[kind], quality=quality, effort=0))) for quality in (10, 50, 90)]
        assert all(a < b for a, b in pairwise(sizes))


def test_a_model_of_a_user_may_give_the_error_no_weight(digit: Pixels) -> None:
    """There is no other model whose quality would have to be found by the weight."""
    with np.load(pretrained.FOLDER / "classic.npz") as file:
        every = dict(file)
    out = io.BytesIO()
    np.savez_compressed(out, **every | {"lmbda": np.zeros_like(every["lmbda"])})  # type: ignore[arg-type]
    model = registry.read_model(out.getvalue(), "mine")
    assert mnistzip.decode(mnistzip.encode(digit, model=model), model=model).shape == digit.shape
