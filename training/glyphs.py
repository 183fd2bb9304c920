"""Images for the model ``glyph``: characters of many fonts as scans and screens show them, and MNIST's training digits.

    python -m mnistzip.training.glyphs --fonts /usr/share/fonts --digits train-images-idx3-ubyte.gz -o glyphs.npy

Fonts are held out as wholes: the last images are of families that no image before shows, so that what a model makes of them
tells what it makes of a font it never saw. Every image is drawn from a seed of its own, which makes any of them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mnistzip.io.readers import load
from mnistzip.tiling import TILE
from mnistzip.training.splits import HELD_OUT
from mnistzip.types import Pixels

SUFFIXES = (".ttf", ".otf", ".ttc", ".pfb")
FINE = 4  # pixels are drawn at so many times their number a side, then averaged
FAMILY_HELD_OUT = 8  # one family in so many
DIGITS_SHARE = 0.35  # of all images are MNIST's
KINDS = (  # what of a font is drawn how often, by code point; the rest is anything it has
    (0.40, "0123456789"),
    (0.35, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    (0.12, "!\"#$%&'()*+,-./:;<=>?@[\\]^_{|}~€£§°±÷µ"),
)
FAINTEST = 4.0  # pixels' worth of ink that a glyph has at least
TRIES = 30


@dataclass(frozen=True)
class Font:
    """A font file and the characters that it has a picture for."""

    path: Path
    characters: frozenset[str]

    @property
    def family(self) -> str:
        """The file's name without what tells weight, slant and width apart."""
        stem = re.split(r"[-_]", self.path.stem)[0]
        return re.sub(r"(Bold|Italic|Oblique|Regular|Medium|Light)+$", "", stem).lower() or stem.lower()


def fonts_in(folders: Sequence[Path]) -> list[Font]:
    """All fonts below some folders that can be drawn with, in order of their paths."""
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            codes = FT2Font(str(path)).get_charmap()
            ImageFont.truetype(str(path), TILE)
        except (OSError, RuntimeError):  # a font of bitmaps, or none
            continue
        characters = frozenset(chr(code) for code in codes if chr(code).isprintable() and not chr(code).isspace())
        if characters:
            found.append(Font(path, characters))
    return found


def glyphs(fonts: list[Font], count: int, seed: int) -> Pixels:
    """So many pictures of characters: (count, 28, 28)."""
    return np.stack([picture for _, picture in zip(range(count), _pictures(fonts, seed), strict=False)])


def _pictures(fonts: list[Font], seed: int) -> Iterator[Pixels]:
    number = 0
    while True:
        yield picture(fonts, np.random.default_rng([seed, number]))
        number += 1


def picture(fonts: list[Font], chance: np.random.Generator) -> Pixels:
    """One character as chance has it: its font, size, slant, weight, place, ink, paper, blur and noise: (28, 28)."""
    for _ in range(TRIES):
        font = fonts[chance.integers(len(fonts))]
        mask = _drawn(font, _character(font, chance), chance)
        if mask.sum() >= FAINTEST:
            return _printed(mask, chance)
    raise ValueError(f"{TRIES} characters drawn, and all of them blank: are these fonts of symbols that are spaces?")


def _character(font: Font, chance: np.random.Generator) -> str:
    share = chance.random()
    known: list[str] = []
    for weight, kind in KINDS:
        share -= weight
        if share < 0:
            known = [character for character in kind if character in font.characters]
            break
    known = known or sorted(font.characters)
    return known[chance.integers(len(known))]


