r"""Make training pictures for the model ``grey``: photographs, textures, icons, text, digits, plots and noise of many sizes.

    python -m mnistzip.training.pictures --photos PHOTOS --icons ICONS --fonts FONTS --digits train-images-idx3-ubyte.gz \
        -o pictures.npz

Whole sources are held out: photographs, icon themes and font families that no training picture shows. Each picture is made
from its own seed. The output holds an array ``train-HxW`` and an array ``held-HxW`` of shape ``(N, H, W)`` for each size.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mnistzip.io.readers import load
from mnistzip.training.glyphs import Font, fonts_in, split_families
from mnistzip.training.splits import HELD_OUT
from mnistzip.types import Pixels

SHAPES = {  # height and width, and how many of a thousand pictures have them
    (8, 8): 40,
    (12, 12): 40,
    (16, 16): 110,
    (20, 20): 50,
    (24, 24): 90,
    (25, 25): 40,
    (28, 28): 150,
    (30, 20): 50,
    (32, 32): 150,
    (40, 40): 50,
    (48, 48): 60,
    (64, 64): 110,
    (24, 96): 40,
    (40, 96): 40,
    (96, 96): 40,
}
PHOTO_SIDE = 1600  # photographs are reduced to this before pictures are cut from them
PHOTO_SIDE_MIN = 96
HELD_OUT_SHARE = 16  # one photograph in this many is held out, and one picture in this many is held out
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
FILTERS = (Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BOX, Image.Resampling.BILINEAR)
LETTERS = "eeeeeeeeeeeettttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuucccmmmwwffggyyppbbvvkxjqz"
SPREAD_MIN = 4  # grey levels: flatter pictures are made again, most of the time
FLAT_SHARE = 0.06  # of flat pictures that are kept
TWO_LEVEL_SHARE = 0.12  # of printed text
TRIES = 8

Floats = NDArray[np.float64]


@dataclass
class Sources:
    """What pictures are made from.

    Attributes:
        photos: grey levels of photographs, by folder.
        icons: files of icons.
        fonts: fonts.
        digits: sets of small pictures, such as handwritten digits, shape ``(N, 28, 28)`` each.
    """

    photos: list[list[Image.Image]] = field(default_factory=list)
    icons: list[Path] = field(default_factory=list)
    fonts: list[Font] = field(default_factory=list)
    digits: list[Pixels] = field(default_factory=list)


def read_photo(path: Path) -> Image.Image | None:
    """A photograph as grey levels, reduced; None if it is too small or cannot be read."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            image.draft("L", (PHOTO_SIDE, PHOTO_SIDE))
            grey = _on_ground(image, 255)
    except Exception:  # Pillow's readers raise many types of errors
        return None
    grey.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return grey if min(grey.size) >= PHOTO_SIDE_MIN else None


def _filter(chance: np.random.Generator) -> Image.Resampling:
    return FILTERS[int(chance.integers(len(FILTERS)))]


def _on_ground(image: Image.Image, ground: int) -> Image.Image:
    """A picture as grey levels, its transparent parts on a ground."""
    if image.mode == "L":
        return image.copy()
    coloured = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (ground, ground, ground, 255)), coloured).convert("L")


def files_in(folders: Sequence[Path]) -> list[Path]:
    """All picture files in folders and their subfolders, sorted; of files with the same content, the first."""
    files: dict[int, Path] = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        if path.is_file():
            files.setdefault(zlib.crc32(path.read_bytes()), path)
    return list(files.values())


def is_held_out(name: str) -> bool:
    """Whether a source is held out, by its name."""
    return zlib.crc32(name.encode()) % HELD_OUT_SHARE == 0


# ---- Kinds of pictures: each function makes one of height and width, or None if it cannot ----


