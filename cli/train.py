"""``mnistzip train``: make a model by one of the recipes. Needs the extra ``train``."""

from __future__ import annotations

from pathlib import Path

import click

from mnistzip.errors import ModelError


@click.command(short_help="Train a model.")
@click.argument("data")
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Model file to write (.npz)."
)
@click.option("--recipe", default="mnist", show_default=True, help="mnist, mnist-fast or classic.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Checkpoints and logs.  [default: beside OUTPUT]"
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("-T", "--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads of torch.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing model file.")
def train(data: str, output: Path, recipe: str, folder: Path | None, seed: int, threads: int, force: bool) -> None:
    """Train a model from DATA, an IDX file of 28x28 images or the name of a torchvision data set such as MNIST.

    A run that was stopped goes on from its last finished epoch. The last 5,000 images are held out, never trained on.
    """
    try:
        import torch

        from mnistzip.training.recipes import RECIPES
        from mnistzip.training.recipes import train as follow
    except ModuleNotFoundError as cause:
        raise ModelError(f"training needs {cause.name}: pip install 'mnistzip[train]'") from cause
    if recipe not in RECIPES:
        raise click.BadParameter(f"{recipe!r} is none of {', '.join(RECIPES)}", param_hint="--recipe")
    if output.exists() and not force:
        raise ModelError(f"{output} exists already: -f overwrites it")
    torch.set_num_threads(threads)
    report = follow(data, recipe, output, folder or output.with_suffix(""), seed, click.echo)
    for row in report["held_out"]:
        click.echo(f"quality {row['quality']:3}: {row['bytes']:6.2f} bytes, {row['psnr_db']:.2f} dB on held-out images")
    click.echo(f"{output}: {report['bytes']} bytes, sha256 {report['sha256']}")