def _drawn(font: Font, character: str, chance: np.random.Generator) -> NDArray[np.float32]:
    """How much ink each pixel has, 0 to 1: (28, 28)."""
    side = TILE * FINE
    size = int(chance.uniform(0.42, 1.05) * side)
    face = ImageFont.truetype(str(font.path), size)
    stroke = int(chance.integers(1, 6)) if chance.random() < 0.25 else 0
    left, top, right, bottom = face.getbbox(character, stroke_width=stroke)
    canvas = Image.new("L", (side, side))
    middle = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(middle, character, 255, font=face, stroke_width=stroke)
    widest = max(right - left, bottom - top, 1)
    room = min(1.6, 0.92 * side / widest)  # characters are cut off by the frame now and then, not as a rule
    scale = room if widest > side or chance.random() < 0.3 else 1.0
    turn = chance.normal(0, 0.06)
    slant = chance.normal(0, 0.12)
    change = np.array([[np.cos(turn), -np.sin(turn) + slant], [np.sin(turn), np.cos(turn)]]) / scale
    change *= chance.uniform(0.9, 1.1, (2, 1))
    shift = chance.normal(0, 1.2 * FINE, 2)
    offset = side / 2 - change @ (side / 2 + shift)
    moved = canvas.transform(
        (side, side), Image.Transform.AFFINE, (*change[0], offset[0], *change[1], offset[1]), Image.Resampling.BILINEAR
    )
    if chance.random() < 0.5:
        moved = moved.filter(ImageFilter.GaussianBlur(chance.uniform(0, 0.9) * FINE))
    return np.asarray(moved.resize((TILE, TILE), Image.Resampling.BOX), np.float32) / np.float32(255)


def _printed(mask: NDArray[np.float32], chance: np.random.Generator) -> Pixels:
    """Ink on paper: mostly white on black as in MNIST, else black on white or grey on grey, clean or noisy."""
    kind = chance.random()
    if kind < 0.5:
        paper, ink = 0.0, 255.0 if chance.random() < 0.6 else chance.uniform(140, 255)
    elif kind < 0.8:
        paper, ink = 255.0 if chance.random() < 0.5 else chance.uniform(190, 255), chance.uniform(0, 80)
    else:
        paper, ink = chance.uniform(0, 255, 2)
        if abs(paper - ink) < 60:
            ink = paper + 60 if paper < 128 else paper - 60
    image = paper + (ink - paper) * mask
    if chance.random() < 0.15:  # light from one side
        slope = np.linspace(-1, 1, TILE)
        image = image + chance.uniform(-25, 25) * slope[:, None] + chance.uniform(-25, 25) * slope
    if chance.random() < 0.2:
        image = image + chance.normal(0, chance.uniform(1, 10), image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def split_families(fonts: Sequence[Font]) -> tuple[list[Font], list[Font]]:
    """Fonts to train on, and those whose families are held out."""
    out = sorted({font.family for font in fonts})[::FAMILY_HELD_OUT]
    return [font for font in fonts if font.family not in out], [font for font in fonts if font.family in out]


@click.command()
@click.option("--fonts", "folders", required=True, multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--digits", required=True, help="MNIST's training images; the last 5,000 are only used among those held out.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .npy to write.")
@click.option("--count", default=150_000, show_default=True, help="Images to train on.")
@click.option("--seed", default=1, show_default=True)
def main(folders: Sequence[Path], digits: str, output: Path, count: int, seed: int) -> None:
    """Draw the images that the model glyph is trained on; the last 5,000 are to be held out."""
    learned, held_out = split_families(fonts_in(folders))
    click.echo(f"{len(learned)} fonts to train on, {len(held_out)} held out as whole families")
    known = np.stack(load([digits], train=True).images)
    chance = np.random.default_rng(seed)
    parts = []
    for number, (fonts, images, total) in enumerate(
        [(learned, known[:-HELD_OUT], count), (held_out, known[-HELD_OUT:], HELD_OUT)]
    ):
        some = round(total * DIGITS_SHARE)
        drawn = glyphs(fonts, total - some, seed * 2 + number)
        both = np.concatenate([drawn, images[chance.permutation(len(images))[:some]]])
        parts.append(both[chance.permutation(total)])
    np.save(output, np.concatenate(parts))
    click.echo(f"{output}: {count} images, then {HELD_OUT} of fonts and digits held out")


if __name__ == "__main__":
    main()
