"""Write the digits of the notebook in ``docs/notebooks``: two lossless archives with labels.

    python tools/notebook_digits.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS

The arguments are the IDX files of MNIST. ``digits.cae`` holds the first 5,000 training digits, ``test-digits.cae`` every
56th of the 10,000 test digits, since the first half of the test digits is easier than the second.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mnistzip
from mnistzip.idx import read_idx

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
TRAINING, TEST_STEP = 5_000, 56  # the repository holds few test digits


def write(path: Path, images: str, labels: str, which: slice) -> None:
    """Write some images of an IDX file to a lossless archive, and read them back."""
    pixels = read_idx(Path(images))[which]
    path.write_bytes(mnistzip.encode_archive(pixels, labels=read_idx(Path(labels))[which], lossless=True))
    with mnistzip.Archive(path) as archive:
        if any((image != original).any() for image, original in zip(archive, pixels, strict=True)):
            raise RuntimeError(f"{path} does not decode to its digits")
        print(f"{path.name}: {len(archive)} digits, {archive.size} bytes")


def main() -> None:
    train_images, train_labels, test_images, test_labels = sys.argv[1:]
    write(NOTEBOOKS / "digits.cae", train_images, train_labels, slice(TRAINING))
    write(NOTEBOOKS / "test-digits.cae", test_images, test_labels, slice(None, None, TEST_STEP))


if __name__ == "__main__":
    main()
