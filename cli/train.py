"""``mnistzip train``: train a model, on your images or by the recipe of a shipped model. Needs the extra ``train``."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnistzip.cli import outputs
from mnistzip.cli.outputs import LocalPath
from mnistzip.errors import ModelError

if TYPE_CHECKING:
    from mnistzip.io.output_folders import OutputFolder
    from mnistzip.training.trainer import Run

LOOKED_AT = 100  # images that decide the kind of a model
FINISHING = 90  # seconds that a model file takes after the training
UNITS = {"s": 1, "m": 60, "h": 3600, "": 60}


def seconds(_ctx: click.Context, _parameter: click.Parameter, value: str) -> float:
    """``90s``, ``20m``, ``1.5h`` or a number of minutes, as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", value.strip())
    if not match or not float(match[1]):
        raise click.BadParameter(f"{value!r} is not a time such as 20m, 90s or 1.5h")
    return float(match[1]) * UNITS[match[2]]


def model_path(_ctx: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """The path of a model file; its suffix differs from those of its report and its card."""
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
    help="Model file to write (.npz); a report (.json) and a card (.md) go next to it.",
)
@click.option("--time", "budget", default="20m", show_default=True, callback=seconds, help="Approximate time: 90s, 20m, 1.5h.")
@click.option("--recipe", default="own", show_default=True,
              help="own: for any images; mnist, mnist-fast, classic, glyph: those of shipped models.")  # fmt: skip
