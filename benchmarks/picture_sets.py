"""Make sets of small greyscale pictures from the data of Python packages; no shipped model was trained on them.

    python benchmarks/picture_sets.py OUT          # OUT/choose/NAME.npz and OUT/report/NAME.npz

Each set is split by source into ``choose``, for decisions, and ``report``, for figures. Photographs, faces, textures, scanned
text and stars come from scikit-image, digits of 8x8 pixels from scikit-learn, icons from Matplotlib. Digits of meters,
gradients and noise are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFont

from mnistzip.types import Pixels

Box = tuple[int, int]  # width, height

SKIMAGE = Path(skimage.__file__).parent / "data"
MATPLOTLIB = Path(matplotlib.get_data_path())
COUNT = 60  # pictures in each half of a set
PHOTOS = (("chelsea.png", "coffee.png", "motorcycle_left.png"), ("astronaut.png", "camera.png", "rocket.jpg"))
TEXTURES = (("brick.png", "gravel.png"), ("grass.png", "ihc.png"))


def grey(path: Path) -> Image.Image:
    """A picture as 8-bit grey."""
    with Image.open(path) as image:
        return image.convert("L")


def crops(names: tuple[str, ...], box: Box, shrink: tuple[int, ...], seed: int) -> Iterator[Pixels]:
    """Random crops of pictures, each shrunk by one of some factors at random."""
    random = np.random.default_rng(seed)
    sources = [grey(SKIMAGE / name) for name in names]
    for number in range(COUNT):
        source = sources[number % len(sources)]
        factor = min(random.choice(shrink), source.width // box[0], source.height // box[1])
        small = source.resize((source.width // factor, source.height // factor), Image.Resampling.LANCZOS)
        left, top = (int(random.integers(side - wanted + 1)) for side, wanted in zip(small.size, box, strict=True))
        yield np.asarray(small.crop((left, top, left + box[0], top + box[1])))


def photos(half: int) -> Iterator[Pixels]:
    """Photographs, 28x28."""
    return crops(PHOTOS[half], (28, 28), (4, 6, 8), half)


def large_photos(half: int) -> Iterator[Pixels]:
    """Photographs, 64x64."""
    return crops(PHOTOS[half], (64, 64), (2, 3, 4), half + 2)


def textures(half: int) -> Iterator[Pixels]:
    """Textures, 32x32."""
    return crops(TEXTURES[half], (32, 32), (2, 4), half)


def stars(half: int) -> Iterator[Pixels]:
    """Galaxies and the Moon, 64x64."""
    return crops((("hubble_deep_field.jpg",), ("moon.png",))[half], (64, 64), (1, 2), half)


def strips(half: int) -> Iterator[Pixels]:
    """Scanned text, 200x40."""
    return crops((("page.png",), ("text.png",))[half], (200, 40), (1,), half)


def faces(half: int) -> Iterator[Pixels]:
    """Faces, 25x25."""
    every = np.load(SKIMAGE / "lfw_subset.npy")
    scaled = np.rint(every * (255 if every.max() <= 1 else 1)).astype(np.uint8)
    yield from scaled[half * 50 : half * 50 + 50]  # the first hundred are faces


def small_digits(half: int) -> Iterator[Pixels]:
    """Handwritten digits, 8x8."""
    from sklearn.datasets import load_digits

    every = load_digits().images
    yield from np.rint(every[half * 900 : half * 900 + COUNT] * 255 / 16).astype(np.uint8)


def icons(half: int) -> Iterator[Pixels]:
    """Icons on white, 16x16 and 24x24."""
    files = sorted((MATPLOTLIB / "images").glob("*.png"))[half::2]
    for path in files:
        with Image.open(path) as image:
            shown = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("L")
        for side in (16, 24):
            yield np.asarray(shown.resize((side, side), Image.Resampling.LANCZOS))


def meter_digits(half: int) -> Iterator[Pixels]:
    """Digits of a meter, 20x30: light on dark, blurred and noisy."""
    random = np.random.default_rng(half)
    font = ImageFont.truetype(MATPLOTLIB / "fonts" / "ttf" / ("DejaVuSansMono.ttf", "DejaVuSans-Bold.ttf")[half], 27)
    for number in range(COUNT):
        image = Image.new("L", (20, 30), int(random.integers(20, 60)))
        x, y = int(random.integers(0, 4)), int(random.integers(-3, 2))
        ImageDraw.Draw(image).text((x, y), str(number % 10), fill=int(random.integers(150, 240)), font=font)
        noisy = np.asarray(image, np.float64) + random.normal(0, 4, (30, 20))
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def letters(half: int) -> Iterator[Pixels]:
    """Dark letters on paper, 28x28."""
    name = ("STIXGeneral.ttf", "cmr10.ttf")[half]
    font = ImageFont.truetype(MATPLOTLIB / "fonts" / "ttf" / name, 24)
    for number in range(COUNT):
        image = Image.new("L", (28, 28), 255)
        ImageDraw.Draw(image).text((14, 14), chr(ord("A") + number), fill=0, font=font, anchor="mm")
        yield np.asarray(image)


def plain(half: int) -> Iterator[Pixels]:
    """Gradients, flat areas, checkerboards and lines of several sizes."""
    for size in ((28, 28), (16, 16), (64, 32), (29, 29)):
        rows, columns = np.mgrid[: size[1], : size[0]]
        yield ((rows * (3 + half) + columns * 2) % 256).astype(np.uint8)
        yield ((columns * (4 - half)) % 256).astype(np.uint8)
        yield np.full(size[::-1], 200 - 90 * half, np.uint8)
        yield ((rows // 4 + columns // 4) % 2 * 255).astype(np.uint8)
        yield np.where(rows == 5 + half, 255, 0).astype(np.uint8)


def noise(half: int) -> Iterator[Pixels]:
    """Noise, 28x28."""
    yield from np.random.default_rng(half).integers(0, 256, (10, 28, 28), np.uint8)


SETS: dict[str, Callable[[int], Iterator[Pixels]]] = {
    "photos-28x28": photos,
    "photos-64x64": large_photos,
    "faces-25x25": faces,
    "textures-32x32": textures,
    "stars-64x64": stars,
    "strips-200x40": strips,
    "digits-8x8": small_digits,
    "icons": icons,
    "meter-digits-20x30": meter_digits,
    "letters-28x28": letters,
    "plain": plain,
    "noise-28x28": noise,
}


def main() -> None:
    """Write every set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for half, part in enumerate(("choose", "report")):
        (out / part).mkdir(parents=True, exist_ok=True)
        for name, make in SETS.items():
            images = list(make(half))
            np.savez_compressed(out / part / f"{name}.npz", *images)
            print(f"{part}/{name}: {len(images)} pictures")


if __name__ == "__main__":
    main()
