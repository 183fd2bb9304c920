"""Images to train the model ``glyph``: characters of many fonts as in scans and on screens, and training digits of MNIST.

    python -m mnistzip.training.glyphs --fonts /usr/share/fonts --digits train-images-idx3-ubyte.gz -o glyphs.npy

The held-out images, which come last, show font families that the training images do not, so they measure the model on unseen
fonts. Each image has its own seed, so any image can be drawn again.
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
OVERSAMPLING = 4  # glyphs are drawn at this resolution in each direction, then averaged
FAMILY_HELD_OUT = 8  # one family of this many is held out
DIGITS_SHARE = 0.35  # share of MNIST digits among the images
KINDS = (  # share of images, characters; the remaining images show any character of a font
    (0.40, "0123456789"),
    (0.35, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    (0.12, "!\"#$%&'()*+,-./:;<=>?@[\\]^_{|}~€£§°±÷µ"),
)
INK_MIN = 4.0  # least sum of the ink of a glyph, in pixels
ATTEMPTS = 30  # to draw a glyph with enough ink


@dataclass(frozen=True)
class Font:
    """A font file and the characters that it has glyphs for."""

    path: Path
    characters: frozenset[str]

    @property
    def family(self) -> str:
        """Name of the file without weight, slant and width."""
        stem = re.split(r"[-_]", self.path.stem)[0]
        return re.sub(r"(Bold|Italic|Oblique|Regular|Medium|Light)+$", "", stem).lower() or stem.lower()


def fonts_in(folders: Sequence[Path]) -> list[Font]:
    """All usable fonts below some folders, in the order of their paths."""
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
    """Pictures of random characters: uint8, (count, 28, 28)."""
    return np.stack([picture for _, picture in zip(range(count), _pictures(fonts, seed), strict=False)])


def _pictures(fonts: list[Font], seed: int) -> Iterator[Pixels]:
    """An endless sequence of pictures, each with its own seed."""
    number = 0
    while True:
        yield picture(fonts, np.random.default_rng([seed, number]))
        number += 1


def picture(fonts: list[Font], rng: np.random.Generator) -> Pixels:
    """A random character with random font, size, slant, weight, position, colours, blur and noise: uint8, (28, 28)."""
    for _ in range(ATTEMPTS):
        font = fonts[rng.integers(len(fonts))]
        mask = _drawn(font, _character(font, rng), rng)
        if mask.sum() >= INK_MIN:
            return _printed(mask, rng)
    raise ValueError(f"{ATTEMPTS} characters drawn, and all of them blank: do these fonts hold blank characters only?")


def _character(font: Font, rng: np.random.Generator) -> str:
    """A random character of a font."""
    share = rng.random()
    candidates: list[str] = []
    for weight, kind in KINDS:
        share -= weight
        if share < 0:
            candidates = [character for character in kind if character in font.characters]
            break
    candidates = candidates or sorted(font.characters)
    return candidates[rng.integers(len(candidates))]


def _drawn(font: Font, character: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Ink of each pixel, 0 to 1: (28, 28)."""
    side = TILE * OVERSAMPLING
    size = int(rng.uniform(0.42, 1.05) * side)
    face = ImageFont.truetype(str(font.path), size)
    stroke = int(rng.integers(1, 6)) if rng.random() < 0.25 else 0
    left, top, right, bottom = face.getbbox(character, stroke_width=stroke)
    canvas = Image.new("L", (side, side))
    middle = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(middle, character, 255, font=face, stroke_width=stroke)
    extent = max(right - left, bottom - top, 1)
    scale_max = min(1.6, 0.92 * side / extent)  # with random shifts the frame cuts off few characters
    scale = scale_max if extent > side or rng.random() < 0.3 else 1.0
    rotation = rng.normal(0, 0.06)
    slant = rng.normal(0, 0.12)
    matrix = np.array([[np.cos(rotation), -np.sin(rotation) + slant], [np.sin(rotation), np.cos(rotation)]]) / scale
    matrix *= rng.uniform(0.9, 1.1, (2, 1))
    shift = rng.normal(0, 1.2 * OVERSAMPLING, 2)
    offset = side / 2 - matrix @ (side / 2 + shift)
    moved = canvas.transform(
        (side, side), Image.Transform.AFFINE, (*matrix[0], offset[0], *matrix[1], offset[1]), Image.Resampling.BILINEAR
    )
    if rng.random() < 0.5:
        moved = moved.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9) * OVERSAMPLING))
    return np.asarray(moved.resize((TILE, TILE), Image.Resampling.BOX), np.float32) / np.float32(255)


def _printed(mask: NDArray[np.float32], rng: np.random.Generator) -> Pixels:
    """Apply ink to paper: often white on black as in MNIST, else black on white or grey on grey, clean or noisy."""
    kind = rng.random()
    if kind < 0.5:
        paper, ink = 0.0, 255.0 if rng.random() < 0.6 else rng.uniform(140, 255)
    elif kind < 0.8:
        paper, ink = 255.0 if rng.random() < 0.5 else rng.uniform(190, 255), rng.uniform(0, 80)
    else:
        paper, ink = rng.uniform(0, 255, 2)
        if abs(paper - ink) < 60:
            ink = paper + 60 if paper < 128 else paper - 60
    image = paper + (ink - paper) * mask
    if rng.random() < 0.15:  # light from one side
        slope = np.linspace(-1, 1, TILE)
        image = image + rng.uniform(-25, 25) * slope[:, None] + rng.uniform(-25, 25) * slope
    if rng.random() < 0.2:
        image = image + rng.normal(0, rng.uniform(1, 10), image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def split_families(fonts: Sequence[Font]) -> tuple[list[Font], list[Font]]:
    """Fonts for training, and fonts of held-out families."""
    held_out = sorted({font.family for font in fonts})[::FAMILY_HELD_OUT]
    return [font for font in fonts if font.family not in held_out], [font for font in fonts if font.family in held_out]


@click.command()
@click.option("--fonts", "folders", required=True, multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--digits", required=True, help="Training images of MNIST; the last 5,000 are held out.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .npy to write.")
@click.option("--count", default=150_000, show_default=True, help="Images to train on.")
@click.option("--seed", default=1, show_default=True)
def main(folders: Sequence[Path], digits: str, output: Path, count: int, seed: int) -> None:
    """Draw the images to train the model glyph; the last 5,000 are the held-out images."""
    training, held_out = split_families(fonts_in(folders))
    click.echo(f"{len(training)} training fonts, {len(held_out)} fonts of held-out families")
    all_digits = np.stack(load([digits], train=True).images)
    rng = np.random.default_rng(seed)
    parts = []
    for number, (fonts, images, total) in enumerate(
        [(training, all_digits[:-HELD_OUT], count), (held_out, all_digits[-HELD_OUT:], HELD_OUT)]
    ):
        digit_count = round(total * DIGITS_SHARE)
        drawn = glyphs(fonts, total - digit_count, seed * 2 + number)
        mixed = np.concatenate([drawn, images[rng.permutation(len(images))[:digit_count]]])
        parts.append(mixed[rng.permutation(total)])
    np.save(output, np.concatenate(parts))
    click.echo(f"{output}: {count} training images, then {HELD_OUT} held-out images")


if __name__ == "__main__":
    main()