@click.option("--kind", type=click.Choice(["auto", "tile", "grey"]), default="auto", show_default=True,
              help="tile: for strokes of 28x28, such as digits; grey: for pictures of any kind and size; auto: by the images. "
                   "Only for the recipe own.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="At most this many epochs in each stage.")
@click.option("--fit", type=click.Choice(["tile", "crop", "resize"]), default="tile", show_default=True,
              help="Images of other sizes than 28x28: cut into tiles (as by the codec), cropped, or scaled.")  # fmt: skip
@click.option("--convert", is_flag=True, help="Convert colour, transparency and 16 bits to grey.")
@click.option(
    "--folder", type=LocalPath(file_okay=False, path_type=Path), help="Folder for checkpoints and logs.  [default: OUTPUT.run]"
)
@click.option("--resume", is_flag=True, help="Continue the run in the folder.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("-T", "--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads of torch.")
@click.option("--device", default="auto", show_default=True, help="Device of torch: cpu, cuda; auto: cuda if it exists.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing model, and start again in the folder of a run.")
def train(
    data: str,
    output: Path,
    budget: float,
    recipe: str,
    kind: str,
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

    One in ten images, 5,000 at most, is held out to measure the model and never trained on. Ctrl-C ends the training and
    writes a model; the same command with --resume continues and ends with the same model as an uninterrupted run.

    On several processors or machines: torchrun --nproc-per-node 2 -m mnistzip train DATA ...
    """
    try:
        import torch

        from mnistzip.training import budgeted_recipe, distributed, recipes, run_folder as folders
        from mnistzip.training.splits import IMAGES_MIN, load
        from mnistzip.training.trainer import Run
    except ModuleNotFoundError as cause:
        raise ModelError(f"training needs {cause.name}: pip install 'mnistzip[train]'") from cause
    if recipe not in (budgeted_recipe.NAME, *recipes.RECIPES):
        raise click.BadParameter(
            f"{recipe!r} is not one of {', '.join([budgeted_recipe.NAME, *recipes.RECIPES])}", param_hint="--recipe"
        )
    if kind != "tile" and recipe == budgeted_recipe.NAME and _wants_grey(data, kind, fit, epochs, convert):
        distributed.select_device(device)  # an error if there is no such device; the training runs on the processor
        _train_grey(data, output, budget, convert, folder, resume, seed, threads, force)
        return
    distributed.initialize()
    say = click.echo if distributed.is_leader() else _discard
    run = Run(folder or folders.default_folder(output), seed, say, distributed.select_device(device))
    stages = budgeted_recipe.STAGES if recipe == budgeted_recipe.NAME else recipes.RECIPES[recipe].stage_names
    run_folder = None
    if distributed.is_leader():
        run_folder = _checked_folder(run, output, data, stages, resume, force)
    torch.set_num_threads(threads)
    draw = seed if recipe == budgeted_recipe.NAME else None
    split = load(data, fit=fit, convert=convert, draw=draw, min_images=IMAGES_MIN, log=say)
    options: dict[str, Any] = {} if fit == "tile" else {"--fit": fit}
    about: dict[str, Any] = {"source": Path(data).name or data, "options": options}
    if run_folder is not None:
        folders.begin(run_folder, stages, resume)
    try:
        with _interruptible(run):
            if recipe == budgeted_recipe.NAME:
                about["drawn"] = True
                options["--time"] = f"{budget:g}s"
                steps = budgeted_recipe.plan_recipe(split, budget, run, epochs)
            else:
                steps = recipes.RECIPES[recipe]
                steps = steps if epochs is None else budgeted_recipe.limit_epochs(steps, epochs)
            if epochs is not None:
                options["--epochs"] = epochs
            report = recipes.train(split, about, recipe, output, run, steps, force)
    finally:
        distributed.shutdown()
    if run_folder is not None:
        _report(report, output, run, run_folder)


def _wants_grey(data: str, kind: str, fit: str, epochs: int | None, convert: bool) -> bool:
    """Whether a model of the kind grey is to be trained."""
    from mnistzip.coding.estimates import looks_like_a_digit
    from mnistzip.io.readers import load

    if kind == "grey":
        if fit != "tile" or epochs is not None:
            raise click.UsageError("--fit and --epochs are for --kind tile: models of the kind grey take pictures as they are")
        return True
    if fit != "tile" or epochs is not None:
        return False
    some = load([data], convert=convert, train=True, limit=LOOKED_AT).images
    return sum(map(looks_like_a_digit, some)) < len(some) / 2


def _train_grey(
    data: str,
    output: Path,
    budget: float,
    convert: bool,
    folder: Path | None,
    resume: bool,
    seed: int,
    threads: int,
    force: bool,
) -> None:
    """Train a model of the kind grey."""
    import torch

    from mnistzip.training import grey_recipe, run_folder as folders
    from mnistzip.training.splits import IMAGES_MIN, load_pictures
    from mnistzip.training.trainer import FlushDenormals, Run

    run = Run(folder or folders.default_folder(output), seed, click.echo)
    run_folder = _checked_folder(run, output, data, [grey_recipe.NAME], resume, force)
    torch.set_num_threads(threads)
    images = load_pictures(data, convert=convert, draw=seed, min_images=IMAGES_MIN, log=click.echo)
    source = Path(data).name or data
    about = {"source": source, "options": {"--kind": "grey", "--time": f"{budget:g}s"}}
    command = f"mnistzip train {source} --kind grey --time {budget:g}s --seed {seed} -T {threads} -o {output.name}"
    folders.begin(run_folder, [grey_recipe.NAME], resume)
    with _interruptible(run), FlushDenormals():
        seconds = max(budget - FINISHING, budget / 2)
        report = grey_recipe.train(images, about, output, run, seconds, command, force)
    _report(report, output, run, run_folder)


def _checked_folder(run: Run, output: Path, data: str, stages: Sequence[str], resume: bool, force: bool) -> OutputFolder:
    """The folder of a run, after all checks of files: an error comes before the training and not at its end."""
    from mnistzip.training import run_folder as folders

    outputs.require_free(str(output), [data], force)
    folders.check_reports(output, force)
    run_folder = folders.check(run.folder, data, stages, resume, force)
    folders.require_apart(run.folder, output)
    outputs.require_writable(str(output))
    return run_folder


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Let Ctrl-C end a training with a model."""
    old_handler = signal.signal(signal.SIGINT, run.interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old_handler)


def _report(report: dict[str, Any], output: Path, run: Run, run_folder: OutputFolder) -> None:
    """Print the results of the model on held-out images, and what became of the run."""
    from mnistzip.training import run_folder as folders
    from mnistzip.training.baselines import table

    for row in report["held_out"]:
        click.echo(f"quality {row['quality']:3}: {row['bytes']:6.2f} bytes, {row['psnr_db']:.2f} dB on held-out images")
    if "beside" in report:
        click.echo("\n".join(table(report["beside"])))
    click.echo(f"{output}: {report['bytes']} bytes, sha256 {report['sha256']}; its card is {output.with_suffix('.md')}")
    click.echo(folders.stopped(run_folder) if run.stopping else folders.finish(run_folder))


def _discard(_: str) -> None:
    """Ignore a message of a process that does not lead."""
