"""Characters that are drawn to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib
from click.testing import CliRunner

from mnistzip.idx import read_idx
from mnistzip.training import glyphs
from support.paths import DIGITS

FONTS = Path(matplotlib.get_data_path()) / "fonts"


@pytest.fixture(scope="module")
def fonts() -> list[glyphs.Font]:
    return glyphs.fonts_in([FONTS])


def test_fonts_are_found_with_their_characters_and_grouped_by_family(fonts: list[glyphs.Font], tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert glyphs.fonts_in([tmp_path]) == []
    sans = [font for font in fonts if font.family == "dejavusans"]
    assert len(sans) >= 4  # bold, oblique and both are of one family
    assert all({"7", "g", "Ω"} <= font.characters for font in sans)
    learned, held_out = glyphs.split_families(fonts)
    assert len(learned) + len(held_out) == len(fonts)
    assert held_out
    assert not {font.family for font in learned} & {font.family for font in held_out}


def test_pictures_are_drawn_from_the_seed_and_none_is_blank(fonts: list[glyphs.Font]) -> None:
    some = glyphs.glyphs(fonts, 60, 1)
    assert some.shape == (60, 28, 28)
    assert some.dtype == np.uint8
    assert (glyphs.glyphs(fonts, 20, 1) == some[:20]).all()
    assert (glyphs.glyphs(fonts, 20, 2) != some[:20]).any()
    assert (some.reshape(60, -1).max(1) - some.reshape(60, -1).min(1) > 20).all()
    assert len({image.tobytes() for image in some}) == 60
    border = some[:, [0, -1]].reshape(60, -1).mean(1)
    assert 10 < (border < 30).sum() < 50  # light on dark and dark on light


def test_fonts_of_nothing_but_blanks_are_an_error(fonts: list[glyphs.Font]) -> None:
    with pytest.raises(ValueError, match="all of them blank"):
        glyphs.picture([glyphs.Font(fonts[0].path, frozenset("\u2800"))], np.random.default_rng(1))


def test_the_last_images_are_of_fonts_and_digits_that_are_not_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs, "HELD_OUT", 20)
    out = tmp_path / "glyphs.npy"
    told = CliRunner().invoke(
        glyphs.main, ["--fonts", str(FONTS), "--digits", str(DIGITS), "-o", str(out), "--count", "40"], catch_exceptions=False
    )
    assert "fonts of held-out families" in told.output
    images = np.load(out)
    assert images.shape == (60, 28, 28)
    known = {digit.tobytes(): index for index, digit in enumerate(read_idx(DIGITS))}
    used = [known.get(image.tobytes()) for image in images]
    first, last = ([index for index in part if index is not None] for part in (used[:40], used[40:]))
    assert len(first) == 14
    assert len(last) == 7
    assert max(first) < len(known) - 20 <= min(last)
