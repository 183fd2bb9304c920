"""Training pictures of many kinds and sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib
from click.testing import CliRunner
from PIL import Image

from mnistzip.training import pictures
from mnistzip.training.glyphs import fonts_in
from support.paths import DIGITS

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SHAPES = {(8, 8): 1, (28, 28): 2, (24, 96): 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs and icons. Photographs are dark where they are held out, and so are icons of the theme that is."""
    made = tmp_path_factory.mktemp("sources")
    chance = np.random.default_rng(0)
    for name in ("photos", "icons/one", "icons/other"):
        (made / name).mkdir(parents=True)
    names = [f"photo-{number}.png" for number in range(2000)]
    for name in names[:20] + [name for name in names if pictures.is_held_out(name)][:5]:
        dark = pictures.is_held_out(name)
        level = chance.integers(0, 60, (130, 210)) + (0 if dark else 150)
        Image.fromarray(level.astype(np.uint8)).save(made / "photos" / name)
    for theme, grey in (("one", 200), ("other", 40)):
        for number in range(3):
            icon = np.zeros((48, 48, 4), np.uint8)
            icon[number + 4 : 30, 10:40] = (grey, grey, grey, 255)
            Image.fromarray(icon).save(made / "icons" / theme / f"icon-{number}.png")
    (made / "photos" / "broken.png").write_bytes(b"no picture")
    Image.new("L", (20, 20)).save(made / "photos" / "small.png")
    return made


@pytest.fixture(scope="module")
def sources(folder: Path) -> tuple[pictures.Sources, pictures.Sources]:
    digits = np.random.default_rng(1).integers(0, 256, (5010, 28, 28)).astype(np.uint8)
    return pictures.split_sources([folder / "photos"], [folder / "icons"], [FONTS], [digits, digits[:5004]], ["icons/other"])


def test_whole_sources_are_held_out(sources: tuple[pictures.Sources, pictures.Sources]) -> None:
    training, held_out = sources
    assert len(held_out.photos[0]) >= 5
    assert 24 <= len(training.photos[0]) + len(held_out.photos[0]) <= 25  # neither the broken nor the small one
    assert all(np.asarray(photo).min() >= 150 for photo in training.photos[0])
    assert all(np.asarray(photo).max() < 60 for photo in held_out.photos[0])
    assert {path.parent.name for path in training.icons} == {"one"}
    assert {path.parent.name for path in held_out.icons} == {"other"}
    assert not {font.family for font in training.fonts} & {font.family for font in held_out.fonts}
    assert [len(part) for part in training.digits] == [10, 4]
    assert [len(part) for part in held_out.digits] == [5000, 5000]


@pytest.mark.parametrize("maker", [maker for _, maker in pictures.KINDS])
@pytest.mark.parametrize("shape", list(pictures.SHAPES))
def test_each_kind_makes_varied_pictures_of_each_size(
    sources: tuple[pictures.Sources, pictures.Sources], maker: pictures.Maker, shape: tuple[int, int]
) -> None:
    made = [maker(sources[0], shape, np.random.default_rng(k)) for k in range(8)]
    some = [image for image in made if image is not None]
    assert some or maker is pictures.icon  # icons are never enlarged
    assert {(image.shape, image.dtype) for image in some} <= {(shape, np.dtype(np.uint8))}
    assert not some or len({image.tobytes() for image in some}) > 1
    again = [maker(sources[0], shape, np.random.default_rng(k)) for k in range(8)]
    assert all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in zip(made, again, strict=True))


def test_nothing_to_make_a_picture_of_gives_other_kinds() -> None:
    nothing = pictures.Sources()
    made = [pictures.picture(nothing, (12, 20), np.random.default_rng(k)) for k in range(20)]
    assert {image.shape for image in made} == {(12, 20)}
    assert max(int(np.ptp(image)) for image in made) > 50


def test_the_command_writes_both_parts_by_size(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "SHAPES", SHAPES)
    files = []
    for name in ("a.npz", "b.npz"):
        arguments = ["--photos", str(folder / "photos"), "--icons", str(folder / "icons"), "--hold-out", "icons/other"]
        arguments += ["--fonts", str(FONTS), "--digits", str(DIGITS), "--count", "64", "-o", str(tmp_path / name)]
        result = CliRunner().invoke(pictures.main, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        assert f"{len(fonts_in([FONTS]))}" not in result.output.splitlines()[0].split()  # some fonts are held out
        with np.load(tmp_path / name) as arrays:
            files.append({key: arrays[key] for key in arrays})
    expected = {"train-8x8": 16, "train-28x28": 32, "train-24x96": 16, "held-8x8": 1, "held-28x28": 2, "held-24x96": 1}
    assert {key: len(part) for key, part in files[0].items()} == expected
    assert all(np.array_equal(files[0][key], files[1][key]) for key in expected)
