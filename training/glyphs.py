"""Draw training images for the model ``glyph``: characters of many fonts, with distortions of scans and screens, and MNIST.

    python -m mnistzip.training.glyphs --fonts /usr/share/fonts --digits train-images-idx3-ubyte.gz -o glyphs.npy

Whole font families are held out: the last images show families that no training image shows, so results on them apply to new
fonts. Each image is drawn from its own seed, so any image can be drawn again separately. The output has shape (N, 28, 28).
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
OVERSAMPLING = 4  # characters are drawn at this many times the resolution, then averaged
HELD_OUT_INTERVAL = 8  # one family in this many is held out
DIGITS_SHARE = 0.35  # share of MNIST digits
KINDS = (  # probability of each set of characters; the rest is any character of the font
    (0.40, "0123456789"),
    (0.35, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    (0.12, "!\"#$%&'()*+,-./:;<=>?@[\\]^_{|}~€£§°±÷µ"),
)
MIN_INK = 4.0  # sum of the mask of a character
MAX_TRIES = 30


@dataclass(frozen=True)
class Font:
    """A font file and the characters that it contains."""

    path: Path
    characters: frozenset[str]

    @property
    def family(self) -> str:
        """The name of the file without weight and slant."""
        stem = re.split(r"[-_]", self.path.stem)[0]
        return re.sub(r"(Bold|Italic|Oblique|Regular|Medium|Light)+$", "", stem).lower() or stem.lower()


def fonts_in(folders: Sequence[Path]) -> list[Font]:
    """All usable fonts in folders and their subfolders, sorted by path."""
    fonts = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            codes = FT2Font(str(path)).get_charmap()
            ImageFont.truetype(str(path), TILE)
        except (OSError, RuntimeError):  # a bitmap font, or not a font
            continue
        characters = frozenset(chr(code) for code in codes if chr(code).isprintable() and not chr(code).isspace())
        if characters:
            fonts.append(Font(path, characters))
    return fonts


def glyphs(fonts: list[Font], count: int, seed: int) -> Pixels:
    """Draw ``count`` pictures of characters: (count, 28, 28)."""
    return np.stack([picture for _, picture in zip(range(count), _pictures(fonts, seed), strict=False)])


def _pictures(fonts: list[Font], seed: int) -> Iterator[Pixels]:
    """Pictures without end, (28, 28) each."""
    number = 0
    while True:
        yield picture(fonts, np.random.default_rng([seed, number]))
        number += 1


def picture(fonts: list[Font], chance: np.random.Generator) -> Pixels:
    """Draw a character with random font, size, slant, weight, position, ink, paper, blur and noise: (28, 28)."""
    for _ in range(MAX_TRIES):
        font = fonts[chance.integers(len(fonts))]
        mask = _drawn(font, _character(font, chance), chance)
        if mask.sum() >= MIN_INK:
            return _printed(mask, chance)
    raise ValueError(f"{MAX_TRIES} characters drawn, all of them blank: check that the fonts contain visible characters")


def _character(font: Font, chance: np.random.Generator) -> str:
    """A random character of a font."""
    share = chance.random()
    characters: list[str] = []
    for weight, kind in KINDS:
        share -= weight
        if share < 0:
            characters = [character for character in kind if character in font.characters]
            break
    characters = characters or sorted(font.characters)
    return characters[chance.integers(len(characters))]


def _drawn(font: Font, character: str, chance: np.random.Generator) -> NDArray[np.float32]:
    """The mask of a character, 0 (paper) to 1 (ink): (28, 28)."""
    side = TILE * OVERSAMPLING
    size = int(chance.uniform(0.42, 1.05) * side)
    face = ImageFont.truetype(str(font.path), size)
    stroke = int(chance.integers(1, 6)) if chance.random() < 0.25 else 0
    left, top, right, bottom = face.getbbox(character, stroke_width=stroke)
    canvas = Image.new("L", (side, side))
    middle = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(middle, character, 255, font=face, stroke_width=stroke)
    widest = max(right - left, bottom - top, 1)
    fit = min(1.6, 0.92 * side / widest)  # the frame cuts off few characters
    scale = fit if widest > side or chance.random() < 0.3 else 1.0
    turn = chance.normal(0, 0.06)
    slant = chance.normal(0, 0.12)
    change = np.array([[np.cos(turn), -np.sin(turn) + slant], [np.sin(turn), np.cos(turn)]]) / scale
    change *= chance.uniform(0.9, 1.1, (2, 1))
    shift = chance.normal(0, 1.2 * OVERSAMPLING, 2)
    offset = side / 2 - change @ (side / 2 + shift)
    moved = canvas.transform(
        (side, side), Image.Transform.AFFINE, (*change[0], offset[0], *change[1], offset[1]), Image.Resampling.BILINEAR
    )
    if chance.random() < 0.5:
        moved = moved.filter(ImageFilter.GaussianBlur(chance.uniform(0, 0.9) * OVERSAMPLING))
    return np.asarray(moved.resize((TILE, TILE), Image.Resampling.BOX), np.float32) / np.float32(255)


def _printed(mask: NDArray[np.float32], chance: np.random.Generator) -> Pixels:
    """Print a mask: half of the images light on black as in MNIST, the others dark on light or in two greys, partly noisy."""
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
    if chance.random() < 0.15:  # uneven light
        slope = np.linspace(-1, 1, TILE)
        image = image + chance.uniform(-25, 25) * slope[:, None] + chance.uniform(-25, 25) * slope
    if chance.random() < 0.2:
        image = image + chance.normal(0, chance.uniform(1, 10), image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def split_families(fonts: Sequence[Font]) -> tuple[list[Font], list[Font]]:
    """Split fonts into training fonts and held-out fonts, by family."""
    held_out = sorted({font.family for font in fonts})[::HELD_OUT_INTERVAL]
    return [font for font in fonts if font.family not in held_out], [font for font in fonts if font.family in held_out]


@click.command()
@click.option("--fonts", "folders", required=True, multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--digits", required=True, help="MNIST's training images; the last 5,000 are used for held-out images only.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .npy to write.")
@click.option("--count", default=150_000, show_default=True, help="Images to train on.")
@click.option("--seed", default=1, show_default=True)
def main(folders: Sequence[Path], digits: str, output: Path, count: int, seed: int) -> None:
    """Draw training images for the model glyph, then 5,000 held-out images."""
    training, held_out = split_families(fonts_in(folders))
    click.echo(f"{len(training)} fonts for training, {len(held_out)} fonts of held-out families")
    digit_images = np.stack(load([digits], train=True).images)
    chance = np.random.default_rng(seed)
    parts = []
    for number, (fonts, images, total) in enumerate(
        [(training, digit_images[:-HELD_OUT], count), (held_out, digit_images[-HELD_OUT:], HELD_OUT)]
    ):
        digit_count = round(total * DIGITS_SHARE)
        drawn = glyphs(fonts, total - digit_count, seed * 2 + number)
        mixed = np.concatenate([drawn, images[chance.permutation(len(images))[:digit_count]]])
        parts.append(mixed[chance.permutation(total)])
    np.save(output, np.concatenate(parts))
    click.echo(f"{output}: {count} training images, then {HELD_OUT} held-out images")


if __name__ == "__main__":
    main()
