"""Make a model file of a trained model of bitmaps, with its report and card.

python -m mnistzip.training.bitmap_recipe train-images-idx3-ubyte.gz runs/bitmaps.pt -o pretrained/mnist-bitmap.npz
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from mnistzip.api import encode_many
from mnistzip.engines.choice import current
from mnistzip.entropy.cost import BIT, code_length
from mnistzip.models.model import Model
from mnistzip.models.registry import SHIPPED, read_model
from mnistzip.training.bitmap_trainer import BitmapTrainer, bitmaps_of, mean_bytes
from mnistzip.training.export_bitmap_model import export_bitmaps
from mnistzip.training.grey_recipe import write
from mnistzip.training.picture_trainer import load_weights
from mnistzip.training.run_folder import report_paths
from mnistzip.training.splits import load
from mnistzip.training.torch_bitmap_model import BitmapModel, BitmapPixels

NAME = "mnist-bitmap"
EXTENTS = 3  # symbols of size and shift before the pixels
FILE = click.Path(dir_okay=False, path_type=Path)


def held_out_results(network: BitmapModel, model: Model, digits: Tensor) -> dict[str, float]:
    """Results on held-out digits, uint8 ``(N, 1, 28, 28)``.

    Returns:
        ``digits`` and how many of them have ``bitmaps``; mean bytes of these: ``pixels_float`` and ``pixels_integer``, ideal
        code lengths of their pixels, ``sizes``, that of sizes and shifts, and ``files``.
    """
    bitmaps = bitmaps_of(digits, lambda _: None)
    bits = np.array(
        [
            [code_length(part) for part in (symbols.freq_less_one[:EXTENTS], symbols.freq_less_one[EXTENTS:])]
            for symbols in current().bitmap_symbols(model, bitmaps)
        ]
    )
    sizes, pixels = (bits.mean(axis=0) / (8 * BIT)).tolist()
    files = encode_many(current().digits_of(bitmaps), lossless=True, model=model)
    return {
        "digits": len(digits),
        "bitmaps": len(bitmaps),
        "pixels_float": round(mean_bytes(network, BitmapPixels(bitmaps)), 3),
        "pixels_integer": round(pixels, 3),
        "sizes": round(sizes, 3),
        "files": round(sum(map(len, files)) / len(files), 3),
    }


@click.command()
@click.argument("digits")
@click.argument("checkpoint", type=FILE)
@click.option("-o", "--output", required=True, type=FILE, help="The model file to write.")
@click.option("--note", default="", help="A sentence for the card.")
@click.option("-f", "--force", is_flag=True, help="Overwrite files.")
def main(digits: str, checkpoint: Path, output: Path, note: str, force: bool) -> None:
    """Make a model file of the checkpoint of mnistzip.training.bitmap_trainer, with its report and card."""
    for path in () if force else (output, *report_paths(output)):
        if path.exists():
            raise click.UsageError(f"{path} exists already: -f overwrites it")
    network, progress = load_weights(BitmapModel(), checkpoint)
    split = load(digits)
    content = export_bitmaps(network, bitmaps_of(split.train, click.echo))
    model = read_model(content, NAME, SHIPPED[NAME])
    source = Path(digits).name
    report: dict[str, Any] = {
        "model": output.stem,
        "recipe": NAME,
        "sha256": hashlib.sha256(content).hexdigest(),
        "fingerprint": model.fingerprint.hex(),
        "bytes": len(content),
        "data": {"source": source, "train": len(split.train), "held_out": len(split.held_out)},
        "seed": progress.seed,
        "stopped": progress.passed < progress.seconds,
        "stages": [progress.described(BitmapTrainer)],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "threads": progress.threads,
        "bitmaps": held_out_results(network, model, split.held_out),
    }
    command = f"python -m mnistzip.training.bitmap_trainer {source} --minutes {progress.seconds / 60:g} --out bitmaps.pt"
    write(output, content, report, command, force, f"\n{note}\n" if note else "")


if __name__ == "__main__":
    main()