def photo(sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels | None:
    """Part of a photograph of a random folder, reduced by a random factor."""
    if not sources.photos:
        return None
    folder = sources.photos[chance.integers(len(sources.photos))]
    source = folder[chance.integers(len(folder))]
    height, width = shape
    largest = min(source.height / height, source.width / width)
    if largest < 1:
        return None
    factor = largest ** chance.uniform(0.0, 1.0)
    left, top = chance.uniform(0, source.width - width * factor), chance.uniform(0, source.height - height * factor)
    box = (left, top, left + width * factor, top + height * factor)
    small = np.asarray(source.resize((width, height), _filter(chance), box, reducing_gap=3.0))
    return _turned(small, chance) if height == width else small


def _turned(image: Pixels, chance: np.random.Generator) -> Pixels:
    """A square picture, upright in most cases, mirrored in half."""
    image = image[:, ::-1] if chance.random() < 0.5 else image
    return np.rot90(image, int(chance.integers(4))) if chance.random() < 0.2 else image


def icon(sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels | None:
    """An icon on white, black or grey."""
    if not sources.icons:
        return None
    path = sources.icons[chance.integers(len(sources.icons))]
    height, width = shape
    side = min(shape)
    ground = int(chance.choice(np.array([255, 255, 255, 0, chance.integers(256)])))
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            if min(image.size) < side:
                return None
            grey = _on_ground(image, ground)
    except Exception:  # Pillow's readers raise many types of errors
        return None
    if grey.size != (side, side):
        grey = grey.resize((side, side), _filter(chance), reducing_gap=3.0)
    canvas = Image.new("L", (width, height), ground)
    canvas.paste(grey, ((width - side) // 2, (height - side) // 2))
    return np.asarray(canvas)


def text(sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels | None:
    """Lines of text, or a few large characters, printed or scanned."""
    if not sources.fonts:
        return None
    font = sources.fonts[chance.integers(len(sources.fonts))]
    height, width = shape
    large = chance.random() < 0.5
    size = chance.uniform(0.5, 1.2) * height if large else chance.uniform(7, 20)
    over = int(chance.choice([1, 2, 4]))
    face = ImageFont.truetype(str(font.path), max(int(size * over), 6))
    lines = max(int(height / size) + 2, 1)
    written = "\n".join(_words(font, max(int(width / size * 3), 2), chance, large) for _ in range(lines))
    canvas = Image.new("L", ((width + 4) * over, (height + 4) * over))
    start = (-chance.uniform(0, 1.5) * size * over if chance.random() < 0.7 else 0, chance.uniform(-0.5, 0.2) * size * over)
    ImageDraw.Draw(canvas).multiline_text(start, written, 255, font=face, spacing=int(size * over * chance.uniform(0, 0.4)))
    if chance.random() < 0.15:
        canvas = canvas.rotate(chance.normal(0, 2), Image.Resampling.BILINEAR)
    if chance.random() < 0.35:
        canvas = canvas.filter(ImageFilter.GaussianBlur(chance.uniform(0.2, 1.0) * over))
    mask = np.asarray(canvas.resize((width + 4, height + 4), Image.Resampling.BOX), np.float64)[2:-2, 2:-2] / 255
    return _printed(mask, chance)


def _words(font: Font, count: int, chance: np.random.Generator, large: bool) -> str:
    """Words without meaning, numbers, or any characters of a font."""
    every, kind = sorted(font.characters), chance.random()
    any_character = (every[chance.integers(len(every))] for _ in range(count))
    if kind < 0.15:
        return "".join(any_character)
    if kind < 0.35 or (large and kind < 0.6):
        wanted = "".join("0123456789"[chance.integers(10)] for _ in range(count))
    else:
        wanted = "".join(LETTERS[chance.integers(len(LETTERS))] if chance.random() > 0.17 else " " for _ in range(count))
        wanted = wanted.upper() if kind > 0.9 else wanted.title() if kind > 0.8 else wanted
    return "".join(letter if letter == " " or letter in font.characters else next(any_character) for letter in wanted)


def _printed(mask: Floats, chance: np.random.Generator) -> Pixels:
    """Print a mask with ink on paper, half of them black on white."""
    kind = chance.random()
    paper, ink = (255.0, 0.0) if kind < 0.5 else (0.0, 255.0) if kind < 0.6 else tuple(chance.uniform(0, 255, 2))
    if abs(paper - ink) < 60:
        paper, ink = chance.uniform(180, 255), chance.uniform(0, 90)
    if chance.random() < TWO_LEVEL_SHARE:
        return _levels(np.where(mask > chance.uniform(0.3, 0.7), ink, paper))
    return _levels(_scanned(paper + (ink - paper) * mask, chance))


def _scanned(image: Floats, chance: np.random.Generator) -> Floats:
    """Uneven light and noise, on some pictures."""
    if chance.random() < 0.2:
        image = image + _gradient(image.shape[0], image.shape[1], chance) * chance.uniform(5, 60)
    if chance.random() < 0.25:
        image = image + chance.normal(0, chance.uniform(1, 12), image.shape)
    return image


def _gradient(height: int, width: int, chance: np.random.Generator) -> Floats:
    turn = chance.uniform(0, 2 * np.pi)
    return np.cos(turn) * np.linspace(-1, 1, height)[:, None] + np.sin(turn) * np.linspace(-1, 1, width)


def _levels(image: Floats) -> Pixels:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def digit(sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels | None:
    """A digit or a piece of clothing, as it is or scaled."""
    sets = [digits for digits in sources.digits if len(digits)]
    if not sets:
        return None
    every = sets[chance.integers(len(sets))]
    image = every[chance.integers(len(every))]
    image = 255 - image if chance.random() < 0.3 else image
    if shape == (28, 28):
        return image
    height, width = shape
    return np.asarray(Image.fromarray(image).resize((width, height), _filter(chance)))


def drawing(_sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels | None:
    """Lines, boxes and discs, as in plots and symbols."""
    height, width = shape
    over = int(chance.choice([1, 2, 4]))
    paper = int(chance.choice(np.array([255, 0, chance.integers(256)])))
    canvas = Image.new("L", (width * over, height * over), paper)
    draw = ImageDraw.Draw(canvas)
    for _ in range(chance.integers(1, 6)):
        ink, line = int(chance.integers(256)), int(chance.integers(1, 4)) * over
        points = [(float(x), float(y)) for x, y in chance.uniform(0, 1, (chance.integers(2, 9), 2)) * canvas.size]
        left, right = sorted(point[0] for point in points[:2])
        top, bottom = sorted(point[1] for point in points[:2])
        kind = chance.integers(5)
        if kind == 0:
            draw.line(points, ink, line)
        elif kind == 1:
            draw.rectangle((left, top, right, bottom), ink if chance.random() < 0.5 else None, ink, line)
        elif kind == 2:
            draw.ellipse((left, top, right, bottom), ink if chance.random() < 0.5 else None, ink, line)
        elif kind == 3:
            draw.line(sorted(points, key=lambda point: point[0]), ink, line)
        else:
            draw.polygon(points[:5], ink)
    return _levels(_scanned(np.asarray(canvas.resize((width, height), Image.Resampling.BOX), np.float64), chance))


def field_of_noise(_sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels | None:
    """Smooth fields, gradients, and noise of several grains."""
    height, width = shape
    image = np.full(shape, chance.uniform(0, 255))
    if chance.random() < 0.7:
        image += _gradient(height, width, chance) * chance.uniform(0, 120)
    if chance.random() < 0.6:
        coarse = chance.normal(0, chance.uniform(0, 50), (int(chance.integers(2, 9)), int(chance.integers(2, 9))))
        image += np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
    if chance.random() < 0.5:
        image += chance.normal(0, chance.exponential(12), shape)
    return _levels(image)


def sky(_sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels | None:
    """Stars and blurred discs on a dark, noisy ground."""
    height, width = shape
    rows, columns = np.arange(height)[:, None], np.arange(width)
    image = np.full(shape, chance.uniform(0, 40))
    for _ in range(chance.poisson(height * width / 300) + 1):
        turn, size, flat = chance.uniform(0, np.pi), 0.5 + chance.exponential(1.0), chance.uniform(0.3, 1.0)
        y, x = rows - chance.uniform(0, height), columns - chance.uniform(0, width)
        along, across = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) / flat
        distance = np.sqrt(along**2 + across**2) / size
        image += min(chance.pareto(0.8) * 15, 400) * np.exp(-(distance ** chance.choice([1.0, 2.0])))
    image += chance.normal(0, chance.choice([0.5, 2.0, 5.0]), shape)
    return _levels(image)


Maker = Callable[[Sources, tuple[int, int], np.random.Generator], Pixels | None]
KINDS: tuple[tuple[float, Maker], ...] = (
    (0.48, photo),
    (0.15, icon),
    (0.20, text),
    (0.06, digit),
    (0.05, drawing),
    (0.03, field_of_noise),
    (0.03, sky),
)


def picture(sources: Sources, shape: tuple[int, int], chance: np.random.Generator) -> Pixels:
    """One picture of a random kind, uint8 of shape ``(H, W)``."""
    makers = [maker for _, maker in KINDS]
    shares = np.array([share for share, _ in KINDS])
    keep_flat = chance.random() < FLAT_SHARE
    made: Pixels | None = None
    for _ in range(TRIES):
        made = makers[int(chance.choice(len(makers), p=shares / shares.sum()))](sources, shape, chance)
        if made is not None and (keep_flat or int(np.ptp(made)) >= SPREAD_MIN):
            return np.ascontiguousarray(made)
    return np.ascontiguousarray(made if made is not None else _levels(np.full(shape, chance.uniform(0, 255))))


def pictures(sources: Sources, count: int, seed: int) -> dict[tuple[int, int], Pixels]:
    """About ``count`` pictures of all sizes: arrays of shape ``(N, H, W)`` by size."""
    made = {}
    for number, (shape, share) in enumerate(SHAPES.items()):
        wanted = max(round(count * share / sum(SHAPES.values())), 1)
        made[shape] = np.stack([picture(sources, shape, np.random.default_rng([seed, number, k])) for k in range(wanted)])
    return made


def split_sources(
    photos: Sequence[Path],
    icons: Sequence[Path],
    fonts: Sequence[Path],
    digits: Sequence[Pixels],
    themes_held_out: Sequence[str],
) -> tuple[Sources, Sources]:
    """Sources of training pictures and of held-out pictures."""
    parts = Sources(), Sources()
    for folder in photos:
        read = [(is_held_out(path.name), read_photo(path)) for path in files_in([folder])]
        for part, wanted in zip(parts, (False, True), strict=True):
            of_part = [image for held_out, image in read if held_out == wanted and image is not None]
            part.photos += [of_part] if of_part else []
    for path in files_in(icons):
        parts[any(theme in str(path) for theme in themes_held_out)].icons.append(path)
    parts[0].fonts, parts[1].fonts = split_families(fonts_in(fonts))
    parts[0].digits, parts[1].digits = [part[:-HELD_OUT] for part in digits], [part[-HELD_OUT:] for part in digits]
    return parts


FOLDERS = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--photos", multiple=True, required=True, type=FOLDERS, help="Folder of photographs and textures.")
@click.option("--icons", multiple=True, required=True, type=FOLDERS, help="Folder of icons.")
@click.option("--hold-out", "themes", multiple=True, help="Icons with this text in their path are held out.")
@click.option("--fonts", multiple=True, required=True, type=FOLDERS, help="Folder of fonts.")
@click.option(
    "--digits",
    multiple=True,
    required=True,
    help="Training images of MNIST or Fashion-MNIST; the last 5,000 are used for held-out pictures only.",
)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .npz to write.")
@click.option("--count", default=200_000, show_default=True, help="Pictures to train on.")
@click.option("--seed", default=1, show_default=True)
def main(
    photos: Sequence[Path],
    icons: Sequence[Path],
    themes: Sequence[str],
    fonts: Sequence[Path],
    digits: Sequence[str],
    output: Path,
    count: int,
    seed: int,
) -> None:
    """Make training pictures for the model grey, and held-out pictures from other sources."""
    parts = split_sources(photos, icons, fonts, [np.stack(load([path], train=True).images) for path in digits], themes)
    arrays: dict[str, Pixels] = {}
    for number, (name, sources) in enumerate(zip(("train", "held"), parts, strict=True)):
        click.echo(
            f"{name}: {sum(map(len, sources.photos))} photographs, {len(sources.icons)} icons, {len(sources.fonts)} fonts"
        )
        made = pictures(sources, count if number == 0 else count // HELD_OUT_SHARE, 2 * seed + number)
        arrays |= {f"{name}-{height}x{width}": part for (height, width), part in made.items()}
    np.savez(output, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
