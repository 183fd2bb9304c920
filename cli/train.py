"""``mnistzip train``: make a model, of one's own images or by the recipe of one that ships. Needs the extra ``train``."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import click

from mnistzip.cli import outputs
from mnistzip.cli.outputs import LocalPath
from mnistzip.errors import ModelError

UNITS = {"s": 1, "m": 60, "h": 3600, "": 60}


def seconds(_ctx: click.Context, _parameter: click.Parameter, value: str) -> float:
    """``90s``, ``20m``, ``1.5h`` or so many minutes, as seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", value.strip())
    if not found or not float(found[1]):
        raise click.BadParameter(f"{value!r} is no time such as 20m, 90s or 1.5h")
    return float(found[1]) * UNITS[found[2]]


def model_path(_ctx: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """The path of a model file, whose suffix leaves those of its report and its card free."""
    if value.suffix.lower() != ".npz":
        raise click.BadParameter(f"{str(value)!r} does not end in .npz")
    return value


@click.command(short_help="Train a model.")
@click.argument("data")
@click.option(
    "-o",
    "--output",
    required=True,
    type=LocalPath(dir_okay=False, path_type=Path),
    callback=model_path,
    help="Model file to write (.npz); a report (.json) and a card (.md) go beside it.",
)
@click.option("--time", "budget", default="20m", show_default=True, callback=seconds, help="About how long: 90s, 20m, 1.5h.")
@click.option("--recipe", default="own", show_default=True,
              help="own: for any images; mnist, mnist-fast, classic, glyph: those that ship, in their time.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="At most so many epochs in each stage.")
@click.option("--fit", type=click.Choice(["tile", "crop", "resize"]), default="tile", show_default=True,
              help="Images of other sizes than 28x28: cut into tiles as the codec does, their middle, or scaled.")  # fmt: skip
@click.option("--convert", is_flag=True, help="Take colour, transparency and 16 bits as grey.")
@click.option("--folder", type=LocalPath(file_okay=False, path_type=Path), help="Checkpoints and logs.  [default: OUTPUT.run]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("-T", "--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads of torch.")
@click.option("--device", default="auto", show_default=True, help="What torch runs on: cpu, cuda; auto: cuda if there is one.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing model, and begin anew in the folder of a run.")
def train(
    data: str,
    output: Path,
    budget: float,
    recipe: str,
    epochs: int | None,
    fit: str,
    convert: bool,
    folder: Path | None,
    resume: bool,
    seed: int,
    threads: int,
    device: str,
    force: bool,
) -> None:
    """Train a codec for the images in DATA: a folder, an IDX or .npy file, an archive, or a data set of torchvision.

    One in ten images, 5,000 at most, is held out for measuring and never trained on. Ctrl-C makes a model of what was
    learned so far; the same command with --resume goes on and ends with the very model of an uninterrupted run.

    On several processors or machines: torchrun --nproc-per-node 2 -m mnistzip train DATA ...
    """
    try:
        import torch

        from mnistzip.training import budgeted_recipe, distributed, recipes, run_folder as folders
        from mnistzip.training.splits import FEWEST, load
        from mnistzip.training.trainer import Run
    except ModuleNotFoundError as cause:
        raise ModelError(f"training needs {cause.name}: pip install 'mnistzip[train]'") from cause
    if recipe not in (budgeted_recipe.NAME, *recipes.RECIPES):
        raise click.BadParameter(
            f"{recipe!r} is none of {', '.join([budgeted_recipe.NAME, *recipes.RECIPES])}", param_hint="--recipe"
        )
    distributed.join()
    say = click.echo if distributed.leads() else _nothing
    run = Run(folder or folders.default_folder(output), seed, say, distributed.device(device))
    stages = budgeted_recipe.STAGES if recipe == budgeted_recipe.NAME else recipes.RECIPES[recipe].stage_names
    kept = None
    if distributed.leads():
        outputs.require_free(str(output), [data], force)
        folders.check_reports(output, force)
        kept = folders.check(run.folder, data, stages, resume, force)
        folders.require_apart(run.folder, output)
        outputs.require_writable(str(output))
    torch.set_num_threads(threads)
    drawn = seed if recipe == budgeted_recipe.NAME else None
    split = load(data, fit=fit, convert=convert, draw=drawn, fewest=FEWEST, log=say)
    options: dict[str, Any] = {} if fit == "tile" else {"--fit": fit}
    about: dict[str, Any] = {"source": Path(data).name or data, "options": options}
    if kept is not None:
        folders.begin(kept, stages, resume)
    before = signal.signal(signal.SIGINT, run.interrupted)
    try:
        if recipe == budgeted_recipe.NAME:
            about["drawn"] = True
            options["--time"] = f"{budget:g}s"
            followed = budgeted_recipe.own_recipe(split, budget, run, epochs)
        else:
            followed = recipes.RECIPES[recipe]
            followed = followed if epochs is None else budgeted_recipe.at_most(followed, epochs)
        if epochs is not None:
            options["--epochs"] = epochs
        report = recipes.train(split, about, recipe, output, run, followed, force)
    finally:
        signal.signal(signal.SIGINT, before)
        distributed.leave()
    if kept is not None:
        _tell(report, output)
        click.echo(folders.stopped(kept) if run.stopping else folders.finish(kept))


def _tell(report: dict[str, Any], output: Path) -> None:
    """Print what the model does."""
    from mnistzip.training.baselines import table

    for row in report["held_out"]:
        click.echo(f"quality {row['quality']:3}: {row['bytes']:6.2f} bytes, {row['psnr_db']:.2f} dB on held-out images")
    click.echo("\n".join(table(report["beside"])))
    click.echo(f"{output}: {report['bytes']} bytes, sha256 {report['sha256']}; its card is {output.with_suffix('.md')}")


def _nothing(_: str) -> None:
    """What a process says that does not lead."""
