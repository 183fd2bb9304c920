"""Put a trained pixel model into a model file of the kind ``grey``, and its results into report and card.

python -m mnistzip.training.grey_pixels_recipe grey.npz runs/grey-pixels.pt pictures.npz -o pretrained/grey.npz
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from mnistzip.training.grey_recipe import described, probes_of, read_stacks, with_trained_pixels, write
from mnistzip.training.grey_trainer import GreyPixelsTrainer
from mnistzip.training.model_card import card
from mnistzip.training.picture_trainer import load_weights
from mnistzip.training.run_folder import report_paths
from mnistzip.training.torch_grey_pixels import GreyPixels

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("model_file", type=FILE)
@click.argument("checkpoint", type=FILE)
@click.argument("pictures", nargs=-1, required=True, type=FILE)
@click.option("-o", "--output", required=True, type=FILE, help="The model file to write.")
@click.option("-f", "--force", is_flag=True, help="Overwrite files.")
def main(model_file: Path, checkpoint: Path, pictures: Sequence[Path], output: Path, force: bool) -> None:
    """Put the pixel model of a checkpoint of mnistzip.training.grey_trainer into a model file with report and card."""
    for path in () if force else (output, *report_paths(output)):
        if path.exists():
            raise click.UsageError(f"{path} exists already: -f overwrites it")
    model, progress = load_weights(GreyPixels(), checkpoint)
    report_path, card_path = report_paths(model_file)
    report, text = json.loads(report_path.read_text()), card_path.read_text()
    content, rows = with_trained_pixels(
        model_file.read_bytes(), model_file.stem, model, probes_of(read_stacks(pictures, "held"))
    )
    names = shlex.join(path.name for path in pictures)
    minutes = f"{progress.seconds / 60:g}"
    of_model = next(line.split("`")[1] for line in text.splitlines() if line.startswith("| command |"))
    last = card(report, of_model).splitlines()[-1]
    if last not in text:
        raise click.UsageError(f"{card_path} is not the card of {report_path}: it lacks the line {last!r}")
    rest = text.partition(f"{last}\n")[2]
    pixels = {
        "command": f"python -m mnistzip.training.grey_trainer {names} --part pixels --minutes {minutes} --out grey-pixels.pt",
        "seed": progress.seed,
        "threads": progress.threads,
        "stages": [progress.described(GreyPixelsTrainer)],
        "stopped": progress.passed < progress.seconds,
        "held_out": rows,
    }
    write(output, content, described(content, report, pixels), of_model, force, rest)


if __name__ == "__main__":
    main()
