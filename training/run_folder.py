"""The folder of a training run: names of its files, and checks that protect all other files.

A marker in the folder lists the files that training wrote (see :class:`mnistzip.io.output_folders.OutputFolder`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from mnistzip.errors import ModelError, OptionError
from mnistzip.io.output_folders import OutputFolder, lies_in

PLAN, LEVELS, CURVES, BOARD = "plan.json", "levels.npz", "curves.png", "tensorboard"
PARTIAL = ".pt.partial"  # suffix of an incomplete checkpoint
FINISHED = "finished"
ADVICE = "choose another folder with --folder"


def default_folder(model: Path) -> Path:
    """The default folder of a run, next to the model file."""
    return model.with_name(f"{model.name}.run")


def file_names(stages: Sequence[str]) -> list[str]:
    """Names of all files and folders that a run of these stages writes into its folder."""
    return [PLAN, LEVELS, CURVES, BOARD, *(f"{stage}{suffix}" for stage in stages for suffix in (".pt", PARTIAL, ".csv"))]


def checkpoints(names: Sequence[str]) -> list[str]:
    """The files of a run that only serve to resume it."""
    return [name for name in names if name.endswith((".pt", PARTIAL)) or name == LEVELS]


def check(path: Path, source: str, stages: Sequence[str], resume: bool, force: bool) -> OutputFolder:
    """Check that a run can begin or resume in a folder. Nothing is written or removed.

    Args:
        path: of the folder.
        source: of the images. The folder must be outside of it, because its pictures would be read as images.
        stages: names of the stages.
        resume: resume the run in the folder.
        force: start again if the folder contains a run.

    Raises:
        ModelError: the folder contains a run and neither ``resume`` nor ``force`` is set; or ``resume`` is set and the folder
            contains no run, or a finished one.
        OptionError: the folder contains files that no run wrote, or lies inside ``source``.
    """
    if lies_in(path, [source]):
        raise OptionError(f"{path} lies inside the images of {source}: {ADVICE}")
    folder = OutputFolder(path, "train")
    if not folder.marked:
        present = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        names = {*file_names(stages), *(f"{stage}.partial" for stage in stages)}  # .partial: of earlier versions
        unmarked = resume and present <= names and any(name.endswith((".pt", PLAN)) for name in present)
        if unmarked:  # a run of a version that wrote no marker
            folder.files |= present
        elif present or (path.exists() and not path.is_dir()):
            raise OptionError(f"{path} contains files that mnistzip train did not write: {ADVICE}")
        elif resume:
            raise ModelError(f"{path} contains no run to resume: omit --resume, or name the folder with --folder")
        return folder
    if resume and folder.notes.get(FINISHED):
        raise ModelError(f"the run in {path} is finished: use -f without --resume to train again")
    if not resume and not force:
        state = "is finished" if folder.notes.get(FINISHED) else "has begun: --resume continues it"
        raise ModelError(f"{path} contains a run that {state}, -f starts again")
    return folder


def begin(folder: OutputFolder, stages: Sequence[str], resume: bool) -> None:
    """Write the marker of the folder. Remove the files of an earlier run unless it is resumed."""
    earlier = set(folder.files)
    names = file_names(stages)
    folder.claim(names, ADVICE)
    if not resume:
        folder.remove(earlier)
        folder.files = set(names)
        folder.notes = {}
        folder.save()


def finish(folder: OutputFolder) -> str:
    """Remove the checkpoints of a finished run.

    Returns:
        A message for the user.
    """
    folder.remove(checkpoints(sorted(folder.files)))
    folder.notes[FINISHED] = True
    folder.save()
    return f"curves and logs of the training are in {folder.path}; its checkpoints are removed"


def stopped(folder: OutputFolder) -> str:
    """A message for the user about a stopped run."""
    paths = [folder.path / name for name in checkpoints(sorted(folder.files))]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return f"stopped before its end: the same command with --resume -f continues from {folder.path} ({size / 1e6:.0f} MB)"


def report_paths(model: Path) -> tuple[Path, Path]:
    """The paths of the report and the card of a model."""
    return model.with_suffix(".json"), model.with_suffix(".md")


def require_apart(folder: Path, model: Path) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` if the run's folder has the path of an output file."""
    if folder.resolve() in {path.resolve() for path in (model, *report_paths(model))}:
        raise OptionError(f"{folder} is an output file of the training: {ADVICE}")


def check_reports(model: Path, force: bool) -> None:
    """Refuse to replace the report (``.json``) and the card (``.md``) of a model.

    Raises:
        ModelError: a file exists that training did not write, or one exists and ``force`` is not set.
    """
    for path, is_output in zip(report_paths(model), (_is_report, _is_card), strict=True):
        if not os.path.lexists(path):
            continue
        if not is_output(path):
            raise ModelError(f"{path} was not written by mnistzip train and would be replaced: give the model another name")
        if not force:
            raise ModelError(f"{path} exists already: -f overwrites it")


def _is_report(path: Path) -> bool:
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and {"recipe", "fingerprint", "held_out"} <= report.keys()


def _is_card(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(b"# Model `")
    except OSError:
        return False
