"""``mnistzip bench``: compare codecs on your images. Measuring needs the extra ``bench``."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mnistzip.bench import compare as comparison
from mnistzip.bench.curves import CAN_INTERPOLATE, bd_rates
from mnistzip.bench.message_budgets import LINKS, budgets
from mnistzip.bench.registry import INSTALL, BenchJob, codecs_by_name, select_jobs
from mnistzip.bench.report import tables
from mnistzip.bench.report.write import write_report
from mnistzip.bench.results import Results, about, read_results, rows_of
from mnistzip.bench.runner import WAY_OUT, BenchRun, Outcome
from mnistzip.cli import params
from mnistzip.cli.outputs import LocalPath, write
from mnistzip.cli.progress import Progress
from mnistzip.errors import OptionError
from mnistzip.io.image_file import STREAM
from mnistzip.io.output_folders import lies_in
from mnistzip.io.readers import load
from mnistzip.models.registry import is_shipped
from mnistzip.tiling import TILE

LINK_HELP = ", ".join(f"{size} {link}" for size, link in LINKS.items())


@click.command(short_help="Compare codecs on your images.")
@click.argument("data", nargs=-1)
@click.option("-o", "--out", type=LocalPath(file_okay=False, path_type=Path), metavar="DIR",
              help="Write results.json, results.csv, plots, report.html here. The same call continues an interrupted one and "
              "measures only what has changed: images, settings, models, versions of libraries.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="With --out: measure everything again.")
@click.option("--codecs", metavar="NAMES", default="",
              help="Comma-separated: names, name@setting, patterns such as jpeg*, or all. See --list.")  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="List the codecs and their settings.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.")
@click.option("--budget", type=click.IntRange(1), metavar="BYTES", help=f"Also show what fits into this size: {LINK_HELP}.")
@click.option("--model", metavar="NAME",
              help="Also measure this model: a file, an installed model, or a shipped model.")  # fmt: skip
@click.option("--convert", is_flag=True, help="Convert colour, transparency and 16 bits to 8-bit grey.")
@click.option("--save-files", is_flag=True, help="Keep every coded file in DIR/files.")
@params.threads("Codecs measured at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of tables.")
@click.option("--quiet", is_flag=True, help="Print no tables and no progress.")
@click.option("--compare", nargs=2, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="OLD NEW",
              help="Compare two results.json instead of measuring.")  # fmt: skip
@click.option("--max-regression", type=click.FloatRange(0), default=1.0, show_default=True, metavar="PERCENT",
              help="With --compare: exit code 1 if a size or squared error grew by more.")  # fmt: skip
@click.option("--max-slowdown", type=click.FloatRange(0), metavar="PERCENT",
              help="With --compare: the same for processor time, which needs results of the same machine.")  # fmt: skip
def bench(
    data: tuple[str, ...],
    out: Path | None,
    codecs: str,
    listing: bool,
    limit: int | None,
    budget: int | None,
    model: str | None,
    convert: bool,
    save_files: bool,
    fresh: bool,
    threads: int,
    as_json: bool,
    quiet: bool,
    compare: tuple[Path, Path] | None,
    max_regression: float,
    max_slowdown: float | None,
) -> int:
    """Compare mnistzip with other codecs on DATA. It measures whole files, decoded again, at several settings of each codec.

    DATA are image files, folders, IDX files, .npy or .npz arrays, .cae files, or the name of a torchvision data set such as
    mnist. Each codec runs in its own library; a codec that is missing or fails is listed with the reason.
    """
    if compare is not None and data:
        raise click.UsageError("--compare takes two results.json: leave out the images")
    if fresh and out is None:
        raise click.UsageError("--fresh needs a folder: --out DIR")
    if listing:
        _list(model)
        return 0
    if compare is not None:
        return _compare(*compare, max_regression, max_slowdown)
    if not data:
        raise click.UsageError("give images: files, folders, an IDX file, or a data set such as mnist")
    if save_files and out is None:
        raise click.UsageError("--save-files needs a folder: --out DIR")
    if out is not None and (source_folder := lies_in(out, data)):
        raise OptionError(f"{out} would be a folder among the images of {source_folder}: {WAY_OUT}")
    jobs = select_jobs([name.strip() for name in codecs.split(",") if name.strip()], model)
    source = load(data, convert=convert, limit=limit, model=None if model is None or is_shipped(model) else model)
    run = BenchRun(source, jobs, out, model, threads, save_files, fresh)
    results, outcomes = _measure(run, budget, show=not quiet and not as_json)
    missing = None if out is None else _write(run, outcomes, results, out)
    if as_json:
        click.echo(results.to_json(), nl=False)
    elif not quiet:
        _console().print(tables.show(results, budget))
        if out is not None:
            click.echo(f"results in {out}" if missing else f"results, plots and report: {out / 'report.html'}")
    return 0


def _write(run: BenchRun, outcomes: dict[str, Outcome], results: Results, out: Path) -> str | None:
    """Write all files of ``--out``; returns, and prints, a message about missing libraries, or None."""
    for name, text in (("results.json", results.to_json()), ("results.csv", results.to_csv())):
        write(str(out / name), text.encode(errors="backslashreplace"), STREAM, force=True)
    missing = write_report(run, outcomes, results, out)
    if not CAN_INTERPOLATE:
        click.echo(f"mnistzip: BD-rate needs scipy: {INSTALL}", err=True)
    if missing:
        click.echo(f"mnistzip: {missing}", err=True)
    return missing


def _measure(run: BenchRun, budget: int | None, show: bool) -> tuple[Results, dict[str, Outcome]]:
    """Run all jobs. The steps of the progress are milliseconds, estimated from the cost of each codec."""
    images = len(run.source.images)
    weight = sum(image.size for image in run.source.images) / images / TILE**2  # average size of an image, in digits
    total = sum(job.codec.cost * images * weight for job in run.jobs)
    with Progress(total, "bench", show, counted=False) as progress:

        def advance(job: BenchJob, done: int) -> None:
            progress.advance(job.codec.cost * done * weight, f"bench: {job.key}")

        outcomes = run.outcomes(advance)
    rows = rows_of(run, outcomes)
    extra = [] if budget is None else [budget]
    return Results(about(run), rows, bd_rates(rows), budgets(run, outcomes, extra)), outcomes


def _list(model: str | None) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("name", "codec", "kind", "settings"):
        table.add_column(name, no_wrap=name != "settings")
    for entry in codecs_by_name(model).values():
        note = " (only by name)" if entry.on_request else ""
        table.add_row(entry.name, entry.missing() or entry.label + note, entry.kind.value, " ".join(entry.settings))
    _console().print(table)


def _compare(old: Path, new: Path, limit: float, speed_limit: float | None) -> int:
    before, after = read_results(old), read_results(new)
    changes = comparison.changes(before, after, limit, speed_limit)
    _console().print(comparison.show(before, after, changes))
    worse = [change for change in changes if change.worse]
    if worse:
        click.echo(f"mnistzip: {len(worse)} of {len(changes)} settings got worse by more than {limit:g}%", err=True)
    return 1 if worse else 0


def _console() -> Console:
    """A console as wide as the terminal, but not wider than the tables; in a file as wide as the tables."""
    width = shutil.get_terminal_size((tables.WIDTH, 24)).columns
    return Console(width=min(width, tables.WIDTH), highlight=False, markup=False)
